"""What the gateway passes between carriers, the hop, the store and the outbox. All frozen, times aware, phones E.164."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from flows.records import Channel

#: What becomes of a send whose fate is unknown: `once` is not sent again, `must_arrive` is, `fresh` is sent again only
#: while its content is still true (until `expires`).
DeliveryClass = Literal["once", "must_arrive", "fresh"]
#: Answers to people leave before notices about requests, and those before bulk.
Lane = Literal["live", "notice", "bulk"]
#: How the id of an SMS begins that we fetched: the webhook may bring the same one under an id of another kind.
FETCHED = "fetched/"


class Inbound(Struct, frozen=True):
    """One thing a carrier brought: a USSD hop, an SMS, a missed call.

    `id` is unique per carrier and the same when the carrier brings it again. `session` is the USSD session; `text` is what
    the carrier sent: for a USSD carrier with `cumulative` text all inputs so far joined by `*`, else this input alone.
    `dialled` are inputs that were part of the dialled code (`*code*6#`). `lost` says that the session was alive at the
    carrier before this hop, whether or not we know it.
    """

    id: str
    carrier: str
    phone: str
    channel: Channel
    text: str
    at: datetime
    session: str = ""
    cumulative: bool = True
    dialled: tuple[str, ...] = ()
    lost: bool = False


class Answer(Struct, frozen=True):
    """What a hop was answered: kept, so that the same hop gets the very same answer."""

    page: str
    ends: bool
    screen: str
    lang: str


class SessionEnd(Struct, frozen=True):
    """The carrier's word that a USSD session is over; it may come late, twice or never. `screen` is the last one shown, where
    the carrier tells us back what we told it."""

    carrier: str
    session: str
    phone: str
    status: str
    error: str = ""
    screen: str = ""


class Report(Struct, frozen=True):
    """A delivery report: `reference` is the carrier's message id, `status` as the carrier spells it, `state` as we do.

    `phone` is whom it was sent to, if the carrier says so: a report of a message nobody knows tells that a send whose answer
    never came did go out.
    """

    carrier: str
    reference: str
    status: str
    state: Literal["sent", "delivered", "failed", "unknown"]
    reason: str = ""
    phone: str = ""


class OptOut(Struct, frozen=True):
    """The carrier's word that a phone wants no bulk messages."""

    carrier: str
    phone: str


class OutboundMessage(Struct, frozen=True):
    """One SMS on its way out. `template` is the key and language of its text, `attempt` counts from 1.

    `expires` is until when a `fresh` one is worth sending again, `inbound` the hop that caused it, `unsure` how many tries
    may have sent it already.
    """

    id: int
    phone: str
    text: str
    encoding: Literal["gsm7", "ucs2"]
    parts: int
    template: str
    carrier: str
    lane: Lane
    delivery: DeliveryClass
    attempt: int
    due_at: datetime
    expires: datetime | None = None
    inbound: str = ""
    unsure: int = 0


class Sent(Struct, frozen=True):
    """The carrier took it; `reference` is its message id, `note` anything worth keeping, `cost` as the carrier writes it."""

    reference: str
    note: str = ""
    cost: str = ""


class Later(Struct, frozen=True):
    """Not sent, and worth trying again. `pause` asks to hold the whole carrier (its balance is empty, it says slow down)."""

    why: str
    pause: bool = False


class Never(Struct, frozen=True):
    """Not sent, and not to be tried again. `alarm` says that our own set-up is at fault, not this recipient: the template's
    queue is stopped, and this message waits with the others."""

    why: str
    alarm: bool = False


class Unsure(Struct, frozen=True):
    """It may have been sent: a time-out after the request went out. The delivery class decides. `reference` is what a
    delivery report would know it by, where that is ours to choose."""

    why: str
    reference: str = ""


Outcome = Sent | Later | Never | Unsure


def masked(phone: str) -> str:
    """A phone number as a log may hold it: `+91******3210`."""
    return f"{phone[:3]}******{phone[-4:]}" if len(phone) > 7 else "******"
