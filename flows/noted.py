"""Is this connection yours? Asked of a phone that a meter reader noted, before it sees or does anything with the connection."""

from __future__ import annotations

from flows.flow import Flow
from flows.records import Answered, Args, Confirm, Unlink
from flows.screens import decide, end, menu, resume


class Noted(Flow):
    """Asked once: yes confirms the link and leads on to what was wanted, no ends it."""

    name = "noted"
    screens = {
        "start": decide(),
        "ask": menu("yes", "no", deliberate=True),
        "on": resume(),
        "unlinked_own": end(),
    }
    rules = (
        # on screen  answer   go to           only if  and then
        ("start",    "enter", "ask"),
        ("ask",      "yes",   "on",           "",      "confirm"),
        ("ask",      "no",    "unlinked_own", "",      "unlink"),
    )  # fmt: skip

    def confirm(self) -> None:
        """The link is theirs; the message that asked the same is answered."""
        self.effects.append(Confirm(self.the_consumer.account))
        self._answered()

    def unlink(self) -> None:
        """This phone hears no more of that account."""
        self.effects.append(Unlink(self.the_consumer.account, self.conversation.phone))
        self._answered()

    def _answered(self) -> None:
        account = self.the_consumer.account
        self.effects += [Answered(c.id) for c in self.facts.contexts if (c.kind, c.account) == ("noted", account)]

    def ask_args(self) -> Args:
        """The account and its masked name."""
        return {"account": self.the_consumer.account, "name": self.the_consumer.name}

    unlinked_own_args = ask_args
