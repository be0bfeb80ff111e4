"""Service 5: our transformer has failed."""

from __future__ import annotations

from flows import account
from flows.account import AboutAccount
from flows.flow import is_open
from flows.records import Args, Consumer, Join, Option, Request
from flows.screens import account as account_number
from flows.screens import ask, decide, end, menu, pin


def feeder_asset(feeder: str, pin_code: str) -> str:
    """What a report is about when only the feeder and the PIN code are known."""
    return f"feeder:{feeder}/{pin_code}"


def asset_of(consumer: Consumer) -> str:
    """The transformer a connection hangs on, else its feeder in its PIN code, else nothing that others could share."""
    if consumer.transformer:
        return f"dtr:{consumer.transformer}"
    return feeder_asset(consumer.feeder, consumer.pin) if consumer.feeder else ""


#: What people see of a failed transformer. Burnt or dead is one thing: people say the first of any (utility.md section 7.5).
SEEN = ("failed", "oil", "sparks", "wire", "low_voltage")


class Transformer(AboutAccount):
    """One failure darkens fifty houses: the first report opens the request, every other one joins it. Danger comes first."""

    name = "transformer"
    intents = {"TRANS": "start"}
    files = True
    screens = {
        "start": decide(),
        "pick": account.SCREENS["pick"],
        "ca": ask(account_number, "by_pin", field="account"),
        "pin": ask(pin),
        "feeder": menu("unknown", items="feeder"),
        "seen": menu(*SEEN, "elsewhere"),
        "seen_there": menu(*SEEN, field="seen"),
        "since": menu("today", "yesterday", "earlier", deliberate=True),
        "since_danger": menu("today", "yesterday", "earlier", field="since", deliberate=True),
        "file": decide(),
        "done": end(),
        "joined": end(),
        "joined_late": end(),
    }
    rules = (
        # on screen      answer                    go to           only if          and then
        ("start",        "enter",                  "seen_there",   "is_named"),
        ("start",        "enter",                  "feeder",       "has_pin"),
        ("start",        "enter",                  "seen",         "is_linked"),
        ("start",        "enter",                  "pick",         "has_several"),
        ("start",        "enter",                  "ca"),
        ("pick",         "account",                "seen_there"),
        ("pick",         "other",                  "ca",           "",              "drop_account"),
        ("ca",           "given",                  "seen_there"),
        ("ca",           "by_pin",                 "pin",          "",              "drop_account"),
        ("pin",          "given",                  "feeder",       "has_feeders"),
        ("pin",          "given",                  "seen_there"),
        ("feeder",       "feeder unknown",         "seen_there"),
        ("seen",         "oil sparks wire",        "since_danger"),
        ("seen",         "failed low_voltage",     "since"),
        ("seen",         "elsewhere",              "ca",           "",              "drop_account"),
        ("seen_there",   "oil sparks wire",        "since_danger"),
        ("seen_there",   "failed low_voltage",     "since"),
        ("since",        "today yesterday earlier", "file"),
        ("since_danger", "today yesterday earlier", "file"),
        ("file",         "enter",                  "joined_late",  "is_late",       "join"),
        ("file",         "enter",                  "joined",       "is_reported",   "join"),
        ("file",         "enter",                  "done",         "",              "file"),
    )  # fmt: skip

    def is_private(self) -> bool:
        """Nothing of the account is shown, and danger does not wait."""
        return False

    def has_pin(self) -> bool:
        """Whether the message named a PIN code with known feeders; it is taken as answered."""
        if self.said.pin in self.facts.feeders:
            self.answers["pin"] = self.said.pin
            return True
        return False

    def has_feeders(self) -> bool:
        """Whether the feeders of this PIN code are known."""
        return bool(self.facts.feeders.get(self.answers["pin"]))

    def drop_account(self) -> None:
        """Another place: nothing of this one is meant."""
        self.answers.clear()
        self.answers["elsewhere"] = "yes"

    @property
    def asset(self) -> str:
        """What the report is about: the transformer, else the feeder in a PIN code, else nothing that others could share."""
        consumer = None if "elsewhere" in self.answers and "account" not in self.answers else self.consumer
        if "pin" in self.answers:
            feeder = self.answers.get("feeder", "unknown")
            return feeder_asset(feeder, self.answers["pin"]) if feeder != "unknown" else ""
        return asset_of(consumer) if consumer else ""

    @property
    def reported(self) -> Request | None:
        """The open request about the same asset."""
        asset = self.asset
        return next((r for r in self.facts.requests if asset and r.asset == asset and is_open(r)), None)

    def is_reported(self) -> bool:
        """Whether somebody has reported it already."""
        return self.reported is not None

    def is_late(self) -> bool:
        """Whether it has been reported and its time limit has passed."""
        request = self.reported
        return request is not None and request.due is not None and request.due <= self.facts.now

    def join(self) -> None:
        """Add this phone to the open request."""
        self.effects.append(Join(self.request_args(self.reported)["ticket"], dict(self.answers)))  # type: ignore[arg-type]

    def file(self) -> None:
        """Open the request. A PIN code alone does not tell town from village: the longer limit is named."""
        consumer = None if "pin" in self.answers else self.consumer
        self.file_request("transformer", consumer, asset=self.asset, pin=self.answers.get("pin", ""))

    def feeder_items(self) -> tuple[Option, ...]:
        """The feeders that serve the PIN code."""
        feeders = self.facts.feeders.get(self.answers["pin"], ())
        return tuple(Option("feeder", f.code, {"name": f.name}) for f in feeders)

    def joined_args(self) -> Args:
        """The open request, and how many have reported with this phone."""
        request = self.reported
        args = dict(self.request_args(request))
        if request is not None and request.ticket not in self.facts.reported:
            args["reports"] = request.reports + 1
        return args

    joined_late_args = joined_args
