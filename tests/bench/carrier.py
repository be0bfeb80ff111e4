"""What inbound hops feel while the carrier is slow, hangs, resets, fails or talks garbage: in pairs, beside one that is well.

    python -m tests.bench.carrier [--pairs 5] [--seconds 4] [--rate 300]

One web server, to which hops come at random moments, all the time at one rate. Beside it a worker sends, first to a carrier that
is well and then to one that is not, or the other way round, and so on in turn: what else the machine does falls on both alike.
The ratio is the median over the pairs. The web server has the first core, everything else the others.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

from gateway.store import open_store
from tests.bench.__main__ import CORES, Contestant, Figures, gateway, pinned
from tests.emulators.africastalking import API_KEY, Emulator

DAYS = ("ok", "slow", "hang", "reset", "http 500", "garbage", "late")
MESSAGES, CONNECTIONS = 100_000, 16


def one_day(web: Contestant, day: str, seconds: float, rate: float) -> Figures:
    """The hops' waits while a worker, newly started, sends to a carrier that has such a day."""
    with Emulator(latency=0.05) as emulator:
        emulator.every_day = day
        env = {
            **os.environ,
            **web.env,
            "GATEWAY_AT_BASE_URL": emulator.url,
            "GATEWAY_AT_API_KEY": API_KEY,
            "GATEWAY_SEND_TIMEOUT": "2",
        }
        worker = subprocess.Popen(pinned(CORES[1:] or CORES, sys.executable, "-m", "gateway", "worker"), env=env)
        try:
            while not emulator.calls:
                web.load(CONNECTIONS, 0.2, rate)
            return web.load(CONNECTIONS, seconds, rate)
        finally:
            worker.terminate()
            worker.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rate", type=float, default=300)
    options = parser.parse_args()
    print("| the carrier | p50 / p99 ms beside it | beside one that is well | ratio of p50 | ratio of p99 (in each pair) |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
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
        with web:
            for day in DAYS:
                pairs: list[dict[bool, Figures]] = []
                for pair in range(options.pairs):
                    turns = (True, False) if pair % 2 else (False, True)
                    pairs.append({well: one_day(web, "ok" if well else day, options.seconds, options.rate) for well in turns})

                def middle(well: bool, key: str, pairs: list[dict[bool, Figures]] = pairs) -> float:
                    return statistics.median(pair[well][key] for pair in pairs)

                ratios = {key: [pair[False][key] / pair[True][key] for pair in pairs] for key in ("p50_ms", "p99_ms")}
                print(
                    f"| {day} | {middle(False, 'p50_ms'):.2f} / {middle(False, 'p99_ms'):.2f} | {middle(True, 'p50_ms'):.2f} / "
                    f"{middle(True, 'p99_ms'):.2f} | {statistics.median(ratios['p50_ms']):.2f} | "
                    f"{statistics.median(ratios['p99_ms']):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios['p99_ms'])}) |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
