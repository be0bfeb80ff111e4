"""Machines that answer machines: a phone that writes without end, or echoes our own words, is answered no more.

A person who sends the same thing again still gets an answer, up to a number no person reaches. What is not answered is kept
with its reason, and STOP is always heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gateway.records import Inbound
from gateway.store.mailbox import Mailbox


@dataclass(frozen=True, slots=True)
class Loops:
    """`most` SMS of one phone within `within`, or `equal` with the same words, are the last that are answered. Answers to
    questions do not count as equal: who files three services says 1 more often than that.
    """

    mailbox: Mailbox
    within: timedelta
    most: int
    equal: int

    def why_silent(self, inbound: Inbound, masked: str, *, is_answer: bool) -> str:
        """Why an SMS is not answered: `loop`, `echo`, or empty. `masked` is its text as it is kept, `is_answer` whether it is a
        number or one word that answers a question."""
        all_, equal = self.mailbox.lately(inbound, masked, self.within)
        if all_ >= self.most or (equal >= self.equal and not is_answer):
            return "loop"
        return "echo" if masked and self.mailbox.is_ours(inbound.phone, masked) else ""
