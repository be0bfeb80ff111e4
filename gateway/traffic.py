"""What waits is served together: hops gather while the last group is being committed, and go in as the next one."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

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
    ) -> None:
        """`after` is called after each group, `close` by each writer when it ends."""
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
        """The answer to an inbound, once it is durable. Raises hop.Unavailable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        with self._arrived:
            self._waiting.append((inbound, future, loop))
            self._arrived.notify()
        return await future

    def _gather(self) -> list[Waiting]:
        """The next group: what waits, one hop a phone; empty when there is nothing more to do."""
        with self._arrived:
            while True:
                group: list[Waiting] = []
                later: list[Waiting] = []
                while self._waiting and len(group) < MOST_TOGETHER:
                    waiting = self._waiting.popleft()
                    phone = waiting[0].phone
                    (later if phone in self._busy else group).append(waiting)
                    self._busy.add(phone)
                self._waiting.extendleft(reversed(later))
                if group or (self._stopped and not self._waiting):
                    return group
                self._arrived.wait()

    def _run(self) -> None:
        while group := self._gather():
            try:
                answers: Sequence[Answer | Exception] = self._serve([inbound for inbound, _, _ in group])
            except Exception as error:  # each hop of the group hears of it; the writer goes on
                answers = [error] * len(group)
            with self._arrived:
                self._busy.difference_update(inbound.phone for inbound, _, _ in group)
                if self._waiting:
                    self._arrived.notify_all()
            loop = group[0][2]
            loop.call_soon_threadsafe(_release, [(future, answer) for (_, future, _), answer in zip(group, answers, strict=True)])
            self._after()
        self._close()


def _release(answers: Sequence[tuple[asyncio.Future[Answer], Answer | Exception]]) -> None:
    for future, answer in answers:
        if future.done():  # the carrier hung up while its hop was in the group
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
