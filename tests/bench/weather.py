"""How long a webhook takes while the carrier has a bad day: SMS come in at a steady pace, and every answer goes to the emulator.

    python -m tests.bench.weather [--seconds 10] [--rate 40]

Real processes: web server, worker, emulator. The days are taken in turn, twice, so that what else the machine does falls on all.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import socket
import subprocess
import tempfile
import threading
import time
from http.client import HTTPConnection
from urllib.parse import urlencode

from gateway.store import open_store
from tests import town
from tests.bench.__main__ import SECRET, free_port
from tests.bench.bulk import start
from tests.emulators.africastalking import API_KEY

DAYS = ("ok", "slow", "http 503", "hang", "reset", "garbage", "late")
PEOPLE = 8
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ask(port: int, numbers: itertools.count[int], until: float, gap: float, took: list[float]) -> None:
    """One line of people who send SMS, one after the other."""
    line = HTTPConnection("127.0.0.1", port, timeout=30)
    while time.monotonic() < until:
        number = next(numbers)
        form = {"id": f"ask-{number}", "from": f"+91556{number:07d}", "to": "56161", "text": "HELP"}
        began = time.perf_counter()
        line.request("POST", f"/in/africastalking/{SECRET}/sms", urlencode(form), FORM)
        line.getresponse().read()
        took.append(time.perf_counter() - began)
        time.sleep(max(0.0, gap - took[-1]))
    line.close()


def a_day(day: str, seconds: float, rate: float) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        database, port, took = f"sqlite:///{folder}/weather.db", free_port(), list[float]()
        store = open_store(database)
        town.build(store)
        store.close()
        emulator = start("tests.emulators.africastalking", "--latency", "0.05", "--every-day", day, env={},
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        assert emulator.stdout
        env = {
            "GATEWAY_DATABASE": database, "GATEWAY_PORT": str(port), "GATEWAY_AT_USERNAME": "sandbox", "GATEWAY_AT_API_KEY": API_KEY,
            "GATEWAY_AT_BASE_URL": emulator.stdout.readline().strip(), "GATEWAY_WEBHOOK_SECRETS": json.dumps([SECRET]),
            "GATEWAY_LOG_LEVEL": "error", "GATEWAY_SEND_TIMEOUT": "2",
        }  # fmt: skip
        processes = [start("gateway", job, env=env, stderr=subprocess.DEVNULL) for job in ("web", "worker")]
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        numbers, until = itertools.count(), time.monotonic() + seconds
        people = [threading.Thread(target=ask, args=(port, numbers, until, PEOPLE / rate, took)) for _ in range(PEOPLE)]
        for one in people:
            one.start()
        for one in people:
            one.join()
        for process in (*processes, emulator):
            process.send_signal(signal.SIGTERM)
            process.wait()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=40)
    options = parser.parse_args()
    took: dict[str, list[float]] = {day: [] for day in DAYS}
    for _ in range(2):
        for day in DAYS:
            took[day] += a_day(day, options.seconds, options.rate)
    print("| the carrier | SMS | p50 ms | p99 ms |\n|---|---|---|---|")
    for day, times in took.items():
        times.sort()
        print(f"| {day} | {len(times)} | {times[len(times) // 2] * 1e3:.1f} | {times[len(times) * 99 // 100] * 1e3:.1f} |")


if __name__ == "__main__":
    main()
