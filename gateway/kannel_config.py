"""`gateway kannel-config`: the configuration of Kannel that goes with our settings, each line with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.bearerbox import BOX
from gateway.carriers.kannel import USER, doors_of
from gateway.settings import BadSetting, Settings

#: How long smsbox brings a message or a report again that we could not take: every so many seconds, for twelve hours.
AGAIN_SECONDS, AGAIN_TIMES = 5, 12 * 3600 // 5
#: Parts a text of ours may take; smsbox cuts longer ones off without a word.
MOST_PARTS = 10


#: How our worker is brought what people write.
_WHOLE = (
    ("sms-combine-concatenated-mo", "false", "our worker joins long SMS: bearerbox, killed in between, would leave pieces"),
    ("smsbox-max-pending", "1000", "SMS that may be on the way to it, parts that wait for others among them"),
)


class Group(NamedTuple):
    """A group of the configuration: for each parameter its value and, where it is not plain, why it is there."""

    name: str
    lines: Sequence[tuple[str, str, str]]


def configuration(settings: Settings) -> str:
    """The whole file. Raises BadSetting with one line for what is missing."""
    for name in ("kannel_url", "kannel_password", "kannel_admin_password"):
        if not getattr(settings, name):
            raise BadSetting(f"GATEWAY_{name.upper()}: set it, then print the configuration again")
    smsc = _smpp(settings) if settings.kannel_smsc_host else [_fake(settings)]
    brings = _route(settings) if settings.own_kannel else _service(settings)
    groups = [_core(settings), *smsc, *_smsbox(settings), brings]
    return "\n".join([*_head(), *(line for group in groups for line in _written(group))])


def _head() -> Iterator[str]:
    yield "# Kannel for our gateway, printed by `gateway kannel-config`. It holds passwords: chmod 600."
    yield "# Make the folders first (mkdir -p spool reports log), then start, from this folder:"
    yield "#   bearerbox -v 4 kannel.conf     and, two seconds later,     smsbox -v 4 kannel.conf"
    yield "# Have both started again when they end, and smsbox killed (-9) when bearerbox has ended, under which it hangs:"
    yield "# docs/carriers.md has units of systemd that do."
    yield ""


def _written(group: Group) -> Iterator[str]:
    yield f"group = {group.name}"
    for parameter, value, why in group.lines:
        if why:
            yield f"# {why}"
        yield f"{parameter} = {value}"
    yield ""


def _smsc_id(settings: Settings) -> str:
    return "OPERATOR" if settings.kannel_smsc_host else "FAKE"


def _core(settings: Settings) -> Group:
    return Group(
        "core",
        [
            ("admin-port", str(settings.kannel_port), "status page; it and all that follows stays on loopback"),
            ("admin-interface", "127.0.0.1", ""),
            ("admin-password", settings.kannel_admin_password.get_secret_value(), ""),
            ("admin-deny-ip", '"*.*.*.*"', ""),
            ("admin-allow-ip", '"127.0.0.1"', ""),
            ("smsbox-port", str(settings.kannel_port + 1), "where smsbox and our worker find bearerbox"),
            ("smsbox-interface", "127.0.0.1", ""),
            ("box-deny-ip", '"*.*.*.*"', ""),
            ("box-allow-ip", '"127.0.0.1"', ""),
            ("store-type", "spool", "what bearerbox has taken survives a crash, one file a message"),
            ("store-location", '"spool"', ""),
            ("dlr-storage", "spool", "and so do the reports it waits for (`internal` forgets them)"),
            ("dlr-spool", '"reports"', ""),
            ("sms-resend-retry", "-1", "an SMSC that is away is waited for"),
            *(_WHOLE if settings.own_kannel else ()),
            ("log-file", '"log/bearerbox.log"', ""),
            ("log-level", "3", "errors only: 2 logs numbers, and 1 every message with number and text"),
        ],
    )


def _fake(settings: Settings) -> Group:
    return Group(
        "smsc",
        [
            ("smsc", "fake", "no operator yet (GATEWAY_KANNEL_SMSC_HOST is empty): /usr/lib/kannel/test/fakesmsc is the phone"),
            ("smsc-id", _smsc_id(settings), ""),
            ("port", str(settings.kannel_port + 2), ""),
            ("connect-allow-ip", "127.0.0.1", "it listens on all addresses: this line is its only lock"),
        ],
    )


def _smpp(settings: Settings) -> Iterator[Group]:
    yield Group(
        "smsc",
        [
            ("smsc", "smpp", "the operator's SMSC"),
            ("smsc-id", _smsc_id(settings), ""),
            ("host", settings.kannel_smsc_host, ""),
            ("port", str(settings.kannel_smsc_port), ""),
            ("smsc-username", settings.kannel_smsc_username, ""),
            ("smsc-password", settings.kannel_smsc_password.get_secret_value(), ""),
            ("system-type", f'"{settings.kannel_smsc_type}"', ""),
            ("transceiver-mode", "true", "one bind both ways"),
            ("enquire-link-interval", "10", "keeps the line open"),
            (
                "reconnect-delay",
                "5",
                "seconds before a broken line is tried again (msg-id-type stays unset: it spoils ids)",
            ),
        ],
    )
    tags = {"PE_ID": settings.kannel_tag_entity, "TEMPLATE_ID": settings.kannel_tag_template}
    for name, tag in tags.items():
        yield Group(
            "smpp-tlv",
            [
                ("name", name, "a DLT id: without this group messages leave without it, and nobody says so"),
                ("tag", tag, ""),
                ("type", "octetstring", ""),
                ("length", "30", ""),
                ("smsc-id", _smsc_id(settings), ""),
            ],
        )


def _route(settings: Settings) -> Group:
    return Group(
        "smsbox-route",
        [
            ("smsbox-id", BOX, "people's SMS go to our worker, which is a box of its own and loses none"),
            ("smsc-id", _smsc_id(settings), ""),
        ],
    )


def _service(settings: Settings) -> Group:
    return Group(
        "sms-service",
        [
            ("keyword", "default", "keywords of services never match Hindi: all of it comes to us"),
            ("catch-all", "true", ""),
            ("max-messages", "0", "our empty answer is no SMS: we answer by sendsms"),
            ("send-sender", "true", ""),
            (
                "post-url",
                f'"{doors_of(settings)}/sms?from=%p&to=%P&id=%I&at=%T&coding=%c&charset=%C"',
                "the text itself comes as the raw body: %a and %r would destroy Hindi",
            ),
        ],
    )


def _smsbox(settings: Settings) -> Iterator[Group]:
    sendsms = urlsplit(settings.kannel_url)
    named = [("smsbox-id", "smsbox", "a box without a name would get SMS while our worker is away")]
    yield Group(
        "smsbox",
        [
            *(named if settings.own_kannel else []),
            ("bearerbox-host", "127.0.0.1", ""),
            ("bearerbox-port", str(settings.kannel_port + 1), ""),
            ("sendsms-port", str(sendsms.port or 13013), "where we bring messages: GATEWAY_KANNEL_URL"),
            ("sendsms-interface", sendsms.hostname or "127.0.0.1", ""),
            ("global-sender", settings.shortcode, ""),
            ("http-request-retry", str(AGAIN_TIMES), "without it what it brings is lost when we are away for a moment"),
            ("http-queue-delay", str(AGAIN_SECONDS), "seconds between tries; the id stays the same"),
            ("max-pending-requests", "1", "smsbox calls a thing done when it has only begun to bring it: so one, no more"),
            ("log-file", '"log/smsbox.log"', ""),
            ("log-level", "4", "below 4 it logs each address it could not reach, with number and secret"),
        ],
    )
    yield Group(
        "sendsms-user",
        [
            ("username", USER, ""),
            ("password", settings.kannel_password.get_secret_value(), ""),
            ("user-deny-ip", '"*.*.*.*"', ""),
            ("user-allow-ip", '"127.0.0.1"', "" if settings.own_kannel else "add the addresses of our workers, behind ;"),
            ("concatenation", "true", ""),
            ("max-messages", str(MOST_PARTS), "parts of a long text; without it a long text is cut"),
        ],
    )
