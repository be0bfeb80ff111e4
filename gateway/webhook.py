"""The carriers' webhooks: /in/<carrier>/<secret>/<door>.

Answers 200 only when everything is durable, 503 for our own trouble, 400 naming the field for what nobody could answer, 404 for
a wrong secret. A USSD session cannot be brought again: in trouble its person gets a page that says so (with a `retry-after`).
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import structlog
from starlette.types import Receive, Scope, Send

from gateway.carriers import Carrier, Door, Ignored, Request, Unreadable
from gateway.hop import Unavailable
from gateway.metrics import HOP_SECONDS, REFUSED
from gateway.records import Answer, Inbound, OptOut, Report, SessionEnd
from gateway.traffic import Done

#: No carrier's form comes near this; the longest seen, a session's end with our last screen in it, is under 2 kB.
BODY_LIMIT = 8 * 1024

#: Says of an answer that nothing was done.
RETRY = (b"retry-after", b"5")

log = structlog.get_logger()


class Reply(NamedTuple):
    """What a webhook is answered over HTTP."""

    status: int
    body: bytes = b""
    media: str = "text/plain; charset=utf-8"
    headers: Sequence[tuple[bytes, bytes]] = ()


class Refused(Exception):
    """Not taken: the status and the line that says why."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


class Webhooks:
    """Every door of every carrier.

    `take` is the whole of it, made of plain calls, since a task and its awaiting would cost more than the hop; whoever serves
    HTTP calls it: gateway/shortcut.py, or any ASGI server through `__call__`.
    """

    def __init__(
        self,
        carriers: Mapping[str, Carrier],
        secrets: Mapping[str, Sequence[str]],
        networks: Sequence[str],
        hop: Callable[[Inbound, Done], None],
        note: Callable[[SessionEnd | Report | OptOut, Callable[[Exception | None], None]], None],
        busy: Callable[[Inbound, Done], None],
    ) -> None:
        """`hop` answers an inbound, or says Unavailable, and then `busy` has the answer that tells its person so; `note` keeps
        the rest. All of them say later how it went."""
        self._doors = {(carrier.name, door): made for carrier in carriers.values() for door, made in carrier.doors.items()}
        self._secrets = {name: tuple(secret.encode() for secret in of) for name, of in secrets.items()}
        self._networks = tuple(map(ipaddress.ip_network, networks))
        self._seconds = {door: HOP_SECONDS.labels(door) for _, door in self._doors}
        self._hop = hop
        self._note = note
        self._busy = busy

    @property
    def ask_who_calls(self) -> bool:
        """Whether it matters from which address a webhook comes."""
        return bool(self._networks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request as an ASGI application."""
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        request = Request(headers, scope["query_string"], await _body(receive))
        replied: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.take(scope["method"], scope["path"], request, replied.set_result, (scope.get("client") or ("", 0))[0])
        status, body, media, more = await replied
        fixed = ((b"content-type", media.encode()), (b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": [*fixed, *more]})
        await send({"type": "http.response.body", "body": body})

    def take(self, method: str, path: str, request: Request, reply: Callable[[Reply], None], client: str = "") -> None:
        """Take one request; `reply` is called once, now or later. `client` is its address, if it matters."""
        began = time.perf_counter()
        parts = path.rsplit("/", 3)
        carrier, secret, name = parts[-3:] if len(parts) == 4 else ("", "", "")
        try:
            door = self._door(method, client, carrier, secret, name)
            if len(request.body) > BODY_LIMIT:
                raise Unreadable(f"body: larger than {BODY_LIMIT} bytes")
            heard = door.hear(door.read(request), request.headers)
        except Ignored as why:
            REFUSED.labels(carrier, name, f"ignored {_field(str(why))}").inc()
            reply(Reply(200))
        except Unreadable as why:
            REFUSED.labels(carrier, name, _field(str(why))).inc()
            log.warning("webhook.unreadable", carrier=carrier, door=name, why=str(why))
            reply(Reply(400, f"{why}\n".encode()))
        except Refused as why:
            known = (carrier, name) if why.status == 405 else ("", "")  # any other may be anybody's words
            REFUSED.labels(*known, str(why.status)).inc()
            reply(Reply(why.status, f"{why.line}\n".encode()))
        except Exception as error:
            reply(_fault(carrier, name, error))
        else:
            knock = Knock(carrier, name, door, reply)
            if isinstance(heard, Inbound):
                self._serve(knock, heard, began)
            else:
                self._note(heard, lambda trouble: reply(Reply(200) if trouble is None else knock.excuse(trouble)))

    def _serve(self, knock: Knock, inbound: Inbound, began: float) -> None:
        """Answer an inbound; when that cannot be done now, tell the person of a session so."""

        def served(answer: Answer | Exception) -> None:
            if isinstance(answer, Unavailable) and knock.door.answer is not None and inbound.channel != "sms":
                _unavailable(knock.carrier, knock.name, answer)
                self._busy(inbound, lambda told: knock.answer(told, inbound, (RETRY,)))
            else:
                self._seconds[knock.name].observe(time.perf_counter() - began)
                knock.answer(answer, inbound)

        self._hop(inbound, served)

    def _door(self, method: str, client: str, carrier: str, secret: str, name: str) -> Door:
        """The door asked for, if the caller may knock at it. A wrong secret and a wrong path look the same."""
        if self._networks and not self._may_call(client):
            raise Refused(403, "this address may not call: see GATEWAY_WEBHOOK_NETWORKS")
        given, known = secret.encode(), self._secrets.get(carrier, ())
        matches = [hmac.compare_digest(given, one) for one in known]
        door = self._doors.get((carrier, name))
        if door is None or not any(matches):
            raise Refused(404, "not found")
        if method != door.method:
            raise Refused(405, f"method: {door.method} is expected")
        return door

    def _may_call(self, client: str) -> bool:
        """Whether webhooks are taken from an address; from a socket file there is none."""
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


class Knock(NamedTuple):
    """A request that was let in, and where its reply goes."""

    carrier: str
    name: str
    door: Door
    reply: Callable[[Reply], None]

    def answer(self, answer: Answer | Exception, inbound: Inbound, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Reply as the carrier wants it written."""
        door = self.door
        try:
            if isinstance(answer, Exception):
                reply = self.excuse(answer)
            elif door.answer is None:
                reply = Reply(200)
            else:
                if door.headers:
                    headers = [*headers, *((key.encode(), value.encode()) for key, value in door.headers(answer).items())]
                reply = Reply(200, door.answer(answer, inbound), door.media, headers)
        except Exception as error:
            reply = _fault(self.carrier, self.name, error)
        self.reply(reply)

    def excuse(self, error: Exception) -> Reply:
        """What is replied when it came to nothing."""
        if not isinstance(error, Unavailable):
            return _fault(self.carrier, self.name, error)
        _unavailable(self.carrier, self.name, error)
        return Reply(503, b"try again shortly\n", headers=(RETRY,))


async def _body(receive: Receive) -> bytes:
    """The body, or so much of it that it is too much."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT or not message.get("more_body"):
            return body


def _unavailable(carrier: str, door: str, why: Unavailable) -> None:
    REFUSED.labels(carrier, door, "unavailable").inc()
    log.error("webhook.unavailable", carrier=carrier, door=door, why=str(why))


def _fault(carrier: str, door: str, error: Exception) -> Reply:
    REFUSED.labels(carrier, door, "a fault of our own").inc()
    log.error("webhook.failed", carrier=carrier, door=door, exc_info=error)
    return Reply(500, b"a fault of our own\n")


def _field(line: str) -> str:
    """The field a refusal names."""
    return line.partition(":")[0]
