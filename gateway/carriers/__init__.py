"""The carriers: one file each, all shaped alike. A new one is a file here and its name in CARRIERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from flows.records import Channel
from gateway.records import Answer, Inbound, OptOut, OutboundMessage, Outcome, Report, SessionEnd
from messages import Limits

Heard = Inbound | SessionEnd | Report | OptOut


class Unreadable(Exception):
    """A webhook that nobody could answer: the message names the field and what is wrong with it, and never a value."""


@dataclass(frozen=True, slots=True)
class Door:
    """One webhook of a carrier: `hear` reads the form (and headers, lower case) or raises Unreadable; `answer` writes the
    body for an Answer (None for doors that are only acknowledged), `headers` what goes with it."""

    hear: Callable[[Mapping[str, str], Mapping[str, str]], Heard]
    answer: Callable[[Answer], bytes] | None = None
    headers: Callable[[Answer], dict[str, str]] | None = None


class Carrier(Protocol):
    """A way to people's phones: doors by name (mounted at /in/<carrier>/<secret>/<door>), limits, and sending."""

    name: str
    doors: Mapping[str, Door]

    def limits(self, channel: Channel) -> Limits:
        """What fits on a phone behind this carrier."""

    def send(self, message: OutboundMessage) -> Outcome:
        """Try once to send; never raises for trouble on the carrier's side; bounded in time."""
