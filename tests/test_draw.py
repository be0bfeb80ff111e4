"""The drawings in docs/flows are those of the tables and texts as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import FLOWS
from gateway.settings import Settings
from messages import Voice
from messages.draw import Edge, diagram, longest, pages

FOLDER = Path(__file__).parent.parent / "docs" / "flows"
VOICE = Voice(Settings.model_construct().house())
PAGES = pages(VOICE)


@pytest.mark.parametrize("name", PAGES)
def test_is_fresh(name: str) -> None:
    path = FOLDER / name
    assert path.exists(), "run `make flows`"
    assert path.read_text(encoding="utf-8") == PAGES[name], "run `make flows`"


def test_nothing_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


@pytest.mark.parametrize("flow", FLOWS)
def test_shows_every_screen_and_rule(flow: str) -> None:
    page = PAGES[f"{flow}.md"]
    for screen, made in FLOWS[flow].screens.items():
        assert f'"{screen}"' in page or not made.triggers
        assert made.kind not in ("menu", "ask", "confirm", "end") or f"<code>{screen}</code>" in page
    for rule in FLOWS[flow].rules:
        assert f"| `{rule[0]}` | `{rule[1]}` | `{rule[2]}` |" in page


def test_diagram_of_any_table() -> None:
    drawn = diagram({"submitted": "menu", "end": "end"}, [Edge("submitted", "end", "done [is_paid]")])
    assert drawn.splitlines()[1:-1] == [
        "flowchart TD",
        '    n0["submitted"]',
        '    n1(["end"])',
        '    n0 -->|"done [is_paid]"| n1',
    ]


def test_longest_pages_fit() -> None:
    for lang, _, size, encoding in longest(VOICE):
        assert size <= {"ucs2": 80, "gsm7": 160}[encoding], lang
