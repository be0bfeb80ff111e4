"""Every screen of every flow on every kind of phone, with the worst values: nothing lost, nothing cut wrongly, nothing too long."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest
import regex
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flows import FLOWS
from flows.records import INDIA, Name, Option, Text
from flows.screens import RESERVED, number_of
from gateway.settings import Settings
from messages import Limits, Reply, Voice
from messages.catalogue import MissingText, clean, rupees, shorten
from messages.dlt import Registry
from messages.encoding import measure
from messages.fit import pages
from messages.lint import lint, worst
from messages.widest import words

VOICE = Voice(Settings.model_construct().house())
USSD = {
    "160/80": Limits("ussd", 160, 80),
    "160/80 with a prefix": Limits("ussd", 160, 80, overhead=4),
    "182/80": Limits("ussd", 182, 80),
    "160/70": Limits("ussd", 160, 70),
    "160/60": Limits("ussd", 160, 60),
    "no Devanagari": Limits("ussd", 160, 80, overhead=4, devanagari=False),
}
SCREENS = [
    (flow, screen)
    for flow, made in FLOWS.items()
    for screen, kind in made.screens.items()
    if kind.kind in ("menu", "ask", "confirm", "end")
]
#: What people's records hold at their worst: conjuncts, marks in piles, odd quotes and spaces, controls, emoji, other scripts.
HOSTILE = st.one_of(
    st.sampled_from(["", " ", "'", "’‘“”–…", "क्ष्म्य" * 12, "ज़ड़ढ़" * 9, "W" * 60, "<b>{x}", "*0#", "9 More", "0 Back\n1 Yes"]),
    st.text(st.sampled_from("कखगषत्ािीुृ़ंँः्\u200d\u200c ज्ञ₹’\n\t<>{}*#0123abcÇ€😀👨‍👩‍👧"), max_size=40),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=25),
)
VALUES: Mapping[str, st.SearchStrategy[object]] = {
    "": HOSTILE,
    "rupees": st.integers(-(10**9), 10**11),
    "date": st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    "month": st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    "when": st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    "tail": st.text("0123456789", min_size=4, max_size=12),
    "count": st.integers(0, 10**7),
    "name": st.builds(Name, HOSTILE, HOSTILE),
    "masked": st.builds(Name, HOSTILE, HOSTILE),
    "place": st.builds(Name, HOSTILE, HOSTILE),
    "kw": st.integers(0, 5_000_000),
    "hours": st.timedeltas(timedelta(0), timedelta(days=60)),
    "days": st.timedeltas(timedelta(0), timedelta(days=400)),
}


@st.composite
def texts(draw: st.DrawFn, most_items: int = 6) -> Text:
    """Any screen's text, with lines on top as the step puts them, and any values."""
    flow, screen = draw(st.sampled_from(SCREENS))
    made = FLOWS[flow].screens[screen]
    names = [*([made.items] * draw(st.integers(0, most_items)) if made.items else []), *made.options]
    options = tuple(Option(name, str(n), _values(draw, flow, screen, name)) for n, name in enumerate(names))
    errors = st.sampled_from(sorted(VOICE.catalogues["hi"].shared["line"].keys() - {"back", "more"}))
    top = draw(st.lists(errors, max_size=1)) + draw(st.sampled_from(([], ["help_line"], ["aadhaar"])))
    back = made.kind != "end" and screen != "home"
    return Text(flow, screen, _values(draw, flow, screen, ""), options, tuple(top), back=back, ends=made.kind == "end")


def _values(draw: st.DrawFn, flow: str, screen: str, option: str) -> dict[str, object]:
    slots = {}
    for catalogue in VOICE.catalogues.values():
        patterns = (
            [catalogue.label(flow, screen, option)] if option else [catalogue.text(flow, screen, sms=sms) for sms in (0, 1)]
        )
        slots |= {name: kind for pattern in patterns for name, kind in pattern.slots}
    return {
        name: draw(st.sampled_from(words(catalogue, name)) if kind == "word" else VALUES[kind]) for name, kind in slots.items()
    }


LANGS = st.sampled_from(tuple(VOICE.catalogues))


def lines(text: Text, lang: str, limits: Limits) -> tuple[list[str], str, str]:
    """What must stand on the pages, line by line, uncut; and the lines for back and more."""
    room = Limits(limits.channel, 100_000, 100_000, parts=1000, devanagari=limits.devanagari)
    whole = VOICE.say(Text(text.flow, text.screen, text.args, text.options, text.top, ends=text.ends), lang, room)
    if lang == "hi" and not limits.devanagari:
        lang = "hi-Latn"
    catalogue = VOICE.catalogues[lang]
    assert len(whole.pages) == 1
    return whole.pages[0].split("\n"), *(catalogue.render(catalogue.line(key), {}) for key in ("back", "more"))


def without_navigation(reply: Reply, back: str, more: str, *, leads_back: bool) -> list[str]:
    """The pages' own content."""
    found = []
    for number, page in enumerate(reply.pages):
        content = page.split("\n")
        if content[-1] == back and (leads_back or number):
            content.pop()
        if number + 1 < len(reply.pages):
            assert content.pop() == more, page
        found.append("\n".join(content))
    return found


@settings(max_examples=400)
@given(texts(), LANGS, st.sampled_from(sorted(USSD)))
def test_ussd(text: Text, lang: str, profile: str) -> None:
    limits = USSD[profile]
    reply = VOICE.say(text, lang, limits)
    wanted, back, more = lines(text, lang, limits)
    whole = "\n".join(wanted)
    assume(back not in wanted and more not in wanted)
    content = without_navigation(reply, back, more, leads_back=text.back)
    typed = [
        v for o in (text, *text.options) for v in o.args.values() if isinstance(v, str)
    ]  # ticket, receipt: taken as they come
    for page in reply.pages:
        size = measure(page)
        assert size.units + limits.overhead <= (limits.septets if size.encoding == "gsm7" else limits.units)
        assert page.strip("\n")
        assert unicodedata.is_normalized("NFC", page)
        if not limits.devanagari and not any(regex.search(r"\p{Devanagari}", given) for given in typed):
            assert not regex.search(r"\p{Devanagari}", page), page
    # re-joins: what was cut at a newline or a space lost just that
    at = 0
    for part in content:
        if whole[at : at + 1] in ("\n", " ") and not whole.startswith(part, at):
            at += 1
        assert whole.startswith(part, at), (whole, content)
        at += len(part)
        assert whole[at : at + 1] in ("", "\n", " ") or _between_letters(whole, at), (whole, at)
    assert at == len(whole)
    # every option stands at the beginning of a line, under its own number
    said = "\n".join(content)
    for index, _ in enumerate(text.options):
        assert f"\n{number_of(index)} " in f"\n{said}\n"
        assert number_of(index) not in RESERVED


def _between_letters(whole: str, at: int) -> bool:
    """Whether a place is between two letters, as `regex` sees them; ill-formed piles are nobody's letters."""
    place = 0
    for letter in regex.findall(r"\X", whole):
        if place == at:
            return True
        if place > at:
            return not regex.fullmatch(r"\p{Devanagari}+", letter) or len(letter) > 12
        place += len(letter)
    return True


@given(texts(), LANGS)
def test_sms(text: Text, lang: str) -> None:
    """An SMS holds the whole text if it can; the parts are as many as are allowed."""
    limits = Limits("sms")
    reply = VOICE.say(text, lang, limits)
    wanted, _, _ = lines(text, lang, limits)
    most = max(limits.parts, VOICE.catalogues[lang].parts(text.flow, text.screen))
    assert reply.parts <= most
    assert (reply.pages == ("\n".join(wanted),)) or len(reply.pages) > 1


@given(texts(), LANGS, st.sampled_from(sorted(USSD)))
def test_options_keep_their_numbers(text: Text, lang: str, profile: str) -> None:
    """Whatever stands on top, and whatever the page, an option has the same number."""
    reply = VOICE.say(text, lang, USSD[profile])
    again = VOICE.say(Text(text.flow, text.screen, text.args, text.options, back=text.back, ends=text.ends), lang, USSD["182/80"])
    for said in (reply, again):
        at = -1
        joined = "\n" + "\n".join(said.pages)
        for index in range(len(text.options)):
            at = joined.find(f"\n{number_of(index)} ", at + 1)
            assert at >= 0


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), min_size=1, max_size=12),
       st.integers(20, 90), st.booleans())  # fmt: skip
def test_any_lines_come_through(found: list[str], room: int, leads_back: bool) -> None:
    """Pages of any text whatever, down to a tiny screen: all of it, in order, each within the room."""
    body, *options = [" ".join(line.split()) or "x" for line in found]
    made = pages(body, options, "0 B", "9 M", lambda page: len(page) <= room, leads_back=leads_back)
    assert all(0 < len(page) <= room for page in made)
    bare = "".join(line for page in made for line in page.split("\n") if line not in ("0 B", "9 M"))
    assert "".join(bare.split()) == "".join("".join(line.split()) for line in [body, *options] if line not in ("0 B", "9 M"))


@pytest.mark.parametrize("profile", USSD)
@pytest.mark.parametrize("lang", VOICE.catalogues)
def test_widest_values(lang: str, profile: str) -> None:
    """Nearly every screen is one page at its widest; the narrow profiles take more, never less of the text."""
    for text, reply in worst(VOICE, lang, FLOWS, USSD[profile]):
        most = 4 if profile == "160/60" else 3
        assert len(reply.pages) <= most, (text.flow, text.screen)


def test_lint_is_clean() -> None:
    assert lint(VOICE, FLOWS, Registry(VOICE.catalogues)) == []


# --- how values are written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paise", "written"),
    [(0, "0"), (100, "1"), (124_000, "1,240"), (124_050, "1,240.50"), (12_345_600, "1,23,456"), (1_234_567_890, "1,23,45,678.90"),
     (-15_000, "-150"), (99_900, "999")],
)  # fmt: skip
def test_rupees(paise: int, written: str) -> None:
    assert rupees(paise) == written


@given(st.integers(-(10**14), 10**14))
def test_rupees_can_be_read_back(paise: int) -> None:
    whole, _, rest = rupees(paise).replace(",", "").partition(".")
    assert abs(paise) == abs(int(whole)) * 100 + int(rest or 0)


@given(HOSTILE, st.integers(1, 40))
def test_names_are_cut_between_letters(value: str, units: int) -> None:
    cut = shorten(clean(value), units)
    assert measure(cut).units <= units
    assert clean(value).startswith(cut)


def test_names_in_the_registers_letters() -> None:
    name, place = Name("शत्रुघ्न ठाकुर", ""), Name("", "Charitravan")
    text = Text("bill", "amount_none", {"account": "100000001", "name": name})
    assert "S*** T***" in VOICE.say(text, "hi-Latn", Limits()).pages[0]
    assert "श*** ठा***" in VOICE.say(text, "hi", Limits()).pages[0]
    feeder = Text("transformer", "feeder", {}, (Option("feeder", "F1", {"name": place}),))
    assert "1 Charitravan" in VOICE.say(feeder, "hi", Limits()).pages[0]


def test_times_are_indias() -> None:
    assert datetime(2026, 5, 25, 20, 0, tzinfo=UTC).astimezone(INDIA).strftime("%d-%m-%y %H:%M") == "26-05-26 01:30"


def test_a_missing_text_is_named() -> None:
    with pytest.raises(MissingText, match=r"hi: there is no text \[menu.nothing\]"):
        VOICE.say(Text("menu", "nothing"), "hi", Limits())
    with pytest.raises(MissingText, match=r"slot \{amount\} has no value"):
        VOICE.say(Text("bill", "show", {"month": date(2026, 5, 1)}), "hi", Limits())
