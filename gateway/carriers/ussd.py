"""A USSD platform as Indian operators have them: each hop brings the last input only, in fields that the settings name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from string import Template
from urllib.parse import quote
from uuid import uuid4
from xml.sax.saxutils import escape

from flows.records import Channel
from gateway.carriers import Door, Unreadable, reading
from gateway.carriers.reading import Request, mobile, required
from gateway.records import Answer, Inbound, Never, OutboundMessage, Outcome, SessionEnd
from gateway.settings import Settings, UssdPlatform
from messages import Limits

READS: Mapping[str, Callable[[Request], Mapping[str, str]]] = {
    "form": reading.form,
    "json": reading.json,
    "query": reading.query,
}


class Ussd:
    """The carrier: one platform, under the name the settings give it."""

    sends = False

    def __init__(self, name: str, platform: UssdPlatform, settings: Settings) -> None:
        self.name = name
        self._platform = platform
        self._code = (platform.code or settings.ussd_code).strip("*#").split("*")
        self._template = Template(platform.answer)
        self._escape = _escape_for(platform.media)
        self._limits = Limits("ussd", platform.septets, platform.units, devanagari=platform.devanagari)
        method = "GET" if platform.reads == "query" else "POST"
        self.doors: Mapping[str, Door] = {
            "ussd": Door(self._hear, self._answer, read=READS[platform.reads], method=method, media=platform.media)
        }

    def limits(self, channel: Channel) -> Limits:
        """What fits."""
        return self._limits if channel == "ussd" else Limits("sms")

    def _hear(self, fields: Mapping[str, str], _: Mapping[str, str]) -> Inbound | SessionEnd:
        """A hop, or the end of a session. The same hop is known again by the platform's own number; a platform without one
        cannot bring a hop twice without its being taken for a new one."""
        platform = self._platform
        session, phone = required(fields, platform.session), mobile(fields, platform.phone)
        text = fields.get(platform.text, "")
        kind = required(fields, platform.type, 40) if platform.type else ""
        if kind and kind in platform.end:
            return SessionEnd(self.name, session, phone, kind)
        begins = kind in platform.begin if platform.type else not text or text.startswith("*")
        number = required(fields, platform.sequence) if platform.sequence else uuid4().hex
        return Inbound(
            id=f"{self.name}/{session}/{number}",
            carrier=self.name,
            phone=phone,
            channel="ussd",
            text="" if begins else text,
            at=datetime.now(UTC),
            session=session,
            cumulative=False,
            dialled=self._dialled(text) if begins else (),
            lost=not begins,
        )

    def _dialled(self, text: str) -> tuple[str, ...]:
        """What was dialled behind our code: `*384*1912*6#` says 6. Some platforms leave the code out."""
        dialled = text.strip("*#").split("*")
        if dialled == [""]:
            return ()
        if dialled[: len(self._code)] != self._code:
            raise Unreadable(f"{self._platform.text}: does not begin with the code of the settings")
        return tuple(dialled[len(self._code) :])

    def _answer(self, answer: Answer, inbound: Inbound) -> bytes:
        kind = self._platform.ends if answer.ends else self._platform.goes_on
        said = {"page": answer.page, "kind": kind, "session": inbound.session, "phone": inbound.phone.lstrip("+")}
        return self._template.substitute({name: self._escape(value) for name, value in said.items()}).encode()

    def send(self, message: OutboundMessage) -> Outcome:
        """It sends no SMS; the routes name who does."""
        return Never(f"{self.name} sends no SMS: see GATEWAY_ROUTES", alarm=True)


def _escape_for(media: str) -> Callable[[str], str]:
    """How a value is written into a body of this content type."""
    if "json" in media:
        return lambda value: json.dumps(value, ensure_ascii=False)[1:-1]
    if "xml" in media:
        return escape
    if "urlencoded" in media:
        return lambda value: quote(value, safe="")
    return str
