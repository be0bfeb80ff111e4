"""The webhooks as a carrier meets them, through the whole application."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from gateway.app import Gateway, make_app
from gateway.hop import Hop
from gateway.records import Inbound
from gateway.settings import BadSetting, Settings, load
from gateway.store.queue import Queue
from gateway.store.sql import Store
from gateway.webhook import BODY_LIMIT
from tests import town
from tests.conftest import BOTH_STORES

SECRET, OLD = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
USSD = {
    "sessionId": "ATUid_1",
    "phoneNumber": town.PHONES["one"],
    "serviceCode": "*384*1912#",
    "text": "",
    "networkCode": "99999",
}
SMS = {"id": "1", "from": town.PHONES["one"], "to": "56161", "text": "BIL", "date": "2026-05-25 04:30:00"}
FORM = {"content-type": "application/x-www-form-urlencoded;charset=UTF-8"}


@pytest.fixture
def web(gateway: Gateway) -> Iterator[TestClient]:
    with TestClient(make_app(gateway, send=False), raise_server_exceptions=False) as client:
        yield client


def post(
    web: TestClient,
    door: str,
    form: dict[str, str] | bytes,
    *,
    secret: str = SECRET,
    carrier: str = "africastalking",
    **more: Any,
) -> Any:
    content = form if isinstance(form, bytes) else urlencode(form).encode()
    return web.post(f"/in/{carrier}/{secret}/{door}", content=content, headers={**FORM, **more.pop("headers", {})}, **more)


def test_a_hop_is_answered_in_the_frame(web: TestClient) -> None:
    answer = post(web, "ussd", USSD)
    assert answer.status_code == 200
    assert answer.content.startswith(b"CON ")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["at-ussd-hop-metadata"] == "welcome.language"
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_hop_again_gets_the_same_bytes_and_does_nothing(web: TestClient, gateway: Gateway) -> None:
    first = post(web, "ussd", USSD)
    again = post(web, "ussd", USSD, headers={"content-type": "application/x-www-form-urlencoded"})
    assert first.content == again.content
    assert gateway.store.count("inbound") == 1


def test_an_sms_is_acknowledged_with_nothing_but_200(web: TestClient, gateway: Gateway) -> None:
    answers = []
    for _ in range(3):
        answer = post(web, "sms", SMS)
        assert (answer.status_code, answer.content) == (200, b"")
        answers.append(gateway.store.count("outbox"))
    assert answers[0] > 0
    assert {*answers} == {answers[0]}
    post(web, "sms", SMS | {"id": "2"})  # the same words under a new id are answered again
    assert gateway.store.count("outbox") > answers[0]


def test_what_only_tells_is_kept(web: TestClient, gateway: Gateway) -> None:
    one = town.PHONES["one"]
    assert post(web, "optout", {"senderId": "SBPDCL", "phoneNumber": one}).status_code == 200
    assert post(web, "delivery", {"id": "ATXid_1", "status": "Success", "phoneNumber": one}).status_code == 200
    assert (
        post(
            web, "ussd-end", {"sessionId": "ATUid_1", "phoneNumber": one, "status": "Incomplete", "lastAppResponse": "CON 1240"}
        ).status_code
        == 200
    )
    whats = [row[0] for row in gateway.store.database.rows("select what from phone_event order by at")]
    assert sorted(whats) == ["muted", "ussd-end"]
    assert "1240" not in str(gateway.store.database.rows("select * from phone_event"))


def test_a_machine_is_not_answered(web: TestClient, gateway: Gateway) -> None:
    assert post(web, "sms", SMS | {"from": "MTN"}).status_code == 200
    assert gateway.store.count("inbound") == gateway.store.count("outbox") == 0


@pytest.mark.parametrize(
    ("door", "content", "headers", "named"),
    [
        ("ussd", urlencode(USSD | {"phoneNumber": ""}).encode(), {}, "phoneNumber"),
        ("ussd", urlencode(USSD | {"text": "1" * 20_000}).encode(), {}, "body"),
        ("ussd", urlencode([*USSD.items(), ("text", "1")]).encode(), {}, "text"),
        ("ussd", urlencode(USSD).encode() + b"&text2=%ff", {}, "body"),
        ("ussd", urlencode(USSD).encode() + b"&x=\xff", {}, "body"),
        ("ussd", b'{"sessionId": "ATUid_1"}', {"content-type": "application/json"}, "content-type"),
        ("ussd", b"", {}, "sessionId"),
        ("ussd", urlencode(USSD | {"text": "1\0"}).encode(), {}, "text"),
        ("ussd", "&".join(f"a{n}=1" for n in range(50)).encode(), {}, "body"),
        ("sms", urlencode({k: v for k, v in SMS.items() if k != "id"}).encode(), {}, "id"),
        ("delivery", b"id=1", {}, "status"),
    ],
)  # fmt: skip
def test_what_nobody_could_answer_names_the_field(
    web: TestClient, gateway: Gateway, door: str, content: bytes, headers: dict[str, str], named: str
) -> None:
    with capture_logs() as logs:
        answer = post(web, door, content, headers=headers)
    assert answer.status_code == 400
    assert answer.text.startswith(f"{named}: ")
    assert answer.text.count("\n") == 1
    assert gateway.store.count("inbound") == 0
    assert f'gateway_webhook_refused_total{{carrier="africastalking",door="{door}",why="{named}"}}' in web.get("/metrics").text
    assert SECRET not in str(logs)
    assert town.PHONES["one"] not in str(logs)


def test_a_field_whose_name_tells_something_is_not_named(web: TestClient) -> None:
    answer = post(web, "ussd", b"919155000001=1&919155000001=2")
    assert (answer.status_code, "9155" in answer.text) == (400, False)


@pytest.mark.parametrize(
    "path",
    ["/in/africastalking/wrong/ussd", f"/in/africastalking/{OLD}/ussd", f"/in/africastalking/{SECRET}/nothing", f"/in/nobody/{SECRET}/ussd",
     f"/in/phone/{SECRET}/ussd", "/in/africastalking//ussd", f"/in/{SECRET}", "/in/", f"/in/africastalking/{SECRET.upper()}/ussd",
     f"/in/africastalking/{SECRET}%20/ussd", f"/in/africastalking/{SECRET[:-1]}/ussd", "/in/africastalking/%ff%fe/ussd"],
)  # fmt: skip
def test_a_wrong_path_and_a_wrong_secret_look_the_same(web: TestClient, gateway: Gateway, path: str) -> None:
    with capture_logs() as logs:
        answer = web.post(path, content=urlencode(USSD).encode(), headers=FORM)
    assert (answer.status_code, answer.text) == (404, "not found\n")
    assert gateway.store.count("inbound") == 0
    assert SECRET not in str(logs)


def test_the_secret_is_compared_in_constant_time(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every known secret is compared, by the function made for it, even for a door that does not exist."""
    import gateway.webhook as webhook

    compared = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append(known)
        return given == known

    monkeypatch.setattr(webhook.hmac, "compare_digest", compare)
    assert web.post("/in/africastalking/wrong/nothing", content=b"").status_code == 404
    assert compared == [SECRET.encode()]


def test_only_posts(web: TestClient) -> None:
    assert web.get(f"/in/africastalking/{SECRET}/ussd").status_code == 405
    assert web.get("/in/africastalking/wrong/ussd").status_code == 404


def with_settings(gateway: Gateway, **changed: Any) -> TestClient:
    settings = Settings.model_validate(gateway.settings.model_dump() | changed)
    made = Gateway(settings, *(getattr(gateway, name) for name in Gateway.__dataclass_fields__ if name != "settings"))
    return TestClient(make_app(made, send=False), client=("192.0.2.7", 4000))


def test_two_secrets_while_one_is_replaced(gateway: Gateway) -> None:
    with with_settings(gateway, webhook_secrets=[OLD, SECRET]) as web:
        assert [post(web, "ussd", USSD, secret=secret).status_code for secret in (OLD, SECRET, "x" * 32)] == [200, 200, 404]


def test_a_secret_opens_the_doors_of_its_own_carrier_only(gateway: Gateway) -> None:
    secrets = {name: name.ljust(32, "-") for name in gateway.carriers if gateway.carriers[name].doors}
    with with_settings(gateway, webhook_secrets={name: [secret] for name, secret in secrets.items()}) as web:
        for name, carrier in gateway.carriers.items():
            for door, made in carrier.doors.items():
                opens = [
                    key for key, secret in secrets.items()
                    if web.request(made.method, f"/in/{name}/{secret}/{door}").status_code != 404
                ]  # fmt: skip
                assert opens == [name], door
    with with_settings(gateway, webhook_secrets={"kannel": [OLD], "*": [SECRET]}) as web:  # those not named share the rest
        assert [web.get(f"/in/kannel/{secret}/dlr").status_code for secret in (OLD, SECRET)] == [400, 404]
        assert [post(web, "ussd", USSD, secret=secret).status_code for secret in (OLD, SECRET)] == [404, 200]


@pytest.mark.parametrize(
    ("networks", "status"),
    [(["192.0.2.0/24"], 200), (["10.0.0.0/8", "192.0.2.7/32"], 200), (["10.0.0.0/8"], 403), (["2001:db8::/32"], 403)],
)
def test_addresses_that_may_call(gateway: Gateway, networks: list[str], status: int) -> None:
    with with_settings(gateway, webhook_networks=networks) as web:
        assert post(web, "ussd", USSD).status_code == status


def test_a_strangers_words_are_no_labels(gateway: Gateway) -> None:
    """Nor is the secret, if the carrier itself calls from elsewhere with a slash too many."""
    with with_settings(gateway, webhook_networks=["10.0.0.0/8"]) as web:
        for path in ("/in/stranger-1/b/stranger-2", f"/in/africastalking/{SECRET}/ussd/"):
            assert web.post(path).status_code == 403
        told = web.get("/metrics").text
    assert "stranger" not in told
    assert SECRET not in told
    assert 'why="403"' in told


def test_our_own_trouble_is_503(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The carrier brings it again; nothing was half done."""

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with TestClient(make_app(gateway, send=False)) as web:
        with monkeypatch.context() as broken:
            broken.setattr(Hop, "_serve", full)
            broken.setattr(Queue, "report", full)
            answer = post(web, "ussd", USSD)  # a session cannot be brought again: its person is told
            assert (answer.status_code, answer.headers["retry-after"], answer.text[:4]) == (200, "5", "END ")
            assert post(web, "sms", SMS).status_code == 503
            assert post(web, "delivery", {"id": "1", "status": "Success"}).status_code == 503
        assert gateway.store.count("inbound") == gateway.store.count("delivery") == 0
        assert post(web, "ussd", USSD).status_code == 200


def test_who_asks_while_the_store_hangs_is_told_so_all_the_same(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the first language: their own is in the store."""
    well = threading.Event()

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    def hangs(*_: object) -> str:
        well.wait(20)
        return "en"

    monkeypatch.setattr("gateway.app.APOLOGY_SECONDS", 0.1)
    monkeypatch.setattr(Hop, "_serve", full)
    monkeypatch.setattr(Store, "language", hangs)
    with TestClient(make_app(gateway, send=False)) as web:
        try:
            began = time.monotonic()
            told = [post(web, "ussd", USSD | {"sessionId": f"ATUid_{number}"}).text for number in range(5)]
            assert time.monotonic() - began < 15
        finally:
            well.set()
    assert all(text.startswith("END ") for text in told)


def test_a_fault_of_our_own_shows_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"+919155000001 {SECRET}")

    monkeypatch.setattr(Queue, "report", broken)
    with TestClient(make_app(gateway, send=False)) as web, capture_logs() as logs:
        answer = post(web, "delivery", {"id": "1", "status": "Success"})
    assert (answer.status_code, answer.text) == (500, "a fault of our own\n")
    assert [line["event"] for line in logs] == ["webhook.failed"]


@BOTH_STORES
def test_a_row_that_cannot_be_read_is_its_own_phones_trouble(gateway: Gateway) -> None:
    """A damaged conversation: its neighbours in the group are answered, it is put aside and told so, brought again or too often."""
    hop, damaged = gateway.hop, town.PHONES["two"]
    gateway.store.database.run("insert into conversation (phone, data, seen) values (?, '{\"phone\": 5}', 0)", (damaged,))
    group = [Inbound(f"sms/{who}", "africastalking", phone, "sms", "BIL", hop.clock()) for who, phone in town.PHONES.items()]
    answers = hop.serve(group)
    assert {one.phone for one, answer in zip(group, answers, strict=True) if answer.screen == "menu.sorry"} == {damaged}
    assert gateway.store.count("inbound") == len(group) - 1
    assert hop.serve(group) == answers
    assert gateway.store.count("quarantine") == 1
    (dialled,) = (inbound for inbound in group if inbound.phone == damaged)
    assert hop.busy(dialled).screen == "menu.busy"


def test_a_body_is_not_read_to_its_end(web: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1024
            yield b"x" * 1024

    answer = web.post(f"/in/africastalking/{SECRET}/ussd", content=endless(), headers=FORM)
    assert answer.text == f"body: larger than {BODY_LIMIT} bytes\n"


# --- an open door -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"at_username": "sandbox"}, "an open webhook of africastalking is refused"),
        ({"at_username": "sandbox", "webhook_secrets": {"kannel": [SECRET]}}, "an open webhook of africastalking is refused"),
        ({"at_username": "sandbox", "webhook_secrets": {"*": [SECRET], "kanel": [OLD]}}, "kanel is no carrier"),
        ({"webhook_secrets": {"kannel": [SECRET], "mobileseva": [SECRET]}}, "two carriers have one secret"),
        ({"at_username": "sandbox", "webhook_secrets": ["short"]}, "at least 128 bits"),
        ({"at_username": "sandbox", "webhook_secrets": ["a/b" * 12]}, "at least 128 bits"),
        ({"webhook_secrets": [SECRET, OLD, "x" * 32]}, "at most two"),
        ({"demo": True, "host": "0.0.0.0"}, "stays on loopback"),
        ({"webhook_networks": ["10.0.0.0/99"]}, "10.0.0.0/99"),
        ({"dlt_profile": "india", "dlt_header": "SBPDCL"}, "GATEWAY_DLT_ENTITY"),
    ],
)  # fmt: skip
def test_the_gateway_does_not_start_open(
    changed: dict[str, Any], says: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSetting) as refusal:
        load(**changed)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert SECRET not in str(refusal.value)
