"""STOP and START: information messages off and on. Answers and notices the law asks for still come."""

from __future__ import annotations

from flows.flow import Flow
from flows.records import Mute as MuteEffect
from flows.screens import decide, end


class Mute(Flow):
    """The word alone, said once."""

    name = "mute"
    intents = {"STOP": "stop", "START": "again"}
    aside = True
    screens = {"start": decide(), "stop": decide(), "again": decide(), "off": end(), "on": end()}
    rules = (
        # on screen  answer   go to  only if  and then
        ("start",    "enter", "off", "",      "mute"),
        ("stop",     "enter", "off", "",      "mute"),
        ("again",    "enter", "on",  "",      "unmute"),
    )  # fmt: skip

    def mute(self) -> None:
        """No information messages to this phone."""
        self.effects.append(MuteEffect(True))

    def unmute(self) -> None:
        """They may come again."""
        self.effects.append(MuteEffect(False))
