"""The desk over 2,000,000 consumers and 500,000 requests: how long the today page, the list and the search take to answer.

`python -m tests.bench.desk [--store sqlite|postgres] [--consumers N] [--requests N]`, some minutes a store with the defaults,
most of them for filling it. Pages are asked for through the application, one after the other, as a browser would.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.casework import CASES, stops
from flows.verhoeff import with_check_digit
from gateway.app import Gateway, assemble
from gateway.desk import make_desk
from gateway.desk.routes import desk_routes
from gateway.settings import load
from gateway.staff import Staff
from gateway.store.sqlite import SQLite
from tests.postgres import Server

NAMES = ("रमेश Ramesh", "सुनीता Sunita", "इरफ़ान Irfan", "प्रज्ञा Pragya", "राजेन्द्र Rajendra", "कृष्णा Krishna", "शत्रुघ्न Shatrughna",
         "फूलमती Phoolmati", "लक्ष्मण Lakshman", "विजय Vijay", "गीता Geeta", "मुन्नी Munni")  # fmt: skip
FAMILIES = ("कुमार Kumar", "देवी Devi", "अंसारी Ansari", "सिंह Singh", "यादव Yadav", "ठाकुर Thakur", "राम Ram", "मिश्र Mishra",
            "प्रसाद Prasad", "चौबे Chaubey")  # fmt: skip
SECTIONS = 400
#: How many of the requests are still worked on, and how often each page is asked for.
OPEN, TIMES = 0.06, 60
#: A PostgreSQL of a small company's size; what it is filled with need not outlive the bench.
POSTGRES = {"shared_buffers": "1GB", "fsync": "off", "synchronous_commit": "off", "max_wal_size": "8GB", "autovacuum": "off"}
#: The goal: 95 of 100 answers within this.
GOAL_MS = 200


class Seated:
    """Whoever asks sits at the desk."""

    def __init__(self, app: ASGIApp, staff: Staff) -> None:
        self.app, self.staff = app, staff

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            scope.setdefault("state", {}).update(staff=self.staff, csrf="bench", session="bench")
        await self.app(scope, receive, send)


def consumers(count: int, chance: random.Random) -> Iterator[tuple[object, ...]]:
    """Rows for `consumer`."""
    for n in range(count):
        first, last = chance.choice(NAMES).split(), chance.choice(FAMILIES).split()
        place = n % SECTIONS
        yield (f"{100_000_000 + n}", f"{first[0]} {last[0]}", f"{first[1]} {last[1]}", f"SB{n:08d}", "urban" if place % 2 else "rural",
               f"80{place:04d}", f"S{place}", f"F{place}", f"T{n // 100}", "DS-II", 2000)  # fmt: skip


def requests(count: int, people: int, chance: random.Random) -> Iterator[tuple[object, ...]]:
    """Rows for `request`: three years of them, the newest open."""
    now = round(time.time() * 1000)
    services = [service for service in CASES if service != "transformer"]
    for n in range(count):
        service, account = chance.choice(services), (n * 7919) % people
        case, open_ = CASES[service], n > count * (1 - OPEN)
        filed = now - round((1 - n / count) * 3 * 365 * 86_400_000)
        state = chance.choice(case.path[:-1]) if open_ else case.path[-1]
        yield (with_check_digit(f"{1_000_000 + n}"), service, state, int(open_), f"{100_000_000 + account}", f"91{n:09d}"[-4:],
               f"+9191{n:08d}", filed, filed, filed + chance.choice((1, 7, 15, 60)) * 86_400_000, int(chance.random() < 0.1),
               filed if stops(service, state) else 0, f"S{account % SECTIONS}", json.dumps({"name": "Geeta Devi"}), f"b{n}")  # fmt: skip


def fill(gateway: Gateway, people: int, count: int) -> None:
    """Fill an empty store."""
    database, chance = gateway.store.database, random.Random(5)
    if isinstance(database, SQLite):  # filled in one go, not as a living town is
        database.run("pragma synchronous=off")
        database.utils.table("consumer").disable_fts()
    else:
        database.run("alter table consumer drop column words")
    rows = consumers(people, chance)
    while group := list(itertools.islice(rows, 50_000)):
        with gateway.store.write():
            database.many(
                """insert into consumer (account, name_deva, name_latin, meter, area, pin, section, feeder, transformer, category, load)
                   values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                group,
            )
    rows = requests(count, people, chance)
    while group := list(itertools.islice(rows, 50_000)):
        with gateway.store.write():
            database.many(
                """insert into request (ticket, service, state, open, account, tail, phone, filed, since, due, priority, stopped, section,
                   details, inbound, asset, pin, unverified) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 0)
                   on conflict do nothing""",
                group,
            )
    for number in range(SECTIONS):
        with gateway.store.write():
            database.run(
                "insert into section (code, name_deva, name_latin, area) values (?, ?, ?, 'urban')",
                (f"S{number}", f"प्रशाखा {number}", f"Section {number}"),
            )
    with database.unhurried():
        database.enable_search()
        if not isinstance(database, SQLite):
            database.run("vacuum analyze")  # as autovacuum does in a living town
    if isinstance(database, SQLite):
        database.run("pragma synchronous=full")


@contextmanager
def empty(store: str) -> Iterator[str]:
    """The URL of an empty database: a file, or a PostgreSQL of our own."""
    if store == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/bench.db"
        return
    server = Server(POSTGRES)
    try:
        server.create()
        server.start()
        yield server.database("desk")
    finally:
        server.destroy()


def main() -> None:
    """Fill, ask, print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--consumers", type=int, default=2_000_000)
    asked.add_argument("--requests", type=int, default=500_000)
    asked.add_argument("--store", choices=("sqlite", "postgres"), action="append")
    given = asked.parse_args()
    for store in given.store or ("sqlite", "postgres"):
        with empty(store) as url:
            gateway = assemble(load(_env_file=None, demo=True, database=url))
            began = time.monotonic()
            fill(gateway, given.consumers, given.requests)
            took = time.monotonic() - began
            print(f"{store}: {given.consumers} consumers and {given.requests} requests filled in {took:.0f} s")
            _ask(gateway)
            gateway.store.close()


def _ask(gateway: Gateway) -> None:
    desk = make_desk(gateway, lambda: None)
    chance = random.Random(6)
    everything, section = Staff("b", "supervisor", ("*",), "hi"), Staff("s", "section", ("S7",), "hi")

    def any_of(*made: Callable[[], str]) -> Callable[[], str]:
        return lambda: chance.choice(made)()

    tickets = [row[0] for row in gateway.store.database.rows("select ticket from request where open = 1 limit 5000")]
    name = any_of(
        *(
            lambda pair=pair: pair
            for first in NAMES[:6]
            for pair in (f"{first.split()[0]} {FAMILIES[1].split()[0]}", first.split()[1])
        )
    )
    pages: dict[str, tuple[Staff, Callable[[], str]]] = {
        "today": (everything, lambda: "/desk/"),
        "today, one section": (section, lambda: "/desk/"),
        "list": (everything, lambda: f"/desk/requests?page={chance.randint(1, 5)}"),
        "list, late": (everything, lambda: "/desk/requests?show=late"),
        "list, by filters": (everything, lambda: f"/desk/requests?service={chance.choice(list(CASES))}&section=S{chance.randint(0, 399)}&show=all"),
        "list, one section": (section, lambda: "/desk/requests?show=waiting"),
        "search, ticket": (everything, lambda: f"/desk/requests?show=all&q={chance.choice(tickets)}"),
        "search, CA": (everything, lambda: f"/desk/requests?show=all&q={100_000_000 + chance.randrange(100_000)}"),
        "search, phone": (everything, lambda: f"/desk/requests?show=all&q={chance.randint(1000, 9999)}"),
        "search, name": (everything, lambda: f"/desk/requests?show=all&q={name()}"),
        "a request": (everything, lambda: f"/desk/requests/{chance.choice(tickets)}"),
    }  # fmt: skip
    print(f"{'page':22} {'p50 ms':>8} {'p95 ms':>8} {'CPU ms':>8}")
    missed = []
    for label, (staff, path) in pages.items():
        with TestClient(Seated(Starlette(routes=[Mount("/desk", routes=desk_routes(desk))]), staff)) as client:
            took = []
            worked = time.process_time()
            for _ in range(TIMES):
                asked = path()
                began = time.perf_counter()
                answer = client.get(asked, follow_redirects=False)
                took.append((time.perf_counter() - began) * 1000)
                assert answer.status_code in (200, 303), answer.text
        p95 = statistics.quantiles(took, n=20)[-1]
        print(f"{label:22} {statistics.median(took):8.1f} {p95:8.1f} {(time.process_time() - worked) * 1000 / TIMES:8.1f}")
        if p95 > GOAL_MS:
            missed.append(label)
    print(f"goal {GOAL_MS} ms at p95: " + (f"missed by {', '.join(missed)}" if missed else "kept by all"))


if __name__ == "__main__":
    main()
