"""The phone page of the demo: a feature phone in the browser whose hops go the same way as every other carrier's."""

from __future__ import annotations

import asyncio
import time
import tomllib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from flows.records import Conversation
from gateway.carriers.phone import SLOW_PAGE, Handset, NotHere, Phone
from gateway.guard import Guard
from gateway.hop import Unavailable, now_utc
from gateway.phone.strip import Shown, shown
from gateway.records import Answer, Inbound

if TYPE_CHECKING:
    from gateway.app import Gateway

LANGS = ("hi", "en")
COOKIE = "phone_lang"
#: Hops kept for the strip, phones kept at all, and the largest body taken.
HOPS, PHONES, BODY = 20, 1000, 4096

Number = Annotated[str, msgspec.Meta(pattern=r"^\+\d{8,15}$")]
T = TypeVar("T")


class Dial(msgspec.Struct, forbid_unknown_fields=True):
    """A code is dialled."""

    phone: Number
    code: Annotated[str, msgspec.Meta(pattern=r"^[0-9*#+]{1,182}$")]


class Reply(msgspec.Struct, forbid_unknown_fields=True):
    """An answer is sent in a session."""

    phone: Number
    session: str
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=182)]


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """A message is sent to the short code."""

    phone: Number
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Which(msgspec.Struct, forbid_unknown_fields=True):
    """A phone is meant."""

    phone: Number


class Slow(msgspec.Struct, forbid_unknown_fields=True):
    """The network's day."""

    on: bool


@dataclass(slots=True)
class Line:
    """One phone's line: the handset and its last hops, newest first."""

    handset: Handset
    hops: deque[Shown] = field(default_factory=lambda: deque(maxlen=HOPS))
    answer: Answer | None = None


@dataclass(slots=True)
class Exchange:
    """The network behind the page: lines by phone, and the hop they all go through."""

    gateway: Gateway
    serve: Callable[[Inbound], Awaitable[Answer]]
    words: dict[str, dict[str, str]]
    carrier: Phone
    pages: Environment
    lines: dict[str, Line] = field(default_factory=dict)

    async def page(self, request: Request) -> Response:
        """The page itself, in the language asked for, remembered, or preferred by the browser."""
        asked = request.query_params.get("lang") or request.cookies.get(COOKIE)
        if asked not in LANGS:
            asked = "hi" if request.headers.get("accept-language", "").lower().startswith("hi") else "en"
        settings = self.gateway.settings
        html = self.pages.get_template("phone.html").render(
            w=self.words[asked], lang=asked, code=settings.ussd_code, shortcode=settings.shortcode, company=settings.company
        )
        response = HTMLResponse(html)
        response.set_cookie(COOKIE, asked, max_age=365 * 24 * 3600, path="/phone", samesite="lax", httponly=True)
        return response

    # --- what the phone does ----------------------------------------------------------------------------------------

    async def dial(self, request: Request) -> Response:
        """Dial a code."""
        asked = await _body(request, Dial)
        line = self._line(asked.phone)
        try:
            return await self._hop(line, line.handset.dial(asked.code, now_utc()), asked.code)
        except NotHere as why:
            return _json({"network": str(why)})

    async def reply(self, request: Request) -> Response:
        """Answer in the running session."""
        asked = await _body(request, Reply)
        line = self._line(asked.phone)
        if asked.session != line.handset.session:
            return _json({"network": "session"})
        try:
            return await self._hop(line, line.handset.answer(asked.text, now_utc()), asked.text)
        except NotHere as why:
            return _json({"network": str(why)})

    async def hang_up(self, request: Request) -> Response:
        """End the session, without a word to anybody."""
        asked = await _body(request, Which)
        self._line(asked.phone).handset.hang_up()
        return _json({})

    async def sms(self, request: Request) -> Response:
        """Send a message to the short code; the answer comes by the outbox."""
        asked = await _body(request, Message)
        line = self._line(asked.phone)
        return await self._hop(line, line.handset.sms(asked.text, now_utc()), asked.text)

    async def repeat(self, request: Request) -> Response:
        """Deliver the very last hop again."""
        asked = await _body(request, Which)
        line = self._line(asked.phone)
        if line.handset.last is None or not line.hops:
            raise HTTPException(400, "phone: nothing was delivered yet")
        return await self._hop(line, line.handset.last, line.hops[0].said, before=line.answer)

    async def slow(self, request: Request) -> Response:
        """A slow day on the network, or a good one again."""
        self.carrier.slow = (await _body(request, Slow)).on
        return _json({"slow": self.carrier.slow})

    # --- what the page reads ----------------------------------------------------------------------------------------

    async def inbox(self, request: Request) -> Response:
        """Messages that have arrived since the one with this id."""
        after = request.query_params.get("after", "0")
        if not after.isascii() or not after.isdigit() or len(after) > 18:
            raise HTTPException(400, "after: a message number is expected")
        rows = await asyncio.to_thread(self.gateway.store.inbox, _phone(request), int(after))
        names = ("id", "text", "encoding", "parts", "template", "at")
        return _json([dict(zip(names, row, strict=True)) for row in rows])

    async def phones(self, request: Request) -> Response:
        """The demo phones; with `q` the phones of consumers found by name, account or meter."""
        from gateway.demo import demo_phones  # the town is only needed where there is a page

        store, words = self.gateway.store, request.query_params.get("q", "").strip()[:80]
        if words:
            consumers = {one.account: one for one in await asyncio.to_thread(store.search, words, 20)}
            linked = await asyncio.to_thread(store.phones_of, list(consumers))
            return _json(
                [
                    {"phone": phone, "account": account, "hi": one.name.deva, "en": one.name.latin}
                    for account, one in consumers.items()
                    for phone in linked[account]
                ]
            )
        found = await asyncio.to_thread(demo_phones, store)
        return _json([{"phone": one.phone, "label": one.label, "account": one.account} for one in found])

    async def strip(self, request: Request) -> Response:
        """Everything beside the phone."""
        line = self._line(_phone(request))
        return _json(self._strip(line, await asyncio.to_thread(self._conversation, line.handset.phone)))

    # --- how --------------------------------------------------------------------------------------------------------

    def _line(self, phone: str) -> Line:
        if phone not in self.lines:
            if len(self.lines) >= PHONES:
                del self.lines[next(iter(self.lines))]
            self.lines[phone] = Line(Handset(phone, self.gateway.settings.ussd_code, self.gateway.settings.missed_number))
        return self.lines[phone]

    async def _hop(self, line: Line, inbound: Inbound, said: str, before: Answer | None = None) -> Response:
        """One hop, the same way as every other, and what the strip says of it."""
        began = time.perf_counter_ns()
        try:
            answer = await self.serve(inbound)
        except Unavailable:
            raise HTTPException(503, "the gateway cannot keep anything just now: try again shortly") from None
        micros = (time.perf_counter_ns() - began) // 1000
        after = await asyncio.to_thread(self._conversation, inbound.phone)
        hop = shown(said, inbound.channel, answer, self.carrier.limits(inbound.channel), after, micros)
        if before is not None:
            hop = replace(hop, again=True, same=answer == before)
        line.answer = answer
        line.hops.appendleft(hop)
        if inbound.channel == "ussd" and self.carrier.slow:
            await asyncio.sleep(SLOW_PAGE)
        live = inbound.channel == "ussd" and inbound.session == line.handset.session
        if live and answer.ends:
            line.handset.hang_up()
        return _json({"hop": hop, "live": live, "session": line.handset.session, "strip": self._strip(line, after)})

    def _strip(self, line: Line, after: Conversation) -> dict[str, object]:
        place, held = after.place, after.held
        return {
            "flow": place.flow,
            "at": place.screen,
            "lang": after.lang,
            "answers": place.answers,
            "trail": place.trail,
            "held": f"{held.flow}.{held.screen}" if held else "",
            "number": after.page + 1,
            "pages": max(1, len(after.pages)),
            "tries": after.tries,
            "hops": list(line.hops),
            "slow": self.carrier.slow,
        }

    def _conversation(self, phone: str) -> Conversation:
        return self.gateway.store.recall(phone, now_utc().date()).conversation


def phone_routes(gateway: Gateway, serve: Callable[[Inbound], Awaitable[Answer]]) -> list[BaseRoute]:
    """The routes, to be mounted at /phone in demo mode only."""
    carrier = gateway.carriers[Phone.name]
    assert isinstance(carrier, Phone)
    pages = Environment(loader=PackageLoader("gateway.phone"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    exchange = Exchange(gateway, serve, page_words(), carrier, pages)
    api: list[BaseRoute] = [
        Route("/dial", exchange.dial, methods=["POST"]),
        Route("/answer", exchange.reply, methods=["POST"]),
        Route("/hangup", exchange.hang_up, methods=["POST"]),
        Route("/sms", exchange.sms, methods=["POST"]),
        Route("/repeat", exchange.repeat, methods=["POST"]),
        Route("/slow", exchange.slow, methods=["POST"]),
        Route("/inbox", exchange.inbox),
        Route("/phones", exchange.phones),
        Route("/strip", exchange.strip),
    ]
    static = StaticFiles(directory=Path(__file__).with_name("static"))
    routes: list[BaseRoute] = [Route("/", exchange.page), Mount("/api", routes=api), Mount("/static", static)]
    return [Mount("", routes=routes, middleware=[Middleware(Guard)])]


def page_words() -> dict[str, dict[str, str]]:
    """The page's own words by language: words.toml turned over. (What the phone shows comes from `messages`.)"""
    table = tomllib.loads(resources.files("gateway.phone").joinpath("words.toml").read_text(encoding="utf-8"))
    return {lang: {key: both[lang] for key, both in table.items()} for lang in LANGS}


async def _body(request: Request, shape: type[T]) -> T:
    """The JSON a page sent, or 400 with the line that says what is wrong with it."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(400, "content-type: application/json is expected")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY:
            raise HTTPException(400, f"body: larger than {BODY} bytes")
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(400, str(error)) from None


def _phone(request: Request) -> str:
    try:
        return msgspec.convert(request.query_params.get("phone", ""), Number)
    except msgspec.ValidationError:
        raise HTTPException(400, "phone: a number such as +915550000001 is expected") from None


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
