"""The desk without a browser: what each page shows, who may, and a request worked off from the filing to its end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from flows import SERVICES as SERVICES_ASKED
from flows import casework
from flows.records import Conversation, Text
from gateway.aliases import LiveEar
from gateway.app import Gateway
from gateway.desk import Desk, desk_words, make_desk
from gateway.desk.front import SERVICES, front_routes
from gateway.desk.routes import ROUTES, desk_routes
from gateway.records import Inbound
from gateway.staff import ROLES, Staff
from gateway.store.sql import campaign_of
from tests import town
from tests.conftest import BOTH_STORES, Clock


class Seat:
    """Sits somebody down at the desk, in the place of the door."""

    staff: Staff | None = None

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {}).update({"staff": Seat.staff, "csrf": "token", "session": "seat"})
        await self.app(scope, receive, send)


#: The pages of the work; those of accounts need the door (test_door.py).
HERE = [page for page in ROUTES if not page.path.startswith("/account")]
ASHA = Staff("asha", "section", ("S1",), "en")
BIRJU = Staff("birju", "supervisor", ("*",), "en")
CHANDA = Staff("chanda", "centre", ("*",), "hi")


class Clicks(TestClient):
    """A browser whose forms hold the session's token, as every form of the pages does."""

    def post(self, url: Any, *, data: Any = None, **more: Any) -> Any:
        return super().post(url, data={"csrf": "token", **(data or {})}, **more)


class Office:
    """The desk over the small town, with phones that text and staff who click."""

    def __init__(self, gateway: Gateway, clock: Clock, desk: Desk, client: TestClient) -> None:
        self.gateway, self.clock, self.desk, self.client = gateway, clock, desk, client
        self.texts = 0

    def as_(self, staff: Staff | None) -> TestClient:
        Seat.staff = staff
        return self.client

    def text(self, label: str, words: str) -> str:
        """An SMS from a phone, and the answer to it."""
        self.texts += 1
        self.clock.wait(timedelta(seconds=5))
        inbound = Inbound(f"t{self.texts}", "phone", town.PHONES[label], "sms", words, self.clock())
        return self.gateway.hop.serve([inbound])[0].page

    def speaks(self, label: str, lang: str) -> None:
        with self.gateway.store.write():
            self.gateway.store.keep_conversations([Conversation(town.PHONES[label], lang=lang)], self.clock())

    def inbox(self, label: str) -> list[str]:
        sql = "select text from outbox where phone = ? order by id"
        return [row[0] for row in self.gateway.store.database.rows(sql, (town.PHONES[label],))]

    def message(self, id_: int) -> tuple[str, str]:
        """State and note of a message in the outbox."""
        ((state, note),) = self.gateway.store.database.rows("select state, note from outbox where id = ?", (id_,))
        return state, note

    def ticket(self, service: str) -> str:
        sql = "select ticket from request where service = ? order by filed desc limit 1"
        return str(self.gateway.store.database.rows(sql, (service,))[0][0])

    def state(self, ticket: str) -> str:
        return str(self.gateway.store.database.rows("select state from request where ticket = ?", (ticket,))[0][0])

    def step(self, staff: Staff, ticket: str, name: str, /, **typed: object) -> int:
        self.clock.wait(timedelta(minutes=10))
        form = {"csrf": "token", "state": self.state(ticket), **typed}
        return self.as_(staff).post(f"/desk/requests/{ticket}/steps/{name}", data=form, follow_redirects=False).status_code


@pytest.fixture
def office(gateway: Gateway, clock: Clock) -> Iterator[Office]:
    desk = make_desk(gateway, lambda: None)
    app = Starlette(routes=[*front_routes(desk), Mount("/desk", routes=desk_routes(desk))], middleware=[Middleware(Seat)])
    with Clicks(app) as client:
        with gateway.store.write():
            gateway.store.database.run(
                "insert into section values ('S1', 'चरित्रवन', 'Charitravan', 'urban', '', '') on conflict do nothing"
            )
        yield Office(gateway, clock, desk, client)
    Seat.staff = None


@BOTH_STORES
def test_every_page_opens_in_both_languages(office: Office) -> None:
    """With something on each, for whoever may; every other role is turned away, and so is nobody."""
    ticket = _disconnection(office)
    office.text("one", "kuchh bhi qqq")
    office.gateway.hop.serve([Inbound("u1", "phone", town.PHONES["two"], "ussd", "", office.clock(), "s1", dialled=("3",))])
    talk = office.as_(CHANDA).post("/desk/centre", data={"phone": "", "begin": "1"}).url.path.split("/")[3]
    for page in HERE:
        if page.method != "GET":
            continue
        path = (
            "/desk" + page.path.format(ticket=ticket, talk=talk, number=0) + ("?kind=overdue" if "preview" in page.path else "")
        )
        for role in ROLES:
            for lang in ("hi", "en"):
                answer = office.as_(Staff("x", role, ("*",), lang)).get(path)
                assert answer.status_code == (200 if role in page.roles else 403), (path, role, answer.text)
                if answer.status_code == 200:
                    assert f'<html lang="{lang}">' in answer.text
                    assert "{" not in re.sub(r"content='[^']*'|{#\w+#}", "", answer.text), path
        assert office.as_(None).get(path).status_code == 401


def test_every_form_wants_its_role_and_holds_the_token(office: Office) -> None:
    ticket = _disconnection(office)
    for page in HERE:
        if page.method == "POST":
            path = "/desk" + page.path.format(ticket=ticket, step="confirm", talk="x", number=0, campaign=1)
            for role in ROLES:
                if role not in page.roles:
                    assert office.as_(Staff("x", role, ("*",), "en")).post(path, data={"csrf": "token"}).status_code == 403
    for path in ("/desk/", f"/desk/requests/{ticket}", "/desk/centre", "/desk/misheard", "/desk/messages"):
        page_text = office.as_(BIRJU).get(path).text
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", page_text, re.S):
            assert 'name="csrf" value="token"' in form, (path, form)


def test_both_languages_have_every_word() -> None:
    words = desk_words()
    assert all(text.strip() for lang in words.values() for text in lang.values())
    slots = {key: sorted(re.findall(r"{(\w+)}", text)) for key, text in words["en"].items()}
    assert slots == {key: sorted(re.findall(r"{(\w+)}", text)) for key, text in words["hi"].items()}
    for case in casework.ALL:
        for step in casework.steps_of(case):
            assert f"step_{step.name}" in words["en"]
            assert {f"why_{why}" for why in step.only_if} <= words["en"].keys()
            assert {f"field_{name}" for name in step.fields} <= words["en"].keys()
        assert f"service_{case.service}" in words["en"]
        assert {f"paper_{paper}" for papers in case.papers.values() for paper in papers} <= words["en"].keys()
    assert {f"wrong_{why}" for why in ("money", "reading", "code", "words", "papers", "percent")} <= words["en"].keys()
    assert {f"role_{role}" for role in ROLES} <= words["en"].keys()


# --- worked off -----------------------------------------------------------------------------------------------------------


def _disconnection(office: Office) -> str:
    """A disconnection of a paid-up account, filed by SMS."""
    office.speaks("credit", "en")
    office.text("credit", "CUT")
    for words in ("1", "1", "0009", "1"):
        office.text("credit", words)
    return office.ticket("disconnection")


@BOTH_STORES
def test_a_disconnection_to_its_closure_proof(office: Office) -> None:
    ticket = _disconnection(office)
    assert office.step(ASHA, ticket, "confirm", identity="voter card") == 422  # GALAT may still come
    office.clock.wait(timedelta(hours=24))
    assert office.step(ASHA, ticket, "confirm", identity="voter card") == 303
    assert office.step(ASHA, ticket, "read", final_reading="कम") == 422
    assert office.state(ticket) == "confirmed"
    assert office.step(ASHA, ticket, "read", final_reading="१०१५") == 303
    assert office.step(ASHA, ticket, "bill", bill_number="INV99", final_bill="340.50") == 303
    due = office.desk.cases.row(ticket)
    assert due is not None
    assert due.stopped is not None  # it is the person's turn
    office.clock.wait(timedelta(days=3))
    assert office.step(CHANDA, ticket, "pay", receipt="R77") == 303
    after = office.desk.cases.row(ticket)
    assert after is not None
    assert after.due is not None
    assert due.due is not None
    assert timedelta(days=3) <= after.due - due.due <= timedelta(days=3, hours=1)
    assert office.step(ASHA, ticket, "remove", removed_meter="SB100009") == 303
    proof = {"final_reading": "1015", "final_bill": "340.50", "removed_meter": "SB100009", "no_dues": f"ND{ticket}"}
    assert office.step(ASHA, ticket, "close", **proof) == 422  # not by the same person
    assert office.step(BIRJU, ticket, "close", **{**proof, "no_dues": ""}) == 422
    assert office.state(ticket) == "meter_removed"
    assert office.step(BIRJU, ticket, "close", **proof) == 303
    assert office.state(ticket) == "closed"
    told = office.inbox("credit")
    assert any("final bill of Rs 340.50" in text for text in told)
    assert f"ND{ticket}" in told[-1]
    assert len([text for text in told if ticket in text]) >= 4
    page = office.as_(BIRJU).get(f"/desk/requests/{ticket}").text
    for shown in ("voter card", "Rs 340.50", "asha", "birju", "R77", "No-dues number"):
        assert shown in page
    who = {row[0] for row in office.gateway.store.database.rows("select who from audit where subject = ?", (ticket,))}
    assert who == {"asha", "birju", "chanda"}


def test_a_stale_page_changes_nothing(office: Office) -> None:
    ticket = _disconnection(office)
    office.clock.wait(timedelta(days=2))
    assert office.step(ASHA, ticket, "confirm", identity="voter card") == 303
    form = {"csrf": "token", "state": "submitted", "identity": "again"}
    answer = office.as_(BIRJU).post(f"/desk/requests/{ticket}/steps/confirm", data=form)
    assert answer.status_code == 422
    assert "Somebody else" in answer.text


@BOTH_STORES
def test_one_step_tells_all_phones_and_nahi_opens_it_again(office: Office) -> None:
    for label, lang in (("one", "hi"), ("neighbour", "en"), ("average", "hi-Latn")):
        office.speaks(label, lang)
    for label in ("one", "neighbour"):
        office.text(label, "TRANS")
        for words in ("1", "1"):
            office.text(label, words)
    office.text("average", "TRANS")
    office.text("average", "6")
    office.text("average", "100000001")
    for words in ("1", "1"):
        office.text("average", words)
    ticket = office.ticket("transformer")
    assert len(office.desk.cases.phones(ticket)) == 3
    before = {label: len(office.inbox(label)) for label in ("one", "neighbour", "average")}
    assert office.step(ASHA, ticket, "restore", finding="fuse replaced") == 303
    for label in before:
        assert len(office.inbox(label)) == before[label] + 1
    assert "NAHI" in office.inbox("one")[-1]
    assert "NO" in office.inbox("neighbour")[-1]
    assert ticket in office.text("one", "नहीं")
    assert office.state(ticket) == "reopened"
    assert "फिर खोला" in office.inbox("one")[-1]
    assert "not done" in office.as_(ASHA).get(f"/desk/requests/{ticket}").text
    assert office.step(ASHA, ticket, "take_up") == 303
    for lang, said in (("en", "waiting for the person"), ("hi", "व्यक्ति का जवाब बाकी")):
        page = office.as_(Staff("x", "section", ("S1",), lang)).get(f"/desk/requests/{ticket}").text
        assert f"→ {said}" in page
        assert "waiting for you" not in page
    assert office.step(ASHA, ticket, "restore") == 303
    office.clock.wait(timedelta(days=8))
    office.text("one", "NAHI")  # the window is over
    assert office.state(ticket) == "restored"


@BOTH_STORES
def test_nahi_never_opens_a_second_one_for_the_same_thing(office: Office) -> None:
    office.speaks("one", "en")
    for words in ("TRANS", "1", "1"):
        office.text("one", words)
    first = office.ticket("transformer")
    office.step(ASHA, first, "restore", finding="done")
    for words in ("TRANS", "1", "1"):
        office.text("one", words)
    second = office.ticket("transformer")
    assert second != first
    office.text("one", f"NO {first}")
    assert (office.state(first), office.state(second)) == ("restored", "reported")
    assert any(event.what == "reopened" for event in office.desk.cases.story(second))


def test_a_new_connection_starts_its_clock_when_complete(office: Office) -> None:
    office.speaks("new", "en")
    for words in ("NEW", "1", "1", "6", "802101", "1", "1"):
        office.text("new", words)
    ticket = office.ticket("new_connection")
    office.text("new", "NAME Geeta Kumari")
    row = office.desk.cases.row(ticket)
    assert row is not None
    assert row.stopped == row.filed
    assert row.section == "S1"  # by its PIN code
    office.clock.wait(timedelta(days=20))
    form = {"name": "Geeta Kumari", "address": "Ward 4", "receipt": "BPL"}
    assert office.step(CHANDA, ticket, "accept", **form, papers=["id", "photo"]) == 422
    assert office.step(CHANDA, ticket, "accept", **form, papers=["id", "address_proof", "photo"]) == 303
    row = office.desk.cases.row(ticket)
    assert row is not None
    assert row.stopped is None
    assert row.due is not None
    assert timedelta(days=6, hours=23) < row.due - office.clock() <= timedelta(days=7)
    assert "application is complete" in office.inbox("new")[-1]
    for words in ("geeta", "गीता", ticket, "0001"):
        assert ticket in office.as_(BIRJU).get("/desk/requests", params={"q": words, "show": "all"}).text, words


@BOTH_STORES
def test_search_and_filters_stay_in_the_address(office: Office) -> None:
    ticket = _disconnection(office)
    client = office.as_(BIRJU)
    for words in ("lakshman", "लक्ष्मण", "100000009", town.PHONES["credit"], "0011", ticket):
        assert ticket in client.get("/desk/requests", params={"q": words}).text, words
    digits = town.PHONES["credit"][3:]
    for words in (
        "10000",
        "CA 100000009",
        "100-000-009",
        f"+91-{digits[:3]}-{digits[3:6]}-{digits[6:]}",
        f"0{digits[:5]} {digits[5:]}",
    ):
        assert ticket in client.get("/desk/requests", params={"q": words}).text, words
    for words in ("9999", "10001", "99999", "\ud7ff", "\U0010ffff", "lakshman\U0010ffff"):
        answer = client.get("/desk/requests", params={"q": words})
        assert (answer.status_code, ticket in answer.text) == (200, False), words
    with office.gateway.store.write():
        office.gateway.store.database.run("update request set account = '010000777' where ticket = ?", (ticket,))
    assert ticket in client.get("/desk/requests", params={"q": "10000777"}).text
    with office.gateway.store.write():
        office.gateway.store.database.run("update request set account = '100000009' where ticket = ?", (ticket,))
    for query, there in (({"service": "disconnection"}, True), ({"service": "meter"}, False), ({"show": "late"}, False),
                         ({"state": "submitted", "section": "S1"}, True)):  # fmt: skip
        assert (ticket in client.get("/desk/requests", params=query).text) is there, query
    part = client.get("/desk/requests", params={"q": "lakshman"}, headers={"hx-request": "true"}).text
    assert "<html" not in part
    assert ticket in part


def test_a_section_sees_its_own_only(office: Office) -> None:
    ticket = _disconnection(office)
    stranger = Staff("else", "section", ("S9",), "en")
    nobody = Staff("none", "supervisor", (), "en")
    for staff in (stranger, nobody):
        client = office.as_(staff)
        assert ticket not in client.get("/desk/requests", params={"show": "all"}).text
        assert ticket not in client.get("/desk/").text
        assert client.get(f"/desk/requests/{ticket}").status_code == 404
        assert client.post(f"/desk/requests/{ticket}/note", data={"note": "hello there"}).status_code == 404
        assert office.step(staff, ticket, "reject", reason="because") == 404
    assert office.state(ticket) == "submitted"


def test_a_note_and_a_message_from_the_templates(office: Office) -> None:
    ticket = _disconnection(office)
    client = office.as_(ASHA)
    client.post(f"/desk/requests/{ticket}/note", data={"note": "gate is locked"})
    client.post(f"/desk/requests/{ticket}/message", data={"template": "case_called"})
    assert client.post(f"/desk/requests/{ticket}/message", data={"template": "welcome"}).status_code == 422
    assert "could not reach you" in office.inbox("credit")[-1]
    assert "gate is locked" in client.get(f"/desk/requests/{ticket}").text


@BOTH_STORES
def test_a_second_click_does_nothing_more(office: Office) -> None:
    ticket = _disconnection(office)
    office.clock.wait(timedelta(days=2))
    form = {"state": "submitted", "identity": "voter card"}
    for _ in range(2):
        office.clock.wait(timedelta(seconds=5))
        assert office.as_(ASHA).post(f"/desk/requests/{ticket}/steps/confirm", data=form).status_code == 200
    assert office.as_(BIRJU).post(f"/desk/requests/{ticket}/steps/confirm", data=form).status_code == 422
    before = len(office.inbox("credit"))
    for wait, more in ((0, 1), (5, 1), (70, 2)):
        office.clock.wait(timedelta(seconds=wait))
        answer = office.as_(ASHA).post(f"/desk/requests/{ticket}/message", data={"template": "case_called"})
        assert (answer.status_code, len(office.inbox("credit"))) == (200, before + more)
    story = [event.what for event in office.desk.cases.story(ticket)]
    assert (story.count("step:confirm"), story.count("word:case_called")) == (1, 2)


def test_what_was_typed_stays_in_the_form(office: Office) -> None:
    """After an error, with the reason at its field: a note, a step with its ticks, a spelling, a campaign."""
    office.speaks("new", "en")
    for words in ("NEW", "1", "1", "6", "802101", "1", "1"):
        office.text("new", words)
    ticket = office.ticket("new_connection")
    client = office.as_(BIRJU)
    note = client.post(f"/desk/requests/{ticket}/note", data={"note": "<x" * 300}).text
    assert f'aria-invalid="true" aria-describedby="note-wrong">{"&lt;x" * 300}</textarea>' in note
    form = {"name": "Geeta", "address": "Ward 4", "receipt": "मीटर", "papers": ["id", "photo"], "state": office.state(ticket)}
    step = client.post(f"/desk/requests/{ticket}/steps/accept", data=form).text.split('/steps/accept"')[1].split("</form>")[0]
    assert re.findall(r'value="(\w+)" checked', step) == ["id", "photo"]
    assert all(f'value="{form[field]}"' in step for field in ("name", "address", "receipt"))
    office.text("one", "zzbijlikhata")
    office.text("one", "qqlamp")
    heard = re.findall(r'name="inbound" value="([^"]+)"', client.get("/desk/misheard").text)
    spelled = {"spelling": "METER", "intent": "BILL", "inbound": heard[0]}
    page = client.post("/desk/misheard", data=spelled).text
    assert 'value="METER" maxlength="60" required aria-invalid="true" aria-describedby="trouble"' in page
    assert page.count('<option value="BILL" selected>') == 1
    asked = {"kind": "notice", "section": "S1", "category": "DS-II", "at_least": "much"}
    page = client.get("/desk/messages/preview", params=asked)
    assert page.status_code == 422
    assert re.findall(r'(?:value="(\S+)"|<option) selected>', page.text) == ["notice", "S1", ""]
    assert 'value="much"' in page.text
    taken = {"kind": "readings", "days": "92", "ending": "xlsx", "reason": "no", "full": "yes"}
    page = client.post("/desk/exports", data=taken).text
    assert re.findall(r'value="(\w+)"(?: maxlength="200" autocomplete="off" required| selected| checked)', page) == [
        "readings", "92", "xlsx", "no", "yes"]  # fmt: skip


def test_a_spelling_counts_from_the_next_message_on(office: Office) -> None:
    office.speaks("one", "en")
    assert "1,240" not in office.text("one", "zzbijlikhata")
    client = office.as_(CHANDA)
    page = client.get("/desk/misheard").text
    assert "zzbijlikhata" in page
    heard = re.search(r'name="inbound" value="([^"]+)"', page)
    assert heard
    assert client.post("/desk/misheard", data={"spelling": "METER", "intent": "BILL"}).status_code == 422
    client.post("/desk/misheard", data={"spelling": "ZZbijlikhata", "intent": "BILL", "inbound": heard[1]})
    assert "1,240" in office.text("one", "zzbijlikhata")
    assert heard[1] not in client.get("/desk/misheard").text
    client.post("/desk/misheard/remove", data={"spelling": "zzbijlikhata"})
    assert "1,240" not in office.text("son", "zzbijlikhata")


def test_what_was_not_understood_is_for_who_sees_all(office: Office) -> None:
    """As all messages are; who sits in one section may still teach a spelling."""
    office.text("one", "zzbijlikhata")
    heard = re.findall(r'name="inbound" value="([^"]+)"', office.as_(BIRJU).get("/desk/misheard").text)
    own = office.as_(Staff("c", "centre", ("S1",), "en"))
    page = own.get("/desk/misheard").text
    assert "zzbijlikhata" not in page
    assert "for who sees all sections" in page
    assert own.post("/desk/misheard/leave", data={"inbound": heard[0]}).status_code == 403
    assert own.post("/desk/misheard", data={"spelling": "METER", "intent": "BILL"}).text.count('BILL" selected') == 1
    assert own.post("/desk/misheard", data={"spelling": "qqlamp", "intent": "SUPPLY", "inbound": heard[0]}).status_code == 200
    assert heard[0] in office.as_(BIRJU).get("/desk/misheard").text


def test_another_process_hears_the_new_spelling(office: Office) -> None:
    time = [0.0]
    other = LiveEar(office.gateway.store, office.gateway.settings.ca_pattern, lambda: time[0])
    office.as_(BIRJU).post("/desk/misheard", data={"spelling": "qqlamp", "intent": "SUPPLY"})
    time[0] = 1.0
    assert other.message("qqlamp")[0].intent == ""
    time[0] = 3.1
    assert other.message("qqlamp")[0].intent == "SUPPLY"


@BOTH_STORES
def test_the_centre_serves_a_person_without_a_phone(office: Office) -> None:
    client = office.as_(CHANDA)
    page = client.post("/desk/centre", data={"phone": "", "begin": "1"})
    for number, said in enumerate(("1", "2", "6", "802119", "1", "1"), start=1):
        form = {"number": str(number), "answer": said}
        page = client.post(page.url.path.rsplit("/", 1)[0], data=form)
        again = client.post(page.url.path.rsplit("/", 1)[0], data=form)  # a second click
        assert again.text == page.text
    ticket = office.ticket("new_connection")
    assert ticket in page.text
    assert office.desk.cases.row(ticket).phone.startswith("counter-")  # type: ignore[union-attr]
    assert ticket in client.get(f"/desk/requests/{ticket}/token").text
    page = client.get(f"/desk/requests/{ticket}")
    assert "h-say" not in page.text
    assert "मोबाइल नहीं: काउंटर पर बताएँ" in page.text
    assert "एसएमएस जाएगा" not in page.text
    refused = client.post(f"/desk/requests/{ticket}/message", data={"template": "case_called"})
    assert (refused.status_code, "मोबाइल नहीं है, संदेश नहीं गया" in refused.text) == (422, True)
    assert not any(event.what.startswith("word") for event in office.desk.cases.story(ticket))
    form = {"name": "Munni Devi", "address": "Simri", "receipt": "BPL", "papers": ["id", "address_proof", "photo"]}
    assert office.step(CHANDA, ticket, "accept", **form) == 303
    assert office.gateway.store.count("outbox") == 0  # nobody to write to


def test_another_answer_from_a_page_gone_back_to_is_not_swallowed(office: Office) -> None:
    client = office.as_(Staff("c", "centre", ("*",), "en"))
    begun = client.post("/desk/centre", data={"phone": "", "begin": "1"}).url.path.rsplit("/", 1)[0]
    client.post(begun, data={"number": "1", "answer": "2"})  # a shop
    onward = client.post(begun, data={"number": "2", "answer": "1"})
    said = re.search(r'class="counter".*?</div>', onward.text, re.S)
    page = client.post(begun, data={"number": "1", "answer": "1"})  # Back, Back: a home
    assert page.url.path == onward.url.path
    assert said
    assert said[0] in page.text
    assert "already answered with “2”" in page.text
    assert "go back with 0" in page.text
    again = client.post(begun, data={"number": "1", "answer": "2"})  # the same once more is harmless
    assert "already answered" not in again.text


def test_nothing_begins_at_the_centre_that_nobody_chose(office: Office) -> None:
    client = office.as_(CHANDA)
    page = client.post("/desk/centre", data={"phone": "९१५५ ००-०००१", "begin": ""})
    assert page.status_code == 422
    assert 'value="९१५५ ००-०००१"' in page.text
    assert "अब नीचे काम चुनें" in page.text
    assert not office.gateway.store.count("inbound")
    page = client.post("/desk/centre", data={"phone": "९१५५ ००-०००१", "begin": "3"})
    assert "+91******0001" in page.text
    first = re.search(r"<button[^>]*>", client.get("/desk/centre").text.split('action="/desk/centre"')[1])
    assert first
    assert 'value=""' in first[0]


@BOTH_STORES
def test_a_clerk_prints_what_was_filed_whatever_its_section(office: Office) -> None:
    clerk = Staff("c", "centre", ("S2",), "en")
    client = office.as_(clerk)
    page = client.post("/desk/centre", data={"phone": town.PHONES["one"][3:], "begin": "3"})
    for number, said in enumerate(("1", "1", "4444", "1"), start=1):
        page = client.post(page.url.path.rsplit("/", 1)[0], data={"number": str(number), "answer": said})
    ticket, talk = office.ticket("meter"), page.url.path.split("/")[3]
    links = re.findall(rf'href="(/desk/[^"]*{ticket}[^"]*)"', page.text)
    assert links == [f"/desk/centre/{talk}/{ticket}/token"]
    assert ticket in client.get(links[0]).text
    assert client.get(f"/desk/requests/{ticket}/token").status_code == 404
    assert client.get(f"/desk/centre/%/{ticket}/token").status_code == 404
    assert office.as_(Staff("d", "centre", ("S2",), "en")).get(links[0]).status_code == 404, "another clerk's talk"
    assert f"/desk/requests/{ticket}#steps" in office.as_(CHANDA).get(page.url.path).text


def test_the_centre_serves_in_the_name_of_a_phone(office: Office) -> None:
    client = office.as_(CHANDA)
    page = client.post("/desk/centre", data={"phone": town.PHONES["one"][3:], "begin": "3"})
    assert client.post("/desk/centre", data={"phone": "123", "begin": "3"}).status_code == 422
    for number, said in enumerate(("1", "1", "4444", "1"), start=1):
        page = client.post(page.url.path.rsplit("/", 1)[0], data={"number": str(number), "answer": said})
    ticket = office.ticket("meter")
    row = office.desk.cases.row(ticket)
    assert row is not None
    assert (row.phone, row.unverified) == (town.PHONES["one"], False)
    assert any(ticket in text for text in office.inbox("one"))
    carriers = {c for (c,) in office.gateway.store.database.rows("select distinct carrier from outbox")}
    assert carriers == {"phone"}


@BOTH_STORES
def test_a_campaign_is_seen_started_paused_and_stopped(office: Office) -> None:
    office.clock.wait(timedelta(days=20))
    officer = Staff("omar", "sms_officer", ("*",), "en")
    client = office.as_(officer)
    page = client.get("/desk/messages/preview", params={"kind": "overdue", "at_least": "600"})
    assert "1912" in page.text
    assert client.get("/desk/messages/preview", params={"kind": "threat"}).status_code == 422
    assert client.get("/desk/messages/preview", params={"kind": "due", "section": "S99"}).status_code == 422
    form = {"kind": "overdue", "section": "", "category": "", "at_least": "600"}
    assert "running" in client.post("/desk/messages/campaigns", data=form).text
    assert "paused" in client.post("/desk/messages/campaigns/1", data={"act": "pause"}).text
    assert "running" in client.post("/desk/messages/campaigns/1", data={"act": "resume"}).text
    assert "stopped" in client.post("/desk/messages/campaigns/1", data={"act": "stop"}).text
    done = [row[0] for row in office.gateway.store.database.rows("select what from audit where who = 'omar' order by number")]
    assert [what for what in done if "preview" not in what] == [f"{act} campaign" for act in ("start", "pause", "resume", "stop")]


def test_a_campaign_stays_within_the_own_sections(office: Office) -> None:
    with office.gateway.store.write():
        office.gateway.store.database.run("insert into section values ('S2', 'सिमरी', 'Simri', 'rural', '', '')")
    form = {"kind": "notice", "section": "", "category": "", "at_least": ""}
    for section in ("", "S1", "S2"):
        office.as_(BIRJU).post("/desk/messages/campaigns", data={**form, "section": section})
    own = office.as_(Staff("s", "supervisor", ("S2",), "en"))
    page = own.get("/desk/messages").text
    assert re.findall(r'<option value="(S?\d?)">', page.split('name="section"')[1].split("</select>")[0]) == ["S2"]
    assert re.findall(r'action="/desk/messages/campaigns/(\d)"', page) == ["3"]
    for section, status in (("", 422), ("S1", 422), ("S2", 200)):
        assert own.get("/desk/messages/preview", params={**form, "section": section}).status_code == status
        assert own.post("/desk/messages/campaigns", data={**form, "section": section}).status_code == status
    for number in (1, 2, 3, 99):
        own.post(f"/desk/messages/campaigns/{number}", data={"act": "stop"})
    states = dict(office.gateway.store.database.rows("select id, state from campaign order by id"))
    assert states == {1: "running", 2: "running", 3: "stopped", 4: "running"}


@BOTH_STORES
def test_what_did_not_arrive_is_sent_again_but_never_what_may_have(office: Office) -> None:
    """Held by the cap, failed, and of unknown fate: what goes out once only, has grown old or is a campaign's stays."""
    store, officer = office.gateway.store, Staff("omar", "sms_officer", ("*",), "en")
    now, phone = office.clock(), town.PHONES["one"]
    text = office.gateway.pen.compose(Text("sms", "case_called", {"ticket": "40000012"}), phone, now=now)[0]

    def kept(state: str, **how: object) -> int:
        columns = {"state": state, "attempts": int(state != "held"), **how}
        with store.write():
            store.enqueue([text])
            ((id_,),) = store.database.rows("select max(id) from outbox")
            for column, value in columns.items():
                store.database.run(f"update outbox set {column} = ? where id = ?", (value, id_))
        return int(id_)

    goes = [kept("held"), kept("failed"), kept("failed", delivery="once"), kept("unknown", delivery="must_arrive", unsure=3)]
    stays = [kept("unknown", delivery="once", unsure=1), kept("failed", delivery="once", unsure=1),
             kept("failed", expires=1), kept("failed", inbound=campaign_of("100000001")), kept("sent"), kept("dropped")]  # fmt: skip
    wrong = kept("failed", text="SBPDCL: what nobody has registered")
    page = office.as_(officer).get("/desk/messages").text
    assert all(f'name="message" value="{id_}"' in page for id_ in (*goes, wrong))
    assert not any(f'name="message" value="{id_}"' in page for id_ in stays)
    assert phone not in page
    form = {"message": [*map(str, (*goes, *stays, wrong)), "x", "9" * 30]}
    section = Staff("s", "supervisor", ("S1",), "en")
    assert "h-aside" not in office.as_(section).get("/desk/messages").text
    office.as_(section).post("/desk/messages/again", data=form)
    before = {id_: office.message(id_) for id_ in stays}
    assert "4 put into the queue, 7 stay" in office.as_(officer).post("/desk/messages/again", data=form).text
    assert {office.message(id_) for id_ in goes} == {("waiting", "")}
    assert {id_: office.message(id_) for id_ in stays} == before
    state, note = office.message(wrong)
    assert state == "failed"
    assert "sms.case_called" in note
    done = store.database.rows("select who, what, subject from audit where what = 'send again' order by number")
    assert [tuple(row) for row in done] == [("omar", "send again", f"message {id_}") for id_ in goes]


def test_the_public_page_and_its_posters(office: Office) -> None:
    client = office.as_(None)
    for lang, said in (("hi", "बिना इंटरनेट"), ("en", "without internet")):
        page = client.get("/", params={"lang": lang})
        assert said in page.text
        assert office.gateway.settings.ussd_code in page.text
        assert "script-src" not in page.text
        assert client.get("/posters", params={"lang": lang}).text.count('class="poster"') == 7
    ear = office.gateway.hop.ear
    for _, _, hindi, english in SERVICES:
        assert ear.message(hindi)[0].intent == ear.message(english)[0].intent != ""


@pytest.mark.parametrize("flow", [flow.name for flow in SERVICES_ASKED])
def test_each_flow_is_drawn_in_the_words_of_its_screens(office: Office, flow: str) -> None:
    page = office.as_(Staff("x", "reader", ("*",), "hi")).get("/desk/figures", params={"flow": flow}).text
    drawn = re.findall(r'font-size="12" font-weight="400">([^<]+)<', page)
    assert drawn
    assert all(re.search("[\u0900-\u097f]|CA|…", words) for words in drawn), drawn


def test_the_language_button_opens_a_page_after_any_form(office: Office) -> None:
    ticket = _disconnection(office)
    for path, form, shown in ((f"/desk/requests/{ticket}/note", {"note": "x"}, f"/desk/requests/{ticket}"),
                              ("/desk/misheard", {"spelling": ""}, "/desk/misheard"), ("/desk/centre/none", {}, "/desk/centre"),
                              ("/desk/messages/campaigns", {"kind": "x"}, "/desk/messages")):  # fmt: skip
        page = office.as_(BIRJU).post(path, data=form)
        assert page.status_code >= 400
        assert f'name="back" value="{shown}"' in page.text
        assert office.as_(BIRJU).get(shown).status_code == 200
    assert 'name="back" value="/desk/requests?show=late"' in office.as_(BIRJU).get("/desk/requests?show=late").text


def test_language_is_chosen_and_goes_back(office: Office) -> None:
    client = office.as_(BIRJU)
    answer = client.post("/desk/language", data={"lang": "hi", "back": "/desk/requests?show=late"}, follow_redirects=False)
    assert answer.headers["location"] == "/desk/requests?show=late"
    assert '<html lang="hi">' in client.get("/desk/").text
    for evil in ("https://evil.example/", "//evil.example/desk/", "/desk/https://evil.example"):
        answer = client.post("/desk/language", data={"lang": "en", "back": evil}, follow_redirects=False)
        assert answer.headers["location"] == "/desk/"
