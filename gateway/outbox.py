"""The sending worker: takes what is due from the outbox, has it sent, and writes down what became of it.

One clerk per carrier does all the reading and writing; the senders only talk to the carrier, each for itself, so that one
that hangs holds up nobody (limits.md section 5).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

import structlog

from gateway.carriers import Carrier
from gateway.hop import now_utc
from gateway.records import Later, OutboundMessage, Outcome, Sent, Unsure, masked
from gateway.store import Store

log = structlog.get_logger()

#: How often the outbox is looked at when nobody calls: another process may have put something in. Seconds.
POLL = 0.1
#: How long senders may finish when the worker is to stop. What is still out then is Unsure to the next worker.
DRAIN = 4.0
#: The first wait before another try, doubled each time up to the longest.
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=15)
#: How long it is tried at all: the carriers' own patience with webhooks.
GIVE_UP = timedelta(hours=12)


class Outbox:
    """One carrier's worker. `wake` is set by whoever put something into the outbox."""

    def __init__(
        self,
        store: Store,
        carrier: Carrier,
        *,
        senders: int,
        wake: threading.Event,
        lease: timedelta = timedelta(seconds=120),
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self.wake = wake
        self._store = store
        self._carrier = carrier
        self._senders = senders
        self._lease = lease
        self._clock = clock
        self._name = f"{carrier.name}-{random.getrandbits(32):08x}"
        self._jobs: SimpleQueue[OutboundMessage | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[OutboundMessage, Outcome]] = SimpleQueue()
        self._unsettled: list[tuple[OutboundMessage, Outcome]] = []
        self._out = 0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; then let the senders finish, for a short while."""
        for number in range(self._senders):
            threading.Thread(target=self._send, name=f"{self._name}-{number}", daemon=True).start()
        while not stop.is_set():
            self.wake.clear()
            try:
                self._settle()
                busy = self._hand_out()
            except Exception as error:  # the database is away or the disk full: nothing is lost, it is tried again
                log.error("outbox.trouble", carrier=self._carrier.name, error=repr(error), exc_info=error)
                stop.wait(1)
                continue
            if not busy:
                self.wake.wait(POLL)
        until = time.monotonic() + DRAIN
        while self._out and time.monotonic() < until:
            self.wake.wait(POLL)
            self.wake.clear()
            self._settle()
        for _ in range(self._senders):
            self._jobs.put(None)
        self._store.close()

    def _send(self) -> None:
        """One sender."""
        while (message := self._jobs.get()) is not None:
            try:
                outcome = self._carrier.send(message)
            except Exception as error:  # our own bug: it may have gone out
                log.error("send.failed", message=message.id, phone=masked(message.phone), error=repr(error), exc_info=error)
                outcome = Unsure(type(error).__name__)
            self._done.put((message, outcome))
            self.wake.set()

    def _hand_out(self) -> bool:
        """Give idle senders what is due; whether there was anything to give."""
        idle = self._senders - self._out
        if not idle:
            return False
        for message in self._store.expired(self._clock(), idle):
            self._unsettled.append((message, Unsure("its sender died")))
            self._out += 1
        due = self._store.lease(self._name, self._clock(), idle, self._carrier.name, self._lease)
        for message in due:
            self._out += 1
            self._jobs.put(message)
        return bool(self._unsettled) or len(due) == idle

    def _settle(self) -> None:
        """Write down what became of what was sent. What cannot be written now is kept for the next time."""
        try:
            while True:
                self._unsettled.append(self._done.get_nowait())
        except Empty:
            pass
        while self._unsettled:
            message, outcome = self._unsettled[0]
            now = self._clock()
            state, again = decide(message, outcome, now)
            self._store.settle(message, outcome, now, again, state)
            del self._unsettled[0]
            self._out -= 1
            log.info(
                "sent" if isinstance(outcome, Sent) else "not.sent", message=message.id, phone=masked(message.phone),
                template=message.template, attempt=message.attempt, state=state, outcome=type(outcome).__name__,
                why="" if isinstance(outcome, Sent) else outcome.why,
            )  # fmt: skip


def decide(message: OutboundMessage, outcome: Outcome, now: datetime) -> tuple[str, datetime | None]:
    """The new state of a message and, if it is to be tried again, when."""
    match outcome:
        case Sent():
            return "sent", None
        case Later() | Unsure():
            if isinstance(outcome, Unsure) and message.delivery != "must_arrive":
                return "unknown", None
            if now - message.due_at > GIVE_UP:
                return "failed", None
            return "waiting", now + back_off(message.attempt)
        case _:
            return "failed", None


def back_off(attempt: int) -> timedelta:
    """Longer each time, and never the same for two: else all come back at once."""
    longest: timedelta = min(FIRST_WAIT * 2 ** min(attempt - 1, 20), LONGEST_WAIT)
    return longest * random.uniform(0.5, 1)  # noqa: S311 (spread, no secret)
