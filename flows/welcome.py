"""The first contact on USSD: which language, one line on privacy, then home. The language can be changed at any time."""

from __future__ import annotations

from flows.flow import Flow
from flows.screens import decide, menu, resume


class Welcome(Flow):
    """The language screen mixes scripts, so that every phone shows at least two choices it can read."""

    name = "welcome"
    intents = {"LANG": "language"}
    aside = True
    screens = {
        "start": decide(),
        "language": menu("hi", "hi-Latn", "en"),
        "notice": menu("on"),
        "back": resume(),
    }
    rules = (
        # on screen  answer           go to       only if    and then
        ("start",    "enter",         "language"),
        ("language", "hi hi-Latn en", "notice",   "is_new",  "speak"),
        ("language", "hi hi-Latn en", "back",     "",        "speak"),
        ("notice",   "on",            "back"),
    )  # fmt: skip

    def is_new(self) -> bool:
        """Whether this phone has no language yet."""
        return not self.conversation.lang

    def speak(self) -> None:
        """Speak the chosen language from now on."""
        self.lang = self.answers["language"]
