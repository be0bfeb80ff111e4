"""Hindi or English, for who sits at this browser."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from gateway.desk.ask import COOKIE, Ask

#: How long the choice is kept.
YEAR = 365 * 24 * 3600


def choose(ask: Ask) -> Response:
    """Keep the choice and go back to the page."""
    back = ask.typed("back")
    answer = RedirectResponse(back if back.startswith("/desk/") and "//" not in back else "/desk/", 303)
    if ask.typed("lang") in ask.desk.words:
        answer.set_cookie(COOKIE, ask.typed("lang"), max_age=YEAR, path="/desk", samesite="lax", httponly=True)
    return answer
