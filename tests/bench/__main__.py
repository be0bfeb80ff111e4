"""Hops per second of the real webhook beside a bare Starlette route, in pairs, on one core each.

    python -m tests.bench [--pairs 5] [--seconds 4]

The server runs on one core and the load on the other (taskset), from a file with the demo town.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SECRET = "0123456789abcdef0123456789abcdef"
CORES = sorted(os.sched_getaffinity(0))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(core: int, *command: str) -> list[str]:
    return ["taskset", "-c", str(core), *command]


class Server:
    """A server process on the first core, until the block ends."""

    def __init__(self, command: list[str], port: int, env: dict[str, str]) -> None:
        self.command, self.port, self.env = command, port, env

    def __enter__(self) -> Server:
        self.process = subprocess.Popen(pinned(CORES[0], *self.command), env={**os.environ, **self.env})
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the server did not start")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def load(self, path: str, connections: int, seconds: float, phones: int) -> dict[str, float]:
        command = [sys.executable, "-m", "tests.bench.load", str(self.port), path, str(connections), str(seconds), str(phones)]
        out = subprocess.run(pinned(CORES[-1], *command), check=True, capture_output=True, text=True).stdout
        return dict(json.loads(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/bench.db"
        settings = {
            "GATEWAY_DATABASE": database, "GATEWAY_AT_USERNAME": "sandbox", "GATEWAY_AT_API_KEY": "none",
            "GATEWAY_WEBHOOK_SECRETS": f'["{SECRET}"]', "GATEWAY_LOG_LEVEL": "error",
        }  # fmt: skip
        subprocess.run([sys.executable, "-m", "gateway", "demo"], check=True, env={**os.environ, "GATEWAY_DATABASE": database})
        ours, theirs = free_port(), free_port()
        path = f"/in/africastalking/{SECRET}/ussd"
        uvicorn = [sys.executable, "-m", "uvicorn", "tests.bench.bare:app", "--port", str(theirs), "--no-access-log",
                   "--log-level", "error", "--loop", "uvloop", "--http", "httptools"]  # fmt: skip
        with (
            Server(uvicorn, theirs, {}) as bare,
            Server([sys.executable, "-m", "gateway", "web"], ours, {**settings, "GATEWAY_PORT": str(ours)}) as gateway,
        ):
            print("| connections | bare hops/s | gateway hops/s | ratio | bare p50/p99 ms | gateway p50/p99 ms |")
            print("|---|---|---|---|---|---|")
            for connections in (1, 64):
                pairs = []
                for server in (bare, gateway):
                    server.load(path, connections, 1, 20_000)
                for _ in range(options.pairs):
                    pairs.append(
                        (
                            bare.load(path, connections, options.seconds, 20_000),
                            gateway.load(path, connections, options.seconds, 20_000),
                        )
                    )
                ratio = statistics.median(ours_["per_second"] / bare_["per_second"] for bare_, ours_ in pairs)
                middle = [{key: statistics.median(pair[side][key] for pair in pairs) for key in pairs[0][0]} for side in (0, 1)]
                print(
                    f"| {connections} | {middle[0]['per_second']:.0f} | {middle[1]['per_second']:.0f} | {ratio:.2f} "
                    f"| {middle[0]['p50_ms']:.2f} / {middle[0]['p99_ms']:.2f} | {middle[1]['p50_ms']:.2f} / {middle[1]['p99_ms']:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
