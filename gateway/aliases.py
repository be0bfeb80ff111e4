"""Spellings that staff add at the desk: every process hears by them within seconds, without being told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from flows.records import Said
from gateway.store.sql import Store
from messages.understand import Ear

#: How long a process may go on by the list it read last.
STALE_SECONDS = 2.0


def kept_aliases(store: Store) -> dict[str, str]:
    """The spellings with the intent of each."""
    return dict(store.database.rows("select spelling, intent from alias order by spelling"))


class LiveEar:
    """An Ear that is made anew when the list of spellings has changed. Numbers, which most answers are, never ask for it."""

    def __init__(self, store: Store, ca_pattern: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._ca_pattern = ca_pattern
        self._clock = clock
        self._looked = clock()
        self._aliases = kept_aliases(store)
        self._ear = Ear(ca_pattern, aliases=self._aliases)

    @property
    def intents(self) -> frozenset[str]:
        """Every intent that can be understood."""
        return self._ear.intents

    def piece(self, text: str) -> Said:
        """One USSD input."""
        return self._ear.piece(text)

    def message(self, text: str) -> tuple[Said, ...]:
        """An SMS."""
        self.refresh()
        return self._ear.message(text)

    def refresh(self, *, now: bool = False) -> None:
        """Look whether the list has changed, if it was not looked at just before."""
        at = self._clock()
        if now or at - self._looked >= STALE_SECONDS:
            self._looked = at
            aliases = kept_aliases(self._store)
            if aliases != self._aliases:
                self._ear, self._aliases = Ear(self._ca_pattern, aliases=aliases), aliases

    def trial(self, added: Mapping[str, str]) -> None:
        """Raises ValueError if such spellings could not be added."""
        Ear(self._ca_pattern, aliases={**kept_aliases(self._store), **added})
