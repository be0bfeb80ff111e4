"""What people type and what is understood: tables of messages, unseen spellings, and properties of any text."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import FLOWS
from flows.records import Said
from flows.verhoeff import verhoeff_ok, with_check_digit
from gateway.settings import Settings
from messages import Voice
from messages.understand import KEYWORDS, Ear, fold, mask_aadhaar

DATA = Path(__file__).parent / "data"
CA = "123456789"
TICKET = with_check_digit("1234567")
AADHAAR = with_check_digit("23456789012")
MASKED = f"XXXX XXXX {AADHAAR[8:]}"
DEVANAGARI = str.maketrans("0123456789", "०१२३४५६७८९")
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


@pytest.fixture(scope="module")
def ear() -> Ear:
    return Ear()


def brief(said: Said) -> str:
    """What was understood, on one line."""
    named = [f"{name}={value}" for name in ("number", "account", "ticket", "pin", "words") if (value := getattr(said, name))]
    asked = [f"?{'|'.join(said.guesses)}"] if said.guesses else []
    answers = [f"<{'|'.join(sorted(said.answers))}>"] if said.answers else []
    return " ".join(([said.intent] if said.intent else []) + asked + answers + named)


# --- commands -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        (f"METER {CA} band", [f"METER account={CA} words={CA} band", "<stopped>"]),
        (f"meter{CA}band", [f"METER account={CA} words={CA}band", "<stopped>"]),
        (f"मीटर {CA.translate(DEVANAGARI)} जल गया", [f"METER account={CA} words={CA.translate(DEVANAGARI)} जल गया", "<burnt>"]),
        (f"READING {CA} 4521", [f"READING account={CA} words={CA} 4521", "number=4521"]),
        (f"READING {CA} 802101", [f"READING account={CA} words={CA} 802101", "number=802101 pin=802101"]),
        (f"READING {CA} 4521 unit", [f"READING account={CA} words={CA} 4521 unit", "number=4521"]),
        (f"READING {CA} 4521.5", [f"READING account={CA} words={CA} 4521.5"]),
        ("TRANS 802101 tel", ["TRANS pin=802101 words=802101 tel", "<oil>"]),
        ("NAYA dukan", ["NEW <shop> words=dukan", "<shop>"]),
        ("NAYA 802101 dukan 2", ["NEW pin=802101 words=802101 dukan 2", "<shop>", "number=2"]),
        ("naya connection", ["NEW <new_connection>"]),
        ("nayaconnection", ["NEW"]),
        (f"BIL{CA}", [f"BILL account={CA} words={CA}"]),
        ("BILL 123 456 789", [f"BILL account={CA} words=123 456 789"]),
        ("bill I2345678O", ["BILL account=123456780 words=I2345678O"]),
        (f"STHITI {TICKET}", [f"STATUS ticket={TICKET} words={TICKET}"]),
        (f"{TICKET} status", [f"STATUS ticket={TICKET}"]),
        (f"GALAT {TICKET}", [f"WRONG ticket={TICKET} words={TICKET}"]),
        (f"NAHI {TICKET}", [f"NOTDONE ticket={TICKET}"]),
        (f"नहीं {TICKET}", [f"NOTDONE ticket={TICKET}"]),
        (f"nahi hua {TICKET}", [f"NOTDONE ticket={TICKET} words={TICKET}"]),
        ("kaam nahi hua", ["NOTDONE"]),
        (f"HA {TICKET}", [f"<yes> ticket={TICKET}"]),
        ("NAAM Ramesh Kumar", ["NAME words=Ramesh Kumar"]),
        ("नाम: रमेश कुमार\u200dश", ["NAME words=रमेश कुमार\u200dश"]),
        (f"NAAM {CA} Ramesh Kumar", [f"NAME account={CA} words=Ramesh Kumar"]),
        ("naam badalna hai", ["NAME"]),
        ("PATA Ward 5, Charitravan, Buxar 802101", ["ADDRESS pin=802101 words=Ward 5, Charitravan, Buxar 802101"]),
        (f"PATA ghar {CA}", [f"ADDRESS words=ghar {CA}"]),
        (f"KATWANA {CA}", [f"CUT account={CA} words={CA}"]),
        ("bhasha hindi", ["LANG <hi> words=hindi", "<hi>"]),
        ("BILL reading", ["BILL <reading> words=reading", "<reading>"]),
        ("JODO " + CA, [f"LINK account={CA} words={CA}"]),
        ("farji?", ["GENUINE"]),
        ("मेनू", ["HOME <menu>"]),
        ("?", ["HELP"]),
        ("hi", ["HELP"]),
    ],
)
def test_a_command(ear: Ear, text: str, understood: list[str]) -> None:
    assert [brief(said) for said in ear.message(text)] == understood


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        # What it says, not what its first word says.
        ("power cut", "SUPPLY <failed>"),
        ("cut", "CUT"),
        ("galat reading", "READING <reading>"),
        ("galat", "WRONG <no>"),
        ("light nahi hai", "SUPPLY <failed>"),
        # Somebody may be hurt: before anything else, but for what asks about the same danger, and for names and addresses.
        ("taar gir gaya hai", "DANGER <wire>"),
        ("मेरे बच्चे को करंट लग गया", "DANGER"),
        ("khambe se chingari nikal rahi hai", "DANGER <sparks>"),
        ("meter se chingari nikal rahi hai", "DANGER <sparks>"),
        ("transformer se chingari", "TRANS <sparks> words=se chingari"),
        ("PATA Aag Mohalla", "ADDRESS words=Aag Mohalla"),
        ("meter me aag lag gya", "DANGER <sparks>"),
        ("NAYA fire station ke paas dukan", "?NEW words=fire station ke paas dukan"),
        # Letters begin with a name; another's name in an address is part of it.
        ("mera naam Ramesh hai meter band hai", "?NAME|METER words=Ramesh hai meter band hai"),
        ("PATA Simri, pita ka naam Shyam Lal", "ADDRESS words=Simri, pita ka naam Shyam Lal"),
        # What a small number counts is no choice from a list.
        ("meter 2 mahine se band hai", "METER words=2 mahine se band hai"),
        ("mera bijli bill 0 kyon aaya", "BILL words=0 kyon aaya"),
        ("line naikhe", "SUPPLY <failed>"),
        ("bijli bill kitna hai", "BILL words=hai"),
        ("madam mera bill bataiye", "BILL words=bataiye"),
        ("bill nahi aaya", "BILL"),  # a bill is wanted, not denied
        ("mera bill galat hai", "BILL words=hai"),  # the bill, where "reading is wrong" is offered; not "not my connection"
        ("bill payment", "PAY <>"),
        ("meter jal gaya", "METER <burnt> words=jal gaya"),
        ("meter nahi chal raha hai", "METER <stopped> words=nahi chal raha hai"),
        # Two things at once, a thing denied, a thing beside unknown words: asked, never acted on.
        ("naya meter chahiye", "?NEW|METER words=meter chahiye"),
        ("bill aur meter", "?BILL|METER words=aur meter"),
        ("connection katwana nahi hai", "?CUT words=nahi hai"),
        ("cut gaya phone", "?CUT words=gaya phone"),
        ("bijli", "?SUPPLY|BILL|NEW"),
        ("aap ka naam kya hai", "?NAME words=kya hai"),
        # Near misses.
        ("transfermer", "?TRANS"),
        ("katwanna hai", "CUT"),  # doubled letters fold away
        # Nothing.
        ("baarish hogi", ""),
        ("roko mat", "words=mat"),
        ("naya saal mubarak", ""),
    ],
)
def test_a_sentence(ear: Ear, text: str, understood: str) -> None:
    assert brief(ear.message(text)[0]) == understood.replace(" <>", "")


@pytest.mark.parametrize("text", ["", " ", "\n", "\u200b "])
def test_a_blank_text_says_nothing(ear: Ear, text: str) -> None:
    assert ear.message(text) == (Said(),)
    assert ear.piece(text) == Said()


@pytest.mark.parametrize("text", ["STOP", "stop", " Stop. ", "रोको", "ROKO", "ruko", "unsubscribe", "sms band karo"])
def test_stop_is_the_whole_message(ear: Ear, text: str) -> None:
    assert ear.message(text)[0].intent == "STOP"


@pytest.mark.parametrize(
    "text", ["STOP 12345", "stop meter", "roko mat", "bus roko", "please stop", "stop!!! kutta", "start bus"]
)
def test_stop_inside_a_message_is_no_stop(ear: Ear, text: str) -> None:
    assert ear.message(text)[0].intent not in {"STOP", "START"}


# --- answers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("haan ji", {"yes"}),
        ("हाँ", {"yes"}),
        ("HA", {"yes"}),
        ("ठीक है", {"yes"}),
        ("ok sir", {"yes"}),
        ("y", {"yes"}),
        ("nahi", {"no", "none"}),
        ("नहीं", {"no", "none"}),
        ("naikhe", {"no"}),
        ("galat", {"no"}),
        ("no", {"no", "none"}),
        ("jal gaya", {"burnt", "failed"}),
        ("जरि गइल", {"burnt", "failed"}),
        ("band hai", {"stopped", "failed"}),
        ("तेज चलता है", {"fast"}),
        ("chori ho gaya", {"stolen"}),
        ("ghar ke liye", {"home"}),
        ("दुकान", {"shop"}),
        ("kheti", {"farm"}),
        ("udyog", {"industry"}),
        ("gaon", {"village", "area"}),
        ("शहर", {"town"}),
        ("bantwara", {"partition"}),
        ("मालिक की मृत्यु", {"died"}),
        ("kharida", {"bought"}),
        ("hamesha ke liye", {"permanent"}),
        ("कुछ समय", {"temporary"}),
        ("makan khali", {"moved"}),
        ("dukan band", {"closed"}),
        ("तेल गिर रहा है", {"oil"}),
        ("dhuan", {"sparks"}),
        ("kam voltage", {"low_voltage"}),
        ("fuse ud gaya", {"failed"}),
        ("aaj se", {"today"}),
        ("कल से", {"yesterday"}),
        ("kai din se", {"earlier"}),
        ("pata nahi", {"unknown", "failed"}),
        ("koi nahi", {"none"}),
        ("हिन्दी", {"hi"}),
        ("हिंदी", {"hi"}),
        ("roman", {"hi-Latn"}),
        ("english", {"en"}),
        ("aage", {"go_on"}),
        ("phir se", {"anew"}),
        ("naya", {"anew"}),
        ("bakaya", {"arrears"}),
    ],
)
def test_an_answer_in_words(ear: Ear, text: str, options: set[str]) -> None:
    assert ear.message(text)[0].answers == options


def test_an_option_may_be_typed_with_its_number(ear: Ear) -> None:
    assert brief(ear.message("5 Fail transformer")[0]) == "TRANS <transformer>"
    assert ear.message("1) बंद है")[0].answers >= {"stopped"}


def test_every_intent_can_be_offered(ear: Ear) -> None:
    for catalogue in Voice(Settings.model_construct().house()).catalogues.values():
        assert all(catalogue.word(f"keyword_{intent}") for intent in ear.intents)


def test_an_option_as_it_is_printed_is_that_option(ear: Ear) -> None:
    voice = Voice(Settings.model_construct().house())
    for catalogue in voice.catalogues.values():
        for flow in FLOWS.values():
            for name, screen in flow.screens.items():
                for option in screen.options:
                    label = catalogue.label(flow.name, name, option)
                    if screen.kind in ("menu", "ask", "confirm") and not label.slots:
                        answers = ear.message(catalogue.render(label, {}))[0].answers
                        assert [one for one in screen.options if one in answers] == [option], (catalogue.lang, flow.name, name)


def test_a_no_inside_a_sentence_takes_its_answer_away(ear: Ear) -> None:
    assert ear.message("jala nahi")[0].answers == frozenset()
    assert "no" not in ear.message("ghar me pani nahi")[0].answers


# --- numbers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", "1"),
        ("१", "1"),
        ("１", "1"),
        ("1.", "1"),
        ("1)", "1"),
        ("१।", "1"),
        (" 2 ", "2"),
        ("000", "000"),
        ("1O", "10"),
        ("l2", "12"),
        ("I5", "15"),
        ("12\u200b34", "1234"),
        ("12 34", "1234"),
        ("12-34", "1234"),
        ("ek", "1"),
        ("दो", "2"),
        ("2 kw", "2"),
        ("२ किलोवाट", "2"),
        ("nau", "9"),
        ("²", ""),
        ("1_000", ""),
        ("१.५", ""),
        ("1.5", ""),
        ("*1", ""),
        ("1#", ""),
        ("1*2", ""),
        ("O", ""),
        ("l", ""),
        ("½", ""),
        ("১", ""),
        ("+91", ""),
    ],
)
def test_a_number(ear: Ear, text: str, number: str) -> None:
    assert ear.message(text)[0].number == number
    assert ear.piece(text).number == number


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        (CA, f"number={CA} account={CA}"),
        ("9876543210", "number=9876543210 account=9876543210"),
        (TICKET, f"number={TICKET} ticket={TICKET}"),
        ("12345678", "number=12345678"),
        ("802101", "number=802101 pin=802101"),
        ("080210", "number=080210"),
        ("123456789012", "number=123456789012"),
        ("CA 123 456 789", f"account={CA}"),
        ("ca no. 123-456-789", f"account={CA}"),
        (f"mera number {CA} hai", f"account={CA}"),
        ("1234 5678 9012 hai", ""),
        (AADHAAR, ""),
    ],
)
def test_the_shape_of_a_number(ear: Ear, text: str, understood: str) -> None:
    assert brief(ear.message(text)[0]) == understood
    assert ear.piece(text) == ear.message(text)[0]


@given(st.from_regex(r"[0-9]{1,13}", fullmatch=True))
def test_digits_of_any_script_are_the_same_number(digits: str) -> None:
    heard = [EAR.piece(text) for text in (digits, digits.translate(DEVANAGARI), digits.translate(FULL_WIDTH))]
    assert len({(said.number, said.account, said.ticket, said.pin, said.aadhaar) for said in heard}) == 1
    assert heard[0].number == digits or heard[0].aadhaar


# --- Aadhaar ------------------------------------------------------------------------------------------------------------

GROUPED = f"{AADHAAR[:4]} {AADHAAR[4:8]} {AADHAAR[8:]}"


@pytest.mark.parametrize(
    "text",
    [
        AADHAAR,
        GROUPED,
        GROUPED.replace(" ", "-"),
        GROUPED.replace(" ", " - "),
        AADHAAR.translate(DEVANAGARI),
        AADHAAR.translate(FULL_WIDTH),
        GROUPED.translate(DEVANAGARI),
        GROUPED.replace(" ", "\u00a0"),
        "\u200b".join(AADHAAR),
    ],
)
def test_an_aadhaar_number_is_masked(ear: Ear, text: str) -> None:
    assert mask_aadhaar(f"mera {text} hai") == (f"mera {MASKED} hai", True)
    said = ear.message(f"NAAM {text} Ramesh")[0]
    assert (said.raw, said.words, said.account, said.aadhaar) == (f"NAAM {MASKED} Ramesh", f"{MASKED} Ramesh", "", True)
    assert ear.message(f"METER {text}")[1:] == ()


@pytest.mark.parametrize(
    "text", [CA, AADHAAR[:-1] + str((int(AADHAAR[-1]) + 1) % 10), "1" + AADHAAR[1:], AADHAAR + "1", "0" + AADHAAR]
)
def test_another_number_is_left_as_it_is(text: str) -> None:
    assert mask_aadhaar(text) == (text, False)


def test_masking_finds_the_number_behind_another() -> None:
    assert mask_aadhaar(f"5678 {GROUPED}") == (f"5678 {MASKED}", True)


EAR = Ear()
LETTERS = st.text(st.sampled_from("aeijkmnortु्िाीकनमबलटर ०१२1289-.*#?Ol\u200b२३XX\n"), max_size=60)


@given(
    st.one_of(
        st.text(max_size=80),
        LETTERS,
        st.lists(st.sampled_from([AADHAAR, GROUPED, "METER", "12", " ", "-", "नहीं", CA])).map("".join),
    )
)
def test_any_text_is_understood_without_fail_and_without_aadhaar(text: str) -> None:
    for said in EAR.message(text):
        assert mask_aadhaar(said.raw) == (said.raw, False)
        assert not said.number or (said.number.isascii() and said.number.isdigit())
        assert not (said.intent and said.guesses)
        assert said.intent in EAR.intents | {""}
        assert said.answers <= EAR.options
        assert len(said.account) != 12
        assert not said.ticket or verhoeff_ok(said.ticket)
    assert EAR.piece(text).number == EAR.message(text)[0].number


@given(st.text(max_size=20), st.text(max_size=20))
def test_stop_with_anything_beside_it_is_no_stop(before: str, after: str) -> None:
    if any(c.isalnum() for c in fold(before + after)):
        assert EAR.message(f"{before} stop {after}")[0].intent != "STOP"


# --- registers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "register"),
    [
        ("123", ""),
        ("?", ""),
        ("बिल", "hi"),
        ("METER 12 बंद", "hi"),
        ("bill", "hi-Latn"),
        (f"METER {CA}", "hi-Latn"),
        ("bijli nahi hai", "hi-Latn"),
        ("new connection", "en"),
        ("what is my bill", "en"),
        ("status", "en"),
        ("cut", "en"),
        ("mera status batao", "hi-Latn"),
        ("stop", "en"),
    ],
)
def test_the_register(ear: Ear, text: str, register: str) -> None:
    assert ear.message(text)[0].register == register


# --- folding and lists --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("बिजली", "bijli"),
        ("बिजली", "bijlee"),
        ("कटवाना", "katwaana"),
        ("सहायता", "sahaayta"),
        ("कनेक्शन", "kaneksan"),
        ("हिन्दी", "हिंदी"),
        ("हाँ", "हां"),
        ("ख़राब", "kharaab"),
        ("ट्रांसफाॅर्मर", "ट्रांसफॉर्मर"),
        ("ट्रान्सफार्मर", "ट्रांसफार्मर"),
        ("तेज़", "tez"),
        ("नम्बर", "nambar"),
        ("connection", "konection"),
        ("fraud", "frod"),
        ("transphormer", "transformer"),
        ("मी\u200dटर", "मिटर"),
    ],
)
def test_spellings_that_fold_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_name_and_transformer_stay_apart() -> None:
    assert fold("transfer") != fold("transformer")


def test_an_alias_is_acted_on_in_all_its_spellings() -> None:
    assert Ear(aliases={"mitwa": "METER"}).message("mitvaa 1")[0].intent == "METER"


@pytest.mark.parametrize(
    ("alias", "intent", "why"),
    [("meeter", "BILL", "both METER and BILL"), ("x", "NONSENSE", "does not know"), ("12", "BILL", "no letters")],
)
def test_an_alias_that_cannot_be(alias: str, intent: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Ear(aliases={alias: intent})


def test_every_word_listed_is_understood(ear: Ear) -> None:
    table = tomllib.loads(KEYWORDS.read_text(encoding="utf-8"))
    listed = [(p, i) for i, lists in table["intents"].items() for phrases in lists.values() for p in phrases]
    assert [(p, i, brief(ear.message(p)[0])) for p, i in listed if ear.message(p)[0].intent != i] == []
    words = [(name, p) for name, phrases in table["answers"].items() for p in phrases]
    lost = [(name, p) for name, p in words if name not in ear.message(p)[0].answers]
    assert lost == []


# --- held-out measurement -----------------------------------------------------------------------------------------------


def tally(ear: Ear, spellings: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Acted on rightly or wrongly, asked with or without the right one offered, not understood."""
    result: dict[str, list[str]] = {"acted": [], "wrong": [], "asked": [], "asked_amiss": [], "lost": []}
    for spelling, intent in spellings:
        said = ear.message(spelling)[0]
        if said.intent:
            result["acted" if said.intent == intent else "wrong"].append(spelling)
        else:
            result["asked" if intent in said.guesses else "asked_amiss" if said.guesses else "lost"].append(spelling)
    return result


def test_unseen_spellings(ear: Ear) -> None:
    unseen = tomllib.loads((DATA / "words_unseen.toml").read_text(encoding="utf-8"))
    listed = {
        p
        for lists in tomllib.loads(KEYWORDS.read_text(encoding="utf-8"))["intents"].values()
        for ps in lists.values()
        for p in ps
    }
    spellings = [(spelling, intent) for intent, words in unseen.items() for spelling in words]
    assert not listed & {spelling for spelling, _ in spellings}
    assert len(spellings) >= 150
    found = tally(ear, spellings)
    assert found["wrong"] == []
    assert len(found["acted"]) >= 0.65 * len(spellings), found
    assert len(found["acted"]) + len(found["asked"]) >= 0.9 * len(spellings), found


def test_near_misses_are_never_acted_on(ear: Ear) -> None:
    near = tomllib.loads((DATA / "words_near.toml").read_text(encoding="utf-8"))["words"]
    assert len(near) >= 200
    assert [(text, said.intent) for text in near if (said := ear.message(text)[0]).intent] == []
    single = [text for text in near if " " not in text]
    assert sum(bool(ear.message(text)[0].guesses) for text in single) <= 0.2 * len(single)


@pytest.mark.parametrize("half", [0, 1])
def test_with_half_of_the_spellings_listed_the_other_half(half: int, tmp_path: Path) -> None:
    """Single words: every second one is taken out of the list and must be acted on rightly, asked about, or not understood."""
    text = KEYWORDS.read_text(encoding="utf-8")
    intents = tomllib.loads(text)["intents"]
    held_out: list[tuple[str, str]] = []
    kept = []
    for intent, lists in intents.items():
        kept.append(f"[intents.{intent}]")
        for register, phrases in lists.items():
            out = [p for n, p in enumerate(phrases) if " " not in p and n % 2 == half]
            held_out += [(p, intent) for p in out]
            kept.append(f"{register} = {json.dumps([p for p in phrases if p not in out], ensure_ascii=False)}")
    file = tmp_path / "keywords.toml"
    start, end = text.index("[intents."), text.index("[answers]")
    file.write_text(text[:start] + "\n".join(kept) + "\n" + text[end:], encoding="utf-8")
    found = tally(Ear(keywords=file), held_out)
    assert len(held_out) >= 100
    assert found["wrong"] == []
    assert len(found["acted"]) >= 0.4 * len(held_out), found
    assert len(found["acted"]) + len(found["asked"]) >= 0.65 * len(held_out), found
