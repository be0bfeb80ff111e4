"""Every page of the desk in one table: path, method, what serves it, and who may. What is not in it is not there."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route, compile_path

from gateway.desk import Desk, accounts, campaigns, centre, exports, figures, language, messages, misheard, work
from gateway.desk.ask import EVERYONE, Page, guarded, may
from gateway.staff import Staff

#: Who works requests off, who serves the counter, who teaches spellings, who answers for what is sent, who may take lists away.
WORKERS = may("centre", "section", "supervisor")
COUNTER = may("centre", "supervisor")
EARS = may("centre", "supervisor", "sms_officer")
SENDERS = may("sms_officer", "supervisor")
ADMINISTRATORS = may("administrator")
TAKERS = may("supervisor", "administrator")

ROUTES: tuple[Page, ...] = (
    Page("/", "GET", work.today, EVERYONE),
    Page("/requests", "GET", work.requests, EVERYONE),
    Page("/requests/{ticket}", "GET", work.request, EVERYONE),
    Page("/requests/{ticket}/steps/{step}", "POST", work.step, WORKERS),
    Page("/requests/{ticket}/note", "POST", work.note, WORKERS),
    Page("/requests/{ticket}/message", "POST", work.say, WORKERS),
    Page("/requests/{ticket}/token", "GET", centre.token, WORKERS),
    Page("/centre", "GET", centre.start, COUNTER),
    Page("/centre", "POST", centre.begin, COUNTER),
    Page("/centre/{talk}", "POST", centre.answer, COUNTER),
    Page("/centre/{talk}/{number}", "GET", centre.screen, COUNTER),
    Page("/centre/{talk}/{ticket}/token", "GET", centre.token, COUNTER),
    Page("/misheard", "GET", misheard.misheard, EARS),
    Page("/misheard", "POST", misheard.add, EARS),
    Page("/misheard/leave", "POST", misheard.leave, EARS),
    Page("/misheard/remove", "POST", misheard.remove, EARS),
    Page("/messages", "GET", messages.messages, SENDERS),
    Page("/messages/mended", "POST", messages.mended, SENDERS),
    Page("/messages/again", "POST", messages.again, SENDERS),
    Page("/messages/preview", "GET", campaigns.preview, SENDERS),
    Page("/messages/campaigns", "POST", campaigns.start, SENDERS),
    Page("/messages/campaigns/{campaign}", "POST", campaigns.act, SENDERS),
    Page("/figures", "GET", figures.figures, EVERYONE),
    Page("/exports", "GET", exports.exports, TAKERS),
    Page("/exports", "POST", exports.take, TAKERS),
    Page("/account", "GET", accounts.own, EVERYONE),
    Page("/account/password", "POST", accounts.password, EVERYONE),
    Page("/account/factor", "POST", accounts.second_factor, EVERYONE),
    Page("/account/elsewhere", "POST", accounts.elsewhere, EVERYONE),
    Page("/accounts", "GET", accounts.accounts, ADMINISTRATORS),
    Page("/accounts", "POST", accounts.add, ADMINISTRATORS),
    Page("/accounts/{name}", "POST", accounts.change, ADMINISTRATORS),
    Page("/language", "POST", language.choose, EVERYONE),
)


_OPENS = [compile_path(f"/desk{page.path}")[0] for page in ROUTES if page.method == "GET"]


def shown_at(url: str) -> str:
    """The page behind an address: itself, or for where a form goes the nearest above that opens by itself. Never elsewhere."""
    path = url.partition("?")[0]
    while path and not any(opens.match(path) for opens in _OPENS):
        url = path = path.rpartition("/")[0]
    return url if path else "/desk/"


def desk_routes(desk: Desk) -> list[BaseRoute]:
    """The table as routes, to be mounted at /desk behind its door (the files they load stand before it: front.py)."""
    desk.pages.globals.update(may_open=may_open, shown_at=shown_at)
    pages: list[BaseRoute] = [Route(page.path, guarded(page, desk), methods=[page.method]) for page in ROUTES]
    return pages


def may_open(staff: Staff, path: str) -> bool:
    """Whether somebody's role opens a page of the desk, such as /desk/figures."""
    own = path.removeprefix("/desk") or "/"
    return any(page.method == "GET" and page.path == own and staff.role in page.roles for page in ROUTES)
