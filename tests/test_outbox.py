"""The sending worker over a real file, with the real SDK, against an emulator that has bad days."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gateway import outbox as module
from gateway import throttle
from gateway.app import Gateway, assemble
from gateway.carriers.africastalking import NAME, AfricasTalking
from gateway.outbox import Outbox, back_off, decide
from gateway.records import Later, Never, OutboundMessage, Report, Sent, Unsure
from gateway.settings import Settings
from gateway.store.queue import Joined, Queue
from gateway.store.sql import Outgoing, millis
from gateway.throttle import Breaker, Pace
from tests import town
from tests.conftest import BOTH_STORES, Clock
from tests.emulators.africastalking import API_KEY, Emulator

PHONE = "+915550000002"


class Post:
    """A store, a carrier with an emulator behind it, and a clerk whose clock only the test moves."""

    def __init__(self, settings: Settings, emulator: Emulator, clock: Clock) -> None:
        self.settings, self.emulator, self.clock = settings, emulator, clock
        self.gateway = assemble(settings)
        self.store = self.gateway.store
        self.queue = Queue(self.store)
        self.carrier = AfricasTalking(settings)  # patient: only what a test has hang is a time-out, however slow the machine

    def be_impatient(self, seconds: float = 0.4) -> None:
        """From now on a call is given up soon."""
        self.carrier = AfricasTalking(self.settings.model_copy(update={"send_timeout": seconds}))

    def put(self, text: str = "hello", phone: str = PHONE, **more: Any) -> int:
        """Into the outbox; its id."""
        now = self.clock()
        message = replace(Outgoing(phone, text, "gsm7", 1, "bill.show/en", NAME, "live", "must_arrive", now, now), **more)
        with self.store.write():
            self.store.enqueue([message])
        return int(self.store.database.rows("select max(id) from outbox")[0][0])

    def outbox(self, **changed: Any) -> Outbox:
        rules = dataclasses.replace(self.settings.sending(), **changed)
        return Outbox(self.store, self.carrier, rules, senders=4, wake=threading.Event(), clock=self.clock)

    def work(self, until: Callable[[], bool], **changed: Any) -> None:
        """Run the worker until something holds."""
        outbox, stop = self.outbox(**changed), threading.Event()
        thread = threading.Thread(target=outbox.run, args=(stop,))
        thread.start()
        try:
            patiently(until)
        finally:
            stop.set()
            outbox.wake.set()
            thread.join()

    def states(self) -> list[str]:
        return [row[0] for row in self.store.database.rows("select state from outbox order by id")]

    def row(self, id_: int, what: str) -> Any:
        return self.store.database.rows(f"select {what} from outbox where id = ?", (id_,))[0][0]

    def settled(self) -> bool:
        return not {"waiting", "sending"} & {*self.states()}


def patiently(until: Callable[[], bool]) -> None:
    given_up = time.monotonic() + 300
    while time.monotonic() < given_up:
        if until():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to that")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def post(settings: Settings, emulator: Emulator, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    monkeypatch.setattr(throttle, "FIRST_REST", 0.05)
    monkeypatch.setattr(throttle, "LONGEST_REST", 0.1)
    changed = settings.model_dump() | {
        "at_base_url": emulator.url, "at_api_key": API_KEY, "sends_per_second": 2000, "report_wait_seconds": 0,
    }  # fmt: skip
    made = Post(Settings.model_validate(changed), emulator, clock)
    yield made
    made.store.close()


# --- what becomes of a message ----------------------------------------------------------------------------------------


@BOTH_STORES
def test_what_waits_is_sent_once(post: Post) -> None:
    for number in range(40):
        post.put(f"text {number}", f"+9155500001{number:02d}")
    post.work(post.settled)
    assert sorted(one.text for one in post.emulator.taken) == sorted(f"text {number}" for number in range(40))
    assert {*post.states()} == {"sent"}
    assert post.queue.parts_spent(post.clock()) == (40, 40)


def test_later_comes_again_and_arrives(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", timedelta(0))
    post.emulator.days = ["code 500", "http 503", "reset", "http 429"]
    id_ = post.put(delivery="must_arrive")
    post.work(post.settled)
    assert len(post.emulator.taken) == 1
    assert post.row(id_, "attempts") == 5


@pytest.mark.parametrize(
    ("delivery", "taken", "state"), [("once", 1, "unknown"), ("must_arrive", 2, "sent"), ("fresh", 2, "sent")]
)
def test_the_delivery_class_decides_what_becomes_of_a_message_in_doubt(
    post: Post, delivery: str, taken: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The carrier took it, and its answer never came."""
    monkeypatch.setattr(module, "FIRST_WAIT", timedelta(0))
    post.emulator.days = ["reset after"]
    post.put(delivery=delivery, fresh_for=timedelta(minutes=10) if delivery == "fresh" else None)
    post.work(post.settled)
    assert post.states() == [state]
    assert len(post.emulator.taken) == taken


def test_what_is_no_longer_fresh_is_not_sent_again(post: Post) -> None:
    post.emulator.days = ["late"]
    post.be_impatient()
    post.put(delivery="fresh", fresh_for=timedelta(seconds=1))
    post.work(post.settled, report_wait=timedelta(minutes=2))
    assert post.states() == ["unknown"]
    assert len(post.emulator.taken) == 1


def test_a_carrier_that_never_answers_gets_one_message_three_times_at_most(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", timedelta(0))
    post.emulator.every_day = "garbage"
    post.put()
    post.work(post.settled)
    assert post.states() == ["unknown"]
    assert len(post.emulator.taken) == module.MOST_UNSURE


def test_never_is_never(post: Post) -> None:
    post.emulator.days = ["code 406"]
    id_ = post.put()
    post.work(post.settled)
    assert (post.states(), post.row(id_, "note")) == (["failed"], "UserInBlacklist")
    assert post.emulator.calls == 1


# --- delivery reports -------------------------------------------------------------------------------------------------


def report(taken: Any, status: str, state: Any) -> Report:
    return Report(NAME, taken.reference, status, state, phone=taken.phone)


def test_reports_move_a_message_forward_only(post: Post) -> None:
    post.put()
    post.work(post.settled)
    (taken,) = post.emulator.taken
    seen = []
    for status, state in [
        ("Sent", "sent"),
        ("Success", "delivered"),
        ("Success", "delivered"),
        ("Sent", "sent"),
        ("Odd", "unknown"),
        ("Failed", "failed"),
    ]:
        post.queue.report(report(taken, status, state), post.clock())
        seen += post.states()
    assert seen == ["sent", *["delivered"] * 5]


def test_a_report_may_overtake_the_answer(post: Post) -> None:
    """The carrier reports before it answers, so before we know its id."""
    post.emulator.days = ["slow"]
    id_ = post.put()

    def report_when_taken() -> bool:
        if post.emulator.taken and not post.store.database.rows("select 1 from delivery"):
            post.queue.report(report(post.emulator.taken[0], "Success", "delivered"), post.clock())
        return post.settled()

    post.work(report_when_taken)
    assert post.row(id_, "state") in ("sent", "delivered")
    post.queue.report(report(post.emulator.taken[0], "Success", "delivered"), post.clock())
    assert post.states() == ["delivered"]


@BOTH_STORES
def test_a_report_settles_what_a_time_out_left_open(post: Post) -> None:
    """The answer never came, but the report did: it is not sent again."""
    post.emulator.days = ["late"]
    post.be_impatient()
    id_ = post.put()
    post.work(lambda: post.row(id_, "unsure") == 1, report_wait=timedelta(minutes=2))
    assert post.states() == ["waiting"]
    post.queue.report(report(post.emulator.taken[0], "Success", "delivered"), post.clock())
    assert post.states() == ["delivered"]
    post.clock.wait(timedelta(minutes=5))
    post.outbox().turn()
    assert len(post.emulator.taken) == 1


@BOTH_STORES
def test_the_report_may_come_before_the_time_out(post: Post) -> None:
    post.emulator.days = ["late"]
    post.be_impatient()
    id_ = post.put()

    def report_when_taken() -> bool:
        if post.emulator.taken and post.row(id_, "state") == "sending":
            post.queue.report(report(post.emulator.taken[0], "Sent", "sent"), post.clock())
        return post.settled()

    post.work(report_when_taken, report_wait=timedelta(minutes=2))
    assert post.states() == ["sent"]
    assert len(post.emulator.taken) == 1


def in_doubt(post: Post, *texts: str) -> list[int]:
    """Messages to one phone, a minute apart, each taken by the carrier, whose answers never came."""
    ids = []
    post.be_impatient()
    for text in texts:
        post.clock.wait(timedelta(minutes=1))
        id_ = post.put(text)
        post.emulator.days = ["late"]
        post.work(lambda id_=id_: post.row(id_, "unsure") == 1, report_wait=timedelta(minutes=10))  # type: ignore[misc]
        ids.append(id_)
    return ids


@BOTH_STORES
def test_of_several_in_doubt_the_report_is_about_the_one_sent_last_before_it(post: Post) -> None:
    first, second = in_doubt(post, "first", "second")
    taken = post.emulator.taken
    post.clock.wait(timedelta(seconds=2))
    assert [told.message for told in post.queue.report(report(taken[1], "Success", "delivered"), post.clock())] == [second]
    assert post.states() == ["waiting", "delivered"]
    post.queue.report(report(taken[1], "Success", "delivered"), post.clock())
    assert post.states() == ["waiting", "delivered"], "the same report once more tells nothing of another"
    assert [told.message for told in post.queue.report(report(taken[0], "Sent", "sent"), post.clock())] == [first]
    assert post.states() == ["sent", "delivered"]


@BOTH_STORES
@pytest.mark.parametrize("about", ["the one on its way", "the one in doubt"])
def test_a_report_waits_for_what_is_on_its_way(post: Post, about: str) -> None:
    """A second message to the phone is being sent when a report comes that nobody knows: its answer tells whose it is."""
    (first,) = in_doubt(post, "first")
    post.clock.wait(timedelta(minutes=1))
    second = post.put("second")
    post.emulator.days = ["hang"]
    post.outbox().turn()  # its sender is another test's business: here its answer is written down by hand
    (message,) = [message for _, message in post.queue.out(NAME)]
    told = Report(NAME, "ATXid_9", "Success", "delivered", phone=PHONE)
    assert post.queue.report(told, post.clock()) == []
    assert post.states() == ["waiting", "sending"]
    outcome = Sent("ATXid_9" if about == "the one on its way" else "ATXid_8")
    with post.store.write(post.queue.touches(message, outcome)):
        assert post.queue.settle(message, outcome, post.clock(), "sent", None) is not None
    states = {first: "waiting", second: "delivered"} if outcome.reference == "ATXid_9" else {first: "delivered", second: "sent"}
    assert {id_: post.row(id_, "state") for id_ in (first, second)} == states


@BOTH_STORES
def test_a_failure_reported_before_its_send_is_written_down_is_heard_of(post: Post) -> None:
    heard: list[Joined] = []
    outbox = Outbox(post.store, post.carrier, post.settings.sending(), senders=1, wake=threading.Event(), clock=post.clock,
                    told=heard.append)  # fmt: skip
    id_ = post.put()
    outbox.turn()
    ((_, message),) = post.queue.out(NAME)
    failed = Report(NAME, "ATXid_9", "Failed", "failed", "stat:UNDELIV err:633", PHONE)
    assert post.queue.report(failed, post.clock()) == []
    outbox._done.put((message, Sent("ATXid_9")))
    outbox.turn()
    assert post.states() == ["failed"]
    assert heard == [Joined(id_, "", failed)]


@BOTH_STORES
def test_what_may_have_gone_waits_while_another_to_its_phone_is_on_its_way(post: Post) -> None:
    """The reports that may tell of it wait for that too: a worker that died over a second message sends nobody the first twice."""
    (first,) = in_doubt(post, "first")
    with post.store.write():
        post.store.database.run("update outbox set due_at = 0 where id = ?", (first,))
    post.outbox().turn()
    ((_, again),) = post.queue.out(NAME)
    id_ = post.put("second")
    with post.store.write([PHONE]):
        assert post.queue.settle(again, Unsure("no answer"), post.clock(), "waiting", post.clock()) is not None
        second = post.queue.take(replace(again, id=id_, attempt=0), "somebody", post.clock())
    post.clock.wait(timedelta(seconds=5))
    post.outbox().turn()
    assert post.states() == ["waiting", "sending"]
    with post.store.write([PHONE]):
        assert post.queue.settle(second, Sent("ATXid_9"), post.clock(), "sent", None) is not None
    post.outbox().turn()
    assert post.states() == ["sending", "sent"]


@BOTH_STORES
def test_of_two_tried_seconds_apart_the_report_between_them_is_about_the_first(post: Post) -> None:
    """A worker died over both: what was reported before the second was tried is not about it, whatever clocks may differ by."""
    first = post.put("first")
    post.outbox().turn()
    post.clock.wait(timedelta(seconds=1))
    assert post.queue.report(Report(NAME, "ATXid_9", "Success", "delivered", phone=PHONE), post.clock()) == []
    post.clock.wait(timedelta(seconds=2))
    second = post.put("second")
    post.outbox().turn()
    post.clock.wait(timedelta(minutes=1))
    for _, message in post.queue.out(NAME):
        with post.store.write([PHONE]):
            assert post.queue.settle(message, Unsure("its sender died"), post.clock(), "waiting", post.clock()) is not None
    assert {id_: post.row(id_, "state") for id_ in (first, second)} == {first: "delivered", second: "waiting"}


def test_a_report_from_before_a_message_was_tried_is_not_about_it(post: Post) -> None:
    post.queue.report(Report(NAME, "ATXid_9", "Success", "delivered", phone=PHONE), post.clock())
    in_doubt(post, "first")
    assert post.states() == ["waiting"]


def taken_for(post: Post, carrier: str, id_: int) -> OutboundMessage:
    """A message that a worker has taken to send it."""
    with post.store.write():
        (message,) = (due.message for due in post.queue.due(carrier, 0, post.clock(), 10) if due.message.id == id_)
        return post.queue.take(message, "a worker", post.clock())


@BOTH_STORES
def test_a_report_of_an_earlier_try_says_nothing_of_the_next(post: Post) -> None:
    """Kannel reports by our own id, which is the same on every try."""
    id_ = post.put(carrier="kannel")

    def sent() -> list[Joined] | None:
        message = taken_for(post, "kannel", id_)
        with post.store.write([PHONE]):
            return post.queue.settle(message, Sent(str(id_)), post.clock(), "sent", None)

    assert sent() == []
    refused = Report("kannel", str(id_), "undelivered", "failed", "err:630", PHONE)
    assert post.queue.report(refused, post.clock()) == [Joined(id_, "", refused)]
    assert post.states() == ["failed"]
    post.clock.wait(timedelta(days=1))
    with post.store.write():
        assert post.queue.send_again(id_, post.clock())
    assert sent() == []
    assert post.states() == ["sent"]
    post.queue.report(Report("kannel", str(id_), "delivered", "delivered", "", PHONE), post.clock())
    assert post.states() == ["delivered"]


@BOTH_STORES
def test_of_two_that_a_dead_worker_held_the_report_names_its_own(post: Post) -> None:
    """Kannel's reports know our ids though no answer of it was written down: no guess is made about whom they are."""
    first, second = (post.put(text, carrier="kannel") for text in ("first", "second"))
    taken_for(post, "kannel", first)
    post.clock.wait(timedelta(seconds=1))
    taken_for(post, "kannel", second)
    post.clock.wait(timedelta(seconds=1))
    assert post.queue.report(Report("kannel", str(first), "delivered", "delivered", "", PHONE), post.clock()) == []
    rules = dataclasses.replace(post.settings.sending(), lease=timedelta(0))
    outbox = Outbox(post.store, post.gateway.carriers["kannel"], rules, senders=0, wake=threading.Event(), clock=post.clock)

    def settled() -> bool:
        outbox._watch_at = 0
        outbox.turn()
        return "sending" not in post.states()

    patiently(settled)
    assert {id_: post.row(id_, "state") for id_ in (first, second)} == {first: "delivered", second: "waiting"}


def test_a_report_nobody_knows_is_kept(post: Post) -> None:
    assert post.queue.report(Report(NAME, "ATXid_0", "Success", "delivered", phone="+915559999999"), post.clock()) == []
    assert post.store.count("delivery") == 1


# --- the rules of sending ---------------------------------------------------------------------------------------------


def taken_by(post: Post, **changed: Any) -> list[str]:
    """What one turn of the clerk hands to the senders."""
    post.outbox(**changed).turn()
    return [row[0] for row in post.store.database.rows("select text from outbox where state = 'sending' order by id")]


@BOTH_STORES
def test_answers_leave_before_bulk(post: Post) -> None:
    for number in range(100):
        post.put(f"bill {number}", f"+9155500002{number:02d}", lane="bulk")
    post.put("notice", lane="notice")
    post.put("answer")
    assert taken_by(post) == ["bill 0", "notice", "answer"]  # four senders, one of them never for bulk


def test_a_call_that_hangs_holds_up_nobody(post: Post) -> None:
    post.emulator.days = ["hang"]
    for number in range(30):
        post.put(f"text {number}", f"+9155500001{number:02d}")
    post.be_impatient(8)
    post.work(lambda: len(post.emulator.taken) == 29)
    assert post.states().count("sending") <= 1


def test_bulk_never_takes_the_last_senders(post: Post) -> None:
    """All of the carrier's calls are slow, and thousands of bills are due: an answer finds a sender at once."""
    post.emulator.every_day = "slow"
    for number in range(60):
        post.put(f"bill {number}", f"+9155500003{number:02d}", lane="bulk")

    def answer() -> bool:
        if len(post.emulator.taken) >= 3 and len(post.states()) == 60:
            post.put("answer")
        return "answer" in [one.text for one in post.emulator.taken]

    post.work(answer)
    assert [one.text for one in post.emulator.taken].index("answer") < 12


@BOTH_STORES
def test_quiet_hours_hold_what_nobody_asked_for(post: Post) -> None:
    post.clock.now = town.BEGIN.replace(hour=16, minute=0)  # 21:30 in India
    bill = post.put("bill", lane="bulk", waits=True)
    post.put("answer", "+915550000003")
    assert taken_by(post) == ["answer"]
    due = post.row(bill, "due_at")
    assert due == millis(town.BEGIN.replace(hour=2, minute=30) + timedelta(days=1))  # 8:00
    post.clock.now = datetime.fromtimestamp(due / 1000, post.clock.now.tzinfo)
    assert "bill" in taken_by(post)


@pytest.mark.parametrize(
    ("here", "ends"),
    [
        ("20:59", None),
        ("21:00", "08:00"),
        ("23:59", "08:00"),
        ("00:00", "08:00"),
        ("07:59", "08:00"),
        ("08:00", None),
        ("12:00", None),
    ],
)
def test_quiet_hours(post: Post, here: str, ends: str | None) -> None:
    hour, minute = map(int, here.split(":"))
    now = datetime(2026, 5, 25, hour, minute, tzinfo=throttle.INDIA)
    end = post.settings.sending().end_of_quiet(now)
    assert (end.strftime("%H:%M") if end else None) == ends
    assert end is None or timedelta(0) < end - now <= timedelta(hours=11)


@BOTH_STORES
def test_the_cap_holds_equal_texts_whoever_sends_them(post: Post) -> None:
    for _ in range(7):
        post.put("the same")
    post.put("another")
    post.work(post.settled)
    assert post.states().count("held") == 2
    assert len(post.emulator.taken) == 6
    post.clock.wait(timedelta(minutes=31))
    post.put("the same")
    post.work(post.settled)
    assert post.states()[-1] == "sent"


def test_the_cap_of_a_day(post: Post) -> None:
    for number in range(32):
        post.put(f"text {number}")
    post.work(post.settled)
    assert post.states().count("held") == 2
    post.clock.wait(timedelta(hours=25))
    post.put("tomorrow")
    post.work(post.settled)
    assert post.states()[-1] == "sent"


@BOTH_STORES
def test_the_budget_stops_bulk_only_and_says_so(post: Post) -> None:
    for number in range(6):
        post.put(f"bill {number}", f"+9155500002{number:02d}", lane="bulk", parts=2)
    post.work(lambda: bool(post.queue.alarms()), parts_an_hour=4)
    (alarm,) = post.queue.alarms()
    assert (alarm.kind, alarm.name) == ("budget", "parts")
    assert "bulk waits" in alarm.why
    post.put("answer")
    post.work(lambda: post.states()[-1] == "sent", parts_an_hour=4)
    assert post.states().count("waiting") >= 1
    post.clock.wait(timedelta(hours=1))
    post.work(post.settled, parts_an_hour=100)
    assert post.queue.alarms() == []


@BOTH_STORES
def test_our_own_fault_stops_the_queue_of_its_template(post: Post) -> None:
    post.emulator.days = ["code 402"]
    first = post.put("one", template="sms.bill/hi")
    post.work(lambda: bool(post.queue.alarms()))
    post.put("two", template="sms.bill/hi")
    post.put("three", template="sms.bill/en")
    post.work(post.settled)
    assert post.states() == ["stopped", "stopped", "sent"]
    (alarm,) = post.queue.alarms()
    assert (alarm.kind, alarm.name, alarm.why) == ("template", "sms.bill/hi", "InvalidSenderId")
    with post.store.write():
        assert post.queue.end_alarm("template", "sms.bill/hi", post.clock())
    post.work(post.settled)
    assert (post.states(), post.row(first, "attempts")) == (["sent"] * 3, 2)


@BOTH_STORES
def test_what_is_registered_otherwise_by_now_does_not_leave(post: Post) -> None:
    """It waited overnight, and its template was registered anew: the operators would refuse it, and bar who sends too many."""
    for text in ("SBPDCL: old", "SBPDCL - new"):
        post.put(text, template="sms.bill/hi")
    outbox = Outbox(
        post.store, post.carrier, post.settings.sending(), senders=4, wake=threading.Event(), clock=post.clock,
        refused=lambda text, key, lang: f"{key}/{lang}: differs" if "old" in text else None,
    )  # fmt: skip
    outbox.turn()
    assert post.store.database.rows("select state, note from outbox order by id") == [
        ("failed", "sms.bill/hi: differs"), ("sending", "")
    ]  # fmt: skip


@BOTH_STORES
def test_information_stops_where_it_is_not_wanted(post: Post) -> None:
    with post.store.write():
        post.store.mute(PHONE, True, post.clock(), "word")
    post.put("reminder", lane="bulk", information=True)
    post.put("answer")
    post.put("reminder", "+915550000003", lane="bulk", information=True)
    post.work(post.settled)
    assert post.states() == ["dropped", "sent", "sent"]


def test_an_empty_balance_holds_the_carrier(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "FIRST_REST", 60.0)
    post.emulator.days = ["code 405"]
    for number in range(5):
        post.put(f"text {number}")
    post.work(lambda: bool(post.queue.alarms()))
    (alarm,) = post.queue.alarms()
    assert (alarm.kind, alarm.name) == ("carrier", NAME)
    calls = post.emulator.calls
    outbox = post.outbox()
    outbox._breaker.failed(time.monotonic(), pause=True)
    post.put("answer")
    assert outbox.turn() is False
    assert post.emulator.calls == calls


def test_a_carrier_in_trouble_is_left_alone_and_tried_again(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", timedelta(0))
    post.emulator.days = ["http 503"] * 12
    for number in range(10):
        post.put(f"text {number}")
    post.work(post.settled)
    assert {*post.states()} == {"sent"}
    assert len(post.emulator.taken) == 10
    assert post.queue.alarms() == []


def test_breaker() -> None:
    breaker = Breaker()
    for _ in range(throttle.FAILURES - 1):
        breaker.failed(0, pause=False)
    breaker.tried(0)
    assert breaker.room(0) is None
    breaker.failed(0, pause=False)
    assert breaker.room(4.9) == 0
    assert breaker.room(5) == 1
    breaker.tried(5)
    assert breaker.room(5.1) == 0  # while it is out, no other
    breaker.failed(6, pause=False)
    assert breaker.room(15.9) == 0  # and now it rests twice as long
    assert breaker.room(16) == 1
    breaker.tried(16)
    assert breaker.room(35.9) == 0
    assert breaker.room(36) == 1  # it hangs: another tries
    breaker.ok(10)  # it was under way
    assert breaker.room(10) == 0
    breaker.ok(36)
    assert breaker.room(36) is None


def test_one_call_that_hangs_keeps_no_carrier_at_rest(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs from before the carrier rested, and goes on hanging when it is well again."""
    monkeypatch.setattr(module, "FIRST_WAIT", timedelta(0))
    post.emulator.days = ["hang", *["http 503"] * 4]
    for number in range(10):
        post.put(f"text {number}", f"+9155500001{number:02d}")
    post.work(lambda: len(post.emulator.taken) == 9)
    assert post.states().count("sending") == 1


@BOTH_STORES
def test_whom_nobody_stands_in_for_keeps_no_other_waiting(post: Post) -> None:
    """While the carrier rests, more messages than are looked at in one transaction can only wait for it."""
    for number in range(2 * module.MOST_AT_ONCE):
        post.put(f"text {number}", f"+91945{number:07d}")
    last = post.put("last", "+918550000001", due_at=post.clock() + timedelta(seconds=1))
    post.clock.wait(timedelta(seconds=5))
    outbox = Outbox(
        post.store, post.carrier, post.settings.sending(), senders=1, wake=threading.Event(), clock=post.clock,
        stand_ins=lambda phone, *_: () if phone.startswith("+9194") else ("kannel",),
    )  # fmt: skip
    outbox._breaker.failed(time.monotonic() + 60, pause=True)
    for _ in range(3):
        outbox._pass_on_at = 0
        outbox.turn()
    assert post.row(last, "carrier") == "kannel"
    first = post.put("first", "+918550000002", due_at=post.clock() - timedelta(days=1))
    for _ in range(3):
        outbox._pass_on_at = 0
        outbox.turn()
    assert post.row(first, "carrier") == "kannel", "and again from the beginning"


@pytest.mark.parametrize("per_second", [0.5, 3, 50, 2000])
def test_pace(per_second: float) -> None:
    pace, paid, sent, at = Pace(per_second), 0, 0, 1_795_000_000_000_000
    for _ in range(100):
        at += 100_000
        room = pace.room(paid, at)
        paid = pace.pay(paid, at, room)
        sent += room
        assert pace.room(paid, at) == 0
    assert per_second * 10 - 1 <= sent <= per_second * 10.2 + 1
    assert pace.room(paid, at - 3_600_000_000) == int(per_second / 5 + 1), "the clock was set back an hour"


@BOTH_STORES
def test_workers_of_a_carrier_share_its_pace(post: Post) -> None:
    for number in range(60):
        post.put(f"text {number}", f"+9155500001{number:02d}", due_at=post.clock() - timedelta(days=1))
    workers = [post.outbox(per_second=50.0) for _ in range(3)]
    for worker in workers:
        worker._senders = 100  # none are at work

    def taken() -> int:
        for worker in workers:
            worker.turn()
        return post.states().count("sending")

    assert taken() == 11, "one, and as many as a fifth of a second brings"
    assert taken() == 11
    post.clock.wait(timedelta(seconds=0.1))
    assert taken() == 16
    post.clock.wait(timedelta(seconds=10))
    assert taken() == 27, "what was not used is not saved up"
    post.clock.wait(timedelta(hours=-1))
    assert taken() == 38


def test_each_carrier_has_its_pace(settings: Settings) -> None:
    own = settings.model_copy(update={"rates": {"kannel": 20.0}})
    assert [own.sending(carrier).per_second for carrier in ("africastalking", "kannel")] == [50, 20]


@BOTH_STORES
def test_bulk_is_spread_over_a_feeder(gateway: Gateway, clock: Clock) -> None:
    """`one`, `son` and `neighbour` live behind F1, `average` behind F2; it is 20:59:58 in India."""
    clock.now = town.BEGIN.replace(hour=15, minute=29, second=58)
    with gateway.store.write():
        due = [gateway.pen._slot(town.PHONES[who], clock()) for who in ("one", "average", "son", "neighbour", "new")]
    gap, tomorrow = timedelta(seconds=1), town.BEGIN.replace(hour=2, minute=30) + timedelta(days=1)
    assert due == [clock(), clock(), clock() + gap, tomorrow, clock()]


# --- workers that die, clocks that jump -------------------------------------------------------------------------------


@BOTH_STORES
def test_what_a_dead_worker_held_is_settled_by_its_class(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", timedelta(0))
    for delivery in ("once", "must_arrive"):
        post.put(delivery, delivery=delivery)
    assert taken_by(post) == ["once", "must_arrive"]  # taken, and then its worker died
    post.work(post.settled, lease=timedelta(seconds=0.2))
    assert post.states() == ["unknown", "sent"]


@BOTH_STORES
def test_a_worker_that_was_given_up_may_still_bring_the_answer(post: Post) -> None:
    post.put()
    (message,) = [message for _, message in (post.outbox().turn(), *post.queue.out(NAME))[1:]]
    now = post.clock()
    with post.store.write():
        assert post.queue.settle(message, Unsure("its sender died"), now, "waiting", now + timedelta(minutes=2)) is not None
        assert post.queue.settle(message, Sent("ATXid_1"), now, "sent", None) is not None
        assert post.queue.settle(message, Later("late"), now, "waiting", now) is None
    assert post.states() == ["sent"]


def test_a_clock_that_jumps_ahead_makes_nobody_dead(post: Post) -> None:
    """Another worker is sending when the clock is set a day ahead: its message is not sent again."""
    post.put()
    other = post.outbox()
    other.turn()
    post.clock.wait(timedelta(days=1))
    mine = post.outbox()
    for _ in range(3):
        mine._watch_at = 0
        mine.turn()
    assert post.states() == ["sending"]


@BOTH_STORES
def test_a_clock_set_back_starves_nobody(post: Post) -> None:
    post.clock.wait(timedelta(days=4000))
    post.put("written in the future")
    post.put("bill", "+915550000003", lane="bulk")
    post.clock.now = town.BEGIN
    scheduled = post.put("scheduled", "+915550000004", lane="notice", due_at=post.clock() + timedelta(days=2))
    slot = post.put("its turn", "+915550000005", lane="bulk", waits=True, due_at=post.clock() + timedelta(days=6))
    post.put("put off", "+915550000006", lane="bulk", waits=True, due_at=post.clock() + timedelta(days=365))
    post.work(lambda: len(post.emulator.taken) == 3)
    assert [post.row(id_, "state") for id_ in (scheduled, slot)] == ["waiting", "waiting"]


@BOTH_STORES
def test_a_budget_spent_in_the_future_is_not_todays(post: Post) -> None:
    post.clock.wait(timedelta(days=365))
    post.put()
    post.work(post.settled)
    post.clock.now = town.BEGIN
    assert post.queue.parts_spent(post.clock()) == (0, 0)


def test_the_database_may_be_away_for_a_while(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent is written down when it is back, and not sent twice."""
    post.put()
    real, failures = post.queue.settle.__func__, iter(range(3))  # type: ignore[attr-defined]

    def settle(self: Queue, *args: Any) -> bool:
        if next(failures, None) is not None:
            raise OSError("disk full")
        return bool(real(self, *args))

    monkeypatch.setattr(Queue, "settle", settle)
    post.work(post.settled)
    assert post.states() == ["sent"]
    assert len(post.emulator.taken) == 1


@BOTH_STORES
def test_the_database_may_die_with_its_yes_on_its_lips(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages were taken down as being sent, but the worker heard of a failure: they go out, once."""
    monkeypatch.setattr(module, "FIRST_WAIT", timedelta(0))
    real, deaths = post.store.write, iter(range(3))

    @contextmanager
    def write(keys: Any = ()) -> Iterator[None]:
        with real(keys):
            yield
        if next(deaths, None) is not None:
            raise OSError("the connection is gone")

    for delivery in ("once", "must_arrive"):
        post.put(delivery, delivery=delivery)
    post.store.write = write  # type: ignore[method-assign]
    post.work(post.settled)
    assert post.states() == ["sent", "sent"]
    assert sorted(one.text for one in post.emulator.taken) == ["must_arrive", "once"]


def test_what_was_taken_goes_out_whatever_becomes_of_its_report(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def report(*_: Any) -> None:
        raise OSError("the log's disk is full")

    monkeypatch.setattr(module, "_report", report)
    outbox = post.outbox()
    post.put("one")
    outbox.turn()
    outbox._done.put((outbox._jobs.get(), Sent("ATXid_1")))
    post.put("two")
    with pytest.raises(OSError, match="full"):
        outbox.turn()
    assert post.states() == ["sent", "sending"]
    assert outbox._jobs.qsize() == 1


def test_stopping_lets_senders_finish(post: Post) -> None:
    post.emulator.every_day = "slow"
    for number in range(4):
        post.put(f"text {number}")
    post.work(lambda: post.states().count("sending") == 4)
    assert post.states() == ["sent"] * 4


def test_workers_stopped_and_started_again_send_each_once(post: Post) -> None:
    """Real processes, several at once, ended while they send."""
    post.emulator.latency = 0.01
    for number in range(300):
        post.put(f"bill {number}", f"+915550001{number:03d}", due_at=post.clock() - timedelta(days=1))
    environment = {
        "GATEWAY_DATABASE": post.settings.database, "GATEWAY_AT_USERNAME": "sandbox", "GATEWAY_AT_API_KEY": API_KEY,
        "GATEWAY_AT_BASE_URL": post.emulator.url, "GATEWAY_WEBHOOK_SECRETS": json.dumps(["0123456789abcdef0123456789abcdef"]),
        "GATEWAY_SENDS_PER_SECOND": "500", "GATEWAY_LOG_LEVEL": "error",
        "PYTHONPATH": os.getcwd() if os.path.isdir("gateway") else os.path.dirname(os.path.dirname(__file__)),
    }  # fmt: skip

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "gateway", "worker"], env={**os.environ, **environment})

    workers = [start(), start()]
    try:
        for goal in (60, 150):
            patiently(lambda goal=goal: len(post.emulator.taken) >= goal)  # type: ignore[misc]
            victim = workers.pop(0)
            victim.send_signal(signal.SIGTERM)
            assert victim.wait(timeout=60) in (0, -signal.SIGTERM)  # the latter before it had begun
            workers.append(start())
        patiently(post.settled)
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=60)
    assert sorted(one.text for one in post.emulator.taken) == sorted(f"bill {number}" for number in range(300))


# --- the table of decisions -------------------------------------------------------------------------------------------


def test_decisions(settings: Settings, clock: Clock) -> None:
    rules, now = settings.sending(), clock()
    message = OutboundMessage(1, PHONE, "x", "gsm7", 1, "a.b/en", NAME, "live", "must_arrive", 1, now)
    assert decide(message, Sent("a"), now, rules) == ("sent", None)
    assert decide(message, Never("a"), now, rules) == ("failed", None)
    assert decide(message, Never("a", alarm=True), now, rules) == ("stopped", None)
    assert decide(replace(message, attempt=module.MOST_TRIES), Later("a"), now, rules) == ("failed", None)
    assert decide(replace(message, attempt=module.MOST_TRIES), Unsure("a"), now, rules) == ("unknown", None)
    state, again = decide(message, Unsure("a"), now, rules)
    assert state == "waiting"
    assert again
    assert again - now >= rules.report_wait


def test_waits_grow_and_are_never_the_same() -> None:
    for attempt in range(1, 70):
        wait = back_off(attempt)
        assert module.FIRST_WAIT / 2 <= wait <= module.LONGEST_WAIT
    assert len({back_off(20) for _ in range(10)}) == 10
