"""Real Kannel for the tests: both boxes over a configuration as `gateway kannel-config` prints it, started again when they end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from gateway.kannel_config import configuration
from gateway.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"
FAKESMSC = "/usr/lib/kannel/test/fakesmsc"


def need_kannel() -> None:
    """Skip where Kannel is not installed; in CI, where nothing may be skipped, fail."""
    if shutil.which("bearerbox") and Path(FAKESMSC).exists():
        return
    why = "Kannel is not installed: apt-get install kannel kannel-extras"
    if os.environ.get("GATEWAY_TESTS_SKIP_NOTHING"):
        pytest.fail(why)
    pytest.skip(why)


def free_ports(count: int) -> int:
    """The first of some free ports in a row."""
    while True:  # below those the kernel lends to clients: a box that is being started again must find its own still free
        first = random.randrange(15000, 32000 - count)
        if all(map(_free, range(first, first + count))):
            return first


def answers(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))  # the fake SMSC listens on all addresses
        except OSError:
            return False
        return True


class Boxes:
    """bearerbox and smsbox, kept up as the printed configuration tells systemd to: each is started again when it ends, and smsbox
    is killed when bearerbox has ended, under which it often hangs and never says so. `deaths` counts bearerbox's and smsbox's."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        for name in ("spool", "reports", "log"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "kannel.conf").write_text(configuration(settings), encoding="ascii")
        self._ready = {"bearerbox": settings.kannel_port + 1, "smsbox": int(settings.kannel_url.rpartition(":")[2])}
        self._boxes: dict[str, subprocess.Popen[bytes]] = {}
        self.deaths = Counter[str]()
        self._stopped = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="kannel")

    def __enter__(self) -> Boxes:
        self._supervisor.start()
        try:
            self.wait_ready()
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._supervisor.join()
        for box in reversed(self._boxes.values()):
            box.send_signal(signal.SIGTERM)
            try:
                box.wait(5)
            except subprocess.TimeoutExpired:
                box.kill()
                box.wait()

    def wait_ready(self) -> None:
        """Until both boxes take connections."""
        for port in self._ready.values():
            until = time.monotonic() + 60
            while not answers(port):
                if time.monotonic() > until:
                    log = "\n".join(path.read_text(errors="replace") for path in self.folder.glob("log/*.log"))
                    raise AssertionError(f"Kannel does not start: {log[-2000:]}")
                time.sleep(0.05)

    def kill(self, name: str) -> None:
        """kill -9, as the kernel does when memory is short."""
        self._boxes[name].kill()

    def _supervise(self) -> None:
        while not self._stopped.wait(0.1):
            if self._has_ended("bearerbox") and "smsbox" in self._boxes:
                self._boxes["smsbox"].kill()
                self._boxes["smsbox"].wait()
            for name in ("bearerbox", "smsbox"):
                if self._has_ended(name) and (name == "bearerbox" or answers(self._ready["bearerbox"])):
                    self.deaths[name] += name in self._boxes
                    with (self.folder / f"{name}.out").open("ab") as out:
                        self._boxes[name] = subprocess.Popen(
                            [name, "-v", "2", "kannel.conf"], cwd=self.folder, stdout=out, stderr=out
                        )

    def _has_ended(self, name: str) -> bool:
        return name not in self._boxes or self._boxes[name].poll() is not None
