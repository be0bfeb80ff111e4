"""The desk's door: logging in and out, and what every answer and every change behind it must keep.

A session is a row of the store that can be ended; the browser's cookie holds a random key whose hash is that row's. A change
must come from our own page (its origin, and the session's own token in the form). OWASP ASVS 5.0, chapters 3, 6 and 7.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from urllib.parse import urlsplit

import structlog
from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Message, Receive, Scope, Send

from gateway.desk import Desk, keys
from gateway.desk.ask import COOKIE as LANG_COOKIE
from gateway.desk.staff import Staff
from gateway.guard import is_here
from gateway.store.staff import Account, Session, StaffBook

log = structlog.get_logger()

#: Failed tries under one name, or from one address, and the span in which they count (ASVS 6.3.1).
TRIES_NAME, TRIES_ADDRESS, TRIES_SPAN = 5, 30, timedelta(minutes=15)
#: A session's last use is written down no oftener than this.
TOUCH = timedelta(minutes=1)
SAFE_METHODS = frozenset({"GET", "HEAD"})
#: Where somebody whose password was handed over may go before it is changed.
BEFORE_CHANGE = frozenset({"/desk/account", "/desk/account/password", "/desk/logout", "/desk/language"})

#: On every answer behind the door (ASVS 3.4): own files only, no script or style in the page, in nobody's frame, kept nowhere.
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
STRICT_TRANSPORT = "max-age=31536000; includeSubDomains"


def fingerprint(key: str) -> str:
    """What is kept of a cookie's key: who reads the store cannot use it."""
    return sha256(key.encode()).hexdigest()


class Door:
    """The ASGI application at /desk: the pages behind the door, and the way in."""

    def __init__(self, desk: Desk, pages: Sequence[BaseRoute]) -> None:
        self.desk = desk
        self.book = StaffBook(desk.gateway.store)
        self.inside = Router(
            routes=[
                Route("/login", self.login_page),
                Route("/login", self.login, methods=["POST"]),
                Route("/login/demo", self.demo, methods=["POST"]),
                Route("/logout", self.logout, methods=["POST"]),
                *pages,
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in who is known, and see the headers onto every answer."""
        request = Request(scope, receive)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = {**HEADERS, **({"strict-transport-security": STRICT_TRANSPORT} if self.is_secure else {})}
                own = {key for key, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((k.encode(), v.encode()) for k, v in named.items() if k.encode() not in own),
                ]
            await send(message)

        try:
            response = await self._turn_away(request)
        except HTTPException as why:
            response = self._sorry(request, why)
        if response is not None:
            await response(scope, receive, answer)
            return
        try:
            await self.inside(scope, receive, answer)
        except HTTPException as why:
            await self._sorry(request, why)(scope, receive, answer)

    @property
    def _headers(self) -> dict[str, str]:
        return {**HEADERS, **({"strict-transport-security": STRICT_TRANSPORT} if self.is_secure else {})}

    @property
    def is_secure(self) -> bool:
        """Whether browsers come over HTTPS: always, but for a demo on loopback."""
        return not self.desk.gateway.settings.demo

    @property
    def cookie(self) -> str:
        """The cookie's name; the prefix makes browsers hold it to HTTPS, this host and the whole of it."""
        return "__Host-desk" if self.is_secure else "desk"

    async def _turn_away(self, request: Request) -> Response | None:
        """The answer to who may not go on, or None; who may is put into the request's state."""
        if not self.is_secure and not is_here(request.headers.get("host", "")):
            raise HTTPException(403, "away")  # the demo lets in at a click: it stays on this machine, whatever tunnel leads here
        if request.method not in SAFE_METHODS and not _is_from_our_page(request):
            raise HTTPException(403, "foreign")
        session = await asyncio.to_thread(self._session, request.cookies.get(self.cookie, ""))
        path = request.url.path
        if session is not None:
            request.state.staff, request.state.csrf, request.state.session = session.account.staff, session.csrf, session.token
            if session.account.must_change and path not in BEFORE_CHANGE:
                return RedirectResponse("/desk/account", 303)
            return None
        if path in OPEN:
            return None
        if request.method in SAFE_METHODS and "hx-request" not in request.headers:
            return RedirectResponse("/desk/login", 303)
        return Response(status_code=401, headers={"hx-redirect": "/desk/login"})

    def _session(self, key: str) -> Session | None:
        """Whose key this is, if the session is neither idle nor old (ASVS 7.3)."""
        if not key:
            return None
        session, now = self.book.session(fingerprint(key)), self.desk.clock()
        if session is None:
            return None
        settings = self.desk.gateway.settings
        if now - session.seen > timedelta(minutes=settings.desk_idle_minutes) or now - session.began > timedelta(
            hours=settings.desk_session_hours
        ):
            with self.desk.gateway.store.write():
                self.book.end(session.token)
            return None
        if now - session.seen > TOUCH:
            with self.desk.gateway.store.write():
                self.book.touch(session.token, now)
        return session

    # --- the way in -------------------------------------------------------------------------------------------------

    async def login_page(self, request: Request) -> Response:
        """Name, password and, for who has one, the code."""
        return await asyncio.to_thread(self._login_page, request)

    def _login_page(self, request: Request, why: str = "", status: int = 200) -> Response:
        demo = self.book.accounts() if self.desk.gateway.settings.demo else []
        values = {"why": why, "demo": [one for one in demo if one.active], "ask": None}
        return HTMLResponse(self.desk.render(_lang(request), "login.html", **values), status)

    async def login(self, request: Request) -> Response:
        """Try to log in. Wrong name, wrong password and wrong code are answered alike."""
        form = await request.form(max_files=0, max_fields=8, max_part_size=1024)
        name, password, code = (str(form.get(field, "")) for field in ("name", "password", "code"))
        return await asyncio.to_thread(self._login, request, name.strip().lower()[:40], password, code.replace(" ", "")[:8])

    def _login(self, request: Request, name: str, password: str, code: str) -> Response:
        desk, now = self.desk, self.desk.clock()
        address = request.client.host if request.client else "?"
        tried = [f"name {name}", f"address {address}"]
        since = now - TRIES_SPAN
        if self.book.tries(tried[:1], since) >= TRIES_NAME or self.book.tries(tried[1:], since) >= TRIES_ADDRESS:
            return self._login_page(request, "too_many", 429)
        account = self.book.account(name)
        right = keys.is_right(password, account.password if account else "")
        step = keys.step_of(code, account.totp, now) if account and account.totp else 0
        with desk.gateway.store.write():
            if account is None or not right or not account.active or (
                account.totp and not (step and self.book.spend_code(name, step))
            ):  # fmt: skip
                self.book.failed(tried, now)
                desk.audit.within(account.staff if account else NOBODY, "login refused", name if account else "")
                log.warning("desk.login_refused")
                account = None
            else:
                self.book.forgive(tried[0])
                if keys.is_stale(account.password):
                    self.book.keep(replace(account, password=keys.hashed(password)), now)
        return self._login_page(request, "wrong_login", 401) if account is None else self._let_in(account)

    async def demo(self, request: Request) -> Response:
        """In the demo, which never leaves loopback, a click on a name lets in."""
        form = await request.form(max_files=0, max_fields=2, max_part_size=64)
        account = await asyncio.to_thread(self.book.account, str(form.get("name", "")))
        if not self.desk.gateway.settings.demo or account is None or not account.active:
            raise HTTPException(404)
        return await asyncio.to_thread(self._let_in, account)

    def _let_in(self, account: Account) -> Response:
        """A new session, with a key nobody had before."""
        desk, now, settings = self.desk, self.desk.clock(), self.desk.gateway.settings
        key = secrets.token_urlsafe(32)
        with desk.gateway.store.write():
            self.book.clear_out(now, timedelta(minutes=settings.desk_idle_minutes), timedelta(hours=settings.desk_session_hours))
            self.book.begin(fingerprint(key), account.name, secrets.token_urlsafe(32), now)
            desk.audit.within(account.staff, "login", account.name)
        answer = RedirectResponse("/desk/", 303)
        answer.set_cookie(self.cookie, key, path="/", secure=self.is_secure, httponly=True, samesite="strict")
        return answer

    async def logout(self, request: Request) -> Response:
        """The session ends, here and in the store."""
        form = await request.form(max_files=0, max_fields=4, max_part_size=1024)
        if secrets.compare_digest(str(form.get("csrf", "")), getattr(request.state, "csrf", "-")):
            await asyncio.to_thread(self._end, request.state.session, request.state.staff)
        answer = RedirectResponse("/desk/login", 303)
        answer.delete_cookie(self.cookie, path="/", secure=self.is_secure, httponly=True, samesite="strict")
        return answer

    def _end(self, token: str, staff: Staff) -> None:
        with self.desk.gateway.store.write():
            self.book.end(token)
            self.desk.audit.within(staff, "logout", staff.name)

    def _sorry(self, request: Request, why: HTTPException) -> Response:
        """A refusal as a page in the person's language."""
        key = why.detail if why.detail in ("foreign", "away") else {403: "role", 404: "gone"}.get(why.status_code, "request")
        html = self.desk.render(_lang(request), "refused.html", why=key)
        return HTMLResponse(html, why.status_code, why.headers)


#: Stands in the audit for who did not get in.
NOBODY = Staff("?", "reader")
#: What is open to who is not in.
OPEN = frozenset({"/desk/login", "/desk/login/demo"})


def _is_from_our_page(request: Request) -> bool:
    """Whether a change comes from a page of ours, as far as the browser says (ASVS 3.5.1); the form's token is checked too."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _lang(request: Request) -> str:
    """Chosen at this browser, else what the browser prefers."""
    asked = request.query_params.get("lang") or request.cookies.get(LANG_COOKIE, "")
    if asked in ("hi", "en"):
        return asked
    return "en" if request.headers.get("accept-language", "").lower().startswith("en") else "hi"
