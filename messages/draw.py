"""The flows as pages: the table, a diagram, and the texts in every language as the phone shows them -> docs/flows/*.md.

Printed from the tables and the catalogues by `make flows`; a test fails when a page is stale. `table`, `diagram` and `shown`
also serve to draw other tables of the same kind.
"""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from flows import FLOWS, INTENTS
from flows.casework import CASES, steps_of
from flows.flow import Flow
from flows.paths import exchanges, services
from flows.records import Args, Name, Option, Text
from flows.screens import Screen
from messages import Limits, Reply, Voice
from messages.catalogue import Pattern
from messages.dlt import rules
from messages.encoding import measure
from messages.lint import USSD, worst
from messages.widest import PLAIN, words

SMS = Limits("sms", parts=3)
#: Ordinary values for the drawings, by slot name and by type.
USUAL: Mapping[str, object] = {"ticket": "40000012", "pin": "802101", "receipt": "R7001", "account": "100000001",
                             "new_meter": "SB200417", "no_dues": "ND40000012"}  # fmt: skip
USUAL_TYPES: Mapping[str, object] = {
    "rupees": 124_000,
    "date": date(2026, 6, 5),
    "month": date(2026, 5, 1),
    "when": datetime(2026, 5, 25, 4, 30, tzinfo=UTC),
    "tail": "100000001",
    "count": 168,
    "name": Name("रमेश कुमार", "Ramesh Kumar"),
    "masked": Name("रमेश कुमार", "Ramesh Kumar"),
    "place": Name("चरित्रवन", "Charitravan"),
    "kw": 2000,
    "hours": timedelta(hours=24),
    "days": timedelta(days=7),
}
#: The shape of a screen in a diagram, by its kind.
SHAPES = {
    "menu": '["{}"]',
    "ask": '[/"{}"/]',
    "confirm": '{{{{"{}"}}}}',
    "end": '(["{}"])',
    "decide": '{{"{}"}}',
    "goto": '[["{}"]]',
    "keyword": '[["{}"]]',
    "resume": '[["{}"]]',
}
LEGEND = (
    "Box: choose. Slanted: type. Hexagon: confirm. Rounded: the last text. Diamond: decided by the facts. Double: another flow."
)


def pages(voice: Voice) -> dict[str, str]:
    """Every page by its file name."""
    made = {f"{name}.md": flow_page(flow, voice) for name, flow in FLOWS.items()}
    return {"README.md": index(voice), "sms.md": pushed_page(voice), "casework.md": casework_page(), **made}


# --- pieces ---------------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Edge(NamedTuple):
    """An arrow of a diagram."""

    source: str
    to: str
    label: str


def diagram(nodes: Mapping[str, str], edges: Iterable[Edge]) -> str:
    """A Mermaid flowchart; `nodes` gives the kind of each (see SHAPES). Names are free: their ids are made here."""
    ids = {name: f"n{number}" for number, name in enumerate(nodes)}
    lines = [f"    {ids[name]}{SHAPES[kind].format(name)}" for name, kind in nodes.items()]
    lines += [f'    {ids[edge.source]} -->|"{edge.label}"| {ids[edge.to]}' for edge in edges]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def shown(voice: Voice, text: Text, limits: Limits) -> list[Reply]:
    """A text in every language."""
    return [voice.say(text, lang, limits) for lang in voice.catalogues]


def side_by_side(voice: Voice, rows: Iterable[tuple[str, Sequence[Reply]]]) -> str:
    """Texts beside each other, a row each, a column a language, as they stand on the phone with their size."""
    lines = ["<table>", "<tr><th></th>" + "".join(f"<th>{lang}</th>" for lang in voice.catalogues) + "</tr>"]
    for name, replies in rows:
        cells = "".join(f"<td valign=top><pre>{_on_phone(reply)}</pre>{_size(reply)}</td>" for reply in replies)
        lines.append(f"<tr><td valign=top>{name}</td>{cells}</tr>")
    return "\n".join([*lines, "</table>"])


def _on_phone(reply: Reply) -> str:
    return "\n- - -\n".join(html.escape(page, quote=False) for page in reply.pages).replace("\n", "<br>")


def _size(reply: Reply) -> str:
    counted = " + ".join(str(measure(page).units) for page in reply.pages)
    return f"{counted} {'septets' if reply.encoding == 'gsm7' else 'units'}"


def usual(voice: Voice, pattern: Pattern) -> dict[str, object]:
    """An ordinary value for each slot of a text."""
    catalogue = next(iter(voice.catalogues.values()))
    return {
        name: words(catalogue, name)[0]
        if kind == "word"
        else USUAL.get(name)
        if name in USUAL
        else USUAL_TYPES.get(kind, PLAIN.get(name))
        for name, kind in pattern.slots
    }


# --- a flow ---------------------------------------------------------------------------------------------------------------


def flow_page(flow: type[Flow], voice: Voice) -> str:
    """One flow."""
    about = (inspect.getdoc(inspect.getmodule(flow)) or "").split("\n\n")[0]
    parts = [f"# {flow.name}", about, inspect.getdoc(flow) or ""]
    if flow.name in services():
        own, most = exchanges(flow.name, own=True), exchanges(flow.name, own=False)
        parts.append(f"Exchanges from the home screen: {own} for a phone's own account, at most {most} for anybody.")
    if flow.intents:
        parts.append(
            "Keywords: " + ", ".join(f"`{intent}` enters at `{screen}`" for intent, screen in flow.intents.items()) + "."
        )
    head = ("on screen", "answer", "go to", "only if", "and then")
    rows = [(*rule, "", "")[:5] for rule in flow.rules]
    parts += ["## Rules", table(head, [[f"`{cell}`" if cell else "" for cell in row] for row in rows])]
    if said := list(_conditions(flow)):
        parts.append("\n".join(f"- `{name}`: {what}" for name, what in said))
    parts += ["## Diagram", _diagram(flow), LEGEND, "## On the phone"]
    parts.append(side_by_side(voice, _screens(flow, voice)))
    return "\n\n".join(parts) + "\n"


def _conditions(flow: type[Flow]) -> Iterator[tuple[str, str]]:
    """What the conditions and actions of the table mean, in their own words."""
    names = {name: None for rule in flow.rules for cell in (*rule, "", "")[3:5] for name in cell.split()}
    for name in names:
        yield name, (inspect.getdoc(getattr(flow, name)) or "").partition("\n")[0]


def _diagram(flow: type[Flow]) -> str:
    nodes = {name: screen.kind for name, screen in flow.screens.items()}
    edges = [
        Edge(source, to, f"{answer} [{only_if}]" if only_if else answer)
        for source, answer, to, only_if, _ in ((*rule, "", "")[:5] for rule in flow.rules)
    ]
    used = {name for edge in edges for name in (edge.source, edge.to)} | set(flow.intents.values())
    return diagram({name: kind for name, kind in nodes.items() if name in used}, edges)


def _screens(flow: type[Flow], voice: Voice) -> Iterator[tuple[str, list[Reply]]]:
    """Every screen with words: on USSD, and by SMS where that says more."""
    for name, screen in flow.screens.items():
        if screen.kind in ("menu", "ask", "confirm", "end"):
            text = usual_text(voice, flow.name, name, screen)
            yield f"<code>{name}</code>", shown(voice, text, USSD)
            if any("sms" in catalogue.at(flow.name, name) for catalogue in voice.catalogues.values()):
                yield f"<code>{name}</code> by SMS", shown(voice, text, SMS)


def usual_text(voice: Voice, flow: str, name: str, screen: Screen) -> Text:
    """A screen's text with ordinary values; of what is listed by the facts, one."""
    args: dict[str, object] = {}
    options: dict[str, Args] = {option: {} for option in (*filter(None, [screen.items]), *screen.options)}
    for catalogue in voice.catalogues.values():
        for sms in (False, True):
            args |= usual(voice, catalogue.text(flow, name, sms=sms))
        options = {option: {**had, **usual(voice, catalogue.label(flow, name, option))} for option, had in options.items()}
    made = tuple(Option(option, "", values) for option, values in options.items())
    return Text(flow, name, args, made, back=screen.kind != "end" and (flow, name) != ("menu", "home"), ends=screen.kind == "end")


# --- the pages that gather ------------------------------------------------------------------------------------------------


def pushed_page(voice: Voice) -> str:
    """The SMS that are sent without being the answer to one."""
    first = next(iter(voice.catalogues.values()))
    keys = [screen for flow, screen in first.screens if flow == "sms"]
    rows = []
    for key in keys:
        how = rules(f"sms.{key}")
        kind = "statutory" if how.statutory else "information" if how.information else ""
        rows.append((f"`{key}`", how.lane, how.delivery, how.category, kind, len(first.text("sms", key).slots), how.reason))
    said = ((f"<code>{key}</code>", shown(voice, Text("sms", key, _slots(voice, key)), SMS)) for key in keys)
    return "\n\n".join([
        "# SMS sent", "How they leave (messages/meta.toml), and what they say.",
        table(("text", "lane", "delivery", "category", "STOP", "variables", "reason"), rows), side_by_side(voice, said),
    ]) + "\n"  # fmt: skip


def _slots(voice: Voice, key: str) -> dict[str, object]:
    args: dict[str, object] = {}
    for catalogue in voice.catalogues.values():
        args |= usual(voice, catalogue.text("sms", key))
    return args


def casework_page() -> str:
    """What happens to a request at the desk: each service's table and diagram."""
    head = ("in state", "step", "goes to", "who may", "entered", "message", "only if")
    made = ["# Casework", "What the staff do with a request (flows/casework.py); the messages stand in sms.md."]
    for case in CASES.values():
        steps = list(steps_of(case))
        main = [step for step in steps if step.state in (*case.path, *case.ends) and step.to in (*case.path, *case.ends)]
        rows = [
            (
                step.state,
                step.name,
                step.to,
                " ".join(sorted(step.roles)),
                " ".join(step.fields),
                step.tells,
                " ".join(step.only_if),
            )
            for step in main
            if step.to != step.state
        ]
        aside = [row for row in case.rules if row[0] in ("*", "finished") or row[0] not in (*case.path, *case.ends)]
        nodes = {state: "end" if state in case.finished() else "menu" for state in (*case.path, *case.ends)}
        edges = [Edge(step.state, step.to, step.name) for step in main if step.to != step.state and step.name != "reopen"]
        waits = ", ".join(state for state in case.path if state in case.waits)
        made += [
            f"## {case.service}", inspect.getdoc(case) or "",
            f"The clock stands still in: {waits}." if waits else "The clock runs from the filing on.",
            diagram(nodes, edges),
            table(head, rows), table(head, [(*row, "", "", "", "")[:7] for row in aside]),
        ]  # fmt: skip
    return "\n\n".join(made) + "\n"


def longest(voice: Voice) -> Iterator[tuple[str, str, int, str]]:
    """Language, key, size and encoding of the longest USSD page of each register and encoding, with the widest values."""
    for lang in voice.catalogues:
        sizes = [
            (measure(page).units, f"{text.flow}.{text.screen}", measure(page).encoding)
            for text, reply in worst(voice, lang, FLOWS, USSD)
            for page in reply.pages
            if (text.flow, text.screen) != ("welcome", "language")  # mixes scripts in every register
        ]
        size, key, encoding = max(sizes)
        yield lang, key, size, encoding


def index(voice: Voice) -> str:
    """What there is, and the figures."""
    keywords: dict[str, list[str]] = {}
    for intent, (flow, _) in INTENTS.items():
        keywords.setdefault(flow, []).append(intent)
    listed = [
        (f"[{name}]({name}.md)", (inspect.getdoc(flow) or "").partition("\n")[0], " ".join(keywords.get(name, [])))
        for name, flow in FLOWS.items()
    ]
    taken = [(f"[{name}]({name}.md)", exchanges(name, own=True), exchanges(name, own=False)) for name in services()]
    sizes = [
        (lang, f"`{key}`", f"{size} {'units' if encoding == 'ucs2' else 'septets'}")
        for lang, key, size, encoding in longest(voice)
    ]
    return "\n\n".join([
        "# The flows",
        "Printed by `make flows` from flows/*.py and messages/*.toml; do not edit. The SMS sent: [sms.md](sms.md).",
        table(("flow", "what it does", "keywords"), listed),
        "## Exchanges",
        "One input and the page that answers it, from the home screen on. Own: a phone with one linked account, about that "
        "account. Most: any phone, any account, every sub-screen; nobody who answers each question once needs more.",
        table(("service", "own", "most"), taken),
        "## The longest USSD page", "With the widest value in every slot; a page holds 80 units or 160 septets.",
        table(("register", "screen", "size"), sizes),
    ]) + "\n"  # fmt: skip
