"""The figures: requests by day, time to finish, where people leave, linking of phones, what messages do and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.store.sql import Store, millis

#: India is this much ahead of UTC: days are days there.
AHEAD = 330 * 60_000
#: States of a message that a carrier took, or may have taken.
TAKEN = ("sent", "delivered", "failed", "unknown")
DAY, WEEK = 86_400_000, 7 * 86_400_000
#: The days of 1970 began on a Thursday; weeks begin on a Monday.
MONDAY = 3 * DAY


@dataclass(frozen=True, slots=True)
class Finished:
    """How long a service's requests took that were finished well: how many, in time, and the mean in hours."""

    service: str
    count: int
    in_time: int
    hours: float
    limit_hours: float


@dataclass(frozen=True, slots=True)
class Left:
    """A screen over USSD: how often it was shown, and how often a session ended there unanswered."""

    screen: str
    shown: int
    left: int


@dataclass(frozen=True, slots=True)
class Sent:
    """Messages of a carrier in a register: how many in which state, and their parts."""

    carrier: str
    register: str
    state: str
    messages: int
    parts: int


class Figures:
    """Reads only."""

    def __init__(self, store: Store) -> None:
        self._rows = store.database.rows

    def filed(self, since: datetime) -> dict[tuple[int, str], int]:
        """Requests by day (days since 1970, in India) and service."""
        sql = f"select (filed + {AHEAD}) / {DAY}, service, count(*) from request where filed >= ? group by (filed + {AHEAD}) / {DAY}, service"
        return {(int(day), service): count for day, service, count in self._rows(sql, (millis(since),))}

    def finished(self, since: datetime) -> Sequence[Finished]:
        """Requests filed since then and finished well, by service. Time in which the clock stood still is in the time limit."""
        sql = """select service, count(*), sum(case when due is null or since <= due then 1 else 0 end), avg(since - filed),
                 avg(due - filed) from request where filed >= ? and open = 0
                 and state not in ('rejected', 'withdrawn', 'cancelled', 'expired') group by service order by service"""
        hour = 3_600_000
        return [
            Finished(service, count, int(in_time), float(took) / hour, float(limit or 0) / hour)
            for service, count, in_time, took, limit in self._rows(sql, (millis(since),))
        ]

    def left(self, since: datetime) -> Sequence[Left]:
        """Every screen shown over USSD since then."""
        shown = self._rows(
            "select screen, count(*) from inbound where at >= ? and channel = 'ussd' group by screen order by screen",
            (millis(since),),
        )
        last = """select screen, count(*) from (select screen, ends, row_number() over (partition by session order by at desc, id desc) place
                  from inbound where at >= ? and channel = 'ussd') hops where place = 1 and ends = 0 group by screen"""
        gone = dict(self._rows(last, (millis(since),)))
        return [Left(screen, count, gone.get(screen, 0)) for screen, count in shown]

    def linked(self, since: datetime) -> tuple[dict[str, tuple[int, int]], dict[tuple[str, int], int]]:
        """By section: accounts and how many of them have a phone; and newly linked ones by section and week since then."""
        sql = "select section, count(*) from consumer group by section"
        accounts = dict(self._rows(sql))
        sql = (
            "select c.section, count(distinct l.account) from link l join consumer c on c.account = l.account group by c.section"
        )
        have = dict(self._rows(sql))
        sql = f"""select c.section, (l.linked_at + {AHEAD + MONDAY}) / {WEEK}, count(distinct l.account) from link l
                  join consumer c on c.account = l.account where l.linked_at >= ? group by c.section, (l.linked_at + {AHEAD + MONDAY}) / {WEEK}"""
        weeks = {(section, int(week)): count for section, week, count in self._rows(sql, (millis(since),))}
        return {section: (count, have.get(section, 0)) for section, count in sorted(accounts.items())}, weeks

    def sent(self, since: datetime) -> Sequence[Sent]:
        """Messages written since then, by carrier, register and state."""
        sql = """select carrier, template, state, count(*), sum(parts) from outbox where created >= ?
                 group by carrier, template, state"""
        summed: dict[tuple[str, str, str], tuple[int, int]] = {}
        for carrier, template, state, count, parts in self._rows(sql, (millis(since),)):
            key = (carrier, template.rpartition("/")[2], state)
            before = summed.get(key, (0, 0))
            summed[key] = (before[0] + count, before[1] + int(parts))
        return [Sent(*key, *value) for key, value in sorted(summed.items())]
