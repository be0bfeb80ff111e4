"""Service 4: cut my connection (moved away, house sold, shop closed)."""

from __future__ import annotations

from flows import account
from flows.account import AboutAccount
from flows.flow import Flow
from flows.records import Args, Said, Tell, Text
from flows.screens import Bad, ask, confirm, decide, end, menu


def last_four(said: Said, flow: Flow) -> str | Bad:
    """The last four digits of the account, typed as a deliberate act; not kept."""
    consumer = flow.consumer
    return "typed" if consumer and said.number == consumer.account[-4:] else Bad("last_four")


class Disconnection(AboutAccount):
    """The one service that harms if done by mistake: dues shown, four digits typed, confirmed, and 24 hours to object."""

    name = "disconnection"
    intents = {"CUT": "start"}
    files = True
    screens = {
        **account.SCREENS,
        "open": decide(),
        "term": menu("permanent", "temporary"),
        "reason": menu("moved", "closed", "another", "other"),
        "last_four": ask(last_four, deliberate=True),
        "last_four_dues": ask(last_four, field="last_four", deliberate=True),
        "confirm": confirm(),
        "done": end(),
        "already": end(),
        "left": end(),
    }
    rules = (
        # on screen        answer                        go to             only if            and then
        *account.rows(then="open"),
        ("open",           "enter",                      "already",        "is_already_open"),
        ("open",           "enter",                      "term"),
        ("term",           "permanent temporary",        "reason"),
        ("reason",         "moved closed another other", "last_four_dues", "owes"),
        ("reason",         "moved closed another other", "last_four"),
        ("last_four",      "given",                      "confirm"),
        ("last_four_dues", "given",                      "confirm"),
        ("confirm",        "yes",                        "already",        "is_already_open"),
        ("confirm",        "yes",                        "done",           "",                "file tell"),
        ("confirm",        "no",                         "left"),
    )  # fmt: skip

    def is_already_open(self) -> bool:
        """Whether this connection is being cut, if only since a moment ago, by another phone."""
        return self.open_request("disconnection") is not None

    def file(self) -> None:
        """Open the request."""
        self.file_request("disconnection", self.the_consumer)

    def tell(self) -> None:
        """Tell the registered phones; for some hours the objecting word cancels."""
        told = Text("sms", "disconnection_told", self.done_args())
        until = self.facts.now + self.facts.policy.objection
        consumer = self.the_consumer
        self.effects.append(Tell(told, consumer.account, context="disconnection", ref=self.filed.ticket, until=until))

    def last_four_args(self) -> Args:
        """Which connection, by its masked name: the digits are for the person to know."""
        return {"name": self.the_consumer.name}

    def last_four_dues_args(self) -> Args:
        """The same, and the dues."""
        return {"name": self.the_consumer.name, "dues": self.the_consumer.dues}

    def confirm_args(self) -> Args:
        """The account, and for how long."""
        return {"account": self.the_consumer.account, "term": self.answers["term"]}

    def already_args(self) -> Args:
        """The open request."""
        return self.request_args(self.open_request("disconnection"))
