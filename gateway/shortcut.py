"""The short way of a webhook: from uvicorn's HTTP parser to the doors and back, without an ASGI task in between.

Half of what a hop costs the web server is the task, its messages to and fro, and an answer that is written in two pieces
(docs/decisions.md). Whatever is not plain (another path, another HTTP version, a question that waits for leave to be sent)
goes uvicorn's own way.
"""

from __future__ import annotations

import asyncio
import re
from asyncio import TimerHandle
from typing import Any, cast

import httptools
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.app import Web
from gateway.carriers import Request
from gateway.webhook import BODY_LIMIT, Reply

#: A webhook's address; one that is written otherwise needs uvicorn's own reading.
PLAIN = re.compile(rb"/in/[^%#]*").fullmatch
#: What may come, in octets and in seconds, before a request's head is whole, and a webhook's body too. No carrier's and no
#: browser's head comes near it; without an end, anyone who finds the port could fill our memory or take all connections.
MOST_OCTETS, MOST_SECONDS = 64 * 1024, 10.0


class Call(RequestResponseCycle):
    """A webhook's request and reply, as uvicorn's protocol keeps them."""

    #: uvicorn says by it that more has come, or that the line is dead: nobody waits for that here.
    message_event = asyncio.Event()

    def __init__(self, method: str, path: str, request_headers: dict[str, str], query: bytes, keep_alive: bool) -> None:
        self.method, self.path, self.request_headers, self.query = method, path, request_headers, query
        self.keep_alive = keep_alive
        self.body = bytearray()
        self.more_body = True
        self.disconnected = False
        self.response_complete = False
        #: Whether its turn has come, and whether it has been taken.
        self.started = self.taken = False


class Shortcut(HttpToolsProtocol):
    """uvicorn's protocol over one connection, with a way of its own for webhooks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.web = cast(Web, self.config.app)
        #: Behind whom a load balancer's word must be heard on who calls, uvicorn's own way is the one that hears it.
        self.open = not self.web.webhooks.ask_who_calls
        self.default_headers: list[tuple[bytes, bytes]] = []
        self.heads: dict[tuple[int, str], bytes] = {}
        #: Whether what comes is bounded, and how many octets of it have come.
        self.bounded, self.octets = True, 0
        self.bell: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there, and is to say soon what he wants."""
        super().connection_made(transport)
        self._wind()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._unwind()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Nothing more comes; whether something is still to be answered. Some say so as soon as they have asked."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Some more has come."""
        self._unset_keepalive_if_required()
        if self.bounded:
            self.octets += len(data)
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as offer:
                    data = self._declined() + data[offer.args[0] :]
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self.octets > MOST_OCTETS:
            self.transport.close()
        elif self.octets and self.bell is None:
            self._wind()

    def _declined(self) -> bytes:
        """The head of a request that offers to go on in another protocol, as every JDK client does, without its offer: the parser
        takes the rest for that other protocol's, body and all, and so it is read anew."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError("we are no proxy")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        kept = [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([b"%b %b HTTP/%b" % (method, self.url, version), *kept, b"\r\n"])

    def _wind(self) -> None:
        self.bell = self.loop.call_later(MOST_SECONDS, self.timeout_keep_alive_handler)

    def _unwind(self) -> None:
        """What was to come has come."""
        self.octets = 0
        if self.bell is not None:
            self.bell.cancel()
            self.bell = None

    def on_headers_complete(self) -> None:
        """A request's head has come: take the short way if it is a plain webhook."""
        parser, url = self.parser, self.url
        if parser.should_upgrade():
            return
        method = parser.get_method()
        if (
            not self.open or method not in (b"POST", b"GET") or not PLAIN(url) or self.expect_100_continue
            or parser.get_http_version() != "1.1"
        ):  # fmt: skip
            self._unwind()
            self.bounded = False
            super().on_headers_complete()
            return
        path, _, query = url.partition(b"?")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers}
        before = self.cycle
        self.cycle = call = Call(method.decode(), path.decode("latin-1"), headers, query, parser.should_keep_alive())
        if before is None or before.response_complete:
            call.started = True
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((call, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """The turn of a request that came before the one ahead of it was answered."""
        if not isinstance(cycle, Call):
            super()._start_asgi_task(cycle, app)
            return
        cycle.started = True
        if not cycle.more_body:
            self.loop.call_soon(self._take, cycle)  # not at once: refusals in a row would each begin within the one before

    def on_body(self, body: bytes) -> None:
        """A piece of the body; what is too much is said so at once."""
        call = self.cycle
        if not isinstance(call, Call):
            super().on_body(body)
        elif len(call.body) <= BODY_LIMIT:
            call.body += body
            if call.started and len(call.body) > BODY_LIMIT:
                self._take(call)

    def on_message_complete(self) -> None:
        """All of the request has come."""
        call = self.cycle
        if not isinstance(call, Call):
            self.bounded = True
            if not self.parser.should_upgrade():
                super().on_message_complete()
            return
        self._unwind()
        call.more_body = False
        if call.started:
            self._take(call)

    def _take(self, call: Call) -> None:
        if call.taken:
            return
        call.taken = True
        request = Request(call.request_headers, call.query, bytes(call.body))
        self.web.webhooks.take(call.method, call.path, request, lambda reply: self._reply(call, reply))

    def _reply(self, call: Call, reply: Reply) -> None:
        """Write the reply, in one piece."""
        call.response_complete = True
        if self.transport.is_closing():  # the carrier hung up
            return
        status, body, media, headers = reply
        head = self._head(status, media) + b"content-length: %d\r\n" % len(body)
        for name, value in headers:
            head += b"%b: %b\r\n" % (name, value)
        self.transport.write(head + (b"\r\n" if call.keep_alive else b"connection: close\r\n\r\n") + body)
        if not call.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _head(self, status: int, media: str) -> bytes:
        """What all answers of a kind begin with: joined once, until uvicorn changes the date among its headers."""
        if self.server_state.default_headers is not self.default_headers:
            self.default_headers, self.heads = self.server_state.default_headers, {}
        head = self.heads.get((status, media))
        if head is None:
            headers = (*self.web.headers, *self.default_headers, (b"content-type", media.encode()))
            head = STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % header for header in headers)
            self.heads[status, media] = head
        return head


def web_server(web: Web) -> uvicorn.Server:
    """uvicorn, set up for us. The access log is off: a webhook's path holds its secret, and it costs a third of the speed."""
    return uvicorn.Server(
        uvicorn.Config(
            web,
            access_log=False,
            log_level="warning",
            loop="uvloop",
            http=Shortcut,
            ws="none",
            timeout_graceful_shutdown=5,
            server_header=False,
        )
    )
