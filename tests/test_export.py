"""Exports: masked, safe in a spreadsheet, and a full one leaves its reason."""

from __future__ import annotations

import csv
from datetime import timedelta
from functools import partial
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gateway.export import export as export_as
from gateway.export import export_command
from gateway.oneline import OneLine
from gateway.sheets import CsvWriter, XlsxWriter, guarded
from gateway.staff import Staff
from gateway.store import Store, open_store
from gateway.store.sql import Outgoing, millis
from tests import town

ASHA = Staff("asha", "supervisor", ("*",))
export = partial(export_as, by=ASHA, now=town.BEGIN)
EVIL = ("=HYPERLINK(1)", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = open_store(f"sqlite:///{tmp_path}/x.db")
    with made.write():
        for number, text in enumerate(EVIL):
            at = town.BEGIN + timedelta(days=number)
            message = Outgoing("+919812345678", text, "gsm7", 1, "", "phone", "live", "", at, at)
            made.enqueue([message])
            made.database.run(
                "insert into reading (account, month, at, status, value, flag, staff, phone, previous, due_at) "
                "values (?, '2026-05-01', ?, 'OK', 7, ?, ?, '+919812345678', 1, 0)",
                (f"10000000{number}", millis(at), text, text),
            )
            made.database.run(
                "insert into request (ticket, service, state, open, account, asset, pin, phone, filed, since, due, priority, unverified, reports, details, inbound) "
                "values (?, 'meter', ?, 1, ?, '', '', '+919812345678', ?, ?, null, 0, 0, 1, '{}', ?)",
                (f"4000000{number}", text, f"10000000{number}", millis(at), millis(at), str(number)),
            )
    return made


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("kind", ["requests", "messages"])
def test_phones_and_accounts_show_their_last_digits_only(store: Store, tmp_path: Path, kind: str) -> None:
    assert export(store, kind, tmp_path / "x.csv") == len(EVIL)
    written = (tmp_path / "x.csv").read_text(encoding="utf-8-sig")
    assert "5678" in written
    assert "981234" not in written
    assert "100000001" not in written
    assert (tmp_path / "x.csv").stat().st_mode & 0o777 == 0o600


def test_readings_name_their_account_for_the_billing_system(store: Store, tmp_path: Path) -> None:
    assert export(store, "readings", tmp_path / "x.csv") == len(EVIL)
    assert cells(tmp_path / "x.csv")[1][3:6] == ["100000000", "OK", "7"]


def test_no_cell_of_a_csv_is_a_formula(store: Store, tmp_path: Path) -> None:
    export(store, "requests", tmp_path / "x.csv")
    place = cells(tmp_path / "x.csv")[0].index("state")
    assert [row[place] for row in cells(tmp_path / "x.csv")[1:]] == [f"'{text}" for text in EVIL]


def test_no_cell_of_a_workbook_is_a_formula(store: Store, tmp_path: Path) -> None:
    export(store, "messages", tmp_path / "x.xlsx", full=True, reason="an audit")
    sheet = openpyxl.load_workbook(tmp_path / "x.xlsx").worksheets[0]
    assert {cell.data_type for row in sheet.iter_rows() for cell in row if cell.value is not None} == {"s"}
    assert sheet.max_row == len(EVIL) + 1


@given(st.text(max_size=20))
def test_a_guarded_cell_never_begins_as_a_formula_unless_it_is_a_number(cell: str) -> None:
    safe = guarded(cell)
    if safe[:1] in ("=", "+", "-", "@", "\t", "\r"):
        float(safe)


def test_a_number_below_zero_stays_a_number() -> None:
    assert guarded("-150.50") == "-150.50"


def test_a_full_list_wants_a_reason_and_keeps_it(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--reason"):
        export(store, "messages", tmp_path / "x.csv", full=True, reason=" ")
    export(store, "messages", tmp_path / "x.csv", full=True, reason="complaint 7")
    assert "+919812345678" in (tmp_path / "x.csv").read_text(encoding="utf-8-sig")
    rows = store.database.rows("select who, what, subject, reason from audit")
    assert rows == [("asha", "export messages", "in full", "complaint 7")]


def test_everybody_gets_the_rows_of_their_sections(store: Store, tmp_path: Path) -> None:
    with store.write():
        store.database.run("update request set section = 'S2' where ticket = '40000003'")
    own, none = Staff("gita", "supervisor", ("S2", "S3")), Staff("har", "supervisor")
    assert export(store, "requests", tmp_path / "x.csv", by=own) == 1
    assert export(store, "requests", tmp_path / "x.csv", by=none) == 0
    assert export(store, "readings", tmp_path / "x.csv", by=own) == 0
    with pytest.raises(ValueError, match="every section"):
        export(store, "messages", tmp_path / "x.csv", by=own)


def test_since_leaves_out_what_is_older(store: Store, tmp_path: Path) -> None:
    assert export(store, "requests", tmp_path / "x.csv", town.BEGIN + timedelta(days=5)) == 2


def test_more_rows_than_one_group(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.export.GROUP", 2)
    assert export(store, "messages", tmp_path / "x.csv") == len(EVIL)
    assert len({row[0] for row in cells(tmp_path / "x.csv")}) == len(EVIL) + 1


def test_a_workbook_drops_what_it_cannot_hold(tmp_path: Path) -> None:
    for made in (XlsxWriter(tmp_path / "x.xlsx"), CsvWriter(tmp_path / "x.csv")):
        made.row(["a\x07b", "001"])
        made.close()
    assert [cell.value for cell in openpyxl.load_workbook(tmp_path / "x.xlsx").worksheets[0][1]] == ["ab", "001"]


def test_the_command(store: Store, tmp_path: Path) -> None:
    main = OneLine(commands=[export_command(lambda: store)])
    done = CliRunner().invoke(main, ["export", "requests", str(tmp_path / "x.csv"), "--since", "2026-05-30"])
    assert done.output.startswith("2 requests in")
    failed = CliRunner().invoke(main, ["export", "requests", str(tmp_path / "x.pdf")])
    assert str(failed.exception) == "gateway: x.pdf: the file's name must end in .csv or .xlsx"
