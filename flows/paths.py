"""All ways through the flows' tables, without a phone: how many exchanges a service takes, and what can be reached.

An exchange is one input of the person and the page that answers it. It is counted from the home screen on, the choice made
there included. No way gives the same answer on the same screen twice: who mistypes or turns back takes longer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from flows import FLOWS
from flows.flow import Flow, rows_of
from flows.menu import HOME
from flows.screens import Screen

#: A phone with one linked account that writes about just that.
OWN: Mapping[str, bool] = {"is_linked": True, "is_named": False, "has_several": False, "has_pin": False}
#: Answers by which somebody turns to another account or place.
OTHER = frozenset({"elsewhere", "other"})


@dataclass(frozen=True, slots=True)
class Way:
    """One way: its inputs as `screen.answer`, and the flow and screen it leads to."""

    inputs: tuple[str, ...]
    flow: str
    screen: str

    @property
    def exchanges(self) -> int:
        """How many inputs it takes."""
        return len(self.inputs)


def ways(
    flow: str,
    screen: str = "start",
    *,
    assume: Mapping[str, bool] | None = None,
    without: Collection[str] = (),
    through: bool = True,
) -> Iterator[Way]:
    """Every way from a screen to a last one. `assume` says how conditions turn out (others turn out both ways), `without`
    names answers nobody gives; `through` False stops at the first screen that tells what was asked for."""
    yield from _on(flow, screen, (), assume or {}, without, through)


def _on(
    flow: str, screen: str, inputs: tuple[str, ...], assume: Mapping[str, bool], without: Collection[str], through: bool
) -> Iterator[Way]:
    made = FLOWS[flow].screens[screen]
    if made.kind == "goto":
        onward, _, at = made.to.partition(".")
        yield from _on(onward, at, inputs, assume, without, through)
        return
    if _is_last(made, through):
        yield Way(inputs, flow, screen)
        return
    for answer in made.triggers:
        step = f"{flow}.{screen}.{answer}"
        if answer in without or step in inputs:
            continue
        after = inputs if made.kind == "decide" else (*inputs, step)
        for to in destinations(FLOWS[flow], screen, answer, assume):
            yield from _on(flow, to, after, assume, without, through)


def _is_last(screen: Screen, through: bool) -> bool:
    """Whether a way ends here: nothing more can be chosen, or where it goes on depends on what was before."""
    return screen.kind in ("end", "resume", "keyword") or not screen.triggers or (screen.tells and not through)


def destinations(flow: type[Flow], screen: str, answer: str, assume: Mapping[str, bool] | None = None) -> list[str]:
    """Where an answer may lead, by the rows in their order."""
    found: list[str] = []
    for source, given, to, only_if, _ in rows_of(flow):
        if (source, given) != (screen, answer):
            continue
        holds = True if not only_if else (assume or {}).get(only_if)
        if holds is not False:
            found.append(to)
        if holds is True:
            break
    return found


def exchanges(service: str, *, own: bool) -> int:
    """The most exchanges from home until a service is done: for an `own` account, or for anybody about any account."""
    found = ways(service, assume=OWN, without=OTHER, through=False) if own else ways(service)
    return 1 + max(way.exchanges for way in found)


def services() -> tuple[str, ...]:
    """What can be chosen on the home screen and takes one on a way."""
    return HOME[:-1]
