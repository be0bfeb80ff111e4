"""People who talk: whole conversations as the inbounds a carrier would bring, and a gateway to answer them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from flows.verhoeff import with_check_digit
from gateway.app import Gateway, assemble
from gateway.hop import now_utc
from gateway.records import Inbound
from gateway.settings import load
from tests import town

#: USSD sessions of a phone whose language is chosen and which has one account, as inputs after dialling.
SESSIONS = (
    ("3", "1", "1", "4378", "1"),  # a meter that stopped
    ("5", "1", "2"),  # the transformer failed yesterday
    ("6",),  # the bill
    ("4", "1", "5000", "1"),
    ("2", "1", "1"),
    ("1", "1", "2", "802101", "1"),
    ("7",),
    ("3", "9", "8", "0", "2", "1", "000", "2"),
    ("x", "?", "0", "0"),
)
WORDS = ("BILL", "METER", "METER band", "STATUS", "HELP", "TRANS", "bijli nahi hai", "?", "9999", "LANG", "1", "STOP", "START")


def open_gateway(url: str, clock: Callable[[], datetime] = now_utc, first_ticket: int = 0, **settings: Any) -> Gateway:
    """The product over the database at `url`, with the phone as its carrier; with `first_ticket` the tickets are countable."""
    gateway = assemble(load(database=url, demo=True, **settings))
    tickets = (with_check_digit(str(n)) for n in itertools.count(first_ticket))
    hop = replace(gateway.hop, clock=clock, ticket=(lambda: next(tickets)) if first_ticket else gateway.hop.ticket)
    return replace(gateway, hop=hop)


def ussd(phone: str, session: str, text: str, at: datetime, *, carrier: str = "phone", lost: bool = False) -> Inbound:
    """A hop of a USSD session, numbered as the carriers do."""
    place = f"{session}/{text.count('*') + bool(text)}/{sha256(text.encode()).hexdigest()[:16]}"
    return Inbound(place, carrier, phone, "ussd", text, at, session, lost=lost)


def conversations(phone: str, chance: random.Random, at: datetime, sms: float = 0.3) -> Iterator[Inbound]:
    """Endless hops of one phone: a language first, then sessions and, so often, messages."""
    first = f"s-{phone[-4:]}-0"
    for text in ("", "2", "2*1"):
        yield ussd(phone, first, text, at, lost=bool(text))
    for number in itertools.count(1):
        if chance.random() < sms:
            yield Inbound(f"m-{phone[-4:]}-{number}", "phone", phone, "sms", chance.choice(WORDS), at)
            continue
        session, said = f"s-{phone[-4:]}-{number}", ""
        yield ussd(phone, session, "", at)
        for one in chance.choice(SESSIONS):
            said = f"{said}*{one}" if said else one
            yield ussd(phone, session, said, at, lost=True)


PHONES = tuple(town.PHONES.values())
