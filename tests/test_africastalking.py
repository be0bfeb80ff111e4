"""Sending through the real SDK to an emulator of the API, on good days and bad ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from gateway.carriers.africastalking import AfricasTalking, read_answer
from gateway.records import Later, Never, OutboundMessage, Sent, Unsure
from gateway.settings import Settings
from tests.emulators.africastalking import API_KEY, Emulator

MESSAGE = OutboundMessage(
    7,
    "+915550000002",
    "आपका बिल 1240 रु",
    "ucs2",
    1,
    "bill.show/hi",
    "africastalking",
    "live",
    "fresh",
    1,
    datetime(2026, 5, 25, tzinfo=UTC),
)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def carrier(emulator: Emulator, settings: Settings) -> AfricasTalking:
    return carrier_for(settings, emulator.url)


def carrier_for(settings: Settings, url: str, key: str = API_KEY) -> AfricasTalking:
    changed = settings.model_dump() | {"at_base_url": url, "at_api_key": key, "at_sender": "SBPDCL"}
    return AfricasTalking(Settings.model_validate(changed))


def test_sends(carrier: AfricasTalking, emulator: Emulator) -> None:
    outcome = carrier.send(MESSAGE)
    assert isinstance(outcome, Sent)
    (taken,) = emulator.taken
    assert (taken.phone, taken.text, taken.sender) == (MESSAGE.phone, MESSAGE.text, "SBPDCL")
    assert outcome == Sent(taken.reference, "sent", "INR 0.2500")


def test_one_connection_is_kept_for_each_thread(carrier: AfricasTalking, emulator: Emulator) -> None:
    def some() -> None:
        for _ in range(5):
            assert isinstance(carrier.send(MESSAGE), Sent)

    threads = [threading.Thread(target=some) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(emulator.taken) == 15
    assert emulator.connections == 3


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("code 100", Sent), ("code 102", Sent), ("charset", Sent), ("no id", Sent),
        ("code 401", Never("RiskHold")), ("code 402", Never("InvalidSenderId", alarm=True)), ("code 403", Never("InvalidPhoneNumber")),
        ("code 404", Never("UnsupportedNumberType")), ("code 405", Later("InsufficientBalance", pause=True)),
        ("code 406", Never("UserInBlacklist")), ("code 407", Never("CouldNotRoute")), ("code 409", Never("DoNotDisturbRejection")),
        ("code 500", Later), ("code 501", Later), ("code 502", Later),
        ("empty", Never("InvalidSenderId", alarm=True)),
        ("http 401", Later), ("http 429", Later("HTTP 429", pause=True)), ("http 500", Later), ("http 503", Later),
        ("http 502", Unsure), ("http 504", Unsure), ("http 302", Later), ("http 400", Never("HTTP 400", alarm=True)),
        ("hang", Unsure("ReadTimeout")), ("late", Unsure("ReadTimeout")), ("reset", Unsure), ("reset after", Unsure),
        ("garbage", Unsure), ("list", Unsure), ("dribble", Unsure),
    ],
)  # fmt: skip
def test_bad_days(carrier: AfricasTalking, emulator: Emulator, day: str, expected: object) -> None:
    emulator.days = [day]
    patience = carrier._client._patience
    if day in ("hang", "late", "dribble"):  # patient with all others, however slow the machine
        carrier._client._patience = 0.3
    outcome = carrier.send(MESSAGE)
    carrier._client._patience = patience
    assert isinstance(outcome, expected) if isinstance(expected, type) else outcome == expected
    if isinstance(outcome, Later | Never):
        assert emulator.taken == [], "told as not sent, and it was"
    # and the next one goes well, on a new connection if need be
    assert isinstance(carrier.send(MESSAGE), Sent)


def test_a_message_id_that_says_none_is_no_reference(carrier: AfricasTalking, emulator: Emulator) -> None:
    emulator.days = ["no id"]
    assert carrier.send(MESSAGE) == Sent("", "sent", "INR 0.2500")


def test_a_refused_key_holds_the_carrier(emulator: Emulator, settings: Settings) -> None:
    outcome = carrier_for(settings, emulator.url, key="wrong").send(MESSAGE)
    assert isinstance(outcome, Later)
    assert outcome.pause
    assert "GATEWAY_AT_API_KEY" in outcome.why
    assert emulator.taken == []


def test_nobody_there(settings: Settings) -> None:
    """Nothing was sent: the port is closed, the name does not exist."""
    for url in ("http://127.0.0.1:9", "http://nobody.invalid"):
        outcome = carrier_for(settings, url).send(MESSAGE)
        assert isinstance(outcome, Later)
        assert "no connection" in outcome.why


def test_a_number_the_sdk_refuses(carrier: AfricasTalking, emulator: Emulator) -> None:
    assert isinstance(carrier.send(replace(MESSAGE, phone="56161")), Never)
    assert emulator.calls == 0


@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", '"text"', "{}", '{"SMSMessageData": null}', '{"SMSMessageData": {"Recipients": [{}]}}',
     '{"SMSMessageData": {"Recipients": [null]}}', '{"SMSMessageData": {"Recipients": {"statusCode": 101}}}',
     '{"SMSMessageData": {"Recipients": [{"statusCode": 999}]}}', '{"SMSMessageData": {"Recipients": 3}}'],
)  # fmt: skip
def test_an_answer_that_says_nothing_leaves_us_unsure(body: str) -> None:
    assert isinstance(read_answer(201, body), Unsure)


def test_an_empty_list_is_not_sent() -> None:
    assert read_answer(201, '{"SMSMessageData": {"Message": "Sent to 0/1", "Recipients": []}}') == Later(
        "no recipient: Sent to 0/1"
    )
