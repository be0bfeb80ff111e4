"""A session engine in Python as its usual kind is: a dictionary of sessions, a class a screen, `await request.form()`.
Nothing outlives the process.

    uvicorn tests.bench.peers.in_memory:app
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


class Screen:
    """A question, and where its answer leads."""

    def __init__(self, text: str, options: dict[str, str] | None = None, then: str = "") -> None:
        self.text, self.options, self.then = text, options or {}, then

    def show(self) -> str:
        lines = [self.text, *(f"{key} {label}" for key, label in self.options.items())]
        return ("CON " if self.then else "END ") + "\n".join(lines)


SCREENS = {
    "home": Screen("Bijli Seva", {str(n): s for n, s in enumerate(("Naya connection", "Naam transfer", "Meter", "Katwana", "Trans"), 1)},
                   "account"),
    "account": Screen("Kaun sa connection?", {"1": "Ghar", "2": "Dukan"}, "kind"),
    "kind": Screen("Kya kharabi hai?", {"1": "Band hai", "2": "Jal gaya", "3": "Display nahi"}, "reading"),
    "reading": Screen("Reading likhiye", then="done"),
    "done": Screen("Aapki shikayat darj ho gayi."),
}  # fmt: skip
sessions: dict[str, dict[str, str]] = {}


async def ussd(request: Request) -> PlainTextResponse:
    form = await request.form()
    id_, text = str(form["sessionId"]), str(form["text"])
    session = sessions.get(id_)
    if session is None or not text:
        session = sessions[id_] = {"phone": str(form["phoneNumber"]), "screen": "home"}
    else:
        session[session["screen"]] = text.rsplit("*", 1)[-1]
        session["screen"] = SCREENS[session["screen"]].then or "done"
    page = SCREENS[session["screen"]].show()
    if page.startswith("END"):
        del sessions[id_]
    return PlainTextResponse(page)


app = Starlette(routes=[Route("/ussd", ussd, methods=["POST"])])
