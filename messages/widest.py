"""The widest value of every slot: what lint, drawings and template samples fill in."""

from __future__ import annotations

from messages.catalogue import TYPES, Catalogue, Pattern
from messages.encoding import measure

#: Slots without a type: what they hold at their widest.
PLAIN = {"ticket": "88888888", "pin": "802101", "receipt": "R12345678901", "account": "98765432109",
         "staff": "4471123456", "mobile": "4321",
         "new_meter": "SB345678901234567890", "no_dues": "ND345678901234567890"}  # fmt: skip
#: Slots written as words, by what may stand there: keys, or what keys begin with (`papers_`).
FAMILIES: dict[str, tuple[str, ...]] = {
    "kind": ("stopped", "burnt", "display", "fast", "broken", "stolen"),
    "told": ("told_",),
    "status": ("status_",),
    "papers": ("papers_",),
    "awaits": ("awaits_",),
    "basis": ("basis_",),
    "keyword": ("keyword_",),
    "use": ("home", "shop", "farm", "industry"),
    "area": ("town", "village"),
    "term": ("permanent", "temporary"),
    "service": ("new_connection", "name_transfer", "meter", "meter_test", "disconnection", "transformer", "reading", "call_back"),
}


def widest(catalogue: Catalogue, pattern: Pattern) -> dict[str, object]:
    """The widest value of each slot; for a word, the longest of its family (kinds, states, papers ...)."""
    return {name: _longest_word(catalogue, name) if kind == "word" else sample(name, kind) for name, kind in pattern.slots}


def sample(name: str, kind: str) -> object:
    """The widest value of a slot that is no word."""
    return TYPES[kind][1] if kind else PLAIN[name]


def words(catalogue: Catalogue, name: str) -> list[str]:
    """The keys of the words that may stand in a slot; a slot of no family (`state`) takes what is in none."""
    known = catalogue.shared["word"]
    if name in FAMILIES:
        return [key for key in known if _in_family(key, name)]
    return [key for key in known if not any(_in_family(key, family) for family in FAMILIES)]


def _in_family(key: str, family: str) -> bool:
    return any(key.startswith(member) if member.endswith("_") else key == member for member in FAMILIES[family])


def _longest_word(catalogue: Catalogue, name: str) -> str:
    return max(words(catalogue, name), key=lambda key: measure(catalogue.word(key)).units)
