"""The sending worker: takes what is due from the outbox, has it sent, and writes down what became of it.

One clerk per carrier does all the reading and writing, by the rules of sending; the senders only talk to the carrier, each for
itself, so that one that hangs holds up nobody (limits.md section 5).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from queue import Empty, SimpleQueue
from typing import Literal

import structlog

from gateway.carriers import Carrier, Naming
from gateway.hop import now_utc
from gateway.metrics import KEPT_BACK, SEND_SECONDS, tried
from gateway.records import Lane, Later, Never, OutboundMessage, Outcome, Sent, Unsure, masked
from gateway.store import Store
from gateway.store.queue import Due, Joined, Queue
from gateway.store.sql import LANES
from gateway.throttle import Breaker, Pace, Sending

log = structlog.get_logger()

#: How often the outbox is looked at when nobody calls: another process may have put something in. Seconds.
POLL = 0.1
#: How often it is looked for messages whose sender died. Seconds.
WATCH = 1.0
#: How often it is looked for messages that a clock set back has left in the future. Seconds.
MEND = 60.0
#: How long it is left alone when the store is in trouble. Seconds.
TROUBLE = 0.5
#: How long senders may finish when the worker is to stop. What is still out then is Unsure to the next worker.
DRAIN = 4.0
#: The first wait before another try, doubled each time up to the longest.
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=15)
#: With those waits, half a day: as long as a carrier brings us an SMS. Counted in tries, since clocks can be set.
MOST_TRIES = 60
#: A message that may have gone out this often is not sent once more: one SMS was once sent thirty times that way.
MOST_UNSURE = 3
#: The share of the senders that bulk never takes, so that an answer finds one.
RESERVED = 4
#: Messages looked at in one transaction.
MOST_AT_ONCE = 100
BULK = LANES.index("bulk")

Done = tuple[OutboundMessage, Outcome]


class Outbox:
    """One carrier's worker. `wake` is set by whoever put something into the outbox."""

    def __init__(
        self,
        store: Store,
        carrier: Carrier,
        rules: Sending,
        *,
        senders: int,
        wake: threading.Event,
        stand_ins: Callable[[str, Lane, str], Sequence[str]] = lambda phone, lane, carrier: (),
        refused: Callable[[str, str, str], str | None] = lambda text, key, lang: None,
        told: Callable[[Joined], None] = lambda told: None,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self.wake = wake
        self._store = store
        self._queue = Queue(store)
        self._carrier = carrier
        self._rules = rules
        self._senders = senders
        self._stand_ins = stand_ins
        #: Why the operators would refuse a text as it is registered now: it may have been written under another registration.
        self._refused = refused
        #: Hears of reports that came before the send they are about was written down.
        self._told = told
        self._clock = clock
        self._name = f"{carrier.name}-{random.getrandbits(32):08x}"
        self._pace = Pace(rules.per_second)
        self._breaker = Breaker()
        self._jobs: SimpleQueue[OutboundMessage | None] = SimpleQueue()
        self._done: SimpleQueue[Done] = SimpleQueue()
        self._unsettled: list[Done] = []
        self._out = 0
        #: What was handed to senders and is not written down yet, by id and attempt.
        self._mine: set[tuple[int, int]] = set()
        self._watched: dict[tuple[int, int], float] = {}
        self._watch_at = self._mend_at = self._pass_on_at = 0.0
        #: By lane: how far it was looked through for what others may send, None for the beginning.
        self._passed: dict[int, OutboundMessage | None] = {}
        self._alarmed: set[tuple[str, str]] | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; then let the senders finish, for a short while."""
        for number in range(self._senders):
            threading.Thread(target=self._send, name=f"{self._name}-{number}", daemon=True).start()
        while not stop.is_set():
            self.wake.clear()
            if not self._try(self.turn):
                self.wake.wait(POLL)
        until = time.monotonic() + DRAIN
        while (self._out or self._unsettled) and time.monotonic() < until:
            self.wake.wait(POLL)
            self.wake.clear()
            self._try(self._settle_all)
        for _ in range(self._senders):
            self._jobs.put(None)
        self._store.close()

    def _try(self, do: Callable[[], bool]) -> bool:
        try:
            return do()
        except Exception as error:  # the database is away or the disk full: nothing is lost, it is tried again
            log.error("outbox.trouble", carrier=self._carrier.name, exc_info=error)
            self._alarmed = None
            time.sleep(TROUBLE)
            return False

    def _send(self) -> None:
        """One sender."""
        while (message := self._jobs.get()) is not None:
            began = time.perf_counter()
            try:
                outcome = self._carrier.send(message)
            except Exception as error:  # our own bug: it may have gone out
                log.error("send.failed", message=message.id, phone=masked(message.phone), exc_info=error)
                outcome = Unsure(type(error).__name__)
            SEND_SECONDS.labels(self._carrier.name).observe(time.perf_counter() - began)
            self._done.put((message, outcome))
            self.wake.set()

    # --- the clerk --------------------------------------------------------------------------------------------------

    def turn(self) -> bool:
        """Write down what came back and hand out what is due; whether there may be more at once."""
        now, at = self._clock(), time.monotonic()
        self._collect()
        self._now_and_then(now, at)
        room = self._room(at)
        if not self._unsettled and not (room and self._queue.is_due(self._carrier.name, now)):
            return False
        return self._write(now, room) == MOST_AT_ONCE

    def _write(self, now: datetime, room: int) -> int:
        """Settle and take in one transaction, and act on it when it is durable; how many due messages were looked at."""
        keys = [key for one in self._unsettled for key in self._queue.touches(*one)]
        with self._store.write([*keys, self._queue.pace_of(self._carrier.name)] if room else keys):
            settled = [(*one, *self._settle(*one, now)) for one in self._unsettled]
            looked_at, taken = self._take(now, room) if room else (0, [])
            self._mirror(now)
        self._mine.difference_update((message.id, message.attempt) for message, _ in self._unsettled)
        self._mine.update((message.id, message.attempt) for message in taken)
        self._unsettled.clear()
        self._out += len(taken)
        if taken:
            self._breaker.tried(time.monotonic())
        for message in taken:
            self._jobs.put(message)
        for message, outcome, state, joined in settled:
            _report(message, outcome, state if joined is not None else "settled before")
        for *_, joined in settled:
            for told in joined or ():
                self._told(told)
        return looked_at

    def _now_and_then(self, now: datetime, at: float) -> None:
        """What need not be done at every turn."""
        if at >= self._watch_at:
            self._watch_at = at + WATCH
            self._watch(at)
        if at >= self._mend_at:
            self._mend_at = at + MEND
            with self._store.write():
                self._queue.back_from_the_future(self._carrier.name, now, max(LONGEST_WAIT, self._rules.report_wait))
        if self._breaker.open and at >= self._pass_on_at:
            self._pass_on_at = at + WATCH
            self._pass_on(now)

    def _collect(self) -> None:
        """Take what the senders brought."""
        try:
            while True:
                message, outcome = self._done.get_nowait()
                self._out -= 1
                self._unsettled.append((message, outcome))
                if isinstance(outcome, Later | Unsure):
                    self._breaker.failed(time.monotonic(), pause=isinstance(outcome, Later) and outcome.pause)
                else:
                    self._breaker.ok(time.monotonic())
        except Empty:
            pass

    def _settle_all(self) -> bool:
        """Only write down what came back."""
        self._collect()
        if self._unsettled:
            self._write(self._clock(), 0)
        return True

    def _settle(self, message: OutboundMessage, outcome: Outcome, now: datetime) -> tuple[str, list[Joined] | None]:
        state, again = decide(message, outcome, now, self._rules)
        if isinstance(outcome, Never) and outcome.alarm:
            self._queue.raise_alarm("template", message.template, now, outcome.why)
        return state, self._queue.settle(message, outcome, now, state, again)

    def _room(self, at: float) -> int:
        """How many may be handed out now."""
        room = min(self._senders - self._out, MOST_AT_ONCE)
        trying = self._breaker.room(at)
        return room if trying is None else min(room, trying)

    def _take(self, now: datetime, room: int) -> tuple[int, list[OutboundMessage]]:
        """What is to be sent now, answers before notices before bulk, and how many messages were looked at for it."""
        taken: list[OutboundMessage] = []
        paid, micros = self._queue.paid(self._carrier.name), round(now.timestamp() * 1e6)
        room = min(room, self._pace.room(paid, micros))
        left = MOST_AT_ONCE
        stopped = {alarm.name for alarm in self._queue.alarms() if alarm.kind == "template"}
        for lane in range(len(LANES)):
            while left and (most := self._most(lane, room, len(taken), now)):
                found = self._queue.due(self._carrier.name, lane, now, min(most, left))
                left -= len(found)
                taken += [
                    self._queue.take(due.message, self._name, now) for due in found if not self._kept_back(due, now, stopped)
                ]
                if len(found) < most:
                    break
        if taken:
            self._queue.pay(self._carrier.name, self._pace.pay(paid, micros, len(taken)))
        return MOST_AT_ONCE - left, taken

    def _most(self, lane: int, room: int, taken: int, now: datetime) -> int:
        """How many more a lane may have."""
        if lane != BULK:
            return room - taken
        unreserved = self._senders - self._senders // RESERVED - self._out
        most = max(0, min(room, unreserved) - taken)
        return most if most and self._in_budget(now) else 0

    def _in_budget(self, now: datetime) -> bool:
        """Whether bulk may go on: the parts of this hour and of the day are counted, whoever sent them."""
        hour, day = self._queue.parts_spent(now)
        over = hour >= self._rules.parts_an_hour or day >= self._rules.parts_a_day
        self._alarm("budget", "parts", over, now, f"{hour} parts this hour, {day} in 24: bulk waits")
        return not over

    def _kept_back(self, due: Due, now: datetime, stopped: set[str]) -> bool:
        """Whether something forbids this message now. This is the last gate: whoever put it in, and whenever."""
        message, rules = due.message, self._rules
        kept_back = partial(KEPT_BACK.labels, self._carrier.name)
        if due.unwanted:
            kept_back("unwanted").inc()
            self._queue.put_aside(message, "dropped", "its phone wants no information", now)
        elif message.template in stopped:
            kept_back("template stopped").inc()
            self._queue.put_aside(message, "stopped", "its template's queue is stopped", now)
        elif refused := self._refused(message.text, *message.template.split("/")):
            kept_back("not as registered").inc()
            self._queue.put_aside(message, "failed", refused, now)
            log.error("dlt.refused", message=message.id, template=message.template, why=refused)
        elif due.waits and message.expires is not None and message.expires < now:
            kept_back("too late").inc()
            self._queue.put_aside(message, "dropped", "what it says holds no longer", now)
        elif due.waits and (end := rules.end_of_quiet(now)):
            kept_back("quiet hours").inc()
            self._queue.put_off(message, end)
        else:
            same, all_ = self._queue.alike(message, now - rules.equal_within, now - timedelta(days=1))
            if same < rules.equal_most and all_ < rules.template_a_day:
                return False
            why = f"cap: {same} equal ones just now, {all_} of its template in a day"
            kept_back("cap").inc()
            self._queue.put_aside(message, "held", why, now)
            log.error("outbox.held", message=message.id, phone=masked(message.phone), template=message.template, why=why)
        return True

    def _watch(self, at: float) -> None:
        """Find messages whose sender died: those that stand as being sent, unchanged, for as long as a lease by our own
        watch. The wall clock may have been set; and our own are not among them. One that stands as ours and was never
        handed out is due again: the database took it down and died before it could say so."""
        out = {(message.id, message.attempt): (worker, message) for worker, message in self._queue.out(self._carrier.name)}
        never = [message for key, (worker, message) in out.items() if worker == self._name and key not in self._mine]
        self._mine.update((message.id, message.attempt) for message in never)
        self._unsettled += [(message, Later("it was never handed to a sender")) for message in never]
        self._watched = {key: self._watched.get(key, at) for key, (worker, _) in out.items() if worker != self._name}
        dead = [out[key][1] for key, since in self._watched.items() if at - since > self._rules.lease.total_seconds()]
        name = self._carrier.reference if isinstance(self._carrier, Naming) else lambda _: ""
        self._unsettled += [(message, Unsure("its sender died", name(message))) for message in dead]
        for message in dead:
            del self._watched[message.id, message.attempt]

    def _pass_on(self, now: datetime) -> None:
        """While the carrier is down, those that stand in for it get what it has surely not sent, some of each lane at a time."""
        with self._store.write():
            down = {alarm.name for alarm in self._queue.alarms() if alarm.kind == "carrier"}
            for lane in range(len(LANES)):
                found = self._queue.due(self._carrier.name, lane, now, MOST_AT_ONCE, self._passed.get(lane))
                self._passed[lane] = found[-1].message if len(found) == MOST_AT_ONCE else None
                for due in found:
                    message = due.message
                    up = [one for one in self._stand_ins(message.phone, message.lane, self._carrier.name) if one not in down]
                    if up and not message.unsure:
                        self._queue.hand_over(message, up[0])
                        log.warning("outbox.handed_over", message=message.id, carrier=self._carrier.name, to=up[0])

    def _mirror(self, now: datetime) -> None:
        """Let others see that a carrier rests."""
        self._alarm("carrier", self._carrier.name, self._breaker.open, now, "it fails, or asks to be left alone: nothing is sent")

    def _alarm(self, kind: Literal["carrier", "budget"], name: str, on: bool, now: datetime, why: str) -> None:
        if self._alarmed is None:  # what an earlier worker left standing
            self._alarmed = {(alarm.kind, alarm.name) for alarm in self._queue.alarms()}
        if on and (kind, name) not in self._alarmed:
            log.error("outbox.alarm", kind=kind, name=name, why=why)
            self._queue.raise_alarm(kind, name, now, why)
            self._alarmed.add((kind, name))
        elif not on and (kind, name) in self._alarmed:
            log.warning("outbox.alarm.over", kind=kind, name=name)
            self._queue.end_alarm(kind, name, now)
            self._alarmed.discard((kind, name))


def decide(message: OutboundMessage, outcome: Outcome, now: datetime, rules: Sending) -> tuple[str, datetime | None]:
    """The new state of a message and, if it is to be tried again, when."""
    match outcome:
        case Sent():
            return "sent", None
        case Never(alarm=True):
            return "stopped", None
        case Never():
            return "failed", None
        case Later():
            return ("waiting", now + back_off(message.attempt)) if message.attempt < MOST_TRIES else ("failed", None)
        case Unsure():
            again = now + max(rules.report_wait, back_off(message.attempt))
            stale = message.delivery == "fresh" and (message.expires is None or message.expires < again)
            if message.delivery == "once" or stale or message.unsure + 1 >= MOST_UNSURE or message.attempt >= MOST_TRIES:
                return "unknown", None
            return "waiting", again


def back_off(attempt: int) -> timedelta:
    """Longer each time, and never the same for two: else all come back at once."""
    longest: timedelta = min(FIRST_WAIT * 2 ** min(attempt - 1, 20), LONGEST_WAIT)
    return longest * random.uniform(0.5, 1)


def _report(message: OutboundMessage, outcome: Outcome, state: str) -> None:
    """One line that tells a try, with the hop it goes back to."""
    tried(message, outcome)
    log.info(
        "sms.try", message=message.id, hop=message.inbound, phone=masked(message.phone), template=message.template,
        carrier=message.carrier, attempt=message.attempt, outcome=type(outcome).__name__,
        state=state, why="" if isinstance(outcome, Sent) else outcome.why,
        reference=outcome.reference if isinstance(outcome, Sent) else "",
    )  # fmt: skip
