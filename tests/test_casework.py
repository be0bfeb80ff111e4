"""The tables of casework: they hold together, every request can be ended, and each message that a step sends can be said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from flows import casework
from flows.casework import ALL, CASES, CLOSED, FIELDS, CaseError, Work, read, steps_of, stops, values
from flows.flow import is_open
from flows.records import Request, Text
from flows.screens import Bad
from gateway.casework import BY_HAND, _text_of
from gateway.settings import BadSetting, load
from gateway.staff import ROLES
from messages import Limits, Voice
from messages.dlt import rules

NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
VOICE = Voice(load(_env_file=None).house())


def request(service: str, state: str, **details: str) -> Request:
    return Request("40000012", service, state, NOW - timedelta(days=3), NOW, "100000001", due=NOW + timedelta(days=4),
                   details={"reason": "bought", **details})  # fmt: skip


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.service)
def test_every_state_is_reached_and_left(case: type[casework.Case]) -> None:
    steps = list(steps_of(case))
    forward = {state: {step.to for step in steps if step.state == state} for state in case.states()}
    reached, fresh = {case.path[0]}, {case.path[0]}
    while fresh:
        fresh = {to for state in fresh for to in forward[state]} - reached
        reached |= fresh
    asked_by_the_person = {"held", "cancelled"}
    assert set(case.states()) - reached <= asked_by_the_person
    for state in case.states():
        assert forward[state] - {state}, f"{state} is never left"
        if state not in case.finished():
            assert {"rejected", "withdrawn"} <= forward[state]
    assert {role for step in steps for role in step.roles} <= set(ROLES)
    for step in steps:
        if step.name in ("back", "correct", "reject", "withdraw", "reopen", "ask"):
            assert "reason" in step.fields, step


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.service)
def test_every_message_is_said_in_three_registers(case: type[casework.Case]) -> None:
    kept = dict.fromkeys(FIELDS, "1240")
    told = {step.tells for step in steps_of(case) if step.tells}
    for key in {_text_of(tells, request(case.service, case.path[0])) for tells in told} | set(BY_HAND):
        assert rules(f"sms.{key}").category == "service_implicit"
        for lang in VOICE.catalogues:
            args = values(request(case.service, case.path[0]), kept, NOW)
            reply = VOICE.say(Text("sms", key, args), lang, Limits("sms", parts=2))
            assert len(reply.pages) == 1
            assert "40000012" in reply.pages[0]


def test_closed_is_what_the_tables_end_in() -> None:
    assert {
        "closed",
        "restored",
        "energised",
        "done",
        "bill_corrected",
        "effective_next_bill",
        "suspended",
        "cancelled",
    } <= CLOSED
    assert not CLOSED & {state for case in ALL for state in case.path[:-1]}
    assert not is_open(request("disconnection", "closed"))
    assert is_open(request("disconnection", "meter_removed"))


def test_words_for_every_state() -> None:
    for case in ALL:
        for state in case.states():
            for catalogue in VOICE.catalogues.values():
                assert catalogue.word(state)
                assert catalogue.word(f"awaits_{state}")


def test_the_clock_stands_still_while_it_is_the_persons_turn() -> None:
    assert all(stops("new_connection", state) for state in ("submitted", "fee_due", "docs_pending", "demand_note"))
    assert not any(stops("new_connection", state) for state in ("inspection", "demand_paid", "meter_issued"))
    for service, case in CASES.items():
        assert stops(service, "waiting_consumer")
        assert all(stops(service, state) for state in case.finished())
    assert not stops("disconnection", "submitted")
    assert stops("disconnection", "final_bill")


def work(service: str, state: str, *, by: str = "asha", role: str = "section", last: str = "", **details: str) -> Work:
    return Work(request(service, state, **details), by, role, last, NOW, timedelta(hours=24), timedelta(days=30))


def offered(one: Work) -> dict[str, tuple[str, ...]]:
    return {step.name: why for step, why in one.steps()}


def test_two_pairs_of_eyes() -> None:
    assert offered(work("disconnection", "meter_removed", last="asha"))["close"] == ("by_another",)
    assert offered(work("disconnection", "meter_removed", last="birju"))["close"] == ()
    assert offered(work("name_transfer", "verification", last="asha"))["approve"] == ("by_another",)


def test_a_reader_and_the_sms_officer_take_no_step() -> None:
    for case in ALL:
        for state in case.states():
            for role in ("reader", "sms_officer", "administrator"):
                assert not offered(work(case.service, state, role=role))


def test_time_to_object() -> None:
    fresh = work("disconnection", "submitted")
    fresh.request = request("disconnection", "submitted")
    assert offered(fresh)["confirm"] == ()
    fresh.now = fresh.request.filed + timedelta(hours=23)
    assert offered(fresh)["confirm"] == ("after_objection",)


def test_it_expires_only_where_and_when_the_person_was_awaited_long_enough() -> None:
    for case in ALL:
        awaited = {step.state for step in steps_of(case) if step.name == "expire"}
        assert "waiting_consumer" in awaited <= case.waits | {"waiting_consumer"}
        one = work(case.service, "waiting_consumer", role="centre")
        since = one.request.since
        one.now = since + timedelta(days=30) - timedelta(seconds=1)
        assert offered(one)["expire"] == ("waited",)
        one.now = since + timedelta(days=30)
        assert offered(one)["expire"] == ()
        one.take("expire")
        assert one.state == "expired"
        assert "reopen" in {step.name for step in steps_of(case) if step.state == "expired"}
    assert "expire" not in offered(work("disconnection", "final_bill"))


def test_suspended_only_if_for_some_time_was_asked() -> None:
    assert "is_temporary" in offered(work("disconnection", "paid", term="permanent"))["suspend"]
    assert offered(work("disconnection", "paid", term="temporary"))["suspend"] == ()


def test_the_closure_proof_needs_all_four() -> None:
    (close,) = (step for step in steps_of(CASES["disconnection"]) if step.name == "close")
    assert close.fields == ("final_reading", "final_bill", "removed_meter", "no_dues")


def test_a_correction_goes_over_what_was_entered() -> None:
    one = work("disconnection", "paid", final_reading="10", final_bill="34000", term="permanent")
    (step,) = (step for step, _ in one.steps() if step.name == "correct")
    assert set(one.fields(step)) == {"reason", "final_reading", "final_bill"}
    one.take("correct")
    assert one.state == "paid"


def test_no_step_that_the_table_does_not_have() -> None:
    with pytest.raises(CaseError, match="close"):
        work("disconnection", "submitted").take("close")


@pytest.mark.parametrize(("row", "says"), [
    (("submitted", "go", "nowhere", "section", ""), "nowhere"),
    (("submitted", "go", "done", "section", "shoe_size"), "shoe_size"),
    (("submitted", "go", "done", "section", "", "", "is_monday"), "is_monday"),
    (("submitted", "reached", "done", "section", ""), "stands twice"),
])  # fmt: skip
def test_a_bad_row_is_named_when_imported(row: tuple[str, ...], says: str) -> None:
    bad = type("Bad", (casework.CallBack,), {"rules": (*casework.CallBack.rules, row)})
    with pytest.raises(CaseError, match=says):
        casework._machine(bad)


@pytest.mark.parametrize(("field", "typed", "kept"), [
    ("fee", "1,240", "124000"), ("fee", "१२४०.५", "124050"), ("fee", "0", "0"), ("fee", "-5", None), ("fee", "12.345", None),
    ("final_reading", " ००42 ", "42"), ("final_reading", "123456789", None), ("removed_meter", "sb 100/2", "SB100/2"),
    ("removed_meter", "मीटर", None), ("error", "-2.5", "-2.5"), ("error", "much", None), ("papers", "", None), ("papers", "all", "seen"),
    ("reason", " because  of it ", "because of it"), ("reason", "x", None),
])  # fmt: skip
def test_what_is_entered(field: str, typed: str, kept: str | None) -> None:
    value = read(field, typed)
    assert isinstance(value, Bad) if kept is None else value == kept


def test_a_time_limit_changes_on_its_day() -> None:
    policy = load(
        _env_file=None,
        limit_changes=["new_connection urban 5 days from 2027-04-01, order 7", "meter all 12 hours from 2027-01-01",
                       "new_connection urban 3 days from 2028-04-01"],
    ).policy()  # fmt: skip
    assert policy.limit("new_connection", "urban", date(2027, 3, 31)) == timedelta(days=7)
    assert policy.limit("new_connection", "urban", date(2027, 4, 1)) == timedelta(days=5)
    assert policy.limit("new_connection", "urban", date(2028, 4, 2)) == timedelta(days=3)
    assert policy.limit("new_connection", "rural", date(2028, 4, 2)) == timedelta(days=15)
    assert policy.limit("meter", "rural", date(2027, 1, 1)) == timedelta(hours=12)
    for bad in ("new_connection soon", "lamp urban 5 days from 2027-04-01", "meter urban 5 days from 2027-13-01"):
        with pytest.raises(BadSetting, match="GATEWAY_LIMIT_CHANGES"):
            load(_env_file=None, limit_changes=[bad])
