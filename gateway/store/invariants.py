"""What must always hold of what is kept: each invariant is a query for the rows where it does not.

A query answers one column, where the fault is: an inbound's or a request's id, a phone (masked before anybody sees it). Rows
whose inbound has been deleted with age are left alone: `{first}` is when the oldest inbound that is kept came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.store.schema import MIGRATIONS
from gateway.store.sql import CAMPAIGN, LANES, Store

#: For how long a message may be marked as being sent before somebody should ask why.
STUCK_MILLIS = 15 * 60 * 1000
#: How many faults of one kind are named.
NAMED = 10


@dataclass(frozen=True, slots=True)
class Invariant:
    """`wrong` says what is wrong with the rows that `sql` finds; its `?`, if it has one, is now in milliseconds."""

    name: str
    wrong: str
    sql: str


INVARIANTS = (
    Invariant(
        "inbound.answered",
        "the inbound was taken, and its phone was sent nothing",
        "select i.id from inbound i left join outbox o on o.inbound = i.id where i.channel <> 'ussd' and i.page <> '' and o.id is null",
    ),
    Invariant(
        "inbound.reason",
        "the inbound has neither an answer nor a reason why it has none",
        "select id from inbound where screen = '' or (page = '' and screen not like 'silent.%')",
    ),
    Invariant(
        "inbound.filed",
        "its answer says that a request was filed, and there is none",
        "select i.id from inbound i left join request r on r.inbound = i.id where i.screen in ({filing}) and r.ticket is null",
    ),
    Invariant(
        "inbound.joined",
        "its answer says that the phone joined a request, and the request does not know it",
        """select i.id from inbound i left join (select p.phone, p.ticket from report p join request r on r.ticket = p.ticket
             where r.asset <> '') known on known.phone = i.phone
           where i.screen in ({joining}) and known.ticket is null""",
    ),
    Invariant(
        "reply.once",
        "one inbound put the same message to the same phone into the outbox more than once",
        f"""select inbound from outbox where inbound <> '' and inbound not like '{CAMPAIGN}%'
           group by inbound, phone, template, text having count(*) > 1""",
    ),
    Invariant(
        "outbox.state",
        "the message is in a state that does not exist, or that contradicts its other columns",
        """select id from outbox where state not in ({states})
           or delivery not in ('once', 'must_arrive', 'fresh') or lane not between 0 and {lanes} or parts < 1 or phone = '' or text = ''
           or (state = 'sending' and (attempts < 1 or worker = '' or tried = 0))
           or (state in ('sent', 'delivered', 'unknown') and attempts < 1)""",
    ),
    Invariant(
        "outbox.stuck",
        "the message was being sent when its sender vanished, and no worker has looked at it since",
        "select id from outbox where state = 'sending' and tried < ? - {stuck}",
    ),
    Invariant(
        "request.source",
        "the request has no source: the inbound that filed it is not kept",
        """select r.ticket from request r left join inbound i on i.phone = r.phone and i.id = r.inbound
           where i.id is null and r.filed >= {first} and r.phone <> '' and r.inbound not like '%:%'""",
    ),
    Invariant(
        "request.history",
        "the request's history does not begin with exactly one filing",
        """select r.ticket from request r left join event e on e.ticket = r.ticket and e.what in ('filed', 'submitted')
           group by r.ticket having count(e.ticket) <> 1""",
    ),
    Invariant(
        "request.reports",
        "the request counts another number of reports than are kept",
        """select r.ticket from request r left join report p on p.ticket = r.ticket group by r.ticket, r.reports
           having count(p.phone) <> r.reports""",
    ),
    Invariant(
        "request.open",
        "the request is open in an end state, or closed in one that is worked on",
        "select ticket from request where (open = 1) = (state in ({closed})) or open not in (0, 1)",
    ),
    Invariant(
        "request.account",
        "the request is about an account that does not exist",
        "select r.ticket from request r left join consumer c on c.account = r.account where r.account <> '' and c.account is null",
    ),
    Invariant(
        "link.account",
        "the phone is linked to an account that does not exist",
        "select k.phone from link k left join consumer c on c.account = k.account where c.account is null",
    ),
    Invariant(
        "told.until",
        "the phone may answer a message for longer than its conversation row says, so that its answer would not be understood",
        """select t.phone from told t left join conversation c on c.phone = t.phone
           where t.answered = 0 and t.until > ? and (c.phone is null or c.told_until < t.until)""",
    ),
)


class Invariants:
    """The queries of `gateway check`."""

    def __init__(self, store: Store) -> None:
        self._rows = store.database.rows
        self._run = store.database.run
        self.integrity = store.database.integrity

    def broken(self, invariant: Invariant, now: int, lists: Mapping[str, Sequence[str]]) -> list[str]:
        """Where it does not hold, at most one more than are named. `lists` are names that some queries need: `{filing}`."""
        quoted = {name: ", ".join(f"'{value}'" for value in values) or "''" for name, values in lists.items()}
        sql = invariant.sql.format(lanes=len(LANES) - 1, stuck=STUCK_MILLIS, first="(select min(at) from inbound)", **quoted)
        return [str(row[0]) for row in self._rows(f"{sql} limit {NAMED + 1}", (now,) * sql.count("?"))]

    def claim(self, now: int, every: int) -> bool:
        """Whether the check of all this is due, and this process's turn. In a transaction. Milliseconds."""
        self._run("insert into upkeep values ('check', 0) on conflict do nothing")
        # a time in the future is a wrong clock's
        return bool(self._run("update upkeep set at = ? where name = 'check' and (at <= ? or at > ?)", (now, now - every, now)))

    def missing_migrations(self) -> list[str]:
        """Migrations this version knows and the database has not seen."""
        done = {row[0] for row in self._rows("select name from migration")}
        return [name for name, _ in MIGRATIONS if name not in done]

    def hops(self) -> int:
        """How many inbounds are kept."""
        return int(self._rows("select count(*) from inbound")[0][0])

    def put_aside(self) -> int:
        """How many inbounds our own faults kept us from answering."""
        return int(self._rows("select count(*) from quarantine")[0][0])

    def conversations(self, group: int = 5_000) -> Iterator[tuple[list[tuple[str, str, int]], set[tuple[str, str, str]]]]:
        """All conversations (phone, data, seen) in groups, each with the USSD hops (phone, session, text) of its phones."""
        after = ""
        while found := self._rows(
            "select phone, data, seen from conversation where phone > ? order by phone limit ?", (after, group)
        ):
            last = found[-1][0]
            hops = self._rows(
                "select phone, session, text from inbound where phone > ? and phone <= ? and channel = 'ussd'", (after, last)
            )
            yield [(phone, data, seen) for phone, data, seen in found], {(p, session, text) for p, session, text in hops}
            after = last

    def first_inbound(self) -> int:
        """When the oldest inbound that is kept came in; 0 if there is none."""
        rows: list[tuple[Any, ...]] = self._rows("select min(at) from inbound")
        return int(rows[0][0] or 0)
