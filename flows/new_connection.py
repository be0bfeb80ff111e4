"""Service 1: a new connection."""

from __future__ import annotations

from flows.flow import Flow
from flows.records import Area, Args
from flows.screens import account, ask, confirm, decide, end, kilowatt, menu, pin

AREAS: dict[str, Area] = {"town": "urban", "village": "rural"}


class NewConnection(Flow):
    """Digits only; name and address come by SMS afterwards or by a call back. A neighbour's CA finds pole and section."""

    name = "new_connection"
    intents = {"NEW": "start"}
    files = True
    screens = {
        "start": decide(),
        "use": menu("home", "shop", "farm", "industry"),
        "area": menu("town", "village"),
        "load": ask(kilowatt),
        "pin": ask(pin),
        "near": ask(account, "none"),
        "confirm": confirm(),
        "confirm_any": confirm(),
        "done": end(),
        "done_large": end(),
        "noted": end(),
        "left": end(),
    }
    rules = (
        # on screen  answer                     go to         only if         and then
        ("start",    "enter",                   "use",        "",             "keep_pin"),
        ("use",      "home shop farm industry", "area"),
        ("area",     "town village",            "load"),
        ("load",     "given",                   "near",       "has_pin"),
        ("load",     "given",                   "pin"),
        ("pin",      "given",                   "near"),
        ("near",     "given none",              "confirm_any", "is_load_unknown"),
        ("near",     "given none",              "confirm"),
        ("confirm",  "yes",                     "noted",      "is_for_centre", "file_call_back"),
        ("confirm",  "yes",                     "done_large", "is_large",     "file"),
        ("confirm",  "yes",                     "done",       "",             "file"),
        ("confirm",  "no",                      "left"),
        ("confirm_any", "yes",                  "noted",      "is_for_centre", "file_call_back"),
        ("confirm_any", "yes",                  "done",       "",             "file"),
        ("confirm_any", "no",                   "left"),
    )  # fmt: skip

    def keep_pin(self) -> None:
        """The PIN code that came with the keyword: NAYA 802101."""
        if self.said.pin:
            self.answers["pin"] = self.said.pin

    def has_pin(self) -> bool:
        """Whether the PIN code is known."""
        return "pin" in self.answers

    @property
    def watts(self) -> int:
        """The load asked for; a person who does not know is a household."""
        return int(self.answers["load"]) if self.answers["load"] != "unknown" else 0

    def is_load_unknown(self) -> bool:
        """Whether staff find out what load is needed."""
        return self.answers["load"] == "unknown"

    def is_large(self) -> bool:
        """Larger loads first."""
        return self.watts >= self.facts.policy.priority_load

    def is_for_centre(self) -> bool:
        """Whether a connection of this load is not opened by phone (yet): the centre calls back."""
        policy = self.facts.policy
        return self.watts < policy.phone_from_load or self.facts.now.date() < policy.phone_from_date

    def file(self) -> None:
        """Open the request."""
        area, pin_code = AREAS[self.answers["area"]], self.answers["pin"]
        self.file_request("new_connection", None, area=area, pin=pin_code, priority=self.is_large())

    def file_call_back(self) -> None:
        """Note it for the centre."""
        self.file_request("call_back", None, area=AREAS[self.answers["area"]], pin=self.answers["pin"])

    def confirm_args(self) -> Args:
        """What is about to be sent."""
        return {"use": self.answers["use"], "area": self.answers["area"], "load": self.watts, "pin": self.answers["pin"]}

    confirm_any_args = confirm_args
    done_large_args = noted_args = Flow.done_args
