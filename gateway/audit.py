"""Who looked at what and who changed what, at the desk, the command line and the API: appended, never changed, each line sealed
with the one before."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from gateway.staff import Staff
from gateway.store import Store
from gateway.store.sql import millis

#: Lines read at a time when the chain is verified.
AT_ONCE = 5_000


def seal(before: str, number: int, *line: object) -> str:
    """The seal of a line: a hash over the seal before it and all that it says, so that no line can be changed, left out or
    put in without breaking every seal behind it."""
    return sha256(json.dumps([before, number, *line], ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


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
        run, rows = self.store.database.run, self.store.database.rows
        run("update audit_head set number = number + 1")  # whoever writes next waits here for this transaction
        number, before = rows("select number, seal from audit_head")[0]
        line = (millis(self.clock()), staff.name, staff.role, what, subject, reason)
        sealed = seal(before, number, *line)
        run("insert into audit values (?, ?, ?, ?, ?, ?, ?, ?)", (number, *line, sealed))
        run("update audit_head set seal = ?", (sealed,))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying the chain came to: how many lines hold, the head's seal to note down elsewhere, and the first fault."""

    lines: int
    head: str
    fault: str = ""


def cut(store: Store, before: datetime) -> int:
    """Delete the lines that are older, inside a transaction; the chain then begins with the seal of the last one deleted."""
    run, rows = store.database.run, store.database.rows
    run("update audit_head set number = number")  # whoever writes waits
    ((kept, last),) = rows(
        "select (select min(number) from audit where at >= ?), (select max(number) from audit)", (millis(before),)
    )
    end = kept - 1 if kept is not None else last
    sealed = rows("select seal from audit where number = ?", (end,))
    if not sealed:
        return 0
    run("update audit_head set cut = ?, root = ?", (end, sealed[0][0]))
    return run("delete from audit where number <= ?", (end,))


def verify(store: Store, noted: str = "") -> Verdict:
    """Walk the whole chain. A cut tail shows because the head is kept apart; a head `noted` elsewhere before must stand in it
    still, which proves that nothing was written anew."""
    rows = store.database.rows
    last, head, number, before = rows("select number, seal, cut, root from audit_head")[0]
    first, seen = number, not noted or noted == before
    while True:
        some = rows("select * from audit where number > ? order by number limit ?", (number, AT_ONCE))
        for found, *line, sealed in some:
            number += 1
            if found != number:
                return Verdict(number - 1 - first, head, f"line {number} is missing")
            if seal(before, number, *line) != sealed:
                return Verdict(number - 1 - first, head, f"line {number} was changed, or one before it")
            before, seen = sealed, seen or sealed == noted
        if not some:
            break
    if number != last or before != head:
        return Verdict(number - first, head, f"the end is cut off: line {number} stands here, {last} were written")
    return Verdict(number - first, head, "" if seen else "the head you noted is not among them")
