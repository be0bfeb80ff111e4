"""Which carrier sends: the rules, their faults, and who stands in for one that is down."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.carriers import Carrier, Door
from gateway.outbox import Outbox
from gateway.records import Later, OutboundMessage, Outcome, Sent, Unsure
from gateway.routing import Routes
from gateway.settings import BadSetting, Settings, load
from gateway.store.sql import Outgoing
from messages import Limits

PHONE = "+919415500001"


class Fake:
    """A carrier that answers as told."""

    doors: Mapping[str, Door] = {}

    def __init__(self, name: str, outcome: Outcome | None) -> None:
        self.name, self.sends, self.outcome = name, outcome is not None, outcome
        self.tried: list[str] = []

    def limits(self, channel: Any) -> Limits:
        return Limits("sms")

    def send(self, message: OutboundMessage) -> Outcome:
        self.tried.append(message.text)
        assert self.outcome is not None
        return self.outcome


def carriers(**outcomes: Outcome | None) -> dict[str, Carrier]:
    return {name: Fake(name, outcome) for name, outcome in outcomes.items()}


ALL = carriers(kannel=Sent("1"), mobileseva=Sent("2"), bsnl=Sent("3"), jio=None)
RULES = ["bulk: mobileseva kannel", "+9194 +9185: bsnl kannel", "jio live: mobileseva", "sms: kannel", "*: kannel mobileseva"]


@pytest.mark.parametrize(
    ("phone", "lane", "channel", "came_by", "carrier"),
    [
        (PHONE, "live", None, "", "bsnl"),
        (PHONE, "bulk", None, "", "mobileseva"),
        ("+919155000001", "live", "ussd", "jio", "mobileseva"),
        ("+919155000001", "notice", "ussd", "jio", "kannel"),
        ("+919155000001", "live", "sms", "mobileseva", "kannel"),
        ("+919155000001", "live", None, "", "kannel"),
    ],
)
def test_first_rule_that_fits(phone: str, lane: Any, channel: Any, came_by: str, carrier: str) -> None:
    assert Routes(RULES, ALL).carrier(phone, lane, channel, came_by) == carrier


def test_without_rules_who_came_is_answered_the_same_way() -> None:
    routes = Routes([], ALL)
    assert routes.carrier(PHONE, "live", "sms", "mobileseva") == "mobileseva"
    assert routes.carrier(PHONE, "live", "ussd", "jio") == "kannel"  # jio sends no SMS
    assert routes.carrier(PHONE, "bulk") == "kannel"
    assert routes.stand_ins(PHONE, "live", "kannel") == ()


def test_stand_ins() -> None:
    routes = Routes(RULES, ALL)
    assert routes.stand_ins(PHONE, "bulk", "mobileseva") == ("kannel",)
    assert routes.stand_ins(PHONE, "live", "bsnl") == ("kannel",)
    assert routes.stand_ins("+919155000001", "notice", "mobileseva") == ("kannel",)
    assert routes.stand_ins("+919155000001", "live", "bsnl") == ()
    assert routes.stand_ins("+919155000001", "live", "kannel") == ("mobileseva",), "a rule for who writes is not for bills"


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("kannel", "a rule is `which: carriers`"),
        ("*:", "a rule is `which: carriers`"),
        ("*: kannle", "kannle is no carrier that sends SMS and is set up"),
        ("*: jio", "jio is no carrier that sends SMS and is set up"),
        ("bluk: kannel", "bluk is no lane, channel, beginning of a number or carrier that is set up"),
    ],
)
def test_a_bad_rule_is_named(rule: str, why: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Routes([rule], ALL)
    assert str(refused.value) == f"GATEWAY_ROUTES: {rule!r}: {why}"


def test_somebody_must_send() -> None:
    with pytest.raises(BadSetting, match="no carrier sends SMS"):
        Routes([], carriers(jio=None))


def test_platform_settings_are_checked() -> None:
    for platforms, why in (
        ({"kannel": {}}, "kannel is no name for a platform"),
        ({"jio": {"answer": "hello"}}, "page must stand in it"),
        ({"jio": {"anwser": "$page"}}, "Extra inputs are not permitted"),
    ):
        with pytest.raises(BadSetting, match="GATEWAY_USSD_PLATFORMS") as refused:
            load(_env_file=None, webhook_secrets=["0123456789abcdef0123456789abcdef"], ussd_platforms=platforms)
        assert why in str(refused.value)


def test_while_a_carrier_is_down_another_sends_but_never_what_may_have_gone(gateway: Gateway, settings: Settings) -> None:
    """The first says that it wants to be left alone; one message before that may have gone out."""
    now = datetime.now(UTC)
    down, up = Fake("kannel", Unsure("ReadTimeout")), Fake("mobileseva", Sent("2"))
    routes = Routes(["*: kannel mobileseva"], {"kannel": down, "mobileseva": up})
    rules = settings.sending()

    def outbox(carrier: Fake) -> Outbox:
        return Outbox(gateway.store, carrier, rules, senders=1, wake=threading.Event(), stand_ins=routes.stand_ins,
                      clock=lambda: now)  # fmt: skip

    def enqueue(text: str) -> None:
        with gateway.store.write():
            gateway.store.enqueue([Outgoing("+919155000001", text, "gsm7", 1, "menu.home/en", "kannel", "live", "must_arrive",
                                            now - timedelta(seconds=1), now, "")])  # fmt: skip

    def work(box: Outbox, until: str) -> None:
        """Until a row of the outbox is so."""
        stop, end = threading.Event(), time.monotonic() + 20
        thread = threading.Thread(target=box.run, args=(stop,))
        thread.start()
        while not gateway.store.database.rows(f"select 1 from outbox where {until}"):
            assert time.monotonic() < end, until
            time.sleep(0.01)
        stop.set()
        box.wake.set()
        thread.join()

    enqueue("may have gone")
    work(outbox(down), "unsure = 1")
    down.outcome = Later("503", pause=True)
    for text in ("one", "two"):
        enqueue(text)
    work(outbox(down), "text = 'two' and carrier = 'mobileseva'")
    assert down.tried == ["may have gone", "one"]
    work(outbox(up), "text = 'two' and state = 'sent'")
    assert up.tried == ["two"]
    rows = gateway.store.database.rows("select text, carrier from outbox where carrier = 'kannel' order by id")
    assert rows == [("may have gone", "kannel"), ("one", "kannel")]  # the second waits for its next try, then it goes over too
