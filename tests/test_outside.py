"""Health, readiness, metrics and logs as operations see them."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from gateway.app import Gateway, make_app
from gateway.carriers.africastalking import AfricasTalking
from gateway.outbox import Outbox
from gateway.records import Inbound
from gateway.settings import Settings
from gateway.store.queue import Queue
from gateway.store.sqlite import SQLite
from tests import town
from tests.conftest import Clock
from tests.emulators.africastalking import API_KEY, Emulator
from tests.test_outbox import patiently

SECRET = "0123456789abcdef0123456789abcdef"
FORM = {"content-type": "application/x-www-form-urlencoded"}
ONE = town.PHONES["one"]


@pytest.fixture
def web(gateway: Gateway) -> Iterator[TestClient]:
    with TestClient(make_app(gateway, send=False)) as client:
        yield client


def post(web: TestClient, door: str, **form: str) -> None:
    answer = web.post(f"/in/africastalking/{SECRET}/{door}", content=urlencode(form), headers=FORM)
    assert answer.status_code == 200, answer.text


def sample(text: str, metric: str, **labels: str) -> float:
    """One figure of a page of metrics; 0 if it is not there."""
    for line in text.splitlines():
        if line.startswith(f"{metric}{{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
            return float(line.rpartition(" ")[2])
    return 0


def test_alive_and_ready(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [web.get(path).text for path in ("/healthz", "/readyz")] == ["ok\n", "ok\n"]

    def away(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(SQLite, "rows", away)
    assert web.get("/healthz").status_code == 200
    assert (web.get("/readyz").status_code, web.get("/readyz").text) == (503, "the database does not answer\n")
    assert "gateway_hops_total" in web.get("/metrics").text  # what this process counted is told all the same


def test_hops_are_counted(web: TestClient) -> None:
    before = web.get("/metrics").text
    labels = {"flow": "welcome", "screen": "language", "channel": "ussd"}
    ussd = {"phoneNumber": ONE, "serviceCode": "*384*1912#", "text": ""}
    for _ in range(2):
        post(web, "ussd", sessionId="ATUid_9", **ussd)
    post(web, "ussd-end", sessionId="ATUid_9", phoneNumber=ONE, status="Incomplete", hopsMetadata="menu.home|welcome.language")
    post(web, "ussd-end", sessionId="ATUid_9", phoneNumber=ONE, status="Incomplete", hopsMetadata="menu.home|+919155000001.x")
    after = web.get("/metrics").text

    def more(metric: str, **labels: str) -> float:
        return sample(after, metric, **labels) - sample(before, metric, **labels)

    assert more("gateway_hops_total", **labels) == 2
    assert more("gateway_duplicates_total", channel="ussd") == 1
    assert more("gateway_hop_seconds_count", door="ussd") == 2
    assert more("gateway_sessions_dropped_total", flow="welcome", screen="language") == 1
    assert more("gateway_sessions_dropped_total", flow="other", screen="other") == 1
    assert "9155000001" not in after


def test_queues_alarms_and_parts_are_told(web: TestClient, gateway: Gateway, clock: Clock) -> None:
    post(web, "sms", id="1", to="56161", text="BIL", date="2026-05-25 04:30:00", **{"from": ONE})
    with gateway.store.write():
        Queue(gateway.store).raise_alarm("template", "sms.bill/hi", clock(), "InvalidSenderId")
    text = web.get("/metrics").text
    assert sample(text, "gateway_queue_messages", carrier="africastalking", lane="live") >= 1
    assert sample(text, "gateway_queue_age_seconds", carrier="africastalking", lane="live") > 0
    assert sample(text, "gateway_alarm", kind="template", name="sms.bill/hi") == 1
    assert 'gateway_sms_parts_spent{span="hour"} 0.0' in text


def test_no_label_holds_a_phone(web: TestClient) -> None:
    post(web, "sms", id="1", to="56161", text="Ramesh 9155000001", date="2026-05-25 04:30:00", **{"from": ONE})
    labels = " ".join(re.findall(r"\{(.*?)\}", web.get("/metrics").text))
    assert not re.search(r"\d{7}|Ramesh", labels)


def test_one_hop_is_followed_by_its_id_through_everything(gateway: Gateway, clock: Clock) -> None:
    """Web, outbox, carrier and delivery report: the same id in each line, and nobody's phone in any."""
    with Emulator() as emulator, capture_logs() as logs:
        settings = gateway.settings.model_dump() | {"at_base_url": emulator.url, "at_api_key": API_KEY}
        carrier, stop = AfricasTalking(Settings.model_validate(settings)), threading.Event()
        with TestClient(make_app(gateway, send=False)) as web:
            post(web, "sms", id="9b1c0f9a", to="56161", text="BIL", date="2026-05-25 04:30:00", **{"from": ONE})
            clock.wait(timedelta(seconds=1))
            outbox = Outbox(gateway.store, carrier, gateway.settings.sending(), senders=2, wake=threading.Event(), clock=clock)
            thread = threading.Thread(target=outbox.run, args=(stop,))
            thread.start()
            patiently(lambda: not gateway.store.database.rows("select 1 from outbox where state in ('waiting', 'sending')"))
            stop.set()
            outbox.wake.set()
            thread.join()
            for taken in emulator.taken:
                post(web, "delivery", id=taken.reference, status="Success", phoneNumber=taken.phone)
    told = [(line["event"], line["hop"]) for line in logs if "hop" in line]
    assert [event for event, hop in told if hop == "sms/9b1c0f9a"] == [
        "hop",
        *["sms.try"] * len(emulator.taken),
        *["sms.report"] * len(emulator.taken),
    ]
    assert ONE not in str(logs)
    assert ONE[3:] not in str(logs)
    assert SECRET not in str(logs)


def test_the_dashboard_asks_for_what_there_is(web: TestClient) -> None:
    """Every metric the Grafana dashboard names is one of ours."""
    dashboard = json.loads((Path(__file__).parents[1] / "docs" / "grafana.json").read_text(encoding="utf-8"))
    asked = {
        name
        for panel in all_panels(dashboard)
        for target in panel.get("targets", ())
        for name in re.findall(r"gateway_\w+", target["expr"])
    }
    assert len(asked) >= 12
    known = {line.split()[2] for line in web.get("/metrics").text.splitlines() if line.startswith("# TYPE")}
    known |= {f"{name}{ending}" for name in known for ending in ("_total", "_bucket", "_count", "_sum")}
    assert asked <= known


def all_panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def test_a_fault_of_a_page_is_logged_without_its_words(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("Key (phone)=(+919155000001) already exists")

    monkeypatch.setattr("gateway.outside.generate_latest", broken)
    with capture_logs() as logs:
        assert web.get("/metrics").status_code == 500
    assert [line["event"] for line in logs] == ["metrics.store", "web.failed"]
    assert "9155000001" not in web.get("/metrics").text


def test_a_fault_tells_where_and_not_what(capsys: pytest.CaptureFixture[str]) -> None:
    """PostgreSQL quotes the row, a reader the text: an exception's words stay out of the log."""
    try:
        try:
            raise KeyError(town.PHONES["one"])
        except KeyError as error:
            raise ValueError("Key (phone)=(+919155000001) already exists") from error
    except ValueError as error:
        structlog.get_logger().error("hop.failed", hop="sms/1", exc_info=error)
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["error"], told["because"], told["hop"]) == ("ValueError", "KeyError", "sms/1")
    assert "test_outside.py" in told["places"][0]
    assert "9155000001" not in line


@pytest.mark.parametrize(
    "error", [OSError("no space left on device"), BrokenPipeError(), ValueError("I/O operation on closed file")]
)
def test_a_log_that_cannot_be_written_stops_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The log's disk is full, or nobody reads it any more: hops are answered."""

    def write(_: bytes) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(sys, "stderr", SimpleNamespace(buffer=SimpleNamespace(write=write)))
        (answer,) = gateway.hop.serve([Inbound("sms/1", "africastalking", ONE, "sms", "BIL", gateway.hop.clock())])
    assert answer.page
