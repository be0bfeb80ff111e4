"""What waits is served together: hops gather while the last group is being committed, and go in as the next one."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

import structlog

from gateway.hop import Unavailable
from gateway.records import Answer, Inbound

log = structlog.get_logger()

#: More in one transaction gains nothing and delays the first of them (limits.md section 2).
MOST_TOGETHER = 64

#: What becomes of a hop: its answer, once it is durable, or why there is none.
Done = Callable[[Answer | Exception], None]


class Waiting:
    """A hop on its way; `done` is None once it has been called."""

    __slots__ = ("done", "inbound", "until")

    def __init__(self, inbound: Inbound, done: Done, until: float) -> None:
        self.inbound = inbound
        self.done: Done | None = done
        self.until = until

    def end(self, answer: Answer | Exception) -> None:
        """Say what became of it, unless it was given up meanwhile."""
        done, self.done = self.done, None
        if done is not None:
            done(answer)


class Traffic:
    """Writer threads between the web server's event loop and the store: one for a file, several for PostgreSQL, where one
    group is stepped while the server commits another.

    One waiting hop is served at once; there is no delay to gather more. Two hops of one phone are never on their way at
    once, so the second sees what the first did. What is done once a hop is here kept small: a place in a queue that needs no
    lock, one timer for all.
    """

    def __init__(
        self,
        serve: Callable[[Sequence[Inbound]], Sequence[Answer]],
        after: Callable[[], None],
        *,
        writers: int = 1,
        close: Callable[[], None] = lambda: None,
        patience: float = 7.0,
        most_a_minute: int = 120,
    ) -> None:
        """`after` is called after each group, `close` by each writer when it ends. Nobody waits longer than `patience` in
        seconds, and one phone is served `most_a_minute` hops of sessions in a minute."""
        self._patience = patience
        self._most_a_minute = most_a_minute
        self._minute, self._in_minute = 0, dict[str, int]()
        #: What a hop takes, as the last groups took it, in seconds.
        self._each = 0.0
        self._writers = writers
        self._serve = serve
        self._after = after
        self._close = close
        self._arrived: SimpleQueue[Waiting | None] = SimpleQueue()
        #: All that have arrived and are not answered, the oldest first (among them some that are answered already).
        self._open: deque[Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        #: By phone that has a hop on its way: what waits for that to end. And what need not wait for it any more.
        self._behind: dict[str, deque[Waiting]] = {}
        self._next: deque[Waiting] = deque()
        self._sorting = threading.Lock()
        self._threads = [threading.Thread(target=self._run, name=f"writer-{number}") for number in range(writers)]

    def start(self) -> None:
        """Start serving; to be called in the event loop that hops are brought from."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        if sys.platform == "linux":
            # On a core that both share, a loop that wakes up does not push a writer aside each time a statement lets go of the
            # interpreter (docs/decisions.md). Where there is a core to spare nothing changes.
            with suppress(OSError):  # a strict sandbox forbids it
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    def stop(self) -> None:
        """Serve what waits, then stop."""
        self._arrived.put(None)
        for thread in self._threads:
            thread.join()

    def bring(self, inbound: Inbound, done: Done) -> None:
        """Have an inbound served; the event loop calls `done` once its answer is durable. Or with Unavailable, at the latest
        when patience is at an end: what still waits then is not served any more."""
        if self._arrived.qsize() * self._each / self._writers > self._patience:
            done(Unavailable("more waits than can be served in time"))
            return
        if inbound.channel == "ussd" and self._is_too_much(inbound.phone):
            done(Unavailable("one phone asks too often"))
            return
        waiting = Waiting(inbound, done, self._loop.time() + self._patience)
        self._open.append(waiting)
        if self._timer is None:
            self._timer = self._loop.call_at(waiting.until, self._give_up)
        self._arrived.put(waiting)

    async def serve(self, inbound: Inbound) -> Answer:
        """The answer to an inbound, once it is durable. Raises hop.Unavailable."""
        answered: asyncio.Future[Answer | Exception] = self._loop.create_future()
        self.bring(inbound, answered.set_result)
        answer = await answered
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _is_too_much(self, phone: str) -> bool:
        """Count a hop of a phone; whether it is one too many in this minute."""
        minute = int(time.monotonic() / 60)
        if minute != self._minute:
            self._minute, self._in_minute = minute, {}
        hops = self._in_minute[phone] = self._in_minute.get(phone, 0) + 1
        return hops > self._most_a_minute

    def _give_up(self) -> None:
        """Tell those whose time is over, and come again for the next."""
        now = self._loop.time()
        while self._open and (self._open[0].done is None or self._open[0].until <= now):
            _end(self._open.popleft(), Unavailable("not served in time"))
        self._timer = self._loop.call_at(self._open[0].until, self._give_up) if self._open else None

    # --- in a writer's thread -----------------------------------------------------------------------------------------

    def _gather(self) -> list[Waiting]:
        """The next group: what waits, one hop a phone; empty when there is nothing more to do."""
        while True:
            group: list[Waiting] = []
            arrived: list[Waiting] = []
            with self._sorting:
                while self._next and len(group) < MOST_TOGETHER:
                    waiting = self._next.popleft()
                    if waiting.done is None:  # it was given up meanwhile
                        self._follow(waiting.inbound.phone)
                    else:
                        group.append(waiting)
            stopping = False
            try:
                while len(group) + len(arrived) < MOST_TOGETHER:
                    came = self._arrived.get(block=not group and not arrived)
                    if came is None:
                        self._arrived.put(None)  # stays the last word, for every writer and every further look
                        stopping = True
                        break
                    arrived.append(came)
            except Empty:
                pass
            with self._sorting:
                for waiting in arrived:
                    behind = self._behind.get(waiting.inbound.phone)
                    if behind is not None:
                        behind.append(waiting)
                    elif waiting.done is not None:
                        self._behind[waiting.inbound.phone] = deque()
                        group.append(waiting)
                if group or (stopping and not self._next):
                    return group

    def _run(self) -> None:
        while group := self._gather():
            began = time.monotonic()
            try:
                answers: Sequence[Answer | Exception] = self._serve([waiting.inbound for waiting in group])
            except Exception as error:  # each hop of the group hears of it; the writer goes on
                answers = [error] * len(group)
            with self._sorting:
                self._each += ((time.monotonic() - began) / len(group) - self._each) / 8
                for waiting in group:
                    self._follow(waiting.inbound.phone)
            self._loop.call_soon_threadsafe(self._release, group, answers)
            self._after()
        self._close()

    def _follow(self, phone: str) -> None:
        """A phone's hop is over: the one behind it need not wait any more."""
        if behind := self._behind[phone]:
            self._next.append(behind.popleft())
        else:
            del self._behind[phone]

    # --- in the event loop again --------------------------------------------------------------------------------------

    def _release(self, group: Sequence[Waiting], answers: Sequence[Answer | Exception]) -> None:
        for waiting, answer in zip(group, answers, strict=True):
            _end(waiting, answer)
        while self._open and self._open[0].done is None:
            self._open.popleft()


def _end(waiting: Waiting, answer: Answer | Exception) -> None:
    """Say what became of a hop. If that cannot be said, the others are to hear of theirs all the same."""
    try:
        waiting.end(answer)
    except Exception as error:
        log.error("hop.unanswered", hop=waiting.inbound.id, exc_info=error)
