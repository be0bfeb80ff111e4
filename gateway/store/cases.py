"""What the desk reads and writes: requests with their story, lists and counts, aliases, and the figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from flows.records import Name, Request
from gateway.store.sql import TAIL, Conflict, Store, millis, moment
from messages.understand import fold

#: Rows of a list on one page, and of a short list on the today page.
PAGE, SHORT = 50, 8
#: How many names a search takes in.
MOST_NAMED = 200
#: What people put between the digits of a number.
BETWEEN = re.compile(r"[\s+().-]")
#: The last character there is: what begins with a word stands before the word with it.
LAST = "\U0010ffff"

_encode = msgspec.json.Encoder().encode
_details = msgspec.json.Decoder(dict[str, str]).decode


@dataclass(frozen=True, slots=True)
class Row:
    """A request in a list. `stopped` says that the clock stands still: it is not late, whatever its time limit."""

    ticket: str
    service: str
    state: str
    open: bool
    account: str
    asset: str
    phone: str
    section: str
    filed: datetime
    since: datetime
    due: datetime | None
    stopped: datetime | None
    priority: bool
    unverified: bool
    reports: int
    name: Name
    applicant: str


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a request's story: `what` is `filed`, `step:<name>`, `note:<field>`, `objection:...`, `reopened`, `word`."""

    at: datetime
    what: str
    who: str
    note: str
    entered: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sms:
    """A message about a request, and what became of it."""

    phone: str
    text: str
    template: str
    state: str
    parts: int
    created: datetime
    settled: datetime | None
    note: str


@dataclass(frozen=True, slots=True)
class Said:
    """One exchange on a phone: what was typed or written, and the page or message that answered it and whether it asks nothing more."""

    at: datetime
    channel: str
    session: str
    text: str
    page: str
    lang: str
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters of a list, as they stand in its address."""

    service: str = ""
    state: str = ""
    section: str = ""
    show: str = ""  # open (the default), late, today, waiting, closed, all
    words: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class Counts:
    """Open requests of a service in a section."""

    service: str
    section: str
    open: int
    late: int
    today: int
    waiting: int


_ROW = """select r.ticket, r.service, r.state, r.open, r.account, r.asset, r.phone, r.section, r.filed, r.since, r.due, r.stopped,
    r.priority, r.unverified, r.reports, c.name_deva, c.name_latin, r.details
    from request r left join consumer c on c.account = r.account where """


class Cases:
    """The desk's queries. Methods that write belong inside `with store.write():`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._rows = store.database.rows
        self._run = store.database.run

    # --- lists ------------------------------------------------------------------------------------------------------

    def counts(self, sections: Sequence[str] | None, now: datetime, midnight: datetime) -> list[Counts]:
        """Open requests by service and section: all, late, due before midnight, and waiting for the person."""
        where, values = _in_sections(sections)
        sql = f"""select service, section, count(*), sum(case when stopped = 0 and due < ? then 1 else 0 end),
                  sum(case when stopped = 0 and due >= ? and due < ? then 1 else 0 end), sum(case when stopped > 0 then 1 else 0 end)
                  from request r where open = 1{where} group by service, section order by service, section"""
        at = millis(now)
        return [Counts(*row) for row in self._rows(sql, (at, at, millis(midnight), *values))]

    def late(self, sections: Sequence[str] | None, now: datetime, limit: int = SHORT) -> list[Row]:
        """The open ones whose time limit has passed, larger loads first, then the oldest."""
        return self._larger_first(sections, "r.stopped = 0 and r.due < ?", (millis(now),), "r.due", limit)

    def due_before(self, sections: Sequence[str] | None, now: datetime, until: datetime, limit: int = SHORT) -> list[Row]:
        """The open ones due from now until then."""
        times = (millis(now), millis(until))
        return self._larger_first(sections, "r.stopped = 0 and r.due >= ? and r.due < ?", times, "r.due", limit)

    def _larger_first(
        self, sections: Sequence[str] | None, which: str, times: tuple[int, ...], order: str, limit: int
    ) -> list[Row]:
        """Larger loads first: their own short query, so that the index gives both in order."""
        where, values = _in_sections(sections)
        found: list[Row] = []
        for priority in (1, 0):
            sql = f"{_ROW} r.open = 1 and r.priority = {priority} and {which}{where} order by {order} limit ?"
            found += map(_row, self._rows(sql, (*times, *values, limit - len(found))))
            if len(found) == limit:
                break
        return found

    def newest(self, sections: Sequence[str] | None, since: datetime, limit: int = SHORT) -> list[Row]:
        """The last ones filed that nobody has taken a step in, larger loads first."""
        return self._larger_first(sections, "r.filed >= ? and r.since = r.filed", (millis(since),), "r.filed desc", limit)

    def waiting(self, sections: Sequence[str] | None, limit: int = SHORT) -> list[Row]:
        """The ones in which it is the person's turn, longest first."""
        where, values = _in_sections(sections)
        sql = f"{_ROW} r.open = 1 and r.stopped > 0{where} order by r.stopped limit ?"
        return list(map(_row, self._rows(sql, (*values, limit))))

    def listed(self, wanted: Wanted, sections: Sequence[str] | None, now: datetime, midnight: datetime) -> list[Row]:
        """One page of a list, newest first, and one row more if there is another page."""
        where, values = _in_sections(sections)
        order = "r.filed desc"
        for column, value in (("service", wanted.service), ("state", wanted.state), ("section", wanted.section)):
            if value:
                where += f" and r.{column} = ?"
                values = (*values, value)
        at = millis(now)
        show = {
            "": (" and r.open = 1", ()),
            "late": (" and r.open = 1 and r.stopped = 0 and r.due < ?", (at,)),
            "today": (" and r.open = 1 and r.stopped = 0 and r.due >= ? and r.due < ?", (at, millis(midnight))),
            "waiting": (" and r.open = 1 and r.stopped > 0", ()),
            "closed": (" and r.open = 0", ()),
            "all": ("", ()),
        }.get(wanted.show, (" and r.open = 1", ()))
        where, values = where + show[0], (*values, *show[1])
        if wanted.show in ("late", "today"):
            order = "r.priority desc, r.due"
        if wanted.words:
            order = "+" + order  # what was found is few: sort it, rather than walk along the index of days
            found, more = self._named(wanted.words)
            where, values = f"{where} and {found}", (*values, *more)
        sql = f"{_ROW} 1 = 1{where} order by {order} limit ? offset ?"
        return list(map(_row, self._rows(sql, (*values, PAGE + 1, (max(1, wanted.page) - 1) * PAGE))))

    def _named(self, words: str) -> tuple[str, tuple[object, ...]]:
        """What a search looks for: a ticket, a CA, the last digits of a phone, or a name in either script."""
        digits = "".join(filter(str.isdecimal, words)).translate({0x0966 + n: 48 + n for n in range(10)})
        if digits and len(digits) >= len(BETWEEN.sub("", words)) - 2:
            tail = digits[-TAIL:]
            if len(digits) < TAIL:
                return "r.tail like ?", (f"%{digits}",)
            # each by its own index: of one condition with `or`, PostgreSQL would make a walk through all requests
            # (a CA as somebody half remembers it: its beginning, or without its leading zero)
            half = self.store.database.search(digits, MOST_NAMED) if len(digits) > TAIL else []
            accounts = [digits, f"0{digits}", *half]
            found = f"""select ticket from request where ticket = ?
                        union select ticket from request where account in ({", ".join("?" * len(accounts))}) and account <> ''
                        union select ticket from request where tail = ? and phone like ?
                        union select ticket from report where phone = ?"""
            return f"r.ticket in ({found})", (digits, *accounts, tail, f"%{digits[-10:]}", f"+91{digits[-10:]}")
        accounts = self.store.database.search(words, MOST_NAMED)
        tickets: set[str] | None = None
        for word in filter(None, map(fold, words.split())):
            sql = "select ticket from applicant where word >= ? and word < ? limit ?"
            having = {row[0] for row in self._rows(sql, (word, word + LAST, 10 * MOST_NAMED))}
            tickets = having if tickets is None else tickets & having
        named = set(sorted(tickets or ())[:MOST_NAMED])
        if accounts:
            named |= {
                row[0]
                for row in self.store.database.rows_in(
                    "select ticket from request where account in (?*) and account <> ''", accounts
                )
            }
        return f"r.ticket in ({', '.join('?' * len(named)) or 'null'})", tuple(sorted(named))

    def sections(self) -> dict[str, Name]:
        """The sections by code."""
        rows = self._rows("select code, name_deva, name_latin from section order by code")
        return {code: Name(deva, latin) for code, deva, latin in rows}

    def no_sections(self, codes: Sequence[str]) -> list[str]:
        """Those of the codes that are no section's, neither by its name nor of any consumer; none while there is no consumer."""
        if not self._rows("select 1 from consumer limit 1"):
            return []
        sql = "select 1 from section where code = ? union all select 1 from consumer where section = ? limit 1"
        return [code for code in codes if not self._rows(sql, (code, code))]

    # --- one request ------------------------------------------------------------------------------------------------

    def row(self, ticket: str) -> Row | None:
        """A request as a list shows it."""
        rows = self._rows(_ROW + "r.ticket = ?", (ticket,))
        return _row(rows[0]) if rows else None

    def request(self, ticket: str) -> Request | None:
        """A request as the flows know it."""
        found = self.store.requests((), (), (), (ticket,))
        return found[0] if found else None

    def last_hand(self, ticket: str) -> str:
        """Who of the staff took the last step in it."""
        rows = self._rows("select who from event where ticket = ? and what like 'step:%' order by at desc limit 1", (ticket,))
        return rows[0][0] if rows else ""

    def took(self, ticket: str, what: str, who: str, since: datetime) -> bool:
        """Whether the last line of its story is this one, by this person, no longer ago than that."""
        rows = self._rows("select what, who, at from event where ticket = ? order by at desc limit 1", (ticket,))
        return bool(rows) and tuple(rows[0][:2]) == (what, who) and rows[0][2] >= millis(since)

    def story(self, ticket: str) -> list[Event]:
        """Everything that happened to it, oldest first."""
        rows = self._rows("select at, what, who, note, entered from event where ticket = ? order by at", (ticket,))
        return [Event(moment(at), what, who, note, _details(entered) if entered else {}) for at, what, who, note, entered in rows]

    def phones(self, ticket: str) -> list[tuple[str, datetime]]:
        """The phones that reported it, and when."""
        return [
            (phone, moment(at))
            for phone, at in self._rows("select phone, at from report where ticket = ? order by at", (ticket,))
        ]

    def conversation(self, ticket: str) -> list[Said]:
        """The exchanges in which it was filed: its USSD session, or the messages of the same half hour before."""
        source = self._rows(
            """select i.phone, i.session, i.channel, i.at from request r join inbound i on i.phone = r.phone and i.id = r.inbound where r.ticket = ?""",
            (ticket,),
        )
        if not source:
            return []
        phone, session, _, at = source[0]
        half_hour = millis(moment(at) - timedelta(minutes=30))
        sql = """select at, channel, session, text, page, lang from inbound where phone = ? and at >= ? and at <= ? order by at"""
        rows = self._rows(sql, (phone, half_hour, at))
        return [Said(moment(row[0]), *row[1:]) for row in rows if not session or row[2] == session]

    def messages(self, ticket: str) -> list[Sms]:
        """The messages about it to the phones that reported it, oldest first."""
        sql = """select o.phone, o.text, o.template, o.state, o.parts, o.created, o.settled, o.note
                 from report p join outbox o on o.phone = p.phone and o.created >= p.at
                 where p.ticket = ? and o.text like ? order by o.id limit 500"""
        return [
            Sms(phone, text, template, state, parts, moment(created), moment(settled) if settled else None, note)
            for phone, text, template, state, parts, created, settled, note in self._rows(sql, (ticket, f"%{ticket}%"))
        ]

    def seen_by(self, subject: str, limit: int = 50) -> list[tuple[datetime, str, str, str]]:
        """Who looked at it and who changed it: when, who, what, reason; newest first."""
        sql = "select at, who, what, reason from audit where subject = ? order by number desc limit ?"
        return [(moment(at), who, what, reason) for at, who, what, reason in self._rows(sql, (subject, limit))]

    # --- what was not understood ------------------------------------------------------------------------------------

    def misheard(self, since: datetime, limit: int) -> Sequence[tuple[str, str, Said]]:
        """Messages that were answered with "not understood" or with a question what was meant: id, phone, exchange."""
        sql = """select i.id, i.phone, i.at, i.channel, i.session, i.text, i.page, i.lang from inbound i
                 where i.screen in ('menu.unknown', 'menu.guess') and i.at >= ?
                 and not exists (select 1 from understood u where u.inbound = i.id) order by i.at desc limit ?"""
        return [(id_, phone, Said(moment(at), *rest)) for id_, phone, at, *rest in self._rows(sql, (millis(since), limit))]

    def understood(self, inbound: str, how: str, who: str, now: datetime) -> None:
        """Take a message from that list."""
        self._run("insert into understood values (?, ?, ?, ?) on conflict do nothing", (inbound, how, who, millis(now)))

    def aliases(self) -> Sequence[tuple[str, str, str, datetime]]:
        """The spellings that staff added: spelling, intent, who, when."""
        rows = self._rows("select spelling, intent, who, at from alias order by at desc")
        return [(spelling, intent, who, moment(at)) for spelling, intent, who, at in rows]

    def add_alias(self, spelling: str, intent: str, who: str, now: datetime) -> None:
        """Add a spelling."""
        sql = "insert into alias values (?, ?, ?, ?) on conflict (spelling) do update set intent = excluded.intent, who = excluded.who"
        self._run(sql, (spelling, intent, who, millis(now)))

    def remove_alias(self, spelling: str) -> None:
        """Take one back."""
        self._run("delete from alias where spelling = ?", (spelling,))

    # --- the counter ------------------------------------------------------------------------------------------------

    def begin_talk(self, talk: str, phone: str, who: str, now: datetime) -> None:
        """A person is at the counter."""
        self._run("insert into counter values (?, ?, ?, ?)", (talk, phone, who, millis(now)))

    def phone_at(self, talk: str) -> str:
        """The phone in whose name a talk at the counter is; empty if there is no such talk."""
        rows = self._rows("select phone from counter where talk = ?", (talk,))
        return rows[0][0] if rows else ""

    def heard(self, phone: str, inbound: str) -> Said | None:
        """The exchange of an inbound."""
        sql = "select at, channel, session, text, page, lang, ends from inbound where phone = ? and id = ?"
        rows = self._rows(sql, (phone, inbound))
        return Said(moment(rows[0][0]), *rows[0][1:]) if rows else None

    def filed_by(self, inbounds: Sequence[str]) -> Sequence[Row]:
        """The requests that these inbounds filed."""
        return list(map(_row, self.store.database.rows_in(_ROW + "r.inbound in (?*)", inbounds)))

    def is_filed_at(self, talk: str, ticket: str, who: str) -> bool:
        """Whether a request was filed in a talk that this clerk led."""
        sql = """select 1 from counter c join request r on r.phone = c.phone and r.inbound like 'centre-' || c.talk || '/%'
                 where c.talk = ? and c.who = ? and r.ticket = ?"""
        return bool(self._rows(sql, (talk, who, ticket)))

    # --- a step -----------------------------------------------------------------------------------------------------

    def lock(self, ticket: str) -> None:
        """Hold a request until the end of the transaction: nobody takes another step in the meantime."""
        self._run("update request set ticket = ticket where ticket = ?", (ticket,))

    def move(self, ticket: str, state: str, *, open: bool, stops: bool, details: Mapping[str, str], now: datetime) -> None:
        """Put a request into a state. Time in which the clock stood still is added to its time limit. Raises Conflict
        when another request for the same thing was opened since."""
        ((due, stopped, before),) = self._rows("select due, stopped, state from request where ticket = ?", (ticket,))
        at = millis(now)
        if stopped and not stops and due is not None:
            due += at - stopped
        since = "" if state == before else f", since = {at}"
        try:
            self._run(
                f"update request set state = ?, open = ?, due = ?, stopped = ?, details = ?{since} where ticket = ?",
                (state, int(open), due, (stopped or at) if stops else 0, _encode(details).decode(), ticket),
            )
        except Exception as error:
            if self.store.database.is_duplicate(error):
                raise Conflict(ticket) from error
            raise

    def event(
        self, ticket: str, now: datetime, what: str, who: str, note: str = "", entered: Mapping[str, str] | None = None
    ) -> None:
        """Add a line to a request's story."""
        kept = _encode(entered).decode() if entered else ""
        self._run("insert into event (ticket, at, what, who, note, entered) values (?, ?, ?, ?, ?, ?)",
                  (ticket, millis(now), what, who, note, kept))  # fmt: skip


def _in_sections(sections: Sequence[str] | None) -> tuple[str, tuple[object, ...]]:
    """The condition that keeps a list to some sections; None is all of them."""
    if sections is None:
        return "", ()
    return f" and r.section in ({', '.join('?' * len(sections)) or chr(39) * 2}) and r.section <> ''", tuple(sections)


def _row(row: Sequence[Any]) -> Row:
    (ticket, service, state, open_, account, asset, phone, section, filed, since, due, stopped, priority, unverified, reports,
     deva, latin, details) = row  # fmt: skip
    return Row(ticket, service, state, bool(open_), account, asset, phone, section, moment(filed), moment(since),
               moment(due) if due is not None else None, moment(stopped) if stopped else None, bool(priority), bool(unverified),
               reports, Name(deva or "", latin or ""), _details(details).get("name", ""))  # fmt: skip
