"""Data protection at work: old data is purged, a person is forgotten, and whoever looks is written down."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from itertools import repeat
from typing import TypeVar

from gateway.audit import Audit, cut
from gateway.records import masked
from gateway.settings import Settings
from gateway.staff import Staff
from gateway.store import Store
from gateway.store.duties import DELETED, LOGS, Ages, Duties
from gateway.store.sql import millis

#: Rows in one transaction, and what part of its time the database is left to others afterwards.
GROUP, REST = 500, 0.5
#: Rows looked at in one transaction.
PASSED = 2000
#: What belongs together and does not go at once, by its settings; and how much older an inbound may be than what came of it.
PARTED, LATE = ("keep_ussd_days", "keep_text_days", "keep_log_days", "keep_request_days"), timedelta(days=1)

Place = TypeVar("Place")


def alias(phone: str, key: str) -> str:
    """What stands for a phone in old logs: always the same under one key; nothing without a key."""
    if not key or not phone.startswith("+"):
        return "" if phone.startswith("+") else phone
    return "#" + hmac.new(key.encode(), phone.encode(), hashlib.sha256).hexdigest()[:24]


class Keeper:
    """Erases what may not be kept any longer, in short transactions beside live traffic."""

    def __init__(self, store: Store, settings: Settings, stop: threading.Event | None = None) -> None:
        """`stop` ends a purge early: the next one goes on."""
        self._store, self._settings, self._duties = store, settings, Duties(store.database)
        self._stop = stop or threading.Event()

    def purge(self, now: datetime) -> dict[str, int]:
        """Everything that is too old; how many rows of each kind went or were blanked."""
        gone: Counter[str] = Counter()
        with self._store.write():
            self._duties.erased_until(max(map(self._before, PARTED, repeat(now))) + LATE)
        ages = Ages(*(millis(self._before(f"keep_{what}_days", now)) for what in ("ussd", "text", "log")))
        inbound, outbox = self._duties.age_inbound, self._duties.age_outbox
        gone["received"] = self._through(("", ""), lambda after: inbound(after, ages, self._alias, PASSED))
        gone["sent"] = self._through(0, lambda after: outbox(after, ages, self._alias, PASSED))
        for old, setting in DELETED:
            before = self._before(setting, now)
            gone[old.table] += self._all(lambda old=old, before=before: self._duties.delete(old, before, GROUP))  # type: ignore[misc]
        for log in LOGS:
            some = partial(self._duties.age_log, log, ages=ages, alias=self._alias, limit=PASSED)
            gone[log.table] = self._through(log.first, some)
        with self._store.write():
            gone["audit"] = cut(self._store, self._before("keep_log_days", now))
        ended = self._before("keep_request_days", now)
        gone["request"] = self._all(lambda: self._duties.delete_requests(ended, GROUP))
        drafts, before = self._duties.forget_drafts, self._before("keep_draft_days", now)
        gone["unfinished answers"] = self._through("", lambda after: drafts(before, after, PASSED))
        idle, before = self._duties.drop_idle, self._before("keep_text_days", now)
        gone["conversation"] = self._through("", lambda after: idle(before, now, after, PASSED))
        return dict(gone)

    def forget(self, phone: str, by: Staff, reason: str, now: datetime) -> dict[str, int]:
        """Erase a person; what there was."""
        with self._store.write([phone]):
            held = self._duties.held(phone)
            self._audit(now).within(by, "forget", masked(phone), reason)
            self._duties.forget(phone, self._alias(phone))
        return held

    def held(self, phone: str, by: Staff, reason: str, now: datetime) -> dict[str, int]:
        """What is kept of a phone; that it was asked is written down."""
        with self._store.write([phone]):
            self._audit(now).within(by, "held", masked(phone), reason)
        return self._duties.held(phone)

    def _audit(self, now: datetime) -> Audit:
        return Audit(self._store, lambda: now)

    def _alias(self, phone: str) -> str:
        return alias(phone, self._settings.pseudonym_key.get_secret_value())

    def _before(self, setting: str, now: datetime) -> datetime:
        return now - timedelta(days=getattr(self._settings, setting))

    def _all(self, some: Callable[[], int]) -> int:
        """Again and again until nothing is left."""
        total = 0
        while True:
            began = time.monotonic()
            with self._store.write():
                count = some()
            total += count
            if count < GROUP or self._stop.wait((time.monotonic() - began) * REST):
                return total

    def _through(self, start: Place, some: Callable[[Place], tuple[int, Place]]) -> int:
        """Once through a table from its start, some rows at a time."""
        total, after = 0, start
        while True:
            began = time.monotonic()
            with self._store.write():
                count, after = some(after)
            total += count
            if after == start or self._stop.wait((time.monotonic() - began) * REST):
                return total
