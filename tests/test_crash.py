"""Whatever is killed, whenever: nothing acknowledged is lost, nothing is done twice. The longest test there is: two minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.driver import Driver


@pytest.mark.xdist_group("crash")
def test_sixty_kills_in_twelve_thousand_hops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    findings = Driver(tmp_path, hops=12_000, kills=60).run()
    print(findings)
    assert findings.faults == []
    assert (findings.hops, findings.kills.total(), findings.checks) == (12_000, 60, 61)
    assert findings.sent > 2_000
