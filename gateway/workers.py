"""What goes on beside answering: a thread for each carrier's sending and fetching, one for chores, all stopped together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from gateway.outbox import Outbox


class Work(Protocol):
    """Something that goes on until it is told to stop."""

    def run(self, stop: threading.Event) -> None:
        """Do it."""


class Workers:
    """The threads."""

    def __init__(self, work: Sequence[Work]) -> None:
        self._stop = threading.Event()
        self._outboxes = [one for one in work if isinstance(one, Outbox)]
        self._threads = [threading.Thread(target=one.run, args=(self._stop,)) for one in work]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something was put into the outbox."""
        for outbox in self._outboxes:
            outbox.wake.set()

    def stop(self) -> None:
        """End soon: may be called by a signal."""
        self._stop.set()
        self.wake()

    def join(self) -> None:
        """Wait for the end."""
        for thread in self._threads:
            thread.join()
