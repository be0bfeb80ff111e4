"""The desk's door: logging in and out, and what every answer and every change behind it must keep.

A session is a row of the store that can be ended; the browser's cookie holds a random key whose hash is that row's. A change
must come from our own page (its origin, and the session's own token in the form). OWASP ASVS 5.0, chapters 3, 6 and 7.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import urlencode, urlsplit

import structlog
from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from flows.casework import FIELDS
from gateway.desk import LANGS, Desk, ask, keys
from gateway.desk.accounts import NAME
from gateway.desk.routes import shown_at
from gateway.guard import is_here
from gateway.headers import OVER_HTTPS, raw, with_headers
from gateway.staff import Staff
from gateway.store.staff import Account, Session, StaffBook

log = structlog.get_logger()

#: A session's last use is written down no oftener than this.
TOUCH = timedelta(minutes=1)
SAFE_METHODS = frozenset({"GET", "HEAD"})
#: Where somebody may go whose password was handed over, before it is changed, or who lacks the second factor wanted here.
BEFORE_CHANGE = frozenset({"/desk/account", "/desk/account/password", "/desk/account/factor", "/desk/logout", "/desk/language"})
#: What somebody may have typed at length, shown again if the session ended meanwhile; no password is among it.
TYPED = (*FIELDS, "note", "spelling", "phone", "answer")

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


def fingerprint(key: str) -> str:
    """What is kept of a cookie's key: who reads the store cannot use it."""
    return sha256(key.encode()).hexdigest()


class Door:
    """The ASGI application at /desk: the pages behind the door, and the way in."""

    def __init__(self, desk: Desk, pages: Sequence[BaseRoute]) -> None:
        self.desk = desk
        self.book = StaffBook(desk.gateway.store)
        self.cookie = desk.cookie("key")
        self._headers = raw({**HEADERS, **(OVER_HTTPS if desk.is_secure else {})})
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
        request, answer = Request(scope, receive), with_headers(send, self._headers)
        try:
            response = await self._turn_away(request)
        except HTTPException as why:
            response = self._sorry(request, why)
        if response is not None:
            await response(scope, receive, answer)
            return
        try:
            # what a page refuses is told by _sorry, not by the outer application in a line of English
            await self.inside({**scope, "starlette.exception_handlers": ({}, {})}, receive, answer)
        except HTTPException as why:
            await self._sorry(request, why)(scope, receive, answer)

    async def _turn_away(self, request: Request) -> Response | None:
        """The answer to who may not go on, or None; who may is put into the request's state."""
        if not self.desk.is_secure and not is_here(request.headers.get("host", "")):
            raise HTTPException(403, "away")  # the demo lets in at a click: it stays on this machine, whatever tunnel leads here
        if request.method not in SAFE_METHODS and not _is_from_our_page(request):
            raise HTTPException(403, "foreign")
        session = await asyncio.to_thread(self._session, request.cookies.get(self.cookie, ""))
        path = request.url.path
        if session is not None:
            request.state.staff, request.state.csrf, request.state.session = session.account.staff, session.csrf, session.token
            wanted = self.desk.gateway.settings.desk_second_factor and not session.account.totp
            if (session.account.must_change or wanted) and path not in BEFORE_CHANGE:
                return RedirectResponse("/desk/account", 303)
            return None
        if path in OPEN:
            return None
        url = path + (f"?{request.url.query}" if request.url.query else "")
        way_in = "/desk/login" + (f"?{urlencode({'back': url})}" if shown_at(url) == url != "/desk/" else "")
        if "hx-request" in request.headers:
            return Response(status_code=401, headers={"hx-redirect": way_in})
        if request.method in SAFE_METHODS:
            return RedirectResponse(way_in, 303)
        typed: list[str] = []
        if request.cookies.get(self.cookie):
            form = await request.form(max_files=0, max_fields=ask.FIELDS, max_part_size=ask.FIELD_BYTES)
            typed = [text for text in (str(form.get(field, "")).strip() for field in TYPED) if text]
        return await asyncio.to_thread(self._login_page, request, status=401, back=shown_at(path), typed=typed)

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
        return await asyncio.to_thread(self._login_page, request, back=request.query_params.get("back", ""))

    def _login_page(
        self, request: Request, why: str = "", status: int = 200, *, back: str = "", name: str = "", typed: Sequence[str] = ()
    ) -> Response:
        demo = self.book.accounts() if self.desk.gateway.settings.demo else []
        if not why and request.cookies.get(self.cookie) and not hasattr(request.state, "staff"):
            why = "ended"
        back = shown_at(back)
        here = f"/desk/login?{urlencode({'back': back})}&"
        values = {"why": why, "demo": [one for one in demo if one.active], "back": back, "here": here, "name_typed": name}
        return HTMLResponse(self.desk.render(self._lang(request), "login.html", typed=typed, **values), status)

    async def login(self, request: Request) -> Response:
        """Try to log in. Wrong name, wrong password and wrong code are answered alike."""
        form = await request.form(max_files=0, max_fields=8, max_part_size=ask.FIELD_BYTES)
        name, password, code, back = (str(form.get(field, "")) for field in ("name", "password", "code", "back"))
        name = name.strip().lower()
        known = name if NAME.fullmatch(name) else ""  # what cannot be a name is tried as nobody's
        return await asyncio.to_thread(self._login, request, known, password, code.replace(" ", "")[:8], back)

    def _login(self, request: Request, name: str, password: str, code: str, back: str) -> Response:
        desk, now = self.desk, self.desk.clock()
        address = request.client.host if request.client else "?"
        tried = tries(name, address)
        if self.book.too_many(tried, now - keys.TRIES_SPAN):
            log.warning("desk.login_held")
            return self._login_page(request, "too_many", 429, back=back, name=name)
        account = self.book.account(name)
        right = keys.is_right(password, account.password if account else "")
        step = keys.step_of(code, account.totp, now) if account and account.totp else 0
        with desk.gateway.store.write():
            if account is None or not right or not self._may_come(account, now) or (
                account.totp and not (step and self.book.spend_code(name, step))
            ):  # fmt: skip
                self.book.failed(tried, now)
                desk.audit.within(account.staff if account else NOBODY, "login refused", name if account else "")
                log.warning("desk.login_refused")
                account = None
            else:
                for key in tried:
                    if key.startswith("name "):
                        self.book.forgive(key)
                if keys.is_stale(account.password):
                    self.book.keep(replace(account, password=keys.hashed(password)), now)
        if account is None:
            return self._login_page(request, "wrong_login", 401, back=back, name=name)
        return self._let_in(request, account, back)

    def _may_come(self, account: Account, now: datetime) -> bool:
        """Whether the account is open, and its password not one that was handed over and left lying."""
        handed = account.must_change and now - self.book.changed(account.name) > keys.HANDED_FOR
        return account.active and not handed

    async def demo(self, request: Request) -> Response:
        """In the demo, which never leaves loopback, a click on a name lets in."""
        form = await request.form(max_files=0, max_fields=2, max_part_size=ask.FIELD_BYTES)
        account = await asyncio.to_thread(self.book.account, str(form.get("name", "")))
        if not self.desk.gateway.settings.demo or account is None or not account.active:
            raise HTTPException(404)
        return await asyncio.to_thread(self._let_in, request, account, str(form.get("back", "")))

    def _let_in(self, request: Request, account: Account, back: str) -> Response:
        """A new session, with a key nobody had before; the one this browser had ends. On to the page that was asked for."""
        desk, now, settings = self.desk, self.desk.clock(), self.desk.gateway.settings
        key = secrets.token_urlsafe(32)
        with desk.gateway.store.write():
            self.book.clear_out(now, timedelta(minutes=settings.desk_idle_minutes), timedelta(hours=settings.desk_session_hours))
            self.book.end(fingerprint(request.cookies.get(self.cookie, "")))
            self.book.begin(fingerprint(key), account.name, secrets.token_urlsafe(32), now)
            desk.audit.within(account.staff, "login", account.name)
        answer = RedirectResponse(shown_at(back), 303)
        answer.set_cookie(self.cookie, key, path="/", secure=self.desk.is_secure, httponly=True, samesite="strict")
        return answer

    async def logout(self, request: Request) -> Response:
        """The session ends, here and in the store."""
        form = await request.form(max_files=0, max_fields=4, max_part_size=1024)
        if secrets.compare_digest(str(form.get("csrf", "")).encode(), getattr(request.state, "csrf", "-").encode()):
            await asyncio.to_thread(self._end, request.state.session, request.state.staff)
        answer = RedirectResponse("/desk/login", 303)
        answer.delete_cookie(self.cookie, path="/", secure=self.desk.is_secure, httponly=True, samesite="strict")
        answer.headers["clear-site-data"] = '"cache", "storage"'
        return answer

    def _end(self, token: str, staff: Staff) -> None:
        with self.desk.gateway.store.write():
            self.book.end(token)
            self.desk.audit.within(staff, "logout", staff.name)

    def _lang(self, request: Request) -> str:
        """Chosen at this browser, else the person's own, else what the browser prefers."""
        staff: Staff | None = getattr(request.state, "staff", None)
        chosen = (request.query_params.get("lang"), request.cookies.get(self.desk.cookie("lang")), staff and staff.lang)
        if asked := next((lang for lang in chosen if lang in LANGS), None):
            return asked
        return "en" if request.headers.get("accept-language", "").lower().startswith("en") else "hi"

    def _sorry(self, request: Request, why: HTTPException) -> Response:
        """A refusal as a page in the person's language."""
        named = ("foreign", "stale", "away")
        key = why.detail if why.detail in named else {403: "role", 404: "gone"}.get(why.status_code, "request")
        here = "?" if request.method in SAFE_METHODS else ""  # no page of its own shows what became of a form
        html = self.desk.render(self._lang(request), "refused.html", why=key, here=here, back=shown_at(request.url.path))
        return HTMLResponse(html, why.status_code, why.headers)


#: Stands in the audit for who did not get in.
NOBODY = Staff("?", "reader")
#: What is open to who is not in.
OPEN = frozenset({"/desk/login", "/desk/login/demo"})


def tries(name: str, address: str) -> dict[str, int]:
    """The keys under which a failed try is counted, and how many there may be."""
    return {
        f"name {name} from {address}": keys.TRIES_HERE,
        f"address {address}": keys.TRIES_ADDRESS,
        f"name {name}": keys.TRIES_NAME,
    }


def _is_from_our_page(request: Request) -> bool:
    """Whether a change comes from a page of ours, as far as the browser says (ASVS 3.5.1); the form's token is checked too."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
