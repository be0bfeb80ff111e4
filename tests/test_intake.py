"""Imports: what a file may look like, what is left out and why, once only, killed in the middle, and beside live traffic."""

from __future__ import annotations

import csv
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from flows.records import Bill, Conversation, Feeder, Name, Payment
from gateway import fields, intake
from gateway.app import Gateway
from gateway.fields import Wrong
from gateway.intake import Counts, Hooks, Opened, finish, import_command, import_file, resume
from gateway.oneline import OneLine
from gateway.sheets import BadFile, open_sheet
from gateway.store import Store, open_store
from gateway.store.cases import Cases
from tests import town

HEADER = "CANumber,ConsumerName,Address,MobileNumber,Division,SubDivision,CompanyName,BillMonth,Amount,DueDate,InvoiceNO"
ROW = "{},राम कुमार,वार्ड 4,9812345678,BUXAR,S1,SBPDCL,MAY-2022,{},2022-05-22,00123456789"
ACCOUNTS = [row[0] for row in town.CONSUMERS]
TABLES = ("consumer", "bill", "payment", "link", "outbox", "intake_row")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{tmp_path}/x.db")
    town.build(made)
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "in.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding=encoding)
        return path

    return write


def of_service(*rows: tuple[str, str]) -> str:
    """A file as the bill service gives it."""
    return "\n".join([HEADER, *(ROW.format(account, f'"{amount}"') for account, amount in rows)]) + "\n"


def everything(store: Store) -> list[list[Any]]:
    return [sorted(store.database.rows(f"select * from {table}"), key=repr) for table in TABLES]


def left_out(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as opened:
        return [(row[0], row[1]) for row in list(csv.reader(opened))[1:]]


class Calls:
    """What the hooks were told."""

    def __init__(self) -> None:
        self.bills: list[tuple[Bill, bool]] = []
        self.payments: list[tuple[str, Payment]] = []
        self.phones: list[tuple[str, str]] = []
        self.hooks = Hooks(
            lambda account, bill, is_new: self.bills.append((bill, is_new)),
            lambda account, payment: self.payments.append((account, payment)),
            lambda phone, account: self.phones.append((phone, account)),
        )


@pytest.fixture
def calls() -> Calls:
    return Calls()


# --- what a file may look like ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_found_out(store: Store, file: Callable[..., Path], encoding: str, delimiter: str) -> None:
    text = "CA Number,consumer_name,METER NO\n0700000001,फूलमती देवी,00042\n".replace(",", delimiter)
    report = import_file(store, "consumers", file(text, encoding=encoding))
    assert (report.counts, report.notices) == (Counts(1, 0, 0), ())
    sql = "select name_deva, name_latin, meter from consumer where account = '0700000001'"
    assert store.database.rows(sql) == [("फूलमती देवी", "", "00042")]
    assert [one.account for one in store.search("फूलमती 0700000001")] == ["0700000001"]


def test_windows_1252_is_read_and_said(store: Store, file: Callable[..., Path]) -> None:
    report = import_file(store, "consumers", file("CANumber,ConsumerName\n700000001,José\n", encoding="cp1252"))
    assert store.database.rows("select name_latin from consumer where account = '700000001'") == [("José",)]
    assert "Windows-1252" in report.notices[0]


def test_one_file_of_the_bill_service_serves_all_kinds(store: Store, file: Callable[..., Path], calls: Calls) -> None:
    path = file(of_service(("0300000008", "1,240"), ("0700000001", "-150.50")))
    reports = [import_file(store, kind, path, hooks=calls.hooks) for kind in ("consumers", "bills", "phones")]
    assert [report.counts for report in reports] == [Counts(1, 1, 0), Counts(2, 0, 0), Counts(2, 0, 0)]
    assert not any(report.notices for report in reports)
    assert calls.bills[0] == (
        Bill("0300000008", "00123456789", date(2022, 5, 1), date(2022, 5, 22), 124000), True)  # fmt: skip
    assert calls.bills[1][0].amount == -15050
    assert calls.phones == [("+919812345678", "0300000008"), ("+919812345678", "0700000001")]
    assert store.database.rows("select how, confirmed from link where phone = '+919812345678' group by 1, 2") == [("import", 0)]


def test_payments(store: Store, file: Callable[..., Path], calls: Calls) -> None:
    text = "CANumber,PaymentDateTime,BillNo,Amount\n100000001,22-05-2026 13:30:20,0077,500\n"
    assert import_file(store, "payments", file(text), hooks=calls.hooks).counts == Counts(1, 0, 0)
    assert calls.payments == [("100000001", Payment(date(2026, 5, 22), 50000, "0077"))]
    assert import_file(store, "payments", file(text + "\n"), hooks=calls.hooks).counts == Counts(0, 0, 1)
    assert len(calls.payments) == 1


def test_sections_and_feeders_have_names_and_a_feeder_serves_where_its_consumers_live(
    store: Store, file: Callable[..., Path]
) -> None:
    sections = file("SectionCode,SectionName,UrbanRural,ServiceCentre\nBXR9,नया भोजपुर,rural,Bhojpur office\nBXR8,,urban,\n")
    report = import_file(store, "sections", sections)
    assert (report.counts, report.left_out) == (Counts(1, 0, 0), 1)
    assert left_out(report.side) == [("3", "this section is new and has no name")]  # type: ignore[arg-type]
    assert Cases(store).sections()["BXR9"] == Name("नया भोजपुर", "")
    assert import_file(store, "feeders", file("FeederCode,FeederName\nF9,Bhojpur\n")).counts == Counts(1, 0, 0)
    assert store.feeders(["802133"]) == {"802133": ()}
    consumers = file(
        "CANumber,ConsumerName,SubDivision,FeederCode,Pincode\n700000001,Sita,BXR9,F9,802133\n700000002,Gita,BXR9,F9,\n"
    )
    assert import_file(store, "consumers", consumers).counts == Counts(2, 0, 0)
    assert store.feeders(["802133"]) == {"802133": (Feeder("F9", Name("", "Bhojpur")),)}


def test_a_workbook_keeps_text_and_gives_leading_zeros_back_where_shown(store: Store, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["CANumber", "BillMonth", "Amount", "DueDate", "InvoiceNO", None])
    book.active.append(["0300000008", date(2026, 6, 1), 1240.5, date(2026, 7, 5), 42])
    book.active.append([300000008, "JUN-2026", 99, "05/07/2026", "=1+1"])
    book.active["A3"].number_format = "0000000000"
    book.active["B3"] = "JUL-2026"
    book.save(tmp_path / "in.xlsx")
    report = import_file(store, "bills", tmp_path / "in.xlsx")
    assert report.counts == Counts(2, 0, 0)
    assert "leading zeros" in report.notices[0]
    sql = "select month, amount, due, number from bill where account = '0300000008' and month > '2026-05-01' order by month"
    assert store.database.rows(sql) == [
        ("2026-06-01", 124050, "2026-07-05", "42"), ("2026-07-01", 9900, "2026-07-05", "")]  # fmt: skip


def test_other_column_names_are_mapped(store: Store, file: Callable[..., Path]) -> None:
    path = file("Upbhokta,Mahina,Rashi,Due Date,Rang\n100000001,2026-06,10,2026-07-05,lal\n")
    mapping = {"upbhokta": "account", "Mahina": "month", "Rashi": "amount"}
    report = import_file(store, "bills", path, mapping=mapping)
    assert (report.counts, report.notices) == (Counts(1, 0, 0), ("columns not used: Rang",))


def test_an_empty_cell_leaves_what_is_kept(store: Store, file: Callable[..., Path]) -> None:
    before = store.database.rows("select * from consumer where account = '100000004'")[0]
    import_file(store, "consumers", file("account,ConsumerName,balance,balance on\n100000004,,12.25,26-05-2026\n"))
    after = store.database.rows("select * from consumer where account = '100000004'")[0]
    assert (after[:-2], after[-2:]) == (before[:-2], (1225, "2026-05-26"))


# --- what is left out, and what is refused ----------------------------------------------------------------------------


def test_bad_rows_are_put_aside_with_the_reason(store: Store, file: Callable[..., Path], calls: Calls) -> None:
    good = [(account, "10") for account in ACCOUNTS]
    bad = ROW.format("100000001", "10").replace("2022-05-22", "31/02/2026").replace("MAY", "JUN")
    text = of_service(*good, ("999999999", "1"), ("12345678", "1"), ("100000001", "11"), ("100000002", "10"))
    report = import_file(store, "bills", file(text + "\n" + bad + "\n" + bad + ",x,y\n"), hooks=calls.hooks)
    assert report.counts == Counts(len(good), 0, 1)
    assert report.side == file("", "y").with_name("in.left-out.csv")
    assert left_out(report.side) == [
        ("13", "no consumer has this CA number: import the consumers first"),
        ("14", "CANumber '12345678' is too short for a CA number: a spreadsheet may have dropped its leading zeros; "
               "make the column text"),
        ("15", "says otherwise than row 2 about the same account and month: keep one"),
        ("18", "DueDate '31/02/2026' is not a day: write it as 28-02-2026"),
        ("19", "the row has more cells than the header: is a delimiter inside a cell that is not quoted?"),
    ]  # fmt: skip
    assert len(calls.bills) == len(good)


def test_a_mended_side_file_can_be_imported(store: Store, file: Callable[..., Path]) -> None:
    report = import_file(
        store, "consumers", file("CANumber,ConsumerName,Address\n100000001,A,=x\n70000000,B,+y z\n100000002,C,\n")
    )
    assert report.side
    side = report.side.read_text(encoding="utf-8-sig")
    assert "'+y z" in side
    mended = import_file(store, "consumers", file(side.replace(",70000000,", ",700000007,"), "mended.csv"))
    assert mended.counts == Counts(1, 0, 0)
    assert store.database.rows("select address_latin from consumer where account = '700000007'") == [("+y z",)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"  \n \n", "the file is empty"),
        (b"CANumber,Amount\n", "no column for billing month: call it BillMonth, or use --map"),
        (HEADER.encode() + b"\n", "a header and no rows"),
        (HEADER.replace("Address", "Amount").encode() + b"\n", "'Amount' twice"),
        (of_service(("100000001", "x"), ("100000002", "y"), ("100000003", "1")).encode(), "2 of 3 rows cannot be used"),
        (of_service(("100000001", "1")).encode() + b'100000002,"open\n', "after row 2: .*quotation mark"),
        (of_service(*[("100000001", "1")] * 20_000).encode() + b"\x81", "Windows-1252|cp1252"),
        (b"PK\x03\x04 no workbook", "not a workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel file .*password"),
        (b",,,,\n,,,,\n", "no header row"),
        (b"CANumber," + b"x" * 200_000 + b"\n1,2\n", "the header row: field larger"),
    ],
)
def test_a_file_bad_as_a_whole_changes_nothing(store: Store, tmp_path: Path, content: bytes, reason: str) -> None:
    before = everything(store)
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=reason) as error:
        import_file(store, "bills", path)
    assert "\n" not in str(error.value)
    assert everything(store) == before
    assert store.count("intake") == 0


@pytest.mark.parametrize(("mapping", "reason"), [({"x": "account"}, "no column 'x'"), ({"Amount": "money"}, "no field 'money'")])
def test_a_wrong_mapping_is_said(store: Store, file: Callable[..., Path], mapping: dict[str, str], reason: str) -> None:
    with pytest.raises(BadFile, match=reason):
        import_file(store, "bills", file(of_service(("100000001", "1"))), mapping=mapping)


def test_a_damaged_workbook_changes_nothing(store: Store, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for _ in range(3000):
        book.active.append(["CANumber", "BillMonth", "Amount", "DueDate"])
    book.save(tmp_path / "in.xlsx")
    whole = bytearray((tmp_path / "in.xlsx").read_bytes())
    sheet = whole.find(b"sheet1.xml")
    whole[sheet + 400 : sheet + 900] = b"\0" * 500
    (tmp_path / "in.xlsx").write_bytes(whole)
    with pytest.raises(BadFile, match="workbook"):
        import_file(store, "bills", tmp_path / "in.xlsx")


def test_whatever_bytes_are_damaged_a_workbook_is_refused_in_words(tmp_path: Path) -> None:
    book, chance = openpyxl.Workbook(), random.Random(1)
    for _ in range(50):
        book.active.append(["CANumber", "BillMonth", "Amount", "DueDate"])
    book.save(tmp_path / "in.xlsx")
    whole, refused = (tmp_path / "in.xlsx").read_bytes(), 0
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 2, 5, 20))):
            damaged[chance.randrange(4, len(damaged))] = chance.randrange(256)
        (tmp_path / "in.xlsx").write_bytes(damaged)
        try:
            with open_sheet(tmp_path / "in.xlsx", bool) as sheet:
                list(sheet.rows)
        except BadFile:
            refused += 1
    assert refused > 100


def test_a_workbook_with_a_password_or_only_a_chart_is_refused_in_words(store: Store, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.save(tmp_path / "password.xlsx")
    locked = bytearray((tmp_path / "password.xlsx").read_bytes())
    for entry in re.finditer(b"PK\x01\x02", bytes(locked)):
        locked[entry.start() + 8] |= 1
    (tmp_path / "password.xlsx").write_bytes(locked)
    book.create_chartsheet("c", 0)
    book.save(tmp_path / "chart.xlsx")
    for name in ("password", "chart"):
        with pytest.raises(BadFile, match="without password and charts"):
            import_file(store, "bills", tmp_path / f"{name}.xlsx")


# --- once only --------------------------------------------------------------------------------------------------------


def test_the_same_file_again_does_nothing(store: Store, file: Callable[..., Path], calls: Calls) -> None:
    path = file(of_service(*[(account, "77") for account in ACCOUNTS]))
    import_file(store, "bills", path, hooks=calls.hooks)
    before = everything(store)
    report = import_file(store, "bills", path, hooks=calls.hooks)
    assert report.already
    assert report.lines()[0].startswith("nothing to do: this file was imported on ")
    assert everything(store) == before
    assert len(calls.bills) == len(ACCOUNTS)


def test_only_what_differs_is_told(store: Store, file: Callable[..., Path], calls: Calls) -> None:
    import_file(store, "bills", file(of_service(("100000001", "77"), ("100000002", "78"))), hooks=calls.hooks)
    report = import_file(store, "bills", file(of_service(("100000001", "77.00"), ("100000002", "79"))), hooks=calls.hooks)
    assert report.counts == Counts(0, 1, 1)
    assert [(bill.amount, is_new) for bill, is_new in calls.bills] == [(7700, True), (7800, True), (7900, False)]


@pytest.mark.parametrize("kind", ["consumers", "bills", "phones"])
def test_a_dry_run_changes_nothing_and_counts_rightly(store: Store, file: Callable[..., Path], calls: Calls, kind: str) -> None:
    before = everything(store)
    path = file(of_service(("100000001", "77"), ("100000002", "78"), ("100000002", "78"), ("100000003", "x")))
    dry = import_file(store, kind, path, hooks=calls.hooks, dry_run=True)
    assert everything(store) == before
    assert store.count("intake") == 0
    assert (calls.bills, calls.phones) == ([], [])
    real = import_file(store, kind, path, hooks=calls.hooks)
    assert (dry.counts, dry.left_out) == (real.counts, real.left_out)


# --- killed in the middle ---------------------------------------------------------------------------------------------

WORKER = """
import sys, time
from pathlib import Path
from flows.records import Bill
from gateway import intake
from gateway.store import open_store

intake.MOST_ROWS = intake.LEAST_ROWS = 100
store = open_store(sys.argv[1])

def called(account, bill, is_new):
    store.database.run("insert into called values (?)", (account,))
    time.sleep(0.001)

def progress(what, done, whole):
    print(what, flush=True)
    time.sleep(0.01)

intake.import_file(store, "bills", Path(sys.argv[2]), hooks=intake.Hooks(bill_arrived=called), progress=progress)
"""
MANY = 3_000


@pytest.fixture
def many(store: Store, file: Callable[..., Path]) -> Path:
    """A file of many bills for as many consumers."""
    accounts = [f"{700000000 + number}" for number in range(MANY)]
    names = "".join(f"{account},Name\n" for account in accounts)
    import_file(store, "consumers", file(f"account,name\n{names}", "names.csv"))
    with store.write():
        store.database.run("create table called (account text)")
    return file(of_service(*[(account, "10") for account in accounts]), "many.csv")


@pytest.mark.parametrize("phase", ["Reading", "Taking into use"])
def test_a_kill_in_the_middle_is_all_or_nothing(store: Store, many: Path, phase: str) -> None:
    bills = store.count("bill")
    command = [sys.executable, "-c", WORKER, f"sqlite:///{store.database.path}", str(many)]  # type: ignore[attr-defined]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        assert process.stdout
        seen = 0
        for line in process.stdout:
            seen += line.startswith(phase)
            if seen == 5:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (state,) = store.database.rows("select state from intake where kind = 'bills'")[0]
    assert state == ("reading" if phase == "Reading" else "ready")
    if phase == "Reading":
        assert store.count("bill") == bills
    else:
        assert bills < store.count("bill") < bills + MANY

    def called(account: str, bill: Bill, is_new: bool) -> None:
        store.database.run("insert into called values (?)", (account,))

    report = import_file(store, "bills", many, hooks=Hooks(bill_arrived=called))
    assert (report.read, report.counts) == (MANY, Counts(MANY, 0, 0))
    assert store.count("bill") == bills + MANY
    assert store.database.rows("select count(*), count(distinct account) from called") == [(MANY, MANY)]
    assert (store.count("intake_row"), store.count("intake")) == (0, 2)


def test_a_hook_that_fails_undoes_its_group_and_is_called_again_later(
    store: Store, file: Callable[..., Path], calls: Calls
) -> None:
    def broken(account: str, bill: Bill, is_new: bool) -> None:
        raise RuntimeError("no outbox")

    bills = store.count("bill")
    with pytest.raises(RuntimeError):
        import_file(store, "bills", file(of_service(("100000001", "77"))), hooks=Hooks(bill_arrived=broken))
    assert store.count("bill") == bills
    assert [report.counts for report in finish(store, calls.hooks).values()] == [Counts(1, 0, 0)]
    assert len(calls.bills) == 1


def test_a_worker_takes_up_what_a_dead_command_left(store: Store, file: Callable[..., Path], calls: Calls) -> None:
    def broken(account: str, bill: Bill, is_new: bool) -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        import_file(store, "bills", file(of_service(("100000001", "77"))), hooks=Hooks(bill_arrived=broken))
    store.database.run("update intake set worker = 'another:1:x'")
    now = datetime.now(UTC)
    assert not resume(store, calls.hooks, lambda: now), "it may be alive"
    later = now + timedelta(seconds=61)
    assert resume(store, calls.hooks, lambda: later)
    assert resume(store, calls.hooks, lambda: later), "the rest, which is nothing"
    assert not resume(store, calls.hooks, lambda: later)
    assert len(calls.bills) == 1
    assert store.database.rows("select state from intake") == [("done",)]


def test_a_worker_may_finish_what_a_command_has_read(store: Store, file: Callable[..., Path], calls: Calls) -> None:
    def progress(what: str, done: int, whole: int) -> None:
        if what == "Taking into use":
            finish(store, calls.hooks)

    report = import_file(store, "bills", file(of_service(("100000001", "77"))), hooks=calls.hooks, progress=progress)
    assert report.counts == Counts(1, 0, 0)
    assert len(calls.bills) == 1


def test_a_file_in_the_hands_of_another_is_not_taken_twice(store: Store, many: Path) -> None:
    inside: list[str] = []

    def progress(what: str, done: int, whole: int) -> None:
        if what == "Reading" and not inside:
            inside.append(what)
            with pytest.raises(BadFile, match="by another command"):
                import_file(store, "bills", many)

    import_file(store, "bills", many, progress=progress)
    assert inside


# --- beside live traffic ----------------------------------------------------------------------------------------------


class Counting:
    """A database that counts the rows of each transaction."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.rows_now, self.most, self.transactions = inner, 0, 0, 0
        self.longest = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @contextmanager
    def write(self, keys: Sequence[str] = ()) -> Iterator[None]:
        self.rows_now, began = 0, time.monotonic()
        with self.inner.write(keys):
            yield
        self.most, self.transactions = max(self.most, self.rows_now), self.transactions + 1
        self.longest = max(self.longest, time.monotonic() - began)

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        self.rows_now += len(rows)
        self.inner.many(sql, rows)


def test_no_transaction_is_long(store: Store, many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_ROWS", 500)
    counting = Counting(store.database)
    import_file(Store(counting), "bills", many)
    assert 0 < counting.most <= 500
    assert counting.transactions >= 2 * MANY / 500


# --- readers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "paise"), [
    ("1240", 124000), ("1,240.50", 124050), ("1,24,050", 12405000), ("-150", -15000), ("Rs. 1240/-", 124000), ("₹ 5", 500),
    ("१२४०", 124000), ("12.5", 1250), ("12.500", 1250), ("0", 0), ("+3", 300)])  # fmt: skip
def test_rupees(cell: str, paise: int) -> None:
    assert fields.rupees(cell) == paise


@pytest.mark.parametrize("cell", ["", "abc", "1.240,50", "12.345", "1e5", "9" * 30, "1,2", "--5", "12 40", "nan", "5,"])
def test_not_rupees(cell: str) -> None:
    with pytest.raises(Wrong):
        fields.rupees(cell)


@pytest.mark.parametrize("cell", ["2022-05-22", "22-05-2022", "22/05/2022", "22.5.22", "22-MAY-2022", "22 May 2022", "20220522",
                                  "2022-05-22 13:30:20", "2022-05-22T13:30:20+05:30", "22/05/2022 1:30 PM", "२२-०५-२०२२"])  # fmt: skip
def test_day(cell: str) -> None:
    assert fields.day(cell) == "2022-05-22"


@pytest.mark.parametrize(
    "cell", ["MAY-2022", "May 22", "may'22", "05-2022", "5/2022", "2022-05", "202205", "2022-05-17", "01-05-2022"]
)
def test_month(cell: str) -> None:
    assert fields.month(cell) == "2022-05-01"


@pytest.mark.parametrize("cell", ["9812345678", "+91 98123 45678", "919812345678", "09812345678", "98123-45678", "९८१२३४५६७८"])
def test_phone(cell: str) -> None:
    assert fields.phone(cell) == "+919812345678"


@pytest.mark.parametrize("cell", ["1912", "4812345678", "9999999999", "+14155550100", "9812345678, 9812345679", "98123456789"])
def test_not_a_phone(cell: str) -> None:
    with pytest.raises(Wrong):
        fields.phone(cell)


@pytest.mark.parametrize(("cell", "watts"), [("2", 2000), ("2.5 kW", 2500), ("5 HP", 3730), ("10KVA", 9000), ("500 W", 500)])
def test_load(cell: str, watts: int) -> None:
    assert fields.watts(cell) == watts


@pytest.mark.parametrize("cell", ["100000001", "CA 100000001", "ca-no.100000001", "100 000 001", "१०००००००१"])
def test_account(cell: str) -> None:
    assert fields.kinds()["bills"].field("account").read(cell) == "100000001"


ALL = [one for kind in fields.kinds().values() for one in kind.fields]
TYPED = st.text(alphabet="0123456789०५९ ,.-/+:eE₹RsMAYkWHPca\u200d\x00\n'", max_size=25)


@pytest.mark.parametrize("one", {one.name: one for one in ALL}.values(), ids=lambda one: one.name)
@given(cell=st.text(max_size=300) | TYPED)
def test_a_reader_reads_or_says_why(one: fields.Field, cell: str) -> None:
    try:
        value = one.read(cell)
    except Wrong as why:
        reason = str(why)
        assert reason.isprintable()
    else:
        assert isinstance(value, str | int)
        if isinstance(value, str):  # a number is kept in paise or watts and written in rupees or kilowatts
            assert one.read(value) is not None


@given(st.integers(-(10**11), 10**11))
def test_every_amount_comes_back(paise: int) -> None:
    sign, whole = ("-" if paise < 0 else ""), abs(paise)
    assert fields.rupees(f"{sign}{whole // 100:,}.{whole % 100:02}") == paise


@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)))
def test_every_day_comes_back(day: date) -> None:
    for form in ("%Y-%m-%d", "%d-%m-%Y", "%d/%m/%y", "%d-%b-%Y", "%Y%m%d", "%d.%m.%Y 10:15"):
        assert fields.day(day.strftime(form)) == day.isoformat()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_an_import_and_a_hop_that_wait_for_each_other_are_both_done(gateway: Gateway, database: str, tmp_path: Path) -> None:
    """They tell two phones in opposite order: PostgreSQL undoes the import's transaction, which is taken again."""
    store, hooks = gateway.store, gateway.billing().hooks
    rows = store.database.rows("select account, min(phone) from link where confirmed = 1 group by account order by account")
    (_, first), (_, last) = rows[0], rows[-1]
    bills = "".join(f"{account},2026-06,100,2026-07-20\n" for account, _ in rows)
    (tmp_path / "bills.csv").write_text(f"CANumber,Month,Amount,Due\n{bills}")
    told, go, lost = threading.Event(), threading.Event(), list[str]()

    def slow(account: str, bill: Bill, is_new: bool) -> None:
        assert hooks.bill_arrived
        hooks.bill_arrived(account, bill, is_new)
        lost.append(account)
        if not told.is_set():
            told.set()
            go.wait(10)

    def hop() -> None:
        other = open_store(database)
        told.wait(10)
        with other.write([first, last]):
            other.keep_conversations([Conversation(last)], gateway.hop.clock())
            other.database.rows("select 1")  # an insert goes along with the next statement
            go.set()
            time.sleep(0.3)
            other.keep_conversations([Conversation(first)], gateway.hop.clock())
        other.close()

    thread = threading.Thread(target=hop)
    thread.start()
    report = import_file(store, "bills", tmp_path / "bills.csv", hooks=Hooks(bill_arrived=slow))
    thread.join()
    assert len(lost) > len(rows), "they did wait for each other"
    assert (report.counts.new, store.database.rows("select count(*) from bill where month = '2026-06-01'")) == (
        len(rows), [(len(rows),)]
    )  # fmt: skip


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command(store: Store, file: Callable[..., Path], calls: Calls) -> None:
    main = OneLine(commands=[import_command(lambda: Opened(store, r"\d{9,11}", calls.hooks))])
    path = file(of_service(("100000001", "77"), ("100000002", "78"), ("100000003", "x")).replace("DueDate", "Antim"))
    run = CliRunner().invoke(main, ["import", "bills", str(path), "--map", "Antim=due"])
    assert run.exit_code == 0
    assert run.stdout.splitlines() == [
        "bills: 3 rows read", "2 new, 0 changed, 0 unchanged, 1 left out, reasons in in.left-out.csv"]  # fmt: skip
    again = CliRunner().invoke(main, ["import", "bills", str(path), "--map", "Antim=due"])
    assert again.exit_code == 0
    assert again.stdout.startswith("nothing to do")
    failed = CliRunner().invoke(main, ["import", "bills", str(path)])
    assert str(failed.exception) == "gateway: in.csv: the file has no column for last day to pay: call it DueDate, or use --map"
    wrong = CliRunner().invoke(main, ["import", "bills", str(path), "--map", "Antim"])
    assert str(wrong.exception) == "gateway: --map 'Antim': write it as 'Their column=our_field'"
