"""Link this phone to an account, by a second fact that only its household knows."""

from __future__ import annotations

from flows import account
from flows.account import AboutAccount
from flows.flow import Flow
from flows.records import Args, Link, Said, Tell, Text
from flows.screens import Bad, ask, decide, end


def second_fact(said: Said, flow: Flow) -> str | Bad:
    """The last four digits of the meter number; not kept. Not the bill's amount, which whoever knows the account may ask for
    (GATEWAY_BILL_TO_UNLINKED)."""
    consumer = flow.consumer
    if consumer is None or not said.number:
        return Bad("digits")
    return "given" if said.number == consumer.meter[-4:] else Bad("account", guess=True)


class Register(AboutAccount):
    """CA number, masked name, second fact; the phones linked before are told."""

    name = "register"
    intents = {"LINK": "start"}
    screens = {
        "start": decide(),
        "ca": account.SCREENS["ca"],
        "whose": account.SCREENS["whose"],
        "second": ask(second_fact, deliberate=True),
        "done": end(),
        "already": end(),
        "no_mobile": end(),
    }
    rules = (
        # on screen  answer   go to        only if          and then
        ("start",    "enter", "no_mobile", "has_no_mobile"),
        ("start",    "enter", "already",   "is_already"),
        ("start",    "enter", "whose",     "is_named"),
        ("start",    "enter", "ca"),
        ("ca",       "given", "already",   "is_already"),
        ("ca",       "given", "whose"),
        ("whose",    "yes",   "second"),
        ("whose",    "no",    "ca",        "",              "drop_account"),
        ("second",   "given", "done",      "",              "link tell"),
    )  # fmt: skip

    def has_no_mobile(self) -> bool:
        """Whether a person without a phone is served at the centre's counter."""
        return not self.conversation.phone.startswith("+")

    def is_already(self) -> bool:
        """Whether the account named is this phone's already."""
        return self.is_named() and self.is_linked()

    def link(self) -> None:
        """Link them."""
        self.effects.append(Link(self.the_consumer.account))

    def tell(self) -> None:
        """Tell the phones linked before, with the word that objects."""
        told = Text("sms", "linked_other", {"account": self.the_consumer.account})
        until = self.facts.now + self.facts.policy.link_objection
        self.effects.append(Tell(told, self.the_consumer.account, context="link", ref=self.conversation.phone, until=until))

    def second_args(self) -> Args:
        """Which account."""
        return {"account": self.the_consumer.account}

    done_args = already_args = second_args
