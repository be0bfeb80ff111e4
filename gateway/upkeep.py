"""What keeps the store well while nobody looks: an eye on the disk with a reserve on it, and `gateway check` and `gateway purge`
once a night."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from flows.records import INDIA
from gateway.check import check
from gateway.duties import Keeper
from gateway.settings import Settings
from gateway.store import Store
from gateway.store.queue import Queue
from gateway.store.sqlite import SQLite

log = structlog.get_logger()

#: How often there is a look at the disk: service is back within 10 seconds of space.
EVERY_SECONDS = 5.0
#: The hours, India's time, in which the daily check and purge begin: the fewest people are up.
NIGHT = range(2, 5)
ONCE_A_NIGHT = timedelta(hours=12)
#: With less than this free on the disk nothing can be relied on to be kept.
FULL_BYTES = 2_000_000


def disk_is_full(store: Store) -> bool:
    """Whether hops can hardly be kept any more. The disk of a PostgreSQL is not ours to see."""
    database = store.database
    return isinstance(database, SQLite) and shutil.disk_usage(Path(database.path).parent).free < FULL_BYTES


class Upkeep:
    """Runs beside the outbox in a thread of its own. Sizes are bytes; without a `low` the disk is not looked at."""

    def __init__(self, store: Store, clock: Callable[[], datetime], *, low: int, reserve: int) -> None:
        self._store, self._clock, self._queue = store, clock, Queue(store)
        self._low, self._size = low, reserve
        database = store.database
        self._name = database.name
        self._file = Path(f"{database.path}.reserve") if isinstance(database, SQLite) and low else None
        self._alarmed: bool | None = None  # an alarm of an earlier worker may stand

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`."""
        while not stop.is_set():
            try:
                self.look_at_disk()
                self.check_if_due()
            except Exception as error:  # the disk is full or the database away: it is looked at again
                log.error("upkeep.failed", exc_info=error)
            stop.wait(EVERY_SECONDS)
        self._store.close()

    # --- the disk ---------------------------------------------------------------------------------------------------

    def look_at_disk(self) -> None:
        """Raise an alarm while there is time; when nothing fits any more, give up the reserve, with which people are
        answered and things can be deleted (a full disk refuses even that)."""
        if self._file is None:
            return
        free = shutil.disk_usage(self._file.parent).free
        if free < FULL_BYTES and self._file.exists():
            self._file.unlink()
            log.error("disk.full", free_mb=free // 1_000_000, freed_mb=self._size // 1_000_000)
        elif not self._file.exists() and free > self._low + self._size:
            self._reserve(self._file)
        self._alarm(free < self._low, f"{free // 1_000_000} MB are free; delete something, or give it a larger disk")

    def _reserve(self, file: Path) -> None:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(handle, 0, self._size)
        finally:
            os.close(handle)

    def _alarm(self, on: bool, why: str) -> None:
        if on == self._alarmed:
            return
        with self._store.write():
            if on:
                self._queue.raise_alarm("disk", self._name, self._clock(), why)
                changed = True
            else:
                changed = self._queue.end_alarm("disk", self._name, self._clock())
        self._alarmed = on
        if changed:
            log.log(40 if on else 30, "disk.low" if on else "disk.well", why=why)

    # --- the daily check --------------------------------------------------------------------------------------------

    def check_if_due(self) -> None:
        """Run `gateway check` once a night, whichever worker comes first; faults become log lines and an alarm, and so does it
        that it could not be run."""
        now = self._clock()
        if now.astimezone(INDIA).hour not in NIGHT:
            return
        with self._store.write():
            mine = self._store.claim("check", now, ONCE_A_NIGHT)
        if not mine:
            return
        try:
            with self._store.database.unhurried():
                faults = check(self._store, now)
        except Exception as error:
            with self._store.write():
                why = f"it could not be run ({type(error).__name__}): run `gateway check`"
                self._queue.raise_alarm("check", self._name, now, why)
            raise
        for fault in faults:
            log.error("check.fault", fault=fault)
        with self._store.write():
            if faults:
                self._queue.raise_alarm("check", self._name, now, f"{len(faults)} faults: run `gateway check`")
            else:
                self._queue.end_alarm("check", self._name, now)
        log.info("check.done", faults=len(faults))


class Purging:
    """Runs `gateway purge` once a night, whichever worker comes first; in a thread of its own, for there may be much to erase."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._store, self._settings, self._clock = store, settings, clock

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`."""
        while not stop.is_set():
            try:
                self.purge_if_due(stop)
            except Exception as error:  # the disk is full or the database away: what is left is erased tomorrow
                log.error("purge.failed", exc_info=error)
            stop.wait(EVERY_SECONDS)
        self._store.close()

    def purge_if_due(self, stop: threading.Event) -> None:
        """Erase what is too old, once a night."""
        now = self._clock()
        if now.astimezone(INDIA).hour not in NIGHT:
            return
        with self._store.write():
            mine = self._store.claim("purge", now, ONCE_A_NIGHT)
        if mine:
            log.info("purge.done", **Keeper(self._store, self._settings, stop).purge(now))
