"""The power fails at a thousand points of a run: no hop that was acknowledged is lost, and what is found holds together."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.check import check
from gateway.store import Store, open_store
from gateway.store.sqlite import SQLite
from tests import town
from tests.power.replay import ACKNOWLEDGE, Disk, Step, put, read

POINTS = 1_000
#: At one in so many points `gateway check` looks at what is left as well.
CHECKED = 50


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        why = "power loss is recorded by a little C: apt-get install gcc libc6-dev"
        assert not os.environ.get("GATEWAY_TESTS_SKIP_NOTHING"), why
        pytest.skip(why)
    target = tmp_path_factory.mktemp("power") / "shim.so"
    source = Path(__file__).with_name("power") / "shim.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(target), str(source), "-ldl"], check=True)
    return target


def recorded(shim: Path, folder: Path, hops: int, synchronous: str) -> tuple[bytes, list[Step]]:
    """The database before a run, and what the run did to it."""
    database, log = folder / "town.db", folder / "log"
    store = open_store(f"sqlite:///{database}")
    town.build(store)
    store.close()
    assert not Path(f"{database}-wal").exists()
    before = database.read_bytes()
    env = {**os.environ, "LD_PRELOAD": str(shim), "POWER_FILES": str(database), "POWER_LOG": str(log),
           "PYTHONPATH": str(Path(__file__).parents[1])}  # fmt: skip
    command = [sys.executable, "-m", "tests.power.record", f"sqlite:///{database}", str(hops), synchronous]
    subprocess.run(command, env=env, cwd=folder, check=True)
    return before, read(log)


def cuts(before: bytes, steps: list[Step], points: int, chance: random.Random) -> Iterator[Disk]:
    """The disk at some points of the run, half of them right after something was acknowledged."""
    told = [number + 1 for number, step in enumerate(steps) if step.what == ACKNOWLEDGE]
    anywhere = range(told[0], len(steps))
    chosen = {*chance.sample(told, points // 2), *chance.sample(anywhere, points // 2)}
    while len(chosen) < points:
        chosen.add(chance.choice(anywhere))
    disk = Disk({1: bytearray(before)})
    for number, step in enumerate(steps):
        if number in chosen:
            yield disk
        disk.do(step)


def lost(path: Path, acknowledged: set[str]) -> set[str]:
    """What was acknowledged and is not there."""
    with closing(sqlite3.connect(path)) as found:
        return acknowledged - {f"{phone} {id_}" for phone, id_ in found.execute("select phone, id from inbound")}


@pytest.fixture
def memory() -> Iterator[Path]:
    """Where a disk is put together a thousand times."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.xdist_group("power")
def test_nothing_acknowledged_is_lost(shim: Path, tmp_path: Path, memory: Path) -> None:
    before, steps = recorded(shim, tmp_path, hops=2_500, synchronous="full")
    chance, seen = random.Random(1), 0
    for number, disk in enumerate(cuts(before, steps, POINTS, chance)):
        path = put(memory, disk.after_the_cut(chance))
        assert lost(path, disk.acknowledged) == set(), f"point {number}"
        seen += 1
        if number % CHECKED == 0:
            store = Store(SQLite(str(path)))
            assert check(store, town.BEGIN) == [], f"point {number}"
            store.close()
    assert seen == POINTS


@pytest.mark.xdist_group("power")
def test_the_same_without_a_sync_at_each_commit_is_noticed(shim: Path, tmp_path: Path, memory: Path) -> None:
    """That the test above can fail at all: with synchronous=NORMAL what was acknowledged is lost at many points."""
    before, steps = recorded(shim, tmp_path, hops=600, synchronous="normal")
    chance = random.Random(1)
    losses = [lost(put(memory, disk.after_the_cut(chance)), disk.acknowledged) for disk in cuts(before, steps, 100, chance)]
    assert sum(map(bool, losses)) > 10
