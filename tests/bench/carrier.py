"""What inbound hops feel while the carrier is slow, hangs, resets, fails or talks garbage: in one run, beside one that is well.

    python -m tests.bench.carrier [--rounds 3] [--seconds 4]

The web server has the first core, load, worker and emulator the others. The worker always has messages to send.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

from gateway.store import open_store
from tests.bench.__main__ import CORES, gateway, pinned
from tests.emulators.africastalking import API_KEY, Emulator

DAYS = ("ok", "slow", "hang", "reset", "http 500", "garbage")
MESSAGES = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Emulator() as emulator:
        url = f"sqlite:///{folder}/bench.db"
        web = gateway("gateway", url)
        store = open_store(url)
        with store.write():
            store.database.many(
                """insert into outbox (phone, text, encoding, parts, template, carrier, lane, delivery, state, due_at, created)
                   values (?, 'hello', 'gsm7', 1, 'bill.show/en', 'africastalking', 0, 'must_arrive', 'waiting', 0, 0)""",
                [(f"+91556{number:07d}",) for number in range(MESSAGES)],
            )
        store.close()
        env = {
            **os.environ,
            **web.env,
            "GATEWAY_AT_BASE_URL": emulator.url,
            "GATEWAY_AT_API_KEY": API_KEY,
            "GATEWAY_SEND_TIMEOUT": "5",
        }
        worker = subprocess.Popen(pinned(CORES[1:] or CORES, sys.executable, "-m", "gateway", "worker"), env=env)
        try:
            with web:
                web.load(16, 1)
                rounds = []
                for _ in range(options.rounds):
                    figures = {}
                    for emulator.every_day in DAYS:
                        figures[emulator.every_day] = web.load(16, options.seconds)
                    rounds.append(figures)
        finally:
            worker.terminate()
            worker.wait()
    print("| carrier | hops/s | p50 / p99 ms | p99 to a good day |\n|---|---|---|---|")
    for day in DAYS:
        middle = {key: statistics.median(one[day][key] for one in rounds) for key in ("per_second", "p50_ms", "p99_ms")}
        ratio = statistics.median(one[day]["p99_ms"] / one["ok"]["p99_ms"] for one in rounds)
        print(f"| {day} | {middle['per_second']:.0f} | {middle['p50_ms']:.2f} / {middle['p99_ms']:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
