"""Store: every query of the product, once and named, over a database that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Struct

from flows.casework import CASES, stops
from flows.records import (
    INDIA,
    Answered,
    Cancel,
    Claim,
    Confirm,
    Consumer,
    Context,
    Conversation,
    Effect,
    Feeder,
    File,
    Guess,
    Join,
    Link,
    Mute,
    Name,
    Note,
    Reopen,
    Request,
    Take,
    Tell,
    Unlink,
    Watch,
)
from gateway.records import Answer, Inbound, Lane, OptOut, SessionEnd
from gateway.store.schema import MIGRATIONS
from messages.understand import fold

T = TypeVar("T")
#: Requests that say a bill may be wrong: no reminder of it goes out meanwhile.
DISPUTES = ("reading", "meter", "meter_test")
#: How often a transaction is tried that loses against others.
TRIES = 5
LANES: tuple[Lane, ...] = ("live", "notice", "bulk")
#: How many last digits of a phone a request is found by.
TAIL = 4


class Database(Protocol):
    """What a Store needs of SQLite or PostgreSQL."""

    name: str
    serial: str
    #: Ends a query of rows to be taken in hand: those another worker is just taking are left out.
    skip_locked: str
    clustered: str

    def write(self, keys: Sequence[str] = ()) -> AbstractContextManager[None]:
        """One transaction, in which nobody else writes for these phones (or whatever the keys name)."""

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]: ...
    def rows_in(self, sql: str, *values: Sequence[Any]) -> list[Any]:
        """The rows of a query in which each `in (?*)` or `values ?*` stands for any number of values (one sequence for each of
        them), or `values ?*` for any number of tuples; none for none. To join values costs less than to look in them, the least
        by a cross join: SQLite then takes one after the other and keeps no table of them."""

    def packed(self, columns: str) -> str:
        """Columns as one, in SQL: a JSON array, those in parentheses an array within it."""

    def run(self, sql: str, values: Sequence[object] = ()) -> int: ...
    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each row. If it says `on conflict do update`, no two rows have the same key."""

    def migrating(self) -> AbstractContextManager[None]:
        """One transaction that only one process of all machines is in, and may take its time."""

    def unhurried(self) -> AbstractContextManager[None]:
        """For upkeep: what this thread asks may take its time."""

    def look_anew(self) -> None:
        """After much was put in: let the planner of queries know of it."""

    def is_duplicate(self, error: Exception) -> bool: ...
    def is_trouble(self, error: Exception) -> bool: ...
    def enable_search(self) -> None: ...
    def search(self, words: str, limit: int) -> list[str]: ...
    def integrity(self) -> list[str]: ...
    def backup(self, path: Path) -> None: ...
    def close(self) -> None: ...


#: What caused a reminder or notice in the outbox begins like this.
CAMPAIGN = "campaign/"


def campaign_of(account: str) -> str:
    """What a reminder in the outbox says it was caused by: the account it is about."""
    return f"{CAMPAIGN}{account}"


class Conflict(Exception):
    """Somebody else was faster (another phone reported the same transformer): the hop is to be taken again, on new facts."""


def retried(transaction: Callable[[], T]) -> T:
    """Carry out a transaction, and again when the database undid it because it and another one waited for each other. Raises
    Conflict when it goes on losing."""
    for _ in range(TRIES - 1):
        with suppress(Conflict):
            return transaction()
    return transaction()


def millis(moment: datetime) -> int:
    """An aware time as kept."""
    return round(moment.timestamp() * 1000)


def moment(kept: int) -> datetime:
    """A kept time."""
    return datetime.fromtimestamp(kept / 1000, UTC)


class Known(Struct, frozen=True):
    """What the store knows of a phone: its conversation, today's wrong guesses, whether it wants no information messages,
    until when something it was told may be answered, and whether it may be a meter reader's."""

    conversation: Conversation
    guesses: int
    muted: bool
    told_until: int
    reads: bool


class Linked(NamedTuple):
    """The accounts linked to a phone, oldest link first, and which of them were noted for it and not confirmed yet."""

    consumers: tuple[Consumer, ...] = ()
    noted: frozenset[str] = frozenset()


NONE: frozenset[str] = frozenset()
NOTHING = Linked()


class Outgoing(Struct, frozen=True):
    """An SMS to be put into the outbox.

    `fresh_for` is how long a `fresh` message is worth sending, and how long one that nobody asked for may be. `information` is
    silenced by STOP; what `waits` nobody asked for: it is not sent in the quiet hours. `refused` says why it may not be sent at
    all: it is only kept.
    """

    phone: str
    text: str
    encoding: str
    parts: int
    template: str
    carrier: str
    lane: Lane
    delivery: str
    due_at: datetime
    created: datetime
    inbound: str = ""
    fresh_for: timedelta | None = None
    information: bool = False
    waits: bool = False
    refused: str = ""


_encode = msgspec.json.Encoder().encode
_conversation = msgspec.json.Decoder(Conversation).decode
_details = msgspec.json.Decoder(dict[str, str]).decode
_consumer = msgspec.json.Decoder(Consumer, strict=False).decode  # not strict: the databases keep booleans as 0 and 1

#: A connection, its latest bill and its last payment, each packed with the fields of its record in their order: what makes rows
#: dear are their columns (31 of them cost 70,000 instructions a phone, so packed 44,000), and a record is decoded in C.
_CONSUMER = (
    ("c.account, (c.name_deva, c.name_latin), c.meter, c.area, c.pin, c.section, c.feeder, c.transformer, c.load, c.phases, "
     "c.balance, c.balance_on", "{}"),
    ("l.account, number, month, due, amount, current, arrears, surcharge, previous, present, units, basis, free",
     "(select {} from bill l where l.account = c.account order by month desc limit 1)"),
    ("paid_on, amount, receipt",
     "(select {} from payment l where l.account = c.account order by paid_on desc, receipt desc limit 1)"),
)  # fmt: skip
_LINKED = """with asked (phone) as (values ?*) select k.linked_at, k.account, k.confirmed, a.phone, {}
    from asked a cross join link k join consumer c on c.account = k.account where k.phone = a.phone"""
_NAMED = "with asked (account) as (values ?*) select c.account, {} from asked a cross join consumer c where c.account = a.account"
_REQUESTS = "with p (phone) as (values ?*), a (account) as (values ?*), s (asset) as (values ?*), t (ticket) as (values ?*) " + (
    " union all ".join(
        f"""select r.ticket, service, state, filed, since, r.account, r.asset, r.phone, due, reports, details
            from {asked} cross join request r where {which}"""
        for asked, which in (
            ("p", "r.open = 1 and r.phone = p.phone"),
            ("a", "r.open = 1 and r.account = a.account"),
            ("s", "r.open = 1 and r.asset = s.asset"),
            ("t", "r.ticket = t.ticket"),
        )
    )
)


class Store:
    """The one door to what is kept. Methods that write belong inside `with store.write():` unless they say otherwise."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.write = database.write
        self._rows = database.rows
        self._rows_in = database.rows_in
        self._run = database.run
        consumer = ", ".join(source.format(database.packed(columns)) for columns, source in _CONSUMER)
        self._linked, self._named = _LINKED.format(consumer), _NAMED.format(consumer)

    # --- upkeep -----------------------------------------------------------------------------------------------------

    def migrate(self) -> None:
        """Bring the tables up to date; safe to run at every start, on several machines at once."""
        with self.database.migrating():
            self._run("create table if not exists migration (name text primary key, at bigint not null)")
            done = {row[0] for row in self._rows("select name from migration")}
            for name, statements in MIGRATIONS:
                if name not in done:
                    for statement in statements:
                        self._run(
                            statement.replace("{serial}", self.database.serial).replace("{clustered}", self.database.clustered)
                        )
                    self._run("insert into migration values (?, ?)", (name, round(time.time() * 1000)))
            self.database.enable_search()

    def close(self) -> None:
        """Close this thread's connection."""
        self.database.close()

    def claim(self, name: str, now: datetime, every: timedelta) -> bool:
        """Whether something that is done once in a while, whichever process does it, is due and now this one's turn."""
        self._run("insert into upkeep values (?, 0) on conflict do nothing", (name,))
        # a time in the future is a wrong clock's
        sql = "update upkeep set at = ? where name = ? and (at <= ? or at > ?)"
        return bool(self._run(sql, (millis(now), name, millis(now - every), millis(now))))

    # --- the hop: recall (for a whole group of phones at once, in one query each) -------------------------------------

    def visit(self, phones: Sequence[str], today: date) -> dict[str, Known]:
        """Each phone's conversation and what is kept beside it; a new phone has an empty one."""
        sql = """with asked (phone) as (values ?*) select c.phone, data, guesses, guess_day, muted, told_until,
                 exists (select 1 from reader r where r.phone = c.phone) from asked a cross join conversation c where c.phone = a.phone"""
        day = today.isoformat()
        known = {
            phone: Known(_conversation(data), guesses if guess_day == day else 0, bool(muted), told_until, bool(reads))
            for phone, data, guesses, guess_day, muted, told_until, reads in self._rows_in(sql, phones)
        }
        return {phone: known.get(phone) or Known(Conversation(phone), 0, False, 0, True) for phone in phones}

    def recall(self, phone: str, today: date) -> Known:
        """One phone's conversation and what is kept beside it."""
        return self.visit([phone], today)[phone]

    def answered(self, hops: Sequence[tuple[str, str]]) -> dict[str, Answer]:
        """What those of these inbounds (phone and id) that came before were answered, by id."""
        if not hops:
            return {}
        sql = """with asked (phone, id) as (values ?*)
                 select i.id, page, ends, screen, lang from asked a cross join inbound i where i.phone = a.phone and i.id = a.id"""
        rows = self._rows_in(sql, hops)
        return {id_: Answer(page, bool(ends), screen, lang) for id_, page, ends, screen, lang in rows}

    def linked(self, phones: Sequence[str]) -> dict[str, Linked]:
        """What is linked to each phone, each account with its latest bill and last payment."""
        rows = sorted(self._rows_in(self._linked, phones))  # here, since most have one: the server sorts all
        linked: dict[str, list[Consumer]] = {}
        noted: dict[str, set[str]] = {}
        for _, account, confirmed, phone, *columns in rows:
            linked.setdefault(phone, []).append(_consumer_of(*columns))
            if not confirmed:
                noted.setdefault(phone, set()).add(account)
        return {
            phone: Linked(tuple(linked[phone]), frozenset(noted[phone]) if phone in noted else NONE)
            if phone in linked
            else NOTHING
            for phone in phones
        }

    def consumers(self, accounts: Sequence[str]) -> dict[str, Consumer]:
        """Those of these accounts that exist."""
        if not accounts:
            return {}
        return {account: _consumer_of(*columns) for account, *columns in self._rows_in(self._named, accounts)}

    def consumer(self, account: str) -> Consumer | None:
        """One account, or None."""
        return self.consumers([account]).get(account)

    def feeders(self, pins: Sequence[str]) -> dict[str, tuple[Feeder, ...]]:
        """The feeders that serve each PIN code."""
        served: dict[str, tuple[Feeder, ...]] = dict.fromkeys(pins, ())
        if pins:
            sql = """select p.pin, f.code, f.name_deva, f.name_latin from feeder_pin p join feeder f on f.code = p.feeder
                     where p.pin in (?*) order by f.code"""
            for pin, code, deva, latin in self._rows_in(sql, pins):
                served[pin] += (Feeder(code, Name(deva, latin)),)
        return served

    def requests(
        self, phones: Sequence[str], accounts: Sequence[str], assets: Sequence[str], tickets: Sequence[str]
    ) -> list[Request]:
        """The open requests of phones, of accounts and about assets, and any named by ticket; the oldest first."""
        rows = {row[0]: row for row in self._rows_in(_REQUESTS, phones, accounts, assets, tickets)}
        return sorted(map(_request, rows.values()), key=lambda request: request.filed)

    def reported(self, phones: Sequence[str]) -> dict[str, frozenset[str]]:
        """The tickets of the requests that those phones have filed or joined who have."""
        sql = "with asked (phone) as (values ?*) select r.phone, ticket from asked a cross join report r where r.phone = a.phone"
        reported: dict[str, set[str]] = {}
        for phone, ticket in self._rows_in(sql, phones):
            reported.setdefault(phone, set()).add(ticket)
        return {phone: frozenset(tickets) for phone, tickets in reported.items()}

    def contexts(self, phone: str, now: datetime) -> tuple[Context, ...]:
        """What this phone was told and may still answer, newest first."""
        sql = "select id, kind, account, ref, until, at from told where phone = ? and until > ? and answered = 0 order by id desc"
        return tuple(
            Context(i, kind, account, ref, moment(until), moment(at))
            for i, kind, account, ref, until, at in self._rows(sql, (phone, millis(now)))
        )

    def language(self, phone: str) -> str:
        """The language a phone has chosen, or empty."""
        rows = self._rows("select data from conversation where phone = ?", (phone,))
        return _conversation(rows[0][0]).lang if rows else ""

    def phones_of(self, accounts: Sequence[str]) -> dict[str, list[str]]:
        """The phones linked to each account."""
        phones: dict[str, list[str]] = {account: [] for account in accounts}
        sql = "select account, phone from link where account in (?*) order by phone"
        for account, phone in self._rows_in(sql, accounts):
            phones[account].append(phone)
        return phones

    # --- the hop: keep ----------------------------------------------------------------------------------------------

    def keep_conversations(self, conversations: Sequence[Conversation], seen: datetime) -> None:
        """The phones' conversations as they stand after this hop."""
        sql = """insert into conversation (phone, data, seen) values (?, ?, ?)
                 on conflict (phone) do update set data = excluded.data, seen = excluded.seen"""
        at = millis(seen)
        self.database.many(sql, [(one.phone, _encode(one).decode(), at) for one in conversations])

    def keep_answers(self, answers: Sequence[tuple[Inbound, str, Answer]], micros: int) -> None:
        """The inbounds and what each was answered, with its text as it may be kept: without Aadhaar-looking numbers."""
        sql = "insert into inbound values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        rows = [(inbound.id, inbound.phone, inbound.channel, inbound.carrier, inbound.session, millis(inbound.at), text,
                 answer.screen, answer.lang, answer.page, int(answer.ends), micros) for inbound, text, answer in answers]  # fmt: skip
        self.database.many(sql, rows)

    def watch(self, begun: Sequence[Inbound], now: datetime) -> None:
        """Services were begun in these sessions: whose session drops is told once how to go on."""
        sql = """insert into watch (phone, carrier, session, at) values (?, ?, ?, ?)
                 on conflict (phone) do update set carrier = excluded.carrier, session = excluded.session, at = excluded.at"""
        self.database.many(sql, [(one.phone, one.carrier, one.session, millis(now)) for one in begun])

    def keep_effect(self, effect: Effect, inbound: Inbound, now: datetime) -> None:
        """Carry out one effect (the hop renders a Tell, and has Take and Watch kept). Raises Conflict."""
        phone, at = inbound.phone, millis(now)
        match effect:
            case File():
                self._file(effect, inbound, at)
            case Join(ticket, details):
                added = self._run(
                    "insert into report values (?, ?, ?, ?) on conflict do nothing",
                    (ticket, phone, at, _encode(details).decode()),
                )
                if added:
                    self._run("update request set reports = reports + 1 where ticket = ?", (ticket,))
            case Note(ticket, field, value):
                details = _details(self._rows("select details from request where ticket = ?", (ticket,))[0][0])
                kept = _encode({**details, field: value}).decode()
                self._run("update request set details = ? where ticket = ?", (kept, ticket))
                if field == "name":
                    self.name_applicant(ticket, value)
                self._event(ticket, at, f"note:{field}", phone)
            case Cancel(ticket, held):
                state = "held" if held else "cancelled"
                self._run(
                    """update request set state = ?, open = ?, since = ?, stopped = case when stopped > 0 then stopped else ? end
                       where ticket = ?""",
                    (state, int(held), at, at, ticket),
                )
                self._event(ticket, at, f"objection:{state}", phone)
            case Reopen(ticket):
                self._reopen(ticket, phone, at)
            case Link(account):
                self._run(
                    "insert into link values (?, ?, ?, 'self', 1) on conflict (phone, account) do update set confirmed = 1",
                    (phone, account, at),
                )
                self.phone_event(phone, now, "linked", account)
            case Unlink(account, other):
                self._run("delete from link where account = ? and phone = ?", (account, other))
                sql = """update outbox set state = 'dropped', note = 'unlinked meanwhile', settled = ?
                         where phone = ? and inbound = ? and state in ('waiting', 'stopped')"""
                self._run(sql, (at, other, campaign_of(account)))
                self.phone_event(other, now, "unlinked", account)
            case Guess():
                day = now.astimezone(INDIA).date().isoformat()
                self._run(
                    "update conversation set guesses = case when guess_day = ? then guesses + 1 else 1 end, guess_day = ? where phone = ?",
                    (day, day, phone),
                )
            case Answered(context):
                self._run("update told set answered = ? where id = ?", (at, context))
            case Mute(on):
                self.mute(phone, on, now, "word")
            case Confirm(account):
                self.confirm(phone, account, now)
            case Claim(account):
                self.clear_campaigns(account, now)
            case Tell() | Take() | Watch():
                raise TypeError(f"a {type(effect).__name__} is not the store's")

    def _file(self, file: File, inbound: Inbound, at: int) -> None:
        kind, _, code = file.asset.partition(":")
        sql = """insert into request (ticket, service, state, open, account, asset, pin, phone, filed, since, due, priority, unverified,
                 details, inbound, tail, stopped, section) values (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce(
                     (select section from consumer where account = ?), (select section from consumer where transformer = ? limit 1),
                     (select section from consumer where feeder = ? limit 1), (select section from consumer where pin = ? limit 1), ''))"""
        first = CASES[file.service].path[0]
        values = (file.ticket, file.service, first, file.account, file.asset, file.pin, inbound.phone, at, at,
                  millis(file.due) if file.due else None, int(file.priority), int(file.unverified),
                  _encode(file.details).decode(), inbound.id, inbound.phone[-TAIL:], at if stops(file.service, first) else 0,
                  file.account, code if kind == "dtr" else "", code.partition("/")[0] if kind == "feeder" else "", file.pin)  # fmt: skip
        try:
            self._run(sql, values)
        except Exception as error:
            if self.database.is_duplicate(error):
                raise Conflict(file.service) from error
            raise
        self._run("insert into report values (?, ?, ?, ?)", (file.ticket, inbound.phone, at, "{}"))
        self._event(file.ticket, at, "filed", inbound.phone)
        if file.service in DISPUTES:
            self.clear_campaigns(file.account, moment(at))

    def _reopen(self, ticket: str, phone: str, at: int) -> None:
        """Work on a finished request again; the time in which it was taken for finished does not count. When another one
        about the same thing is open by now, that one hears of it."""
        self._run(
            """update request set state = 'reopened', open = 1, since = ?, due = due + ? - stopped, stopped = 0
               where ticket = ? and open = 0 and not exists (select 1 from request o where o.open = 1 and
                   ((o.asset <> '' and o.asset = request.asset) or
                    (o.asset = '' and request.asset = '' and o.account <> '' and o.account = request.account and o.service = request.service)))""",
            (at, at, ticket),
        )
        sql = """select o.ticket from request r join request o on o.open = 1 and (o.ticket = r.ticket or (o.asset <> '' and o.asset = r.asset)
                 or (o.asset = '' and o.account <> '' and o.account = r.account and o.service = r.service)) where r.ticket = ?"""
        for (open_one,) in self._rows(sql, (ticket,)):
            self._event(open_one, at, "reopened", phone)

    def name_applicant(self, ticket: str, name: str) -> None:
        """Let a request be found by the name of who applied, in either script."""
        words = {fold(word) for word in name.split()} - {""}
        self.database.many(
            "insert into applicant values (?, ?) on conflict do nothing", [(word, ticket) for word in sorted(words)]
        )

    def _event(self, ticket: str, at: int, what: str, who: str) -> None:
        self._run("insert into event (ticket, at, what, who) values (?, ?, ?, ?)", (ticket, at, what, who))

    def confirm(self, phone: str, account: str, now: datetime) -> None:
        """The link of a phone that a meter reader noted is the person's own."""
        if self._run("update link set confirmed = 1 where phone = ? and account = ? and confirmed = 0", (phone, account)):
            self.phone_event(phone, now, "confirmed", account)

    def clear_campaigns(self, account: str, now: datetime) -> None:
        """Reminders and notices about an account that have not gone out yet are not sent any more."""
        sql = "update campaign_row set state = 'cleared', at = ? where account = ? and state = 'waiting'"
        self._run(sql, (millis(now), account))
        sql = """update outbox set state = 'dropped', note = 'paid or disputed meanwhile', settled = ?
                 where phone in (select phone from link where account = ?) and state in ('waiting', 'stopped') and inbound = ?"""
        self._run(sql, (millis(now), account, campaign_of(account)))

    def phone_event(self, phone: str, now: datetime, what: str, note: str = "") -> None:
        """Something about a phone worth a line in its history: linked, unlinked, muted."""
        self._run("insert into phone_event values (?, ?, ?, ?)", (phone, millis(now), what, note))

    def tell(self, phone: str, kind: str, account: str, ref: str, now: datetime, until: datetime) -> None:
        """Open a reply context: what a message we send to this phone may be answered with."""
        sql = "insert into told (phone, kind, account, ref, at, until) values (?, ?, ?, ?, ?, ?)"
        self._run(sql, (phone, kind, account, ref, millis(now), millis(until)))
        sql = """insert into conversation (phone, data, seen, told_until) values (?, ?, 0, ?)
                 on conflict (phone) do update set told_until = excluded.told_until
                     where conversation.told_until < excluded.told_until"""
        self._run(sql, (phone, _encode(Conversation(phone)).decode(), millis(until)))

    def mute(self, phone: str, on: bool, now: datetime, how: str) -> None:
        """Information messages to a phone off or on."""
        sql = """insert into conversation (phone, data, seen, muted) values (?, ?, 0, ?)
                 on conflict (phone) do update set muted = excluded.muted"""
        self._run(sql, (phone, _encode(Conversation(phone)).decode(), int(on)))
        self.phone_event(phone, now, "muted" if on else "unmuted", how)

    def enqueue(self, messages: Sequence[Outgoing]) -> None:
        """Put SMS into the outbox."""
        sql = """insert into outbox (phone, text, encoding, parts, template, carrier, lane, delivery, state, note, due_at,
                 created, inbound, expires, information, waits) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
        rows = [(one.phone, one.text, one.encoding, one.parts, one.template, one.carrier, LANES.index(one.lane), one.delivery,
                 "failed" if one.refused else "waiting", one.refused, millis(one.due_at), millis(one.created), one.inbound,
                 millis(max(one.due_at, one.created) + one.fresh_for) if one.fresh_for else None,
                 int(one.information), int(one.waits)) for one in messages]  # fmt: skip
        self.database.many(sql, rows)

    def quarantine(self, inbound: Inbound, door: str, why: str, now: datetime, masked: str) -> None:
        """Put aside an inbound that cannot be answered; `masked` as in `keep_answers`. One transaction of its own."""
        with self.write():
            self._run(
                "insert into quarantine values (?, ?, ?, ?, ?, ?) on conflict do nothing",
                (inbound.id, inbound.carrier, door, millis(now), why, masked),
            )

    def note(self, event: SessionEnd | OptOut, now: datetime) -> None:
        """What a carrier tells of a phone without waiting for an answer. One transaction of its own."""
        match event:
            case OptOut(carrier, phone):
                with self.write():
                    self.mute(phone, True, now, carrier)
            case SessionEnd(_, _, phone, status, error):
                with self.write():
                    self.phone_event(phone, now, "ussd-end", f"{status} {error}".strip())

    # --- reading for people -----------------------------------------------------------------------------------------

    def search(self, words: str, limit: int = 20) -> list[Consumer]:
        """Consumers by the beginnings of name (either script), address, account or meter number."""
        found = (self.consumer(account) for account in self.database.search(words, limit))
        return [consumer for consumer in found if consumer]

    def inbox(self, phone: str, after: int, limit: int = 50) -> list[tuple[int, str, str, int, str, datetime]]:
        """The messages sent to a phone after an id: id, text, encoding, parts, template, when."""
        sql = """select id, text, encoding, parts, template, settled from outbox
                 where phone = ? and id > ? and state in ('sent', 'delivered') order by id limit ?"""
        return [
            (i, text, enc, parts, template, moment(at))
            for i, text, enc, parts, template, at in self._rows(sql, (phone, after, limit))
        ]

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self._rows(f"select count(*) from {table}")[0][0])


def _consumer_of(connection: bytes, bill: bytes | None, payment: bytes | None) -> Consumer:
    """The record of a connection, its bill and its payment."""
    return _consumer(b"%b,%b,%b]" % (connection[:-1], bill or b"null", payment or b"null"))


def _request(row: Sequence[Any]) -> Request:
    ticket, service, state, filed, since, account, asset, phone, due, reports, details = row
    return Request(ticket, service, state, moment(filed), moment(since), account, asset, phone,
                   moment(due) if due is not None else None, reports, _details(details))  # fmt: skip
