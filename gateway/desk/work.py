"""Today, the list, and a request's own page with its story, its next steps, a note and a message."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from flows.casework import CASES, FIELDS, Step
from flows.flow import is_open
from gateway.casework import BY_HAND, Refused
from gateway.desk.ask import Ask
from gateway.staff import Staff
from gateway.store.cases import PAGE, Counts, Wanted

#: How long a request nobody has touched counts as new.
NEW = timedelta(days=7)
#: Sections named on the today page.
SECTIONS = 30
#: What may stand between the digits of a number, and all but its last digits.
BETWEEN_DIGITS, ALL_BUT_LAST = re.compile(r"(?<=\d)[\W_]+(?=\d)"), re.compile(r"\d+(?=\d{4})")
#: What a list can show, in the order of its filter.
SHOWS = ("", "late", "today", "waiting", "closed", "all")


def sections_of(staff: Staff) -> Sequence[str] | None:
    """The sections somebody sees, None for all."""
    return None if staff.sees_all else staff.sections


def today(ask: Ask) -> Response:
    """What is late, due today, new and waiting for the person, with counts by service and section."""
    desk, own = ask.desk, sections_of(ask.staff)
    now, midnight, cases = desk.clock(), desk.midnight(), desk.cases
    counts = cases.counts(own, now, midnight)
    return desk.page(
        ask,
        "today.html",
        counts=_by_service(counts),
        places=_by_section(counts),
        total=_sum(counts),
        sections=cases.sections(),
        lists=(
            ("late", cases.late(own, now)),
            ("today", cases.due_before(own, now, midnight)),
            ("new", cases.newest(own, now - NEW)),
            ("waiting", cases.waiting(own)),
        ),
    )


def _sum(counts: Sequence[Counts]) -> Counts:
    columns = ([getattr(one, column) for one in counts] for column in ("open", "late", "today", "waiting"))
    return Counts("", "", *map(sum, columns))


def _summed(counts: Sequence[Counts], by: Callable[[Counts], str]) -> dict[str, Counts]:
    groups: dict[str, list[Counts]] = {}
    for one in counts:
        groups.setdefault(by(one), []).append(one)
    return {key: _sum(own) for key, own in groups.items()}


def _by_service(counts: Sequence[Counts]) -> list[tuple[str, Counts]]:
    """In the order of the main menu."""
    summed = _summed(counts, lambda one: one.service)
    return [(service, summed[service]) for service in CASES if service in summed]


def _by_section(counts: Sequence[Counts]) -> list[tuple[str, Counts]]:
    """The sections with most to do: most late, then most open. A whole company has hundreds."""
    summed = _summed(counts, lambda one: one.section)
    return sorted(summed.items(), key=lambda pair: (-pair[1].late, -pair[1].open, pair[0]))[:SECTIONS]


def wanted(query: Mapping[str, str]) -> Wanted:
    """The filters as the address has them; what it cannot mean is left out."""
    page = query.get("page", "1")
    return Wanted(
        service=query.get("service", "") if query.get("service", "") in CASES else "",
        state=query.get("state", "")[:30],
        section=query.get("section", "")[:40],
        show=query.get("show", "") if query.get("show", "") in SHOWS else "",
        words=query.get("q", "").strip()[:80],
        page=int(page) if page.isascii() and page.isdigit() and len(page) < 5 else 1,
    )


def without_numbers(words: str) -> str:
    """What was searched as the audit may keep it, which cannot forget: of a number no more than its last digits."""
    return ALL_BUT_LAST.sub("*", BETWEEN_DIGITS.sub("", words))


def requests(ask: Ask) -> Response:
    """The list, by the filters and the search in its address; htmx asks for the rows alone."""
    desk, want = ask.desk, wanted(ask.query)
    rows = desk.cases.listed(want, sections_of(ask.staff), desk.clock(), desk.midnight())
    if want.words and not ask.part:  # what follows each key is no search yet
        desk.audit(ask.staff, "search", without_numbers(want.words))
    if len(rows) == 1 and rows[0].ticket == want.words and not ask.part:
        return RedirectResponse(f"/desk/requests/{rows[0].ticket}", 303)
    filters = {"service": want.service, "state": want.state, "section": want.section, "show": want.show, "q": want.words}
    kept = {key: value for key, value in filters.items() if value}
    sections = desk.cases.sections()
    return desk.page(
        ask,
        "rows.html" if ask.part else "requests.html",
        rows=rows[:PAGE],
        want=want,
        services=tuple(CASES),
        states=sorted({state for case in CASES.values() for state in case.states()}),
        sections={code: place for code, place in sections.items() if ask.staff.sees(code)},
        shows=SHOWS,
        before=f"?{urlencode({**kept, 'page': want.page - 1})}" if want.page > 1 else "",
        after=f"?{urlencode({**kept, 'page': want.page + 1})}" if len(rows) > PAGE else "",
    )


# --- one request --------------------------------------------------------------------------------------------------------


def request(ask: Ask) -> Response:
    """A request's whole story, and what can be done next."""
    try:
        ask.desk.casework.find(ask.staff, ask.path["ticket"])
    except Refused as refused:
        return _gone(ask, refused)
    ask.desk.audit(ask.staff, "read request", ask.path["ticket"])
    return _request(ask)


def _gone(ask: Ask, refused: Refused) -> Response:
    """Not there, or not this person's: both look the same, and the audit knows who asked."""
    ask.desk.audit(ask.staff, "refused request", ask.path["ticket"][:40])
    return ask.desk.page(ask, "sorry.html", 404, why=refused.why)


def _request(
    ask: Ask, *, status: int = 200, trouble: Refused | None = None, at: str = "", typed: Mapping[str, str] | None = None
) -> Response:
    desk, ticket = ask.desk, ask.path["ticket"]
    row, found = desk.casework.find(ask.staff, ticket)
    work = desk.casework.work(ask.staff, found)
    case = CASES[found.service]
    return desk.page(
        ask,
        "request.html",
        status,
        row=row,
        request=found,
        consumer=work.consumer,
        path=case.path,
        ends=case.finished() - {case.path[-1]},
        steps=[
            _offer(ask, step, why, work.fields(step), found.details, typed if at == step.name else None)
            for step, why in work.steps()
        ],
        details={key: value for key, value in found.details.items() if value},
        is_field=FIELDS.__contains__,
        story=desk.cases.story(ticket),
        phones=desk.cases.phones(ticket),
        is_reached=desk.casework.is_reached(ticket),
        conversation=desk.cases.conversation(ticket),
        messages=desk.cases.messages(ticket),
        seen=desk.cases.seen_by(ticket),
        sections=desk.cases.sections(),
        by_hand=BY_HAND,
        templates={key: _as_sent(ask, key, ticket) for key in BY_HAND},
        trouble=trouble,
        at=at,
        papers=case.papers.get(found.details.get("reason", ""), case.papers.get("", ())),
        may_write=ask.staff.role in ("centre", "section", "supervisor"),
        is_open=is_open(found),
        done=ask.query.get("done", ""),
    )


def _as_sent(ask: Ask, key: str, ticket: str) -> str:
    catalogue = ask.desk.catalogue(ask.lang)
    return catalogue.render(catalogue.text("sms", key), {"ticket": ticket})


def _offer(
    ask: Ask, step: Step, why: Sequence[str], fields: Sequence[str], details: Mapping[str, str], typed: Mapping[str, str] | None
) -> dict[str, Any]:
    """A step as a form: what is known already stands in its fields."""
    shown = {}
    for name in fields:
        value = details.get(name, "") if name != "reason" else ""
        if name == "no_dues" and not value:
            value = f"ND{ask.path['ticket']}"
        if value.isdigit() and FIELDS[name].__name__ == "money":
            value = f"{int(value) // 100}" + (f".{int(value) % 100:02d}" if int(value) % 100 else "")
        shown[name] = typed.get(name, "") if typed is not None else value
    return {"step": step, "why": why, "fields": shown}


def step(ask: Ask) -> Response:
    """Take a step."""
    papers = CASES[found.service].papers if (found := ask.desk.cases.request(ask.path["ticket"])) else {}
    typed = {name: ask.typed(name) for name in ask.form if name != "csrf"}
    if found and papers:
        wanted_papers = papers.get(found.details.get("reason", ""), papers.get("", ()))
        typed["papers"] = "all" if set(wanted_papers) <= set(ask.form.get("papers", ())) else ""
    name = ask.path["step"]
    return _do(ask, lambda: ask.desk.casework.take(ask.staff, ask.path["ticket"], name, ask.typed("state"), typed), name, typed)


def note(ask: Ask) -> Response:
    """Add a note."""
    return _do(
        ask, lambda: ask.desk.casework.note(ask.staff, ask.path["ticket"], ask.typed("note")), "note", {"note": ask.typed("note")}
    )


def say(ask: Ask) -> Response:
    """Send a message from the templates."""
    return _do(ask, lambda: ask.desk.casework.say(ask.staff, ask.path["ticket"], ask.typed("template")), "say", {})


def _do(ask: Ask, act: Any, at: str, typed: Mapping[str, str]) -> Response:
    """Do it and show the request again; what was refused is said where it was asked."""
    try:
        act()
    except Refused as refused:
        return _gone(ask, refused) if refused.why == "gone" else _request(ask, status=422, trouble=refused, at=at, typed=typed)
    ask.desk.wake()
    return RedirectResponse(f"/desk/requests/{ask.path['ticket']}?done={at}", 303)
