"""The short way of a webhook, over real sockets: whatever comes by it is answered as by uvicorn's own way."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPResponse
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as chance
from hypothesis import strategies as st

from gateway import shortcut
from gateway.app import Gateway, make_app
from gateway.webhook import BODY_LIMIT
from tests import town
from tests.serving import served

SECRET = "0123456789abcdef0123456789abcdef"
FORM = {"content-type": "application/x-www-form-urlencoded"}
USSD = {"sessionId": "ATUid_1", "phoneNumber": town.PHONES["one"], "serviceCode": "*384*1912#", "text": ""}
PATH = f"/in/africastalking/{SECRET}/ussd"
#: The same address, written so that it goes uvicorn's own way.
LONG_WAY = PATH.replace("ussd", "uss%64")


class Got(NamedTuple):
    """A reply, but for the date."""

    status: int
    headers: frozenset[tuple[str, str]]
    body: bytes


class Wire:
    """One connection, which sends what it is told to, byte for byte."""

    def __init__(self, url: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=30)

    def send(self, method: str, path: str, body: bytes = b"", version: str = "1.1", **headers: str) -> None:
        self.socket.sendall(request(method, path, body, version, **headers))

    def read(self, method: str = "POST") -> Got:
        """The next reply. Each is read through a buffer of its own, so only while no other can have come."""
        response = HTTPResponse(self.socket, method=method)
        response.begin()
        headers = {(name.lower(), value) for name, value in response.getheaders() if name.lower() != "date"}
        return Got(response.status, frozenset(headers), response.read())

    def read_all(self) -> bytes:
        """All that comes until the other side hangs up."""
        pieces = b""
        while piece := self.socket.recv(65536):
            pieces += piece
        return pieces


def request(method: str, path: str, body: bytes = b"", version: str = "1.1", **headers: str) -> bytes:
    if "transfer_encoding" not in headers:
        headers["content-length"] = str(len(body))
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in {"host": "x", **FORM, **headers}.items())
    return f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode() + body


def form(**changed: str) -> bytes:
    return urlencode(USSD | changed).encode()


@contextmanager
def connected(gateway: Gateway) -> Iterator[Wire]:
    with served(make_app(gateway, send=False)) as url:
        wire = Wire(url)
        yield wire
        wire.socket.close()


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    with connected(gateway) as one:
        yield one


@pytest.fixture
def short_ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes the short way."""
    paths: list[str] = []
    begin = shortcut.Call.__init__

    def counted(call: shortcut.Call, method: str, path: str, *rest: object) -> None:
        paths.append(path)
        begin(call, method, path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(shortcut.Call, "__init__", counted)
    return paths


def test_a_connection_serves_hop_after_hop(wire: Wire, short_ways: list[str]) -> None:
    for text in ("", "3", "3"):
        wire.send("POST", PATH, form(text=text))
        got = wire.read()
        assert (got.status, got.body[:4]) == (200, b"CON ")
    assert len(short_ways) == 3


@chance(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["POST", "POST", "GET", "PUT", "HEAD", "OPTIONS"]),
    door=st.sampled_from(["ussd", "sms", "nowhere"]),
    secret=st.sampled_from([SECRET, SECRET, "f" * 32]),
    kind=st.sampled_from([FORM["content-type"], "application/json", ""]),
    body=st.sampled_from([form(), form(text="6"), form(phoneNumber="0"), form(serviceCode="*1#"), b"x" * (BODY_LIMIT + 1)])
    | st.binary(max_size=40),
)
def test_both_ways_give_the_same_reply(wire: Wire, method: str, door: str, secret: str, kind: str, body: bytes) -> None:
    replies = []
    for name in (door, f"%{ord(door[0]):02x}{door[1:]}"):
        wire.send(method, f"/in/africastalking/{secret}/{name}", body, content_type=kind)
        replies.append(wire.read(method))
    assert replies[0] == replies[1]


def test_several_in_one_packet_are_answered_in_their_order(wire: Wire) -> None:
    """Hops, a page of the framework between them, and the end."""
    wire.socket.sendall(
        request("POST", PATH, form()) + request("POST", PATH, form(text="1")) + request("GET", "/healthz")
        + request("POST", LONG_WAY, form(text="1*1")) + request("POST", PATH, form(sessionId=""), connection="close")
    )  # fmt: skip
    told = wire.read_all()
    places = [told.find(b"HTTP/1.1 ", start) for start in range(len(told)) if told.startswith(b"HTTP/1.1 ", start)]
    assert len(places) == 5
    assert b"\r\n\r\nok\n" in told[places[2] : places[3]]
    assert [told[place:].split()[1] for place in places] == [b"200"] * 4 + [b"400"]
    assert told.count(b"connection: close") == 1


def test_a_body_may_come_in_pieces(wire: Wire, short_ways: list[str]) -> None:
    whole = request("POST", PATH, form(text="6"))
    for start in range(0, len(whole), 40):
        wire.socket.sendall(whole[start : start + 40])
        time.sleep(0.002)
    assert wire.read().status == 200
    body = form(text="6*1")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 50]), body[at : at + 50]) for at in range(0, len(body), 50))
    wire.send("POST", PATH, chunks + b"0\r\n\r\n", transfer_encoding="chunked")
    assert wire.read().status == 200
    assert len(short_ways) == 2


def test_too_much_is_refused_before_all_of_it_has_come(wire: Wire) -> None:
    body = b"x" * (4 * BODY_LIMIT)
    whole = request("POST", PATH, body)
    wire.socket.sendall(whole[: 2 * BODY_LIMIT])
    got = wire.read()
    assert (got.status, got.body) == (400, b"body: larger than 8192 bytes\n")
    wire.socket.sendall(whole[2 * BODY_LIMIT :])
    wire.send("POST", PATH, form())
    assert wire.read().status == 200, "and the connection goes on"


@pytest.mark.parametrize("how", [{"version": "1.0"}, {"connection": "close"}])
def test_who_asks_for_one_answer_gets_it_and_the_end(wire: Wire, how: dict[str, str]) -> None:
    wire.send("POST", PATH, form(), **how)
    told = wire.read_all()
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in told


def test_who_asks_whether_he_may_send_is_told_so(wire: Wire) -> None:
    body = form()
    wire.socket.sendall(request("POST", PATH, body, expect="100-continue")[: -len(body)])
    assert wire.socket.recv(100).startswith(b"HTTP/1.1 100 ")
    wire.socket.sendall(body)
    assert wire.read().status == 200


def test_who_hangs_up_was_heard_all_the_same(gateway: Gateway) -> None:
    with served(make_app(gateway, send=False)) as url:
        for number in range(20):
            wire = Wire(url)
            wire.send("POST", PATH, form(sessionId=f"ATUid_{number}"))
            wire.socket.close()
        wire = Wire(url)
        wire.send("POST", PATH, form(sessionId="ATUid_last"))
        assert wire.read().status == 200
        wire.socket.close()
    assert gateway.store.count("inbound") == 21


def test_whose_address_matters_is_known_by_the_proxys_word(gateway: Gateway, short_ways: list[str]) -> None:
    behind = replace(gateway, settings=gateway.settings.model_copy(update={"webhook_networks": ("10.0.0.0/8",)}))
    with connected(behind) as wire:
        for address, status in (("10.1.2.3", 200), ("11.1.2.3", 403)):
            wire.send("POST", PATH, form(), x_forwarded_for=address)
            assert wire.read().status == status
    assert not short_ways


# --- what carriers' libraries, and strangers, do beside asking ------------------------------------------------------------


OFFER = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"}


@pytest.mark.parametrize("path", [PATH, LONG_WAY])
@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_an_offer_of_another_protocol_is_not_taken(wire: Wire, short_ways: list[str], path: str, piece: int) -> None:
    """Every JDK client makes it: the request is answered as without it, however it comes, and so are those behind it."""
    body = form(text="3", networkCode="\r\nupgrade: h2c\r\n")
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    for octets in (
        request("POST", path, body, **OFFER),
        request("POST", path, chunks, transfer_encoding="chunked", **OFFER),
        request("POST", path, body),
    ):
        for start in range(0, len(octets), piece):
            wire.socket.sendall(octets[start : start + piece])
            time.sleep(0.0001)
        got = wire.read()
        assert (got.status, got.body[:4]) == (200, b"CON "), got.body
    assert len(short_ways) == 3 * (path == PATH)
    wire.send("GET", "/healthz", **OFFER)
    assert wire.read("GET").body == b"ok\n"


def test_many_offers_in_one_packet(wire: Wire) -> None:
    count = 300
    wire.socket.sendall(request("POST", "/in/a/b/c", b"x", **OFFER) * count + request("GET", "/healthz", connection="close"))
    assert wire.read_all().count(b"HTTP/1.1 404 ") == count


def test_who_wants_a_proxy_gets_none(wire: Wire) -> None:
    wire.socket.sendall(b"CONNECT example.org:25 HTTP/1.1\r\nhost: example.org\r\n\r\n")
    assert wire.read_all().startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("first", [request("GET", "/healthz"), request("POST", PATH, form())], ids=["a page", "a hop"])
def test_refusals_in_a_row_are_all_told(wire: Wire, first: bytes) -> None:
    count = 400
    wire.socket.sendall(first + request("POST", PATH, b"x") * count + request("GET", "/healthz", connection="close"))
    told = wire.read_all()
    assert told.count(b"HTTP/1.1 400 ") == count
    assert told.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("path", [PATH, LONG_WAY])
def test_who_says_no_more_is_answered_still(wire: Wire, path: str) -> None:
    wire.send("POST", path, form())
    wire.socket.shutdown(socket.SHUT_WR)
    told = wire.read_all()
    assert told.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close\r\n" in told


def is_hung_up(wire: Wire) -> bool:
    try:
        return wire.socket.recv(1000) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nx: ", b"GET / HTTP/1.1\r\n"], ids=["address", "value", "lines"])
def test_a_head_without_end_is_not_kept(wire: Wire, start: bytes) -> None:
    more = b"x: y\r\n" if start.endswith(b"\n") else b"xxxxxx"
    with contextlib.suppress(ConnectionError):
        wire.socket.sendall(start + more * (shortcut.MOST_OCTETS // len(more) + 1))
    assert is_hung_up(wire)


@pytest.mark.parametrize("octets", [b"", b"POST /in/", request("POST", PATH, form())[:-1]], ids=["nothing", "a head", "a body"])
def test_who_does_not_come_to_an_end_is_hung_up_on(gateway: Gateway, octets: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut, "MOST_SECONDS", 0.5)
    with connected(gateway) as wire:
        wire.socket.sendall(octets)
        assert is_hung_up(wire)
    with connected(gateway) as wire:  # nor who comes to an end first, and not again
        wire.send("GET", "/healthz")
        assert wire.read("GET").status == 200
        wire.socket.sendall(b"GET ")
        time.sleep(0.1)
        wire.socket.sendall(b"/he")
        assert is_hung_up(wire)


def test_a_large_form_of_a_page_is_no_head(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is bounded is the head, and a webhook: not what staff upload."""
    monkeypatch.setattr(shortcut, "MOST_SECONDS", 0.2)
    body = b"x" * (3 * shortcut.MOST_OCTETS)
    octets = request("POST", "/healthz", body)
    for start in range(0, len(octets), len(octets) // 4):
        wire.socket.sendall(octets[start : start + len(octets) // 4])
        time.sleep(0.1)
    assert wire.read().status == 405
