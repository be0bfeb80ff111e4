"""India's SMS rules: how each text may leave, its template as registered with the operators, and the check before sending.

A pushed text is registered once a language, with its variables typed; operators compare what is sent letter by letter and
refuse the slightest change. So we compare first, and say what differs (facts: telecom-india.md sections 2 and 3).
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal

from messages.catalogue import FOLDER, Catalogue, MissingText, Pattern
from messages.encoding import measure
from messages.widest import widest

Lane = Literal["live", "notice", "bulk"]
Delivery = Literal["once", "must_arrive", "fresh"]
Category = Literal["service_implicit", "service_explicit", "transactional", "promotional", "reply"]
#: `sandbox` sends without template ids; `india` refuses a pushed text that has none.
Profile = Literal["sandbox", "india"]
#: The class of a variable: what the operator lets stand in it.
Tag = Literal["numeric", "alphanumeric"]

#: More variables than this need a recorded reason (telecom-india.md section 2, S44-S46).
MOST_VARIABLES = 2
#: A value's length: 30 in the older form, 40 in the typed one; a text must do for both.
LONGEST_VALUE = 30
#: A template id as the operators give them.
TEMPLATE_ID = re.compile(r"\d{19}")


# --- how a text may leave -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """How a text leaves us: a row of meta.toml, with its defaults filled in.

    `fresh_for` is how long a `fresh` text is worth sending. The others are as explained in meta.toml.
    """

    key: str
    category: Category = "service_implicit"
    lane: Lane = "notice"
    delivery: Delivery = "must_arrive"
    fresh_for: timedelta | None = None
    information: bool = False
    statutory: bool = False
    dues: bool = False
    reason: str = ""

    @property
    def waits(self) -> bool:
        """Whether nobody asked for it, so that it waits for the end of the quiet hours."""
        return self.information or self.statutory


def rules(key: str) -> Rules:
    """How the text `flow.screen` leaves; `sms.` ones are pushed, all others answer somebody. Raises MissingText."""
    found = _meta().get(key if key.startswith("sms.") else "reply")
    if found is None:
        raise MissingText(f"meta.toml has no table [{key}]: say there how it leaves")
    return found if found.key == key else replace(found, key=key)


@lru_cache(maxsize=1)
def _meta() -> Mapping[str, Rules]:
    """meta.toml by key, `reply` for every answer."""
    tables = tomllib.loads((FOLDER / "meta.toml").read_text(encoding="utf-8"))
    made = {f"sms.{name}": _rules(f"sms.{name}", {**tables["default"], **row}) for name, row in tables["sms"].items()}
    return {"reply": _rules("reply", tables["reply"]), **made}


def _rules(key: str, row: Mapping[str, Any]) -> Rules:
    row = dict(row)
    minutes = row.pop("fresh_minutes", None)
    if (row["delivery"] == "fresh") != (minutes is not None):
        raise MissingText(f"meta.toml [{key}]: delivery fresh and fresh_minutes go together")
    try:
        return Rules(key, fresh_for=timedelta(minutes=minutes) if minutes else None, **row)
    except TypeError as error:
        raise MissingText(f"meta.toml [{key}]: {error}") from None


# --- the template as registered -----------------------------------------------------------------------------------------

#: A slot's class by its type; slots not named here are alphanumeric.
_TAGS: Mapping[str, Tag] = {"count": "numeric", "hours": "numeric", "days": "numeric"}
#: Slots without a type whose values are digits only.
_DIGITS = frozenset({"ticket", "pin", "account"})
_MARK = re.compile(r"\{?#(numeric|number|alphanumeric|var)#\}?")
_NUMERIC = re.compile(r"[0-9]+")
_ASCII = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Variable:
    """A place in a template where a value stands."""

    name: str
    tag: Tag

    def fault(self, value: str) -> str:
        """Why the operator would refuse this value here; empty if it would not."""
        if self.tag == "numeric" and not _NUMERIC.fullmatch(value):
            return f"{{{self.name}}} may hold digits only, not {value!r}"
        if not _ASCII.fullmatch(value):
            return f"{{{self.name}}} may hold plain Latin letters, digits and signs only, not {value!r}"
        if len(value) > LONGEST_VALUE:
            return f"{{{self.name}}} may hold {LONGEST_VALUE} characters, {value!r} has {len(value)}"
        return ""


@dataclass(frozen=True, slots=True)
class Template:
    """One text in one language, as an operator has it. `id` is empty until it is registered."""

    key: str
    lang: str
    category: Category
    header: str
    id: str
    pieces: tuple[str | Variable, ...]
    reason: str = ""

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The variables in their order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Variable))

    @property
    def typed(self) -> str:
        """The text with typed variables, as registered since 18-11-2025."""
        return "".join(piece if isinstance(piece, str) else f"{{#{piece.tag}#}}" for piece in self.pieces)

    @property
    def legacy(self) -> str:
        """The text in the older form, in which every variable is `{#var#}`."""
        return "".join(piece if isinstance(piece, str) else "{#var#}" for piece in self.pieces)

    @property
    def kind(self) -> Literal["TEXT", "UNICODE"]:
        """What the portals call the template's type."""
        return "UNICODE" if measure("".join(p for p in self.pieces if isinstance(p, str))).encoding == "ucs2" else "TEXT"

    def difference(self, text: str) -> str | None:
        """How a finished text differs from the template; None if the operator would let it through."""
        matched = re.fullmatch("".join(re.escape(p) if isinstance(p, str) else "(.*?)" for p in self.pieces), text, re.DOTALL)
        if matched:
            faults = (variable.fault(value) for variable, value in zip(self.variables, matched.groups(), strict=True))
            return next(filter(None, faults), None)
        place = 0
        for index, piece in enumerate(self.pieces):
            if isinstance(piece, Variable):
                continue
            found = text.find(piece, place) if index else (0 if text.startswith(piece) else -1)
            if found < 0:
                same = (
                    next((n for n, letter in enumerate(piece) if not text.startswith(piece[: n + 1], place)), 0)
                    if not index
                    else 0
                )
                return f"registered is {piece[same : same + 30]!r}, the text has {text[place + same : place + same + 30]!r}"
            place = found + len(piece)
        return f"the text goes on with {text[place : place + 30]!r} where the registered one ends"


@dataclass(frozen=True, slots=True)
class Approval:
    """What came back from an operator for a text in a language: its id and the wording registered, in typed form."""

    key: str
    lang: str
    id: str
    wording: str


class Registry:
    """Every pushed text's template in every language, and the check of a finished text against it."""

    def __init__(
        self,
        catalogues: Mapping[str, Catalogue],
        *,
        profile: Profile = "sandbox",
        header: str = "",
        approvals: Iterable[Approval] = (),
    ) -> None:
        self.profile = profile
        approved = {(approval.key, approval.lang): approval for approval in approvals}
        self.templates: dict[tuple[str, str], Template] = {}
        #: Texts that were changed since they were registered: the operators still compare with the old wording.
        self.stale: list[tuple[str, str]] = []
        for lang, catalogue in catalogues.items():
            for key in pushed(catalogue):
                drawn = _draw(catalogue, key, header)
                approval = approved.get((key, lang))
                if approval is not None:
                    if approval.wording not in (drawn.typed, drawn.legacy):
                        self.stale.append((key, lang))
                    drawn = Template(
                        key, lang, drawn.category, header, approval.id, _parse(approval.wording, drawn), drawn.reason
                    )
                self.templates[key, lang] = drawn

    def check(self, text: str, key: str, lang: str) -> str | None:
        """Why a finished text would be refused, in words a person can act on; None if it may go. Answers are not registered:
        they leave from the short code the person wrote to."""
        if not key.startswith("sms."):
            return None
        template = self.templates.get((key, lang))
        if template is None:
            return f"{key}/{lang} is no template: it is not in the catalogue"
        if self.profile == "india" and not template.id:
            return f"{key}/{lang} has no template id: register it (gateway templates export), then gateway templates import"
        difference = template.difference(text)
        return f"{key}/{lang}: {difference}" if difference else None

    def id_of(self, key: str, lang: str) -> str:
        """The template id that rides with a text; empty for answers and in the sandbox."""
        template = self.templates.get((key, lang))
        return template.id if template else ""


def pushed(catalogue: Catalogue) -> Iterator[str]:
    """The keys of the texts that are pushed, in the catalogue's order."""
    return (f"{flow}.{screen}" for flow, screen in catalogue.screens if flow == "sms")


def _draw(catalogue: Catalogue, key: str, header: str) -> Template:
    """The template of a text as the catalogue has it now."""
    rule = rules(key)
    pieces: list[str | Variable] = []
    for piece in catalogue.text(*key.split(".", 1), sms=True).pieces:
        if isinstance(piece, str):
            pieces.append(unicodedata.normalize("NFC", piece))
        else:
            name, kind = piece
            tag: Tag = "numeric" if not kind and name in _DIGITS else _TAGS.get(kind, "alphanumeric")
            pieces.append(Variable(name, tag))
    return Template(key, catalogue.lang, rule.category, header, "", tuple(pieces), rule.reason)


def _parse(wording: str, drawn: Template) -> tuple[str | Variable, ...]:
    """A registered wording as pieces; its variables take their names from the catalogue, in order."""
    names = iter([variable.name for variable in drawn.variables])
    pieces: list[str | Variable] = []
    end = 0
    for mark in _MARK.finditer(wording):
        pieces += [
            wording[end : mark.start()],
            Variable(next(names, "?"), "numeric" if mark[1].startswith("num") else "alphanumeric"),
        ]
        end = mark.end()
    pieces.append(wording[end:])
    return tuple(piece for piece in pieces if piece)


# --- what the operators answer ------------------------------------------------------------------------------------------

#: What to do about a failed send: `config` stop that template's queue and tell the desk, `content` put the message aside
#: with the difference, `consumer` stop for that number, `transient` try again.
Fault = Literal["config", "content", "consumer", "transient"]
#: Scrubbing codes that several Indian platforms share (telecom-india.md section 3; 632 to 637 and 650 to 670 as in public
#: clients of BSNL's service). The first range that holds a code counts.
_CODES: tuple[tuple[range, Fault], ...] = (
    (range(633, 634), "content"),  # the text does not match its template
    (range(635, 636), "content"),  # a variable is too long
    (range(600, 640), "config"),  # entity, telemarketer chain, header or template unknown, inactive, blacklisted
    (range(640, 670), "consumer"),  # preference, consent
)


def fault_of(code: str) -> Fault:
    """The class of an operator's failure code; any other code, 670 (scrubbing failed) too, is worth another try."""
    number = int(code) if code.isascii() and code.isdigit() else 0
    return next((fault for codes, fault in _CODES if number in codes), "transient")


# --- the sheet for the operators' portals, and back -----------------------------------------------------------------------

#: The portals' own columns are not public; these hold all that their forms ask for (telecom-india.md section 2).
COLUMNS = (
    "template_key", "template_name", "language", "template_type", "content_type", "category", "headers", "consent_template_id",
    "content_typed", "content_legacy_var", "variables", "sample_text", "cta_whitelist", "justification", "operator",
    "template_id", "status", "approved_on",
)  # fmt: skip
#: What a sheet must hold to be taken back.
NEEDED = ("template_key", "language", "template_id")


def sheet(registry: Registry, catalogues: Mapping[str, Catalogue]) -> Iterator[dict[str, str]]:
    """A row for each pushed text and language, in the catalogue's order."""
    for (key, lang), template in registry.templates.items():
        catalogue = catalogues[lang]
        pattern = catalogue.text(*key.split(".", 1), sms=True)
        values = widest(catalogue, pattern)
        written = [catalogue.render(Pattern((slot,)), values) for slot in pattern.slots]
        numbers = [
            catalogue.house[name] for name in ("helpline", "shortcode", "code") if catalogue.house[name] in template.legacy
        ]
        yield {
            "template_key": key,
            "template_name": f"{key.removeprefix('sms.')}_{lang}".replace("-", "_").upper(),
            "language": lang,
            "template_type": template.kind,
            "content_type": "Service Implicit" if template.category == "service_implicit" else template.category,
            "category": "Others",
            "headers": template.header,
            "consent_template_id": "",
            "content_typed": template.typed,
            "content_legacy_var": template.legacy,
            "variables": json.dumps(
                [
                    {"name": variable.name, "tag": variable.tag, "max": LONGEST_VALUE, "example": example}
                    for variable, example in zip(template.variables, written, strict=True)
                ]
            ),
            "sample_text": catalogue.render(pattern, values),
            "cta_whitelist": " ".join(numbers),
            "justification": template.reason,
            "operator": "",
            "template_id": template.id,
            "status": "registered" if template.id else "",
            "approved_on": "",
        }


def approvals(rows: Iterable[Mapping[str, str]]) -> list[Approval]:
    """What a returned sheet holds; rows without an id are not registered yet. Raises ValueError with row and reason."""
    found: dict[tuple[str, str], Approval] = {}
    for number, row in enumerate(rows, 2):
        if missing := [column for column in NEEDED if row.get(column) is None]:
            raise ValueError(f"the sheet has no column {', '.join(missing)}: send back the exported one with the ids filled in")
        key, lang, id_ = (row[column].strip() for column in NEEDED)
        if not id_:
            continue
        if not TEMPLATE_ID.fullmatch(id_):
            raise ValueError(
                f"row {number}: {id_!r} is no template id of 19 digits (did a spreadsheet round it? keep it as text)"
            )
        if (key, lang) in found:
            raise ValueError(f"row {number}: {key}/{lang} stands twice in the sheet")
        wording = row.get("content_typed") or row.get("content_legacy_var") or ""
        if not wording:
            raise ValueError(f"row {number}: the wording registered is missing (content_typed)")
        found[key, lang] = Approval(key, lang, id_, unicodedata.normalize("NFC", wording.replace("\r\n", "\n")))
    return list(found.values())
