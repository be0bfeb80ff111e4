"""Home: the five services in the order and with the numbers of the 2017 portal, then bill, status and language."""

from __future__ import annotations

from flows.flow import Flow
from flows.records import Option, replace
from flows.screens import decide, end, goto, keyword, menu, resume

HOME = ("new_connection", "name_transfer", "meter", "disconnection", "transformer", "bill", "track", "language")


class Menu(Flow):
    """Where every conversation begins, and what is said when nothing else fits."""

    name = "menu"
    intents = {"HOME": "start", "SUPPLY": "supply"}
    screens = {
        "start": decide(),
        "home": menu(*HOME),
        **{f"to_{flow}": goto(flow) for flow in HOME[:-1]},
        "to_language": goto("welcome"),
        "unfinished": menu("go_on", "anew"),
        "go_on": resume(),
        "guess": menu("none", items="keyword", field="keyword"),
        "to_keyword": keyword("keyword"),
        "supply": menu("area", "house"),
        "house": end(),
        "unknown": end(),
        "locked": end(),
        "sorry": end(),
        "busy": end(),
    }
    rules = (
        # on screen    answer     go to         only if  and then
        ("start",      "enter",   "home"),
        *(("home",     flow,      f"to_{flow}") for flow in HOME),
        ("unfinished", "go_on",   "go_on"),
        ("unfinished", "anew",    "home",       "",      "drop_held"),
        ("guess",      "keyword", "to_keyword"),
        ("guess",      "none",    "home"),
        ("supply",     "area",    "to_transformer"),
        ("supply",     "house",   "house"),
    )  # fmt: skip

    def drop_held(self) -> None:
        """What was left unfinished is given up."""
        self.conversation = replace(self.conversation, held=None)

    def guess_items(self) -> tuple[Option, ...]:
        """The keywords the message came near to."""
        return tuple(
            Option("keyword", guess, {"keyword": f"keyword_{guess}"}) for guess in self.answers.get("guesses", "").split()
        )
