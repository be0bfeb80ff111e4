"""Mobile Seva, the government's SMS gateway: people's SMS come by its pull service, ours leave by its push service.

What is known of it is second-hand: each thing that nobody could confirm is a setting marked [unverified] (docs/carriers.md).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import requests

from flows.records import INDIA, Channel
from gateway.carriers import Door
from gateway.carriers.calling import Line, never_left, words_of
from gateway.carriers.reading import mobile, query, required
from gateway.records import Answer, Inbound, Later, OutboundMessage, Outcome, Sent, Unsure
from gateway.settings import Settings
from messages import Limits
from messages.encoding import measure
from messages.understand import mask_aadhaar

NAME = "mobileseva"
#: Seconds to wait for a connection.
CONNECT = 5.0
#: `402,MsgID = 150620161466003974245msdgsms`
TAKEN = re.compile(r"\s*([0-9]{3})\s*,\s*MsgID\s*=\s*(\w{1,80})")


class MobileSeva:
    """The carrier. `template_id` gives the DLT template id that rides with a text, by its key and language."""

    name = NAME

    def __init__(self, settings: Settings, template_id: Callable[[str, str], str]) -> None:
        self._settings = settings
        self._template_id = template_id
        self._prefixes = [word.casefold() for word in settings.mobileseva_prefixes]
        self._line = Line()
        self.sends = bool(settings.mobileseva_url)
        says = self._says if settings.mobileseva_says else None
        self.doors: Mapping[str, Door] = {"sms": Door(self._hear, says, read=query, method="GET")}

    def limits(self, channel: Channel) -> Limits:
        """What fits. It has no USSD."""
        return Limits("sms", parts=2)

    def _hear(self, fields: Mapping[str, str], _: Mapping[str, str]) -> Inbound:
        """An SMS. It has no id: the same number, time and text (as it may be kept) are the same message."""
        phone, stamp = mobile(fields, "mobileNumber"), required(fields, "timeStamp", 40)
        text = fields.get("message", "")
        same = hashlib.sha256(f"{phone}\n{stamp}\n{mask_aadhaar(text)[0]}".encode()).hexdigest()[:32]
        return Inbound(f"{NAME}/{same}", NAME, phone, "sms", self._command(text), _date(stamp))

    def _command(self, text: str) -> str:
        """The text without the words that brought it to us: the state's, then the service's."""
        for prefix in self._prefixes:
            word, _, rest = text.strip().partition(" ")
            if word.casefold() == prefix:
                text = rest
        return text

    def _says(self, answer: Answer, inbound: Inbound) -> bytes:
        """Our answer leaves by push; this is only what the pull service is told."""
        return self._settings.mobileseva_says.encode()

    def send(self, message: OutboundMessage) -> Outcome:
        """Try once."""
        form = self._form(message)
        try:
            reply = self._line.session.post(
                self._settings.mobileseva_url, data=form, timeout=(CONNECT, self._settings.send_timeout), allow_redirects=False
            )
        except requests.RequestException as error:
            why = type(error).__name__
            return Later(f"no connection: {why}") if never_left(error) else Unsure(why)
        return self._read(reply.status_code, reply.text)

    def _form(self, message: OutboundMessage) -> dict[str, str]:
        settings = self._settings
        unicode = measure(message.text).encoding == "ucs2"
        content = _entities(message.text) if unicode and settings.mobileseva_entities else message.text
        username, sender, key = settings.mobileseva_username, settings.dlt_header, settings.mobileseva_key.get_secret_value()
        signed = "".join(part.strip() for part in (username, sender, content, key))
        password = settings.mobileseva_password.get_secret_value().encode()
        form = {
            "username": username,
            "password": hashlib.new(settings.mobileseva_password_hash, password, usedforsecurity=False).hexdigest(),
            "senderid": sender,
            "content": content,
            "smsservicetype": "unicodemsg" if unicode else "singlemsg",
            "mobileno": message.phone.removeprefix("+91").lstrip("+"),
            "key": hashlib.sha512(signed.encode()).hexdigest(),
            "templateid": self._template_id(*message.template.split("/")),
        }
        if settings.mobileseva_entity_field:
            form[settings.mobileseva_entity_field] = settings.dlt_entity
        return form

    def _read(self, status: int, body: str) -> Outcome:
        """What the push service says: a code and its id of the message. An answer without an id took nothing."""
        taken = TAKEN.match(body)
        if status == 200 and taken and taken[1] in self._settings.mobileseva_accepted:
            return Sent(taken[2], taken[1])
        if taken:  # it has a name for it, so it may have taken it, whatever the code means
            return Unsure(f"it says {taken[1]}: see GATEWAY_MOBILESEVA_ACCEPTED", taken[2])
        if status == 200:
            return Later(f"it says {words_of(body)!r}")
        if 400 <= status < 500:
            return Later(f"HTTP {status}: see the GATEWAY_MOBILESEVA settings", pause=True)
        return Later(f"HTTP {status}") if status == 503 else Unsure(f"HTTP {status}")


def _entities(text: str) -> str:
    """Letters outside ASCII as decimal character references: `&#2348;`."""
    return "".join(letter if letter.isascii() else f"&#{ord(letter)};" for letter in text)


def _date(written: str) -> datetime:
    """`2012-02-23 13:30:20`, taken as India's time; unreadable: now."""
    try:
        return datetime.strptime(written, "%Y-%m-%d %H:%M:%S").replace(tzinfo=INDIA)
    except ValueError:
        return datetime.now(UTC)
