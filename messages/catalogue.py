"""The catalogues: one TOML file a language, compiled once; money, dates and names as each language writes them."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from flows.records import INDIA, Args, Name
from messages.encoding import clusters, measure
from messages.understand import LANGUAGES as LANGUAGES
from messages.understand import to_latin

FOLDER = Path(__file__).parent
#: A name takes no more than this of a screen of 80 units.
NAME_UNITS = 20
#: Texts that mix scripts, said without Devanagari: [plain.<screen>] for networks that do not show it.
PLAIN = "plain"
#: Screens that several flows say in the same words: [any.<screen>], unless a flow has its own.
ANY = "any"
#: Tables that are not screens.
SHARED = ("option", "line", "word")

_DEVANAGARI = re.compile("[\u0900-\u097f\u1cd0-\u1cff\ua8e0-\ua8ff]")
_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
#: What no value may bring into a frame: controls, joiners, isolates, odd spaces; and what has a plain twin.
_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "\u00a0": " ", "\u2028": " ", "\u2029": " "}
)
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]")


class MissingText(Exception):
    """A text, a label or a slot's value that is not there: our own bug, named by language and key."""


def clean(value: str) -> str:
    """A value from outside as it may stand in a frame: NFC, one line, nothing hidden, plain quotes."""
    if value.isascii() and value.isprintable():
        return value
    return " ".join(_HIDDEN.sub(" ", unicodedata.normalize("NFC", value).translate(_PLAIN)).split())


def shorten(value: str, units: int = NAME_UNITS) -> str:
    """A value cut to so many units, between letters."""
    if measure(value).units <= units:
        return value
    kept = ""
    for cluster in clusters(value):
        if measure(kept + cluster).units > units:
            break
        kept += cluster
    return kept.rstrip()


# --- how values are written ---------------------------------------------------------------------------------------------


def rupees(paise: int) -> str:
    """Paise as rupees with Indian grouping, `1,23,456`; paise only where there are any, `1,240.50`."""
    whole, rest = divmod(abs(paise), 100)
    digits = str(whole)
    if len(digits) > 3:
        head, tail = digits[:-3], digits[-3:]
        groups = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)]
        digits = ",".join([*reversed(groups), tail])
    return ("-" if paise < 0 else "") + digits + (f".{rest:02d}" if rest else "")


def _name(value: Any, lang: str) -> str:
    if not isinstance(value, Name):
        return shorten(clean(str(value)))
    if lang == "hi":
        return shorten(clean(value.deva or value.latin))
    words = (to_latin(word).title() if _DEVANAGARI.search(word) else word for word in clean(value.latin or value.deva).split())
    return shorten(" ".join(filter(None, words)))


def _masked(value: Any, lang: str) -> str:
    """The first letter of each of the first two words: R*** K***."""
    words = _name(value, lang).split()[:2]
    return " ".join(f"{clusters(word)[0]}***" for word in words)


Writer = Callable[[Any, str], str]
#: Slot type -> how a value is written, and the widest sample for the lint.
TYPES: dict[str, tuple[Writer, object]] = {
    "": (lambda value, lang: shorten(clean(str(value)), 40), "W" * 20),
    "rupees": (lambda value, lang: rupees(value), 99_999_900),
    "date": (lambda value, lang: value.strftime("%d-%m-%y"), date(2026, 12, 28)),
    "month": (lambda value, lang: value.strftime("%m-%Y"), date(2026, 12, 1)),
    "when": (lambda value, lang: value.astimezone(INDIA).strftime("%d-%m-%y %H:%M"), datetime(2026, 12, 28, tzinfo=INDIA)),
    "tail": (lambda value, lang: ".." + str(value)[-4:], "123456789"),
    "count": (lambda value, lang: str(int(value)), 9_999_999),
    "name": (_name, Name("क्ष्मा" * 8, "W" * 40)),
    "masked": (_masked, Name("राजेन्द्र प्रसाद", "Wwww Mmmm")),
    "place": (_name, Name("क्ष्मा" * 8, "W" * 40)),
    "kw": (lambda value, lang: f"{value / 1000:g}", 5_000_000),
    "hours": (lambda value, lang: str(-(value // -timedelta(hours=1))), timedelta(hours=720)),
    "days": (lambda value, lang: str(value.days), timedelta(days=30)),
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled text: literal pieces and slots, in order."""

    pieces: tuple[str | tuple[str, str], ...]

    @property
    def slots(self) -> tuple[tuple[str, str], ...]:
        """Name and type of each slot."""
        return tuple(piece for piece in self.pieces if isinstance(piece, tuple))


class Catalogue:
    """One language's texts, with the house's constants filled in."""

    def __init__(self, lang: str, house: Mapping[str, str], tables: Mapping[str, Any] | None = None) -> None:
        self.lang = lang
        self.house = house
        tables = tables if tables is not None else tomllib.loads((FOLDER / f"{lang}.toml").read_text(encoding="utf-8"))
        self.shared: dict[str, dict[str, Pattern]] = {
            table: {key: self._compile(text) for key, text in tables.get(table, {}).items()} for table in SHARED
        }
        self.screens: dict[tuple[str, str], dict[str, Pattern]] = {}
        self.max_parts: dict[tuple[str, str], int] = {}
        for flow, screens in tables.items():
            if flow in SHARED:
                continue
            for screen, texts in screens.items():
                if "max_parts" in texts:
                    self.max_parts[flow, screen] = texts["max_parts"]
                self.screens[flow, screen] = {key: self._compile(text) for key, text in texts.items() if key != "max_parts"}

    def _compile(self, text: str) -> Pattern:
        pieces: list[str | tuple[str, str]] = []
        end = 0
        for match in _SLOT.finditer(text):
            name, kind = match[1], match[2] or ""
            literal = text[end : match.start()]
            end = match.end()
            if name in self.house:
                pieces.append(literal + self.house[name])
            else:
                if kind not in TYPES and kind != "word":
                    raise MissingText(
                        f"{self.lang}: slot {match[0]} has no such type; there are word, {', '.join(filter(None, TYPES))}"
                    )
                pieces += [literal, (name, kind)]
        pieces.append(text[end:])
        joined: list[str | tuple[str, str]] = []
        for piece in pieces:
            if isinstance(piece, str) and joined and isinstance(joined[-1], str):
                joined[-1] += piece
            elif piece:
                joined.append(piece)
        return Pattern(tuple(joined))

    def at(self, flow: str, screen: str) -> dict[str, Pattern]:
        """All texts of a screen: the flow's own, else those that any flow says there."""
        return self.screens.get((flow, screen)) or self.screens.get((ANY, screen), {})

    def parts(self, flow: str, screen: str) -> int:
        """How many SMS parts a text may take."""
        return self.max_parts.get((flow, screen), 2)

    def text(self, flow: str, screen: str, *, sms: bool = False) -> Pattern:
        """A screen's words."""
        texts = self.at(flow, screen)
        if "text" not in texts:
            raise MissingText(f"{self.lang}: there is no text [{flow}.{screen}]")
        return texts.get("sms", texts["text"]) if sms else texts["text"]

    def label(self, flow: str, screen: str, option: str) -> Pattern:
        """An option's words: the screen's own, else the shared ones."""
        found = self.at(flow, screen).get(option) or self.shared["option"].get(option)
        if found is None:
            raise MissingText(f"{self.lang}: option {option!r} of [{flow}.{screen}] has no label")
        return found

    def line(self, key: str) -> Pattern:
        """A line put on top, or a navigation line."""
        return self._shared("line", key)

    def word(self, key: str) -> str:
        """The word for a value that is itself a key."""
        return self.render(self._shared("word", key), {})

    def _shared(self, table: str, key: str) -> Pattern:
        found = self.shared[table].get(key)
        if found is None:
            raise MissingText(f"{self.lang}: [{table}] has no {key!r}")
        return found

    def render(self, pattern: Pattern, args: Args) -> str:
        """The text with its values filled in."""
        pieces = pattern.pieces
        if len(pieces) == 1 and isinstance(pieces[0], str):
            return pieces[0]
        written = []
        for piece in pieces:
            if isinstance(piece, str):
                written.append(piece)
                continue
            name, kind = piece
            if name not in args or args[name] is None:
                raise MissingText(f"{self.lang}: slot {{{name}}} has no value")
            written.append(self.word(str(args[name])) if kind == "word" else TYPES[kind][0](args[name], self.lang))
        return "".join(written)


@lru_cache(maxsize=8)
def catalogues(house: tuple[tuple[str, str], ...]) -> dict[str, Catalogue]:
    """Every language's catalogue for a house's constants."""
    return {lang: Catalogue(lang, dict(house)) for lang in LANGUAGES}
