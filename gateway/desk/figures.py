"""Figures people would rather look at: what came in, whether it was done in time, where people give up, who is linked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from flows import FLOWS, SERVICES
from flows.casework import CASES
from flows.records import Name
from flows.screens import Screen
from gateway.desk.ask import Ask
from gateway.desk.charts import SPEAKS, bars, flow_diagram, stacked
from gateway.store.figures import AHEAD, MONDAY, TAKEN, WEEK, Figures, Left, Sent

#: The spans that can be looked at, in days; the first is the usual one.
SPANS = (28, 7, 90)
#: Words of a screen that fit into its box.
BOX = 24
#: Weeks of linking that are shown, over how many of them its pace is taken, and sections that have a colour of their own.
WEEKS, PACE, COLOURED = 8, 4, 7


def figures(ask: Ask) -> Response:
    """All of them on one page, which prints."""
    desk, w = ask.desk, ask.desk.words[ask.lang]
    span = next((days for days in SPANS if str(days) == ask.query.get("days")), SPANS[0])
    now, read = desk.clock(), Figures(desk.gateway.store)
    since = now - timedelta(days=span)
    counts = {one.screen: one for one in read.left(since)}
    flow = next((flow for flow in SERVICES if flow.name == ask.query.get("flow")), SERVICES[0])
    sections = desk.cases.sections()
    linked, weeks = read.linked(now - timedelta(weeks=WEEKS))
    linked = {code: value for code, value in linked.items() if ask.staff.sees(code)}
    filed, finished = read.filed(since), read.finished(since)
    return desk.page(
        ask,
        "figures.html",
        span=span,
        spans=SPANS,
        filed=_filed(ask, filed, now, span),
        filed_rows=[(service, sum(n for (_, s), n in filed.items() if s == service)) for service in CASES],
        finished=finished,
        in_time=bars(
            [
                (
                    w[f"service_{one.service}"],
                    one.in_time / one.count,
                    w["in_time"].format(share=f"{one.in_time / one.count:.0%}", n=one.count),
                )
                for one in finished
            ],
            w["figures_time"],
        ),
        flow=flow.name,
        flows=[service.name for service in SERVICES],
        diagram=flow_diagram(FLOWS[flow.name], _screens(ask, flow.name, flow.screens), counts, w["figures_left"]),
        gone=[_row(counts.get(f"{flow.name}.{name}"), name) for name, screen in flow.screens.items() if screen.kind in SPEAKS],
        screens=_screens(ask, flow.name, flow.screens),
        linked=linked,
        linked_chart=bars(
            [
                (_place(ask, code, sections.get(code)), have / total, f"{have} / {total}")
                for code, (total, have) in linked.items()
                if total
            ],
            w["figures_linked"],
        ),
        pace=_pace(ask, linked, weeks, now),
        weeks_chart=_by_week(ask, linked, weeks, now),
        delivery=delivered(ask, read.sent(since)),
        bars=bars,
        weeks=_weeks(now),
        new_links=weeks,
        sections=sections,
    )


def _pace(ask: Ask, linked: Mapping[str, tuple[int, int]], weeks: Mapping[tuple[str, int], int], now: datetime) -> str:
    """When all accounts will have a phone, if it goes on as in the last weeks."""
    w, last = ask.desk.words[ask.lang], [week for week, _ in _weeks(now)[-PACE:]]
    rest = sum(total - have for total, have in linked.values())
    new = sum(count for (code, week), count in weeks.items() if code in linked and week in last)
    if not rest:
        return w["linking_done"]
    return w["linking_pace"].format(rest=rest, weeks=-(-rest * PACE // new)) if new else w["linking_stands"].format(rest=rest)


def _by_week(ask: Ask, linked: Mapping[str, tuple[int, int]], weeks: Mapping[tuple[str, int], int], now: datetime) -> object:
    """Newly linked accounts a week, the sections with most of them in colours of their own."""
    shown, sections = [week for week, _ in _weeks(now)], ask.desk.cases.sections()
    new = {code: [weeks.get((code, week), 0) for week in shown] for code in linked}
    order = sorted(new, key=lambda code: (-sum(new[code]), code))
    series = {_place(ask, code, sections.get(code)): new[code] for code in order[:COLOURED]}
    if rest := order[COLOURED:]:
        series[ask.desk.words[ask.lang]["other_sections"]] = [sum(new[code][at] for code in rest) for at in range(len(shown))]
    return stacked([day[:5] for _, day in _weeks(now)], series, ask.desk.words[ask.lang]["new_links"])


def _filed(ask: Ask, filed: Mapping[tuple[int, str], int], now: datetime, span: int) -> object:
    w = ask.desk.words[ask.lang]
    today = (round(now.timestamp() * 1000) + AHEAD) // 86_400_000
    days = range(today - span + 1, today + 1)
    names = [(datetime.fromtimestamp(day * 86_400, UTC)).strftime("%d-%m") for day in days]
    series = {w[f"service_{service}"]: [filed.get((day, service), 0) for day in days] for service in CASES}
    return stacked(names, series, w["figures_filed"])


def _row(seen: Left | None, name: str) -> tuple[str, int, int]:
    return (name, seen.shown, seen.left) if seen else (name, 0, 0)


def _screens(ask: Ask, flow: str, screens: Mapping[str, Screen]) -> dict[str, str]:
    """The beginning of each screen's words, in the language of the page; a screen without words has none."""
    catalogue, named = ask.desk.catalogue(ask.lang), {}
    for name, screen in screens.items():
        if screen.kind in SPEAKS:
            pieces = catalogue.text(flow, name).pieces
            said = "".join(piece if isinstance(piece, str) else "…" for piece in pieces).replace("\n", " ")
            said = re.sub("…(?:[, ]*…)+", "…", said)
            named[name] = said if len(said) <= BOX else said[: BOX - 1].rsplit(" ", 1)[0] + "…"
    return named


def _place(ask: Ask, code: str, place: Name | None) -> str:
    if place is None:
        return code or ask.desk.words[ask.lang]["no_section"]
    return (place.deva or place.latin) if ask.lang == "hi" else (place.latin or place.deva)


def delivered(ask: Ask, sent: Sequence[Sent]) -> list[tuple[str, float, str]]:
    """Of what a carrier took in each register, how much is known to have arrived."""
    w = ask.desk.words[ask.lang]
    rows = []
    for carrier, register in sorted({(one.carrier, one.register) for one in sent}):
        own = [one for one in sent if (one.carrier, one.register) == (carrier, register)]
        out = sum(one.messages for one in own if one.state in TAKEN)
        arrived = sum(one.messages for one in own if one.state == "delivered")
        if out:
            rows.append((f"{carrier}, {w[f'register_{register}']}", arrived / out, f"{arrived} / {out}"))
    return rows


def _weeks(now: datetime) -> Sequence[tuple[int, str]]:
    """The last weeks, this one included, each with the Monday it began on."""
    this = (round(now.timestamp() * 1000) + AHEAD + MONDAY) // WEEK
    return [
        (week, datetime.fromtimestamp((week * WEEK - MONDAY) / 1000, UTC).strftime("%d-%m-%y"))
        for week in range(this - WEEKS + 1, this + 1)
    ]
