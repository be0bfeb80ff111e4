"""A backup taken while hops come in is whole; nothing broken or in use is put in the database's place."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from flows.records import Text
from gateway.app import Gateway
from gateway.backup import backup_command, restore, restore_command
from gateway.check import check
from gateway.duties import Keeper
from gateway.hop import Hop, now_utc
from gateway.oneline import OneLine
from gateway.records import Inbound
from gateway.staff import Staff
from gateway.store import Store, open_store
from gateway.store.postgres import PostgreSQL
from tests import town
from tests.conftest import BOTH_STORES, Clock
from tests.postgres import Server
from tests.talking import PHONES, conversations, open_gateway


def talk(hop: Hop, hops: int, seed: int = 0) -> None:
    """Conversations of the whole town; another seed is another town's worth of them."""
    talks = [conversations(phone, random.Random(seed + number), town.BEGIN) for number, phone in enumerate(PHONES)]
    for group in islice(zip(*talks, strict=True), hops):
        hop.serve(group)


def run(command: click.Command, words: list[str]) -> Result:
    """A command as the command line runs it."""
    return CliRunner().invoke(OneLine(commands=[command]), [str(command.name), *words])


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/town.db"
    store = open_store(url)
    town.build(store)
    store.close()
    return url


def test_a_backup_while_hops_come_in_is_whole_and_holds_what_was_answered_before(url: str, tmp_path: Path) -> None:
    gateway = open_gateway(url)
    store, hop = gateway.store, gateway.hop
    talk(hop, 20)
    before = store.count("inbound")
    stop, served = threading.Event(), threading.Event()

    def keep_talking() -> None:
        phones = (f"+9155512{number:05d}" for number in range(100_000))
        while not stop.is_set():
            hop.serve([next(conversations(next(phones), random.Random(1), town.BEGIN))])
            served.set()
        store.close()

    talker = threading.Thread(target=keep_talking)
    talker.start()
    try:
        assert served.wait(10)
        ran = run(backup_command(lambda: open_store(url)), [str(tmp_path / "copy.db")])
        served.clear()
        assert served.wait(10), "the hops went on"
    finally:
        stop.set()
        talker.join()
    assert (ran.exit_code, f"{tmp_path}/copy.db: " in ran.output) == (0, True), ran.output
    after = store.count("inbound")
    store.close()

    moved = restore(url, tmp_path / "copy.db", replace=True)
    restored = open_store(url)
    assert before < restored.count("inbound") <= after
    assert check(restored, town.BEGIN) == []
    assert moved is not None
    assert open_store(f"sqlite:///{moved}").count("inbound") == after, "what was there before is kept whole"


def test_the_backup_is_one_private_file_and_overwrites_none(url: str, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    command = backup_command(lambda: open_store(url))
    assert run(command, [str(target)]).exit_code == 0
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.glob("copy.db*")] == ["copy.db"]
    again = run(command, [str(target)])
    assert (again.exit_code, again.output) == (1, f"gateway: {target} exists already; name another file\n")


def test_restore_refuses_to_replace_unasked(url: str, tmp_path: Path) -> None:
    open_store(url).database.backup(tmp_path / "copy.db")
    ran = run(restore_command(lambda: url), [str(tmp_path / "copy.db")])
    assert (ran.exit_code, ran.output) == (1, f"gateway: {tmp_path}/town.db exists; `--replace` puts it aside first\n")


def test_restore_into_nothing(url: str, tmp_path: Path) -> None:
    open_store(url).database.backup(tmp_path / "copy.db")
    elsewhere = f"sqlite:///{tmp_path}/new/place.db"
    ran = run(restore_command(lambda: elsewhere), [str(tmp_path / "copy.db")])
    assert ran.exit_code == 0, ran.output
    assert open_store(elsewhere).count("consumer") == len(town.CONSUMERS)
    assert sorted(path.name for path in (tmp_path / "new").iterdir() if path.suffix == ".part") == []


def test_restore_refuses_while_the_gateway_runs(url: str, tmp_path: Path) -> None:
    running = open_store(url)
    running.database.backup(tmp_path / "copy.db")
    with pytest.raises(ValueError, match="is in use: stop the gateway first"):
        restore(url, tmp_path / "copy.db", replace=True)
    assert running.count("consumer") == len(town.CONSUMERS)
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("damage", ["gone", "header", "zeros"])
def test_a_dead_database_and_its_journal_are_put_aside(url: str, tmp_path: Path, damage: str) -> None:
    """The gateway was killed and its file is damaged, or was moved away already: what its WAL holds is not played into the backup."""
    backed_up, file = open_store(url), tmp_path / "town.db"
    backed_up.database.backup(tmp_path / "copy.db")
    backed_up.close()
    written = "from gateway.store import open_store; import os, sys; s = open_store(sys.argv[1]); c = s.database.connection; "
    written += "c.execute('delete from consumer'); c.execute('delete from link'); os._exit(0)"
    subprocess.run([sys.executable, "-c", written, url], check=True)
    left = (tmp_path / "town.db-wal").read_bytes()
    assert left
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes((b"no database " if damage == "header" else bytes(12)) * 1000)

    ran = run(restore_command(lambda: url), [str(tmp_path / "copy.db"), "--replace"])
    assert ran.exit_code == 0, ran.output
    (wal,) = tmp_path.glob("town.db.before-*-wal")
    assert wal.read_bytes() == left, "for whoever wants to look into it"
    assert str(wal).removesuffix("" if damage == "gone" else "-wal") in ran.output
    restored = open_store(url)
    assert restored.count("consumer") == len(town.CONSUMERS)
    assert check(restored, town.BEGIN) == []
    restored.close()


def test_restore_refuses_what_is_broken(url: str, tmp_path: Path) -> None:
    gateway = open_gateway(url)
    store = gateway.store
    talk(gateway.hop, 20)
    store.database.backup(tmp_path / "copy.db")
    store.close()
    whole = (tmp_path / "copy.db").read_bytes()
    (tmp_path / "cut.db").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.db").write_text("no database at all, only some words\n" * 200)
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        copy.execute("update link set account = 'gone' where phone = ?", (PHONES[1],))
    copy.close()
    for name, why in (("cut", "no backup that can be read|not hold together"), ("text", "no backup"), ("copy", "link.account")):
        with pytest.raises(ValueError, match=why):
            restore(url, tmp_path / f"{name}.db", replace=True)
    assert check(open_store(url), now_utc()) == []
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("days", [0, 31, 91, 366])
@BOTH_STORES
def test_what_data_protection_erased_is_no_fault(
    gateway: Gateway, clock: Clock, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Daily purges for so long (0: two people are forgotten): the check finds nothing, and a backup can be put back."""
    store, keeper = gateway.store, Keeper(gateway.store, gateway.settings)
    talk(gateway.hop, 60)
    for day in (1, 2):  # the same reminder to the same phone, once a month
        store.enqueue(
            gateway.pen.compose(Text("sms", "welcome"), PHONES[2], now=clock.now - timedelta(day), inbound="campaign/1")
        )
    store.database.run("update outbox set state = 'delivered', attempts = 1, worker = 'w', tried = 1")
    store.database.run("update request set open = 0, state = 'done', stopped = 1 where open = 1")
    if not days:
        for phone in PHONES[1:3]:
            keeper.forget(phone, Staff("asha", "centre"), "asked", clock())
    for day in range(1, days + 1):
        clock.wait(timedelta(days=1))
        if day in (7, 30, 90, 365):  # somebody who goes on, by SMS
            gateway.hop.serve([Inbound(f"later-{day}", "phone", PHONES[1], "sms", "BILL", clock())])
        if days - day < 3:
            keeper.purge(clock())
    assert check(store, clock()) == []

    if store.database.name == "postgres":
        server: Server = request.getfixturevalue("postgres")
        monkeypatch.setenv("PATH", f"{server.programs}:{os.environ['PATH']}")
        store.database.backup(tmp_path / "copy")
        restore(server.database("anew"), tmp_path / "copy", replace=False)
    else:
        store.database.backup(tmp_path / "copy")
        restore(f"sqlite:///{tmp_path}/anew.db", tmp_path / "copy", replace=False)


def test_on_postgresql(postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{postgres.programs}:{os.environ['PATH']}")
    gateway = open_gateway(postgres.database("kept", template="ready"))
    town.build(gateway.store)
    talk(gateway.hop, 20)
    hops = gateway.store.count("inbound")
    assert isinstance(gateway.store.database, PostgreSQL)
    have = gateway.store.database._have

    def interrupted(*command: str) -> None:
        have(*command)
        assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("copy.dump.part", 0o600)]
        raise OSError("the cable was pulled")

    with monkeypatch.context() as broken:
        broken.setattr(gateway.store.database, "_have", interrupted)
        with pytest.raises(OSError, match="the cable was pulled"):
            gateway.store.database.backup(tmp_path / "copy.dump")
    assert not list(tmp_path.iterdir()), "a broken backup never has the name of a whole one"
    gateway.store.database.backup(tmp_path / "copy.dump")
    assert (tmp_path / "copy.dump").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError, match="the database is not empty"):
        restore(postgres.url("kept"), tmp_path / "copy.dump", replace=True)
    gateway.store.close()

    assert restore(postgres.database("anew"), tmp_path / "copy.dump", replace=False) is None
    restored = open_store(postgres.url("anew"))
    assert restored.count("inbound") == hops
    restored.close()


def test_a_large_town_on_postgresql_may_take_its_time(postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{postgres.programs}:{os.environ['PATH']}")
    monkeypatch.setattr("gateway.store.postgres.DEADLINE_SECONDS", 0.4)
    store = open_store(postgres.database("kept", template="ready"))
    store.database.backup(tmp_path / "copy.dump")
    store.close()

    def slow_check(store: Store, now: datetime) -> list[str]:
        store.database.rows("select pg_sleep(0.8)")
        return check(store, now)

    monkeypatch.setattr("gateway.backup.check", slow_check)
    assert restore(postgres.database("anew"), tmp_path / "copy.dump", replace=False) is None
