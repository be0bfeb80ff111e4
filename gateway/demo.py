"""The demo town: a Buxar of invented people, the same from the same seed and day, for `make run`, the tests and the benches.

Its dates are told from the day it is built. Its phones begin with 5, as no Indian mobile does, its CA numbers with 555. The
money comes from the demonstration tariff: the product itself computes no bill.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from importlib import resources
from typing import Any, NamedTuple

from flows.casework import CASES, Work, stops
from flows.records import Area, File, Join, replace
from flows.transformer import feeder_asset
from flows.verhoeff import with_check_digit
from gateway.records import Inbound
from gateway.store.cases import Cases
from gateway.store.sql import Database, Store, millis
from gateway.store.staff import Account as StaffAccount
from gateway.store.staff import StaffBook
from gateway.tariff import charges

SEED = 1912
#: The town of the newspaper report: consumers, phones linked by meter readers, people with arrears, and its transformers.
CONSUMERS, PHONES, ARREARS, TRANSFORMERS = 22_500, 20_000, 6_000, 150
#: Months of bills kept, and days from a bill to its due day.
MONTHS, DAYS_TO_PAY = 3, 15

Limits = Mapping[tuple[str, Area], timedelta]
Progress = Callable[[int, int], None]
Both = Sequence[str]  # a name in Devanagari and in Latin letters
Phones = Mapping[str, str]  # the first phone of each account that has one


# --- the phones to choose from ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DemoPhone:
    """A phone worth trying: `label` is its word on the phone page, `account` its oldest linked account, if any."""

    phone: str
    label: str
    account: str = ""


@dataclass(frozen=True, slots=True)
class Home:
    """An account made to measure: how it pays, its units a month and what else must be so."""

    kind: str = "paid"
    units: int = 212
    category: str = "DS-II"
    load: int = 2000


#: Whom the phones +915550000001, 2, 3 ... belong to, and the accounts they are linked to.
CAST: tuple[tuple[str, tuple[Home, ...]], ...] = (
    ("one", (Home(),)),
    ("free", (Home(units=96, load=1000),)),
    ("prepaid", (Home("prepaid"),)),
    ("several", (Home(units=188), Home(units=640, category="NDS-II", load=7000), Home("arrears", 140, "DS-I", 1000))),
    ("arrears", (Home("arrears", 171),)),
    ("average", (Home("locked", 160),)),
    ("new", (Home("new"),)),
    ("dark", (Home(units=233),)),
    ("waiting", (Home("stopped", 150),)),
)
#: The label of each account of the cast, in order: they come first in the town.
LABELS = [label for label, homes in CAST for _ in homes]
#: How many neighbours share the transformer of `dark` even in the smallest town.
NEIGHBOURS = 5
UNLINKED, READER = "+915559999999", "+915558000001"
#: The meter reader's number on the card, and the accounts of the round.
STAFF, ROUND = "4471", 300


def phone_number(number: int) -> str:
    """The demo's phones by number: +91 555 and seven digits."""
    return f"+91555{number:07d}"


def demo_phones(store: Store) -> list[DemoPhone]:
    """The phones to choose from, in the order of the phone page. On a database without the demo town: those without account."""
    cast = {phone_number(number): label for number, (label, _) in enumerate(CAST, 1)}
    linked = store.linked(list(cast))
    known = [DemoPhone(phone, label, own[0].account) for phone, label in cast.items() if (own := linked[phone].consumers)]
    return [DemoPhone(UNLINKED, "unlinked"), *known, DemoPhone(READER, "reader")]


# --- the town ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transformer:
    """A transformer, where it stands, and the days since the readers were there."""

    code: str
    place: Both
    pin: str
    feeder: str
    section: str
    area: Area
    read_ago: int


@dataclass(slots=True)
class Account:
    """A consumer in the making."""

    number: str
    name: Both
    address: Both
    meter: str
    at: Transformer
    home: Home
    read_on: date
    known: bool  # whether the company knows its transformer
    reading: int = 0  # what the meter showed last


@dataclass(slots=True)
class Rows:
    """The rows of the tables that follow an account."""

    consumer: list[Sequence[object]] = field(default_factory=list)
    bill: list[Sequence[object]] = field(default_factory=list)
    payment: list[Sequence[object]] = field(default_factory=list)


def build_town(
    store: Store, now: datetime, *, limits: Limits, consumers: int = CONSUMERS, progress: Progress = lambda part, whole: None
) -> None:
    """Fill an empty store with the town, in one transaction; a smaller one keeps the proportions."""
    words = tomllib.loads(resources.files("gateway").joinpath("demo.toml").read_text(encoding="utf-8"))
    chance = random.Random(SEED)
    transformers, today = list(_transformers(words)), now.date()
    accounts = list(_accounts(chance, words, transformers, consumers, today))
    progress(2, 10)
    rows = Rows()
    for account in accounts:
        _ledger(chance, account, today, rows)
    links = _links(chance, accounts, consumers * PHONES // CONSUMERS)
    connected = {account.number for account in accounts if account.home.kind == "new"}
    progress(4, 10)
    put = partial(_put, store.database)
    with store.write():
        sections = [(s["code"], *s["name"], s["area"], *s["centre"]) for s in words["section"]]
        put("section", "code, name_deva, name_latin, area, centre_deva, centre_latin", sections)
        put("feeder", "code, name_deva, name_latin", [(f["code"], *f["name"]) for f in words["feeder"]])
        put("feeder_pin", "pin, feeder", sorted({(t.pin, t.feeder) for t in transformers}))
        put("consumer", CONSUMER, rows.consumer)
        progress(7, 10)
        put("bill", BILL, rows.bill)
        progress(8, 10)
        put("payment", "account, paid_on, receipt, amount", rows.payment)
        ago = [timedelta(days=2 if account in connected else chance.randrange(60, 900)) for _, account in links]
        linked = [(*link, millis(now - ago_), "reader", 1) for link, ago_ in zip(links, ago, strict=True)]
        put("link", "phone, account, linked_at, how, confirmed", linked)
        home = accounts[0].at.section
        postpaid = [a.number for a in accounts if a.at.section == home and a.home.kind not in PREPAID][:ROUND]
        put("reader", "staff, phone, name_latin, section", [(STAFF, READER, "Suresh Paswan", home)])
        put("round", "account, staff, seq", [(account, STAFF, seq) for seq, account in enumerate(postpaid, 1)])
        progress(9, 10)
        for one in words["staff"]:
            seat = StaffAccount(one["name"], one["role"], tuple(one["sections"].split()), "hi", password="")
            StaffBook(store).keep(seat, now)
        _requests(store, chance, now, limits, accounts, {account: phone for phone, account in reversed(links)})
    store.database.look_anew()
    progress(10, 10)


CONSUMER = """account, name_deva, name_latin, address_deva, address_latin, meter, area, pin, section, feeder, transformer,
    category, load, phases, balance, balance_on"""
BILL = "account, month, number, due, issued, amount, current, arrears, surcharge, previous, present, units, basis, free"


def _put(database: Database, table: str, columns: str, rows: Sequence[Sequence[object]]) -> None:
    """Rows into a table."""
    marks = ", ".join("?" * len(columns.split(",")))
    database.many(f"insert into {table} ({columns}) values ({marks})", rows)  # noqa: S608 - names of ours


def _transformers(words: Mapping[str, Any]) -> Iterator[Transformer]:
    """Twenty-five on each feeder, five in each of its places."""
    areas = {section["code"]: section["area"] for section in words["section"]}
    each = TRANSFORMERS // sum(len(feeder["places"]) for feeder in words["feeder"])
    for feeder in words["feeder"]:
        places = [place for place in feeder["places"] for _ in range(each)]
        for number, (deva, latin, pin) in enumerate(places, 1):
            code, section = f"{feeder['code']}-{number:02d}", feeder["section"]
            yield Transformer(code, (deva, latin), pin, feeder["code"], section, areas[section], 1 + number * 11 % 27)


#: How the town pays and is metered, in shares of all accounts; arrears are counted, not shared.
KINDS = (("prepaid", 0.12), ("overdrawn", 0.02), ("credit", 0.02), ("locked", 0.02), ("stopped", 0.02), ("new", 0.004))
PREPAID = ("prepaid", "overdrawn")


def _accounts(
    chance: random.Random, words: Mapping[str, Any], transformers: Sequence[Transformer], count: int, today: date
) -> Iterator[Account]:
    """The cast first, each on a transformer of its own, then everybody else."""
    cast = [home for _, homes in CAST for home in homes]
    kinds = [kind for kind, share in KINDS for _ in range(round(count * share))]
    kinds += ["arrears"] * (count * ARREARS // CONSUMERS - sum(home.kind == "arrears" for home in cast))
    kinds += ["paid"] * (count - len(cast) - len(kinds))
    chance.shuffle(kinds)
    weights = {feeder["code"]: feeder["weight"] for feeder in words["feeder"]}
    crowd = chance.choices(transformers, [weights[t.feeder] * chance.uniform(0.4, 1.6) for t in transformers], k=count)
    town = [t for t in transformers if t.area == "urban"]
    village = [t for t in transformers if t.area == "rural"]
    crowd[len(cast) : len(cast) + NEIGHBOURS] = [town[7 * LABELS.index("dark")]] * NEIGHBOURS
    numbers = chance.sample(range(1_000_000), count)
    meters = chance.sample(range(1_000_000, 10_000_000), count)
    for index in range(count):
        if index < len(cast):
            home = cast[index]
            at = (village if home.category == "DS-I" else town)[7 * index]
        else:
            at = crowd[index]
            home = _home(chance, at.area, kinds[index - len(cast)])
        # Village accounts are the older, longer numbers: a zero in front that no spreadsheet may eat.
        number = f"555{numbers[index]:06d}" if at.area == "urban" else f"0555{numbers[index]:06d}"
        house = chance.randrange(1, 400)
        address = (f"मकान {house}, {at.place[0]}, बक्सर", f"House {house}, {at.place[1]}, Buxar")
        read_on = today - timedelta(days=3 if index < len(cast) else at.read_ago)
        yield Account(
            number, _name(chance, words["people"], home.category), address, f"BX{meters[index]}", at, home,
            read_on.replace(day=min(read_on.day, 28)), index < len(cast) or at.area == "urban" or chance.random() < 0.9,
        )  # fmt: skip


#: category: share, loads in watts (even odds), units a month from and to
URBAN = {
    "DS-II": (0.84, (1000, 1000, 2000, 2000, 3000, 4000, 6000), (30, 340)),
    "NDS-II": (0.145, (1000, 2000, 2000, 4000, 5000, 7000, 12000), (60, 900)),
    "LTIS-I": (0.015, (8000, 12000, 15000, 18000), (600, 4200)),
}
RURAL = {
    "DS-I": (0.70, (1000, 1000, 1000, 2000), (20, 260)),
    "KJ": (0.16, (250, 500), (8, 110)),
    "NDS-I": (0.08, (500, 1000, 2000), (40, 360)),
    "IAS-I": (0.055, (2000, 3700, 5600), (100, 900)),
    "LTIS-I": (0.005, (8000, 12000, 15000), (600, 3000)),
}


def _home(chance: random.Random, area: Area, kind: str) -> Home:
    table = URBAN if area == "urban" else RURAL
    category = chance.choices(list(table), [share for share, _, _ in table.values()])[0]
    if kind in PREPAID:
        category = "DS-II" if area == "urban" else "DS-I"
    _, loads, (least, most) = table[category]
    return Home(kind, chance.randrange(least, most), category, chance.choice(loads))


def _name(chance: random.Random, people: Mapping[str, Any], category: str) -> Both:
    """A person, or a shop or mill that bears a first or last name."""
    if category.startswith(("NDS", "LTIS")):
        owner, trade = chance.choice(people["last"] + people["men"]), people["mills" if category == "LTIS-I" else "shops"]
        return _joined(owner, chance.choice(trade))
    muslim = "muslim_" if chance.random() < 0.12 else ""
    if chance.random() < 0.3:
        return _joined(chance.choice(people[f"{muslim}women"]), chance.choice(people[f"{muslim}women_last"]))
    return _joined(chance.choice(people[f"{muslim}men"]), chance.choice(people[f"{muslim}last"]))


def _joined(first: Both, last: Both) -> Both:
    return f"{first[0]} {last[0]}", f"{first[1]} {last[1]}"


# --- money ------------------------------------------------------------------------------------------------------------


def _ledger(chance: random.Random, account: Account, today: date, rows: Rows) -> None:
    """An account's consumer row, its last bills and what was paid: each bill starts from what the one before left unpaid."""
    home, at = account.home, account.at
    balance = None
    if home.kind in PREPAID:
        balance = chance.randrange(200, 90_000) if home.kind == "prepaid" else -chance.randrange(100, 30_000)
        _pay(chance, account, today - timedelta(days=chance.randrange(2, 25)), chance.choice((200, 300, 500, 1000)) * 100, rows)
    rows.consumer.append(
        (account.number, *account.name, *account.address, account.meter, at.area, at.pin, at.section, at.feeder,
         at.code if account.known else "", home.category, home.load, 3 if home.load >= 7000 else 1,
         balance, (today - timedelta(days=1)).isoformat() if balance is not None else None)
    )  # fmt: skip
    if home.kind in (*PREPAID, "new"):
        return
    reading = chance.randrange(400, 9000)
    owed = late = 0
    if home.kind == "arrears":
        owed = chance.randrange(300, 9000) * 100
        long_ago = account.read_on - timedelta(days=chance.randrange(120, 400))
        _pay(chance, account, long_ago, chance.randrange(2, 12) * 10_000, rows)
    elif home.kind == "credit":
        owed = -(charges(home.units, home.category, home.load).total * MONTHS + chance.randrange(100, 900) * 100)
    for ago in reversed(range(MONTHS)):
        issued = _months_before(account.read_on, ago)
        basis = {"locked": "LK", "stopped": "MD"}.get(home.kind, "OK") if ago == 0 or home.kind == "stopped" else "OK"
        units = home.units if ago == 0 else max(1, home.units + chance.randrange(-12, 13))
        present = reading + units if basis == "OK" else reading
        made = charges(units, home.category, home.load)
        current, amount = made.total, made.total + owed + late
        rows.bill.append(
            (account.number, issued.replace(day=1).isoformat(), f"555{chance.randrange(10**8):08d}",
             (issued + timedelta(days=DAYS_TO_PAY)).isoformat(), issued.isoformat(), amount, current, owed, late,
             reading, present, units, basis, int(made.free))
        )  # fmt: skip
        reading, owed, late = present, amount, 0
        account.reading = present
        if home.kind == "arrears":
            late = amount * 15 // 100_000 * 100  # one and a half percent a month
        elif ago and amount > 0:
            _pay(chance, account, issued + timedelta(days=chance.randrange(2, 14)), amount, rows)
            owed = 0


def _pay(chance: random.Random, account: Account, on: date, amount: int, rows: Rows) -> None:
    rows.payment.append((account.number, on.isoformat(), f"R{chance.randrange(10**8):08d}", amount))


def _months_before(day: date, count: int) -> date:
    """The same day some months before; days are 28 at most."""
    month = day.year * 12 + day.month - 1 - count
    return day.replace(year=month // 12, month=month % 12 + 1)


# --- phones -----------------------------------------------------------------------------------------------------------


def _links(chance: random.Random, accounts: Sequence[Account], phones: int) -> list[tuple[str, str]]:
    """Phone and account: mostly one to one; one phone in eighteen is a second one at home, some have two or three accounts."""
    numbers = iter([account.number for account in accounts])
    links = [(phone_number(n), next(numbers)) for n, (_, homes) in enumerate(CAST, 1) for _ in homes]
    cast, shared = len(CAST), phones // 18
    rest = list(numbers)
    chance.shuffle(rest)
    alone = phones - cast - shared
    links += [(phone_number(cast + n), account) for n, account in enumerate(rest[:alone], 1)]
    at_home = chance.sample(links[1:], shared)  # the phone `one` stays the only one of its account
    links += [(phone_number(cast + alone + n), account) for n, (_, account) in enumerate(at_home, 1)]
    more = rest[alone : alone + (len(rest) - alone) // 2]
    owners = chance.sample(range(cast + 1, cast + alone + 1), len(more) * 3 // 4)
    return links + [(phone_number(owners[n % len(owners)]), account) for n, account in enumerate(more)]


# --- requests ---------------------------------------------------------------------------------------------------------


JUNIOR_ENGINEER, CENTRE = "demo-je", "demo-centre"


class Taken(NamedTuple):
    """A step somebody of the staff took, the hours after what came before, and what was entered."""

    step: str
    after: float
    entered: Mapping[str, str] = {}
    by: str = JUNIOR_ENGINEER


@dataclass(frozen=True, slots=True)
class Filed:
    """A request: its service, the hours since it was filed, what was said, and the steps taken since.

    In what was said and entered `{pin}` is the PIN code of the place, `{feeder}` its feeder, `{reading}` what the meter shows
    and `{name}` the consumer's name. What was said about a PIN code names no account.
    """

    service: str
    ago: float
    said: Mapping[str, str]
    steps: tuple[Taken, ...] = ()
    whose: str = ""  # one of the cast; else somebody
    area: Area = "urban"
    reports: int = 1
    priority: bool = False


NEW_SHOP = {"use": "shop", "area": "town", "load": "12000", "pin": "{pin}", "near": "none"}
NEW_HOME = {"use": "home", "area": "town", "load": "6000", "pin": "{pin}", "near": "none"}
NEW_FARM = {"use": "farm", "area": "village", "load": "2000", "pin": "{pin}", "near": "none"}
TEAM, FITTED = {"team": "दल 2"}, {"old_reading": "{reading}", "new_meter": "BX0000555", "first_reading": "0"}
REQUESTS = (
    Filed("meter", 5, {"kind": "stopped", "supply": "yes", "reading": "unseen"}, (Taken("assign", 2, TEAM),), whose="waiting"),
    Filed("meter", 30, {"kind": "burnt", "supply": "no", "reading": "unseen"},
          (Taken("assign", 5, TEAM), Taken("inspect", 15, {"finding": "टर्मिनल जला"}))),
    Filed("meter", 2, {"kind": "stolen"}, area="rural"),
    Filed("meter", 700, {"kind": "display", "supply": "yes", "reading": "unseen"},
          (Taken("assign", 6, TEAM), Taken("inspect", 9, {"finding": "डिस्प्ले बंद"}), Taken("replace", 20, FITTED),
           Taken("bill", 300, {"corrected_bill": "38400"}))),
    Filed("meter_test", 96, {"kind": "fast", "supply": "yes", "reading": "{reading}"}, (Taken("ask_fee", 20, {"fee": "10000"}),)),
    Filed("transformer", 7, {"seen": "failed", "since": "today"},
          (Taken("verify", 1, {"finding": "बुशिंग जली"}), Taken("assign", 2, TEAM)), whose="dark", reports=4),
    Filed("transformer", 50, {"seen": "oil", "since": "today"},
          (Taken("verify", 4, {"finding": "तेल रिसा"}), Taken("assign", 6, TEAM), Taken("send", 24, {"transformer": "CH-3"})),
          area="rural", reports=6),
    Filed("transformer", 3, {"seen": "low_voltage", "since": "earlier", "pin": "{pin}", "feeder": "{feeder}"}, area="rural"),
    Filed("transformer", 400, {"seen": "sparks", "since": "today"},
          (Taken("verify", 2, {"finding": "वाइंडिंग जली"}), Taken("assign", 1, TEAM), Taken("send", 7, {"transformer": "CH-1"}),
           Taken("install", 6, {"transformer": "CH-1"}), Taken("charge", 2), Taken("restore", 1)), reports=9),
    Filed("name_transfer", 60, {"reason": "died"}, (Taken("ask_papers", 20, by=CENTRE),)),
    Filed("name_transfer", 120, {"reason": "bought"},
          (Taken("ask_papers", 20, by=CENTRE), Taken("accept", 70, {"name": "Savitri Devi", "papers": "seen"}, by=CENTRE))),
    Filed("disconnection", 210, {"term": "permanent", "reason": "moved", "last_four": "typed"},
          (Taken("confirm", 30, {"identity": "पहचान पत्र"}, by=CENTRE), Taken("read", 90, {"final_reading": "{reading}"}),
           Taken("bill", 40, {"bill_number": "55500001912", "final_bill": "38400"}, by=CENTRE))),
    Filed("disconnection", 6, {"term": "temporary", "reason": "closed", "last_four": "typed"}),
    Filed("new_connection", 72, NEW_SHOP,
          (Taken("ask_fee", 10, {"fee": "7500"}, by=CENTRE), Taken("fee_in", 26, {"receipt": "R55501912"}, by=CENTRE),
           Taken("accept", 20, {"name": "{name}", "address": "स्टेशन रोड", "papers": "seen", "receipt": "R55501912"},
                 by=CENTRE)), priority=True),
    Filed("new_connection", 20, NEW_HOME, (Taken("ask_fee", 4, {"fee": "7500"}, by=CENTRE),), priority=True),
    Filed("call_back", 4, NEW_FARM, (Taken("no_answer", 2, by=CENTRE),), area="rural"),
    Filed("reading", 26, {"wrong_reading": "{reading}"}, (Taken("assign", 20, TEAM),)),
)  # fmt: skip


def _requests(
    store: Store, chance: random.Random, now: datetime, limits: Limits, accounts: Sequence[Account], phones: Phones
) -> None:
    """File the requests as the hop does and take the steps as the desk does. One transformer has one request at most."""
    cast = dict(zip(LABELS, accounts, strict=False))
    crowd = [
        a for a in accounts[len(LABELS) :] if a.number in phones and a.known and a.home.kind == "paid" and a.home.load < 5000
    ]
    taken = {account.at.code for account in cast.values()}
    for index, (filed, serial) in enumerate(zip(REQUESTS, chance.sample(range(10_000), len(REQUESTS)), strict=True), 1):
        if filed.whose:
            whose = cast[filed.whose]
        else:
            whose = next(a for a in crowd if a.at.code not in taken and a.at.area == filed.area)
            taken.add(whose.at.code)
        reporters = [whose]
        if filed.service == "transformer":  # `dark` itself has not reported yet: its phone is there to join
            reporters = [account for account in crowd if account.at.code == whose.at.code][: filed.reports]
        at, limit = now - timedelta(hours=filed.ago), limits.get((filed.service, filed.area))
        ticket = with_check_digit(str(5_550_000 + serial))
        known = {"pin": whose.at.pin, "feeder": whose.at.feeder, "reading": str(whose.reading + 40), "name": whose.name[1]}
        by_pin, asset = "pin" in filed.said, ""
        if filed.service == "transformer":
            asset = feeder_asset(whose.at.feeder, whose.at.pin) if by_pin else f"dtr:{whose.at.code}"
        file = File(
            service=filed.service, ticket=ticket, account="" if by_pin else reporters[0].number, asset=asset, pin=whose.at.pin,
            details=_filled(filed.said, known), due=at + limit if limit else None, priority=filed.priority,
        )  # fmt: skip
        first, *others = dict.fromkeys(phones[one.number] for one in reporters)
        inbound = Inbound(f"demo:{index}", "phone", first, "ussd", "", at)
        store.keep_effect(file, inbound, at)
        for phone in others:
            store.keep_effect(Join(ticket), replace(inbound, phone=phone), at + timedelta(minutes=11))
        for step in filed.steps:
            at += timedelta(hours=step.after)
            _take(Cases(store), ticket, step._replace(entered=_filled(step.entered, known)), at)


def _filled(texts: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    return {field: text.format(**known) for field, text in texts.items()}


def _take(cases: Cases, ticket: str, step: Taken, at: datetime) -> None:
    """A step as gateway/casework.py takes it, but nobody is told: the town is built, not lived in."""
    request = cases.request(ticket)
    assert request is not None
    work = Work(request, step.by, "supervisor", cases.last_hand(ticket), at, timedelta(), timedelta())
    work.take(step.step)
    case = CASES[request.service]
    cases.move(ticket, work.state, open=work.state not in case.finished(), stops=stops(request.service, work.state),
               details={**request.details, **step.entered}, now=at)  # fmt: skip
    cases.event(ticket, at, f"step:{step.step}", step.by, "", dict(step.entered))
    if "name" in step.entered:
        cases.store.name_applicant(ticket, step.entered["name"])
