"""Charts drawn here, as SVG that prints and that a screen reader is told of; each also stands as a table on its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from markupsafe import Markup

from flows.flow import Flow, rows_of
from gateway.store.figures import Left

#: Dark enough on white paper, and told apart in grey by their patterns of lightness.
COLOURS = ("#14532d", "#0b57d0", "#b45309", "#6b21a8", "#0f766e", "#a31515", "#525252", "#7c5c00")
#: The kinds of screen that have words.
SPEAKS = ("menu", "ask", "confirm", "end")
FONT = 'font-family="Noto Sans, Noto Sans Devanagari, sans-serif"'


def stacked(days: Sequence[str], series: Mapping[str, Sequence[int]], title: str) -> Markup:
    """A column a day or week, the series on top of each other, with their names below."""
    width, floor, left, top = 900, 214, 36, 10
    tallest = max([sum(values[at] for values in series.values()) for at in range(len(days))] or [0]) or 1
    tick = _tick(tallest)
    lines = -(-tallest // tick)
    most = lines * tick
    step = (width - left) / max(len(days), 1)
    parts = []
    for line in range(lines + 1):
        y = top + (floor - top) * line / lines
        parts.append(f'<line x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(left - 4, y + 4, str(most - line * tick), size=11, anchor="end"))
    for at, day in enumerate(days):
        y = float(floor)
        for index, values in enumerate(series.values()):
            if tall := (floor - top) * values[at] / most:
                y -= tall
                parts.append(_rect(left + at * step + 2, y, max(step - 4, 1), tall, COLOURS[index % 8]))
        if at % max(1, len(days) // 10) == 0:
            parts.append(_text(left + at * step + step / 2, floor + 14, day, size=11, anchor="middle"))
    x = left
    for index, name in enumerate(series):
        parts += [_rect(x, floor + 26, 10, 10, COLOURS[index % 8]), _text(x + 14, floor + 35, name, size=11)]
        x += 30 + 7 * len(name)
    return _svg(max(width, x), floor + 46, title, parts)


def bars(rows: Sequence[tuple[str, float, str]], title: str) -> Markup:
    """A bar a row: its name, how full from 0 to 1, and what is written behind it."""
    tall = 30
    parts = []
    for at, (name, share, said) in enumerate(rows):
        y = at * tall
        parts += [_text(0, y + 19, name), _rect(210, y + 6, 300, 18, "#e8ebe6"),
                  _rect(210, y + 6, 300 * min(max(share, 0), 1), 18, COLOURS[0]), _text(520, y + 19, said)]  # fmt: skip
    return _svg(700, max(1, len(rows)) * tall, title, parts)


def flow_diagram(flow: type[Flow], names: Mapping[str, str], counts: Mapping[str, Left], title: str) -> Markup:
    """The flow's own diagram: a box a screen with how often it was shown, and how many left there, the redder the more."""
    speaks = [name for name, screen in flow.screens.items() if screen.kind in SPEAKS]
    edges = _edges(flow, set(speaks))
    depth = _depths(speaks, edges)
    layers: dict[int, list[str]] = {}
    for name in speaks:
        layers.setdefault(depth[name], []).append(name)
    wide, tall, gap_x, gap_y = 190, 58, 24, 46
    width = max(len(layer) for layer in layers.values()) * (wide + gap_x) + gap_x
    place = {
        name: ((width - len(layer) * (wide + gap_x)) / 2 + gap_x / 2 + at * (wide + gap_x), row * (tall + gap_y) + 4)
        for row, (_, layer) in enumerate(sorted(layers.items()))
        for at, name in enumerate(layer)
    }
    parts = ['<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
             '<path d="M0 0 8 4 0 8z" fill="#777"/></marker></defs>']  # fmt: skip
    for source, to in edges:
        x1, y1, x2, y2 = place[source][0] + wide / 2, place[source][1] + tall, place[to][0] + wide / 2, place[to][1]
        if y2 > y1:
            way = f"M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + 26:.0f} {x2:.0f} {y2 - 26:.0f} {x2:.0f} {y2:.0f}"
            parts.append(f'<path d="{way}" fill="none" stroke="#999" marker-end="url(#tip)"/>')
    for name, (x, y) in place.items():
        seen = counts.get(f"{flow.name}.{name}", Left("", 0, 0))
        share = seen.left / seen.shown if seen.shown else 0
        red = round(255 - 90 * min(1, share * 2))
        said = f"{seen.shown} · ✗ {seen.left} ({share:.0%})" if seen.shown else "0"
        parts += [
            _rect(x, y, wide, tall, f"rgb(255,{red},{red})" if seen.shown else "#fff", ' rx="8" stroke="#555"'),
            _text(x + wide / 2, y + 23, names.get(name, name), size=12, anchor="middle"),
            _text(x + wide / 2, y + 44, said, anchor="middle", weight=600),
        ]
    return _svg(width, len(layers) * (tall + gap_y), title, parts)


def _tick(most: int) -> int:
    """A round number, of which at most five reach up to the tallest column."""
    tick: int = next(digit * 10**zeros for zeros in range(20) for digit in (1, 2, 5) if 5 * digit * 10**zeros >= most)
    return tick


def _text(x: float, y: float, words: str, *, size: int = 13, anchor: str = "start", weight: int = 400) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {where} font-size="{size}" font-weight="{weight}">{escape(words)}</text>'


def _rect(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"{more}/>'


def _edges(flow: type[Flow], speaks: set[str]) -> list[tuple[str, str]]:
    """From screen to screen, past the places that only decide."""
    direct: dict[str, set[str]] = {}
    for source, _, to, _, _ in rows_of(flow):
        direct.setdefault(source, set()).add(to)

    def reached(name: str, past: frozenset[str]) -> set[str]:
        found: set[str] = set()
        for to in direct.get(name, ()):
            if to in speaks:
                found.add(to)
            elif to not in past:
                found |= reached(to, past | {to})
        return found

    order = list(flow.screens)
    return [(source, to) for source in order if source in speaks for to in sorted(reached(source, frozenset()), key=order.index)]


def _depths(speaks: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """How many screens lie before each; the way back counts for nothing."""
    order = {name: at for at, name in enumerate(speaks)}
    depth = dict.fromkeys(speaks, 0)
    for _ in speaks:
        for source, to in edges:
            if order[to] > order[source] and depth[to] <= depth[source]:
                depth[to] = depth[source] + 1
    return depth


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> Markup:
    return Markup(  # noqa: S704 - every word in it has been escaped above
        f'<svg class="chart" role="img" viewBox="0 0 {width:.0f} {height:.0f}" {FONT} xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
