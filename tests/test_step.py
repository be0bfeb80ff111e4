"""The step's own rules, on their own: back, more, bad answers, keywords, type-ahead, resuming, expiry, and any input whatever."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flows import FLOWS, INTENTS
from flows.records import (
    Bill,
    Channel,
    Confirm,
    Consumer,
    Context,
    Conversation,
    Facts,
    Feeder,
    File,
    Guess,
    Mute,
    Name,
    Payment,
    Place,
    Request,
    Said,
    Text,
    Turn,
    Unlink,
    replace,
)
from flows.screens import INDEX, number_of
from flows.step import TRIES, stand, step
from flows.transformer import asset_of
from flows.verhoeff import with_check_digit
from gateway.settings import Settings
from messages import Limits, Voice
from messages.understand import KEYWORDS, Ear
from tests.town import BEGIN

SETTINGS = Settings.model_construct()
POLICY = SETTINGS.policy()
VOICE = Voice(SETTINGS.house())
EAR = Ear(SETTINGS.ca_pattern)
PHONE, OTHER = "+915550000002", "+915550000004"
LIMITS = Limits("ussd", 160, 80, overhead=4)


def consumer(account: str, **other: object) -> Consumer:
    bill = Bill(account, "B1", date(2026, 5, 1), date(2026, 6, 5), 124_000, 124_000, previous=4210, present=4378, units=168)
    made = Consumer(account, Name("रमेश कुमार", "Ramesh Kumar"), f"SB{account}", "urban", "802101", "S1", "F1", "T101", 2000,
                    bill=bill, payment=Payment(date(2026, 4, 28), 110_500, "R7001"))  # fmt: skip
    return replace(made, **other)


class Phone:
    """A phone and the little it needs of a world: facts as the hop would read them, effects that are kept."""

    def __init__(
        self, *consumers: Consumer, strangers: Sequence[Consumer] = (), channel: Channel = "ussd", lang: str = "hi-Latn"
    ) -> None:
        self.consumers = {one.account: one for one in (*consumers, *strangers)}
        self.linked = {one.account for one in consumers}
        self.noted = set[str]()
        self.requests: dict[str, Request] = {}
        self.contexts: list[Context] = []
        self.guesses = 0
        self.muted = False
        self.channel: Channel = channel
        self.now = BEGIN
        self.tickets = (with_check_digit(str(4_000_000 + n)) for n in itertools.count(1))
        self.conversation = Conversation(PHONE, lang=lang)
        self.turn: Turn
        self.page = ""

    def facts(self, said: Sequence[Said] = ()) -> Facts:
        return Facts(
            now=self.now,
            channel=self.channel,
            ticket=next(self.tickets),
            policy=POLICY,
            linked=tuple(one for one in self.consumers.values() if one.account in self.linked),
            noted=frozenset(self.noted & self.linked),
            known=self.consumers,
            requests=tuple(self.requests.values()),
            feeders={"802101": (Feeder("F1", Name("चरित्रवन", "Charitravan")), Feeder("F2", Name("", "Naya Bazar")))},
            contexts=tuple(self.contexts),
            guesses=self.guesses,
            opted_out=self.muted,
        )

    def dial(self, *ahead: str) -> str:
        self.channel = "ussd"
        return self.take([EAR.piece(one) for one in ahead], dialled=True)

    def press(self, *inputs: str) -> str:
        self.channel = "ussd"
        for one in inputs:
            self.take([EAR.piece(one)])
        return self.page

    def text(self, words: str) -> str:
        self.channel = "sms"
        return self.take(EAR.message(words))

    def take(self, said: Sequence[Said], *, dialled: bool = False) -> str:
        self.now += timedelta(seconds=7)
        turn = step(self.conversation, said, self.facts(said), dialled=dialled)
        self.turn, after = turn, turn.conversation
        if turn.text is None:
            self.page = after.pages[after.page]
        else:
            limits = LIMITS if self.channel == "ussd" else Limits("sms")
            reply = VOICE.say(turn.text, after.lang, limits)
            after = replace(after, pages=reply.pages if len(reply.pages) > 1 else ())
            self.page = reply.pages[0]
        self.conversation = replace(after, seen=self.now)
        for effect in turn.effects:
            match effect:
                case File():
                    self.requests[effect.ticket] = Request(effect.ticket, effect.service, "submitted", self.now, self.now,
                                                           effect.account, effect.asset, PHONE, effect.due)  # fmt: skip
                case Confirm():
                    self.noted.discard(effect.account)
                case Unlink():
                    self.linked.discard(effect.account)
                case Guess():
                    self.guesses += 1
                case Mute():
                    self.muted = effect.on
        return self.page

    @property
    def at(self) -> str:
        place = self.conversation.place
        return f"{place.flow}.{place.screen}" if place.screen else ""


@pytest.fixture
def one() -> Phone:
    return Phone(consumer("100000001"), strangers=[consumer("100000009")])


# --- a phone that a meter reader noted ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["BIL", "BIL 100000001", "READING GALAT", "APNI READING", "NAAM BADALNA", "METER", "KATWANA", "JODO 100000001"]
)
def test_who_was_noted_is_asked_once(one: Phone, words: str) -> None:
    one.noted.add("100000001")
    one.text(words)
    assert one.at == "noted.ask"
    one.text("haan")
    assert not one.noted
    assert one.turn.text is not None
    assert one.turn.text.flow != "menu"  # on to what was wanted
    one.text(words)
    assert one.at != "noted.ask"


def test_what_was_said_waits_for_whose_it_is(one: Phone) -> None:
    one.noted.add("100000001")
    one.text("METER jal gaya")
    one.text("1")
    assert one.at == "meter.supply"
    assert not one.noted
    one.text("METER 100000009 jal gaya")
    assert one.at == "meter.whose"
    one.text("BIL")  # something else: what waited is forgotten
    one.text("METER 100000009")
    one.text("haan")
    assert one.at == "meter.kind"


def test_who_was_wrongly_noted_is_let_go(one: Phone) -> None:
    one.noted.add("100000001")
    one.dial("6")
    one.press("2")
    assert not one.linked
    assert "1,240" not in one.page


def test_danger_does_not_wait_for_whose_it_is_nor_does_where_to_pay(one: Phone) -> None:
    one.noted.add("100000001")
    one.dial("5")
    assert one.at == "transformer.seen"
    one.text("PAY")
    assert one.at == "bill.pay"


# --- back and more ------------------------------------------------------------------------------------------------------


def test_back_keeps_the_earlier_answers(one: Phone) -> None:
    one.dial()
    one.press("1", "2", "1", "3")
    assert one.at == "new_connection.pin"
    one.press("0", "0")
    assert one.at == "new_connection.area"
    assert one.conversation.place.answers == {"use": "shop", "area": "town", "load": "3000"}
    one.press("2")
    assert one.conversation.place.answers["area"] == "village"


def test_back_from_the_first_screen_is_home(one: Phone) -> None:
    one.dial()
    one.press("3", "0")
    assert one.at == "menu.home"
    assert one.press("0") == one.page
    assert one.at == "menu.home"


def test_more_and_back_turn_pages() -> None:
    phone = Phone(consumer("100000001"), lang="hi")
    first = phone.dial()
    assert len(phone.conversation.pages) > 1
    second = phone.press("9")
    assert second != first
    assert phone.press("0") == first
    assert phone.press("9") == second
    phone.press("9")  # there is no third page: a bad answer
    assert phone.turn.text is not None
    assert phone.turn.text.top == ("option",)


def test_an_option_of_another_page_is_taken(one: Phone) -> None:
    one.conversation = replace(one.conversation, lang="hi")
    one.dial()
    one.press("6")  # stands on the second page, and counts on the first too
    assert one.at == "bill.show"


# --- bad answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["7", "55", "xyz", "", "*", "१२३४५६७८९०१२३"])
def test_a_bad_answer_moves_nothing(one: Phone, bad: str) -> None:
    one.dial()
    one.press("3")
    before = one.conversation.place
    for tried in range(1, TRIES + 1):
        one.press(bad)
        assert one.conversation.place == before
        assert one.turn.text is not None
        assert one.turn.text.top == (("option", "help_line") if tried >= TRIES else ("option",))
        assert ("1912" in one.page) == (tried >= TRIES)
    one.press("1")
    assert one.at == "meter.supply"
    assert one.conversation.tries == 0


def test_too_many_guesses_end_it(one: Phone) -> None:
    one.dial()
    one.text("JODO")
    for _ in range(POLICY.guesses_a_day):
        one.press("123456789")
    assert one.turn.text is not None
    assert (one.turn.text.screen, one.at) == ("locked", "")
    one.text("BIL 100000009")
    assert "Ramesh" not in one.page
    assert "R***" not in one.page


def test_wrong_and_not_linked_sound_alike(one: Phone) -> None:
    one.guesses = POLICY.guesses_a_day - 2
    answers = []
    for number in ("999999999", "100000009"):
        one.text("JODO")
        one.press(number)
        if number == "100000009":
            one.press("1", "0000")  # exists, wrong second fact
        assert one.turn.text is not None
        answers.append(one.turn.text.top[0] if one.turn.text.top else one.turn.text.screen)
    assert answers[0] == "account"
    assert answers[1] in ("account", "locked")


# --- at the counter ------------------------------------------------------------------------------------------------------


def test_who_has_no_phone_is_linked_to_nothing() -> None:
    person = Phone(strangers=[consumer("100000009")])
    person.conversation = replace(person.conversation, phone="counter-1")
    person.dial()
    person.press("6", "1")
    assert person.turn.text is not None
    assert (person.turn.text.flow, person.turn.text.screen, person.turn.text.ends) == ("register", "no_mobile", True)


# --- the option shown is the option taken -------------------------------------------------------------------------------


def test_the_option_shown_is_the_option_taken() -> None:
    phone = Phone(consumer("100000001"), consumer("100000002"), consumer("100000003"))
    phone.dial()
    phone.press("6")
    assert phone.at == "bill.pick"
    phone.linked.remove("100000001")  # unlinked in the meantime
    phone.press("2")
    assert phone.conversation.place.answers["account"] == "100000002"


def test_an_option_that_went_away_is_not_shown_but_asked_anew() -> None:
    phone = Phone(consumer("100000001"), consumer("100000002"))
    phone.dial()
    phone.press("6")
    phone.linked.remove("100000002")
    phone.press("2")
    assert phone.turn.text is not None
    assert phone.turn.text.screen == "amount"  # no longer its own: what strangers see


def test_the_account_stays_the_one() -> None:
    """Another account is linked in the middle: what was begun is still about the first."""
    phone = Phone(consumer("100000001"), strangers=[consumer("100000009")])
    phone.dial()
    phone.press("3", "2", "1")
    phone.linked.add("100000009")
    phone.press("4300", "1")
    assert [request.account for request in phone.requests.values()] == ["100000001"]


def test_a_bill_is_hidden_when_the_link_ends(one: Phone) -> None:
    one.dial()
    one.press("6")
    assert one.at == "bill.show"
    one.linked.remove("100000001")
    one.press("1")
    assert one.turn.text is not None
    assert one.turn.text.screen == "amount"


# --- resuming, expiry, older versions -----------------------------------------------------------------------------------


def test_a_redial_offers_to_go_on(one: Phone) -> None:
    one.dial()
    one.press("3", "2")
    one.dial()
    assert one.at == "menu.unfinished"
    one.press("1")
    assert one.at == "meter.supply"
    assert one.conversation.place.answers["kind"] == "burnt"
    one.dial()
    one.press("2")
    assert one.at == "menu.home"
    one.dial()
    assert one.at == "menu.home"


def test_idle_browsing_is_not_offered_again(one: Phone) -> None:
    one.dial()
    one.press("6", "1")
    one.dial()
    assert one.at == "menu.home"


def test_after_the_resume_time_it_is_home(one: Phone) -> None:
    one.dial()
    one.press("3", "2")
    one.now += POLICY.resume + timedelta(minutes=1)
    one.dial()
    assert one.at == "menu.home"


def test_an_abandoned_question_is_forgotten(one: Phone) -> None:
    one.text("METER")
    one.now += POLICY.idle + timedelta(minutes=1)
    one.text("2")
    assert one.at == "menu.home"
    assert one.requests == {}


@pytest.mark.parametrize(
    "place",
    [
        Place("meter", "colour", {"kind": "green"}, ("kind",)),
        Place("gas", "start"),
        Place("new_connection", "documents", {}, ("use", "area")),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_an_older_version_lands_safely(one: Phone, place: Place, held: bool) -> None:
    at = {"place": Place("help", "help"), "held": place} if held else {"place": place}
    one.conversation = replace(one.conversation, **at, seen=one.now)
    one.press("1")
    assert one.at == "menu.home"
    one.conversation = replace(one.conversation, **at, seen=one.now)
    one.dial()
    assert one.at == "menu.home"


# --- type-ahead ---------------------------------------------------------------------------------------------------------


def test_type_ahead_stops_at_a_confirm(one: Phone) -> None:
    one.dial("3", "1", "1", "4300", "1", "1")
    assert one.at == "meter.confirm"
    assert one.requests == {}
    one.press("1")
    assert [request.service for request in one.requests.values()] == ["meter"]


def test_type_ahead_stops_at_the_first_bad_answer(one: Phone) -> None:
    one.dial("3", "8", "1", "4300")
    assert one.at == "meter.kind"
    assert one.turn.text is not None
    assert one.turn.text.top == ("option",)


@pytest.mark.parametrize("inputs", [["4", "1", "1", "0001", "1"], ["5", "1", "1"], ["2", "1", "1"]])
def test_type_ahead_files_nothing(one: Phone, inputs: list[str]) -> None:
    one.dial(*inputs)
    assert one.requests == {}


def test_type_ahead_waits_for_the_language() -> None:
    phone = Phone(consumer("100000001"), lang="")
    phone.dial("6")
    assert phone.at == "welcome.language"
    phone.press("2")
    assert phone.at == "welcome.notice"
    phone.press("1")
    assert phone.at == "bill.show"


def test_asides_keep_the_question_open(one: Phone) -> None:
    one.text("METER")
    kept = one.conversation.place
    for word in ("MADAD", "NIJTA", "ROKO", "BHASHA"):
        one.text(word)
        if word == "BHASHA":
            one.text("3")
        assert one.conversation.place == kept, word
    one.text("2")
    assert one.at == "meter.supply"


def test_standing_still_shows_the_same(one: Phone) -> None:
    one.dial()
    page = one.press("3", "1")
    assert stand(one.conversation, one.facts()).text == one.turn.text
    again = stand(one.conversation, one.facts())
    assert again.effects == ()
    assert again.text is not None
    assert VOICE.say(again.text, "hi-Latn", LIMITS).pages[0] == page


# --- any input whatever -------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ("BIL", "METER", "NAYA", "NAAM", "KATWANA", "TRANS", "STHITI", "JODO", "BHASHA", "MADAD", "ROKO", "SHURU", "GALAT", "NAHI",
     "NIJTA", "MENU", "PATA", "haan", "nahi", "na", "ok", "bill", "100000001", "100000009", "999999999", "802101", "0001",
     "4300", "band", "jala", "हाँ", "नहीं", "मीटर", "बिल", "2345", "1", "2", "3", "नया", "कनेक्शन", "light", "hai")
)  # fmt: skip
LISTED = tomllib.loads(KEYWORDS.read_text(encoding="utf-8"))
PHRASES = st.sampled_from(sorted(
    {phrase for lists in LISTED["intents"].values() for phrases in lists.values() for phrase in phrases}
    | {phrase for phrases in LISTED["answers"].values() for phrase in phrases}
    | {"4,400", "3", "9876543210", "100000001", "802101", "ka", "hai"}
))  # fmt: skip
KEYS = st.one_of(
    st.sampled_from([*"0123456789", "10", "99", "000", "0001", "802101", "100000001", "100000009", "1240", "4300"]),
    st.text("0123456789*# ", max_size=13),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


class Anybody(RuleBasedStateMachine):
    """Somebody presses, dials and writes anything, while the world changes under them."""

    @initialize(accounts=st.integers(0, 3), lang=st.sampled_from(["", "hi", "hi-Latn", "en"]), kind=st.integers(0, 5),
                noted=st.booleans())  # fmt: skip
    def begin(self, accounts: int, lang: str, kind: int, noted: bool) -> None:
        kinds: list[dict[str, object]] = [
            {}, {"bill": None}, {"balance": 8550, "balance_on": date(2026, 5, 24), "bill": None, "payment": None},
            {"transformer": ""}, {"transformer": "", "feeder": "", "load": 9000, "phases": 3}, {"payment": None},
        ]  # fmt: skip
        mine = [consumer(f"10000000{n}", **kinds[kind]) for n in range(1, accounts + 1)]
        self.phone = Phone(*mine, strangers=[consumer("100000009", **kinds[kind])], lang=lang)
        self.phone.noted |= {"100000001"} if noted else set()
        self.phone.dial()

    @rule(key=KEYS)
    def press(self, key: str) -> None:
        self.did(lambda: self.phone.press(key))

    @rule(words=st.lists(WORDS, max_size=4).map(" ".join))
    def text(self, words: str) -> None:
        self.did(lambda: self.phone.text(words))

    @rule(phrases=st.lists(PHRASES, min_size=1, max_size=3).map(" ".join))
    def text_phrases(self, phrases: str) -> None:
        self.did(lambda: self.phone.text(phrases))

    @rule(words=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
    def text_anything(self, words: str) -> None:
        self.did(lambda: self.phone.text(words))

    @rule(ahead=st.lists(KEYS, max_size=5))
    def dial(self, ahead: list[str]) -> None:
        filed = len(self.phone.requests)
        self.phone.dial(*ahead)
        assert len(self.phone.requests) == filed, "a dialled code files nothing by itself"

    @rule(minutes=st.sampled_from([1, 40, 800]))
    def wait(self, minutes: int) -> None:
        self.phone.now += timedelta(minutes=minutes)

    @rule(account=st.sampled_from(["100000001", "100000002", "100000009"]), linked=st.booleans())
    def link_changes(self, account: str, linked: bool) -> None:
        if account in self.phone.consumers:
            (self.phone.linked.add if linked else self.phone.linked.discard)(account)

    @rule(paid=st.sampled_from([0, 124_000, -5_000]))
    def bill_changes(self, paid: int) -> None:
        for account, one in self.phone.consumers.items():
            if one.bill:
                self.phone.consumers[account] = replace(one, bill=replace(one.bill, amount=paid))

    @rule(state=st.sampled_from(["submitted", "held", "restored", "cancelled", "done"]))
    def requests_change(self, state: str) -> None:
        for ticket, request in self.phone.requests.items():
            self.phone.requests[ticket] = replace(request, state=state)

    @rule()
    def told(self) -> None:
        for ticket, request in self.phone.requests.items():
            if request.service in ("disconnection", "name_transfer"):
                self.phone.contexts = [
                    Context(1, request.service, request.account, ticket, self.phone.now + timedelta(hours=24)),
                    Context(2, "link", "100000001", OTHER, self.phone.now + timedelta(days=7)),
                ]

    def did(self, act: object) -> None:
        before, requests = self.phone.conversation, dict(self.phone.requests)
        act()  # type: ignore[operator]
        turn = self.phone.turn
        if turn.text is not None and turn.text.top and turn.text.top[0] not in ("aadhaar", "help_line") and before.place.screen:
            place = self.phone.conversation.place
            if (place.flow, place.screen) == (before.place.flow, before.place.screen):
                assert place == before.place, "a bad answer moved the conversation"
                assert self.phone.requests == requests

    @invariant()
    def stands_somewhere(self) -> None:
        phone = self.phone
        place = phone.conversation.place
        if place.screen:
            assert FLOWS[place.flow].screens[place.screen].kind in ("menu", "ask", "confirm")
            assert all(screen in FLOWS[place.flow].screens for screen in place.trail)
            assert len(place.trail) <= 12
        assert phone.page.strip()
        text: Text | None = phone.turn.text
        if text and not text.ends:
            assert phone.conversation.shown == tuple((option.name, option.value) for option in text.options)
            for index in range(len(text.options)):
                assert INDEX[number_of(index)] == index
        assert not any(isinstance(effect, File) and effect.service not in phone_services() for effect in phone.turn.effects)

    @invariant()
    def no_amount_of_who_was_only_noted(self) -> None:
        text, place = self.phone.turn.text, self.phone.conversation.place
        if text and {"amount", "balance", "dues", "arrears"} & text.args.keys():
            assert text.args.get("account", place.answers.get("account")) not in self.phone.noted & self.phone.linked

    @invariant()
    def home_is_never_far(self) -> None:
        phone = self.phone
        conversation = phone.conversation
        for _ in range(30):
            if not conversation.place.screen or conversation.place in (Place("menu", "home"), Place("welcome", "language")):
                return
            conversation = step(conversation, [Said(raw="0", number="0")], phone.facts()).conversation
        raise AssertionError(f"0 never leads home from {phone.at}")


def phone_services() -> set[str]:
    return {service for service, _ in POLICY.limits} | {"meter_test", "call_back"}


TestAnybody = Anybody.TestCase
TestAnybody.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)


def test_every_keyword_enters_somewhere(one: Phone) -> None:
    for intent in INTENTS:
        phone = Phone(consumer("100000001"))
        phone.take([Said(raw=intent, intent=intent)])
        assert phone.page


def test_one_transformer_is_one_asset() -> None:
    assert asset_of(consumer("1")) == asset_of(consumer("2"))
