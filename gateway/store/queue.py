"""The outbox as its worker sees it: what is due, what is out, what became of it, and what the sending rules need to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from gateway.records import OutboundMessage, Outcome, Report, Sent, Unsure
from gateway.store.sql import CAMPAIGN, LANES, Store, millis, moment

#: waiting; sending; sent (the carrier has it), delivered; failed; unknown (it may have gone, and is not sent again by itself);
#: held (the cap caught it), dropped (its phone wants no information, or it holds no longer), stopped (its template's queue is).
STATES = ("waiting", "sending", "sent", "delivered", "failed", "unknown", "held", "dropped", "stopped")
#: A carrier's word on a message may only move it forward.
REPORTED: Mapping[str, tuple[str, ...]] = {
    "sent": ("sending", "unknown", "waiting"),
    "delivered": ("sending", "unknown", "waiting", "sent", "failed"),
    "failed": ("sending", "unknown", "sent"),
}
#: Clocks of two machines may differ by so much.
SKEW_MILLIS = 5_000
#: Nothing that waits for a morning or for its feeder's turn (pen.FURTHEST_SLOT) is due later than this.
FURTHEST = timedelta(days=8)
#: The states in which a message stands until a person has it sent again; as the index over them has it.
ASIDE = "('held', 'failed', 'unknown')"
AlarmKind = Literal["template", "carrier", "budget", "disk", "check"]

_MESSAGE = """o.id, o.phone, o.text, o.encoding, o.parts, o.template, o.carrier, o.lane, o.delivery, o.attempts, o.due_at, o.expires,
    o.inbound, o.unsure"""

_ASIDE = f"""select o.id, o.phone, o.text, o.template, o.state, o.note, o.created, o.delivery, o.unsure, o.expires, o.inbound
    from outbox o where o.state in {ASIDE} and o.text <> ''"""


@dataclass(frozen=True, slots=True)
class Due:
    """A message whose time has come. `waits` as in Outgoing; `unwanted` says that its phone has silenced what it is."""

    message: OutboundMessage
    waits: bool
    unwanted: bool


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person must look at. While a `template` stands here its queue is stopped."""

    kind: AlarmKind
    name: str
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Aside:
    """A message that has not arrived, or may not have, and that nobody is trying to send. `hindrance` says why it is not to be
    sent again: it may have arrived and goes out once, it means nothing any more, or a campaign would write it anew."""

    id: int
    phone: str
    text: str
    template: str
    state: str
    note: str
    created: datetime
    hindrance: Literal["", "once", "stale", "campaign"]


class Joined(NamedTuple):
    """A report, and the message (with the hop it goes back to) that it was found to be about."""

    message: int
    hop: str
    report: Report


class Queue:
    """The queries of sending. All but `report` belong inside `with store.write():` when they write."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = store.database.rows
        self._run = store.database.run
        self._skip_locked = store.database.skip_locked

    # --- taking -----------------------------------------------------------------------------------------------------

    def is_due(self, carrier: str, now: datetime) -> bool:
        """Whether there may be anything to take."""
        sql = "select 1 from outbox where state = 'waiting' and carrier = ? and due_at <= ? limit 1"
        return bool(self._rows(sql, (carrier, millis(now))))

    def due(self, carrier: str, lane: int, now: datetime, limit: int, behind: OutboundMessage | None = None) -> list[Due]:
        """What is due in a lane, the longest due first, from the beginning or `behind` a message. What may have gone out waits
        while another message to its phone is on its way, be it with a dead worker: until that is settled, so do the reports that
        may tell (`_match`)."""
        sql = f"""select {_MESSAGE}, o.waits, o.information * coalesce((select muted from conversation c where c.phone = o.phone), 0)
                  from outbox o where o.state = 'waiting' and o.carrier = ? and o.lane = ? and o.due_at <= ?
                  and (o.unsure = 0 or not exists (
                      select 1 from outbox s where s.phone = o.phone and s.carrier = o.carrier and s.state = 'sending'))
                  {"and (o.due_at, o.id) > (?, ?)" if behind else ""} order by o.due_at, o.id limit ?{self._skip_locked}"""
        after = (millis(behind.due_at), behind.id) if behind else ()
        rows = self._rows(sql, (carrier, lane, millis(now), *after, limit))
        return [Due(_message(row), bool(row[-2]), bool(row[-1])) for row in rows]

    def take(self, message: OutboundMessage, worker: str, now: datetime) -> OutboundMessage:
        """Mark a message as being sent, and count the attempt."""
        sql = "update outbox set state = 'sending', attempts = attempts + 1, worker = ?, tried = ?, settled = ? where id = ?"
        self._run(sql, (worker, millis(now), millis(now), message.id))
        return replace(message, attempt=message.attempt + 1)

    def hand_over(self, message: OutboundMessage, carrier: str) -> None:
        """Another carrier is to send it."""
        self._run("update outbox set carrier = ? where id = ?", (carrier, message.id))

    def put_off(self, message: OutboundMessage, until: datetime) -> None:
        """Due later."""
        self._run("update outbox set due_at = ? where id = ?", (millis(until), message.id))

    def put_aside(
        self, message: OutboundMessage, state: Literal["held", "dropped", "stopped", "failed"], why: str, now: datetime
    ) -> None:
        """Not to be sent as things are."""
        sql = "update outbox set state = ?, note = ?, settled = ? where id = ?"
        self._run(sql, (state, why, millis(now), message.id))

    def alike(self, message: OutboundMessage, since: datetime, day: datetime) -> tuple[int, int]:
        """How often the same text went to the same phone `since`, and any text of the template since `day`."""
        sql = """select coalesce(sum(case when text = ? and settled > ? then 1 else 0 end), 0), count(*) from outbox
                 where phone = ? and template = ? and attempts > 0 and settled > ? and id <> ?"""
        values = (message.text, millis(since), message.phone, message.template, millis(day), message.id)
        same, all_ = self._rows(sql, values)[0]
        return int(same), int(all_)

    def out(self, carrier: str) -> list[tuple[str, OutboundMessage]]:
        """What is being sent, with the worker that took it."""
        sql = f"select {_MESSAGE}, o.worker from outbox o where o.state = 'sending' and o.carrier = ?"
        return [(row[-1], _message(row)) for row in self._rows(sql, (carrier,))]

    def back_from_the_future(self, carrier: str, now: datetime, longest: timedelta) -> int:
        """After the clock was set back: what was written later than now, waits longer than any retry does, or was put off further
        than to a morning or its feeder's turn, is due now."""
        sql = """update outbox set due_at = ? where state = 'waiting' and carrier = ? and lane = ? and due_at > ?
                 and (created > ? or (attempts > 0 and waits = 0) or (waits = 1 and due_at > ?))"""
        at, late, far = millis(now), millis(now + longest), millis(now + FURTHEST)
        return sum(self._run(sql, (at, carrier, lane, late, late, far)) for lane in range(len(LANES)))

    # --- settling ---------------------------------------------------------------------------------------------------

    @staticmethod
    def touches(message: OutboundMessage, outcome: Outcome) -> list[str]:
        """What settling must have to itself, so that a report that comes at this moment waits, or is waited for."""
        reference = outcome.reference if isinstance(outcome, Sent | Unsure) else ""
        return [message.phone, *filter(None, [reference])]

    def settle(
        self, message: OutboundMessage, outcome: Outcome, now: datetime, state: str, again: datetime | None
    ) -> list[Joined] | None:
        """What became of a try, joined with reports that came first; None if somebody else has settled it meanwhile."""
        reference = (outcome.reference or None) if isinstance(outcome, Sent | Unsure) else None
        note = outcome.note if isinstance(outcome, Sent) else outcome.why
        # A worker that was given up for dead may still bring the carrier's word.
        before = "('sending', 'waiting', 'unknown')" if isinstance(outcome, Sent) else "('sending')"
        settled = self._run(
            f"""update outbox set state = ?, due_at = coalesce(?, due_at), reference = coalesce(?, reference), note = ?, settled = ?,
                unsure = unsure + ? where id = ? and attempts = ? and state in {before}""",
            (state, millis(again) if again else None, reference, note, millis(now), int(isinstance(outcome, Unsure)), message.id,
             message.attempt),
        )  # fmt: skip
        if not settled:
            return None
        since = 0
        if reference and message.attempt > 1:  # an earlier try may have had the same reference: its reports are not of this one
            since = self._rows("select tried from outbox where id = ?", (message.id,))[0][0] - SKEW_MILLIS
        which = "carrier = ? and reference = ? and at >= ?"
        early = self._reports(which, message.carrier, reference, since) if reference else ()
        joined = [Joined(message.id, message.inbound, report) for report, _ in early]
        for report, _ in early:
            self._move(report)
        joined += self._match(message.carrier, message.phone)
        if isinstance(outcome, Sent | Unsure):
            self._run(
                """insert into spent values (?, ?, 1, ?) on conflict (hour, carrier) do update
                   set messages = spent.messages + 1, parts = spent.parts + excluded.parts""",
                (millis(now) // 3_600_000, message.carrier, message.parts),
            )
        return joined

    def _reports(self, which: str, *values: object) -> list[tuple[Report, int]]:
        """Reports with when they came, in that order."""
        sql = f"select carrier, reference, status, state, reason, phone, at from delivery d where {which} order by at"
        return [(Report(*row[:-1]), row[-1]) for row in self._rows(sql, values)]

    def _match(self, carrier: str, phone: str) -> list[Joined]:
        """Join reports of messages that nobody knows with the messages in doubt that they are most likely about: a phone is told
        of the latest it was sent. While another message to it is on its way, that may be the one, and the reports wait."""
        sql = """select id, inbound, tried from outbox where phone = ? and carrier = ? and unsure > 0 and reference is null
                 and state in ('waiting', 'unknown') order by tried desc, id"""
        doubtful = self._rows(sql, (phone, carrier))
        sql = "select 1 from outbox where phone = ? and carrier = ? and state = 'sending' limit 1"
        if not doubtful or self._rows(sql, (phone, carrier)):
            return []
        joined: dict[str, list[Joined]] = {}
        unknown = """phone = ? and carrier = ? and at >= ?
                     and not exists (select 1 from outbox o where o.reference = d.reference and o.carrier = d.carrier)"""
        for report, at in self._reports(unknown, phone, carrier, doubtful[-1][2] - SKEW_MILLIS):
            if before := joined.get(report.reference):
                before.append(before[0]._replace(report=report))
                self._move(report)
            elif about := next((one for skew in (0, SKEW_MILLIS) for one in doubtful if one[2] <= at + skew), None):
                doubtful.remove(about)
                id_, hop, _ = about
                joined[report.reference] = [Joined(id_, hop, report)]
                self._run("update outbox set reference = ?, state = 'unknown' where id = ?", (report.reference, id_))
                self._move(report if report.state in REPORTED else replace(report, state="sent"))
        return [one for several in joined.values() for one in several]

    def report(self, report: Report, now: datetime) -> list[Joined]:
        """Keep a delivery report and move its message, if it is known yet: a report may overtake our own commit, and it may
        be the only word on a send whose answer never came. One transaction of its own."""
        with self._store.write([report.reference, report.phone] if report.phone else [report.reference]):
            self._run(
                """insert into delivery (carrier, reference, status, state, reason, at, phone) values (?, ?, ?, ?, ?, ?, ?)
                   on conflict do nothing""",
                (report.carrier, report.reference, report.status, report.state, report.reason, millis(now), report.phone),
            )
            sql = "select id, inbound from outbox where reference = ? and carrier = ?"
            if about := self._rows(sql, (report.reference, report.carrier)):
                self._move(report)
                return [Joined(id_, hop, report) for id_, hop in about]
            return self._match(report.carrier, report.phone) if report.phone else []

    def _move(self, report: Report) -> None:
        """As far as a report moves its message on."""
        for before in REPORTED.get(report.state, ()):
            sql = "update outbox set state = ? where reference = ? and carrier = ? and state = ?"
            self._run(sql, (report.state, report.reference, report.carrier, before))

    def refused(self, id_: int) -> tuple[str, str, str]:
        """Phone, text and template of a message an operator refused."""
        ((phone, text, template),) = self._rows("select phone, text, template from outbox where id = ?", (id_,))
        return phone, text, template

    def remark(self, id_: int, note: str) -> None:
        """Say of a message why it failed."""
        self._run("update outbox set note = ? where id = ?", (note, id_))

    def aside(self, since: datetime, now: datetime, limit: int) -> list[Aside]:
        """What was held, failed or is of unknown fate, the newest first, and what hinders sending it again."""
        sql = f"{_ASIDE} and o.created >= ? order by o.id desc limit ?"
        return [_aside(row, now) for row in self._rows(sql, (millis(since), limit))]

    def aside_of(self, ids: Sequence[int], now: datetime) -> list[Aside]:
        """The same of messages that somebody has chosen; what has moved on since is not among them."""
        return [_aside(row, now) for row in self._store.database.rows_in(f"{_ASIDE} and o.id in (?*) order by o.id", ids)]

    def send_again(self, id_: int, now: datetime) -> bool:
        """Due now, once more through every gate of the clerk. False if it has moved on meanwhile."""
        sql = f"update outbox set state = 'waiting', due_at = ?, note = '' where id = ? and state in {ASIDE}"
        return bool(self._run(sql, (millis(now), id_)))

    # --- what a person must look at ---------------------------------------------------------------------------------

    def alarms(self) -> list[Alarm]:
        """What stands, oldest first."""
        rows = self._rows("select kind, name, at, why from alarm order by at")
        return [Alarm(kind, name, moment(at), why) for kind, name, at, why in rows]

    def raise_alarm(self, kind: AlarmKind, name: str, now: datetime, why: str) -> None:
        """Raise an alarm; one that stands already keeps its time."""
        sql = "insert into alarm values (?, ?, ?, ?) on conflict (kind, name) do update set why = excluded.why"
        self._run(sql, (kind, name, millis(now), why))

    def end_alarm(self, kind: AlarmKind, name: str, now: datetime) -> bool:
        """It is mended. The queue of a template that was stopped goes on. False if there was no such alarm."""
        if kind == "template":
            sql = "update outbox set state = 'waiting', due_at = ? where state = 'stopped' and template = ?"
            self._run(sql, (millis(now), name))
        return bool(self._run("delete from alarm where kind = ? and name = ?", (kind, name)))

    # --- figures ----------------------------------------------------------------------------------------------------

    def parts_spent(self, now: datetime) -> tuple[int, int]:
        """SMS parts sent in this hour, and in the last 24 of them. What a clock that was wrong has written ahead is not of them."""
        hour = millis(now) // 3_600_000
        sql = """select coalesce(sum(case when hour = ? then parts else 0 end), 0), coalesce(sum(parts), 0) from spent
                 where hour > ? and hour <= ?"""
        this, day = self._rows(sql, (hour, hour - 24, hour + 1))[0]
        return int(this), int(day)

    def ages(self, now: datetime) -> list[tuple[str, str, int, float]]:
        """What is due and still waits: carrier, lane, how many, and for how many seconds the first of them."""
        sql = "select carrier, lane, count(*), min(due_at) from outbox where state = 'waiting' and due_at <= ? group by carrier, lane"
        return [
            (carrier, LANES[lane], count, (millis(now) - first) / 1000)
            for carrier, lane, count, first in self._rows(sql, (millis(now),))
        ]

    # --- pace -----------------------------------------------------------------------------------------------

    @staticmethod
    def pace_of(carrier: str) -> str:
        """What must be had to oneself to take messages for a carrier, so that its workers share one pace."""
        return f"pace/{carrier}"

    def paid(self, carrier: str) -> int:
        """Up to when sending to a carrier is paid for, in microseconds."""
        rows = self._rows("select paid from carrier_pace where carrier = ?", (carrier,))
        return int(rows[0][0]) if rows else 0

    def pay(self, carrier: str, paid: int) -> None:
        """It is paid for up to then."""
        sql = "insert into carrier_pace values (?, ?) on conflict (carrier) do update set paid = excluded.paid"
        self._run(sql, (carrier, paid))

    def last_slot(self, feeder: str) -> datetime | None:
        """When the latest bulk message to a feeder's people is due."""
        rows = self._rows("select due_at from pace where feeder = ?", (feeder,))
        return moment(rows[0][0]) if rows else None

    def keep_slot(self, feeder: str, due_at: datetime) -> None:
        """The latest is due then."""
        sql = "insert into pace values (?, ?) on conflict (feeder) do update set due_at = excluded.due_at"
        self._run(sql, (feeder, millis(due_at)))

    def feeder_of(self, phone: str) -> str:
        """The feeder of a phone's first account, or empty."""
        sql = (
            "select c.feeder from link k join consumer c on c.account = k.account where k.phone = ? order by k.linked_at limit 1"
        )
        rows = self._rows(sql, (phone,))
        return str(rows[0][0]) if rows else ""


def _aside(row: Sequence[Any], now: datetime) -> Aside:
    id_, phone, text, template, state, note, created, delivery, unsure, expires, inbound = row
    hindrance: Literal["", "once", "stale", "campaign"] = ""
    if delivery == "once" and (state == "unknown" or unsure):
        hindrance = "once"
    elif expires is not None and expires < millis(now):
        hindrance = "stale"
    elif inbound.startswith(CAMPAIGN):
        hindrance = "campaign"  # whose account may have paid meanwhile
    return Aside(id_, phone, text, template, state, note, moment(created), hindrance)


def _message(row: Sequence[Any]) -> OutboundMessage:
    id_, phone, text, encoding, parts, template, carrier, lane, delivery, attempts, due_at, expires, inbound, unsure, *_ = row
    return OutboundMessage(
        id_, phone, text, encoding, parts, template, carrier, LANES[lane], delivery, attempts, moment(due_at),
        moment(expires) if expires is not None else None, inbound, unsure,
    )  # fmt: skip
