"""Closing the gaps of a webhook: messages the carrier keeps are fetched now and then, and those that never reached us served."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from gateway.carriers import Mailbox
from gateway.hop import now_utc
from gateway.records import Answer, Inbound, masked
from gateway.store import Store
from gateway.store import mailbox as kept
from messages.understand import mask_aadhaar

log = structlog.get_logger()

#: What is older is not answered any more: as long as the carrier itself would bring it again.
TOO_LATE = timedelta(hours=12)


class Pull:
    """One carrier's messages. Any number of workers may run it: one of them has its turn."""

    def __init__(
        self,
        store: Store,
        carrier: Mailbox,
        serve: Callable[[Sequence[Inbound]], Sequence[Answer]],
        *,
        every: timedelta,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._store = store
        self._mailbox = kept.Mailbox(store)
        self._carrier = carrier
        self._serve = serve
        self._every = every
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Look again and again until `stop`."""
        while not stop.is_set():
            try:
                self.turn()
            except Exception as error:  # the carrier or the database is away: what was not served is fetched again
                log.warning("pull.trouble", carrier=self._carrier.name, exc_info=error)
            stop.wait(self._every.total_seconds())
        self._store.close()

    def turn(self) -> int:
        """Fetch what is new and serve what we do not know; how many that were."""
        with self._store.write():
            mark = self._mailbox.claim(self._carrier.name, self._clock(), self._every)
        if mark is None:
            return 0
        first, served = not mark, 0
        while True:
            messages, last = self._carrier.fetch(mark)
            if last == mark:
                return served
            for message in () if first else messages:  # what came before us is not ours to answer
                served += self._take(message)
            mark = last
            with self._store.write():
                self._mailbox.keep_mark(self._carrier.name, mark)

    def _take(self, message: Inbound) -> bool:
        """Serve one, unless it would be answered into a conversation that has gone on without it. The hop itself knows those
        that the webhook brought."""
        now = self._clock()
        if now - message.at > TOO_LATE:
            return False
        masked_text, _ = mask_aadhaar(message.text)
        if self._mailbox.twin(message, masked_text):
            return False
        log.warning("pull.found", carrier=message.carrier, inbound=message.id, phone=masked(message.phone))
        if self._mailbox.moved_on(message):
            self._store.quarantine(message, "fetch", "fetched when the phone had already said something else", now, masked_text)
            return False
        self._serve([message])
        return True
