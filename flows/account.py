"""Which connection is it about? The screens, rows and methods that every service about an account shares."""

from __future__ import annotations

from collections.abc import Sequence

from flows.flow import Flow, Rule
from flows.records import Args, Option
from flows.screens import Screen, account, ask, decide, menu

#: A phone with more accounts than this types the number of the others.
MOST_LISTED = 6

SCREENS: dict[str, Screen] = {
    "start": decide(),
    "pick": menu("other", items="account", field="account"),
    "ca": ask(account, field="account"),
    "whose": menu("yes", "no", deliberate=True),
}


def rows(then: str) -> Sequence[Rule]:
    """From the start of a flow to its screen `then`, with the account known and, if it is not this phone's, shown by name."""
    return (
        ("start", "enter", then, "is_linked"),
        ("start", "enter", "whose", "is_named"),
        ("start", "enter", "pick", "has_several"),
        ("start", "enter", "ca"),
        ("pick", "account", then),
        ("pick", "other", "ca", "", "drop_account"),
        ("ca", "given", then, "is_linked"),
        ("ca", "given", "whose"),
        ("whose", "yes", then),
        ("whose", "no", "ca", "", "drop_account"),
    )


class AboutAccount(Flow):
    """A flow about one connection."""

    def arrived(self) -> None:
        """The phone's only account is kept as answered: it stays the one though links change in the meantime."""
        if self.screens[self.state].field != "account" and "elsewhere" not in self.answers and self.consumer:
            self.answers.setdefault("account", self.consumer.account)

    def is_private(self) -> bool:
        """All of it."""
        return True

    def is_named(self) -> bool:
        """Whether the message named an account that exists."""
        return "account" in self.answers

    def has_several(self) -> bool:
        """Whether this phone has more than one account."""
        return len(self.facts.linked) > 1

    def owes(self) -> bool:
        """Whether there are dues to speak of: their amount is told to whom a bill's is (GATEWAY_BILL_TO_UNLINKED)."""
        return self.the_consumer.dues > 0 and (self.is_linked() or self.facts.policy.bill_to_unlinked != "none")

    def drop_account(self) -> None:
        """Not this one."""
        self.answers.pop("account", None)

    def pick_items(self) -> tuple[Option, ...]:
        """This phone's accounts."""
        return tuple(
            Option("account", c.account, {"account": c.account, "name": c.name}) for c in self.facts.linked[:MOST_LISTED]
        )

    def whose_args(self) -> Args:
        """The account and its masked name."""
        consumer = self.the_consumer
        return {"account": consumer.account, "name": consumer.name}
