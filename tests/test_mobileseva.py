"""Mobile Seva's push against an emulator written from the facts; what its pull service brings is in tests/carriers/mobileseva."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.carriers.mobileseva import MobileSeva
from gateway.records import Later, OutboundMessage, Sent, Unsure
from gateway.settings import load
from tests.emulators.mobileseva import KEY, PASSWORD, SENDER, USER, Push

TEMPLATE = "1307000000000000002"
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def push() -> Iterator[Push]:
    with Push() as running:
        yield running


def mobileseva(push: Push, **more: Any) -> MobileSeva:
    settings = {
        "mobileseva_username": USER, "mobileseva_password": PASSWORD, "mobileseva_key": KEY, "mobileseva_url": push.url,
        "dlt_header": SENDER, "dlt_entity": "1301000000000000001", "webhook_secrets": [SECRET], "send_timeout": 5,
    } | more  # fmt: skip
    return MobileSeva(load(_env_file=None, **settings), lambda key, lang: TEMPLATE)


def message(text: str) -> OutboundMessage:
    return OutboundMessage(
        7, "+915550000001", text, "gsm7", 1, "sms.filed_meter/hi", "mobileseva", "live", "fresh", 1, datetime.now(UTC)
    )


@pytest.mark.parametrize("text", ["Bill Rs 1240 [net] & more", "बिल १२४० रु: पढ़ें", " a space in front", "₹ 1240"])
def test_sent_to_the_letter(push: Push, text: str) -> None:
    outcome = mobileseva(push).send(message(text))
    assert isinstance(outcome, Sent)
    assert outcome.reference.endswith("msdgsms")
    (sent,) = push.sent
    assert sent["content"] == text
    assert (sent["mobileno"], sent["templateid"], sent["entityid"]) == ("5550000001", TEMPLATE, "1301000000000000001")


def test_what_is_not_an_id_took_nothing(push: Push) -> None:
    outcome = mobileseva(push, mobileseva_key="another").send(message("BIL"))
    assert isinstance(outcome, Later)
    assert "the key does not fit" in outcome.why
    assert not push.sent


def test_answers(push: Push) -> None:
    carrier = mobileseva(push)
    push.says = "405,MsgID = 1msdgsms"  # a code nobody has named as accepted, and an id all the same
    outcome = carrier.send(message("BIL"))
    assert isinstance(outcome, Unsure)
    assert outcome.reference == "1msdgsms"
    push.says = "403,Invalid number 9155500002"
    assert carrier.send(message("BIL")) == Later("it says '403,Invalid number ...'")
    push.status, push.says = 403, "forbidden"
    outcome = carrier.send(message("BIL"))
    assert isinstance(outcome, Later)
    assert outcome.pause
    push.status = 502
    assert isinstance(carrier.send(message("BIL")), Unsure)
    push.status = 503
    assert isinstance(carrier.send(message("BIL")), Later)
    accepted = mobileseva(push, mobileseva_accepted=["402", "405"])
    push.status, push.says = 200, "405,MsgID = 1msdgsms"
    assert accepted.send(message("BIL")) == Sent("1msdgsms", "405")


def test_nobody_there() -> None:
    with Push() as push:
        carrier = mobileseva(push)
    outcome = carrier.send(message("BIL"))
    assert isinstance(outcome, Later)
    assert "mobileseva" not in outcome.why
    assert not mobileseva(push, mobileseva_url="").sends
