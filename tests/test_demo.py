"""The demo town: what it promises to hold, that its money and readings agree, and that it is nobody's."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest

from flows import FLOWS
from flows.casework import read
from flows.flow import is_open
from flows.verhoeff import verhoeff_ok
from gateway.app import Gateway, assemble
from gateway.check import check
from gateway.demo import CAST, build_town, demo_phones
from gateway.settings import load
from gateway.store import Store
from gateway.store.cases import Cases
from tests.conftest import BOTH_STORES

NOW = datetime(2026, 3, 31, 20, 15, tzinfo=UTC)  # the last of a long month, next to a short one
TABLES = ("section", "feeder", "feeder_pin", "consumer", "bill", "payment", "link", "request", "report", "event")
LATEST = "month = (select max(month) from bill l where l.account = b.account)"
MOBILE = re.compile(r"(?<!\d)(?:\+?91|0)?[6-9]\d{9}(?!\d)")


def town(folder: Path, **options: int) -> Gateway:
    gateway = assemble(load(_env_file=None, demo=True, database=f"sqlite:///{folder}/town.db"))
    build_town(gateway.store, NOW, limits=gateway.hop.policy.limits, **options)  # type: ignore[arg-type]
    return gateway


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    gateway = town(tmp_path_factory.mktemp("town"))
    yield gateway.store
    gateway.store.close()


def rows(store: Store, sql: str) -> list[tuple[object, ...]]:
    return store.database.rows(sql)


def one(store: Store, sql: str) -> int:
    (only,) = rows(store, sql)[0]
    assert isinstance(only, int)
    return only


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    return {table: sorted(rows(store, f"select * from {table}"), key=repr) for table in TABLES}


def test_it_is_as_large_as_the_report_says(store: Store) -> None:
    assert store.count("consumer") == 22_500
    assert store.count("feeder") == 6
    assert one(store, "select count(distinct transformer) from consumer where transformer <> ''") == 150
    assert one(store, "select count(distinct phone) from link") == 20_000
    assert one(store, f"select count(*) from bill b where arrears > 0 and {LATEST}") == 6_000


def test_phones_have_several_accounts_and_accounts_several_phones(store: Store) -> None:
    accounts = Counter(Counter(phone for (phone,) in rows(store, "select phone from link")).values())
    assert accounts.keys() == {1, 2, 3}
    assert min(accounts[2], accounts[3]) > 100
    phones = Counter(Counter(account for (account,) in rows(store, "select account from link")).values())
    assert phones.keys() == {1, 2}
    assert phones[2] > 1000
    assert one(store, "select count(*) from consumer where account not in (select account from link)") > 1000


@pytest.mark.parametrize(("what", "least"), [
    ("area = 'urban'", 15_000), ("area = 'rural'", 3_000), ("balance is not null", 3_000), ("balance < 0", 300),
    ("transformer = ''", 300), ("phases = 3", 500), ("account like '0%'", 3_000),
    *((f"category = '{category}'", 20) for category in ("DS-I", "DS-II", "KJ", "NDS-I", "NDS-II", "IAS-I", "LTIS-I")),
    ("balance is null and account not in (select account from bill)", 80),
    (f"account in (select account from bill b where amount = 0 and free = 1 and {LATEST})", 3_000),
    (f"account in (select account from bill b where amount < 0 and {LATEST})", 300),
    (f"account in (select account from bill b where basis = 'MD' and {LATEST})", 400),
    (f"account in (select account from bill b where basis = 'LK' and {LATEST})", 400),
    ("account in (select account from payment)", 15_000),
    ("pin not in (select pin from feeder_pin f where f.feeder = consumer.feeder) or section not in (select code from section)", 0),
])  # fmt: skip
def test_there_is_some_of_everything(store: Store, what: str, least: int) -> None:
    found = one(store, f"select count(*) from consumer where {what}")
    assert found >= least if least else found == 0


def test_every_name_stands_in_both_scripts(store: Store) -> None:
    for table, columns in (("consumer", ("name", "address")), ("section", ("name", "centre")), ("feeder", ("name",))):
        for column in columns:
            for deva, latin in rows(store, f"select {column}_deva, {column}_latin from {table}"):
                assert re.fullmatch(r"[\u0900-\u097f0-9 .,-]+", str(deva)), deva
                assert re.fullmatch(r"[A-Za-z0-9 .,-]+", str(latin)), latin
    words = tomllib.loads(resources.files("gateway").joinpath("demo.toml").read_text(encoding="utf-8"))
    assert all(len(pair) == 2 for names in words["people"].values() for pair in names)


def test_it_is_nobodys(store: Store) -> None:
    """No number in it could be a mobile: not of a phone, and not by chance as a bill's or a receipt's."""
    assert one(store, "select count(*) from link where phone not like '+91555%'") == 0
    for table in TABLES:
        text = " ".join(str(cell) for row in rows(store, f"select * from {table}") for cell in row if not isinstance(cell, int))
        assert not MOBILE.search(text), table


def test_money_and_readings_agree(store: Store) -> None:
    wrong = {
        "its parts": "amount <> current + arrears + surcharge",
        "whole rupees": "amount % 100 <> 0 or current % 100 <> 0 or arrears % 100 <> 0 or surcharge % 100 <> 0",
        "a reading": "basis = 'OK' and present - previous <> units",
        "an average": "basis <> 'OK' and (present <> previous or units <= 0)",
        "free units": "free = 1 and (units > 125 or current <> 0)",
        "a late charge": "surcharge <> 0 and arrears <= 0",
        "a prepaid bill": "account in (select account from consumer where balance is not null)",
        "a stranger": "account not in (select account from consumer)",
    }
    assert {why: one(store, f"select count(*) from bill where {sql}") for why, sql in wrong.items()} == dict.fromkeys(wrong, 0)


def test_each_bill_goes_on_from_the_one_before(store: Store) -> None:
    previous: dict[object, tuple[object, int, int]] = {}
    paid = {(account, amount) for account, amount in rows(store, "select account, amount from payment")}
    seen = 0
    for account, month, first, last, amount, arrears in rows(
        store, "select account, month, previous, present, amount, arrears from bill order by account, month"
    ):
        assert isinstance(last, int)
        assert isinstance(amount, int)
        if account in previous:
            before, reading, owed = previous[account]
            assert before != month
            assert first == reading
            assert arrears == (0 if owed > 0 and (account, owed) in paid else owed)
            seen += 1
        previous[account] = month, last, amount
    assert seen > 30_000


def test_all_of_it_is_in_the_past_but_what_is_due(store: Store) -> None:
    today = NOW.date()
    assert one(store, f"select count(*) from bill where issued >= '{today}' or issued < '{today - timedelta(days=125)}'") == 0
    assert one(store, "select count(*) from bill where month <> substr(issued, 1, 8) || '01' or due <= issued") == 0
    assert 0 < one(store, f"select count(*) from bill b where due > '{today}' and {LATEST}") < store.count("consumer")
    assert one(store, f"select count(*) from payment where paid_on > '{today}'") == 0
    at = round(NOW.timestamp() * 1000)
    for sql in ("select max(at) from event", "select max(at) from report", "select max(linked_at) from link"):
        assert one(store, sql) < at


def test_requests_are_filed_and_worked_off(store: Store) -> None:
    cases = Cases(store)
    found = [cases.request(str(ticket)) for (ticket,) in rows(store, "select ticket from request")]
    assert one(store, "select count(*) from request where open = 1") >= 12
    services = {request.service for request in found if request and is_open(request)}
    assert services == {service for service, _ in load(_env_file=None).policy().limits}
    assert len({(request.service, request.state) for request in found if request}) >= 14
    assert one(store, "select count(*) from request where section not in (select code from section)") == 0
    for request in found:
        assert request
        assert verhoeff_ok(request.ticket)
        assert len(request.ticket) == 8
        assert request.due
        by_pin = "pin" in request.details
        assert bool(request.account) != by_pin
        assert bool(request.asset) == (request.service == "transformer")
        first, *steps = cases.story(request.ticket)
        assert (first.what, first.who, first.at) == ("filed", request.phone, request.filed)
        assert [step.what for step in steps] == [f"step:{step.what.removeprefix('step:')}" for step in steps]
        assert not steps or steps[-1].at == request.since
        reporters = cases.phones(request.ticket)
        assert reporters[0] == (request.phone, request.filed)
        assert len(reporters) == request.reports
        flow = FLOWS[
            {"meter_test": "meter", "call_back": "new_connection", "reading": "bill"}.get(request.service, request.service)
        ]
        entered = {field for step in steps for field in step.entered}
        for field, value in request.details.items():
            if field in entered:
                assert read(field, value) == value or field in ("fee", "final_bill", "corrected_bill")  # kept in paise
            else:
                screen = flow.screens[field]
                assert value in screen.triggers or screen.items or "given" in screen.triggers, (field, value)


def test_the_checks_of_the_house_find_nothing(store: Store) -> None:
    assert check(store, NOW) == []


def test_the_phones_to_try_are_what_they_are_called(store: Store) -> None:
    phones = {phone.label: phone for phone in demo_phones(store)}
    assert list(phones) == ["unlinked", *(label for label, _ in CAST), "reader"]
    linked = {phone: of.consumers for phone, of in store.linked([phone.phone for phone in phones.values()]).items()}
    assert not linked["+915559999999"]
    assert [len(linked[phones[label].phone]) for label, _ in CAST] == [len(homes) for _, homes in CAST]
    assert {phones[label].account for label, _ in CAST} <= {c.account for consumers in linked.values() for c in consumers}
    (own,) = linked[phones["one"].phone]
    assert own.bill
    assert own.dues > 0
    assert own.bill.due > NOW.date()
    assert own.bill.arrears == 0
    (free,) = linked[phones["free"].phone]
    assert free.bill
    assert (free.bill.amount, free.bill.free) == (0, True)
    (prepaid,) = linked[phones["prepaid"].phone]
    assert prepaid.balance
    assert prepaid.balance > 0
    (average,) = linked[phones["average"].phone]
    assert average.bill
    assert average.bill.basis == "LK"
    (new,) = linked[phones["new"].phone]
    assert (new.bill, new.balance) == (None, None)
    (arrears,) = linked[phones["arrears"].phone]
    assert arrears.bill
    assert arrears.bill.arrears > arrears.bill.current
    (dark,) = linked[phones["dark"].phone]
    reported = rows(store, f"select phone, reports from request where asset = 'dtr:{dark.transformer}' and open = 1")
    assert len(reported) == 1
    assert not rows(store, f"select 1 from report where phone = '{phones['dark'].phone}'")
    assert rows(store, f"select service from request where phone = '{phones['waiting'].phone}' and open = 1") == [("meter",)]


def test_people_are_found_in_either_script(store: Store) -> None:
    for words in ("शत्रुघ्न", "Shatrughna", "चरित्रवन", "555"):
        assert store.search(words)


def test_the_same_seed_and_day_build_the_same_town(tmp_path: Path) -> None:
    towns = [town(tmp_path / name, consumers=1000).store for name in ("one", "again")]
    one, again = map(contents, towns)
    assert one == again
    for store in towns:
        store.close()


@BOTH_STORES
def test_a_small_town_keeps_its_phones_to_try(database: str, store: Store) -> None:
    told: list[tuple[int, int]] = []
    gateway = assemble(load(_env_file=None, demo=True, database=database))
    build_town(
        gateway.store,
        NOW,
        limits=gateway.hop.policy.limits,
        consumers=500,
        progress=lambda part, whole: told.append((part, whole)),
    )
    assert gateway.store.count("consumer") == 500
    assert [one.label for one in demo_phones(gateway.store)] == [one.label for one in demo_phones(store)]
    assert gateway.store.count("request") == store.count("request")
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    assert gateway.store.search("शत्रुघ्न")
    gateway.store.close()


def test_a_database_of_other_people_shows_no_demo_phone_as_linked(tmp_path: Path) -> None:
    gateway = assemble(load(_env_file=None, demo=True, database=f"sqlite:///{tmp_path}/empty.db"))
    assert [one.label for one in demo_phones(gateway.store)] == ["unlinked", "reader"]
    gateway.store.close()
