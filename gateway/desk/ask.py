"""A row of the desk's table of pages, and one request as a page sees it: who asks, for what, with what typed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from itertools import chain
from typing import TYPE_CHECKING, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.staff import ROLES, Role, Staff

if TYPE_CHECKING:
    from gateway.desk import Desk

#: The largest form taken, in fields and in bytes a field.
FIELDS, FIELD_BYTES = 60, 8192
NUL = "\0"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as a page sees it: who asks, in which language, with what in the path, the address and the form.

    `csrf` goes into every form as a hidden field; `session` is the one it belongs to. `part` says that htmx asks for a piece
    of the page only.
    """

    desk: Desk
    staff: Staff
    lang: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, tuple[str, ...]]
    url: str
    csrf: str = ""
    session: str = ""
    part: bool = False

    def typed(self, field: str) -> str:
        """What stands in a field of the form, empty if nothing."""
        return self.form.get(field, ("",))[0].strip()


@dataclass(frozen=True, slots=True)
class Page:
    """A row of the table. Pages are plain functions, run beside the event loop; `roles` are all who may."""

    path: str
    method: Literal["GET", "POST"]
    endpoint: Callable[[Ask], Response]
    roles: frozenset[Role]


def may(*roles: Role) -> frozenset[Role]:
    """Those roles, and no other."""
    return frozenset(roles)


EVERYONE = may(*ROLES)


def guarded(page: Page, desk: Desk) -> Callable[[Request], Awaitable[Response]]:
    """Nobody without a name, nobody whose role is not in the row."""

    async def serve(request: Request) -> Response:
        staff: Staff | None = getattr(request.state, "staff", None)
        if staff is None:
            raise HTTPException(401, "log in first")
        if staff.role not in page.roles:
            await asyncio.to_thread(desk.audit, staff, "refused page", f"{page.method} {page.path}")
            raise HTTPException(403, "your role does not open this page")
        form: dict[str, tuple[str, ...]] = {}
        if page.method == "POST":
            sent = await request.form(max_files=0, max_fields=FIELDS, max_part_size=FIELD_BYTES)
            form = {field: tuple(str(value) for value in sent.getlist(field)) for field in sent}
            token = form.get("csrf", ("",))[0]
            if not compare_digest(token.encode(), request.state.csrf.encode()):
                await asyncio.to_thread(desk.audit, staff, "refused form", f"{page.method} {page.path}")
                raise HTTPException(403, "stale" if token else "foreign")
        path = {key: str(value) for key, value in request.path_params.items()}
        if any(NUL in said for said in (*path.values(), *request.query_params.values(), *chain(*form.values()))):
            raise HTTPException(400)  # nobody types it, and PostgreSQL keeps no text with it
        ask = Ask(
            desk=desk,
            staff=staff,
            lang=next((lang for lang in (request.cookies.get(desk.cookie("lang"), ""), staff.lang) if lang in desk.words), "hi"),
            path=path,
            query=dict(request.query_params),
            form=form,
            url=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            csrf=request.state.csrf,
            session=request.state.session,
            part="hx-request" in request.headers,
        )
        return await asyncio.to_thread(page.endpoint, ask)

    return serve
