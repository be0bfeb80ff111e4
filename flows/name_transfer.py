"""Service 2: put the connection in another name."""

from __future__ import annotations

from flows import account
from flows.account import AboutAccount
from flows.records import Args, Tell, Text
from flows.screens import confirm, decide, end, goto, menu


class NameTransfer(AboutAccount):
    """The reason decides the papers. It changes somebody's property: the registered phones are told and may object."""

    name = "name_transfer"
    intents = {"NAME": "word"}
    files = True
    screens = {
        **account.SCREENS,
        "word": decide(),
        "to_details": goto("details", "name"),
        "open": decide(),
        "reason": menu("bought", "died", "partition", "spelling"),
        "confirm": confirm(),
        "confirm_dues": confirm(),
        "done": end(),
        "already": end(),
        "left": end(),
    }
    rules = (
        # on screen      answer                             go to           only if          and then
        ("word",         "enter",                           "to_details",   "gives_a_name"),
        ("word",         "enter",                           "start"),
        *account.rows(then="open"),
        ("open",         "enter",                           "already",      "is_already_open"),
        ("open",         "enter",                           "reason"),
        ("reason",       "bought died partition spelling",  "confirm_dues", "owes"),
        ("reason",       "bought died partition spelling",  "confirm"),
        ("confirm",      "yes",                             "already",      "is_already_open"),
        ("confirm",      "yes",                             "done",         "",              "file tell"),
        ("confirm",      "no",                              "left"),
        ("confirm_dues", "yes",                             "already",      "is_already_open"),
        ("confirm_dues", "yes",                             "done",         "",              "file tell"),
        ("confirm_dues", "no",                              "left"),
    )  # fmt: skip

    def gives_a_name(self) -> bool:
        """NAAM with a name behind it belongs to the request that waits for one."""
        return bool(self.said.words) and not self.said.account and any(map(self.wants_details, self.facts.requests))

    def is_already_open(self) -> bool:
        """Whether this account's name is being changed, if only since a moment ago, by another phone."""
        return self.open_request("name_transfer") is not None

    def file(self) -> None:
        """Open the request."""
        self.file_request("name_transfer", self.the_consumer, told=f"name_transfer_{self.answers['reason']}")

    def tell(self) -> None:
        """Tell the registered phones, who may object."""
        told = Text("sms", "name_transfer_told", self.done_args())
        until = self.facts.now + self.facts.policy.objection
        consumer = self.the_consumer
        self.effects.append(Tell(told, consumer.account, context="name_transfer", ref=self.filed.ticket, until=until))

    def confirm_args(self) -> Args:
        """The account and the papers for the reason."""
        return {"account": self.the_consumer.account, "papers": f"papers_{self.answers['reason']}"}

    def confirm_dues_args(self) -> Args:
        """The same, and the dues."""
        return {**self.confirm_args(), "dues": self.the_consumer.dues}

    def done_args(self) -> Args:
        """The ticket and the papers to bring."""
        return {**super().done_args(), "papers": f"papers_{self.answers['reason']}"}

    def already_args(self) -> Args:
        """The open request."""
        return self.request_args(self.open_request("name_transfer"))
