"""The house's rules: who imports whom, flows that are pure, files that say what they are for, tables that hold together."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import FLOWS, INTENTS
from flows.flow import Flow, rows_of
from flows.paths import exchanges, services

ROOT = Path(__file__).parent.parent
ROOMS = ("flows", "messages", "gateway")
FILES = sorted(path for room in (*ROOMS, "tests") for path in (ROOT / room).rglob("*.py"))
#: What each room may import besides the standard library.
MAY = {"flows": {"flows", "transitions", "msgspec"}, "messages": {"messages", "flows", "rapidfuzz", "msgspec"}}
#: What a flow never does by itself: the clock, chance, files, the log, the network.
IMPURE = {"io", "logging", "os", "pathlib", "random", "secrets", "shutil", "socket", "sqlite3", "subprocess", "threading", "time"}
IMPURE_CALLS = {"now", "utcnow", "today", "open", "print", "input"}
#: Where the step and the hop go by themselves.
ENTERED = {("menu", screen) for screen in ("start", "unfinished", "guess", "unknown", "locked", "sorry", "busy")}
ENTERED |= {("reply", "start"), ("reader", "line"), ("noted", "ask")}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """The modules a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("room", MAY)
def test_arrow(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        for module in imports(path):
            first = module.split(".")[0]
            assert first in MAY[room] or first in sys.stdlib_module_names, f"{name(path)} may not import {module}"


@pytest.mark.parametrize(("room", "other"), [("carriers", "store"), ("store", "carriers")])
def test_carriers_and_store_do_not_know_each_other(room: str, other: str) -> None:
    for path in (ROOT / "gateway" / room).rglob("*.py"):
        for module in imports(path):
            assert not module.startswith(f"gateway.{other}"), f"{name(path)} may not import {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "flows").glob("*.py")), ids=name)
def test_flows_are_pure(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not IMPURE & {module.split(".")[0] for module in imports(path)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in IMPURE_CALLS, f"{name(path)}:{node.lineno} calls {called}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value.isascii(), f"{name(path)}:{node.lineno}: words belong into messages/*.toml"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_file_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not tree.body or ast.get_docstring(tree), f"{name(path)} does not open with a sentence on what it is for"


# --- sources ----------------------------------------------------------------------------------------------------------

#: A page of notes and its sections, and a source by its number, as comments and settings cite them.
CITED = re.compile(
    r"\b(utility|telecom-india|limits|africastalking|kannel|text|asks|house)\.md,?(?: sections?)? (\d+(?:\.\d+)?)(?: and (\d+))?"
)
NUMBERED = re.compile(r"(?<![\w'\"./])S\d{1,2}(?![\w'\".(=\]])")


def test_every_source_that_is_cited_stands_in_the_list() -> None:
    listed = re.findall(r"^\| (\S.*?) \|", (ROOT / "docs" / "sources.md").read_text(encoding="utf-8"), re.M)
    cited = defaultdict(set)
    for path in (*FILES, *(file for room in (*ROOMS, "tests") for file in (ROOT / room).rglob("*.toml"))):
        text = path.read_text(encoding="utf-8")
        for page, *sections in CITED.findall(text):
            for section in filter(None, sections):
                cited[f"{page}.md section {section}"].add(name(path))
        for source in NUMBERED.findall(text) if path.parts[len(ROOT.parts)] != "tests" else ():
            cited[source].add(name(path))
    assert len(cited) > 40
    assert {source: where for source, where in cited.items() if source not in listed} == {}
    assert len(listed) == len({*listed})


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_every_answer_leads_somewhere(flow: type[Flow]) -> None:
    rows = defaultdict(list)
    for screen, answer, _, only_if, _ in rows_of(flow):
        rows[screen, answer].append(only_if)
    for screen, made in flow.screens.items():
        for answer in made.triggers:
            conditions = rows[screen, answer]
            assert conditions, f"{flow.name}: nothing says where {answer!r} on {screen!r} leads"
            assert conditions[-1] == "", f"{flow.name}: the last row for {answer!r} on {screen!r} has a condition"
            assert "" not in conditions[:-1], (
                f"{flow.name}: no row for {answer!r} on {screen!r} is reached behind the one without"
            )


def leads_to(flow: type[Flow], screen: str) -> set[tuple[str, str]]:
    made = flow.screens[screen]
    if made.kind == "goto":
        onward, _, at = made.to.partition(".")
        return {(onward, at)}
    if made.kind == "keyword":
        return set(INTENTS.values())
    return {(flow.name, to) for source, _, to, _, _ in rows_of(flow) if source == screen}


def test_every_screen_is_reached() -> None:
    seen, ahead = set[tuple[str, str]](), {*ENTERED, *INTENTS.values()}
    while ahead:
        place = ahead.pop()
        seen.add(place)
        ahead |= leads_to(FLOWS[place[0]], place[1]) - seen
    every = {(flow.name, screen) for flow in FLOWS.values() for screen in flow.screens}
    assert every - seen - {(flow, "start") for flow in FLOWS} == set()


def test_every_way_ends() -> None:
    """From every screen a last one is in reach: the end of a text, what was asked for, or another flow."""
    for flow in FLOWS.values():
        ends = {s for s, made in flow.screens.items() if made.kind in ("end", "goto", "resume", "keyword") or made.tells}
        while more := {s for s in flow.screens if s not in ends and any(to in ends for _, to in leads_to(flow, s))}:
            ends |= more
        assert set(flow.screens) - ends == set(), flow.name


def test_every_flow_can_be_begun() -> None:
    for flow in FLOWS.values():
        assert flow.screens["start"], flow.name
        assert set(flow.intents.values()) <= set(flow.screens)


#: The most exchanges from home, for a phone with one linked account.
MOST = {"bill": 1, "transformer": 3, "meter": 5, "name_transfer": 5, "disconnection": 5, "new_connection": 7, "track": 3}


@pytest.mark.parametrize("service", services())
def test_exchanges(service: str) -> None:
    assert exchanges(service, own=True) <= MOST[service]
    assert exchanges(service, own=False) <= 8
