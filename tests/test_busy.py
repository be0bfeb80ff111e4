"""More than can be served, or a store that stands still: a page that says so, in time and in the person's language."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient
from structlog.testing import capture_logs

from flows.records import Conversation
from gateway.app import Gateway, make_app
from gateway.hop import Unavailable
from gateway.records import Answer, Inbound
from gateway.traffic import Traffic
from tests import town
from tests.conftest import Clock
from tests.talking import ussd

SECRET = "0123456789abcdef0123456789abcdef"
BUSY = {
    "hi": "END सेवा अभी व्यस्त है।",
    "hi-Latn": "END Seva abhi vyast hai.",
    "en": "END The service is busy. Please try again shortly.",
}


class Slow:
    """Serves one group when it is told to, and remembers whom."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.served: list[str] = []

    def __call__(self, group: Sequence[Inbound]) -> list[Answer]:
        self.go.acquire()
        self.served += [inbound.phone for inbound in group]
        return [Answer("page", True, "menu.home", "en")] * len(group)


def inbound(number: int) -> Inbound:
    return ussd(f"+91555{number:07d}", f"s{number}", "", town.BEGIN)


def test_who_waits_too_long_is_told_and_not_served_afterwards() -> None:
    slow = Slow()
    traffic = Traffic(slow, after=lambda: None, patience=0.2)

    async def three() -> list[Answer | BaseException]:
        traffic.start()
        first = asyncio.create_task(traffic.serve(inbound(1)))
        await asyncio.sleep(0.05)  # it is being served when the others come
        others = [asyncio.create_task(traffic.serve(inbound(number))) for number in (2, 3)]
        told = await asyncio.gather(first, *others, return_exceptions=True)
        slow.go.release(5)
        await asyncio.to_thread(traffic.stop)
        return told

    told = asyncio.run(three())
    assert [type(one) for one in told] == [Unavailable] * 3
    assert slow.served == ["+915550000001"], "what was given up while it waited is not done behind its person's back"


def test_when_more_waits_than_can_be_served_in_time_it_is_said_at_once() -> None:
    slow = Slow()
    traffic = Traffic(slow, after=lambda: None, patience=1.0)
    traffic._each = 0.3  # as groups have taken lately

    async def many() -> list[Answer | BaseException]:
        traffic.start()
        first = asyncio.create_task(traffic.serve(inbound(0)))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(traffic.serve(inbound(number))) for number in range(1, 10)]
        await asyncio.sleep(0)
        refused = [one for one in others if one.done()]
        slow.go.release(20)
        told = await asyncio.gather(first, *others, return_exceptions=True)
        assert len(refused) == sum(isinstance(one, Unavailable) for one in told)
        await asyncio.to_thread(traffic.stop)
        return told

    told = asyncio.run(many())
    assert [isinstance(one, Unavailable) for one in told] == [False] * 5 + [True] * 5


def test_one_phone_does_not_take_everybodys_turn() -> None:
    slow = Slow()
    slow.go.release(100)
    traffic = Traffic(slow, after=lambda: None, most_a_minute=3)
    traffic._minute = int(time.monotonic() / 60)

    async def some() -> list[Answer | BaseException]:
        traffic.start()
        hops = [*(traffic.serve(inbound(1)) for _ in range(7)), traffic.serve(inbound(2))]
        told = await asyncio.gather(*hops, return_exceptions=True)
        await asyncio.to_thread(traffic.stop)
        return told

    told = asyncio.run(some())
    assert isinstance(told[-1], Answer)
    assert sum(isinstance(one, Unavailable) for one in told) in (4, 1), "1: the minute has just begun anew"


def test_an_answer_that_cannot_be_given_keeps_no_other_back() -> None:
    slow = Slow()
    traffic = Traffic(slow, after=lambda: None)

    def hung_up(_: Answer | Exception) -> None:
        raise OSError

    async def two() -> Answer:
        traffic.start()
        traffic.bring(inbound(1), hung_up)
        await asyncio.sleep(0.05)
        traffic.bring(inbound(2), hung_up)
        other = asyncio.create_task(traffic.serve(inbound(3)))
        await asyncio.sleep(0.05)
        slow.go.release(3)
        answer = await asyncio.wait_for(other, 30)
        await asyncio.to_thread(traffic.stop)
        return answer

    with capture_logs() as logs:
        assert asyncio.run(two()).page == "page"
    assert [line["event"] for line in logs] == ["hop.unanswered"] * 2


def test_who_cannot_be_told_that_it_takes_too_long_keeps_no_other_waiting() -> None:
    slow = Slow()
    traffic = Traffic(slow, after=lambda: None, patience=0.2)

    def hung_up(_: Answer | Exception) -> None:
        raise OSError

    async def three() -> list[Answer | BaseException]:
        traffic.start()
        traffic.bring(inbound(1), hung_up)
        told: list[Answer | BaseException] = []
        for number in (2, 3):
            told += await asyncio.gather(asyncio.wait_for(traffic.serve(inbound(number)), 10), return_exceptions=True)
        slow.go.release(3)
        await asyncio.to_thread(traffic.stop)
        return told

    assert [type(one) for one in asyncio.run(three())] == [Unavailable] * 2


def test_hops_of_one_phone_are_served_one_after_the_other_in_their_order() -> None:
    """Whatever comes between them, and however many writers there are."""
    served: list[tuple[str, str]] = []
    busy: set[str] = set()

    def serve(group: Sequence[Inbound]) -> list[Answer]:
        phones = {one.phone for one in group}
        assert len(phones) == len(group)
        assert not phones & busy
        busy.update(phones)
        time.sleep(0.001)
        served.extend((one.phone, one.id) for one in group)
        busy.difference_update(phones)
        return [Answer(one.id, True, "menu.home", "en") for one in group]

    traffic = Traffic(serve, after=lambda: None, writers=3, most_a_minute=1000)
    chance = random.Random(7)
    hops = [ussd(f"+91555000000{chance.randrange(6)}", f"s{number}", "", town.BEGIN) for number in range(300)]

    async def all_of_them() -> list[Answer]:
        traffic.start()
        answers = await asyncio.gather(*map(traffic.serve, hops))
        await asyncio.to_thread(traffic.stop)
        return answers

    assert [answer.page for answer in asyncio.run(all_of_them())] == [hop.id for hop in hops]
    for phone in {hop.phone for hop in hops}:
        assert [id_ for of, id_ in served if of == phone] == [hop.id for hop in hops if hop.phone == phone]


@contextmanager
def standing_still(path: Path) -> Iterator[None]:
    """Somebody else holds the database for writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        yield
        other.execute("rollback")


def test_a_store_that_stands_still(gateway: Gateway, clock: Clock, tmp_path: Path) -> None:
    for number, lang in enumerate(BUSY):
        with gateway.store.write():
            gateway.store.keep_conversations([Conversation(f"+91555000100{number}", lang=lang)], clock())
    impatient = replace(gateway, settings=gateway.settings.model_copy(update={"answer_seconds": 0.3}))
    form = {"sessionId": "ATUid_1", "networkCode": "99999", "serviceCode": "*384*1912#", "text": ""}
    sms = {"date": "2026-05-25 04:30:00", "from": "+915550000002", "to": "56161", "id": "7", "text": "BILL"}
    with TestClient(make_app(impatient, send=False)) as web:
        with standing_still(tmp_path / "town.db"):
            for number, page in enumerate(BUSY.values()):
                began = time.monotonic()
                phone = f"+91555000100{number}"
                answer = web.post(
                    f"/in/africastalking/{SECRET}/ussd", data={**form, "sessionId": f"ATUid_{number}", "phoneNumber": phone}
                )
                assert time.monotonic() - began < 5
                assert (answer.status_code, answer.headers["retry-after"]) == (200, "5")
                assert answer.text.startswith(page), answer.text
            assert web.post(f"/in/africastalking/{SECRET}/sms", data=sms).status_code == 503
        again = web.post(f"/in/africastalking/{SECRET}/sms", data=sms)
        assert again.status_code == 200, "and it is served as soon as it can be"
        answer = web.post(
            f"/in/africastalking/{SECRET}/ussd", data={**form, "sessionId": "ATUid_9", "phoneNumber": "+915550001002"}
        )
        assert answer.text.startswith("CON SBPDCL ")
    assert gateway.store.database.rows("select count(*) from outbox where inbound = 'sms/7' and template like 'bill.%'") == [(1,)]


def test_a_machine_is_silenced_with_a_reason(gateway: Gateway, clock: Clock) -> None:
    for number in range(70):
        gateway.hop.serve([Inbound(f"m{number}", "phone", "+915550000002", "sms", f"order {number} shipped", clock())])
    rows = gateway.store.database.rows
    assert rows("select count(*) from inbound where screen = 'silent.loop' and page = ''") == [(10,)]
    assert rows("select count(*) from outbox where template like 'menu.%'") == [(60,)]


def test_equal_words_are_a_machine_and_equal_answers_a_person(gateway: Gateway, clock: Clock) -> None:
    for number, text in enumerate([*["back soon"] * 7, "NAYA", *["1"] * 7, "TRANS", *["haan"] * 7]):
        gateway.hop.serve([Inbound(f"m{number}", "phone", "+915550000002", "sms", text, clock())])
    sql = "select text, count(*) from inbound where screen = 'silent.loop' group by text"
    assert gateway.store.database.rows(sql) == [("back soon", 2)]
