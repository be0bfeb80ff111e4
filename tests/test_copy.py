"""A town moves from its file to PostgreSQL: all of it, once, while people talk; or not at all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.check import check
from gateway.copy import TOWN, copy_town
from gateway.hop import Unavailable, now_utc
from gateway.records import Inbound
from gateway.store import connect, open_store
from gateway.store.postgres import PostgreSQL
from gateway.store.queue import Queue
from gateway.store.sqlite import SQLite
from tests import town
from tests.postgres import Server
from tests.talking import conversations, open_gateway, ussd


@pytest.fixture
def talked(tmp_path: Path) -> Iterator[Gateway]:
    """A town on a file where a lot has been said."""
    gateway = open_gateway(f"sqlite:///{tmp_path}/town.db")
    town.build(gateway.store)
    chance = random.Random(4)  # the same talk every time
    talks = [islice(conversations(phone, chance, town.BEGIN), 40) for phone in town.PHONES.values()]
    for group in zip(*talks, strict=True):
        gateway.hop.serve(group)
    yield gateway
    gateway.store.close()


@pytest.fixture
def target(postgres: Server) -> Iterator[PostgreSQL]:
    made = connect(postgres.database("moved"))
    assert isinstance(made, PostgreSQL)
    yield made
    made.close()


def content(database: SQLite | PostgreSQL, tables: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {
        table: sorted(map(repr, database.rows(f"select {', '.join(columns)} from {table}"))) for table, columns in tables.items()
    }


def file_of(gateway: Gateway) -> SQLite:
    assert isinstance(gateway.store.database, SQLite)
    return gateway.store.database


def test_every_row_arrives_and_the_file_is_closed(talked: Gateway, target: PostgreSQL, postgres: Server) -> None:
    source = file_of(talked)
    late: list[BaseException] = []

    def hop() -> None:  # a hop that comes in the middle waits, and is told to come again: nobody acknowledged it
        try:
            talked.hop.serve([ussd(town.PHONES["one"], "late", "", town.BEGIN)])
        except Unavailable as why:
            late.append(why)
        talked.store.close()

    started = threading.Thread(target=hop)

    def progress(done: int, whole: int) -> None:
        if done == whole:
            started.start()

    counts = copy_town(source, target, town.BEGIN, progress)
    started.join()
    assert "moved to postgresql://postgres@127.0.0.1" in str(late[0])
    tables = target.tables()
    assert content(target, tables) == content(source, tables)
    assert counts["inbound"] == 40 * len(town.PHONES)
    assert counts["request"] > 5
    assert counts["outbox"] > 20

    with pytest.raises(ValueError, match="has moved"):
        open_store(f"sqlite:///{source.path}")
    queue = Queue(talked.store)
    due = queue.due("phone", 0, now_utc(), 1)[0]
    with pytest.raises(Exception, match="has moved") as refusal, talked.store.write():  # the old worker sends nothing more
        queue.take(due.message, "worker", now_utc())
    assert source.is_trouble(refusal.value)

    moved = open_gateway(postgres.url("moved"))
    with closing(moved.store):
        last = max(row[0] for row in target.rows("select id from outbox"))
        moved.hop.serve([next(conversations("+915550009999", random.Random(1), town.BEGIN))])
        moved.hop.serve([ussd(town.PHONES["two"], "after", "", town.BEGIN)])
        moved.hop.serve([Inbound("help", "phone", town.PHONES["two"], "sms", "HELP", town.BEGIN)])
        assert target.rows("select count(*) from outbox where id > ?", (last,)) == [(1,)]
        assert check(moved.store, town.BEGIN) == []


def test_what_is_not_empty_is_not_written_to(talked: Gateway, target: PostgreSQL, postgres: Server) -> None:
    other = open_store(postgres.url("moved"))
    town.build(other)
    other.close()
    with pytest.raises(ValueError, match="is not empty"):
        copy_town(file_of(talked), target, town.BEGIN, lambda done, whole: None)
    talked.hop.serve([ussd(town.PHONES["one"], "later", "", town.BEGIN)])  # the file is as it was


def test_a_copy_that_breaks_off_leaves_nothing(talked: Gateway, target: PostgreSQL) -> None:
    def progress(done: int, whole: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_town(file_of(talked), target, town.BEGIN, progress)
    assert not any(target.rows(f"select 1 from {table}") for table in TOWN)
    talked.hop.serve([ussd(town.PHONES["one"], "later", "", town.BEGIN)])


def test_a_town_with_a_fault_is_mended_before_it_moves(talked: Gateway, target: PostgreSQL) -> None:
    source = file_of(talked)
    source.run("update conversation set data = '{' where phone = ?", (town.PHONES["one"],))
    with pytest.raises(ValueError, match=r"has \d+ faults, the first: .*nothing is kept"):
        copy_town(source, target, town.BEGIN, lambda done, whole: None)
    assert not target.rows("select 1 from conversation")


def test_the_command(talked: Gateway, postgres: Server, tmp_path: Path) -> None:
    talked.store.close()
    env = {**os.environ, "GATEWAY_DATABASE": f"sqlite:///{tmp_path}/town.db", "PYTHONPATH": str(Path(__file__).parent.parent)}

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            env={**env, **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    url = postgres.database("commanded")
    done = run("copy", url)
    assert done.returncode == 0, done.stderr
    assert "conversation" in done.stdout
    assert "100%" in done.stderr or not sys.stderr.isatty()
    again = run("copy", url)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "has moved to postgresql://" in again.stderr
    checked = run("check", GATEWAY_DATABASE=url)
    assert checked.returncode == 0, checked.stdout
    assert "everything holds" in checked.stdout
