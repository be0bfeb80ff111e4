"""Readings go to the billing system: posted and signed, tried again until taken; in the demo to the demonstration tariff."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import requests
import structlog

from gateway.store import Store
from gateway.store.readings import Readings, Taken

log = structlog.get_logger()

#: Readings handed over in a row, and the seconds for that, before others have their turn and an end is noticed.
GROUP, TURN_SECONDS = 20, 1.0
#: The first wait before another try, doubled each time up to the longest. A reading is never given up.
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(hours=1)
#: How long the billing system may take to answer, in seconds.
PATIENCE = 15
#: For how long a reading is its worker's; and the longest time for which a billing system that is away is asked nothing.
CLAIM, LONGEST_REST = timedelta(minutes=2), timedelta(minutes=5)


class Billing(Protocol):
    """Where readings go."""

    def take(self, taken: Taken) -> str:
        """Hand a reading over; why it was not taken, or empty. Raises requests.RequestException when nobody answers."""


class Webhook:
    """The company's billing system: a JSON object per reading, posted to one address.

    `X-Signature` is the HMAC-SHA256 of the body in hexadecimal, `Idempotency-Key` the same for every try of a reading. Any
    status from 200 to 299 is a yes.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._url, self._secret = url, secret.encode()
        self._session = requests.Session()

    def take(self, taken: Taken) -> str:
        """Post it."""
        body = msgspec.json.encode(
            {"id": taken.id, "account": taken.account, "month": taken.month.isoformat()[:7], "taken_at": taken.at.isoformat(),
             "status": taken.status, "reading": taken.value, "flag": taken.flag, "previous": taken.previous,
             "source": "reader" if taken.staff else "consumer", "staff": taken.staff}
        )  # fmt: skip
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"reading-{taken.id}",
            "X-Signature": hmac.new(self._secret, body, hashlib.sha256).hexdigest(),
        }
        answer = self._session.post(self._url, data=body, headers=headers, timeout=PATIENCE, allow_redirects=False)
        return "" if 200 <= answer.status_code < 300 else f"status {answer.status_code}"

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()


class Handover:
    """Works off what waits. A reading is claimed before it is handed over, so that of many workers one does it: the billing
    system sees an id again only when it did not say yes, or a worker died before it could write the yes down."""

    def __init__(self, store: Store, billing: Billing, clock: Callable[[], datetime]) -> None:
        self._store, self._billing, self._clock = store, billing, clock
        self._readings = Readings(store.database)
        #: How often in a row nobody answered, and until when nobody is asked.
        self._away, self._rests_until = 0, clock()

    def work(self) -> int:
        """Hand over some of what is due; how many readings were taken. Ends at the first one to which nobody answers: the next
        one would only hang as long."""
        taken, began, now = 0, time.monotonic(), self._clock()
        if now < self._rests_until <= now + LONGEST_REST:
            return 0
        for reading in self._readings.waiting(now, GROUP):
            with self._store.write():
                mine = self._readings.claim(reading.id, self._clock(), CLAIM)
            if not mine:
                continue
            try:
                why, self._away = self._billing.take(reading), 0
            except requests.RequestException as error:
                why, self._away = type(error).__name__, self._away + 1
            self._settle(reading, why)
            taken += not why
            if self._away or time.monotonic() - began > TURN_SECONDS:
                break
        if self._away:
            self._rests_until = self._clock() + min(FIRST_WAIT * 2 ** min(self._away - 1, 20), LONGEST_REST)
        return taken

    def _settle(self, reading: Taken, why: str) -> None:
        now = self._clock()
        with self._store.write():
            if why:
                wait = min(FIRST_WAIT * 2 ** min(reading.tries, 20), LONGEST_WAIT)
                self._readings.again(reading.id, why, now + wait)
            else:
                self._readings.handed(reading.id, now)
        if why:
            log.warning("reading.not_taken", reading=reading.id, why=why, tries=reading.tries + 1)
