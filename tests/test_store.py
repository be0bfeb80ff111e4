"""One contract, every store: what the product asks of a store holds on one file and on PostgreSQL alike."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

import psycopg
import pytest

from flows.records import (
    Answered,
    Cancel,
    Conversation,
    Effect,
    Feeder,
    File,
    Guess,
    Join,
    Link,
    Mute,
    Name,
    Note,
    Place,
    Said,
    Unlink,
    replace,
)
from gateway.records import (
    Answer,
    Inbound,
    Lane,
    Later,
    Never,
    OptOut,
    OutboundMessage,
    Outcome,
    Report,
    Sent,
    SessionEnd,
    Unsure,
)
from gateway.store import Conflict, Store, open_store
from gateway.store import postgres as postgres_module
from gateway.store.queue import Queue
from gateway.store.sql import LANES, Linked, Outgoing, millis
from tests import town
from tests.conftest import BOTH_STORES
from tests.postgres import Server

NOW = town.BEGIN
TODAY = NOW.date()
ONE, SON, TWO, NEW = (town.PHONES[label] for label in ("one", "son", "two", "new"))


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    opened = open_store(database)
    town.build(opened)
    yield opened
    opened.close()


def inbound(id_: str = "hop-1", phone: str = ONE, text: str = "3*1") -> Inbound:
    return Inbound(id_, "phone", phone, "ussd", text, NOW, "session-1")


def keep(store: Store, effect: Effect, source: Inbound, now: datetime = NOW) -> None:
    with store.write([source.phone]):
        store.keep_effect(effect, source, now)


def sms(phone: str = ONE, lane: Lane = "notice", text: str = "नमस्ते", **more: object) -> Outgoing:
    return replace(
        Outgoing(phone, text, "ucs2", 1, "meter.filed/hi", "phone", lane, "must_arrive", NOW, NOW, inbound="hop-1"),
        **more,  # type: ignore[arg-type]
    )


def enqueue(store: Store, *messages: Outgoing) -> None:
    with store.write():
        store.enqueue(messages)


def take(store: Store, limit: int = 10, now: datetime = NOW, worker: str = "w1") -> list[OutboundMessage]:
    """What is due, as a worker takes it."""
    queue, taken = Queue(store), list[OutboundMessage]()
    with store.write():
        for lane in range(len(LANES)):
            for due in queue.due("phone", lane, now, limit - len(taken)):
                taken.append(queue.take(due.message, worker, now))
    return taken


def settle(store: Store, message: OutboundMessage, outcome: Outcome, state: str, again: datetime | None = None) -> bool:
    queue = Queue(store)
    with store.write(queue.touches(message, outcome)):
        return queue.settle(message, outcome, NOW, state, again) is not None


def at_once(*tasks: Callable[[], None]) -> None:
    """Run each in a thread of its own, all at once; the first failure is raised."""
    failures: list[BaseException] = []
    start = threading.Barrier(len(tasks))

    def run(task: Callable[[], None]) -> None:
        start.wait()
        try:
            task()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# --- the hop ----------------------------------------------------------------------------------------------------------


@BOTH_STORES
def test_conversations_and_answers_come_back_as_they_were_kept(store: Store) -> None:
    phones = [f"+91555{number:07d}" for number in range(100, 175)]
    kept = [
        Conversation(
            phone, "hi", Place("meter", "kind", {"account": "100000001", "नाम": 'रमेश "\\ {,}'}, ("account",)), Place("bill"),
            (("kind", "burnt"),), ("पहला\nपन्ना", "दूसरा"), 1, 2, "session", "3*1", (Said("3", number="3"),), NOW,
        )
        for phone in phones
    ]  # fmt: skip
    answers = [
        (inbound(f"id-{phone}", phone), "3*1", Answer("मीटर में क्या खराबी है?\n1 बंद '\"\\", False, "meter.kind", "hi"))
        for phone in phones
    ]
    with store.write(phones):
        store.keep_conversations(kept, NOW)
        store.keep_answers(answers, 120)
    known = store.visit([*phones, NEW], TODAY)
    assert [known[phone].conversation for phone in phones] == kept
    assert known[NEW].conversation == Conversation(NEW)
    asked = [(phones[0], f"id-{phones[0]}"), (phones[74], f"id-{phones[74]}"), (phones[0], "never")]
    assert store.answered(asked) == {f"id-{phone}": answers[0][2] for phone in (phones[0], phones[74])}
    again = [replace(one, lang="en") for one in kept[:3]]
    with store.write(phones[:3]):
        store.keep_conversations(again, NOW)
    assert [store.recall(phone, TODAY).conversation.lang for phone in phones[:4]] == ["en", "en", "en", "hi"]
    assert store.language(phones[0]) == "en"
    assert store.language(NEW) == ""
    assert store.count("conversation") == 75


@BOTH_STORES
def test_accounts_of_phones_and_by_number(store: Store) -> None:
    linked = store.linked([ONE, TWO, NEW])
    assert {phone: [c.account for c in of.consumers] for phone, of in linked.items()} == {
        NEW: [],
        ONE: ["100000001"],
        TWO: ["100000002", "200000002"],
    }
    consumer = linked[ONE].consumers[0]
    assert consumer == store.consumer("100000001")
    assert consumer.name == Name("रमेश कुमार", "Ramesh Kumar")
    assert consumer.bill is not None
    assert (consumer.bill.amount, consumer.bill.month, consumer.bill.free) == (124_000, date(2026, 5, 1), False)
    assert consumer.payment is not None
    assert consumer.payment.on == date(2026, 4, 28)
    prepaid = store.consumer("100000004")
    assert prepaid is not None
    assert (prepaid.balance, prepaid.balance_on, prepaid.bill) == (8550, date(2026, 5, 24), None)
    assert store.consumer("999999999") is None
    assert store.phones_of(["100000001", "999999999"]) == {"100000001": sorted([ONE, SON]), "999999999": []}
    assert store.feeders(["802101", "000000"]) == {
        "802101": (Feeder("F1", Name("चरित्रवन", "Charitravan")), Feeder("F2", Name("नया बाजार", "Naya Bazar"))),
        "000000": (),
    }


@BOTH_STORES
def test_requests_are_filed_joined_noted_and_cancelled(store: Store) -> None:
    due = NOW + timedelta(hours=24)
    keep(store, File("transformer", "40000010", asset="T101", pin="802101", details={"seen": "sparks"}, due=due), inbound())
    later = NOW + timedelta(seconds=1)
    keep(store, File("meter", "40000028", account="100000001", priority=True, unverified=True), inbound("hop-2"), later)
    keep(store, Join("40000010", {"seen": "oil"}), inbound("hop-3", TWO))
    keep(store, Join("40000010"), inbound("hop-4", TWO))  # the same phone again
    keep(store, Note("40000028", "name", "रमेश"), inbound("hop-5"))
    found = {request.ticket: request for request in store.requests([], [], ["T101"], ["40000028"])}
    assert found["40000010"].reports == 2
    assert found["40000010"].due == due
    assert found["40000010"].details == {"seen": "sparks"}
    assert found["40000028"].details == {"name": "रमेश"}
    assert [r.ticket for r in store.requests([ONE], [], [], [])] == ["40000010", "40000028"]
    assert [r.ticket for r in store.requests([], ["100000001"], [], [])] == ["40000028"]
    keep(store, Cancel("40000028"), inbound("hop-6"))
    keep(store, Cancel("40000010", held=True), inbound("hop-7"))
    assert store.requests([], ["100000001"], [], []) == []
    assert {r.ticket: r.state for r in store.requests([], [], ["T101"], ["40000028"])} == {
        "40000010": "held",
        "40000028": "cancelled",
    }


@BOTH_STORES
def test_a_second_open_request_on_the_same_thing_is_a_conflict(store: Store) -> None:
    keep(store, File("transformer", "40000010", asset="T101"), inbound())
    keep(store, File("meter", "40000028", account="100000001"), inbound("hop-2"))
    for number, effect in enumerate(
        (File("transformer", "40000036", asset="T101"), File("meter", "40000044", account="100000001"))
    ):
        with pytest.raises(Conflict):
            keep(store, effect, inbound(f"late-{number}", SON))
    keep(store, File("name_transfer", "40000051", account="100000001"), inbound("hop-3"))
    keep(store, Cancel("40000028"), inbound("hop-4"))
    keep(store, File("meter", "40000069", account="100000001"), inbound("hop-5"))
    assert store.count("request") == 4


@BOTH_STORES
def test_links_guesses_and_muting(store: Store) -> None:
    keep(store, Link("100000002"), inbound(phone=NEW))
    keep(store, Link("100000002"), inbound(phone=NEW))
    assert [c.account for c in store.linked([NEW])[NEW].consumers] == ["100000002"]
    keep(store, Unlink("100000002", NEW), inbound(phone=TWO))
    assert store.linked([NEW]) == {NEW: Linked()}
    with store.write([NEW]):
        store.keep_conversations([Conversation(NEW)], NOW)
    for _ in range(2):
        keep(store, Guess(), inbound(phone=NEW))
    assert store.recall(NEW, TODAY).guesses == 2
    assert store.recall(NEW, TODAY + timedelta(days=1)).guesses == 0
    keep(store, Guess(), inbound(phone=NEW), NOW + timedelta(days=1))
    assert store.recall(NEW, TODAY + timedelta(days=1)).guesses == 1
    keep(store, Mute(on=True), inbound(phone=NEW))
    store.note(OptOut("africastalking", SON), NOW)
    assert store.recall(NEW, TODAY).muted
    assert store.recall(SON, TODAY).muted
    keep(store, Mute(on=False), inbound(phone=NEW))
    assert not store.recall(NEW, TODAY).muted
    store.note(SessionEnd("africastalking", "s", NEW, "Success"), NOW)
    assert store.count("phone_event") == 3 + 3 + 1


@BOTH_STORES
def test_what_was_told_can_be_answered_until_its_time(store: Store) -> None:
    with store.write([ONE]):
        store.tell(ONE, "link", "100000001", NEW, NOW, NOW + timedelta(days=7))
        store.tell(ONE, "disconnection", "100000001", "40000010", NOW, NOW + timedelta(hours=24))
    assert [context.kind for context in store.contexts(ONE, NOW)] == ["disconnection", "link"]
    assert store.recall(ONE, TODAY).told_until == millis(NOW + timedelta(days=7))
    keep(store, Answered(store.contexts(ONE, NOW)[1].id), inbound())
    assert [context.ref for context in store.contexts(ONE, NOW)] == ["40000010"]
    assert store.contexts(ONE, NOW + timedelta(hours=25)) == ()


@BOTH_STORES
def test_what_failed_is_undone_whole(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.write([ONE]):
        store.keep_conversations([Conversation(ONE, "hi")], NOW)
        raise ZeroDivisionError
    assert store.recall(ONE, TODAY).conversation.lang == ""
    for _ in range(2):
        store.quarantine(inbound(), "ussd", "ZeroDivisionError", NOW, "BIL")
    assert store.count("quarantine") == 1


# --- the outbox -------------------------------------------------------------------------------------------------------


@BOTH_STORES
def test_messages_leave_by_lane_and_when_they_are_due(store: Store) -> None:
    enqueue(
        store, sms(text="bulk", lane="bulk"), sms(text="later", due_at=NOW + timedelta(minutes=5)), sms(text="notice"),
        sms(text="live", lane="live"), sms(text="other", carrier="other"),
    )  # fmt: skip
    assert [(one.text, one.attempt, one.lane) for one in take(store, 2)] == [("live", 1, "live"), ("notice", 1, "notice")]
    assert [one.text for one in take(store)] == ["bulk"]
    assert take(store) == []
    assert [one.text for one in take(store, now=NOW + timedelta(minutes=6))] == ["later"]
    assert {worker for worker, _ in Queue(store).out("phone")} == {"w1"}


@BOTH_STORES
def test_what_became_of_a_try_is_kept_and_reports_only_move_forward(store: Store) -> None:
    queue = Queue(store)
    enqueue(store, sms(text="one"), sms(text="two"), sms(text="three"), sms(text="four"))
    one, two, three, four = take(store)
    queue.report(Report("phone", "ref-1", "Success", "delivered"), NOW)  # it overtook our own commit
    assert settle(store, one, Sent("ref-1", "cost"), "sent")
    assert settle(store, two, Later("slow down"), "waiting", NOW + timedelta(seconds=5))
    assert settle(store, three, Never("no such number"), "failed")
    assert settle(store, four, Unsure("a time-out"), "unknown")
    states = "select text, state, reference, note from outbox order by id"
    assert store.database.rows(states) == [
        ("one", "delivered", "ref-1", "cost"), ("two", "waiting", None, "slow down"), ("three", "failed", None, "no such number"),
        ("four", "unknown", None, "a time-out"),
    ]  # fmt: skip
    (again,) = take(store, now=NOW + timedelta(seconds=6))
    assert (again.text, again.attempt) == ("two", 2)
    assert not settle(store, two, Never("too late: another try is on its way"), "failed")
    assert settle(store, again, Sent("ref-2"), "sent")
    for status, state in (("Failed", "failed"), ("Success", "delivered"), ("Failed", "failed"), ("Sent", "sent")):
        queue.report(Report("phone", "ref-2", status, state), NOW)  # type: ignore[arg-type]
    assert store.database.rows(states)[1][1] == "delivered"
    assert [(text, at) for _, text, _, _, _, at in store.inbox(ONE, 0)] == [("one", NOW), ("two", NOW)]
    assert queue.parts_spent(NOW) == (3, 3)


# --- search -----------------------------------------------------------------------------------------------------------


@BOTH_STORES
@pytest.mark.parametrize(
    ("words", "accounts"),
    [
        ("ramesh", ["100000001"]),
        ("RAM", ["100000001", "100000009"]),
        ("kumar ram", ["100000001"]),
        ("रमेश", ["100000001"]),
        ("कुमा", ["100000001"]),
        ("कु", ["100000001"]),
        ("श्रीवास्तव", ["100000004"]),
        ("इरफ़ान", ["100000003"]),
        ("वास्तव", []),  # the middle of a word
        ("देवी", ["0300000008", "100000002", "200000002"]),
        ("SB2", ["200000002"]),
        ("10000000", [f"10000000{n}" for n in range(1, 8)] + ["100000009"]),
        ("md. irfan", ["100000003"]),
        ("ward-7", ["100000001"]),
        ("ward 70", []),
        ("'); drop table consumer; --", []),
        ('" & | ! : * \\ (', []),
        ("   ", []),
    ],
)
def test_search(store: Store, words: str, accounts: list[str]) -> None:
    with store.write():
        store.database.run("update consumer set address_latin = 'Ward-7, \"Station\" Road' where account = '100000001'")
    assert sorted(consumer.account for consumer in store.search(words)) == accounts
    assert len(store.search("1", limit=3)) == 3


# --- many at once -----------------------------------------------------------------------------------------------------


@BOTH_STORES
def test_hops_of_one_phone_wait_for_each_other(store: Store, database: str) -> None:
    def hop() -> None:
        own = open_store(database)
        for _ in range(20):
            with own.write([NEW, ONE]):
                before = own.recall(NEW, TODAY).conversation
                own.keep_conversations([replace(before, tries=before.tries + 1)], NOW)
        own.close()

    at_once(hop, hop, hop)
    assert store.recall(NEW, TODAY).conversation.tries == 60


@BOTH_STORES
def test_groups_that_name_the_same_phones_in_any_order_never_block_each_other_for_good(store: Store, database: str) -> None:
    phones = [f"+91555{number:07d}" for number in range(12)]

    def group(order: list[str]) -> None:
        own = open_store(database)
        for _ in range(10):
            with own.write(order):
                own.keep_conversations([Conversation(phone) for phone in order], NOW)
        own.close()

    at_once(lambda: group(phones), lambda: group(phones[::-1]))


@BOTH_STORES
def test_two_workers_never_take_the_same_message(store: Store, database: str) -> None:
    enqueue(store, *(sms(text=f"sms {number}") for number in range(120)))
    taken: list[int] = []

    def work(worker: str) -> None:
        own = open_store(database)
        while some := take(own, 7, worker=worker):
            taken.extend(message.id for message in some)
        own.close()

    at_once(lambda: work("w1"), lambda: work("w2"), lambda: work("w3"))
    assert len(taken) == len(set(taken)) == 120


@BOTH_STORES
def test_a_report_that_comes_while_its_message_is_settled_is_not_lost(store: Store, database: str) -> None:
    enqueue(store, *(sms(text=f"sms {number}") for number in range(15)))
    messages = take(store, 15)
    together = threading.Barrier(2)

    def answer() -> None:
        for message in messages:
            together.wait()
            assert settle(store, message, Sent(f"ref-{message.id}"), "sent")
        store.close()

    def report() -> None:
        for message in messages:
            together.wait()
            Queue(store).report(Report("phone", f"ref-{message.id}", "Success", "delivered"), NOW)
        store.close()

    at_once(answer, report)
    assert {row[0] for row in store.database.rows("select state from outbox")} == {"delivered"}


@BOTH_STORES
def test_one_of_two_who_file_for_the_same_transformer_is_told(store: Store, database: str) -> None:
    conflicts = []

    def file(phone: str, ticket: str) -> None:
        own = open_store(database)
        try:
            keep(own, File("transformer", ticket, asset="T102"), inbound(f"hop-{phone}", phone))
        except Conflict:
            conflicts.append(phone)
        own.close()

    at_once(lambda: file(ONE, "40000010"), lambda: file(TWO, "40000028"))
    assert len(conflicts) == 1
    assert store.count("request") == 1


STARTER = "import sys; from gateway.store import open_store; open_store(sys.argv[1]).close()"


def test_starts_from_several_machines_at_once_migrate_once(postgres: Server, database: str) -> None:
    for url in (database, postgres.database("fresh")):
        starts = [subprocess.Popen([sys.executable, "-c", STARTER, url], stderr=subprocess.PIPE) for _ in range(3)]
        for start in starts:
            _, complaint = start.communicate(timeout=60)
            assert start.returncode == 0, complaint.decode()
        store = open_store(url)
        assert store.search("ram") == []
        store.close()


def test_a_database_that_is_not_there_is_said_in_one_line(postgres: Server) -> None:
    with pytest.raises(ValueError, match=r"^database: .*nowhere") as refusal:
        open_store(postgres.url("nowhere"))
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match="mysql"):
        open_store("mysql://host/name")


# --- PostgreSQL alone: a server that goes away ------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_restarted_server_is_found_again(store: Store, postgres: Server) -> None:
    postgres.stop("fast")
    with pytest.raises(psycopg.OperationalError) as away:
        store.recall(ONE, TODAY)
    assert store.database.is_trouble(away.value)
    began = time.monotonic()
    for _ in range(50):  # at once, not a try to connect each
        with pytest.raises(psycopg.OperationalError), store.write([ONE]):
            pass
    assert time.monotonic() - began < 10
    postgres.start()
    time.sleep(postgres_module.PAUSE_SECONDS)
    with store.write([ONE]):
        store.keep_conversations([Conversation(ONE, "hi")], NOW)
    postgres.stop("fast")
    postgres.start()  # our connection is dead, and we do not know yet
    assert store.language(ONE) == "hi"
    postgres.stop("fast")
    postgres.start()
    with store.write([ONE]):
        store.keep_conversations([Conversation(ONE, "en")], NOW)
    with pytest.raises(psycopg.OperationalError), store.write([ONE]):
        store.keep_conversations([Conversation(ONE, "hi-Latn")], NOW)
        postgres.stop("fast")
        postgres.start()
        store.keep_answers([(inbound(), "", Answer("", True, "", ""))], 0)
    assert store.language(ONE) == "en"


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_server_that_does_not_answer_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "DEADLINE_SECONDS", 0.3)
    store.close()
    with pytest.raises(postgres_module.Late) as late:
        store.database.rows("select pg_sleep(3)")
    assert store.database.is_trouble(late.value)
    with pytest.raises(postgres_module.Late), store.write([ONE]):
        store.database.rows("select pg_sleep(3)")
    assert store.language(ONE) == ""  # on a new connection
    with store.database.unhurried():
        store.database.rows("select pg_sleep(0.5)")
    with pytest.raises(postgres_module.Late):
        store.database.rows("select pg_sleep(0.5)")


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_what_goes_along_with_the_next_statement_fails_as_it_would_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    again = [(inbound(), "", Answer("", True, "", ""))]
    with store.write([ONE]):
        store.keep_answers(again, 0)
        assert store.count("inbound") == 1  # what is read comes after it
    for read in (False, True):
        with pytest.raises(psycopg.errors.UniqueViolation) as twice, store.write([ONE]):
            store.keep_answers(again, 0)
            store.keep_conversations([Conversation(ONE, "hi")], NOW)
            if read:
                store.language(TWO)
        assert store.database.is_duplicate(twice.value)
        assert store.language(ONE) == ""
    with pytest.raises(psycopg.errors.QueryCanceled) as slow, store.write([ONE]):
        server = store.database.rows("select pg_backend_pid()")
        store.database.run("set local statement_timeout = '100ms'")
        store.database.many("select pg_sleep(?)", [(30,)])
    assert store.database.is_trouble(slow.value)
    assert store.database.rows("select pg_backend_pid()") == server  # it answered: the connection is good
    with monkeypatch.context() as hurried:
        hurried.setattr(postgres_module, "DEADLINE_SECONDS", 0.5)
        store.close()
        with pytest.raises(postgres_module.Late) as late, store.write([ONE]):
            store.database.many("select pg_sleep(?)", [(30,)])
            store.keep_conversations([Conversation(ONE, "hi")], NOW)
    assert store.database.is_trouble(late.value)
    assert store.language(ONE) == ""


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_statements_are_given_up_by_the_server_too_and_commits_are_durable(store: Store) -> None:
    store.database.run("set synchronous_commit = off")  # whatever the server says
    for keys in ((), [ONE]):
        with store.write(keys):
            assert store.database.rows("show statement_timeout") == [(f"{postgres_module.STATEMENT_SECONDS}s",)]
            assert store.database.rows("show synchronous_commit") == [("on",)]
    with store.database.unhurried(), store.write():
        assert store.database.rows("show statement_timeout") == [("0",)]
        assert store.database.rows("show synchronous_commit") == [("on",)]


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_of_two_who_wait_for_each_other_one_takes_its_hop_again(store: Store, database: str) -> None:
    met = threading.Barrier(2)
    conflicts = []

    def both(first: str, second: str) -> None:
        own = open_store(database)
        try:
            with own.write([first]):
                own.mute(first, True, NOW, "word")
                met.wait()
                own.mute(second, True, NOW, "word")
        except Conflict:
            conflicts.append(first)
        own.close()

    at_once(lambda: both(ONE, TWO), lambda: both(TWO, ONE))
    assert len(conflicts) == 1
