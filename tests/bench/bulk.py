"""A month's bills going out while people ask: how long an answer takes, and whether everybody gets one bill, worker killed or not.

    python -m tests.bench.bulk [--bills 22500] [--rate 50] [--kills 3]

Real processes: the web server (SMS come in, delivery reports come back), the worker, and the emulator of the carrier, which takes
100 ms over a call. The worker is killed with signal 9 in the middle and started again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from gateway.store import open_store
from gateway.store.sql import Outgoing
from tests import town
from tests.bench.__main__ import SECRET
from tests.emulators.africastalking import API_KEY
from tests.postgres import free_port

#: Seconds between two people who ask; and how long a killed worker's messages stay in doubt.
ASKS, PATIENCE = 0.5, 5


def start(*command: str, env: dict[str, str], **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **env}, text=True, **more)


def ask(url: str, number: int) -> float:
    """Somebody asks for help by SMS; when that was."""
    form = {"id": f"ask-{number}", "from": f"+91556{number:07d}", "to": "56161", "text": "HELP", "date": "2026-05-25 04:30:00"}
    began = time.monotonic()
    urlopen(Request(url, urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"}), timeout=30).close()
    return began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bills", type=int, default=22_500)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/bulk.db"
        store = open_store(database)
        town.build(store)
        now = datetime.now(UTC)
        with store.write():
            store.enqueue(
                [Outgoing(f"+91557{n:07d}", f"Bill {n}: Rs 1240 till 05-06", "gsm7", 1, "sms.bill/en", "africastalking", "bulk", "must_arrive",
                          now, now, waits=False) for n in range(options.bills)]
            )  # fmt: skip
        port = free_port()
        doors = f"http://127.0.0.1:{port}/in/africastalking/{SECRET}"
        emulator = start(
            "tests.emulators.africastalking", "--latency", "0.1", "--reports-to", f"{doors}/delivery",
            env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert emulator.stdin
        assert emulator.stdout
        env = {
            "GATEWAY_DATABASE": database, "GATEWAY_PORT": str(port), "GATEWAY_AT_USERNAME": "sandbox", "GATEWAY_AT_API_KEY": API_KEY,
            "GATEWAY_AT_BASE_URL": emulator.stdout.readline().strip(), "GATEWAY_WEBHOOK_SECRETS": json.dumps([SECRET]),
            "GATEWAY_LOG_LEVEL": "error", "GATEWAY_SENDS_PER_SECOND": str(options.rate), "GATEWAY_SEND_TIMEOUT": str(PATIENCE),
            "GATEWAY_REPORT_WAIT_SECONDS": "10", "GATEWAY_PARTS_AN_HOUR": "1000000", "GATEWAY_PARTS_A_DAY": "1000000",
        }  # fmt: skip
        web, worker = start("gateway", "web", env=env), start("gateway", "worker", env=env)
        asked: dict[str, float] = {}
        kill_at = sorted(random.uniform(0.1, 0.9) * options.bills for _ in range(options.kills))
        unsettled = killed = 0
        try:
            while True:
                try:
                    number = len(asked)
                    asked[f"+91556{number:07d}"] = ask(f"{doors}/sms", number)
                except OSError:  # the web server is still starting
                    asked.pop(f"+91556{number:07d}", None)
                time.sleep(ASKS)
                waiting = store.database.rows("select count(*) from outbox where state in ('waiting', 'sending')")[0][0]
                if kill_at and options.bills - waiting > kill_at[0]:
                    kill_at.pop(0)
                    killed += 1
                    worker.send_signal(signal.SIGKILL)
                    worker.wait()
                    worker = start("gateway", "worker", env=env)
                bills_left = store.database.rows(
                    "select count(*) from outbox where state in ('waiting', 'sending') and template = 'sms.bill/en'"
                )[0][0]
                if not bills_left:
                    break
        finally:
            for process in (worker, web):
                process.send_signal(signal.SIGTERM)
                process.wait()
        emulator.stdin.write("?\n")
        emulator.stdin.flush()
        taken = json.loads(emulator.stdout.readline())
        emulator.stdin.close()
        emulator.wait()
        unsettled = store.database.rows("select count(*) from outbox where state = 'unknown'")[0][0]
        store.close()
    bills = Counter(text for phone, text, _ in taken if phone.startswith("+91557"))
    first: dict[str, float] = {}
    for phone, _, at in taken:
        if phone in asked:
            first.setdefault(phone, at)
    waits = sorted(at - asked[phone] for phone, at in first.items())
    spent = max(at for _, _, at in taken) - min(at for _, _, at in taken)
    print(
        f"{options.bills} bills in {spent:.0f} s ({len(taken) / spent:.1f} messages/s at the carrier), {killed} kills of the worker"
    )
    print(f"people who asked: {len(asked)}, answered {len(first)}; wait p50 {waits[len(waits) // 2]:.2f} s, "
          f"p95 {waits[len(waits) * 95 // 100]:.2f} s, longest {waits[-1]:.2f} s")  # fmt: skip
    print(f"bills sent: {len(bills)}, left out {options.bills - len(bills)}, sent twice {sum(count > 1 for count in bills.values())}, "
          f"never settled {unsettled}")  # fmt: skip


if __name__ == "__main__":
    main()
