"""What all carriers that send have in common: a call that goes wrong on the wire."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest
import requests

from gateway.carriers import Carrier, africastalking, calling
from gateway.carriers.africastalking import AfricasTalking
from gateway.carriers.kannel import Kannel
from gateway.carriers.mobileseva import MobileSeva
from gateway.records import Later, OutboundMessage, Unsure
from gateway.settings import load

CARRIERS = pytest.mark.parametrize("name", ["africastalking", "kannel", "mobileseva"])
MESSAGE = OutboundMessage(7, "+915550000001", "BIL", "gsm7", 1, "sms.filed_meter/hi", "x", "live", "once", 1, datetime.now(UTC))
HEAD = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 999999\r\n"


def carrier(name: str, url: str, patience: float = 30) -> Carrier:
    settings = load(
        _env_file=None, at_username="sandbox", at_api_key="test-key", at_base_url=url, kannel_url=url, kannel_password="pw-7",
        mobileseva_username="SBPDCL-BIHAR", mobileseva_url=f"{url}/push", webhook_secrets=["0123456789abcdef" * 2],
        send_timeout=patience,
    )  # fmt: skip
    made: dict[str, Carrier] = {
        "africastalking": AfricasTalking(settings),
        "kannel": Kannel(settings, lambda key, lang: ""),
        "mobileseva": MobileSeva(settings, lambda key, lang: ""),
    }
    return made[name]


@contextmanager
def other_side(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Something that takes one connection after the other; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        serve(connection)

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


@CARRIERS
@pytest.mark.parametrize("beginning", [b"HTTP/1.1 201 Created\r\nx-slow: ", HEAD + b"\r\n"], ids=["head", "body"])
def test_an_answer_a_byte_at_a_time_is_given_up(name: str, beginning: bytes) -> None:
    """Each piece comes in good time; all of it never does."""

    def dribble(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(beginning)
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    with other_side(dribble) as address:
        assert isinstance(carrier(name, f"http://{address}", patience=0.5).send(MESSAGE), Unsure)


@CARRIERS
def test_an_answer_without_end_is_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "ANSWER_LIMIT", 100_000)

    def pour(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(HEAD + b"\r\n" + b"x" * 999_999)

    with other_side(pour) as address:
        assert isinstance(carrier(name, f"http://{address}").send(MESSAGE), Unsure)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("tls")
    made = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
    subprocess.run(made.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@CARRIERS
def test_a_certificate_that_is_refused_took_nothing(name: str, certificate: ssl.SSLContext) -> None:
    def serve(connection: socket.socket) -> None:
        certificate.wrap_socket(connection, server_side=True).recv(65536)

    with other_side(serve) as address:
        assert isinstance(carrier(name, f"https://{address}").send(MESSAGE), Later)


@CARRIERS
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_line_that_breaks_in_its_answer_may_have_taken_the_message(
    name: str, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS breaks as well as TCP does, and no sooner: the message may be out."""
    real = calling.new_session

    def trusting() -> requests.Session:
        session = real()
        session.verify = False
        return session

    for module in (calling, africastalking):
        monkeypatch.setattr(module, "new_session", trusting)
    taken = threading.Event()

    def serve(connection: socket.socket) -> None:
        raw = connection.dup()
        tls = certificate.wrap_socket(connection, server_side=True)
        while b"\r\n\r\n" not in tls.recv(65536):
            pass
        taken.set()
        raw.sendall(b"\x15\x03\x03\x00\x12" + os.urandom(18))  # no record of theirs
        raw.close()
        tls.close()

    with other_side(serve) as address:
        assert isinstance(carrier(name, f"https://{address}").send(MESSAGE), Unsure)
    assert taken.is_set()
