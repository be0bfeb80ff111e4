"""The demo as a newcomer starts it: a process of its own, started, stopped and started again."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
PATIENCE = 60


@contextmanager
def run(folder: Path, port: int) -> Iterator[tuple[str, str]]:
    """`gateway run` in a folder: the line it prints, and where the page is. Stopped as by Ctrl-C, without a word."""
    environment = {**os.environ, "GATEWAY_PORT": str(port), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "gateway", "run"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline(), f"http://127.0.0.1:{port}/phone/"
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE)
    assert rest == ""
    assert "Traceback" not in (folder / "log").read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def arrived(page: str, phone: str) -> list[str]:
    """The messages in a phone's inbox, once there are any."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = httpx2.get(f"{page}api/inbox", params={"phone": phone}).json()
        if found:
            return [message["text"] for message in found]
        time.sleep(0.05)
    raise AssertionError("no message came")


def test_what_is_needed_is_locked() -> None:
    """A fresh clone installs the locked packages only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {"requirements.txt": project["dependencies"], "requirements-dev.txt": project["optional-dependencies"]["dev"]}
    for name, requirements in needed.items():
        locked = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / name).read_text(), re.M))
        names = {re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-") for requirement in requirements}  # type: ignore[index]
        assert names <= locked, f"{name} lacks {sorted(names - locked)}: make lock"


def test_started_stopped_and_started_again(tmp_path: Path) -> None:
    port, phone = free_port(), "+915550000001"
    with run(tmp_path, port) as (line, page):
        assert page in line
        assert httpx2.get(page).status_code == 200
        assert httpx2.post(f"{page}api/sms", json={"phone": phone, "text": "बिल"}).status_code == 200
        first = arrived(page, phone)
        second = subprocess.run(
            [sys.executable, "-m", "gateway", "run"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env={**os.environ, "GATEWAY_PORT": str(port), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert second.returncode
        assert second.stderr.strip() == f"gateway: GATEWAY_PORT: 127.0.0.1:{port} cannot be listened at: Address already in use"
        assert second.stdout == ""
    assert "Building the demo town" in (tmp_path / "log").read_text()
    with run(tmp_path, port) as (line, page):
        assert page in line
        assert arrived(page, phone) == first
    assert (tmp_path / "log").read_text() == ""
