"""Kannel: what its requests say, what its answers mean, and the real thing between a fake phone or an SMSC and our product."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.records import Conversation, Text
from gateway import bearerbox
from gateway.app import Gateway, assemble, make_app
from gateway.bearerbox import INCOMPLETE, WHOLE, Bearerbox, Brought, Parts, read
from gateway.carriers import Ignored, Request, Unreadable
from gateway.carriers.kannel import Kannel, read_answer
from gateway.hop import Unavailable
from gateway.kannel_config import configuration
from gateway.records import Answer, Inbound, Later, Never, OutboundMessage, Outcome, Report, Sent, Unsure
from gateway.settings import BadSetting, Settings, load
from gateway.store.queue import Queue
from tests.emulators.smsc import Smsc
from tests.kannel import FAKESMSC, SECRET, Boxes, free_ports, need_kannel
from tests.serving import served

PHONE = "+915550000001"
ENTITY, TEMPLATE = "1301000000000000001", "1307000000000000002"

#: What must come and go to the letter: nukta and joiner, a rupee sign, 71 units, GSM-7's extension, a space in front.
TEXTS = {
    "nukta": "रमेश का ट्रांसफार्मर ख़राब, पढ़ें और बिल दें",
    "joiner": "क्\u200dष और र्\u200dय",
    "rupee": "Bill ₹ 1240",
    "71 units": "ब" * 71,
    "67 x कि": "कि" * 67,
    "three parts": "बिजली का बिल अधिक है, कृपया मीटर की जाँच करें। " * 4,
    "extension": "BIL {12} [34] €5 ~^|\\ @£$ é",
    "161 septets": "METER " * 26 + "12345",
    "space": " BIL 123456789",
    "devanagari digits": "बिल १२३४५६७८९",
}


def kannel_settings(**more: Any) -> Settings:
    first = free_ports(6)
    return load(
        _env_file=None, kannel_url=f"http://127.0.0.1:{first + 4}", kannel_port=first, port=first + 5, kannel_password="pw-7",
        kannel_admin_password="admin-7", webhook_secrets=[SECRET], dlt_entity=ENTITY, dlt_header="SBPDCL", send_timeout=5, **more,
    )  # fmt: skip


def message(text: str, *, id_: int = 7, template: str = "sms.filed_meter/hi", phone: str = PHONE) -> OutboundMessage:
    now = datetime.now(UTC)
    return OutboundMessage(id_, phone, text, "gsm7", 1, template, "kannel", "live", "fresh", 1, now)


# --- what its requests say ----------------------------------------------------------------------------------------------


def sms(body: bytes, content_type: str, **query: str) -> Inbound:
    given = {"from": PHONE, "to": "56161", "id": "ecc8ee00", "at": "1795555453", "coding": "0", "charset": "UTF-8", **query}
    line = "&".join(f"{key}={quote(value)}" for key, value in given.items()).encode()
    door = Kannel(load(_env_file=None, kannel_url="http://k", webhook_secrets=[SECRET]), lambda key, lang: "").doors["sms"]
    heard = door.hear(door.read(Request({"content-type": content_type}, line, body)), {})
    assert isinstance(heard, Inbound)
    return heard


@pytest.mark.parametrize("text", [*TEXTS.values(), ""])
def test_text_comes_to_the_letter(text: str) -> None:
    utf16 = sms(text.encode("utf-16-be"), 'text/plain; charset="UTF-16BE"', coding="2", charset="UTF-16BE")
    utf8 = sms(text.encode(), 'text/plain; charset="UTF-8"')
    assert utf16 == utf8
    assert utf16.text == text
    assert utf16.id == "kannel/ecc8ee00"
    assert utf16.at == datetime(2026, 11, 24, 21, 24, 13, tzinfo=UTC)


def test_charsets_and_senders() -> None:
    assert sms(b"caf\xe9", "text/plain; charset=ISO-8859-1").text == "café"
    assert sms("बिल".encode("utf-16-be"), "text/plain", coding="2", charset="UTF-16BE").text == "बिल"
    assert sms(b"BIL \xff", 'text/plain; charset="UTF-8"').text == "BIL �"  # refused, it would be brought again for hours
    for written in ("5550000001", "05550000001", "915550000001", "+915550000001"):
        assert sms(b"BIL", "text/plain; charset=UTF-8", **{"from": written}).phone == PHONE
    assert sms(b"BIL", "text/plain; charset=UTF-8", **{"from": "+254700000001"}).phone == "+254700000001"
    assert sms(b"BIL", "text/plain; charset=UTF-8", at="yesterday").at.tzinfo is UTC


@pytest.mark.parametrize(
    ("query", "field"),
    [({"from": "VK-AIRTEL"}, "from"), ({"from": "121"}, "from"), ({"to": "56162"}, "to"), ({"coding": "1"}, "coding"),
     ({"charset": "KOI8-R"}, "coding")],
)  # fmt: skip
def test_what_cannot_be_answered_is_taken_and_left(query: dict[str, str], field: str) -> None:
    with pytest.raises(Ignored, match=f"^{field}: "):
        sms(b"BIL", "text/plain", **query)


def test_missing_fields_are_named() -> None:
    for field in ("from", "to", "id"):
        with pytest.raises(Unreadable, match=f"^{field}: missing"):
            sms(b"BIL", "text/plain; charset=UTF-8", **{field: ""})


@pytest.mark.parametrize(
    ("type_", "state"),
    [("1", "delivered"), ("2", "failed"), ("4", "sent"), ("8", "sent"), ("16", "failed"), ("3", "unknown"), ("64", "unknown")],
)
def test_reports(type_: str, state: str) -> None:
    door = Kannel(load(_env_file=None, kannel_url="http://k", webhook_secrets=[SECRET]), lambda key, lang: "").doors["dlr"]
    answer = quote("id:M3 stat:UNDELIV err:630 text:रमेश आपका".encode("utf-16-be"))
    heard = door.hear(door.read(Request({}, f"id=77&phone=%2B915550000001&type={type_}&answer={answer}".encode(), b"")), {})
    assert isinstance(heard, Report)
    assert (heard.reference, heard.state, heard.phone) == ("77", state, PHONE)
    receipt = quote(b"id:M3 sub:001 stat:UNDELIV err:630 text:\xe0\xa4 Ramesh ka bill")
    heard = door.hear(door.read(Request({}, f"id=77&phone=5550000001&type={type_}&answer={receipt}".encode(), b"")), {})
    assert isinstance(heard, Report)
    assert heard.reason == "stat:UNDELIV err:630"  # what it quotes of the message is dropped


#: An SMS as bearerbox 1.4.5 hands it to a box: बिल१, coding 2.
BROUGHT = bytes.fromhex(
    "00000002 0000000d 2b393135353530303030303031 00000005 3536313631 ffffffff 00000008 092c093f09320967 6b062d23 00000004 46414b45"
    + "ffffffff" * 4 + "00000024" + b"2a112d80-1a9e-4fc0-bb69-e59f301ad31b".hex() + "00000000 ffffffff ffffffff 00000002"
    + "ffffffff" * 17
)  # fmt: skip


def test_what_bearerbox_brings() -> None:
    brought = read(BROUGHT)
    heard = Kannel(load(_env_file=None, kannel_url="http://k", webhook_secrets=[SECRET]), lambda key, lang: "").hear_sms(
        brought.heard()
    )
    assert (heard.id, heard.phone, heard.text) == ("kannel/2a112d80-1a9e-4fc0-bb69-e59f301ad31b", PHONE, "बिल१")
    assert heard.at == datetime(2026, 11, 25, 0, 34, 43, tzinfo=UTC)
    assert brought.ack == bytes.fromhex("00000034 00000003 00000000 6b062d23 00000024") + b"2a112d80-1a9e-4fc0-bb69-e59f301ad31b"
    for place, number in ((-4 * 18, 1), (-4 * 21, 3)):  # data for a machine, a report: taken and left
        other = bytearray(BROUGHT)
        other[place : place + 4] = number.to_bytes(4)
        assert "text" not in read(bytes(other)).heard()


def part(number: int, text: str, *, id_: str = "", reference: int = 7, count: int = 3) -> Brought:
    fields = {"from": PHONE, "to": "56161", "id": id_ or str(number), "at": "1795555453"}
    return Brought(fields, text.encode("utf-16-be"), "utf-16-be", f"{id_ or number} ".encode(), (reference, count, number))


def test_parts_are_joined_in_any_order_and_acknowledged_together() -> None:
    pieces = [part(1, "बिजली का "), part(2, "बिल अधि"), part(3, "क है")]
    for order in permutations(pieces):
        parts = Parts()
        *waiting, (whole,) = [[*parts.add(one)] for one in order]
        assert waiting == [[], []]
        assert whole.heard()["text"] == "बिजली का बिल अधिक है"
        assert whole.fields["id"] == "1"
        assert sorted(whole.ack.split()) == [b"1", b"2", b"3"]


def test_a_part_that_comes_twice() -> None:
    now = 0.0
    parts = Parts(lambda: now)
    early = [part(1, "a"), part(1, "a", id_="9"), part(2, "b"), part(3, "c"), part(2, "b", id_="8")]
    heard = [one for brought in early for one in parts.add(brought)]
    assert [(one.fields["id"], one.heard()["text"], one.ack) for one in heard] == [("1", "abc", b"1 9 2 3 "), ("1", "abc", b"8 ")]
    assert [*parts.add(part(1, "another text"))] == []  # the same reference, 256 messages later
    now = INCOMPLETE + 1
    assert [one.heard()["text"] for one in parts.overdue()] == ["another text"]  # the rest never came
    assert [*parts.overdue()] == []


def test_a_whole_one_is_soon_forgotten() -> None:
    now = 0.0
    parts = Parts(lambda: now)
    assert len([one for number in (1, 2, 3) for one in parts.add(part(number, "a"))]) == 1
    now = WHOLE + 1
    assert [*parts.overdue()] == []
    assert [*parts.add(part(1, "a"))] == []  # another SMS that begins alike


def test_parts_on_a_new_line() -> None:
    parts = Parts()
    for brought in (part(1, "a"), part(2, "b"), part(3, "c"), part(1, "x", reference=8), part(2, "y", reference=8)):
        [*parts.add(brought)]
    parts.begin_anew()
    again = [part(3, "c", id_="9"), part(3, "z", reference=8), part(2, "y", reference=8), part(1, "x", reference=8)]
    heard = [one for brought in again for one in parts.add(brought)]
    assert [(one.heard()["text"], one.ack) for one in heard] == [("abc", b"9 "), ("xyz", b"3 2 1 ")]


def test_a_part_by_its_header() -> None:
    def of(header: str) -> tuple[int, int, int]:
        octets = bytes.fromhex(header)
        return read(BROUGHT.replace(b"56161\xff\xff\xff\xff", b"56161" + len(octets).to_bytes(4) + octets)).part

    assert of("0500032a0302") == (0x2A, 3, 2)
    assert of("060804012a0201") == (0x12A, 2, 1)
    assert of("0b0504158100000003070201") == (7, 2, 1)  # behind port numbers
    assert of("") == of("0605041581") == of("050003") == (0, 1, 1)


@given(st.binary(max_size=40) | st.integers(0, len(BROUGHT)).map(lambda end: BROUGHT[:end]))
def test_what_is_no_message_is_refused(octets: bytes) -> None:
    with suppress(ValueError, ConnectionError):
        assert read(octets).ack.endswith(b"31b")


def test_a_line_that_is_away_for_long_is_an_alarm(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearerbox, "AWAY", 0.0)
    monkeypatch.setattr(bearerbox, "AGAIN", 0.05)
    stop, away, port = threading.Event(), SimpleQueue[bool](), free_ports(1)
    box = Bearerbox(
        port, lambda _: Inbound("", "", "", "sms", "", gateway.hop.clock()), lambda _: [], stop.set, away.put, stop.set
    )
    threading.Thread(target=box.run, args=(stop,), daemon=True).start()
    assert away.get(timeout=60)
    with socket.create_server(("127.0.0.1", port)):
        assert not away.get(timeout=60)
        stop.set()
    for now_away in (True, False):
        gateway._bearerbox_away(now_away)
        assert [(one.kind, one.name) for one in Queue(gateway.store).alarms()] == [("carrier", "bearerbox")] * now_away


# --- what its answers mean ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (202, "0: Accepted for delivery", Sent("7")),
        (202, "3: Queued for later delivery", Sent("7", "queued: the SMSC is away")),
        (400, "Empty receiver number not allowed, rejected", Never("Empty receiver number not allowed, rejected")),
        (503, "Temporal failure, try again later.", Later("503 Temporal failure, try again later.")),
        (202, "", Unsure("HTTP 202", "7")),
        (200, "<html>", Unsure("HTTP 200", "7")),
        (500, "", Unsure("HTTP 500", "7")),
    ],
)
def test_answers(status: int, body: str, outcome: Outcome) -> None:
    assert read_answer(status, body, "7") == outcome


@pytest.mark.parametrize("body", ["Authorization failed for sendsms", "Not routable. Do not try again."])
def test_our_own_fault_stops_the_carrier_and_loses_nothing(body: str) -> None:
    outcome = read_answer(403, body, "7")
    assert isinstance(outcome, Later)
    assert outcome.pause


def test_refused_is_not_sent_and_silence_is_unsure(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as listening:  # takes the request and never answers
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        silent = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = load(_env_file=None, kannel_url=silent, kannel_password="pw-7", webhook_secrets=[SECRET], send_timeout=0.2)
        assert Kannel(settings, lambda key, lang: "").send(message("BIL")) == Unsure("ReadTimeout", "7")
    outcome = Kannel(settings, lambda key, lang: "").send(message("BIL"))
    assert isinstance(outcome, Later)
    assert "pw-7" not in caplog.text + str(outcome)
    assert SECRET not in caplog.text + str(outcome)


# --- the configuration ----------------------------------------------------------------------------------------------


def test_configuration_names_what_is_missing() -> None:
    with pytest.raises(BadSetting, match=r"^GATEWAY_KANNEL_URL: "):
        configuration(load(_env_file=None))
    with pytest.raises(BadSetting, match=r"^GATEWAY_KANNEL_PASSWORD: spaces, quotes"):
        load(kannel_password='pass"word')


def test_configuration_tells_kannel_its_own_secret_only() -> None:
    theirs = {"kannel": [SECRET], "africastalking": ["f" * 32]}
    settings = kannel_settings(kannel_calls="https://gateway.example").model_copy(
        update={
            "kannel_url": "http://kannel.example:13013",
            "webhook_secrets": load(_env_file=None, webhook_secrets=theirs).webhook_secrets,
        }
    )
    assert f'post-url = "https://gateway.example/in/kannel/{SECRET}/sms?' in configuration(settings)
    assert "f" * 32 not in configuration(settings)


# --- the real thing -----------------------------------------------------------------------------------------------------


class Product:
    """The product beside real Kannel, in this process."""

    def __init__(self, gateway: Gateway, boxes: Boxes) -> None:
        self.gateway, self.boxes = gateway, boxes
        self.kannel = Kannel(gateway.settings, lambda key, lang: TEMPLATE if key.startswith("sms.") else "")

    def rows(self, sql: str) -> list[Any]:
        return self.gateway.store.database.rows(sql)

    def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds; it is given long, and checked often."""
        end = time.monotonic() + 90
        while not holds():
            assert time.monotonic() < end, self.rows("select state, note, reference from outbox")
            time.sleep(0.02)


@pytest.fixture
def smsc() -> Iterator[Smsc]:
    need_kannel()
    with Smsc() as running:
        yield running


def serving(settings: Settings, folder: Path) -> Iterator[Product]:
    gateway = assemble(settings)
    with gateway.store.write():
        gateway.store.keep_conversations([Conversation(PHONE, lang="hi")], datetime.now(UTC))
    with served(make_app(gateway, send=True), settings.port), Boxes(folder, settings) as boxes:
        yield Product(gateway, boxes)
    gateway.store.close()


@pytest.fixture
def over_smpp(smsc: Smsc, tmp_path: Path) -> Iterator[Product]:
    """Between the product and an SMSC."""
    settings = kannel_settings(
        database=f"sqlite:///{tmp_path}/town.db", kannel_smsc_host="127.0.0.1", kannel_smsc_port=smsc.port,
        kannel_smsc_username="buxar", kannel_smsc_password="secret",
    )  # fmt: skip
    for product in serving(settings, tmp_path / "kannel"):
        product.until(lambda: smsc.binds)
        yield product


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def over_fake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Product]:
    """Between the product and Kannel's own fake SMSC: once our own Kannel, once one that is not, and brings SMS by post-url."""
    need_kannel()
    settings = kannel_settings(database=f"sqlite:///{tmp_path}/town.db")
    elsewhere = {"kannel_url": settings.kannel_url.replace("127.0.0.1", request.param)}
    yield from serving(settings.model_copy(update=elsewhere), tmp_path / "kannel")


@pytest.mark.xdist_group("kannel")
def test_an_sms_is_answered_on_a_fake_phone(over_fake: Product) -> None:
    settings, words = over_fake.gateway.settings, quote("बिल".encode("utf-16-be"))
    assert ("post-url" in configuration(settings)) is not settings.own_kannel
    command = [FAKESMSC, "-H", "127.0.0.1", "-r", str(settings.kannel_port + 2), "-i", "0.01", "-m", "1"]
    with subprocess.Popen([*command, f"{PHONE} 56161 ucs2 {words}"], stderr=subprocess.PIPE) as phone:
        over_fake.until(lambda: over_fake.rows("select 1 from outbox where state in ('sent', 'delivered')"))
        over_fake.until(lambda: over_fake.rows("select 1 from delivery where state = 'delivered'"))
        phone.terminate()
        assert phone.stderr is not None
        shown = phone.stderr.read().decode(errors="replace")
    assert over_fake.rows("select text from inbound") == [("बिल",)]
    assert f"<56161 {PHONE}" in shown


@pytest.mark.xdist_group("kannel")
def test_to_the_letter_both_ways_with_the_ids_on_the_wire(over_smpp: Product, smsc: Smsc) -> None:
    for number, text in enumerate(TEXTS.values()):
        pushed_to = f"+91556000{number:04d}"
        assert over_smpp.kannel.send(message(text, id_=1000 + number, phone=pushed_to)) == Sent(str(1000 + number))
        smsc.bring(f"+91555000{number:04d}", "56161", text, backwards=bool(number % 2))
    over_smpp.until(lambda: len(over_smpp.rows("select 1 from inbound")) == len(TEXTS))
    expected = len(TEXTS) + len(over_smpp.rows("select 1 from outbox"))
    over_smpp.until(lambda: len(smsc.read()) >= expected)
    pushed = [one for one in smsc.read() if one.phone.startswith("+91556")]
    assert [one.text for one in pushed] == list(TEXTS.values())
    assert {one.coding for one in pushed} == {0, 8}
    assert all(one.tlvs[0x1400] == ENTITY.encode() and one.tlvs[0x1401] == TEMPLATE.encode() for one in pushed)
    assert {text for (text,) in over_smpp.rows("select text from inbound")} == set(TEXTS.values())
    ours = [one for one in smsc.read() if one not in pushed]
    assert sorted(one.text for one in ours) == sorted(text for (text,) in over_smpp.rows("select text from outbox"))
    assert {one.sender for one in ours} == {"56161", "SBPDCL"}  # answers leave from the number written to
    over_smpp.until(lambda: not smsc.left())
    over_smpp.until(lambda: {s for (s,) in over_smpp.rows("select state from outbox")} == {"delivered"})


@pytest.mark.xdist_group("kannel")
def test_an_smsc_that_refuses(over_smpp: Product, smsc: Smsc) -> None:
    smsc.refuse = 0x0000000B  # invalid destination
    smsc.bring(PHONE, "56161", "BIL")
    over_smpp.until(lambda: over_smpp.rows("select 1 from outbox where state = 'failed'"))
    assert over_smpp.rows("select status, reason from delivery")[-1] == ("refused by the SMSC", "NACK/0x0000000b")
    assert over_smpp.kannel.send(message("BIL", phone="")) == Never("Empty receiver number not allowed, rejected")
    wrong = replace_password(over_smpp.gateway.settings)
    refused = Kannel(wrong, lambda key, lang: "").send(message("BIL"))
    assert isinstance(refused, Later)
    assert refused.pause


@pytest.mark.xdist_group("kannel")
def test_what_scrubbing_refused_is_heeded(over_smpp: Product, smsc: Smsc) -> None:
    """The operator took it, and its receipt says that the header, the text, or the phone's own preference was in the way."""
    gateway, codes = over_smpp.gateway, {"+915550000011": "620", "+915550000012": "633", "+915550000013": "650", PHONE: "027"}
    smsc.receipts = {phone: f"stat:UNDELIV err:{code}" for phone, code in codes.items()}
    with gateway.store.write():
        for phone in codes:
            gateway.pen.write(Text("sms", "filed_meter", {"ticket": "40000012"}), phone, now=gateway.hop.clock(), lang="en")
    over_smpp.until(lambda: over_smpp.rows("select count(*) from outbox where state = 'failed'") == [(len(codes),)])
    over_smpp.until(lambda: over_smpp.rows("select 1 from outbox where note like '%650%'"))
    over_smpp.until(lambda: over_smpp.rows("select 1 from outbox where note like '%633%'"))
    over_smpp.until(lambda: over_smpp.rows("select 1 from alarm where kind = 'template'"))
    assert dict(over_smpp.rows("select phone, note from outbox")) == {
        "+915550000011": "",
        "+915550000012": "the operator refused it with 633: it is as we have it registered",
        "+915550000013": "the operator refused it with 650: the phone wants no such messages",
        PHONE: "",
    }
    ((template, why),) = over_smpp.rows("select name, why from alarm where kind = 'template'")
    assert (template, why) == (
        "sms.filed_meter/en",
        "the operator refused it with 620: entity, header or template is not in order there",
    )
    today = gateway.hop.clock().date()
    assert {phone for phone in codes if gateway.store.recall(phone, today).muted} == {"+915550000013"}


@pytest.mark.xdist_group("kannel")
def test_an_smsc_that_is_away_for_a_while(over_smpp: Product, smsc: Smsc) -> None:
    smsc.leave()
    outcome = Sent("")
    for id_ in range(1000, 1200):  # until bearerbox has noticed
        outcome = over_smpp.kannel.send(message(f"BIL {id_}", id_=id_))
        if isinstance(outcome, Sent) and outcome.note:
            break
    assert outcome == Sent(str(id_), "queued: the SMSC is away")
    smsc.come()
    over_smpp.until(lambda: f"BIL {id_}" in {one.text for one in smsc.read()})


@pytest.mark.xdist_group("kannel")
def test_bearerbox_keeps_what_we_have_not(smsc: Smsc, tmp_path: Path) -> None:
    """Nobody there, our trouble before the commit and after it: each SMS comes until it is acknowledged, under one id."""
    settings = kannel_settings(
        kannel_smsc_host="127.0.0.1", kannel_smsc_port=smsc.port, kannel_smsc_username="buxar", kannel_smsc_password="secret"
    )
    stop, came = threading.Event(), list[Inbound]()
    trouble: list[Exception] = [Unavailable("the disk is full"), OSError("killed after the commit")]

    def serve(group: Sequence[Inbound]) -> Sequence[Answer]:
        came.extend(group)
        if trouble:
            raise trouble.pop()
        return []

    box = Bearerbox(
        settings.kannel_port + 1,
        Kannel(settings, lambda key, lang: "").hear_sms,
        serve,
        lambda: None,
        lambda _: None,
        lambda: None,
    )
    worker = threading.Thread(target=box.run, args=(stop,), daemon=True)
    with Boxes(tmp_path, settings):
        for number, text in enumerate(TEXTS.values()):
            smsc.bring(f"+91555000{number:04d}", "56161", text)
        until = time.monotonic() + 120
        while smsc.left() or not worker.ident or [*(tmp_path / "spool").glob("*/*")]:
            assert time.monotonic() < until, [one.text for one in came]
            if not smsc.left() and not worker.ident:  # bearerbox has it all
                worker.start()
            time.sleep(0.05)
        stop.set()
        worker.join()
    assert len(came) > len(TEXTS)
    assert sorted(text for _, text in {(one.id, one.text) for one in came}) == sorted(TEXTS.values())


def replace_password(settings: Settings) -> Settings:
    return settings.model_copy(update={"kannel_password": load(_env_file=None, kannel_password="other").kannel_password})
