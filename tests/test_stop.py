"""SIGTERM: what has been taken is answered or sent, what has not is left whole for the next process, and the end comes soon."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from gateway.check import check
from gateway.hop import now_utc
from gateway.store import Store, open_store
from tests import town
from tests.crash.driver import SECRET, Process, environment
from tests.emulators.africastalking import Emulator
from tests.postgres import free_port

#: By then a supervisor would kill: 5 seconds for what is under way, and what a busy machine needs to end a process.
SOON = 15


@pytest.fixture
def carrier() -> Iterator[Emulator]:
    with Emulator(latency=0.3) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{tmp_path}/town.db")
    town.build(made)
    yield made
    made.close()


def started(command: str, folder: Path, port: int, carrier: str) -> Process:
    settings = environment(f"sqlite:///{folder}/town.db", port, carrier)
    env = {**os.environ, **{f"GATEWAY_{name.upper()}": value for name, value in settings.items()}}
    return Process(command, folder, {**env, "PYTHONPATH": str(Path(__file__).parents[1])})


async def bring(port: int, number: int) -> int:
    """One SMS on a connection of its own: the status it was answered with, 0 if it was not answered."""
    body = urlencode(
        {"date": "2026-05-25 04:30:00", "from": f"+9155600{number:05d}", "to": "56161", "id": f"n{number}", "text": "BILL"}
    )
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            (f"POST /in/africastalking/{SECRET}/sms HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
             f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n{body}").encode()
        )  # fmt: skip
        answer = await reader.read()
        writer.close()
    except OSError:
        return 0
    return int(answer.split()[1]) if answer else 0


def test_the_web_server_answers_what_it_has_taken(store: Store, tmp_path: Path) -> None:
    port = free_port()
    web = started("web", tmp_path, port, "")

    async def under_load() -> dict[int, int]:
        while await bring(port, 0) != 200:
            await asyncio.sleep(0.05)
        told: dict[int, int] = {0: 200}
        numbers = iter(range(1, 100_000))
        stopping = asyncio.Event()

        async def phone() -> None:
            while not stopping.is_set():
                number = next(numbers)
                told[number] = await bring(port, number)

        phones = [asyncio.create_task(phone()) for _ in range(16)]
        while len(told) < 200:
            await asyncio.sleep(0.01)
        web.process.terminate()
        await asyncio.to_thread(web.process.wait, SOON)
        stopping.set()
        await asyncio.gather(*phones)
        return told

    told = asyncio.run(under_load())
    assert set(told.values()) <= {200, 0}
    kept = {row[0] for row in store.database.rows("select id from inbound")}
    assert kept == {f"sms/n{number}" for number, status in told.items() if status == 200}, "answered and done are the same"
    assert check(store, now_utc()) == []


def test_the_worker_finishes_what_it_is_sending(store: Store, tmp_path: Path, carrier: Emulator) -> None:
    with store.write():
        for number in range(40):
            store.database.run(
                """insert into outbox (phone, text, encoding, parts, template, carrier, lane, delivery, state, due_at, created)
                   values (?, 'hello', 'gsm7', 1, 'bill.show/en', 'africastalking', 0, 'must_arrive', 'waiting', 0, 0)""",
                (f"+91556{number:07d}",),
            )
    for _ in range(2):
        worker = started("worker", tmp_path, free_port(), carrier.url)
        while worker.process.poll() is None and not store.database.rows("select 1 from outbox where state = 'sending' limit 1"):
            time.sleep(0.01)
        worker.process.terminate()
        assert worker.process.wait(SOON) == 0
        assert {row[0] for row in store.database.rows("select state from outbox")} <= {"waiting", "sent"}
    assert set(Counter(carrier.phones()).values()) == {1}, "none twice"
    assert len(carrier.taken) == store.database.rows("select count(*) from outbox where state = 'sent'")[0][0]
