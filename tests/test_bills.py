"""Readings to the billing system, the demonstration tariff, campaigns, and what data protection asks, over real stores."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from flows.records import Conversation, Name, Place, Take, Unlink
from gateway.api import new_key
from gateway.app import Gateway, make_app
from gateway.campaigns import Office
from gateway.carriers.phone import Handset
from gateway.check import check
from gateway.chores import Chore, Chores
from gateway.duties import Keeper, alias
from gateway.fields import kinds
from gateway.handover import Handover, Webhook
from gateway.intake import apply
from gateway.office import add_commands
from gateway.outbox import Outbox
from gateway.records import Inbound, Report
from gateway.settings import Settings
from gateway.staff import Staff
from gateway.store import open_store
from gateway.store.campaigns import CampaignKind, Selection
from gateway.store.postgres import PostgreSQL
from gateway.store.queue import Queue
from gateway.store.readings import Linking, Readings, Taken
from gateway.store.sql import millis
from gateway.store.sqlite import SQLite
from gateway.tariff import charges, make_bill, tariff
from tests import town
from tests.conftest import BOTH_STORES, Clock

JUNE_4 = timedelta(days=10)


def sent(gateway: Gateway) -> list[tuple[str, str]]:
    labels = {phone: label for label, phone in town.PHONES.items()}
    rows = gateway.store.database.rows("select phone, template from outbox order by id")
    return [(labels.get(phone, phone), template.removeprefix("sms.")) for phone, template in rows]


# --- readings to the billing system -------------------------------------------------------------------------------------


class Company(http.server.BaseHTTPRequestHandler):
    """The company's billing system: answers with the statuses it is told to, then 200."""

    taken: list[tuple[dict[str, str], bytes]]
    answers: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append((dict(self.headers), body))
        self.send_response(self.answers.pop(0) if self.answers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def company() -> Iterator[tuple[str, type[Company]]]:
    handler = type("Handler", (Company,), {"taken": [], "answers": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/readings", handler
    server.shutdown()
    server.server_close()
    thread.join()


def take(gateway: Gateway, account: str = "100000001", value: int | None = 4500, status: str = "OK") -> None:
    with gateway.store.write():
        given = Take(account, status, value, staff="4471")  # type: ignore[arg-type]
        Readings(gateway.store.database).keep(given, town.PHONES["reader"], gateway.hop.clock())


@BOTH_STORES
def test_a_reading_is_posted_signed_until_it_is_taken(gateway: Gateway, clock: Clock, company: tuple[str, type[Company]]) -> None:
    url, handler = company
    handler.answers += [503, 302]
    take(gateway)
    webhook = Webhook(url, "secret")
    handover = Handover(gateway.store, webhook, clock)
    assert handover.work() == 0
    assert handover.work() == 0, "not before its time"
    clock.wait(timedelta(seconds=11))
    assert handover.work() == 0, "a redirect is no yes"
    clock.wait(timedelta(seconds=21))
    assert handover.work() == 1
    assert handover.work() == 0
    webhook.close()
    assert len(handler.taken) == 3
    assert len({headers["Idempotency-Key"] for headers, _ in handler.taken}) == 1
    headers, body = handler.taken[-1]
    assert headers["X-Signature"] == hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert (told["account"], told["month"], told["reading"], told["previous"]) == ("100000001", "2026-05", 4500, 4378)
    assert (told["source"], told["staff"], told["status"]) == ("reader", "4471", "OK")


def test_a_billing_system_that_is_away_is_asked_again(gateway: Gateway, clock: Clock) -> None:
    take(gateway)
    webhook = Webhook("http://127.0.0.1:9/", "secret")
    assert Handover(gateway.store, webhook, clock).work() == 0
    webhook.close()
    assert gateway.store.database.rows("select tries, note, handed from reading") == [(1, "ConnectionError", 0)]


def test_a_billing_system_that_hangs_holds_nobody_up(gateway: Gateway, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.handover.PATIENCE", 0.2)
    for account in ("100000001", "100000002", "100000003"):
        take(gateway, account)
    others: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as hangs:  # it takes the call and never answers
        webhook = Webhook(f"http://127.0.0.1:{hangs.getsockname()[1]}/", "secret")
        handover = Handover(gateway.store, webhook, clock)
        chores = Chores(gateway.store, [Chore("readings", handover.work), Chore("others", lambda: others.append(1))])
        for _ in range(5):
            chores.round()
        tried = "select sum(tries) from reading"
        assert (gateway.store.database.rows(tried), len(others)) == ([(1,)], 5), "one waits for all, and not in every round"
        clock.wait(timedelta(seconds=11))
        for _ in range(5):
            chores.round()
        assert gateway.store.database.rows(tried) == [(2,)]
        clock.wait(timedelta(seconds=11))
        assert (handover.work(), gateway.store.database.rows(tried)) == (0, [(2,)]), "longer each time"
        webhook.close()


def test_a_slow_billing_system_lets_others_have_their_turn(
    gateway: Gateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.handover.TURN_SECONDS", 0.05)

    class Slow:
        def take(self, taken: Taken) -> str:
            time.sleep(0.1)
            return ""

    for account in ("100000001", "100000002"):
        take(gateway, account)
    assert Handover(gateway.store, Slow(), clock).work() == 1


@BOTH_STORES
def test_of_many_workers_one_hands_a_reading_over(gateway: Gateway, clock: Clock, database: str) -> None:
    posted: list[int] = []

    class Slow:
        def take(self, taken: Taken) -> str:
            posted.append(taken.id)
            time.sleep(0.02)
            return ""

    def one() -> None:
        store = open_store(database)
        Handover(store, Slow(), clock).work()
        store.close()

    for account in ("100000001", "100000002", "100000003", "100000007"):
        take(gateway, account)
    workers = [threading.Thread(target=one) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(posted) == [1, 2, 3, 4]
    assert gateway.store.database.rows("select count(*) from reading where handed > 0") == [(4,)]


def test_the_reading_of_a_worker_that_died_is_handed_over_by_another(gateway: Gateway, clock: Clock) -> None:
    class Dies:
        def take(self, taken: Taken) -> str:
            raise KeyboardInterrupt  # in the middle of the post

    class Takes:
        def take(self, taken: Taken) -> str:
            return ""

    take(gateway)
    with pytest.raises(KeyboardInterrupt):
        Handover(gateway.store, Dies(), clock).work()
    other = Handover(gateway.store, Takes(), clock)
    assert other.work() == 0
    clock.wait(timedelta(minutes=3))
    assert other.work() == 1


# --- the demonstration tariff -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "category", "load", "rupees"),
    [
        (125, "DS-II", 2000, 0),
        (126, "DS-II", 2000, 168),  # one unit and its duty, two kilowatts fixed
        (225, "DS-I", 1000, 819),
        (100, "NDS-II", 500, 1112),
    ],
)
def test_demonstration_charges(units: int, category: str, load: int, rupees: int) -> None:
    assert charges(units, category, load).total == rupees * 100


def test_the_demonstration_tariff_says_where_it_is_from() -> None:
    assert "utility.md" in tariff()["source"]


def test_a_demonstration_bill_carries_arrears_and_takes_the_average_where_nothing_was_read(gateway: Gateway) -> None:
    consumer = gateway.store.consumer("100000001")
    assert consumer is not None
    at = datetime.fromisoformat("2026-06-04T05:00:00+00:00")
    taken = Taken(7, "100000001", date(2026, 6, 1), at, "LK", None, "", "4471", 4378, 0)
    bill = make_bill(taken, consumer, "DS-II", paid=100_000)
    assert bill.is_demonstration
    assert (bill.basis, bill.units, bill.arrears) == ("LK", 168, 24_000)
    again = make_bill(replace(taken, status="OK", value=4400), consumer, "DS-II", paid=0)
    assert (again.basis, again.units, again.free, again.amount) == ("OK", 22, True, 124_000)


# --- rounds and linking -------------------------------------------------------------------------------------------------


@BOTH_STORES
def test_a_reader_gets_the_accounts_that_no_other_has(gateway: Gateway) -> None:
    readings = Readings(gateway.store.database)
    with gateway.store.write():
        assert readings.add_reader("4472", "+915550000099", Name(latin="Anil"), "S1") == 4
        assert readings.dismiss_reader("4471")
        assert not readings.dismiss_reader("4471")
        assert readings.add_reader("4472", "+915550000099", Name(latin="Anil"), "S1") == 10
    assert [row[0] for row in readings.list_readers()] == ["4472"]
    assert readings.readers([town.PHONES["reader"]], [], gateway.hop.clock()) == {}
    assert set(readings.staff(["4471", "4472"])) == {"4472"}


@BOTH_STORES
def test_how_far_linking_is(gateway: Gateway, clock: Clock) -> None:
    with gateway.store.write():
        apply(
            gateway.store, kinds()["phones"], [["+919812345678", "100000010", None, None, None]], gateway.billing().hooks, clock()
        )
    (section,) = Readings(gateway.store.database).linking(clock(), weeks=2)
    assert isinstance(section, Linking)
    assert (section.accounts, section.linked, section.confirmed) == (11, 11, 10)
    assert section.weeks == {date(2026, 5, 18): 0, date(2026, 5, 25): 1}


# --- campaigns ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def office(gateway: Gateway) -> Office:
    return Office(gateway.store, gateway.pen, gateway.settings)


def work(office: Office, clock: Clock) -> None:
    while office.work(clock()):
        pass


@BOTH_STORES
def test_a_preview_says_who_what_and_why_not(gateway: Gateway, office: Office, clock: Clock) -> None:
    clock.wait(JUNE_4)
    store, today = gateway.store, clock().date()
    with store.write():
        store.mute(town.PHONES["neighbour"], True, clock(), "test")
        store.keep_conversations([Conversation(town.PHONES["one"], lang="hi")], clock())
        store.database.run("update link set confirmed = 0 where phone = ?", (town.PHONES["average"],))
        apply(store, kinds()["payments"], [["0300000008", f"{today}", "R9", 26000]], gateway.billing().hooks, clock())
    before = sent(gateway)
    seen = office.preview(Selection("due"), clock())
    assert (seen.accounts, seen.phones) == (3, 4)
    assert seen.left_out == {"paid": 1, "muted": 1, "noted": 1, "no phone": 1}
    assert set(seen.samples) == {"hi", "hi-Latn", "en"}
    assert "1,240" in seen.samples["hi"]
    assert seen.parts == 5, "one in Hindi of two parts"
    assert seen.paise == 5 * gateway.settings.part_paise
    assert sent(gateway) == before
    assert office.preview(Selection("due", at_least=500_000), clock()).accounts == 1
    assert office.preview(Selection("due", category="NDS-II"), clock()).accounts == 1
    assert office.preview(Selection("due", section="elsewhere"), clock()).accounts == 0
    assert office.preview(Selection("overdue"), clock()).accounts == 0


@BOTH_STORES
def test_a_campaign_reaches_everybody_once(gateway: Gateway, office: Office, clock: Clock) -> None:
    clock.wait(JUNE_4)
    id_ = office.start(Selection("due"), "asha", clock())
    assert office.all()[0].state == "running"
    work(office, clock)
    assert sorted(sent(gateway)) == [
        ("average", "due/hi-Latn"), ("neighbour", "due/hi-Latn"), ("one", "due/hi-Latn"), ("son", "due/hi-Latn"),
        ("two", "due_several/hi-Latn"), ("two", "due_several/hi-Latn"), ("village", "due/hi-Latn"),
    ]  # fmt: skip
    (done,) = office.all()
    assert (done.id, done.state, done.sent, done.waiting, done.who) == (id_, "done", 7, 0, "asha")
    office.start(Selection("due"), "asha", clock())
    work(office, clock)
    assert len(sent(gateway)) == 7, "nobody hears the same again within a week"


@BOTH_STORES
def test_a_campaign_killed_in_the_middle_goes_on_where_it_was(gateway: Gateway, clock: Clock) -> None:
    clock.wait(JUNE_4)
    calls = iter(range(100))

    class Dies:
        voice = gateway.pen.voice

        def compose(self, *args: Any, **more: Any) -> Any:
            if next(calls) == 3:
                raise KeyboardInterrupt  # the process ends inside the transaction
            return gateway.pen.compose(*args, **more)

    office = Office(gateway.store, Dies(), gateway.settings)  # type: ignore[arg-type]
    office.start(Selection("due"), "asha", clock())
    with pytest.raises(KeyboardInterrupt):
        work(office, clock)
    assert sent(gateway) == []
    work(Office(gateway.store, gateway.pen, gateway.settings), clock)
    assert len(sent(gateway)) == 7


def test_pause_resume_stop(gateway: Gateway, office: Office, clock: Clock) -> None:
    clock.wait(JUNE_4)
    id_ = office.start(Selection("due"), "asha", clock())
    while not office.all()[0].filled:
        office.work(clock())
    assert office.pause(id_)
    assert not office.pause(id_)
    work(office, clock)
    assert sent(gateway) == []
    assert office.resume(id_)
    assert office.stop(id_, clock())
    work(office, clock)
    assert sent(gateway) == []
    assert (office.all()[0].state, office.all()[0].cleared) == ("stopped", 7)
    assert not office.resume(id_)


@BOTH_STORES
def test_pause_and_stop_hold_what_is_in_the_outbox_already(gateway: Gateway, office: Office, clock: Clock) -> None:
    """Also of a campaign that is done, since all of it is in the outbox; what is on its way and what may have gone out stays."""
    database = gateway.store.database
    clock.wait(JUNE_4)
    other = office.start(Selection("notice"), "asha", clock())
    id_ = office.start(Selection("due"), "asha", clock())
    work(office, clock)
    assert [(one.id, one.state, one.sent) for one in office.all()] == [(id_, "done", 7), (other, "done", 0)]
    for place, change in enumerate(("state = 'sending'", "unsure = 1, attempts = 1", "state = 'stopped'")):
        database.run(f"update outbox set {change} where id = (select min(id) + {place} from outbox)")

    assert not office.pause(other), "nothing of it is left to hold"
    assert office.pause(id_)
    assert database.rows("select state from outbox order by id") == [("sending",), ("unknown",)]
    assert (office.all()[0].state, office.all()[0].waiting, office.all()[0].sent) == ("paused", 5, 2)
    assert office.resume(id_)
    work(office, clock)
    assert database.rows("select count(*), count(distinct phone) from outbox") == [(7, 6)], "nobody twice and nobody left out"
    assert office.stop(id_, clock())
    assert database.rows("select count(*) from outbox where state = 'waiting'") == [(0,)]
    assert (office.all()[0].state, office.all()[0].cleared, office.all()[0].sent) == ("stopped", 5, 2)
    work(office, clock)
    assert database.rows("select count(*) from outbox") == [(2,)]


@BOTH_STORES
def test_a_phone_that_is_unlinked_is_not_reminded(gateway: Gateway, office: Office, clock: Clock) -> None:
    clock.wait(JUNE_4)
    office.start(Selection("due"), "asha", clock())
    work(office, clock)
    sql = "select count(*) from outbox where state = 'waiting' and phone = ?"
    assert gateway.store.database.rows(sql, (town.PHONES["two"],)) == [(2,)]
    hop = Inbound("x", "phone", town.PHONES["one"], "sms", "GALAT", clock())
    with gateway.store.write():
        gateway.store.keep_effect(Unlink("100000002", town.PHONES["two"]), hop, clock())
    assert gateway.store.database.rows(sql, (town.PHONES["two"],)) == [(1,)], "its other account is still reminded"


def test_a_payment_and_a_complaint_clear_what_waits(gateway: Gateway, office: Office, clock: Clock) -> None:
    clock.wait(JUNE_4)
    office.start(Selection("due"), "asha", clock())
    while not office.all()[0].filled:
        office.work(clock())
    with gateway.store.write():
        row = ["100000001", f"{clock().date()}", "R10", 124_000]
        apply(gateway.store, kinds()["payments"], [row], gateway.billing().hooks, clock())
    for number, words in enumerate(("meter band 100000007", "1", "haan", "000", "haan")):
        gateway.hop.serve([Inbound(f"s{number}", "phone", town.PHONES["neighbour"], "sms", words, clock())])
    work(office, clock)
    told = {label for label, template in sent(gateway) if template.startswith("due")}
    assert told == {"two", "average", "village"}


def test_a_bill_without_a_day_is_of_the_day_it_came(gateway: Gateway, office: Office, clock: Clock) -> None:
    """What was paid before it came was for another bill, though it was paid in the month that this one is for."""
    clock.wait(JUNE_4 + timedelta(days=14))
    store, kind = gateway.store, kinds()["bills"]
    store.database.run("delete from link where account <> '100000001'")
    given = {"account": "100000001", "month": "2026-06-01", "amount": 50_000, "due": f"{(clock() + timedelta(days=2)).date()}"}
    with store.write():
        apply(store, kinds()["payments"], [["100000001", "2026-06-12", "R12", 124_000]], gateway.billing().hooks, clock())
        apply(store, kind, [[given.get(column) for column in kind.columns]], gateway.billing().hooks, clock())
    assert office.preview(Selection("due"), clock()).accounts == 1
    with store.write():
        apply(store, kinds()["payments"], [["100000001", f"{clock().date()}", "R13", 1_000]], gateway.billing().hooks, clock())
    assert office.preview(Selection("due"), clock()).left_out["paid"] == 1


def test_a_payment_takes_a_reminder_back_that_waits_in_the_outbox(gateway: Gateway, office: Office, clock: Clock) -> None:
    clock.wait(JUNE_4)
    office.start(Selection("due"), "asha", clock())
    work(office, clock)
    with gateway.store.write():
        row = ["100000002", f"{clock().date()}", "R11", 318_000]
        apply(gateway.store, kinds()["payments"], [row], gateway.billing().hooks, clock())
    rows = gateway.store.database.rows("select text from outbox where state = 'dropped'")
    assert len(rows) == 1, "the other account of that phone is still reminded"
    assert "3,180" in rows[0][0]


@BOTH_STORES
def test_a_payment_takes_back_what_was_stopped_with_its_template(gateway: Gateway, office: Office, clock: Clock) -> None:
    clock.wait(JUNE_4)
    office.start(Selection("due"), "asha", clock())
    work(office, clock)
    gateway.store.database.run("update outbox set state = 'stopped'")
    with gateway.store.write():
        row = ["100000002", f"{clock().date()}", "R11", 318_000]
        apply(gateway.store, kinds()["payments"], [row], gateway.billing().hooks, clock())
        Queue(gateway.store).end_alarm("template", "sms.due_several/hi-Latn", clock())
    ((text,),) = gateway.store.database.rows("select text from outbox where state = 'dropped'")
    assert "3,180" in text


@BOTH_STORES
def test_the_same_reminder_a_week_later_is_no_fault(gateway: Gateway, office: Office, clock: Clock) -> None:
    clock.wait(timedelta(days=20))
    for _ in range(2):
        office.start(Selection("overdue"), "asha", clock())
        work(office, clock)
        clock.wait(timedelta(days=8))
    assert len(sent(gateway)) == 2 * len({*sent(gateway)}) + 2, "the phone of two accounts is told of each"
    assert check(gateway.store, clock()) == []


@BOTH_STORES
@pytest.mark.parametrize("kind", ["overdue", "notice"])
def test_who_has_a_new_bill_is_not_reminded_of_it_as_overdue(
    gateway: Gateway, office: Office, clock: Clock, kind: CampaignKind
) -> None:
    clock.wait(timedelta(days=20))
    id_ = office.start(Selection(kind), "asha", clock())
    while not office.all()[0].filled:
        office.work(clock())
    office.pause(id_)
    bill = ("100000001", "2026-06-01", "INV2", "2026-07-05", "2026-06-15", 124_000, 124_000, 0, 0, 1, 2, 1, "OK", 0)
    with gateway.store.write():
        gateway.store.database.run("insert into bill values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", bill)
    office.resume(id_)
    work(office, clock)
    assert {label for label, _ in sent(gateway)} == {"two", "average", "neighbour", "village"}


@BOTH_STORES
@pytest.mark.parametrize(
    ("kind", "written", "days", "state"),
    [("due", 10, 1, "sending"), ("due", 10, 2, "dropped"), ("overdue", 20, 7, "sending"), ("overdue", 20, 8, "dropped"),
     ("notice", 20, 1, "sending"), ("notice", 20, 2, "dropped")],
)  # fmt: skip
def test_what_a_campaign_says_holds_when_it_leaves(
    gateway: Gateway, office: Office, clock: Clock, kind: CampaignKind, written: int, days: int, state: str
) -> None:
    """Whatever held it up: a reminder up to its due day, a notice while it leaves the clear days that the law wants."""
    clock.wait(timedelta(days=written))
    office.start(Selection(kind, at_least=1_000_000), "asha", clock())
    work(office, clock)
    clock.wait(timedelta(days=days))
    rules = gateway.settings.sending()
    Outbox(gateway.store, gateway.carriers["phone"], rules, senders=8, wake=threading.Event(), clock=clock).turn()
    assert gateway.store.database.rows("select state from outbox") == [(state,)]


def test_what_waited_is_looked_at_once_more_before_it_leaves(gateway: Gateway, office: Office, clock: Clock) -> None:
    clock.wait(JUNE_4)
    office.start(Selection("due"), "asha", clock())
    while not office.all()[0].filled:
        office.work(clock())
    with gateway.store.write():
        gateway.store.mute(town.PHONES["one"], True, clock(), "test")
        gateway.store.database.run("delete from link where phone = ?", (town.PHONES["son"],))
        gateway.store.database.run("update bill set amount = 0 where account = '100000007'")
    work(office, clock)
    assert {label for label, _ in sent(gateway)} == {"two", "average", "village"}


def test_reminders_go_out_a_few_ahead_of_their_sending(gateway: Gateway, clock: Clock) -> None:
    clock.wait(JUNE_4)
    few = Office(gateway.store, gateway.pen, gateway.settings.model_copy(update={"bulk_ahead": 2}))
    few.start(Selection("due"), "asha", clock())
    work(few, clock)
    assert len(sent(gateway)) == 2
    gateway.store.database.run("update outbox set state = 'sent'")
    work(few, clock)
    assert len(sent(gateway)) == 4


def test_a_notice_names_a_day_with_fifteen_clear_days_and_is_not_silenced(gateway: Gateway, office: Office, clock: Clock) -> None:
    clock.wait(timedelta(days=20))
    with gateway.store.write():
        gateway.store.mute(town.PHONES["one"], True, clock(), "test")
    office.start(Selection("notice", at_least=100_000), "asha", clock())
    work(office, clock)
    rows = gateway.store.database.rows("select phone, text, template, information, waits from outbox order by id")
    assert (rows[0][0], rows[0][2]) == (town.PHONES["one"], "sms.notice/hi-Latn")
    assert all((information, waits) == (0, 1) for *_, information, waits in rows)
    written = clock().date()
    named = written + timedelta(days=17)
    assert f"{named:%d-%m-%y}" in rows[0][1]
    assert (named - (written + timedelta(days=1)) - timedelta(days=1)).days == 15, "also if it leaves a day later"


# --- data protection ----------------------------------------------------------------------------------------------------


def talk(gateway: Gateway, label: str, *said: str) -> None:
    for number, words in enumerate(said):
        channel, phone = ("sms", town.PHONES[label])
        gateway.hop.serve([Inbound(f"{label}{number}", "phone", phone, channel, words, gateway.hop.clock())])  # type: ignore[arg-type]


@BOTH_STORES
def test_purge_keeps_what_the_settings_say(gateway: Gateway, settings: Settings, clock: Clock) -> None:
    store = gateway.store
    session = Inbound("u1", "phone", town.PHONES["one"], "ussd", "", clock(), "u")
    gateway.hop.serve([session])
    talk(gateway, "two", "bil 100000002", "meter 100000002", "1")
    store.database.run("update outbox set state = 'sent'")
    row = (1, "100000001", town.PHONES["one"], "due", "sent", millis(clock()))
    store.database.run("insert into campaign_row values (?, ?, ?, ?, ?, ?)", row)
    keeper = Keeper(store, settings.model_copy(update={"pseudonym_key": settings.at_api_key}))
    assert sum(keeper.purge(clock()).values()) == 0
    clock.wait(timedelta(days=8))
    assert keeper.purge(clock())["unfinished answers"] == 2
    assert store.recall(town.PHONES["two"], clock().date()).conversation.place == Place()
    assert store.language(town.PHONES["two"]) == "hi-Latn"
    clock.wait(timedelta(days=23))
    assert keeper.purge(clock())["received"] == 1, "the USSD hop"
    clock.wait(timedelta(days=60))
    gone = keeper.purge(clock())
    assert (gone["received"], gone["sent"]) == (3, store.count("outbox"))
    rows = store.database.rows("select phone, text, page, screen from inbound")
    assert {(phone[:1], text, page) for phone, text, page, _ in rows} == {("#", "", "")}
    assert len({phone for phone, *_ in rows}) == 1
    assert all(screen for *_, screen in rows), "what was done and when stays for a year"
    assert sum(keeper.purge(clock()).values()) == 0, "once is enough"
    clock.wait(timedelta(days=300))
    keeper.purge(clock())
    assert (store.count("inbound"), store.count("outbox"), store.count("campaign_row")) == (0, 0, 0)


def test_a_purge_takes_requests_with_all_that_belongs_to_them(gateway: Gateway, settings: Settings, clock: Clock) -> None:
    talk(gateway, "one", "meter band", "1", "haan", "000", "haan")
    gateway.store.database.run("update request set open = 0, state = 'done'")
    keeper = Keeper(gateway.store, settings)
    clock.wait(timedelta(days=1000))
    assert keeper.purge(clock())["request"] == 0
    clock.wait(timedelta(days=100))
    assert keeper.purge(clock())["request"] == 1
    assert [gateway.store.count(table) for table in ("request", "report", "event")] == [0, 0, 0]


@BOTH_STORES
def test_a_person_is_forgotten(gateway: Gateway, settings: Settings, clock: Clock) -> None:
    store, phone = gateway.store, town.PHONES["one"]
    talk(gateway, "one", "naam 100000001 ramesh", "1", "haan", "haan", "meter band", "1", "haan", "000", "haan", "pata ward 7")
    assert store.count("request")
    held = Keeper(store, settings).forget(phone, Staff("asha", "centre"), "asked at the centre", clock())
    assert held["inbound"] == 10
    assert held["link"] == 1
    left = {
        table: store.database.rows(f"select count(*) from {table} where {column} = ?", (phone,))[0][0]
        for table, column in (("inbound", "phone"), ("outbox", "phone"), ("link", "phone"), ("request", "phone"),
                              ("conversation", "phone"), ("event", "who"), ("report", "phone"), ("phone_event", "phone"))
    }  # fmt: skip
    assert set(left.values()) == {0}
    assert store.database.rows("select count(*) from inbound where text <> '' or page <> ''") == [(0,)]
    assert "ward" not in str(store.database.rows("select details from request"))
    assert store.database.rows("select who, what, subject, reason from audit") == [
        ("asha", "forget", "+91******0002", "asked at the centre")
    ]
    assert holding(gateway, phone[3:]) == set()
    assert store.database.rows("select distinct tail from request") == [("",)], "nor is it found by its last digits"
    gateway.hop.serve([Inbound("later", "phone", phone, "sms", "bil", clock())])


def holding(gateway: Gateway, words: str) -> set[str]:
    """The tables in which something stands."""
    database = gateway.store.database
    assert isinstance(database, SQLite | PostgreSQL)
    return {table for table in database.tables() if words in str(database.rows(f"select * from {table}"))}


@BOTH_STORES
def test_of_a_phone_that_is_not_heard_of_any_more_nothing_is_left(gateway: Gateway, settings: Settings, clock: Clock) -> None:
    database, phone = gateway.store.database, town.PHONES["one"]
    talk(gateway, "one", "meter band", "1", "haan", "000", "haan", "STOP", "START")
    talk(gateway, "two", "bil 100000002")
    talk(gateway, "new", "bil", "STOP")
    Queue(gateway.store).report(Report("phone", "r1", "Sent", "sent", "", phone), clock())
    database.run("update outbox set state = 'sent'")
    keeper = Keeper(gateway.store, settings)
    clock.wait(timedelta(days=91))
    keeper.purge(clock())
    assert holding(gateway, phone[3:]) == {"link", "conversation", "request", "report", "event"}, "it has an account"
    database.run("delete from link where phone = ?", (phone,))
    keeper.purge(clock())
    assert "conversation" in holding(gateway, phone[3:]), "its request is open: it is told of it in its language"
    database.run("update request set open = 0, state = 'done'")
    assert keeper.purge(clock())["conversation"] == 1
    assert holding(gateway, phone[3:]) == {"request", "report", "event"}
    assert database.rows("select phone from conversation order by phone") == [
        (town.PHONES[label],) for label in sorted(("two", "new"), key=town.PHONES.__getitem__)
    ], "one has an account, one wants no messages"
    clock.wait(timedelta(days=1100))
    keeper.purge(clock())
    assert holding(gateway, phone[3:]) == set()


@pytest.mark.parametrize("how", ["age", "forget"])
def test_what_was_erased_is_not_sent_when_its_template_goes_on(
    gateway: Gateway, settings: Settings, clock: Clock, how: str
) -> None:
    store, queue, keeper = gateway.store, Queue(gateway.store), Keeper(gateway.store, settings)
    talk(gateway, "one", "bil")
    ((template,),) = store.database.rows("select distinct template from outbox where template like 'bill%'")
    store.database.run("update outbox set state = 'stopped'")
    with store.write():
        queue.raise_alarm("template", template, clock(), "the operator refused it")
    if how == "forget":
        keeper.forget(town.PHONES["one"], Staff("asha", "centre"), "asked", clock())
    else:
        clock.wait(timedelta(days=91))
        keeper.purge(clock())
    with store.write():
        queue.end_alarm("template", template, clock())
    assert store.database.rows("select distinct state, text, phone from outbox") == [("failed", "", "")]


@BOTH_STORES
def test_logs_are_aged_a_few_rows_at_a_time(
    gateway: Gateway, settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL gives a statement four seconds."""
    store, phone = gateway.store, town.PHONES["one"]
    for number in range(5):
        Queue(store).report(Report("phone", f"r{number}", "Sent", "sent", "", phone), clock())
        store.phone_event(phone, clock(), "muted")  # five at one moment
        clock.wait(timedelta(days=1))
        store.phone_event(phone, clock(), "unmuted")
    run, sizes = store.database.run, list[int]()
    monkeypatch.setattr("gateway.duties.PASSED", 2)
    monkeypatch.setattr(store.database, "run", lambda sql, values=(): sizes.append(run(sql, values)) or sizes[-1])
    keeper = Keeper(store, settings)
    clock.wait(timedelta(days=88))
    assert keeper.purge(clock())["delivery"] == 3
    assert store.database.rows("select phone, count(*) from delivery group by phone order by 1") == [("", 3), (phone, 2)]
    assert store.database.rows("select phone, count(*) from phone_event group by phone order by 1") == [("", 5), (phone, 5)]
    clock.wait(timedelta(days=400))
    keeper.purge(clock())
    assert (store.count("delivery"), store.count("phone_event")) == (0, 0)
    assert max(sizes) <= 2


def test_an_alias_is_the_same_under_one_key_and_nothing_without() -> None:
    assert alias("+919812345678", "k") == alias("+919812345678", "k") != alias("+919812345678", "other")
    assert alias("+919812345678", "") == ""
    assert alias("#abc", "k") == "#abc", "an alias has no alias"


# --- the commands -------------------------------------------------------------------------------------------------------


def test_the_office_commands(gateway: Gateway, clock: Clock) -> None:
    import click

    main = click.Group()
    add_commands(main, lambda: gateway)

    def run(*words: str) -> str:
        return CliRunner().invoke(main, list(words)).output

    clock.wait(JUNE_4)
    assert run("reader", "add", "4472", "5550000099", "S1", "--name", "Anil") == "reader 4472: 4 accounts of section S1\n"
    assert "+91******0099" in run("reader", "list")
    assert run("reader", "remove", "4472") == "reader 4472 is removed; the round is free\n"
    assert "no active reader" in run("reader", "remove", "4472")
    assert "10 digits" in run("reader", "add", "4472", "12", "S1")
    assert "3 to 12 digits" in run("reader", "add", "x", "5550000099", "S1")
    assert "Buxar Town" in run("linking")
    assert run("linking").endswith("1 accounts have no phone\n")
    assert run("campaign", "preview", "due").startswith("6 accounts, 7 phones, 7 SMS parts, Rs ")
    assert run("campaign", "start", "due", "--at-least", "1000") == "campaign 1 is under way: gateway campaign list\n"
    assert "from Rs 1,000  running" in run("campaign", "list")
    assert run("campaign", "pause", "1") == "campaign 1: pause\n"
    assert "cannot be changed so" in run("campaign", "pause", "1")
    assert run("campaign", "stop", "1") == "campaign 1: stop\n"
    assert run("purge") == ""
    assert run("held", town.PHONES["one"], "--reason", "asked") == "link: 1\n"
    assert "Missing option '--reason'" in run("forget", town.PHONES["one"])
    assert gateway.store.database.rows("select what, subject, reason from audit") == [("held", "+91******0002", "asked")]


def test_a_missed_call_is_made_by_dialling_the_number(gateway: Gateway, clock: Clock) -> None:
    handset = Handset(town.PHONES["one"], gateway.settings.ussd_code, gateway.settings.missed_number)
    answer = gateway.hop.serve([handset.dial(gateway.settings.missed_number, clock())])[0]
    assert answer.screen == "bill.show"
    assert sent(gateway) == [("one", "welcome/hi-Latn"), ("one", "bill.show/hi-Latn")]


# --- over HTTP, as it is put together -----------------------------------------------------------------------------------


def test_a_bill_put_by_the_billing_system_is_told(gateway: Gateway, settings: Settings, clock: Clock) -> None:
    key, digest = new_key()
    opened = replace(gateway, settings=settings.model_copy(update={"api_clients": {"billing": digest}}))
    with TestClient(make_app(opened, send=False)) as client:
        assert client.get("/api/v1/openapi.json").status_code == 200
        put = client.put(
            "/api/v1/bills/100000001/2026-06", json={"amount": 94000, "due": "2026-06-20"},
            headers={"Authorization": f"Bearer billing.{key}"},
        )  # fmt: skip
        assert put.status_code == 201
        assert client.put("/api/v1/bills/100000001/2026-06", json={}).status_code == 401
    assert sent(gateway) == [("one", "bill/hi-Latn"), ("son", "bill/hi-Latn")]


@BOTH_STORES
def test_the_same_bill_twice_at_the_very_same_moment_is_told_once(gateway: Gateway, settings: Settings) -> None:
    key, digest = new_key()
    opened = replace(gateway, settings=settings.model_copy(update={"api_clients": {"billing": digest}}))
    with TestClient(make_app(opened, send=False)) as client:

        def put() -> None:
            client.put("/api/v1/bills/100000001/2026-06", json={"amount": 94000, "due": "2026-06-20"},
                       headers={"Authorization": f"Bearer billing.{key}"})  # fmt: skip

        threads = [threading.Thread(target=put) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(sent(gateway)) == 2


def test_there_is_no_api_without_clients(gateway: Gateway) -> None:
    with TestClient(make_app(gateway, send=False)) as client:
        assert client.get("/api/v1/openapi.json").status_code == 404


def test_a_chore_that_fails_keeps_no_other_from_its_work(gateway: Gateway) -> None:
    done: list[str] = []

    def broken() -> None:
        raise RuntimeError("the disk is full")

    chores = Chores(gateway.store, [Chore("broken", broken), Chore("good", lambda: done.append("good"))])
    assert not chores.round()
    assert done == ["good"]
