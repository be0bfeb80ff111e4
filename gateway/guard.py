"""Keeps what has no lock to this machine: nobody else's page may reach the demo's pages through the browser."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Sent with every answer: nothing but our own files, no inline script or style, in nobody's frame.
SAFE = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


class Guard:
    """Refuses a Host that is not this machine (a name pointed here by somebody else) and writing from another page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with one line."""

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SAFE)
            await send(message)

        why = refusal(scope["method"], Headers(scope=scope))
        app = PlainTextResponse(why + "\n", 403) if why else self.app
        await app(scope, receive, safely)


def refusal(method: str, headers: Headers) -> str:
    """Why a request is refused; empty if it is not."""
    host = headers.get("host", "")
    if not is_here(host):
        return "host: the phone page is only served to this machine"
    if method in ("GET", "HEAD"):
        return ""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if (origin is not None and origin.partition("://")[2] != host) or site not in (None, "same-origin"):
        return "origin: another page may not use the phone"
    return ""


def is_here(host: str) -> bool:
    """Whether a Host header names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
