"""A person sends their own meter reading, in the days of the month in which it is taken."""

from __future__ import annotations

from flows.account import AboutAccount
from flows.reading import TakesReading, meter_reading
from flows.records import INDIA, Args, Take
from flows.screens import ask_reading, confirm, decide, end, goto, menu


class OwnReading(AboutAccount, TakesReading):
    """For linked phones only; checked like a meter reader's."""

    name = "own_reading"
    intents = {"OWN": "start"}
    files = True
    screens = {
        "start": decide(),
        "mine": decide(),
        "closed": end(),
        "unlinked": menu("link"),
        "to_link": goto("register"),
        "pick": menu(items="account", field="account"),
        "prepaid": end(),
        "asked": decide(),
        "reading": ask_reading(meter_reading),
        "again": ask_reading(meter_reading, field="reading", deliberate=True),
        "confirm": confirm(),
        "done": end(),
        "left": end(),
    }
    rules = (
        # on screen  answer     go to       only if          and then
        ("start",    "enter",   "closed",   "is_closed"),
        ("start",    "enter",   "asked",    "is_linked"),
        ("start",    "enter",   "pick",     "has_several"),
        ("start",    "enter",   "unlinked"),
        ("mine",     "enter",   "closed",   "is_closed"),
        ("mine",     "enter",   "asked"),
        ("unlinked", "link",    "to_link"),
        ("pick",     "account", "asked"),
        ("asked",    "enter",   "prepaid",  "is_prepaid"),
        ("asked",    "enter",   "reading"),
        ("reading",  "given",   "again",    "is_odd"),
        ("reading",  "given",   "confirm"),
        ("again",    "given",   "confirm"),
        ("confirm",  "yes",     "done",     "",              "keep"),
        ("confirm",  "no",      "left"),
    )  # fmt: skip

    def is_closed(self) -> bool:
        """Not in the days of the month in which own readings are taken; the days may run over the month's end."""
        first, last = self.facts.policy.own_reading
        day = self.facts.now.astimezone(INDIA).day
        return not (first <= day <= last if first <= last else day >= first or day <= last)

    def is_prepaid(self) -> bool:
        """A prepaid meter reads itself."""
        return self.the_consumer.balance is not None

    def keep(self) -> None:
        """Keep it."""
        self.effects.append(Take(self.the_consumer.account, "OK", int(self.answers["reading"]), self.flag))

    def closed_args(self) -> Args:
        """The days in which it is taken."""
        first, last = self.facts.policy.own_reading
        return {"first": first, "last": last}

    def reading_args(self) -> Args:
        """Whose reading it is."""
        return {"account": self.the_consumer.account}

    prepaid_args = reading_args

    def confirm_args(self) -> Args:
        """What is about to be sent."""
        return {"account": self.the_consumer.account, "reading": int(self.answers["reading"])}

    done_args = confirm_args
