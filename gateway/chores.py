"""What is done beside hops and sending: readings handed over, dropped sessions told of, campaigns worked, imports finished."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from gateway.store import Store

log = structlog.get_logger()

#: How often there is a look round when there was nothing to do: a bill follows its reading within a second.
ROUND_SECONDS = 0.25
#: And after one that failed.
TROUBLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Chore:
    """One kind of work: `work` does a short piece of it and says whether there was any."""

    name: str
    work: Callable[[], object]


class Chores:
    """Does them one after the other in a thread of its own."""

    def __init__(self, store: Store, chores: Sequence[Chore]) -> None:
        self._store, self._chores = store, chores
        self._trouble = False

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`."""
        while not stop.is_set():
            if not self.round():
                stop.wait(TROUBLE_SECONDS if self._trouble else ROUND_SECONDS)
        self._store.close()

    def round(self) -> bool:
        """Each chore once. One that fails does not keep the others from theirs."""
        busy = self._trouble = False
        for chore in self._chores:
            try:
                busy = bool(chore.work()) or busy
            except Exception as error:  # the database is away, or a bug of ours: the next round tries again
                self._trouble = True
                log.error("chore.failed", chore=chore.name, exc_info=error)
        return busy
