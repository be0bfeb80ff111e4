"""A disk that is full: nothing is half done, people are told, and service is back as soon as there is room."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gateway.app import Gateway, assemble, make_app
from gateway.check import check
from gateway.records import Inbound
from gateway.settings import load
from gateway.store.invariants import Invariant
from gateway.store.queue import Queue
from gateway.upkeep import Purging, Upkeep
from gateway.workers import Work
from tests import town
from tests.conftest import Clock

SECRET = "0123456789abcdef0123456789abcdef"
USSD = {"phoneNumber": town.PHONES["one"], "networkCode": "99999", "serviceCode": "*384*1912#", "text": ""}
SMS = {"date": "2026-05-25 04:30:00", "from": town.PHONES["one"], "to": "56161", "text": "BILL"}
MEGABYTE = 1_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(place)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a disk of 24 MB needs the right to mount: run the tests as root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def small(disk: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """The product on that disk."""
    monkeypatch.chdir(disk)
    made = assemble(load(database=f"sqlite:///{disk}/town.db", at_username="sandbox", at_api_key="x", webhook_secrets=[SECRET]))
    town.build(made.store)
    yield made
    made.store.close()


def fill(disk: Path) -> Path:
    """Not a byte more fits."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MEGABYTE, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


def test_full_and_free_again(small: Gateway, disk: Path) -> None:
    with TestClient(make_app(small, send=False)) as web:

        def bring(number: int) -> tuple[str, int]:
            ussd = web.post(f"/in/africastalking/{SECRET}/ussd", data={**USSD, "sessionId": f"ATUid_{number}"})
            assert ussd.status_code == 200
            kind = "busy" if "retry-after" in ussd.headers else "page"
            assert ussd.text.startswith("END " if kind == "busy" else "CON ")
            return kind, web.post(f"/in/africastalking/{SECRET}/sms", data={**SMS, "id": str(number)}).status_code

        assert bring(0) == ("page", 200)
        ballast = fill(disk)
        told = [bring(number) for number in range(1, 60)]
        assert told[-1] == ("busy", 503), "what still fits into the file's own pages may be taken, the rest not"
        kept = small.store.database.rows("select count(*) from inbound where channel = 'sms'")[0][0]
        assert kept == 1 + sum(status == 200 for _, status in told)
        assert check(small.store, town.BEGIN) == [], "reading goes on, and nothing is half done"
        ready = web.get("/readyz")
        assert (ready.status_code, ready.text) == (200, "the disk is full: people are told to try again\n")

        ballast.unlink()
        began = time.monotonic()
        assert bring(1000) == ("page", 200)
        assert web.get("/readyz").text == "ok\n"
        assert time.monotonic() - began < 10
        assert [bring(number) for number in range(1, 60)] == [("page", 200)] * 59, "what was refused is taken when it comes again"
        assert check(small.store, town.BEGIN) == []
        assert small.store.database.rows("select count(*) from inbound where channel = 'sms'") == [(61,)]


def test_the_alarm_comes_before_and_the_reserve_gives_room(small: Gateway, disk: Path, clock: Clock) -> None:
    upkeep = Upkeep(small.store, clock, low=6 * MEGABYTE, reserve=4 * MEGABYTE)
    queue, reserve = Queue(small.store), disk / "town.db.reserve"
    upkeep.look_at_disk()
    assert (queue.alarms(), reserve.stat().st_size) == ([], 4 * MEGABYTE)
    assert reserve.stat().st_blocks * 512 >= 4 * MEGABYTE, "the room is really taken"

    ballast = disk / "half"
    ballast.write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - 5 * MEGABYTE))
    upkeep.look_at_disk()
    assert [alarm.kind for alarm in queue.alarms()] == ["disk"]
    assert reserve.exists(), "not needed yet"

    fill(disk)
    upkeep.look_at_disk()
    assert not reserve.exists()
    with small.store.write():
        small.store.database.run("insert into upkeep values ('there is room', 0)")
    for file in (ballast, disk / "ballast"):
        file.unlink()
    upkeep.look_at_disk()
    assert (queue.alarms(), reserve.exists()) == ([], True)


def test_the_alarm_does_not_outlive_the_trouble(gateway: Gateway, clock: Clock) -> None:
    """The disk was enlarged while the worker was stopped."""
    queue = Queue(gateway.store)
    Upkeep(gateway.store, clock, low=10**18, reserve=MEGABYTE).look_at_disk()
    assert [alarm.kind for alarm in queue.alarms()] == ["disk"]
    Upkeep(gateway.store, clock, low=1, reserve=MEGABYTE).look_at_disk()
    assert queue.alarms() == []


def test_the_nightly_check(gateway: Gateway, clock: Clock) -> None:
    upkeep = Upkeep(gateway.store, clock, low=0, reserve=MEGABYTE)
    queue, times = Queue(gateway.store), gateway.store.database
    with gateway.store.write():
        times.run("update link set account = 'nowhere' where phone = ?", (town.PHONES["one"],))
    upkeep.check_if_due()
    assert queue.alarms() == [], "it is morning"
    clock.wait(timedelta(hours=17))  # 03:00 in India
    upkeep.check_if_due()
    assert [(alarm.kind, alarm.why) for alarm in queue.alarms()] == [("check", "1 faults: run `gateway check`")]
    with gateway.store.write():
        times.run("delete from link where account = 'nowhere'")
    upkeep.check_if_due()
    assert len(queue.alarms()) == 1, "once a night"
    clock.wait(timedelta(days=1))
    upkeep.check_if_due()
    assert queue.alarms() == []


def test_the_nightly_purge(gateway: Gateway, clock: Clock) -> None:
    purging, stop = Purging(gateway.store, gateway.settings, clock), threading.Event()
    gateway.hop.serve([Inbound("u1", "phone", town.PHONES["one"], "ussd", "", clock(), "u")])
    clock.wait(timedelta(days=31))
    purging.purge_if_due(stop)
    assert gateway.store.count("inbound") == 1, "it is morning"
    clock.wait(timedelta(hours=17))  # 03:00 in India
    purging.purge_if_due(stop)
    assert gateway.store.count("inbound") == 0
    gateway.hop.serve([Inbound("u2", "phone", town.PHONES["one"], "ussd", "", clock() - timedelta(days=40), "v")])
    purging.purge_if_due(stop)
    assert gateway.store.count("inbound") == 1, "once a night"
    assert any(isinstance(work, Purging) for work in works(gateway))


def works(gateway: Gateway) -> list[Work]:
    """What the worker does."""
    made: list[Work] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.app.Workers", made.extend)
        gateway.workers()
    return made


def test_a_check_that_cannot_be_run_is_an_alarm(gateway: Gateway, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise TimeoutError("canceling statement due to statement timeout")

    upkeep, queue = Upkeep(gateway.store, clock, low=0, reserve=MEGABYTE), Queue(gateway.store)
    clock.wait(timedelta(hours=17))
    with monkeypatch.context() as night:
        night.setattr("gateway.upkeep.check", broken)
        with pytest.raises(TimeoutError):
            upkeep.check_if_due()
    assert [(alarm.kind, alarm.why) for alarm in queue.alarms()] == [
        ("check", "it could not be run (TimeoutError): run `gateway check`")
    ]
    clock.wait(timedelta(days=1))
    upkeep.check_if_due()
    assert queue.alarms() == []


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_the_nightly_check_of_a_large_store_takes_its_time(
    gateway: Gateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.postgres.DEADLINE_SECONDS", 0.5)
    gateway.store.close()  # and opened anew with less patience
    large = Invariant("a.large.table", "looked through", "select '' from (select pg_sleep(2) as slow) as l where slow is null")
    monkeypatch.setattr("gateway.check.INVARIANTS", (large,))
    clock.wait(timedelta(hours=17))
    Upkeep(gateway.store, clock, low=0, reserve=MEGABYTE).check_if_due()
    assert Queue(gateway.store).alarms() == []
