"""NAHI: it is not done. Opens again what this phone was told is finished, while that may be answered."""

from __future__ import annotations

from flows.flow import Flow
from flows.records import Answered, Args, Context, Option, Reopen
from flows.screens import decide, end, menu


class Reopening(Flow):
    """The word alone, or with the number; of several it asks which."""

    name = "reopen"
    intents = {"NOTDONE": "start"}
    aside = True
    screens = {
        "start": decide(),
        "pick": menu("none", items="finished", field="finished"),
        "act": decide(),
        "reopened": end(),
        "nothing": end(),
    }
    rules = (
        # on screen  answer      go to       only if        and then
        ("start",    "enter",    "nothing",  "has_nothing"),
        ("start",    "enter",    "pick",     "has_several"),
        ("start",    "enter",    "act"),
        ("pick",     "finished", "act"),
        ("pick",     "none",     "nothing"),
        ("act",      "enter",    "nothing",  "is_gone"),
        ("act",      "enter",    "reopened", "",            "reopen"),
    )  # fmt: skip

    @property
    def finished(self) -> tuple[Context, ...]:
        """What this phone was told is finished, newest first, each once."""
        told: dict[str, Context] = {}
        for context in self.facts.contexts:
            if context.kind == "finished":
                told.setdefault(context.ref, context)
        return tuple(told.values())

    @property
    def the_one(self) -> Context | None:
        """The one meant: chosen, named by its number, or the only one."""
        meant = self.answers.get("finished") or self.said.ticket
        if meant:
            return next((c for c in self.finished if c.ref == meant), None)
        return self.finished[0] if len(self.finished) == 1 else None

    def has_nothing(self) -> bool:
        """Nothing was finished lately, or not the one named."""
        return not self.finished or (bool(self.said.ticket) and self.the_one is None)

    def has_several(self) -> bool:
        """More than one, and none named."""
        return self.the_one is None

    def is_gone(self) -> bool:
        """The time to answer ran out in between."""
        return self.the_one is None

    def reopen(self) -> None:
        """Staff look at it again."""
        context = self.the_one
        assert context is not None
        self.kept = context.ref
        self.effects += [Reopen(context.ref), Answered(context.id)]

    def pick_items(self) -> tuple[Option, ...]:
        """Each by its number."""
        return tuple(Option("finished", c.ref, {"ticket": c.ref}) for c in self.finished)

    def reopened_args(self) -> Args:
        """Which one."""
        return {"ticket": self.kept}
