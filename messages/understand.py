"""From what a person typed to what they meant: digits of any script, the spellings of a keyword, answers in words.

Two tiers. A spelling whose folded form is listed in keywords.toml is acted on (`Said.intent`); one that is merely near is
only ever asked about (`Said.guesses`), and so is a message that names two things or denies one. Measured on unseen
spellings in tests/test_understand.py; the method was chosen from twelve, see facts/text.md section 5.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rapidfuzz import fuzz, process

from flows.records import Said, replace
from flows.screens import LONGEST_OPTION
from flows.verhoeff import verhoeff_ok

# --- digits and invisible characters ------------------------------------------------------------------------------------

_INVISIBLE = "\u200b-\u200f\u2060\ufeff\u00ad"
_DROP_INVISIBLE = re.compile(f"[{_INVISIBLE}]+")
#: Devanagari and full-width digits, one for one, so that places in the text stay the same. `int` would take far more.
_DIGITS = {base + n: ord("0") + n for base in (0x0966, 0xFF10) for n in range(10)}
_LOOKALIKES = str.maketrans("OolI", "0011")
#: O for 0 and l or I for 1, beside a digit and beside no other letter.
_LOOKALIKE = re.compile(r"(?<=[0-9])[OolI]+(?=[0-9]|\b)|\b[OolI]+(?=[0-9])")
_LETTERLIKE = re.compile(r"[OolI]")
#: 4,400 and 1,24,000 as bills print them.
_GROUPED = re.compile(r"(?<![0-9,])[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?![0-9,])")
#: The number that stands before an option as it is printed.
_NUMBERED = re.compile(r"\W*[0-9\u0966-\u096f]{1,2}(?:\s|[.):=-])+(?=\D)")
_ENDS = " \t\r\n()[].,;:!?\"'\u0964\u0965"
_WHOLE_NUMBER = re.compile(r"[0-9]+(?:[ -]+[0-9]+)*")

_D = "[0-9\u0966-\u096f\uff10-\uff19]"
_AADHAAR_FIRST = "[2-9\u0968-\u096f\uff12-\uff19]"
_HIDDEN = f"[{_INVISIBLE}]*"
_BETWEEN = rf"[\s{_INVISIBLE}\u2010-\u2014-]{{0,3}}"
_AADHAAR = re.compile(
    f"(?<!{_D}){_AADHAAR_FIRST}(?:{_HIDDEN}{_D}){{3}}{_BETWEEN}{_D}(?:{_HIDDEN}{_D}){{3}}{_BETWEEN}{_D}(?:{_HIDDEN}{_D}){{3}}(?!{_D})"
)
#: Stands for the first eight digits of an Aadhaar-looking number.
MASK = "XXXX XXXX "


def mask_aadhaar(text: str) -> tuple[str, bool]:
    """The text with every Aadhaar-looking number as `XXXX XXXX 1234`, and whether there was one.

    Aadhaar-looking: 12 digits of one of three scripts, also written 4-4-4, the first 2 to 9, the last a Verhoeff digit.
    By chance one in twelve 12-digit numbers looks so; nothing of ours has 12 digits.
    """
    if len(text) < 12:
        return text, False  # as nearly all of USSD is
    masked, at = False, 0
    while found := _AADHAAR.search(text, at):
        digits = "".join(c for c in found.group().translate(_DIGITS) if "0" <= c <= "9")
        if verhoeff_ok(digits):
            text = text[: found.start()] + MASK + digits[8:] + text[found.end() :]
            # The four digits left may begin another number with what follows.
            masked, at = True, found.start() + len(MASK)
        else:
            at = found.start() + 1
    return text, masked


def _with_ascii_digits(text: str) -> str:
    """The same text, character for character, with ASCII digits and no letters standing in for digits."""
    if not text.isascii():
        text = text.translate(_DIGITS)
    text = _GROUPED.sub(lambda found: found.group().replace(",", ""), text)
    if _LETTERLIKE.search(text):
        text = _LOOKALIKE.sub(lambda found: found.group().translate(_LOOKALIKES), text)
    return text


def _whole_number(plain: str) -> str:
    """The digits of a text that is nothing but one number, else empty."""
    bare = _DROP_INVISIBLE.sub("", plain).strip(_ENDS)
    return re.sub("[ -]", "", bare) if _WHOLE_NUMBER.fullmatch(bare) else ""


# --- folding: one key for the many spellings of a word ------------------------------------------------------------------

_CONSONANTS = {
    "क": "k", "ख": "kh", "ग": "g", "घ": "gh", "ङ": "n", "च": "ch", "छ": "ch", "ज": "j", "झ": "jh", "ञ": "n", "ट": "t",
    "ठ": "th", "ड": "d", "ढ": "dh", "ण": "n", "त": "t", "थ": "th", "द": "d", "ध": "dh", "न": "n", "प": "p", "फ": "ph",
    "ब": "b", "भ": "bh", "म": "m", "य": "y", "र": "r", "ल": "l", "व": "v", "श": "sh", "ष": "sh", "स": "s", "ह": "h", "ळ": "l",
}  # fmt: skip
_VOWELS = {
    "अ": "a", "आ": "a", "इ": "i", "ई": "i", "उ": "u", "ऊ": "u", "ऋ": "ri", "ए": "e", "ऐ": "ai", "ऑ": "a", "ओ": "o", "औ": "au",
    "ऍ": "e",
}  # fmt: skip
_SIGNS = {
    "ा": "a", "ि": "i", "ी": "i", "ु": "u", "ू": "u", "ृ": "ri", "े": "e", "ै": "ai", "ॉ": "a", "ो": "o", "ौ": "au", "ॅ": "e",
}  # fmt: skip
_NUKTA, _VIRAMA = "\u093c", "\u094d"
_SCHWA = "\u0259"
_NASAL = re.compile(f"[ङञणनम]{_VIRAMA}(?=[क-ह])")
_DEVANAGARI = re.compile("[\u0900-\u097f]")
#: The vowel nobody says: between vowel-consonant and consonant-vowel; read from the end of the word.
_UNSAID = re.compile(f"([aeiou{_SCHWA}])(h?[^aeiou{_SCHWA}])a?{_SCHWA}(?=[^aeiou{_SCHWA}]+[aeiou{_SCHWA}])")
_ROMAN = tuple(
    (re.compile(pattern), to)
    for pattern, to in (
        ("(?:ct|x)ion$", "ksan"),
        ("[st]ion$", "san"),
        ("x", "ks"),
        ("chh?", "\x01"),
        ("c(?=[eiy])", "s"),
        ("c?k|c|q", "k"),
        ("\x01", "c"),
        ("ph", "f"),
        ("(?<=[kgjtdbs])h", ""),
        ("ee", "i"),
        ("oo", "u"),
        ("ai", "e"),
        ("au", "o"),
        (r"(.)\1+", r"\1"),
    )
)
_LETTERS = str.maketrans("zw", "jv")


@lru_cache(maxsize=8192)
def fold(word: str) -> str:
    """The key under which the spellings of one word, in Devanagari or Latin letters, are compared; never shown or kept."""
    word = _DROP_INVISIBLE.sub("", unicodedata.normalize("NFC", word).casefold())
    if _DEVANAGARI.search(word):
        word = to_latin(word)
    word = word.translate(_LETTERS)
    for pattern, to in _ROMAN:
        word = pattern.sub(to, word)
    return word


def to_latin(word: str) -> str:
    """A Devanagari word as it is said, in Latin letters."""
    word = unicodedata.normalize("NFD", word).replace(_NUKTA, "")
    word = word.replace("\u093e\u0945", "\u0949").replace("अ\u093e", "आ").replace("\u0901", "\u0902")
    word = _NASAL.sub("\u0902", word)
    said: list[str] = []
    for letter, after in pairwise([*word, ""]):
        if letter in _CONSONANTS:
            said.append(_CONSONANTS[letter])
            if after not in _SIGNS and after != _VIRAMA:
                said.append(_SCHWA)
        elif letter in _SIGNS:
            said.append(_SIGNS[letter])
        elif letter in _VOWELS:
            said.append(_VOWELS[letter])
        elif letter == "\u0902":
            said.append("m" if after and after in "पफबभ" else "n")
        elif letter.isascii():
            said.append(letter)
    if len(said) > 2 and said[-1] == _SCHWA:
        said.pop()
    latin = _UNSAID.sub(r"\1\2", "".join(said)[::-1])[::-1]
    return latin.replace(_SCHWA, "a")


# --- words and numbers of a message -------------------------------------------------------------------------------------

_GROUP = f"[0-9](?:{_HIDDEN}[0-9])*+"
_TOKEN = re.compile(
    r"XXXX XXXX [0-9]{4}"  # a masked number is no number
    r"|[0-9]+(?:[._/][0-9]+)+"  # nor is 1.5, 1_000 or a date
    rf"|(?P<number>{_GROUP}(?:{_HIDDEN}[ -]{_HIDDEN}(?!{_GROUP}[._/][0-9]){_GROUP})*+)"
    r"|(?P<word>[^\s0-9!-/:-@\[-`{-~\u0964\u0965\u2010-\u2027\u0966-\u096f\uff10-\uff19]+)"
)
_PIN = re.compile("[1-9][0-9]{5}")
_SEPARATORS = re.compile(f"[ {_INVISIBLE}-]+")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word: its folded key, as it was typed in small letters, and where it stands."""

    key: str
    typed: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Hit:
    """A listed word or phrase: which words it takes, and the intent and the answers it stands for (none: ordinary words)."""

    first: int
    after: int
    intent: str
    answers: frozenset[str]


def _words_and_numbers(
    plain: str, account: re.Pattern[str], same: Mapping[str, str]
) -> tuple[list[_Word], list[tuple[int, str]]]:
    """The words, each with the key that it is the `same` as, and the numbers with their places."""
    words: list[_Word] = []
    numbers: list[tuple[int, str]] = []
    for token in _TOKEN.finditer(plain):
        text, start = token.group(), token.start()
        if token.lastgroup == "word" and any(c.isalpha() for c in text):
            key = fold(text)
            words.append(_Word(same.get(key, key), text.casefold(), start, token.end()))
        elif token.lastgroup == "number":
            numbers += [(start, number) for number in _numbers(text, account)]
    return [word for word in words if word.key], numbers


def _numbers(run: str, account: re.Pattern[str]) -> list[str]:
    """The numbers in digits set apart by spaces or hyphens: one account number in groups, or several numbers."""
    groups = _SEPARATORS.split(run)
    joined = "".join(groups)
    if len(joined) == 12 and len(groups) > 1 and all(len(group) == 4 for group in groups):
        return [joined]
    stands_alone = any(account.fullmatch(group) or len(group) in (6, 8) for group in groups)
    return [joined] if len(groups) > 1 and account.fullmatch(joined) and not stands_alone else groups


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


KEYWORDS = Path(__file__).with_name("keywords.toml")
#: The languages, in the order of the language menu. A language is a file here.
LANGUAGES = ("hi", "hi-Latn", "en")
CATALOGUES = tuple(Path(__file__).with_name(f"{lang}.toml") for lang in LANGUAGES)
#: Tables of a catalogue that are no screens, and what stands in a screen's table beside the labels of its options.
NO_SCREENS, NO_LABELS = ("option", "line", "word"), ("text", "sms", "max_parts")


@lru_cache(maxsize=1)
def _labels() -> dict[str, list[str]]:
    """The options as the catalogues print them in every language: name -> labels, those with values in them left out."""
    labels: dict[str, list[str]] = {}
    for path in sorted(CATALOGUES):
        tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        screens = [screen for table, its in tables.items() if table not in NO_SCREENS for screen in its.values()]
        for texts in (tables["option"], *screens):
            for name, label in texts.items():
                if name not in NO_LABELS and "{" not in label:
                    labels.setdefault(name, []).append(label)
    return labels


# --- the ear ------------------------------------------------------------------------------------------------------------

#: Nearness from which a word is asked about, how far the others may lie behind the best, and how many are offered:
#: measured, facts/text.md section 5.
NEAR, BEHIND, OFFERED = 75, 5, 3
_WORD_LEAST, _FREE_LEAST = 3, 5


class Ear:
    """Understands messages by the lists of keywords.toml; built once, then only read, so that threads may share it.

    `ca_pattern` is the shape of an account number (never 12 digits: that would be an Aadhaar number), `ticket_digits` the
    length of a ticket number with its check digit. `aliases` are spellings that staff added, each with its intent.
    Raises ValueError when two intents share a folded spelling, or a list names an intent that is not there.
    """

    def __init__(
        self,
        ca_pattern: str = r"\d{9,11}",
        ticket_digits: int = 8,
        aliases: Mapping[str, str] = MappingProxyType({}),
        keywords: Path = KEYWORDS,
    ) -> None:
        table: dict[str, Any] = tomllib.loads(keywords.read_text(encoding="utf-8"))
        self._account = re.compile(ca_pattern, re.ASCII)
        self._ticket_digits = ticket_digits
        rules = table["rules"]
        self._exact = frozenset(rules["exact"])
        self._strict = frozenset(rules["strict"])
        self._free = frozenset(rules["free_text"])
        self._own_numbers = frozenset(rules["own_numbers"])
        self._yields = frozenset(rules["yields"])
        self._urgent = frozenset(rules["urgent"])
        self._counted = frozenset(map(fold, rules["counted"]))
        self._only_alone = frozenset(rules["answers_alone"])
        self._topics = {intent: frozenset(names) for intent, names in table["topics"].items()}
        self._same = {fold(word): fold(key) for key, words in table["same"].items() for word in words}
        self._fillers = frozenset(map(fold, rules["fillers"]))
        self._denials = frozenset(map(fold, rules["denials"]))
        self._little = self._fillers | self._denials
        self._possessive = frozenset(map(fold, rules["possessive"]))
        self._units = frozenset(map(fold, rules["units"]))
        self._known = self._fillers | self._units
        self._alone = frozenset(map(fold, rules["alone"]))
        self._ordinary = frozenset(unicodedata.normalize("NFC", word).casefold() for word in rules["ordinary"])
        self._hints: dict[str, list[str]] = {fold(word): names for word, names in table["hints"].items()}
        self._number_words: dict[str, str] = {word: n for n, words in table["numbers"].items() for word in words}
        self._intents = self._fold_intents(table["intents"], aliases)
        self._answers = self._fold_answers(table["answers"])
        self._labels = self._fold_answers(_labels())
        self._introductions = frozenset(map(self._key, rules["introductions"]))
        self._longest = max(len(key.split()) for key in (*self._intents, *self._answers, *self._ordinary))
        self._near = [key for key in self._intents if len(key) >= _WORD_LEAST]
        self._english, self._hindi = self._registers(table)
        self._digits = {str(n): Said(raw=str(n), number=str(n)) for n in range(100)}

    @property
    def intents(self) -> frozenset[str]:
        """Every intent that can be understood."""
        return frozenset(self._intents.values())

    @property
    def options(self) -> frozenset[str]:
        """Every option name that words can stand for."""
        return frozenset(name for names in self._answers.values() for name in names)

    def _key(self, phrase: str) -> str:
        return " ".join(word.key for word in _words_and_numbers(phrase, _PIN, self._same)[0])

    def _fold_intents(self, intents: Mapping[str, Mapping[str, Sequence[str]]], aliases: Mapping[str, str]) -> dict[str, str]:
        """Folded spelling -> intent."""
        listed = [(phrase, intent) for intent, lists in intents.items() for phrases in lists.values() for phrase in phrases]
        folded: dict[str, str] = {}
        for phrase, intent in (*listed, *aliases.items()):
            if intent not in intents:
                raise ValueError(f"{phrase!r} stands for {intent}, which keywords.toml does not know")
            key = self._key(phrase)
            if not key:
                raise ValueError(f"{phrase!r} of {intent} has no letters")
            if folded.setdefault(key, intent) != intent:
                raise ValueError(f"{phrase!r} would stand for both {folded[key]} and {intent}")
        for key, intent in tuple(folded.items()):
            folded.setdefault(key.replace(" ", ""), intent)  # the space left out: "nayaconnection"
        return folded

    def _fold_answers(self, answers: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
        """Folded spelling -> every option it may stand for."""
        folded: dict[str, frozenset[str]] = {}
        for name, phrases in answers.items():
            for key in map(self._key, phrases):
                folded[key] = folded.get(key, frozenset()) | {name}
        return folded

    @staticmethod
    def _registers(table: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
        """Words that only an English, and words that only a romanised Hindi message has."""
        english = frozenset(table["rules"]["english"])
        lists = table["intents"].values()
        shared = {word for names in lists for phrase in names.get("en", ()) for word in phrase.casefold().split()}
        romanised = {word for names in lists for phrase in names.get("hi-Latn", ()) for word in phrase.casefold().split()}
        fillers = {word for word in table["rules"]["fillers"] if word.isascii()}
        return english, frozenset((romanised | fillers) - shared - english)

    # --- hearing ---

    def piece(self, text: str) -> Said:
        """One USSD input, which is nearly always a number."""
        if text in self._digits:
            return self._digits[text]
        if len(text) < 12 and text.isascii() and text.isdigit():
            return self._bare(text, text)
        return self.message(text)[0]

    def _bare(self, raw: str, number: str, aadhaar: bool = False) -> Said:
        """One number and nothing else."""
        size = len(number)
        return Said(
            raw=raw,
            number=number,
            account=number if size != 12 and self._account.fullmatch(number) else "",
            ticket=number if size == self._ticket_digits and verhoeff_ok(number) else "",
            pin=number if size == 6 and number[0] != "0" else "",
            aadhaar=aadhaar,
        )

    def message(self, text: str) -> tuple[Said, ...]:
        """An SMS: what it says first, then each answer and number written behind, in their order (never empty). Who types an
        option as it is printed means it, whatever else its words might stand for."""
        words, numbers = _words_and_numbers(text, self._account, self._same)
        if (found := _NUMBERED.match(text)) and len(numbers) == 1 and " ".join(w.key for w in words) in self._labels:
            text, numbers = text[found.end() :], []
        first, *behind = self._message(text)
        printed = self._labels.get(" ".join(word.key for word in words)) if words and not numbers else None
        return (replace(first, answers=first.answers | printed) if printed else first, *behind)

    def _message(self, text: str) -> tuple[Said, ...]:
        raw, aadhaar = mask_aadhaar(text)
        plain = _with_ascii_digits(raw)
        if number := _whole_number(plain):
            several = tuple(_numbers(_DROP_INVISIBLE.sub("", plain).strip(_ENDS), self._account))
            if len(several) > 1 and any(self._account.fullmatch(one) for one in several):
                return (self._shape(Said(raw=raw, numbers=several, aadhaar=aadhaar), several),)
            return (self._bare(raw, number, aadhaar),)
        if not _DROP_INVISIBLE.sub("", plain).strip():
            return (Said(),)
        words, numbers = _words_and_numbers(plain, self._account, self._same)
        said = Said(raw=raw, register=self._register(words), aadhaar=aadhaar)
        if not words:
            asks = "?" in raw and not numbers
            several = tuple(number for _, number in numbers)
            return (self._shape(replace(said, intent="HELP" if asks else "", numbers=several), several),)
        if not numbers and len(words) == 1 and words[0].typed in self._number_words:
            return (replace(said, number=self._number_words[words[0].typed]),)
        is_short = len(numbers) == 1 and len(numbers[0][1]) < self._ticket_digits and "-" not in plain
        if is_short and all(word.key in self._known for word in words):  # 4400 unit hai
            return (self._shape(replace(said, number=numbers[0][1]), [numbers[0][1]]),)
        return self._sentence(said, words, numbers)

    def _shape(self, said: Said, numbers: Sequence[str]) -> Said:
        """With account, ticket and PIN set from the first numbers of those shapes."""
        account = next((n for n in numbers if self._account.fullmatch(n) and len(n) != 12), "")
        ticket = next((n for n in numbers if len(n) == self._ticket_digits and verhoeff_ok(n)), "")
        pin = next((n for n in numbers if _PIN.fullmatch(n)), "")
        return replace(said, account=account, ticket=ticket, pin=pin) if account or ticket or pin else said

    def _sentence(self, said: Said, words: Sequence[_Word], numbers: Sequence[tuple[int, str]]) -> tuple[Said, ...]:
        """A message with words in it."""
        hits = self._hits(words)
        main = next((hit for hit in hits if hit.intent and hit.intent not in self._yields | self._urgent), None) or next(
            (hit for hit in hits if hit.intent), None
        )
        urgent = next((hit for hit in hits if hit.intent in self._urgent), None)
        if urgent and not (main and self._speaks_of(main, urgent)):
            answers = urgent.answers - self._only_alone | self._whole(words, little_words=True)
            return (replace(said, intent=urgent.intent, answers=answers),)
        answers = self._whole(words, little_words=main is None)
        shaped = self._shape(said, [number for _, number in numbers])
        if "no" in answers and shaped.ticket and (main is None or main.intent == "NOTDONE"):
            return (replace(shaped, intent="NOTDONE"),)
        if main is None:
            if not answers and not numbers:
                answers = self._agreed(words, hits)
            if not answers and not self._denied(words, hits):
                answers = frozenset(name for hit in hits for name in hit.answers) - self._only_alone
            return (replace(shaped, answers=answers, guesses=self._guess(words, hits, answered=bool(answers))),)
        rivals = self._rivals(main, hits, words)
        if rivals or not self._certain(main, words, hits, bool(numbers)):
            offered = () if main.intent in self._exact and self._denied(words, hits) else (main.intent, *rivals)[:OFFERED]
            return (replace(shaped, answers=answers, guesses=offered, words=self._behind(said.raw, words[main.after - 1].end)),)
        said = replace(said, intent=main.intent, answers=frozenset() if numbers else answers)
        if main.intent in self._free:
            return self._free_texts(said, main, words, hits, numbers)
        return self._command(said, main, words, hits, numbers)

    def _speaks_of(self, main: _Hit, urgent: _Hit) -> bool:
        """Whether an intent asks about this danger itself, or what sounds like one is part of a name or an address."""
        if main.intent in self._urgent:
            return False
        known = self._topics[urgent.intent] & self._topics.get(main.intent, frozenset())
        return bool(urgent.answers & known) or (main.intent in self._free and main.first < urgent.first)

    def _hits(self, words: Sequence[_Word]) -> list[_Hit]:
        """The listed phrases from left to right, the longest first; a word counted only alone must be all there is."""
        hits: list[_Hit] = []
        at, count = 0, len(words)
        while at < count:
            for size in range(min(self._longest, count - at), 0, -1):
                taken = words[at : at + size]
                if " ".join(word.typed for word in taken) in self._ordinary:
                    hits.append(_Hit(at, at + size, "", frozenset()))
                    at += size
                    break
                key = " ".join(word.key for word in taken)
                intent, answers = self._intents.get(key, ""), self._answers.get(key, frozenset())
                if (intent or answers) and (size > 1 or self._may_stand(key, words)):
                    hits.append(_Hit(at, at + size, intent, answers))
                    at += size
                    break
            else:
                at += 1
        return hits

    def _may_stand(self, key: str, words: Sequence[_Word]) -> bool:
        """Whether a single word counts here: short ones and greetings only alone."""
        if self._intents.get(key) in self._urgent:
            return True
        return (len(key) > 2 and key not in self._alone) or all(word.key == key or word.key in self._fillers for word in words)

    def _whole(self, words: Sequence[_Word], *, little_words: bool) -> frozenset[str]:
        """The answers that the message stands for as a whole; `little_words` may be left out if no keyword claims them."""
        found = self._answers.get(" ".join(word.key for word in words), frozenset())
        if found or not little_words:
            return found
        return self._answers.get(" ".join(word.key for word in words if word.key not in self._fillers), frozenset())

    def _agreed(self, words: Sequence[_Word], hits: Sequence[_Hit]) -> frozenset[str]:
        """What all of the message says, one phrase like the other: "haan, theek hai"."""
        if not hits or any(word.key not in self._fillers for _, word in self._rest(words, hits)):
            return frozenset()
        return frozenset.intersection(*(hit.answers for hit in hits))

    @staticmethod
    def _rest(words: Sequence[_Word], hits: Sequence[_Hit]) -> list[tuple[int, _Word]]:
        """The words that no listed phrase took."""
        taken = {place for hit in hits if hit.intent or hit.answers for place in range(hit.first, hit.after)}
        return [(place, word) for place, word in enumerate(words) if place not in taken]

    def _denied(self, words: Sequence[_Word], hits: Sequence[_Hit]) -> bool:
        """Whether there is a 'not' that belongs to no listed phrase."""
        telling = [hit for hit in hits if hit.intent or hit.answers - self._only_alone]
        return any(word.key in self._denials for _, word in self._rest(words, telling))

    def _rivals(self, main: _Hit, hits: Sequence[_Hit], words: Sequence[_Word]) -> tuple[str, ...]:
        """Other intents in the message that are no answer to the main one's questions."""
        if main.intent in self._free:
            mine = " ".join(word.key for word in words[main.first : main.after]) in self._introductions
            aside = self._free | self._yields | self._urgent
            return _distinct(hit.intent for hit in hits if mine and hit.intent and hit.intent not in aside)
        topic = self._topics.get(main.intent, frozenset())
        others = (hit.intent for hit in hits if hit.intent not in ("", main.intent) and not hit.answers & topic)
        return _distinct(intent for intent in others if intent not in self._yields)

    def _certain(self, main: _Hit, words: Sequence[_Word], hits: Sequence[_Hit], has_numbers: bool) -> bool:
        """Whether to act: nothing unknown before it, nothing denied, nothing unknown at all around a weak word."""
        if main.intent in self._exact:
            return main.after - main.first == len(words) and not has_numbers
        if self._denied(words, hits) or (main.intent in self._free and main.first and main.after - main.first == 1):
            return False
        unknown = [place for place, word in self._rest(words, hits) if word.key not in self._known]
        if main.intent in self._strict and main.after - main.first == 1:
            return not unknown
        return not unknown or unknown[0] > main.first

    def _free_texts(
        self, said: Said, main: _Hit, words: Sequence[_Word], hits: Sequence[_Hit], numbers: Sequence[tuple[int, str]]
    ) -> tuple[Said, ...]:
        """A name, an address, or both in one message, each up to where the other begins."""
        others = (hit for hit in hits if hit.first >= main.after and hit.intent in self._free - {main.intent})
        other = next((hit for hit in others if words[hit.first - 1].key not in self._possessive), None)  # pita ka naam
        if other is None:
            return (self._free_text(said, main, words, numbers),)
        end = words[other.first].start
        first = self._free_text(
            replace(said, raw=said.raw[:end]), main, words[: other.first], [one for one in numbers if one[0] < end]
        )
        behind = self._free_text(
            replace(said, intent=other.intent, answers=frozenset()), other, words, [one for one in numbers if one[0] > end]
        )
        return replace(first, raw=said.raw), behind

    def _free_text(self, said: Said, main: _Hit, words: Sequence[_Word], numbers: Sequence[tuple[int, str]]) -> Said:
        """A name or an address: what follows is kept as it was written, and no number in it is taken for an account.

        Only a number right behind the keyword is (`NAAM 123456789 Ramesh Kumar`).
        """
        end = words[main.after - 1].end
        behind = self._behind(said.raw, end)
        rest = [word for word in words[main.after :] if word.key not in self._fillers]
        found = re.match(r"\W*[0-9-]{6,}(?![\w-])", _with_ascii_digits(said.raw)[end:])
        if found and main.intent == "NAME":
            named = self._shape(said, [re.sub("[^0-9]", "", found.group())])
            if named.account or named.ticket:
                return replace(named, pin="", words=self._behind(said.raw, end + found.end()) if rest else "")
        pin = self._shape(said, [number for _, number in numbers]).pin if main.intent == "ADDRESS" else ""
        return replace(said, pin=pin, words=behind if rest else "")

    def _command(
        self, said: Said, main: _Hit, words: Sequence[_Word], hits: Sequence[_Hit], numbers: Sequence[tuple[int, str]]
    ) -> tuple[Said, ...]:
        """A keyword with its numbers, and the answers that were written along."""
        digits = [number for _, number in numbers]
        first = self._shape(said, digits)
        if main.intent in self._own_numbers:
            first = replace(first, ticket="", pin="")
        topic = self._topics.get(main.intent, frozenset())
        later: list[tuple[int, Said]] = []
        for hit in hits:
            meant = hit.answers & topic or (hit.answers - self._only_alone if hit.intent != main.intent else frozenset())
            if meant:
                start, end = words[hit.first].start, words[hit.after - 1].end
                later.append((start, Said(raw=said.raw[start:end], answers=meant, register=said.register)))
        again = (hit.answers for hit in hits if hit is not main and hit.intent == main.intent)
        first = replace(first, answers=first.answers.union(*again))  # GALAT mera nahin
        spent = [number for number in (first.account, first.ticket, first.pin) if number]
        for start, number in numbers:
            if number in spent:
                spent.remove(number)
            elif len(number) != 12 and not self._counts(start, number, words):
                later.append((start, self._bare(number, number)))
        if not digits:
            first = replace(first, answers=first.answers | frozenset(name for _, one in later for name in one.answers & topic))
        first = replace(first, words=self._behind(said.raw, words[main.after - 1].end))
        return (first, *(one for _, one in sorted(later, key=lambda pair: pair[0])))

    def _counts(self, start: int, number: str, words: Sequence[_Word]) -> bool:
        """Whether a number is no choice but counts what stands behind it (2 din, 1 june), or is a nought: one of a sentence."""
        if number == "0" or len(number) > LONGEST_OPTION:
            return number == "0"
        after = next((word for word in words if word.start > start), None)
        return after is not None and after.start - start <= len(number) + 1 and after.key in self._counted

    @staticmethod
    def _behind(raw: str, end: int) -> str:
        """What was written behind the keyword."""
        return raw[end:].lstrip(" \t\r\n.,:;!?=>-\u0964").rstrip()

    def _guess(self, words: Sequence[_Word], hits: Sequence[_Hit], *, answered: bool) -> tuple[str, ...]:
        """Intents whose spelling is near one of these words, or near all of them together; the nearest first.

        Ordinary words are near to nothing, nor are those that are an answer, if the message is `answered`.
        """
        spoken = (hit for hit in hits if not hit.intent and (answered or not hit.answers))
        taken = {place for hit in spoken for place in range(hit.first, hit.after)}
        keys = [word.key for place, word in enumerate(words) if place not in taken]
        heard = [key for key in keys if len(key) >= _WORD_LEAST and key not in self._little]
        if len(heard) > 1:
            heard.append(" ".join(heard))
        scores: dict[str, float] = {}
        for key in heard:
            for near, score, _ in process.extract(key, self._near, scorer=fuzz.ratio, score_cutoff=NEAR, limit=2 * OFFERED):
                # Short words lie near too much: theirs must begin alike, and no letter may stand for another.
                if len(key) >= _FREE_LEAST or (near[0] == key[0] and score > NEAR):
                    intent = self._intents[near]
                    scores[intent] = max(score, scores.get(intent, 0))
        if not scores:
            return _distinct(intent for key in keys for intent in self._hints.get(key, ()))[:OFFERED]
        best = sorted(scores, key=lambda intent: -scores[intent])
        return tuple(intent for intent in best if scores[intent] >= scores[best[0]] - BEHIND)[:OFFERED]

    def _register(self, words: Sequence[_Word]) -> str:
        """The language of the words: by the script, else English by an English-only word with no Hindi beside it."""
        if not words:
            return ""
        if any(_DEVANAGARI.search(word.typed) for word in words):
            return "hi"
        typed = {word.typed for word in words}
        return "en" if typed & self._english and not typed & self._hindi else "hi-Latn"
