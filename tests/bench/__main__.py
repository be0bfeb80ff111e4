"""Hops per second of the real webhook beside a bare Starlette route, in one run, each web server on one core.

    python -m tests.bench [--rounds 3] [--seconds 3]

A web server has the first core; the load, and PostgreSQL for the gateway that keeps its town there, have the others (taskset).
In each round every server is loaded once, in turn; ratios are medians over the rounds. The last column is at 70 percent of what
the server managed with 64 connections just before, hops coming at random moments. Both towns are the demo town. Beside them
stand servers of the usual kind (peers/): ussd-menu-builder on express where npm is, Flask with SQLite if the extra `bench` is
installed, and a session engine in memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.postgres import Server, free_port

SECRET = "0123456789abcdef0123456789abcdef"
CORES = sorted(os.sched_getaffinity(0))
PHONES = 20_000

Figures = dict[str, float]


def pinned(cores: list[int], *command: str) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


class Contestant:
    """A web server process on the first core, until the block ends."""

    def __init__(self, name: str, command: list[str], port: int, path: str, **env: str) -> None:
        self.name, self.command, self.port, self.path, self.env = name, command, port, path, env

    def __enter__(self) -> Contestant:
        self.process = subprocess.Popen(pinned(CORES[:1], *self.command), env={**os.environ, **self.env})
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{self.name} did not start")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def load(self, connections: int, seconds: float, rate: float = 0) -> Figures:
        """Load it, as much as it can take or at a rate; its own CPU time a hop in microseconds comes with the figures."""
        told = (self.port, self.path, connections, seconds, PHONES, rate)
        command = [sys.executable, "-m", "tests.bench.load", *map(str, told)]
        before = self._cpu()
        out = subprocess.run(pinned(CORES[1:] or CORES, *command), check=True, capture_output=True, text=True).stdout
        figures: Figures = dict(json.loads(out))
        return figures | {"cpu_us": (self._cpu() - before) / figures["hops"] * 1e6, "memory_mb": self._memory()}

    def calm(self, connections: int, seconds: float) -> Figures:
        """Load it with 70 percent of what it manages just now: on a shared machine the most of a minute ago tells little."""
        return self.load(connections, seconds, 0.7 * self.load(connections, seconds)["per_second"])

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _memory(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def bare() -> Contestant:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.bench.bare:app", "--port", str(port), "--no-access-log",
               "--log-level", "error", "--loop", "uvloop", "--http", "httptools"]  # fmt: skip
    return Contestant("bare Starlette", command, port, "/ussd")


def peers(folder: Path) -> Iterator[Contestant]:
    """Servers as they are usually built; one that cannot be had here is left out with a line."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.bench.peers.in_memory:app", "--port", str(port), "--no-access-log",
               "--log-level", "error", "--loop", "uvloop", "--http", "httptools"]  # fmt: skip
    yield Contestant("engine in memory, Starlette", command, port, "/ussd")
    if importlib.util.find_spec("flask") and importlib.util.find_spec("waitress"):
        port = free_port()
        command = [sys.executable, "-m", "tests.bench.peers.flask_sqlite", str(port), str(folder / "flask.db")]
        yield Contestant("Flask + SQLite, 8 threads", command, port, "/ussd")
    else:
        print("left out: Flask + SQLite; pip install '.[bench]'", file=sys.stderr)
    if shutil.which("npm") and shutil.which("node"):
        source = Path(__file__).parent / "peers" / "menu_builder.js"
        shutil.copy(source, folder / source.name)
        install = ["npm", "install", "--silent", "--no-audit", "--prefix", str(folder), "express@4", "ussd-menu-builder@1.2.0"]
        if subprocess.run(install, capture_output=True, check=False).returncode == 0:
            port = free_port()
            yield Contestant("ussd-menu-builder 1.2.0, express", ["node", str(folder / source.name), str(port)], port, "/ussd")
            return
    print("left out: ussd-menu-builder; it needs node and npm", file=sys.stderr)


def sync_ms(folder: Path) -> float:
    """What it takes now to sync a page that is written over, as a log's is: the least that a hop alone waits for."""
    took = []
    with open(folder / "sync", "w+b", buffering=0) as file:
        for _ in range(2):
            file.seek(0)
            took.clear()
            for _ in range(300):
                file.write(b"." * 4096)
                began = time.perf_counter()
                os.fdatasync(file.fileno())
                took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3


def gateway(name: str, database: str) -> Contestant:
    """The product over an empty database, which is given the demo town."""
    subprocess.run([sys.executable, "-m", "gateway", "demo"], check=True, env={**os.environ, "GATEWAY_DATABASE": database})
    port = free_port()
    return Contestant(
        name, [sys.executable, "-m", "gateway", "web"], port, f"/in/africastalking/{SECRET}/ussd", GATEWAY_DATABASE=database,
        GATEWAY_AT_USERNAME="sandbox", GATEWAY_AT_API_KEY="none", GATEWAY_WEBHOOK_SECRETS=f'["{SECRET}"]',
        GATEWAY_LOG_LEVEL="error", GATEWAY_PORT=str(port),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = Server(
            {"shared_buffers": "256MB", "max_connections": "40"}, ("taskset", "-c", ",".join(map(str, CORES[1:] or CORES)))
        )
        stack.callback(server.destroy)
        server.create()
        server.start()
        contestants = [bare(), gateway("gateway, SQLite", f"sqlite:///{folder}/bench.db"),
                       gateway("gateway, PostgreSQL", server.database("bench")), *peers(Path(folder))]  # fmt: skip
        for contestant in contestants:
            stack.enter_context(contestant)
        print(f"an fdatasync takes {sync_ms(Path(folder)):.2f} ms\n")
        print("| | connections | hops/s | to bare | p50 / p99 ms | CPU us a hop | memory MB | p50 / p99 ms at 70 % |")
        print("|---|---|---|---|---|---|---|---|")
        for connections in (1, 64):
            for contestant in contestants:
                contestant.load(connections, 1)
            rounds = [
                [contestant.load(connections, options.seconds) for contestant in contestants] for _ in range(options.rounds)
            ]
            for place, contestant in enumerate(contestants):
                middle = {key: statistics.median(one[place][key] for one in rounds) for key in rounds[0][0]}
                ratio = statistics.median(one[place]["per_second"] / one[0]["per_second"] for one in rounds)
                steady = ""
                if connections > 1:
                    calm = [contestant.calm(connections, options.seconds) for _ in range(options.rounds)]
                    steady = " / ".join(f"{statistics.median(one[key] for one in calm):.2f}" for key in ("p50_ms", "p99_ms"))
                print(
                    f"| {contestant.name} | {connections} | {middle['per_second']:.0f} | {ratio:.2f} | {middle['p50_ms']:.2f} / "
                    f"{middle['p99_ms']:.2f} | {middle['cpu_us']:.0f} | {middle['memory_mb']:.0f} | {steady} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
