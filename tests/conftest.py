"""What several tests share: the town, a gateway over a real SQLite file, and a clock that only the test moves."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import hypothesis
import pytest

from flows.verhoeff import with_check_digit
from gateway import logs
from gateway.app import Gateway, assemble
from gateway.settings import Settings, load
from gateway.store import open_store
from tests import town
from tests.postgres import Server, need_postgres

#: For what must be the same on one file and on PostgreSQL.
BOTH_STORES = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)

# No timing decides a test, and a red run can be repeated: the same examples each time. `--hypothesis-profile search` looks
# further, with new ones.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=5000)
hypothesis.settings.load_profile("same")
# Logged as in production, all of it: what stands in the output of a test is searched (below).
logs.set_up("debug")


#: Nothing of this may stand in any log of the whole run: the town's phones, names and accounts, and every secret of the tests.
CANARIES = (
    *(phone[3:] for phone in town.PHONES.values()),
    *(value for account, deva, latin, *_ in town.CONSUMERS for value in (account, deva, latin)),
    "0123456789abcdef0123456789abcdef", "emulator-key", "test-key",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of tests with one id xdist runs the first only, and nobody hears of it."""
    twice = [nodeid for nodeid, count in Counter(item.nodeid for item in items).items() if count > 1]
    if twice:
        raise pytest.UsageError(f"several tests are called {twice[0]}: only one of them would be run")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that passes fails all the same if its output, and that of the processes it started, told somebody's data."""
    report = yield
    if report.when == "teardown" and report.passed:
        told = "".join(content for _, content in report.sections)
        found = [canary for canary in CANARIES if canary in told]
        if found:
            where = next(line for line in told.splitlines() if found[0] in line)
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} logged {found}: {where[:300]}"
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite tests/scripts/*.txt as the phones show them now")


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = town.BEGIN

    def __call__(self) -> datetime:
        return self.now

    def wait(self, span: timedelta) -> None:
        self.now += span


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running PostgreSQL of our own."""
    need_postgres()
    server = Server()
    try:
        server.create()
        server.start()
        open_store(server.database("ready")).close()
        yield server
    finally:
        server.destroy()


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: a file, or PostgreSQL for tests that are parametrised with BOTH_STORES."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{tmp_path}/town.db"
    server: Server = request.getfixturevalue("postgres")
    return server.database("town", template="ready")


@pytest.fixture
def settings(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    return load(
        database=database,
        demo=True,
        at_username="sandbox",
        at_api_key="test-key",
        webhook_secrets=["0123456789abcdef0123456789abcdef"],
        kannel_url="http://127.0.0.1:9",
        kannel_password="kannel-password",
        mobileseva_username="SBPDCL-BIHAR",
        mobileseva_url="http://127.0.0.1:9/esms/sendsmsrequestDLT",
        mobileseva_prefixes=["BR", "BIJLI"],
        ussd_platforms={
            "last-input": {
                "reads": "json", "sequence": "seq", "media": "application/json", "septets": 156, "units": 76,
                "answer": '{"sessionId":"$session","type":"$kind","message":"$page"}',
            },
        },
    )  # fmt: skip


@pytest.fixture
def gateway(settings: Settings, clock: Clock) -> Iterator[Gateway]:
    """The product as it starts, over a real file, with the small town, a still clock and countable tickets."""
    made = assemble(settings)
    town.build(made.store)
    tickets = (with_check_digit(str(4_000_000 + n)) for n in itertools.count(1))
    yield replace(made, hop=replace(made.hop, clock=clock, ticket=lambda: next(tickets)))
    made.store.close()
