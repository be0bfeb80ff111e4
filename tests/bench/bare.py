"""What everything is measured against: a Starlette route that parses the same form and answers a constant."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def ussd(request: Request) -> PlainTextResponse:
    form = dict(parse_qsl((await request.body()).decode()))
    assert form["phoneNumber"]
    return PlainTextResponse("CON Bijli Seva\n1 Naya connection\n2 Naam transfer\n3 Meter kharab")


app = Starlette(routes=[Route("/{path:path}", ussd, methods=["POST"])])
