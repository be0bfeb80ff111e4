"""The phone in the browser and in the terminal: a carrier like any other, whose network has bad days at the push of a button."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex

from flows.records import Channel
from gateway.carriers import Door
from gateway.carriers.reading import mark
from gateway.records import Inbound, OutboundMessage, Outcome, Sent
from gateway.settings import Settings
from messages import Limits

#: What a slow day adds, in seconds: to a message, and to a page of a session (the phone's own patience is longer).
SLOW_MESSAGE = 5.0
SLOW_PAGE = 2.0


class Phone:
    """The carrier. It has no doors: the page and the terminal hand their hops over in process."""

    name = "phone"
    sends = True
    doors: Mapping[str, Door] = {}

    def __init__(self, settings: Settings) -> None:
        self._ussd = Limits(
            "ussd", settings.ussd_septets, settings.ussd_units, overhead=4, devanagari=settings.ussd_devanagari
        )  # as tight as the real carrier: its four letters of prefix count here too
        self._sms = Limits("sms", parts=2)
        self._quick = threading.Event()
        self._quick.set()

    def limits(self, channel: Channel) -> Limits:
        """What fits."""
        return self._ussd if channel == "ussd" else self._sms

    def send(self, message: OutboundMessage) -> Outcome:
        """Taken at once, or on a slow day after a while: the phone's inbox reads what the outbox has sent."""
        self._quick.wait(SLOW_MESSAGE)
        return Sent(f"phone-{message.id}")

    @property
    def slow(self) -> bool:
        """Whether the network has a slow day."""
        return not self._quick.is_set()

    @slow.setter
    def slow(self, on: bool) -> None:
        if on:
            self._quick.clear()
        else:
            self._quick.set()  # what is held up leaves at once


class NotHere(Exception):
    """What the network itself answers: `code` (no such code), `call` (voice calls are not played), `session` (it is over)."""


@dataclass(slots=True)
class Handset:
    """One phone and what its network knows of it: the running session with everything typed in it so far, and the last hop."""

    phone: str
    code: str
    missed_number: str = ""
    session: str = ""
    text: str = ""
    last: Inbound | None = None

    def dial(self, number: str, at: datetime) -> Inbound:
        """A new session. What is dialled behind the code (`*384*1912*6#`) arrives as text. The missed-call number rings and
        is not taken. Raises NotHere."""
        if number == self.missed_number:
            return self.missed(at)
        if not number.endswith("#"):
            raise NotHere("call")
        extension = number.removeprefix(self.code[:-1])
        if extension == number or (extension != "#" and not extension.startswith("*")):
            raise NotHere("code")
        self.session, self.text = f"sim-{token_hex(16)}", extension[1:-1]
        return self._hop(at, lost=False)

    def answer(self, words: str, at: datetime) -> Inbound:
        """An answer in the running session: all inputs so far arrive, joined by stars. Raises NotHere."""
        if not self.session:
            raise NotHere("session")
        self.text = f"{self.text}*{words}" if self.text else words
        return self._hop(at, lost=True)

    def sms(self, words: str, at: datetime) -> Inbound:
        """A message to the short code."""
        self.last = Inbound(f"sim-{token_hex(16)}", Phone.name, self.phone, "sms", words, at)
        return self.last

    def missed(self, at: datetime) -> Inbound:
        """A call that rings and is not taken."""
        self.last = Inbound(f"sim-{token_hex(16)}", Phone.name, self.phone, "missed", "", at)
        return self.last

    def hang_up(self) -> None:
        """The session is over; like a real phone out of reach it tells nobody."""
        self.session = self.text = ""

    def _hop(self, at: datetime, *, lost: bool) -> Inbound:
        place = f"{self.session}/{self.text.count('*') + bool(self.text)}/{mark(self.text)}"
        self.last = Inbound(place, Phone.name, self.phone, "ussd", self.text, at, self.session, lost=lost)
        return self.last
