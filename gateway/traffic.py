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
    """A writer thread between the web server's event loop and the store.

    One waiting hop is served at once; there is no delay to gather more. Two hops of one phone never share a group, so
    the second sees what the first did.
    """

    def __init__(self, serve: Callable[[Sequence[Inbound]], Sequence[Answer]], after: Callable[[], None]) -> None:
        self._serve = serve
        self._after = after
        self._waiting: deque[Waiting] = deque()
        self._arrived = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="writer")

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    def stop(self) -> None:
        """Serve what waits, then stop."""
        with self._arrived:
            self._stopped = True
            self._arrived.notify()
        self._thread.join()

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
            while not self._waiting and not self._stopped:
                self._arrived.wait()
            group: dict[str, Waiting] = {}
            later: list[Waiting] = []
            while self._waiting and len(group) < MOST_TOGETHER:
                waiting = self._waiting.popleft()
                if waiting[0].phone in group:
                    later.append(waiting)
                else:
                    group[waiting[0].phone] = waiting
            self._waiting.extendleft(reversed(later))
            return list(group.values())

    def _run(self) -> None:
        while group := self._gather():
            try:
                answers: Sequence[Answer | Exception] = self._serve([inbound for inbound, _, _ in group])
            except Exception as error:  # each hop of the group hears of it; the writer goes on
                answers = [error] * len(group)
            loop = group[0][2]
            loop.call_soon_threadsafe(_release, [(future, answer) for (_, future, _), answer in zip(group, answers, strict=True)])
            self._after()


def _release(answers: Sequence[tuple[asyncio.Future[Answer], Answer | Exception]]) -> None:
    for future, answer in answers:
        if future.done():  # the carrier hung up while its hop was in the group
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
