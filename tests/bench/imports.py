"""Rows per second of `gateway import consumers` beside plain sqlite3 executemany of the same rows, in pairs, in one run.

    python -m tests.bench.imports [--large]

With --large also 2,000,000 rows. The plain side is what nobody would run beside live traffic: one transaction, no reading of a
file, no checks, no full-text index; it stands for the disk and the machine. A second plain side has the index's triggers too.
While an import runs, another process commits small transactions as live traffic does; its longest wait is printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

from gateway.intake import import_file
from gateway.store import open_store

COLUMNS = "CANumber,ConsumerName,NameHindi,Address,MeterNo,LT_HT,PinCode,SubDivision,Feeder,DTR,Category,SanctionedLoad,Phases"


def rows(count: int) -> Iterator[tuple[str, ...]]:
    """Consumers with Hindi names, in the order of COLUMNS."""
    for number in range(count):
        yield (f"{100000000 + number}", f"Ramesh Kumar {number % 500}", f"रमेश कुमार {number % 500}", f"Ward {number % 40}, Buxar",
               f"SB{number:08}", "URBAN", "802101", "S1", f"F{number % 90}", f"T{number % 900}", "DS-II", "2 kW", "1")  # fmt: skip


def write_file(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(COLUMNS + "\n")
        file.writelines(",".join(f'"{cell}"' if "," in cell else cell for cell in row) + "\n" for row in rows(count))


def plain(folder: Path, count: int, *, search: bool) -> float:
    """Seconds for executemany into an empty consumer table."""
    path = folder / f"plain-{count}-{search}.db"
    open_store(f"sqlite:///{path}").close()
    database = sqlite3.connect(path)
    database.execute("pragma synchronous=full")
    if not search:
        for (name,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f"drop trigger [{name}]")
    began = time.perf_counter()
    with database:
        database.executemany(
            """insert into consumer (account, name_latin, name_deva, address_latin, meter, area, pin, section, feeder, transformer,
               category, load, phases) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            ((*row[:5], "urban", *row[6:11], 2000, 1) for row in rows(count)),
        )
    took = time.perf_counter() - began
    database.close()
    path.unlink()
    return took


def live(path: str, stop: Event, felt: Queue[tuple[int, float, float]]) -> None:
    """Small commits, one every 20 ms, until stopped: how many, the longest wait, and the wait that 99 in 100 stay under."""
    store = open_store(path)
    waits = []
    while not stop.is_set():
        began = time.perf_counter()
        with store.write():
            store.database.run("insert into phone_event values ('+915550000001', 0, 'bench', '')")
        waits.append(time.perf_counter() - began)
        time.sleep(0.02)
    waits.sort()
    felt.put((len(waits), waits[-1], waits[len(waits) * 99 // 100]))


def imported(folder: Path, count: int, *, traffic: bool) -> tuple[float, tuple[int, float, float]]:
    """Seconds for the import into an empty store, and what live traffic felt."""
    path, url = folder / "in.csv", f"sqlite:///{folder}/import-{count}-{traffic}.db"
    store = open_store(url)
    stop = multiprocessing.Event()
    felt: Queue[tuple[int, float, float]] = multiprocessing.Queue()
    other = multiprocessing.Process(target=live, args=(url, stop, felt))
    if traffic:
        other.start()
    began = time.perf_counter()
    report = import_file(store, "consumers", path)
    took = time.perf_counter() - began
    stop.set()
    if traffic:
        other.join()
    assert report.counts.new == store.count("consumer") == count
    store.close()
    return took, felt.get() if traffic else (0, 0.0, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="2,000,000 rows too")
    sizes = [22_500, 200_000, *([2_000_000] if parser.parse_args().large else [])]
    print(
        "|      rows | executemany | with search | import | x executemany | x with search | rows/s | beside traffic: longest, p99 wait |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for count in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_file(folder / "in.csv", count)
            bare, search = (plain(folder, count, search=with_search) for with_search in (False, True))
            took, _ = imported(folder, count, traffic=False)
            busy, (commits, longest, usual) = imported(folder, count, traffic=True)
            print(
                f"| {count:9,} | {bare:.2f} s | {search:.2f} s | {took:.1f} s | {took / bare:.1f} | {took / search:.1f} "
                f"| {count / took:,.0f} | import {busy:.1f} s, {commits} commits: {1000 * longest:.0f} ms, {1000 * usual:.0f} ms |",
                flush=True,
            )


if __name__ == "__main__":
    main()
