"""What waits is served together: hops gather while the last group is being committed, and go in as the next one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from gateway.hop import Unavailable
from gateway.records import Answer, Inbound

#: More in one transaction gains nothing and delays the first of them (limits.md section 2).
MOST_TOGETHER = 64

Waiting = tuple[Inbound, "asyncio.Future[Answer]", asyncio.AbstractEventLoop]


class Traffic:
    """Writer threads between the web server's event loop and the store: one for a file, several for PostgreSQL, where one
    group is stepped while the server commits another.

    One waiting hop is served at once; there is no delay to gather more. Two hops of one phone are never on their way at
    once, so the second sees what the first did.
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
        self._minute, self._in_minute = 0, Counter[str]()
        #: What a hop takes, as the last groups took it, in seconds.
        self._each = 0.0
        self._writers = writers
        self._serve = serve
        self._after = after
        self._close = close
        self._waiting: deque[Waiting] = deque()
        self._busy: set[str] = set()
        self._arrived = threading.Condition()
        self._stopped = False
        self._threads = [threading.Thread(target=self._run, name=f"writer-{number}") for number in range(writers)]

    def start(self) -> None:
        """Start serving."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Serve what waits, then stop."""
        with self._arrived:
            self._stopped = True
            self._arrived.notify_all()
        for thread in self._threads:
            thread.join()

    async def serve(self, inbound: Inbound) -> Answer:
        """The answer to an inbound, once it is durable. Raises hop.Unavailable, at the latest when patience is at an end:
        what still waits then is not served any more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        with self._arrived:
            if len(self._waiting) * self._each / self._writers > self._patience:
                raise Unavailable("more waits than can be served in time")
            if inbound.channel == "ussd" and self._is_too_much(inbound.phone):
                raise Unavailable("one phone asks too often")
            self._waiting.append((inbound, future, loop))
            self._arrived.notify()
        timer = loop.call_later(self._patience, _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()

    def _is_too_much(self, phone: str) -> bool:
        """Count a hop of a phone; whether it is one too many in this minute."""
        minute = int(time.monotonic() / 60)
        if minute != self._minute:
            self._minute, self._in_minute = minute, Counter()
        self._in_minute[phone] += 1
        return self._in_minute[phone] > self._most_a_minute

    def _gather(self) -> list[Waiting]:
        """The next group: what waits, one hop a phone; empty when there is nothing more to do."""
        with self._arrived:
            while True:
                group: list[Waiting] = []
                later: list[Waiting] = []
                while self._waiting and len(group) < MOST_TOGETHER:
                    waiting = self._waiting.popleft()
                    if waiting[1].done():  # given up, or the carrier hung up
                        continue
                    phone = waiting[0].phone
                    (later if phone in self._busy else group).append(waiting)
                    self._busy.add(phone)
                self._waiting.extendleft(reversed(later))
                if group or (self._stopped and not self._waiting):
                    return group
                self._arrived.wait()

    def _run(self) -> None:
        while group := self._gather():
            began = time.monotonic()
            try:
                answers: Sequence[Answer | Exception] = self._serve([inbound for inbound, _, _ in group])
            except Exception as error:  # each hop of the group hears of it; the writer goes on
                answers = [error] * len(group)
            with self._arrived:
                self._each += ((time.monotonic() - began) / len(group) - self._each) / 8
                self._busy.difference_update(inbound.phone for inbound, _, _ in group)
                if self._waiting:
                    self._arrived.notify_all()
            loop = group[0][2]
            loop.call_soon_threadsafe(_release, [(future, answer) for (_, future, _), answer in zip(group, answers, strict=True)])
            self._after()
        self._close()


def _give_up(future: asyncio.Future[Answer]) -> None:
    if not future.done():
        future.set_exception(Unavailable("not served in time"))


def _release(answers: Sequence[tuple[asyncio.Future[Answer], Answer | Exception]]) -> None:
    for future, answer in answers:
        if future.done():  # the carrier hung up while its hop was in the group
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
