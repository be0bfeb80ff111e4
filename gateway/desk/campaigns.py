"""Reminders and notices: looked at first, then started, paused, resumed, stopped."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import RedirectResponse, Response

from flows.casework import money
from flows.screens import Bad
from gateway.desk.ask import Ask
from gateway.desk.messages import CATEGORIES, KINDS, office, shown
from gateway.store.campaigns import Selection


def _selection(ask: Ask, asked: Mapping[str, str]) -> Selection | None:
    """Whom it is for, as the form says; None if it cannot be meant, or reaches beyond the person's own sections."""
    paise = money(asked.get("at_least", "").strip() or "0")
    kind = next((kind for kind in KINDS if kind == asked.get("kind")), None)
    section, category = asked.get("section", ""), asked.get("category", "")
    if kind is None or isinstance(paise, Bad) or category not in ("", *CATEGORIES):
        return None
    if (section and section not in ask.desk.cases.sections()) or not ask.staff.sees(section):
        return None
    return Selection(kind, section, category, int(paise))


def preview(ask: Ask) -> Response:
    """What it would do: people, parts, price, a sample in each language, and who is left out and why."""
    selection = _selection(ask, ask.query)
    if selection is None:
        return shown(ask, 422, why="selection")
    ask.desk.audit(ask.staff, "preview campaign", selection.kind)
    return ask.desk.page(
        ask,
        "campaign.html",
        selection=selection,
        seen=office(ask).preview(selection, ask.desk.clock()),
        sections=ask.desk.cases.sections(),
        at_least=ask.query.get("at_least", ""),
    )


def start(ask: Ask) -> Response:
    """Start what was looked at."""
    selection = _selection(ask, {field: ask.typed(field) for field in ("kind", "section", "category", "at_least")})
    if selection is None:
        return shown(ask, 422, why="selection")
    id_ = office(ask).start(selection, ask.staff.name, ask.desk.clock())
    ask.desk.audit(ask.staff, "start campaign", str(id_))
    return RedirectResponse("/desk/messages#h-campaigns", 303)


def act(ask: Ask) -> Response:
    """Pause, resume or stop a campaign of the person's own sections."""
    people, what = office(ask), ask.typed("act")
    known = next((one for one in people.all() if str(one.id) == ask.path["campaign"]), None)
    if known and ask.staff.sees(known.selection.section) and what in ("pause", "resume", "stop"):
        done = people.stop(known.id, ask.desk.clock()) if what == "stop" else getattr(people, what)(known.id)
        if done:
            ask.desk.audit(ask.staff, f"{what} campaign", str(known.id))
    return RedirectResponse("/desk/messages#h-campaigns", 303)
