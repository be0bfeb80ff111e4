"""Whatever is killed, whenever: nothing acknowledged is lost, nothing is done twice. The longest tests there are: three minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.driver import Driver
from tests.postgres import LASTING, Server, need_postgres


@pytest.mark.xdist_group("crash")
def test_sixty_kills_in_twelve_thousand_hops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    findings = Driver(tmp_path, hops=12_000, kills=60).run()
    print(findings)
    assert findings.faults == []
    assert (findings.hops, findings.kills.total(), findings.checks) == (12_000, 60, 61)
    assert findings.sent > 2_000


@pytest.mark.xdist_group("crash")
def test_fifteen_kills_of_postgresql_and_its_clients_in_three_thousand_hops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_postgres()
    monkeypatch.chdir(tmp_path)
    server = Server(LASTING)
    try:
        server.create()
        server.start()
        findings = Driver(tmp_path, hops=3_000, kills=15, phones=300, server=server).run()
    finally:
        server.destroy()
    print(findings)
    assert findings.faults == []
    assert (findings.hops, findings.kills.total(), findings.checks) == (3_000, 15, 16)
    assert findings.sent > 500
