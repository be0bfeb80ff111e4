"""Every page of the desk in one table: path, method, what serves it, and who may. What is not in it is not there."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.desk import STATIC, Desk, work
from gateway.desk.ask import EVERYONE, Page, guarded, may
from gateway.desk.staff import Staff

#: Who works requests off, and who answers for what is sent.
WORKERS = may("centre", "section", "supervisor")

ROUTES: tuple[Page, ...] = (
    Page("/", "GET", work.today, EVERYONE),
    Page("/requests", "GET", work.requests, EVERYONE),
    Page("/requests/{ticket}", "GET", work.request, EVERYONE),
    Page("/requests/{ticket}/steps/{step}", "POST", work.step, WORKERS),
    Page("/requests/{ticket}/note", "POST", work.note, WORKERS),
    Page("/requests/{ticket}/message", "POST", work.say, WORKERS),
)


def desk_routes(desk: Desk) -> list[BaseRoute]:
    """The table as routes, to be mounted at /desk behind its door, and the files that the pages load."""
    desk.pages.globals["may_open"] = may_open
    pages: list[BaseRoute] = [Route(page.path, guarded(page, desk), methods=[page.method]) for page in ROUTES]
    return [*pages, Mount("/static", StaticFiles(directory=STATIC))]


def may_open(staff: Staff, path: str) -> bool:
    """Whether somebody's role opens a page of the desk, such as /desk/figures."""
    own = path.removeprefix("/desk") or "/"
    return any(page.method == "GET" and page.path == own and staff.role in page.roles for page in ROUTES)
