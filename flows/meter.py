"""Service 3: my meter is faulty, replace it."""

from __future__ import annotations

from flows import account
from flows.account import AboutAccount
from flows.flow import Flow
from flows.records import Args, Said
from flows.screens import Bad, ask, ask_reading, confirm, decide, end, menu, reading


def no_supply(said: Said, flow: Flow) -> str | Bad:
    """No supply, in whatever words."""
    return "no" if said.intent == "SUPPLY" or "failed" in said.answers else Bad("option")


class Meter(AboutAccount):
    """What is wrong with it, is there supply, what does it show; then staff come within the time limit."""

    name = "meter"
    intents = {"METER": "start"}
    files = True
    screens = {
        **account.SCREENS,
        "open": decide(),
        "kind": menu("stopped", "burnt", "display", "fast", "broken", "stolen"),
        "supply": ask(no_supply, "yes", "no", own=frozenset({"SUPPLY"})),
        "reading": ask_reading(reading),
        "confirm": confirm(),
        "confirm_fee": confirm(),
        "done": end(),
        "done_test": end(),
        "done_stolen": end(),
        "already": end(),
        "left": end(),
    }
    rules = (
        # on screen    answer      go to          only if           and then
        *account.rows(then="open"),
        ("open",       "enter",    "already",     "is_already_open"),
        ("open",       "enter",    "kind"),
        ("kind",       "stopped",  "supply"),
        ("kind",       "burnt",    "supply"),
        ("kind",       "display",  "supply"),
        ("kind",       "fast",     "supply"),
        ("kind",       "broken",   "supply"),
        ("kind",       "stolen",   "confirm"),
        ("supply",     "yes",      "reading"),
        ("supply",     "no",       "reading"),
        ("supply",     "given",    "reading"),
        ("reading",    "given",    "confirm_fee", "wants_test"),
        ("reading",    "given",    "confirm"),
        ("confirm",    "yes",      "already",     "is_already_open"),
        ("confirm",    "yes",      "done_stolen", "is_stolen",      "file"),
        ("confirm",    "yes",      "done",        "",               "file"),
        ("confirm",    "no",       "left"),
        ("confirm_fee", "yes",     "already",     "is_already_open"),
        ("confirm_fee", "yes",     "done_test",   "",               "file"),
        ("confirm_fee", "no",      "left"),
    )  # fmt: skip

    def is_already_open(self) -> bool:
        """Whether this account's meter is being seen to, if only since a moment ago, by another phone."""
        return self.open_request("meter", "meter_test") is not None

    def already_args(self) -> Args:
        """The open request."""
        return self.request_args(self.open_request("meter", "meter_test"))

    def wants_test(self) -> bool:
        """A fast meter is tested for accuracy, against a fee; one that shows nothing cannot be."""
        return self.answers["kind"] == "fast"

    def is_stolen(self) -> bool:
        """A stolen meter needs a police report."""
        return self.answers["kind"] == "stolen"

    def file(self) -> None:
        """Open the request; a test has a time limit of its own."""
        self.file_request("meter_test" if self.wants_test() else "meter", self.the_consumer)

    def confirm_args(self) -> Args:
        """What is about to be sent."""
        return {"account": self.the_consumer.account, "kind": self.answers["kind"]}

    def confirm_fee_args(self) -> Args:
        """The account and the test fee by phases."""
        consumer, fees = self.the_consumer, self.facts.policy.test_fee
        return {"account": consumer.account, "fee": fees[consumer.phases]}

    done_test_args = done_stolen_args = AboutAccount.done_args
