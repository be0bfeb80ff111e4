"""The carriers: one file each, all shaped alike. A new one is a file here, a line in `assemble` and payloads for the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flows.records import Channel
from gateway.carriers.reading import Ignored, Request, Unreadable, form
from gateway.records import Answer, Inbound, OptOut, OutboundMessage, Outcome, Report, SessionEnd
from messages import Limits

__all__ = ["Carrier", "Door", "Heard", "Ignored", "Mailbox", "Naming", "Request", "Unreadable"]

Heard = Inbound | SessionEnd | Report | OptOut


@dataclass(frozen=True, slots=True)
class Door:
    """One webhook of a carrier: `read` makes fields of a request of this `method`, `hear` understands them (and the headers,
    lower case); both may raise Unreadable or Ignored. `answer` writes the body for an Answer to an Inbound (None for doors
    that are only acknowledged) of this `media` type, `headers` what goes with it."""

    hear: Callable[[Mapping[str, str], Mapping[str, str]], Heard]
    answer: Callable[[Answer, Inbound], bytes] | None = None
    headers: Callable[[Answer], dict[str, str]] | None = None
    read: Callable[[Request], Mapping[str, str]] = form
    method: str = "POST"
    media: str = "text/plain; charset=utf-8"


class Carrier(Protocol):
    """A way to people's phones: doors by name (mounted at /in/<carrier>/<secret>/<door>), limits, and, if it `sends`, SMS."""

    name: str
    sends: bool
    doors: Mapping[str, Door]

    def limits(self, channel: Channel) -> Limits:
        """What fits on a phone behind this carrier."""

    def send(self, message: OutboundMessage) -> Outcome:
        """Try once to send; never raises for trouble on the carrier's side; bounded in time."""


@runtime_checkable
class Mailbox(Protocol):
    """A carrier that also keeps what it brings: gaps in its webhooks can be closed."""

    name: str

    def fetch(self, after: str) -> tuple[list[Inbound], str]:
        """Messages behind a mark (empty: all there are), oldest first, and the new mark, never empty. Raises OSError."""


@runtime_checkable
class Naming(Protocol):
    """A carrier that reports on a message under a name of ours: known beforehand, and if its sender dies."""

    def reference(self, message: OutboundMessage) -> str:
        """What reports will call it, on every try."""
