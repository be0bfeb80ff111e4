"""Asides: the keywords, danger, the privacy notice, what we hold, and whether a message or a meter reader is genuine."""

from __future__ import annotations

import re

from flows.flow import Flow, is_open
from flows.records import Args, Name, Said
from flows.screens import Bad, ask, decide, end


def staff_number(said: Said, flow: Flow) -> str | Bad:
    """The number on a staff member's card."""
    return said.number if said.number else Bad("digits")


class Help(Flow):
    """Each says one text and leaves the open question open."""

    name = "help"
    intents = {"HELP": "help", "DANGER": "danger", "PRIVACY": "privacy", "HELD": "held", "GENUINE": "genuine_start"}
    aside = True
    screens = {
        "start": decide(),
        "help": end(),
        "danger": end(),
        "privacy": end(),
        "held": end(),
        "genuine_start": decide(),
        "genuine": ask(staff_number, field="staff"),
        "genuine_check": decide(),
        "genuine_yes": end(),
        "genuine_no": end(),
    }
    rules = (
        # on screen       answer   go to            only if
        ("start",         "enter", "help"),
        ("genuine_start", "enter", "genuine_check", "is_named"),
        ("genuine_start", "enter", "genuine"),
        ("genuine",       "given", "genuine_check"),
        ("genuine_check", "enter", "genuine_yes",   "is_staff"),
        ("genuine_check", "enter", "genuine_no"),
    )  # fmt: skip

    def is_named(self) -> bool:
        """Whether the message named a staff number; it is taken as answered."""
        named = re.fullmatch(r"\D*(\d{1,12})\D*", self.said.words)
        if named:
            self.answers["staff"] = named[1]
        return named is not None

    def is_staff(self) -> bool:
        """Whether it is one of ours."""
        return self.answers["staff"] in self.facts.staff

    def genuine_yes_args(self) -> Args:
        """The number and its section."""
        return {"staff": self.answers["staff"], "section": self.facts.staff.get(self.answers["staff"], Name())}

    def genuine_no_args(self) -> Args:
        """The number."""
        return {"staff": self.answers["staff"]}

    def held_args(self) -> Args:
        """How much is kept of this phone, and how long its messages are."""
        own = [r for r in self.facts.requests if r.phone == self.conversation.phone and is_open(r)]
        return {"accounts": len(self.facts.linked), "requests": len(own), "keep": self.facts.policy.keep_texts}
