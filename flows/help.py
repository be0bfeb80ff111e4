"""Asides: the keywords, the privacy notice, and whether a message or a meter reader is genuine."""

from __future__ import annotations

from flows.flow import Flow
from flows.screens import decide, end


class Help(Flow):
    """Each says one text and leaves the open question open."""

    name = "help"
    intents = {"HELP": "help", "PRIVACY": "privacy", "GENUINE": "genuine"}
    aside = True
    screens = {"start": decide(), "help": end(), "privacy": end(), "genuine": end()}
    rules = (("start", "enter", "help"),)
