"""Counting as networks count: against Twilio's calculator (recorded) and `regex`, and by properties."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from messages.encoding import ALONE, EACH, EXTENSION, GSM, clusters, measure, not_gsm, sms_parts

#: Recorded once with npm's sms-segments-calculator 1.3.0 over texts of the catalogues at their widest and random ones around
#: every boundary; the file says how.
TWILIO = json.loads((Path(__file__).parent / "data" / "twilio_segments.json").read_text(encoding="utf-8"))["samples"]
NAMES = {"gsm7": "GSM-7", "ucs2": "UCS-2"}
#: Words as people write them, to be put together at random.
WORDS = st.sampled_from(
    ("ट्रांसफार्मर", "क्षमा", "प्रज्ञा", "श्रीवास्तव", "शत्रुघ्न", "राजेन्द्र", "ज्ञानेश्वर", "विद्युत्", "पढ़ें", "हाँ", "दुःख", "कि", "१२",
     "रु", "नया", "कनेक्शन", "bill", "Rs", "1,240", "CA", "é", "€", "[x]", "😀")
)  # fmt: skip
TEXTS = st.lists(WORDS).map(" ".join)
ANY = st.text(st.characters(exclude_categories=["Cs"]))


def test_alphabet() -> None:
    """127 characters of the default alphabet and 10 of the extension (3GPP TS 23.038)."""
    assert len(set(GSM)) == 127
    assert len(set(EXTENSION)) == 10
    assert not set(GSM) & set(EXTENSION)


def test_agrees_with_twilio() -> None:
    assert len(TWILIO) == 291
    for text, encoding, units, segments in TWILIO:
        size = measure(text)
        assert (NAMES[size.encoding], size.units) == (encoding, units), text
        assert sms_parts(text) == segments, text


@pytest.mark.parametrize(
    ("text", "encoding", "units", "parts"),
    [
        ("", "gsm7", 0, 1),
        ("a" * 160, "gsm7", 160, 1),
        ("a" * 161, "gsm7", 161, 2),
        ("€" * 80, "gsm7", 160, 1),
        ("€" * 81, "gsm7", 162, 2),
        ("a" * 152 + "€" + "a" * 152, "gsm7", 306, 3),  # the escape pair may not be cut at 153
        ("ç", "ucs2", 1, 1),
        ("Ç", "gsm7", 1, 1),
        ("₹", "ucs2", 1, 1),
        ("क" * 70, "ucs2", 70, 1),
        ("क" * 71, "ucs2", 71, 2),
        ("कि" * 67, "ucs2", 134, 3),  # 2 by units, 3 by whole letters: the carrier cuts, we take the worse
        ("😀" * 35, "ucs2", 70, 1),
        ("ट्रांसफार्मर", "ucs2", 12, 1),
        (unicodedata.normalize("NFC", "पढ़ें"), "ucs2", 5, 1),
    ],
)
def test_counts(text: str, encoding: str, units: int, parts: int) -> None:
    assert (*measure(text), sms_parts(text)) == (encoding, units, parts)


def test_offenders_are_named() -> None:
    assert not_gsm("it’s ₹5 ₹6") == ["'’' U+2019", "'₹' U+20B9"]


@given(TEXTS)
def test_letters_as_regex_has_them(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    assert clusters(text) == regex.findall(r"\X", text)


@given(ANY)
def test_letters_lose_nothing(text: str) -> None:
    assert "".join(clusters(text)) == text


@given(ANY)
def test_units_are_those_of_the_wire(text: str) -> None:
    size = measure(text)
    if size.encoding == "ucs2":
        assert size.units == len(text.encode("utf-16-be")) // 2
    else:
        assert size.units == len(text) + sum(text.count(letter) for letter in EXTENSION)


@given(ANY)
def test_parts_hold_the_text(text: str) -> None:
    encoding, units = measure(text)
    parts = sms_parts(text)
    assert parts == 1 if units <= ALONE[encoding] else parts * EACH[encoding] >= units
