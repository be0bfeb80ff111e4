"""Kannel: the road to an operator's SMSC. It brings SMS by post-url, takes ours by sendsms, and reports on our own ids.

`gateway kannel-config` prints the configuration that goes with this file (gateway/kannel_config.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qsl

import requests
import structlog

from flows.records import Channel
from gateway.carriers import Door, Ignored, Request
from gateway.carriers.calling import Line, never_left, words_of
from gateway.carriers.reading import mobile, query, required
from gateway.records import Inbound, Later, Never, OutboundMessage, Outcome, Report, Sent, Unsure
from gateway.settings import Settings
from messages import Limits
from messages.encoding import measure

log = structlog.get_logger()

State = Literal["sent", "delivered", "failed", "unknown"]

NAME = "kannel"
USER = "gateway"
#: Seconds to wait for a connection: smsbox stands beside us.
CONNECT = 3.05
#: Codings of a message (%c): 0 is GSM-7, which Kannel hands over as UTF-8; 2 is UCS-2; 1 is data for a machine.
CHARSETS = {"utf-8": "utf-8", "utf-16be": "utf-16-be", "ucs-2": "utf-16-be", "iso-8859-1": "latin-1", "us-ascii": "ascii"}
#: Kinds of report (%d). We ask for 1, 2 and 16: that a message was taken tells us nothing new, and each report is a call.
REPORTED: Mapping[str, tuple[str, State]] = {
    "1": ("delivered", "delivered"),
    "2": ("undelivered", "failed"),
    "4": ("queued at the SMSC", "sent"),
    "8": ("taken by the SMSC", "sent"),
    "16": ("refused by the SMSC", "failed"),
}
UNKNOWN: tuple[str, State] = ("unknown", "unknown")
MASK = "19"
#: What an operator's receipt or refusal says of the reason. The rest of a receipt may quote the message: it is dropped.
REASON = re.compile(r"(?:err:|NACK/|stat:)\s*[A-Za-z0-9]{1,20}")


class Kannel:
    """The carrier. `template_id` gives the DLT template id that rides with a text, by its key and language.

    A refusal of ours makes smsbox bring the same thing again for hours and holds up what is behind it, so whatever would
    fare no better the next time is Ignored.
    """

    name = NAME
    sends = True

    def __init__(self, settings: Settings, template_id: Callable[[str, str], str]) -> None:
        self._settings = settings
        self._template_id = template_id
        self._sendsms = f"{settings.kannel_url.rstrip('/')}/cgi-bin/sendsms"
        self._report_to = f"{doors_of(settings)}/dlr"
        self._limits = Limits("sms", parts=2)
        self._line = Line()
        self.doors: Mapping[str, Door] = {
            "sms": Door(lambda fields, _: self.hear_sms(fields), read=_read_sms),
            "dlr": Door(_hear_report, read=_read_report, method="GET"),
        }

    def limits(self, channel: Channel) -> Limits:
        """What fits. Kannel has no USSD."""
        return self._limits

    def hear_sms(self, fields: Mapping[str, str]) -> Inbound:
        """An SMS to the short code. Its id (%I) is the same when it is brought again."""
        id_, phone = required(fields, "id"), mobile(fields, "from")
        if "text" not in fields:
            raise Ignored("coding: not a text")
        if required(fields, "to", 40).lstrip("+") != self._settings.shortcode:
            log.warning("kannel.other_number", hint="GATEWAY_SHORTCODE is not the number people wrote to")
            raise Ignored("to: not the short code of GATEWAY_SHORTCODE")
        return Inbound(f"{NAME}/{id_}", NAME, phone, "sms", fields["text"].replace("\0", "�"), _epoch(fields.get("at", "")))

    def reference(self, message: OutboundMessage) -> str:
        """What reports call it: our own id."""
        return str(message.id)

    def send(self, message: OutboundMessage) -> Outcome:
        """Try once. The password, the number and the report's address ride in headers: an address ends up in logs."""
        reference = self.reference(message)
        unicode = measure(message.text).encoding == "ucs2"
        headers = {
            "X-Kannel-Username": USER,
            "X-Kannel-Password": self._settings.kannel_password.get_secret_value(),
            "X-Kannel-From": self._sender(message),
            "X-Kannel-To": message.phone,
            "X-Kannel-Coding": "2" if unicode else "0",
            "X-Kannel-DLR-Mask": MASK,
            "X-Kannel-DLR-Url": f"{self._report_to}?id={reference}&phone=%p&type=%d&answer=%A",
            "Content-Type": f"text/plain; charset={'UTF-16BE' if unicode else 'UTF-8'}",
        }
        if tlvs := self._tlvs(message):
            headers["X-Kannel-Meta-Data"] = tlvs
        body = message.text.encode("utf-16-be" if unicode else "utf-8")
        try:
            reply = self._line.session.post(
                self._sendsms, data=body, headers=headers, timeout=(CONNECT, self._settings.send_timeout), allow_redirects=False
            )
        except requests.RequestException as error:
            why = type(error).__name__  # its words would hold the address
            return Later(f"no connection: {why}") if never_left(error) else Unsure(why, reference)
        return read_answer(reply.status_code, reply.text, reference)

    def _sender(self, message: OutboundMessage) -> str:
        """Pushed texts come from the registered header, answers from the number the person wrote to."""
        pushed = message.template.startswith("sms.")
        return (self._settings.dlt_header if pushed else "") or self._settings.shortcode

    def _tlvs(self, message: OutboundMessage) -> str:
        """The DLT ids as Kannel's meta-data: names of the smpp-tlv groups in its configuration."""
        ids = {"PE_ID": self._settings.dlt_entity, "TEMPLATE_ID": self._template_id(*message.template.split("/"))}
        pairs = "".join(f"{name}={value}&" for name, value in ids.items() if value)
        return f"?smpp?{pairs}" if pairs else ""


def doors_of(settings: Settings) -> str:
    """Where Kannel finds our doors."""
    secret = settings.secrets_of(NAME)[0]
    return f"{settings.kannel_calls.rstrip('/') or f'http://{settings.host}:{settings.port}'}/in/{NAME}/{secret}"


def read_answer(status: int, body: str, reference: str) -> Outcome:
    """What smsbox says. 202 is ours to forget: bearerbox has the message in its spool."""
    said = words_of(body)
    if status == 202 and said.startswith("0:"):
        return Sent(reference)
    if status == 202 and said.startswith("3:"):
        return Sent(reference, "queued: the SMSC is away")
    if status == 400:  # a number it does not take; nothing else of ours changes from message to message
        return Never(said)
    if 400 < status < 500:  # the password, the user or the route: the next message would fare the same
        return Later(f"{status} {said}: see GATEWAY_KANNEL_PASSWORD and `gateway kannel-config`", pause=True)
    if status == 503:  # smsbox has lost bearerbox
        return Later(f"503 {said}")
    return Unsure(f"HTTP {status}", reference)


# --- reading requests -------------------------------------------------------------------------------------------------


def _read_sms(request: Request) -> dict[str, str]:
    """The fields of post-url's address, and the raw body as `text`.

    What cannot be decoded is shown as such rather than refused: smsbox would drop the message, and the person would wait.
    """
    fields = query(request)
    charset = CHARSETS.get(_charset(request) or fields.get("charset", "").lower())
    if fields.get("coding") != "1" and charset:
        fields["text"] = request.body.decode(charset, errors="replace")
    return fields


def _charset(request: Request) -> str:
    """The charset of the content type."""
    found = re.search(r'charset="?([\w-]+)', request.headers.get("content-type", ""), re.IGNORECASE)
    return found[1].lower() if found else ""


def _read_report(request: Request) -> dict[str, str]:
    """The fields of a report's address; the operator's own words in it may be in any charset."""
    return dict(parse_qsl(request.query.decode("latin-1"), keep_blank_values=True, errors="replace", max_num_fields=10))


def _hear_report(fields: Mapping[str, str], _: Mapping[str, str]) -> Report:
    """A report on a message of ours, by the id we sent along. The state orders reports, never their arrival."""
    status, state = REPORTED.get(required(fields, "type", 4), UNKNOWN)
    reason = " ".join(REASON.findall(fields.get("answer", "")))
    return Report(NAME, required(fields, "id"), status, state, reason, mobile(fields, "phone"))


def _epoch(written: str) -> datetime:
    """Seconds since 1970; unreadable: now."""
    return datetime.fromtimestamp(int(written), UTC) if re.fullmatch(r"[0-9]{1,11}", written) else datetime.now(UTC)
