"""What a developer wants to see beside the phone: the size of a page, where the conversation stands, how long the hop took."""

from __future__ import annotations

from dataclasses import dataclass

from flows.records import Channel, Conversation
from gateway.records import Answer
from messages import Limits
from messages.encoding import measure, sms_parts

#: Septets and units of one part of a message in several parts, by encoding (3GPP TS 23.040).
PART = {"gsm7": 153, "ucs2": 67}


@dataclass(frozen=True, slots=True)
class Shown:
    """One hop. `said` is what was typed, `again` that it was delivered once more, `same` that it got the very same answer."""

    said: str
    channel: Channel
    page: str
    ends: bool
    screen: str
    lang: str
    encoding: str
    units: int
    limit: int
    parts: int
    number: int
    pages: int
    micros: int
    again: bool = False
    same: bool = False


def shown(said: str, channel: Channel, answer: Answer, limits: Limits, after: Conversation, micros: int) -> Shown:
    """The hop that was just answered."""
    size = measure(answer.page)
    if channel == "ussd":
        limit = (limits.septets if size.encoding == "gsm7" else limits.units) - limits.overhead
    else:
        limit = PART[size.encoding] * limits.parts
    return Shown(said, channel, answer.page, answer.ends, answer.screen, answer.lang, size.encoding, size.units, limit,
                 sms_parts(answer.page), after.page + 1, max(1, len(after.pages)), micros)  # fmt: skip
