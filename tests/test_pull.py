"""Closing the gaps of a webhook: messages are fetched with the real SDK from the emulator, and those we know are not doubled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from gateway.app import Gateway
from gateway.carriers.africastalking import AfricasTalking
from gateway.pull import Pull
from gateway.records import Inbound
from gateway.settings import Settings
from tests import town
from tests.conftest import BOTH_STORES, Clock
from tests.emulators.africastalking import API_KEY, Emulator

EVERY = timedelta(minutes=5)
DATE = "2026-05-25 04:25:00"
ONE, TWO = town.PHONES["one"], town.PHONES["two"]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def pull(gateway: Gateway, emulator: Emulator, clock: Clock) -> Pull:
    settings = Settings.model_validate(gateway.settings.model_dump() | {"at_base_url": emulator.url, "at_api_key": API_KEY})
    made = Pull(gateway.store, AfricasTalking(settings), gateway.hop.serve, every=EVERY, clock=clock)
    emulator.bring(ONE, "from before there was a gateway", "2026-05-25 04:00:00")
    assert made.turn() == 0  # what came before us is not answered
    clock.wait(EVERY)
    return made


def by_webhook(gateway: Gateway, phone: str, text: str, id_: str, date: str = DATE) -> None:
    form = {"id": id_, "from": phone, "to": "56161", "text": text, "date": date}
    heard = gateway.carriers["africastalking"].doors["sms"].hear(form, {})
    assert isinstance(heard, Inbound)
    gateway.hop.serve([heard])


def answers(gateway: Gateway) -> list[tuple[str, str]]:
    return gateway.store.database.rows("select phone, text from inbound order by phone, at")


@BOTH_STORES
def test_what_never_reached_us_is_answered_once(gateway: Gateway, emulator: Emulator, pull: Pull, clock: Clock) -> None:
    by_webhook(gateway, ONE, "BIL", "uuid-1")
    emulator.bring(ONE, "BIL", DATE.replace(" ", "T") + ".471Z")  # the same, with milliseconds and another id
    emulator.bring(TWO, "bijli bil", DATE)
    assert pull.turn() == 1
    assert answers(gateway) == [(ONE, "BIL"), (TWO, "bijli bil")]
    for _ in range(2):
        clock.wait(EVERY)
        assert pull.turn() == 0
    assert gateway.store.database.rows("select count(distinct inbound) from outbox")[0][0] == 2


@BOTH_STORES
def test_the_first_of_all_messages_is_answered_too(gateway: Gateway, emulator: Emulator, clock: Clock) -> None:
    """There was none at the first look: what comes then came after us."""
    settings = Settings.model_validate(gateway.settings.model_dump() | {"at_base_url": emulator.url, "at_api_key": API_KEY})
    pull = Pull(gateway.store, AfricasTalking(settings), gateway.hop.serve, every=EVERY, clock=clock)
    assert pull.turn() == 0
    clock.wait(EVERY)
    emulator.bring(ONE, "BIL", DATE)
    assert pull.turn() == 1


@BOTH_STORES
def test_the_webhook_may_come_after_all(gateway: Gateway, emulator: Emulator, pull: Pull) -> None:
    emulator.bring(ONE, "BIL", DATE)
    assert pull.turn() == 1
    before = gateway.store.count("outbox")
    for _ in range(2):
        by_webhook(gateway, ONE, "BIL", "uuid-1")
    assert gateway.store.count("outbox") == before
    by_webhook(gateway, ONE, "BIL", "uuid-2", "2026-05-25 04:26:00")  # said again is answered again
    assert gateway.store.count("outbox") > before


def test_a_hundred_at_a_time(gateway: Gateway, emulator: Emulator, pull: Pull) -> None:
    for number in range(230):
        emulator.bring(f"+9155500004{number % 100:02d}", f"help {number}", f"2026-05-25 04:2{number // 100}:00")
    assert pull.turn() + gateway.store.count("quarantine") == 230


@BOTH_STORES
def test_it_is_not_answered_into_a_conversation_that_went_on(gateway: Gateway, emulator: Emulator, pull: Pull) -> None:
    emulator.bring(ONE, "1", "2026-05-25 04:20:00")
    by_webhook(gateway, ONE, "METER", "uuid-1")
    assert pull.turn() == 0
    assert gateway.store.database.rows("select door, body from quarantine") == [("fetch", "1")]


def test_neither_yesterday_nor_machines_are_answered(gateway: Gateway, emulator: Emulator, pull: Pull) -> None:
    emulator.bring(ONE, "BIL", "2026-05-24 12:00:00")
    emulator.bring("MTN", "You have won", DATE)
    emulator.bring(ONE, "BIL", "no date")
    emulator.bring(ONE, "BIL", DATE, to="22384")
    assert pull.turn() == 0
    assert gateway.store.count("inbound") == 0


def test_an_aadhaar_number_is_known_again_though_it_is_not_kept(gateway: Gateway, emulator: Emulator, pull: Pull) -> None:
    text = "NAAM 234123412346 Ramesh"
    by_webhook(gateway, ONE, text, "uuid-1")
    assert "234123412346" not in str(answers(gateway))
    emulator.bring(ONE, text, DATE)
    assert pull.turn() == 0
    assert gateway.store.count("inbound") == 1


@BOTH_STORES
def test_one_worker_has_its_turn(gateway: Gateway, emulator: Emulator, pull: Pull, clock: Clock) -> None:
    other = Pull(gateway.store, pull._carrier, gateway.hop.serve, every=EVERY, clock=clock)
    emulator.bring(ONE, "BIL", DATE)
    assert [pull.turn(), other.turn()] == [1, 0]
    clock.now -= timedelta(hours=2)  # the clock was wrong: it is somebody's turn again
    emulator.bring(TWO, "BIL", "2026-05-25 02:34:00")
    assert other.turn() == 1


def test_trouble_loses_nothing(gateway: Gateway, emulator: Emulator, clock: Clock, pull: Pull) -> None:
    emulator.bring(ONE, "BIL", DATE)
    broken = Pull(gateway.store, AfricasTalking(gateway.settings.model_copy(update={"at_base_url": "http://127.0.0.1:9"})),
                  gateway.hop.serve, every=EVERY, clock=clock)  # fmt: skip
    with pytest.raises(OSError, match="ConnectionError"):
        broken.turn()
    clock.wait(EVERY)
    assert pull.turn() == 1
