"""The catalogues' lint: every key in every language, the same slots, no character that costs money, all of it fits, and
nothing that an operator refuses or that reads like a fraud.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from flows.records import Option, Text
from messages import Limits, Reply, Voice
from messages.catalogue import ANY, Catalogue, Pattern
from messages.catalogue import PLAIN as PLAIN_FORM
from messages.dlt import MOST_VARIABLES, Registry, Variable, pushed, rules
from messages.encoding import measure, not_gsm
from messages.widest import PLAIN, sample, widest, words

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
#: The shortest page of Devanagari found in India, in units.
SHORTEST = 60
#: The default profile and the narrow ones it also has to live with.
USSD = Limits("ussd", 160, 80, overhead=4)
SMS = Limits("sms")


def lint(voice: Voice, flows: Mapping[str, Any], registry: Registry) -> list[str]:
    """Every fault, a line each: the language, the key, what is wrong and how to mend it. `flows` is flows.FLOWS."""
    faults = []
    for catalogue in voice.catalogues.values():
        found = (*_alike(catalogue, voice), *_slots(catalogue), *_characters(catalogue), *_complete(catalogue, flows))
        faults += [f"{catalogue.lang}: {fault}" for fault in found]
    if not faults:
        for lang, catalogue in voice.catalogues.items():
            found = (*_fits(voice, lang, flows), *_registered(catalogue, registry), *_dues(catalogue))
            faults += [f"{lang}: {fault}" for fault in found]
    return faults


def long_screens(voice: Voice, flows: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Language, key and units of the Devanagari pages longer than the shortest limit found (NIC 2014: text.md section 2)."""
    return [
        (lang, f"{text.flow}.{text.screen}", size)
        for lang in voice.catalogues
        for text, reply in worst(voice, lang, flows, USSD)
        if reply.encoding == "ucs2" and (size := max(measure(page).units for page in reply.pages)) > SHORTEST
    ]


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


def _slots(catalogue: Catalogue) -> Iterator[str]:
    """Every slot's widest value is known."""
    for key, pattern in _patterns(catalogue):
        for name, kind in pattern.slots:
            if not kind and name not in PLAIN:
                yield f"{key}: the slot {{{name}}} has no type; give it one, or its widest value in messages/widest.py"
            elif kind == "word" and not words(catalogue, name):
                yield f"{key}: no [word] may stand in {{{name}:word}}; name its words in messages/widest.py"


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
        if "*" in text.replace(catalogue.house["code"], ""):
            yield f"{key} holds a *, which many phones cannot send inside a session"
        if re.search(r"[\u0966-\u096f]", text):
            yield f"{key} has Devanagari digits: write 0-9"


def _complete(catalogue: Catalogue, flows: Mapping[str, Any]) -> Iterator[str]:
    """Every screen with words has them, every option a label, and no text is left over."""
    wanted = {(name, screen) for name, flow in flows.items() for screen, made in flow.screens.items() if _speaks(made)}
    for flow, screen in sorted(wanted):
        texts = catalogue.at(flow, screen)
        if "text" not in texts:
            yield f"[{flow}.{screen}] has no text"
        made = flows[flow].screens[screen]
        for option in (*made.options, *filter(None, [made.items])):
            if option not in texts and option not in catalogue.shared["option"]:
                yield f"[{flow}.{screen}] has no label for the option {option!r}"
        for key in catalogue.screens.get((flow, screen), {}).keys() - {"text", "sms", *made.options, made.items}:
            yield f"[{flow}.{screen}] {key} is no option of that screen"
    shared = {(ANY, screen) for flow, screen in wanted - catalogue.screens.keys()}
    for flow, screen in sorted(catalogue.screens.keys() - wanted - shared):
        if flow not in ("sms", PLAIN_FORM):
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
        most = voice.catalogues[lang].parts(text.flow, text.screen)
        if len(reply.pages) > 1 and text.screen not in ("pick", "guess", "list", "feeder"):
            yield f"[{text.flow}.{text.screen}] takes more than {most} SMS parts: shorten it"


def worst(voice: Voice, lang: str, flows: Mapping[str, Any], limits: Limits) -> Iterator[tuple[Text, Reply]]:
    """Every screen, and every message sent besides, with the widest value in each slot."""
    catalogue = voice.catalogues[lang]
    for key in pushed(catalogue) if limits.channel == "sms" else ():
        yield _said(voice, lang, limits, Text("sms", key.removeprefix("sms."), widest(catalogue, _text(catalogue, key))))
    speaking = ((flow, name, made) for flow, one in flows.items() for name, made in one.screens.items() if _speaks(made))
    for flow, screen, made in speaking:
        options = [Option(name, "", widest(catalogue, catalogue.label(flow, screen, name))) for name in made.options]
        if made.items:
            item = Option(made.items, "", widest(catalogue, catalogue.label(flow, screen, made.items)))
            options = [*[item] * 3, *options]
        args = widest(catalogue, catalogue.text(flow, screen, sms=limits.channel == "sms"))
        text = Text(flow, screen, args, tuple(options), back=made.kind != "end", ends=made.kind == "end")
        yield _said(voice, lang, limits, text)


def _said(voice: Voice, lang: str, limits: Limits, text: Text) -> tuple[Text, Reply]:
    return text, voice.say(text, lang, limits)


# --- what operators refuse, and what reads like a fraud -------------------------------------------------------------------

#: Between two variables there must be a word.
_WORD = re.compile(r"[A-Za-z\u0900-\u0963]{2,}")
#: What a text about dues never holds: the fraud has an hour, a person, a mobile number or a link (telecom-india.md section 5).
_FRAUD = {
    "an hour": re.compile(
        r"\d\s*[:.]\s*\d\d|\b(?:am|pm|o'clock|tonight|hours?|baje|ghant\w+|aaj|raat|turant)\b|बजे|घंटे|घंटा|आज|रात|तुरंत", re.I
    ),
    "a person": re.compile(r"\b(?:officer|engineer|linem[ae]n|adhikari|karmchari)\b|अधिकारी|कर्मचारी|इंजीनियर", re.I),
    "a link": re.compile(r"https?:|www\.|\.(?:com|in|org|ly)\b", re.I),
    "a mobile number": re.compile(r"\d{10}"),
}
_FRAUD_SLOTS = {"when": "an hour", "hours": "an hour", "name": "a person", "masked": "a person"}
#: Where to pay, in the words of each language.
_PAY = re.compile(r"counter|CSC|Suvidha|काउंटर|सुविधा", re.I)


def _registered(catalogue: Catalogue, registry: Registry) -> Iterator[str]:
    """The rules of DLT registration for every pushed text (telecom-india.md section 2)."""
    for key in pushed(catalogue):
        template = registry.templates[key, catalogue.lang]
        if (key, catalogue.lang) in registry.stale:
            yield f"[{key}] was changed since it was registered: register it anew, or put the registered wording back"
            continue
        if registry.profile == "india" and not template.id:
            yield f"[{key}] has no template id: gateway templates export, register, gateway templates import"
        if catalogue.house["company"] not in template.legacy:
            yield f"[{key}] does not name {{company}}"
        if len(template.variables) > MOST_VARIABLES and not template.reason:
            yield f"[{key}] has {len(template.variables)} variables: shorten it, or give the operators a reason in meta.toml"
        pieces = template.pieces
        for before, between, after in zip(pieces, pieces[1:], pieces[2:], strict=False):
            if isinstance(before, Variable) and isinstance(after, Variable) and not _WORD.search(str(between)):
                yield f"[{key}] has only {between!r} between {{{before.name}}} and {{{after.name}}}: put a word there"
        for before, after in pairwise(pieces):
            if isinstance(before, Variable) and isinstance(after, Variable):
                yield f"[{key}]: {{{before.name}}} and {{{after.name}}} touch: put a word between them"
        for variable, (name, kind) in zip(template.variables, _text(catalogue, key).slots, strict=True):
            values = words(catalogue, name) if kind == "word" else [sample(name, kind)]
            for value in values:
                if fault := variable.fault(catalogue.render(Pattern(((name, kind),)), {name: value})):
                    yield f"[{key}] {fault}"
                    break


def _dues(catalogue: Catalogue) -> Iterator[str]:
    """The rules for texts that ask for money."""
    for key in filter(lambda key: rules(key).dues, pushed(catalogue)):
        pattern = _text(catalogue, key)
        text = " ".join(piece for piece in pattern.pieces if isinstance(piece, str))
        for what, found in _FRAUD.items():
            if match := found.search(text):
                yield f"[{key}] asks for money and names {what} ({match[0]!r}), as the fraud does: leave it out"
        for name, kind in pattern.slots:
            if kind in _FRAUD_SLOTS:
                yield f"[{key}] asks for money and names {_FRAUD_SLOTS[kind]} ({{{name}}}), as the fraud does: leave it out"
        if catalogue.house["helpline"] not in text:
            yield f"[{key}] asks for money and does not name {{helpline}}"
        if not _PAY.search(text):
            yield f"[{key}] asks for money and does not say where to pay (counter, CSC, Suvidha app)"
        if "OTP" not in text or "PIN" not in text:
            yield f"[{key}] asks for money and does not say that nobody may be given an OTP or PIN"


def _text(catalogue: Catalogue, key: str) -> Pattern:
    flow, _, screen = key.partition(".")
    return catalogue.text(flow, screen, sms=True)
