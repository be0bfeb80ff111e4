"""What a text costs on the network: GSM-7 septets or UCS-2 units, SMS parts, and the letters that may not be cut.

All counts are of the text as it is; callers bring it to NFC first, because NFC lengthens Hindi (ड़ becomes two units).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Encoding = Literal["gsm7", "ucs2"]

#: GSM-7 default alphabet without the escape, and its extension, whose characters cost two septets (3GPP TS 23.038).
GSM = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"
#: What one part holds: alone, and beside others (8-bit reference, 6 octets of header: 3GPP TS 23.040).
ALONE = {"gsm7": 160, "ucs2": 70}
EACH = {"gsm7": 153, "ucs2": 67}

_NOT_GSM = re.compile(f"[^{re.escape(GSM + EXTENSION)}]")
_EXTENDED = re.compile(f"[{re.escape(EXTENSION)}]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")

_CONSONANT = "[\u0915-\u0939\u0958-\u095f\u0978-\u097f]\u093c?"
_MARK = "[\u0900-\u0903\u093a-\u093c\u093e-\u094f\u0951-\u0957\u0962\u0963\u0300-\u036f\u200c\u200d\ufe00-\ufe0f]"
_CLUSTER = re.compile(
    f"\r\n|(?:{_CONSONANT}(?:\u094d[\u200c\u200d]?{_CONSONANT})*(?:\u094d[\u200c\u200d]?)?|.)(?:{_MARK})*", re.DOTALL
)


class Size(NamedTuple):
    """How a text goes over the air: its encoding, and its length in septets or 16-bit units."""

    encoding: Encoding
    units: int


@lru_cache(maxsize=4096)  # a page is measured again when it is found to fit, and most have been measured before
def measure(text: str) -> Size:
    """The encoding a text needs and its length in it."""
    if _NOT_GSM.search(text):
        return Size("ucs2", len(text) + len(_ASTRAL.findall(text)))
    return Size("gsm7", len(text) + len(_EXTENDED.findall(text)))


def not_gsm(text: str) -> list[str]:
    """The characters that turn a text to UCS-2, each with its code point, for people who write texts."""
    return [f"{found!r} U+{ord(found):04X}" for found in dict.fromkeys(_NOT_GSM.findall(text))]


def clusters(text: str) -> list[str]:
    """A text cut between letters as people see them: a consonant with its conjuncts, vowel sign and marks is one."""
    return _CLUSTER.findall(text)


def sms_parts(text: str) -> int:
    """How many SMS parts a text takes: the larger of cutting by code units and of cutting between letters only.

    The carrier cuts, and it is not known how; an escape or surrogate pair is never cut.
    """
    encoding, units = measure(text)
    if units <= ALONE[encoding]:
        return 1
    pieces = list(text) if encoding == "gsm7" else clusters(text)
    return max(_parts(list(text), encoding), _parts(pieces, encoding))


def _parts(pieces: list[str], encoding: Encoding) -> int:
    """How many parts hold these pieces, none of them cut unless it is longer than a part."""
    room, parts = 0, 0
    for piece in pieces:
        size = units_in(piece, encoding)
        while size > 0:
            if size > room:
                parts, room = parts + 1, EACH[encoding]
            taken = min(size, room)
            size, room = size - taken, room - taken
    return parts


def units_in(text: str, encoding: Encoding) -> int:
    """The length of a text in an encoding known to hold it."""
    return len(text) + len((_ASTRAL if encoding == "ucs2" else _EXTENDED).findall(text))
