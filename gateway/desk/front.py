"""The company's public page at `/`, in Hindi and English: what can be done by phone, with posters for the office wall."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.desk import LANGS, STATIC, Desk

#: What can be done: its option at home, the word to text in Hindi and in English.
SERVICES = (
    ("new_connection", "1", "NAYA", "NEW"), ("name_transfer", "2", "NAAM", "NAME"), ("meter", "3", "METER", "METER"),
    ("disconnection", "4", "KATWANA", "CUT"), ("transformer", "5", "TRANS", "TRANS"), ("bill", "6", "BIL", "BILL"),
    ("track", "7", "STHITI", "STATUS"), ("link", "", "JODO", "LINK"),
)  # fmt: skip
#: The public pages run no script at all.
SAFE = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}


class Files(StaticFiles):
    """Our own files; a drawing too says how its characters are written (OWASP ASVS 5.0, 4.1.1)."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """One file."""
        answer = super().file_response(*args, **kwargs)
        if answer.headers.get("content-type") == "image/svg+xml":
            answer.headers["content-type"] = "image/svg+xml; charset=utf-8"
        return answer


def front_routes(desk: Desk) -> list[BaseRoute]:
    """`/`, `/posters`, and the files they load, before any door."""

    def page(template: str) -> Route:
        def serve(request: Request) -> Response:
            asked = request.query_params.get("lang", "")
            preferred = "en" if request.headers.get("accept-language", "").lower().startswith("en") else "hi"
            html = desk.render(
                asked if asked in LANGS else preferred,
                template,
                services=SERVICES,
                house=desk.gateway.settings,
                both=desk.words,
                demo=desk.gateway.settings.demo,
            )
            return HTMLResponse(html, headers=SAFE)

        return Route("/" if template == "front.html" else "/posters", serve)

    return [page("front.html"), page("posters.html"), Mount("/desk/static", Files(directory=STATIC))]
