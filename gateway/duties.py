"""Data protection at work: old data is purged, a person is forgotten, and whoever looks is written down."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from gateway.records import masked
from gateway.settings import Settings
from gateway.store import Store
from gateway.store.duties import DELETED, LOGS, Duties

#: Rows in one transaction, and what part of its time the database is left to others afterwards.
GROUP, REST = 500, 0.5


def alias(phone: str, key: str) -> str:
    """What stands for a phone in old logs: always the same under one key; nothing without a key."""
    if not key or not phone.startswith("+"):
        return "" if phone.startswith("+") else phone
    return "#" + hmac.new(key.encode(), phone.encode(), hashlib.sha256).hexdigest()[:24]


class Keeper:
    """Erases what may not be kept any longer, in short transactions beside live traffic."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings, self._duties = store, settings, Duties(store.database)

    def purge(self, now: datetime) -> dict[str, int]:
        """Everything that is too old; how many rows of each kind went or were blanked."""
        gone: Counter[str] = Counter()
        texts = self._before("keep_text_days", now)
        gone["texts received"] = self._all(lambda: self._duties.blank_inbound(texts, GROUP, self._alias))
        gone["texts sent"] = self._all(lambda: self._duties.blank_outbox(texts, GROUP, self._alias))
        for old, setting in DELETED:
            before = self._before(setting, now)
            gone[old.table] += self._all(lambda old=old, before=before: self._duties.delete(old, before, GROUP))  # type: ignore[misc]
        for log in LOGS:
            with self._store.write():
                gone[log] = self._duties.delete_log(log, self._before("keep_log_days", now))
        ended = self._before("keep_request_days", now)
        gone["request"] = self._all(lambda: self._duties.delete_requests(ended, GROUP))
        gone["unfinished answers"] = self._drafts(self._before("keep_draft_days", now))
        return dict(gone)

    def forget(self, phone: str, who: str, reason: str, now: datetime) -> dict[str, int]:
        """Erase a person; what there was."""
        with self._store.write([phone]):
            held = self._duties.held(phone)
            self._duties.access(who, f"forget {masked(phone)}", reason, now)
            self._duties.forget(phone, self._alias(phone))
        return held

    def held(self, phone: str, who: str, reason: str, now: datetime) -> dict[str, int]:
        """What is kept of a phone; that it was asked is written down."""
        with self._store.write([phone]):
            self._duties.access(who, f"held {masked(phone)}", reason, now)
        return self._duties.held(phone)

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
            if count < GROUP:
                return total
            time.sleep((time.monotonic() - began) * REST)

    def _drafts(self, before: datetime) -> int:
        total, reached = 0, ""
        while True:
            with self._store.write():
                count, reached = self._duties.forget_drafts(before, reached, GROUP)
            total += count
            if not reached:
                return total
