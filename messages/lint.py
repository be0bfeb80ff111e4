"""The catalogues' lint: every key in every language, the same slots, no character that costs money, and all of it fits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from flows.records import Option, Text
from messages import Limits, Reply, Voice
from messages.catalogue import Catalogue, Pattern
from messages.encoding import not_gsm
from messages.widest import widest

#: The one screen that mixes scripts on purpose, so that every phone shows a choice it can read.
MIXED = frozenset({("welcome", "language")})
#: Lines put on top that the step itself adds.
TOP_LINES = ("help_line", "aadhaar")
FORBIDDEN = {
    "<": "write it in words",
    ">": "write it in words",
    "’": "use '",
    "‘": "use '",
    "“": 'use "',
    "”": 'use "',
    "₹": "write Rs or रु",
    "\t": "use a space",
    "\u00a0": "use a space",
    "\u200c": "leave it out",
    "\u200d": "leave it out",
    "\ufeff": "leave it out",
    "…": "write ...",
    "–": "use -",
    "—": "use -",
}
#: The default profile and the narrow ones it also has to live with.
USSD = Limits("ussd", 160, 80, overhead=4)
SMS = Limits("sms")


def lint(voice: Voice, flows: Mapping[str, Any]) -> list[str]:
    """Every fault, a line each: the language, the key, what is wrong and how to mend it. `flows` is flows.FLOWS."""
    faults = []
    for catalogue in voice.catalogues.values():
        faults += [
            f"{catalogue.lang}: {fault}"
            for fault in (*_alike(catalogue, voice), *_characters(catalogue), *_complete(catalogue, flows))
        ]
    if not faults:
        faults += [f"{lang}: {fault}" for lang in voice.catalogues for fault in _fits(voice, lang, flows)]
    return faults


def _patterns(catalogue: Catalogue) -> Iterator[tuple[str, Pattern]]:
    for table, texts in catalogue.shared.items():
        yield from ((f"[{table}] {key}", pattern) for key, pattern in texts.items())
    for (flow, screen), texts in catalogue.screens.items():
        yield from ((f"[{flow}.{screen}] {key}", pattern) for key, pattern in texts.items())


def _alike(catalogue: Catalogue, voice: Voice) -> Iterator[str]:
    """The same keys and slots as in every other language (`sms` alone may be missing: it only says more)."""
    own = dict(_patterns(catalogue))
    for other in voice.catalogues.values():
        theirs = dict(_patterns(other))
        for key in theirs.keys() - own.keys():
            if not key.endswith("] sms"):
                yield f"{key} is missing; {other.lang} has it"
        for key in theirs.keys() & own.keys():
            more = set(own[key].slots) - set(theirs[key].slots)
            if more and not key.endswith("] sms"):
                yield f"{key} has the slots {sorted(more)}, which {other.lang} has not"


def _characters(catalogue: Catalogue) -> Iterator[str]:
    for key, pattern in _patterns(catalogue):
        text = "".join(piece for piece in pattern.pieces if isinstance(piece, str))
        for character, mend in FORBIDDEN.items():
            if character in text:
                yield f"{key} holds {character!r} U+{ord(character):04X}: {mend}"
        if unicodedata.normalize("NFC", text) != text:
            yield f"{key} is not in the composed form (NFC)"
        whole = "".join(piece if isinstance(piece, str) else "x" for piece in pattern.pieces)
        if "  " in whole or any(line != line.strip() for line in whole.split("\n")):
            yield f"{key} has a space too many"
        mixed = tuple(key.strip("[").partition("]")[0].split(".")) in MIXED
        if catalogue.lang != "hi" and not mixed and (offenders := not_gsm(text)):
            yield f"{key} turns the text to Unicode: {', '.join(offenders)}"
        if re.search(r"[\u0966-\u096f]", text):
            yield f"{key} has Devanagari digits: write 0-9"


def _complete(catalogue: Catalogue, flows: Mapping[str, Any]) -> Iterator[str]:
    """Every screen with words has them, every option a label, and no text is left over."""
    wanted = {(name, screen) for name, flow in flows.items() for screen, made in flow.screens.items() if _speaks(made)}
    for flow, screen in sorted(wanted):
        texts = catalogue.screens.get((flow, screen), {})
        if "text" not in texts:
            yield f"[{flow}.{screen}] has no text"
        made = flows[flow].screens[screen]
        for option in (*made.options, *filter(None, [made.items])):
            if option not in texts and option not in catalogue.shared["option"]:
                yield f"[{flow}.{screen}] has no label for the option {option!r}"
        for key in texts.keys() - {"text", "sms", *made.options, made.items}:
            yield f"[{flow}.{screen}] {key} is no option of that screen"
    for flow, screen in sorted(catalogue.screens.keys() - wanted):
        if flow != "sms":
            yield f"[{flow}.{screen}] belongs to no screen"
    for line in (*TOP_LINES, "back", "more"):
        if line not in catalogue.shared["line"]:
            yield f"[line] {line} is missing"


def _speaks(screen: Any) -> bool:
    return screen.kind in ("menu", "ask", "confirm", "end")


def _fits(voice: Voice, lang: str, flows: Mapping[str, Any]) -> Iterator[str]:
    """Every screen at its widest: one USSD page (two for the home menu in Hindi), and no more SMS parts than allowed."""
    for text, reply in worst(voice, lang, flows, USSD):
        most = 2 if text.screen in ("home", "guess", "feeder", "list", "pick") or reply.ends else 1
        if len(reply.pages) > most:
            yield f"[{text.flow}.{text.screen}] takes {len(reply.pages)} USSD pages at its widest: shorten it to {most}"
    for text, reply in worst(voice, lang, flows, SMS):
        most = voice.catalogues[lang].max_parts[text.flow, text.screen]
        if len(reply.pages) > 1 and text.screen not in ("pick", "guess", "list", "feeder"):
            yield f"[{text.flow}.{text.screen}] takes more than {most} SMS parts: shorten it"


def worst(voice: Voice, lang: str, flows: Mapping[str, Any], limits: Limits) -> Iterator[tuple[Text, Reply]]:
    """Every screen, and every message sent besides, with the widest value in each slot."""
    catalogue = voice.catalogues[lang]
    for flow, screen in catalogue.screens:
        if flow == "sms":
            if limits.channel == "sms":
                yield _said(voice, lang, limits, Text("sms", screen, widest(catalogue, catalogue.text("sms", screen))))
            continue
        made = flows[flow].screens[screen]
        options = [Option(name, "", widest(catalogue, catalogue.label(flow, screen, name))) for name in made.options]
        if made.items:
            item = Option(made.items, "", widest(catalogue, catalogue.label(flow, screen, made.items)))
            options = [*[item] * 3, *options]
        args = widest(catalogue, catalogue.text(flow, screen, sms=limits.channel == "sms"))
        yield _said(
            voice, lang, limits, Text(flow, screen, args, tuple(options), back=made.kind != "end", ends=made.kind == "end")
        )


def _said(voice: Voice, lang: str, limits: Limits, text: Text) -> tuple[Text, Reply]:
    return text, voice.say(text, lang, limits)
