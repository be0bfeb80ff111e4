"""Which carrier sends a message: the company's rules, read from top to bottom; the first that fits names its carriers in order.

A rule is `which: carriers`. Which are any of: lanes (live notice bulk), numbers (+9194), the channel somebody has just used
(ussd sms missed) and the carrier they came by; of each kind named one must fit. `*` fits all:

    ["bulk: mobileseva kannel", "+9194 +9185: bsnl kannel", "jio: kannel", "*: kannel mobileseva"]

Where no rule fits, who came by a carrier that sends is answered by it, and all others get theirs by the first that sends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from flows.records import Channel
from gateway.carriers import Carrier
from gateway.records import Lane
from gateway.settings import BadSetting

PREFIX = re.compile(r"\+[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; what it does not name fits anything."""

    lanes: frozenset[str]
    prefixes: tuple[str, ...]
    channels: frozenset[str]
    came_by: frozenset[str]
    carriers: tuple[str, ...]

    def fits(self, phone: str, lane: str) -> bool:
        """Whether it is about such a message, however its reader came."""
        return (not self.lanes or lane in self.lanes) and (not self.prefixes or phone.startswith(self.prefixes))

    def answers(self, channel: str, came_by: str) -> bool:
        """Whether it is about somebody who came that way."""
        return (not self.channels or channel in self.channels) and (not self.came_by or came_by in self.came_by)


class Routes:
    """The rules of the settings. Raises BadSetting with one line that names the rule and the word."""

    def __init__(self, rules: Sequence[str], carriers: Mapping[str, Carrier]) -> None:
        self._senders = [name for name, carrier in carriers.items() if carrier.sends]
        if carriers and not self._senders:
            raise BadSetting("no carrier sends SMS: set up Kannel, Mobile Seva or Africa's Talking beside the USSD platforms")
        self._rules = [_read(rule, carriers) for rule in rules]

    def carrier(self, phone: str, lane: Lane, channel: Channel | None = None, came_by: str = "") -> str:
        """Who sends a message to a phone. Raises BadSetting while no carrier is set up."""
        for rule in self._rules:
            if rule.fits(phone, lane) and rule.answers(channel or "", came_by):
                return rule.carriers[0]
        if came_by in self._senders:
            return came_by
        if not self._senders:
            raise BadSetting("no carrier is set up: docs/carriers.md says how")
        return self._senders[0]

    def stand_ins(self, phone: str, lane: Lane, carrier: str) -> tuple[str, ...]:
        """Who may send in place of a carrier that is down: those named beside it in the first rule for such a message. Rules that
        name it alone for people who came a certain way say nothing of those who did not."""
        for rule in self._rules:
            if carrier in rule.carriers and rule.fits(phone, lane):
                others = tuple(other for other in rule.carriers if other != carrier)
                if others or not (rule.channels or rule.came_by):
                    return others
        return ()


def _read(rule: str, carriers: Mapping[str, Carrier]) -> Rule:
    which, colon, named = rule.partition(":")
    kinds: dict[str, list[str]] = {"lane": [], "prefix": [], "channel": [], "carrier": []}
    for word in which.split():
        if word != "*":
            kinds[_kind(word, rule, carriers)].append(word)
    senders = named.split()
    if not colon or not senders:
        raise BadSetting(f"GATEWAY_ROUTES: {rule!r}: a rule is `which: carriers`")
    for name in senders:
        if name not in carriers or not carriers[name].sends:
            raise BadSetting(f"GATEWAY_ROUTES: {rule!r}: {name} is no carrier that sends SMS and is set up")
    return Rule(
        frozenset(kinds["lane"]), tuple(kinds["prefix"]), frozenset(kinds["channel"]), frozenset(kinds["carrier"]), tuple(senders)
    )


def _kind(word: str, rule: str, carriers: Mapping[str, Carrier]) -> str:
    if word in get_args(Lane):
        return "lane"
    if word in get_args(Channel):
        return "channel"
    if word in carriers:
        return "carrier"
    if PREFIX.fullmatch(word):
        return "prefix"
    raise BadSetting(f"GATEWAY_ROUTES: {rule!r}: {word} is no lane, channel, beginning of a number or carrier that is set up")
