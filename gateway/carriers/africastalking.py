"""Africa's Talking: what its webhooks say, what it is answered, and sending through its SDK."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Literal

import requests
import structlog
from africastalking.SMS import SMSService

from flows.records import Channel
from gateway.carriers import Door, Ignored, Unreadable
from gateway.carriers.calling import never_left, new_session, words_of
from gateway.carriers.reading import mark, required
from gateway.records import (
    FETCHED,
    Answer,
    Inbound,
    Later,
    Never,
    OptOut,
    OutboundMessage,
    Outcome,
    Report,
    Sent,
    SessionEnd,
    Unsure,
)
from gateway.settings import Settings
from messages import Limits

log = structlog.get_logger()
#: What a call is answered with: nobody picks up, nobody pays (docs.africastalking.com/voice/reject).
REJECT = b'<?xml version="1.0" encoding="UTF-8"?><Response><Reject/></Response>'

NAME = "africastalking"
PHONE = re.compile(r"\+?([1-9][0-9]{7,14})")
#: A label that comes back with the next hop of the session. It proves to us that the session is not new.
METADATA = "at-ussd-hop-metadata"
METADATA_LONGEST = 99
#: Seconds to wait for a connection. A carrier that does not answer the door has not taken the message.
CONNECT = 3.05

#: Delivery reports, as the carrier spells them. Here Success means on the handset.
REPORTED: Mapping[str, Literal["sent", "delivered", "failed"]] = {
    "Sent": "sent",
    "Submitted": "sent",
    "Buffered": "sent",
    "Success": "delivered",
    "Failed": "failed",
    "Rejected": "failed",
    "AbsentSubscriber": "failed",
    "Expired": "failed",
}
#: What the API says of a recipient, by code; the status text says Success for all of ACCEPTED.
ACCEPTED = {100: "processed", 101: "sent", 102: "queued"}
REFUSED: Mapping[int, Later | Never] = {
    401: Never("RiskHold"),
    402: Never("InvalidSenderId", alarm=True),
    403: Never("InvalidPhoneNumber"),
    404: Never("UnsupportedNumberType"),
    405: Later("InsufficientBalance", pause=True),
    406: Never("UserInBlacklist"),
    407: Never("CouldNotRoute"),
    409: Never("DoNotDisturbRejection"),
    500: Later("InternalServerError"),
    501: Later("GatewayError"),
    502: Later("RejectedByGateway"),
}


class AfricasTalking:
    """The carrier."""

    name = NAME
    sends = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._code = settings.ussd_code.strip("*#").split("*")
        self._ussd = Limits(
            "ussd", settings.ussd_septets, settings.ussd_units, overhead=4, devanagari=settings.ussd_devanagari
        )  # whether CON and its space count is not documented: four are left spare
        self._sms = Limits("sms", parts=2)
        self._clients = threading.local()
        self.doors: Mapping[str, Door] = {
            "ussd": Door(self._hear_ussd, _frame, _label),
            "ussd-end": Door(_hear_end),
            "sms": Door(self._hear_sms),
            "delivery": Door(_hear_report),
            "optout": Door(_hear_optout),
            "missed": Door(_hear_call, lambda *_: REJECT),
        }

    def limits(self, channel: Channel) -> Limits:
        """What fits."""
        return self._ussd if channel == "ussd" else self._sms

    # --- webhooks ---------------------------------------------------------------------------------------------------

    def _hear_ussd(self, form: Mapping[str, str], headers: Mapping[str, str]) -> Inbound:
        """A hop. Its text is everything typed so far, and it has no id: session, length and text together are one."""
        session, phone = required(form, "sessionId", 128), _phone(form, "phoneNumber")
        text = form.get("text", "")
        pieces = text.split("*") if text else []
        dialled = self._extension(form.get("serviceCode", ""))
        if pieces[: len(dialled)] == dialled:
            dialled = []  # this network puts what was dialled behind the code into the text as well
        return Inbound(
            id=f"{session}/{len(pieces)}/{mark(text)}",
            carrier=NAME,
            phone=phone,
            channel="ussd",
            text=text,
            at=datetime.now(UTC),
            session=session,
            dialled=tuple(dialled),
            lost=bool(headers.get(METADATA)),
        )

    def _extension(self, code: str) -> list[str]:
        """What was dialled behind our code: `*384*1912*6#` says 6. A test client may leave the code out."""
        dialled = code.strip("*#").split("*")
        if dialled == [""]:
            return []
        if dialled[: len(self._code)] != self._code:
            raise Unreadable("serviceCode: not the code of GATEWAY_USSD_CODE")
        return dialled[len(self._code) :]

    def _hear_sms(self, form: Mapping[str, str], _: Mapping[str, str]) -> Inbound:
        """An SMS to the short code. A blank one is one too: refused, it would come again for hours."""
        id_, sender = required(form, "id", 128), required(form, "from", 40)
        to = form.get("to", "").strip().lstrip("+")
        if to and to != self._settings.shortcode:
            raise Unreadable("to: not the short code of GATEWAY_SHORTCODE")
        phone = PHONE.fullmatch(sender)
        if phone is None:  # a name or a short code: a machine, and two machines would answer each other for ever
            raise Ignored("from: not a phone")
        at = _date(form.get("date", "")) or datetime.now(UTC)
        return Inbound(f"sms/{id_}", NAME, f"+{phone[1]}", "sms", form.get("text", ""), at)

    def fetch(self, after: str) -> tuple[list[Inbound], str]:
        """The messages behind an id, a hundred at most, and the id of the last of them (`after` itself if there is none,
        or 0).

        Ids here are numbers, those of the callbacks are not: sender, second and text tell whether it is the same message.
        """
        try:
            status, body = self._client.fetch_messages(after or None)
            if status != 200:
                raise OSError(f"HTTP {status}")
            messages = json.loads(body)["SMSMessageData"]["Messages"]
            read = [(int(one["id"]), self._fetched(one)) for one in messages]
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise OSError(type(error).__name__) from error
        return [inbound for _, inbound in sorted(read, key=itemgetter(0)) if inbound], str(
            max((id_ for id_, _ in read), default=after or 0)
        )

    def _fetched(self, told: Mapping[str, Any]) -> Inbound | None:
        """A message as it was fetched; None for a machine's, and for one whose date does not tell which it is."""
        phone, at = PHONE.fullmatch(str(told["from"]).strip()), _date(str(told["date"]))
        if phone is None or at is None or str(told["to"]) != self._settings.shortcode:
            return None
        return Inbound(f"{FETCHED}{told['id']}", NAME, f"+{phone[1]}", "sms", str(told["text"] or ""), at)

    # --- sending ----------------------------------------------------------------------------------------------------

    def send(self, message: OutboundMessage) -> Outcome:
        """Try once. What the API cannot say for certain is Unsure."""
        try:
            status, body = self._client.send(message.text, [message.phone], self._settings.at_sender or None)
        except requests.RequestException as error:
            return Later(f"no connection: {_cause(error)}") if never_left(error) else Unsure(_cause(error))
        except ValueError:  # the SDK's own check
            return Never("not a number the carrier takes")
        outcome = read_answer(status, body)
        counted = re.search(r"Message parts: (\d+)", body)
        if counted and int(counted[1]) != message.parts:
            log.warning("africastalking.parts", message=message.id, ours=message.parts, theirs=int(counted[1]))
        return outcome

    @property
    def _client(self) -> SmsClient:
        """This thread's client, with its own kept-alive connection."""
        client: SmsClient | None = getattr(self._clients, "client", None)
        if client is None:
            settings = self._settings
            client = self._clients.client = SmsClient(
                settings.at_username, settings.at_api_key.get_secret_value(), settings.at_base_url, settings.send_timeout
            )
        return client


class SmsClient(SMSService):  # type: ignore[misc]
    """The SDK's SMS service, with what it lacks: the HTTP status, a kept connection, our own patience, another address.

    It overrides two private methods, which is why the SDK's version is pinned (tests/test_africastalking.py notices).
    """

    def __init__(self, username: str, api_key: str, base_url: str, patience: float) -> None:
        self._address = base_url.rstrip("/")
        self._patience = patience
        super().__init__(username, api_key)
        self._http = new_session()

    def _init_service(self) -> None:
        super()._init_service()
        if self._address:
            self._baseUrl = self._contentUrl = f"{self._address}/version1"

    def _make_request(
        self, url: str, method: str, headers: Mapping[str, str], data: Any, params: Any, callback: Any = None, timeout: Any = None
    ) -> tuple[int, str]:
        reply = self._http.request(
            method, url, headers=headers, data=data, params=params, timeout=(CONNECT, self._patience), allow_redirects=False
        )
        return reply.status_code, reply.content.decode(errors="replace")


def read_answer(status: int, body: str) -> Outcome:
    """What the API's answer says of the one recipient it was given."""
    if status in (401, 403):  # a new key takes up to 20 minutes: nothing is wrong with the message
        return Later("the key is refused: see GATEWAY_AT_USERNAME and GATEWAY_AT_API_KEY", pause=True)
    if status == 429 or status == 503 or 300 <= status < 400:
        return Later(f"HTTP {status}", pause=True)
    if status in (502, 504):  # a proxy that heard nothing from the one behind it, which may have sent
        return Unsure(f"HTTP {status}")
    if status >= 500:
        return Later(f"HTTP {status}")
    if status >= 400:
        return Never(f"HTTP {status}", alarm=True)
    try:
        data = json.loads(body)["SMSMessageData"]
        recipients, said = data["Recipients"], str(data.get("Message", ""))
        if not recipients:  # 201 and an empty list: not sent, and the message says why
            return next((why for why in REFUSED.values() if why.why in said), Later(f"no recipient: {words_of(said)}"))
        told = recipients[0]
        code, reference = int(told["statusCode"]), str(told.get("messageId") or "")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return Unsure("an answer that cannot be read")
    if code in ACCEPTED:
        return Sent("" if reference == "None" else reference, ACCEPTED[code], str(told.get("cost", ""))[:20])
    return REFUSED.get(code, Unsure(f"status code {code}"))


def _cause(error: requests.RequestException) -> str:
    """An error as a log may hold it: its kind, since its words may hold the address asked."""
    return type(error).__name__


# --- reading forms ----------------------------------------------------------------------------------------------------


def _phone(form: Mapping[str, str], field: str) -> str:
    """A phone in E.164. A raw `+` in a form decodes to a space."""
    found = PHONE.fullmatch(required(form, field, 40))
    if found is None:
        raise Unreadable(f"{field}: not a phone number in international form")
    return f"+{found[1]}"


def _date(written: str) -> datetime | None:
    """`2017-05-03T06:04:45Z`, the same with milliseconds, or `2017-05-03 06:04:45`, all UTC; None if unreadable."""
    try:
        at = datetime.fromisoformat(written.strip())
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _hear_call(form: Mapping[str, str], _: Mapping[str, str]) -> Inbound:
    """A call to the missed-call number: rejected before it costs anything, and answered by SMS."""
    if form.get("direction", "").lower() != "inbound" or form.get("isActive") != "1":
        raise Ignored("isActive: not a call that comes in")
    phone = PHONE.fullmatch(required(form, "callerNumber", 40))
    if phone is None:
        raise Ignored("callerNumber: withheld")
    return Inbound(f"call/{required(form, 'sessionId', 128)}", NAME, f"+{phone[1]}", "missed", "", datetime.now(UTC))


def _hear_end(form: Mapping[str, str], _: Mapping[str, str]) -> SessionEnd:
    """The end of a session. Our last screen rides along in it: personal data, which is dropped."""
    session, phone = required(form, "sessionId", 128), _phone(form, "phoneNumber")
    screen = form.get("hopsMetadata", "").rpartition("|")[2]
    return SessionEnd(NAME, session, phone, form.get("status", "")[:40], form.get("errorMessage", "")[:200], screen)


def _hear_report(form: Mapping[str, str], _: Mapping[str, str]) -> Report:
    reference, status = required(form, "id", 128), required(form, "status", 40)
    phone = PHONE.fullmatch(form.get("phoneNumber", "").strip())
    return Report(
        NAME,
        reference,
        status,
        REPORTED.get(status, "unknown"),
        form.get("failureReason", "")[:80],
        f"+{phone[1]}" if phone else "",
    )


def _hear_optout(form: Mapping[str, str], _: Mapping[str, str]) -> OptOut:
    return OptOut(NAME, _phone(form, "phoneNumber"))


# --- writing answers ----------------------------------------------------------------------------------------------------


def _frame(answer: Answer, _: Inbound) -> bytes:
    return f"{'END' if answer.ends else 'CON'} {answer.page}".encode()


def _label(answer: Answer) -> dict[str, str]:
    """The screen's name rides along to the next hop; never anything a person said."""
    return {METADATA: answer.screen[:METADATA_LONGEST]}
