"""Hindi or English, for who sits at this browser."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from gateway.desk.ask import Ask

#: How long the choice is kept.
YEAR = 365 * 24 * 3600


def choose(ask: Ask) -> Response:
    """Keep the choice and go back to the page."""
    back = ask.typed("back")
    answer = RedirectResponse(back if back.startswith("/desk/") and "//" not in back else "/desk/", 303)
    if ask.typed("lang") in ask.desk.words:
        secure, name = ask.desk.is_secure, ask.desk.cookie("lang")
        answer.set_cookie(name, ask.typed("lang"), max_age=YEAR, path="/", secure=secure, httponly=True, samesite="lax")
    return answer
