"""The kinds of screen a flow is made of, how their options are numbered, and the readers of typed answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.verhoeff import verhoeff_ok

if TYPE_CHECKING:
    from flows.flow import Flow
    from flows.records import Said

#: Never an option's number: 0 is back, 9 is more, and some operators page with 98 and 00 themselves (facts: Africa's
#: Talking help page 1284096).
RESERVED = frozenset({"0", "9", "98", "99", "00"})


def number_of(index: int) -> str:
    """The number printed before the option at `index` (from 0): 1 to 8, then 10 onwards, never a reserved one."""
    return NUMBERS[index]


NUMBERS = tuple(str(n) for n in range(1, 200) if str(n) not in RESERVED)
#: A number of more digits than this is no choice from a list.
LONGEST_OPTION = 2
INDEX = {number: index for index, number in enumerate(NUMBERS)}


@dataclass(frozen=True, slots=True)
class Bad:
    """A typed answer that cannot be taken: `why` is a key of the catalogue's [error] table. `guess` counts it as a guess."""

    why: str
    guess: bool = False


Reader = Callable[["Said", "Flow"], "str | Bad"]


@dataclass(frozen=True, slots=True)
class Screen:
    """A question and its answer, or a place that leads on.

    `options` are named choices, in order; `items` names the choices that the flow lists by its method `<screen>_items`,
    which come first. `reader` reads a typed answer (trigger `given`). `field` is the name the answer is kept under (the
    screen's own name if empty). A `deliberate` screen wants an answer made on seeing it: type-ahead stops there. A screen
    that `tells` is what the person came for; what can be chosen on it is more of the same. Keywords that are its `own` are no
    keywords here but belong to the answer: "reading 4400".
    """

    kind: str
    options: tuple[str, ...] = ()
    items: str = ""
    reader: Reader | None = None
    field: str = ""
    deliberate: bool = False
    tells: bool = False
    own: frozenset[str] = frozenset()
    to: str = ""

    @property
    def triggers(self) -> tuple[str, ...]:
        """Every answer this screen can give, which the rules table must cover."""
        if self.kind == "decide":
            return ("enter",)
        return (*((self.items,) if self.items else ()), *(("given",) if self.reader else ()), *self.options)


def menu(*options: str, items: str = "", field: str = "", deliberate: bool = False) -> Screen:
    """Choose one of the options."""
    return Screen("menu", options, items=items, field=field, deliberate=deliberate)


def tell(*options: str) -> Screen:
    """What the person came for; they may choose to see more."""
    return Screen("menu", options, tells=True)


def ask(reader: Reader, *options: str, field: str = "", deliberate: bool = False, own: frozenset[str] = frozenset()) -> Screen:
    """Type an answer, or choose one of the options instead."""
    return Screen("ask", options, reader=reader, field=field, deliberate=deliberate, own=own)


def ask_reading(reader: Reader, *, field: str = "", deliberate: bool = False) -> Screen:
    """Type what the meter shows: "meter me 4400", "reading 4400" and the number alone are the same here."""
    return ask(reader, field=field, deliberate=deliberate, own=frozenset({"READING", "OWN", "METER"}))


def confirm() -> Screen:
    """Yes or no, seen and meant."""
    return Screen("confirm", ("yes", "no"), field="confirm", deliberate=True)


def end() -> Screen:
    """The last text; nothing is asked any more."""
    return Screen("end")


def decide() -> Screen:
    """No text: the first rule whose condition holds leads on."""
    return Screen("decide")


def goto(flow: str, screen: str = "start") -> Screen:
    """On to another flow."""
    return Screen("goto", to=f"{flow}.{screen}")


def keyword(field: str) -> Screen:
    """On to where the keyword kept under `field` leads."""
    return Screen("keyword", field=field)


def resume() -> Screen:
    """Back to the place that was held, or home."""
    return Screen("resume")


# --- readers: what was typed -> the answer kept, or why it cannot be taken ---------------------------------------------


def account(said: Said, flow: Flow) -> str | Bad:
    """A CA number that exists. One wording for wrong and for not known; each miss counts as a guess, what is no CA number not."""
    number = said.account
    if not number:
        return Bad("ca" if said.number else "digits")
    consumer = flow.facts.known.get(number)
    if consumer and (flow.facts.guesses < flow.facts.policy.guesses_a_day or flow.facts.is_linked(number)):
        return number
    return Bad("account", guess=True)


def pin(said: Said, flow: Flow) -> str | Bad:
    """A PIN code: six digits, the first not 0."""
    number = said.pin or said.number
    return number if len(number) == 6 and number[0] != "0" else Bad("pin")


def kilowatt(said: Said, flow: Flow) -> str | Bad:
    """A load in whole kilowatts, kept in watts; 99 says that the person does not know, kept as `unknown`."""
    if said.number == "99":
        return "unknown"
    if said.number and 1 <= int(said.number) <= 5000:
        return str(int(said.number) * 1000)
    return Bad("load")


def reading(said: Said, flow: Flow) -> str | Bad:
    """What the meter shows, up to eight digits; 000 says that it cannot be read, kept as `unseen`."""
    if said.number and not said.number.strip("0") and len(said.number) >= 3:
        return "unseen"
    return str(int(said.number)) if 1 <= len(said.number) <= 8 else Bad("reading")


def ticket(said: Said, flow: Flow) -> str | Bad:
    """The number of a request that exists; its last digit is a check digit. Whoever has guessed too often sees his own only."""
    number, facts = said.ticket or said.number, flow.facts
    found = next((request for request in facts.requests if request.ticket == number), None)
    if found and (facts.guesses < facts.policy.guesses_a_day or flow.is_ours(found)):
        return number
    return Bad("ticket", guess=verhoeff_ok(number))
