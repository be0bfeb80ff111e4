"""The carriers' webhooks as one plain ASGI endpoint: /in/<carrier>/<secret>/<door>.

Plain ASGI because the framework would cost more here than our own work (limits.md section 1). Answers 200 only when
everything is durable, 503 for our own trouble, 400 naming the field for what nobody could answer, 404 for a wrong secret.
A USSD session cannot be brought again: in trouble its person gets a page that says so (with a `retry-after`).
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import structlog

from gateway.carriers import Carrier, Door, Ignored, Request, Unreadable
from gateway.hop import Unavailable
from gateway.metrics import HOP_SECONDS, REFUSED
from gateway.records import Answer, Inbound, OptOut, Report, SessionEnd

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: No carrier's form comes near this; the longest seen, a session's end with our last screen in it, is under 2 kB.
BODY_LIMIT = 8 * 1024

#: Says of an answer that nothing was done.
RETRY = (b"retry-after", b"5")

log = structlog.get_logger()


class Refused(Exception):
    """Not taken: the status and the line that says why."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


class Webhooks:
    """Every door of every carrier."""

    def __init__(
        self,
        carriers: Mapping[str, Carrier],
        secrets: Mapping[str, Sequence[str]],
        networks: Sequence[str],
        hop: Callable[[Inbound], Awaitable[Answer]],
        note: Callable[[SessionEnd | Report | OptOut], Awaitable[None]],
        busy: Callable[[Inbound], Awaitable[Answer]],
    ) -> None:
        """`hop` answers an inbound or raises Unavailable, and then `busy` says so to its person; `note` keeps the rest."""
        self._doors = {(carrier.name, door): made for carrier in carriers.values() for door, made in carrier.doors.items()}
        self._secrets = {name: tuple(secret.encode() for secret in of) for name, of in secrets.items()}
        self._networks = tuple(map(ipaddress.ip_network, networks))
        self._seconds = {door: HOP_SECONDS.labels(door) for _, door in self._doors}
        self._hop = hop
        self._note = note
        self._busy = busy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        parts = scope["path"].rsplit("/", 3)
        carrier, secret, name = parts[-3:] if len(parts) == 4 else ("", "", "")
        try:
            door = self._door(scope, carrier, secret, name)
            headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
            request = Request(headers, scope["query_string"], await _body(receive))
            heard = door.hear(door.read(request), headers)
            if isinstance(heard, Inbound):
                began = time.perf_counter()
                await self._serve(send, door, heard, carrier, name)
                self._seconds[name].observe(time.perf_counter() - began)
            else:
                await self._note(heard)
                await _send(send, 200, b"")
        except Ignored as why:
            REFUSED.labels(carrier, name, f"ignored {_field(str(why))}").inc()
            await _send(send, 200, b"")
        except Unreadable as why:
            REFUSED.labels(carrier, name, _field(str(why))).inc()
            log.warning("webhook.unreadable", carrier=carrier, door=name, why=str(why))
            await _send(send, 400, f"{why}\n".encode())
        except Refused as why:
            REFUSED.labels(*((carrier, name) if why.status != 404 else ("", "")), str(why.status)).inc()
            await _send(send, why.status, f"{why.line}\n".encode())
        except Unavailable as why:
            _unavailable(carrier, name, why)
            await _send(send, 503, b"try again shortly\n", [RETRY])
        except Exception as error:
            REFUSED.labels(carrier, name, "a fault of our own").inc()
            log.error("webhook.failed", carrier=carrier, door=name, exc_info=error)
            await _send(send, 500, b"a fault of our own\n")

    async def _serve(self, send: Send, door: Door, inbound: Inbound, carrier: str, name: str) -> None:
        """Answer an inbound; when that cannot be done now, tell the person of a session so."""
        try:
            answer = await self._hop(inbound)
        except Unavailable as why:
            if door.answer is None or inbound.channel == "sms":
                raise
            _unavailable(carrier, name, why)
            await _answer(send, door, inbound, await self._busy(inbound), [RETRY])
        else:
            await _answer(send, door, inbound, answer)

    def _door(self, scope: Scope, carrier: str, secret: str, name: str) -> Door:
        """The door asked for, if the caller may knock at it. A wrong secret and a wrong path look the same."""
        if self._networks and not self._may_call((scope.get("client") or ("", 0))[0]):
            raise Refused(403, "this address may not call: see GATEWAY_WEBHOOK_NETWORKS")
        given, known = secret.encode(), self._secrets.get(carrier, ())
        matches = [hmac.compare_digest(given, one) for one in known]
        door = self._doors.get((carrier, name))
        if door is None or not any(matches):
            raise Refused(404, "not found")
        if scope["method"] != door.method:
            raise Refused(405, f"method: {door.method} is expected")
        return door

    def _may_call(self, client: str) -> bool:
        """Whether webhooks are taken from an address; from a socket file there is none."""
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


async def _body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            raise Unreadable(f"body: larger than {BODY_LIMIT} bytes")
        if not message.get("more_body"):
            return body


async def _answer(send: Send, door: Door, inbound: Inbound, answer: Answer, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    if door.answer is None:
        await _send(send, 200, b"")
        return
    extra = [(key.encode(), value.encode()) for key, value in (door.headers(answer) if door.headers else {}).items()]
    await _send(send, 200, door.answer(answer, inbound), [*extra, *headers], door.media)


def _unavailable(carrier: str, door: str, why: Unavailable) -> None:
    REFUSED.labels(carrier, door, "unavailable").inc()
    log.error("webhook.unavailable", carrier=carrier, door=door, why=str(why))


async def _send(
    send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = (), media: str = "text/plain; charset=utf-8"
) -> None:
    kind, length = (b"content-type", media.encode()), (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [kind, length, *headers]})
    await send({"type": "http.response.body", "body": body})


def _field(line: str) -> str:
    """The field a refusal names."""
    return line.partition(":")[0]
