"""How fast and when: a carrier's pace, what becomes of it in trouble, and the quiet hours.

Trouble goes by a clock that nobody can set; the quiet hours go by the wall, and so does the pace, which several machines share.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from math import ceil

from flows.records import INDIA

#: Failures in a row after which a carrier is left alone, and for how long: doubled each time it fails again.
FAILURES = 5
FIRST_REST, LONGEST_REST = 5.0, 300.0
#: One message, and what a fifth of a second brings, may go at once: a carrier's limit is meant by the second.
AT_ONCE_MICROS = 200_000
#: Clocks of two machines may differ by this much.
SKEW_MICROS = 5_000_000


@dataclass(frozen=True, slots=True)
class Sending:
    """The rules of sending, as numbers: see gateway/settings.py.

    `lease` is after how long a message that is being sent has a dead sender, `report_wait` how long a delivery report is
    awaited before a message that may have gone is sent again.
    """

    per_second: float
    lease: timedelta
    report_wait: timedelta
    quiet_from: time
    quiet_until: time
    feeder_gap: timedelta
    equal_most: int
    equal_within: timedelta
    template_a_day: int
    parts_an_hour: int
    parts_a_day: int

    def end_of_quiet(self, now: datetime) -> datetime | None:
        """When the quiet hours end, if it is quiet now."""
        here = now.astimezone(INDIA)
        overnight = self.quiet_from > self.quiet_until
        late, early = here.time() >= self.quiet_from, here.time() < self.quiet_until
        if not ((late or early) if overnight else (late and early)):
            return None
        end = here.replace(hour=self.quiet_until.hour, minute=self.quiet_until.minute, second=0, microsecond=0)
        return end + timedelta(days=1) if overnight and late else end


@dataclass(frozen=True, slots=True)
class Pace:
    """So many a second, and no more than a moment's worth at once, for all workers of a carrier together.

    They share one number, the time up to which sending is paid for, in microseconds; each message pays for its part of a
    second. A time further ahead than can have been paid for is a wrong clock's, and counts for nothing.
    """

    per_second: float

    @property
    def _each(self) -> int:
        return ceil(1e6 / self.per_second)

    @property
    def _most(self) -> int:
        return self._each + AT_ONCE_MICROS

    def _paid(self, paid: int, now: int) -> int:
        return now if paid < now or paid > now + self._most + SKEW_MICROS else paid

    def room(self, paid: int, now: int) -> int:
        """How many may go now."""
        return max(0, now + self._most - self._paid(paid, now)) // self._each

    def pay(self, paid: int, now: int, count: int) -> int:
        """They go: up to when is paid for now."""
        return self._paid(paid, now) + count * self._each


class Breaker:
    """A carrier in trouble is left alone for a while; then one message tries whether it is back."""

    def __init__(self) -> None:
        self._failures = 0
        self._rest = FIRST_REST
        self._until = self._next = 0.0
        self.open = False

    def ok(self, at: float) -> None:
        """The carrier answers. What was under way when its rest began says nothing."""
        if not self.open or at >= self._until:
            self._failures, self._rest, self.open = 0, FIRST_REST, False

    def failed(self, at: float, *, pause: bool) -> None:
        """It does not, or (`pause`) asks to be left alone."""
        self._failures += 1
        if pause or self.open or self._failures >= FAILURES:
            if self.open and at < self._until:
                return  # one that was under way already
            self._until = at + self._rest
            self._rest = min(self._rest * 2, LONGEST_REST)
            self.open = True

    def tried(self, at: float) -> None:
        """Something is sent. While it is under way no other is, for a rest: it may hang."""
        self._next = at + self._rest

    def room(self, at: float) -> int | None:
        """How many may be sent: None for any number, 1 to try."""
        if not self.open:
            return None
        return 1 if at >= max(self._until, self._next) else 0
