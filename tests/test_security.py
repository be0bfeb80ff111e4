"""The webhooks under attack: forged, replayed, oversized and malformed requests, and numbers tried out (docs/security.md)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from httpx2 import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as chance
from hypothesis import strategies as st
from starlette.testclient import TestClient

from flows.verhoeff import with_check_digit
from gateway.app import Gateway, assemble, make_app
from gateway.carriers.africastalking import AfricasTalking
from gateway.check import check
from gateway.records import Inbound
from gateway.settings import Settings, load
from tests import town
from tests.conftest import BOTH_STORES, Clock
from tests.serving import served

ROOT = Path(__file__).parents[1]
SECRET = "0123456789abcdef0123456789abcdef"
DOCUMENT = json.loads((ROOT / "docs" / "webhooks.openapi.json").read_text(encoding="utf-8"))
FORM = {"content-type": "application/x-www-form-urlencoded"}
ONE, NEW = town.PHONES["one"], town.PHONES["new"]
#: One of each, as the carrier would bring it.
FORMS = {
    "ussd": {"sessionId": "ATUid_1", "phoneNumber": ONE, "serviceCode": "*384*1912#", "text": "3"},
    "sms": {"id": "1", "from": ONE, "to": "56161", "text": "METER", "date": "2026-05-25 04:30:00"},
    "delivery": {"id": "ATXid_1", "status": "Success", "phoneNumber": ONE},
    "optout": {"senderId": "SBPDCL", "phoneNumber": ONE},
    "ussd-end": {"sessionId": "ATUid_1", "phoneNumber": ONE, "status": "Incomplete"},
}


# One gateway takes all of it, one attack after the other.
_folder = tempfile.TemporaryDirectory()
_gateway = assemble(
    load(database=f"sqlite:///{_folder.name}/town.db", at_username="sandbox", at_api_key="test-key", webhook_secrets=[SECRET])
)
town.build(_gateway.store)
_web = make_app(_gateway, send=False)


@pytest.fixture(scope="module")
def attacked() -> Iterator[Client]:
    """Over a real socket, through the web server of production."""
    with served(_web) as url, Client(base_url=url, timeout=60) as client:
        yield client


# --- the document, and everything that can be made of it --------------------------------------------------------------


def test_the_document_names_every_door(settings: Settings) -> None:
    doors = {f"/in/africastalking/{{secret}}/{name}" for name in AfricasTalking(settings).doors}
    assert {*DOCUMENT["paths"]} == doors


@schemathesis.openapi.from_dict(DOCUMENT).parametrize()
@chance(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_whatever_the_document_allows_is_taken_and_nothing_breaks(attacked: Client, case: schemathesis.Case) -> None:
    """What it allows gets a 200 of the documented shape, what it forbids a documented refusal; never a 500."""
    forged = case.meta is not None and not case.meta.generation.mode.is_positive
    secret = str((case.path_parameters or {}).get("secret", ""))
    if not forged or len(secret) % 2:  # half of the forged ones come with the right secret
        case.path_parameters = {"secret": SECRET}
    case.call_and_validate(
        str(attacked.base_url), excluded_checks=[schemathesis.checks.CHECKS.get_one("negative_data_rejection")]
    )


#: What no phone can type is not taken.
NOT_UTF8, ZERO_BYTE = "body: the form is not percent-encoded UTF-8\n", "text: holds a zero byte\n"

# --- forged, malformed, oversized -------------------------------------------------------------------------------------

secrets = st.text(st.characters(codec="ascii", exclude_characters="/?#%\x7f", min_codepoint=33), min_size=0, max_size=40)
bodies = st.binary(max_size=300) | st.binary(min_size=9000, max_size=9001) | st.builds(
    urlencode, st.dictionaries(st.sampled_from(sorted({field for form in FORMS.values() for field in form})), st.text(max_size=50))
).map(str.encode)  # fmt: skip
headers = st.dictionaries(
    st.sampled_from(
        ["content-type", "at-ussd-hop-metadata", "x-forwarded-for", "content-encoding", "x-http-method-override", "cookie"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.strip)
    | st.just("application/x-www-form-urlencoded"),
)


@chance(max_examples=100)
@given(secret=secrets, door=st.sampled_from([*FORMS]), headers=headers, body=bodies)
def test_without_the_secret_there_is_nothing(attacked: Client, secret: str, door: str, headers: Any, body: bytes) -> None:
    """Whoever guesses learns nothing and changes nothing: not even which doors there are."""
    before = _gateway.store.count("inbound") + _gateway.store.count("delivery")
    answer = attacked.post(f"/in/africastalking/{secret}/{door}", content=body, headers=headers)
    if secret not in (SECRET, "..", "."):
        assert (answer.status_code, answer.text) == (404, "not found\n")
    assert _gateway.store.count("inbound") + _gateway.store.count("delivery") == before


@chance(max_examples=150)
@given(door=st.sampled_from([*FORMS]), headers=headers, body=bodies)
def test_nothing_that_is_brought_breaks_it(attacked: Client, door: str, headers: Any, body: bytes) -> None:
    answer = attacked.post(f"/in/africastalking/{SECRET}/{door}", content=body, headers=headers)
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        assert answer.text.count("\n") == 1
        assert ": " in answer.text
    assert attacked.get("/readyz").status_code == 200


@chance(max_examples=60)
@given(text=st.text(max_size=120), session=st.integers(0, 3))
def test_whatever_is_typed_is_answered(attacked: Client, text: str, session: int) -> None:
    for door, form in (
        ("ussd", FORMS["ussd"] | {"text": text, "sessionId": f"ATUid_{session}"}),
        ("sms", FORMS["sms"] | {"text": text, "id": f"typed-{hash(text)}"}),
    ):
        body = urlencode(form, errors="surrogatepass").encode()
        answer = attacked.post(f"/in/africastalking/{SECRET}/{door}", content=body, headers=FORM)
        assert answer.status_code == 200 or answer.text in (NOT_UTF8, ZERO_BYTE)
        if answer.status_code == 200 and door == "ussd":
            assert answer.content.startswith((b"CON ", b"END "))


# --- replayed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", [*FORMS])
def test_what_is_replayed_does_nothing_more(gateway: Gateway, door: str) -> None:
    """Whoever has recorded a webhook, secret and all, can repeat it as often as he likes."""
    tables = ("inbound", "outbox", "request", "link", "report", "conversation", "delivery", "told", "quarantine")

    def kept() -> list[Any]:
        return [gateway.store.database.rows(f"select * from {table} order by 1, 2") for table in tables]

    with TestClient(make_app(gateway, send=False)) as web:
        answers, states = set(), []
        for _ in range(4):
            answers.add(web.post(f"/in/africastalking/{SECRET}/{door}", content=urlencode(FORMS[door]), headers=FORM).content)
            states.append(kept())
    assert len(answers) == 1
    assert all(state == states[0] for state in states)


# --- numbers tried out ------------------------------------------------------------------------------------------------


def say(gateway: Gateway, phone: str, text: str, count: list[int] = [0]) -> str:  # noqa: B006 (counts the messages)
    """One SMS, and what it is answered."""
    count[0] += 1
    heard = (
        gateway.carriers["africastalking"]
        .doors["sms"]
        .hear(FORMS["sms"] | {"from": phone, "text": text, "id": f"say-{count[0]}"}, {})
    )
    return gateway.hop.serve([heard])[0].page  # type: ignore[list-item]


def test_wrong_and_not_yours_sound_the_same(gateway: Gateway) -> None:
    """The second fact of an account that exists, and an account that does not: the same line."""
    say(gateway, NEW, "JODO 999999999")
    unknown = say(gateway, NEW, "999999998").splitlines()[0]
    say(gateway, NEW, "JODO 100000001")
    say(gateway, NEW, "1")
    assert say(gateway, NEW, "1111").splitlines()[0] == unknown


def test_after_some_wrong_numbers_every_answer_is_the_same(gateway: Gateway) -> None:
    """Those that exist, those that do not, on every road, in every register: nothing more is learnt that day."""
    for number in range(gateway.settings.guesses_a_day):
        say(gateway, NEW, f"BIL {999_999_000 + number}")
    for word in ("BIL", "BILL", "JODO", "METER", "KAT"):
        assert say(gateway, NEW, f"{word} 100000001") == say(gateway, NEW, f"{word} 999999999"), word


def test_a_phone_is_locked_for_the_day_as_people_here_count_it(gateway: Gateway, clock: Clock) -> None:
    """Not until 05:30, when the day of UTC begins."""
    clock.wait(timedelta(hours=15))  # 01:00 in India
    for number in range(gateway.settings.guesses_a_day):
        say(gateway, NEW, f"BIL {999_999_000 + number}")
    locked = say(gateway, NEW, "BIL 999999999")
    clock.wait(timedelta(hours=22))
    assert say(gateway, NEW, "BIL 999999999") == locked
    clock.wait(timedelta(hours=2))
    assert say(gateway, NEW, "BIL 999999999") != locked


def test_tickets_cannot_be_tried_out(gateway: Gateway) -> None:
    """Whoever has a ticket's number may ask for it. Wrong ones are counted with the other guesses, and then nobody learns more."""
    say(gateway, ONE, "METER 100000001")
    for answer in ("1", "1", "4378", "1"):
        say(gateway, ONE, answer)
    ((ticket,),) = gateway.store.database.rows("select ticket from request")
    assert ticket in say(gateway, NEW, f"STATUS {ticket}")
    for number in range(gateway.settings.guesses_a_day):
        say(gateway, NEW, f"STATUS {with_check_digit(str(5_000_000 + number))}")
    assert say(gateway, NEW, f"STATUS {ticket}") == say(gateway, NEW, f"STATUS {with_check_digit('5100000')}")


# --- Aadhaar numbers --------------------------------------------------------------------------------------------------


@BOTH_STORES
def test_an_aadhaar_number_typed_in_a_session_is_kept_nowhere(gateway: Gateway) -> None:
    """And the session goes on behind it as behind any other number: what is new is still known from what was heard."""
    typed, other, none = "417300082346", "299800082346", "417300082347"
    door = gateway.carriers["africastalking"].doors["ussd"]

    def hop(text: str, session: str = "ATUid_1") -> Inbound:
        heard = door.hear(FORMS["ussd"] | {"text": text, "sessionId": session}, {})
        assert isinstance(heard, Inbound)
        return heard

    gateway.hop.serve([hop("", "ATUid_0")])
    gateway.hop.serve([hop("3", "ATUid_0")])
    screens = []
    for number, session in ((typed, "ATUid_1"), (none, "ATUid_2")):
        answers = []
        for text in ("", f"{number}", f"{number}*1", f"{number}*1*1", f"{number}*1*1*0"):
            answers += gateway.hop.serve([hop(text, session)])
            assert gateway.hop.serve([hop(text, session)]) == answers[-1:], "brought again"
        screens.append([answer.screen for answer in answers])
    assert screens[0] == screens[1]
    assert len({*screens[0]}) > 2
    assert hop(f"{typed}*1").id == hop(f"{other}*1").id, "the digits that are not kept cannot be found by trying"
    tables = ("conversation", "inbound", "quarantine", "outbox", "request", "event")
    kept = str([gateway.store.database.rows(f"select * from {table}") for table in tables])
    assert typed not in kept
    assert "XXXX XXXX 2346" in kept
    assert check(gateway.store, gateway.hop.clock()) == []


def test_an_aadhaar_number_is_in_no_id(gateway: Gateway) -> None:
    door = gateway.carriers["mobileseva"].doors["sms"]
    said = {"mobileNumber": "915550000002", "timeStamp": "2026-05-25 10:00:00"}
    one, other, last = (
        door.hear(said | {"message": f"NAAM {number}"}, {}) for number in ("417300082346", "299800082346", "417300082347")
    )
    assert isinstance(one, Inbound)
    assert isinstance(other, Inbound)
    assert isinstance(last, Inbound)
    assert one.id == other.id != last.id


def test_every_threat_names_a_test_that_exists() -> None:
    """docs/security.md says which test covers what: the tests are there."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = {word.strip("`") for word in page.replace("|", " ").split() if word.startswith("`tests/")}
    assert len(named) >= 20
    for name in named:
        file, _, test = name.partition("::")
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, name
