"""What a hop costs in a small and in a large town, on both stores, in groups of 64, in one run.

    python -m tests.bench.sizes [--large 2000000] [--rounds 3]

CPU time, the database server's included, so that a machine with other work tells the truth too. Every phone has spoken before,
so that the same is asked of both sizes. The full-text search, which no hop reads, is left out of the large file to save time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from flows.records import Conversation
from gateway.app import Gateway, assemble
from gateway.records import Inbound
from gateway.settings import load
from gateway.store.sql import _encode
from tests import town
from tests.bench.load import SESSIONS
from tests.postgres import Server

SMALL, GROUP, GROUPS = 22_500, 64, 60
BEGIN = town.BEGIN
_seeds = itertools.count()

#: One consumer with a bill, a phone and a conversation for each number of `n`.
TOWN = (
    """insert into consumer (account, name_deva, name_latin, meter, area, pin, section, feeder, transformer, category, load)
       select {account}, 'रमेश कुमार', 'Ramesh Kumar', {account}, 'urban', '802101', 'S1', 'F1', 'T' || (n / 150), 'DS-II', 2000 from {n}""",
    """insert into bill select {account}, '2026-05-01', {account}, '2026-06-05', '2026-05-01', 124000, 124000, 0, 0, 10, 20, 10, 'OK', 0
       from {n}""",
    "insert into link select {phone}, {account}, 1, 'reader', 1 from {n}",
    "insert into conversation (phone, data, seen) select {phone}, replace('{said}', '{someone}', {phone}), 1 from {n}",
)
NUMBERS = {
    "sqlite": "(with recursive s(n) as (select 1 union all select n + 1 from s where n < {size}) select n from s)",
    "postgres": "(select n from generate_series(1, {size}) n) numbers",
}
DIGITS = {"sqlite": "substr('{pad}' || n, -{width})", "postgres": "lpad(n::text, {width}, '0')"}


def fill(gateway: Gateway, size: int) -> None:
    """A town of so many consumers."""
    database = gateway.store.database
    digits = {width: DIGITS[database.name].format(width=width, pad="0" * width) for width in (7, 9)}
    words = {
        "n": NUMBERS[database.name].format(size=size), "account": digits[9], "phone": f"'+91555' || {digits[7]}",
        "said": _encode(Conversation("SOMEONE", lang="hi")).decode(), "someone": "SOMEONE",
    }  # fmt: skip
    with database.unhurried(), gateway.store.write():
        if database.name == "sqlite":
            for (trigger,) in database.rows("select name from sqlite_master where type = 'trigger' and tbl_name = 'consumer'"):
                database.run(f"drop trigger {trigger}")
        else:
            database.run("drop index consumer_words")
        for statement in TOWN:
            database.run(statement.format(**words))
    with database.unhurried():
        database.run("analyze" if database.name == "sqlite" else "vacuum analyze")
        if database.name == "postgres":
            database.run("checkpoint")


def talk(phones: int) -> Iterator[Inbound]:
    """Endless hops of one connection, as tests.bench.load makes them."""
    chance = random.Random(next(_seeds))
    while True:
        phone, session = f"+91555{chance.randrange(1, phones + 1):07d}", f"{chance.getrandbits(128):032x}"
        for text in chance.choice(SESSIONS):
            yield Inbound(f"{session}/{text}", "phone", phone, "ussd", text, BEGIN, session, lost=bool(text))


def measure(gateway: Gateway, talks: list[Iterator[Inbound]], server: Server | None) -> tuple[float, float, float]:
    """Microseconds a hop takes: of our CPU, of the server's, and by the clock."""
    hops, own, theirs, began = 0, time.process_time(), served(server), time.perf_counter()
    for _ in range(GROUPS):
        group = {inbound.phone: inbound for inbound in map(next, talks)}
        gateway.hop.serve(list(group.values()))
        hops += len(group)
    own, theirs, took = time.process_time() - own, served(server) - theirs, time.perf_counter() - began
    return own / hops * 1e6, theirs / hops * 1e6, took / hops * 1e6


def served(server: Server | None) -> float:
    """CPU seconds of the server's processes that serve us (not of those that tidy up after the filling)."""
    if server is None:
        return 0.0
    first = (server.data / "postmaster.pid").read_text().split()[0]
    ticks = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields, command = (path / "stat").read_text().rpartition(")")[2].split(), (path / "cmdline").read_text()
        except OSError:
            continue
        if fields[1] == first and " town" in command and "autovacuum" not in command:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    server = Server({"shared_buffers": "512MB", "max_connections": "20", "max_wal_size": "8GB"})
    server.create()
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            print("| store | consumers | our CPU a hop | the server's | by the clock | CPU to the small town |")
            print("|---|---|---|---|---|---|")
            for name, of in (("SQLite", None), ("PostgreSQL", server)):
                sizes, gateways, talks = (SMALL, options.large), [], []
                for size in sizes:
                    url = server.database(f"town{size}") if of else f"sqlite:///{folder}/town{size}.db"
                    gateway = assemble(load(_env_file=None, database=url, demo=True))
                    fill(gateway, size)
                    gateways.append(gateway)
                    talks.append([talk(size) for _ in range(GROUP)])
                    measure(gateway, talks[-1], of)
                rounds = [
                    [measure(gateway, said, of) for gateway, said in zip(gateways, talks, strict=True)]
                    for _ in range(options.rounds)
                ]
                ratio = statistics.median(sum(large[:2]) / sum(small[:2]) for small, large in rounds)
                for place, size in enumerate(sizes):
                    own, theirs, clock = (statistics.median(one[place][part] for one in rounds) for part in range(3))
                    to = "1" if place == 0 else f"{ratio:.2f}"
                    print(f"| {name} | {size:,} | {own:.0f} us | {theirs:.0f} us | {clock:.0f} us | {to} |", flush=True)
                    gateways[place].store.close()
    finally:
        server.destroy()


if __name__ == "__main__":
    main()
