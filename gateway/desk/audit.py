"""Who looked at what and who changed what, at the desk: appended, never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.desk.staff import Staff
from gateway.store import Store
from gateway.store.sql import millis


@dataclass(frozen=True, slots=True)
class Audit:
    """The list of what was done: `what` is a word such as `read request` or `step restore`, `subject` a ticket, an account
    or a campaign, `reason` what the person gave as one."""

    store: Store
    clock: Callable[[], datetime]

    def __call__(self, staff: Staff, what: str, subject: str, reason: str = "") -> None:
        """Write one line, in a transaction of its own."""
        with self.store.write():
            self.within(staff, what, subject, reason)

    def within(self, staff: Staff, what: str, subject: str, reason: str = "") -> None:
        """Write one line inside the transaction of the change it tells of."""
        self.store.database.run(
            "insert into audit (at, who, role, what, subject, reason) values (?, ?, ?, ?, ?, ?)",
            (millis(self.clock()), staff.name, staff.role, what, subject, reason),
        )
