"""SMS through real Kannel, in and answered, beside Kannel alone with its own echo service on its own fake SMSC.

    python -m tests.bench.kannel [--messages 2000] [--pairs 3]

Both times the fake SMSC brings so many SMS at once. Alone, Kannel sends each back; with us each is heard, kept and answered.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from gateway.kannel_config import configuration
from gateway.settings import Settings, load
from gateway.store import open_store
from tests.kannel import FAKESMSC, SECRET, Boxes, answers, free_ports

#: What makes Kannel bring SMS to our worker, and what makes it send them back itself.
OURS = re.compile(r"smsbox-id = smsbox\n|group = smsbox-route\n.*", re.DOTALL)
ECHO = 'group = sms-service\nkeyword = default\ncatch-all = true\nmax-messages = 1\ntext = "%a"\n'


def settings(folder: Path) -> Settings:
    first = free_ports(6)
    return load(
        _env_file=None, database=f"sqlite:///{folder}/bench.db", kannel_url=f"http://127.0.0.1:{first + 4}", kannel_port=first,
        port=first + 5, kannel_password="pw", kannel_admin_password="pw", webhook_secrets=[SECRET],
    )  # fmt: skip


@contextmanager
def phone(port: int, messages: int) -> Iterator[IO[str]]:
    """The fake SMSC's other end brings its messages, and prints what it is handed."""
    command = [FAKESMSC, "-H", "127.0.0.1", "-r", str(port), "-i", "0.0001", "-m", str(messages), "-z", "1",
               "+91555 56161 text BIL 123456789"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as running:
        assert running.stderr is not None
        yield running.stderr
        running.kill()
        running.stderr.read()


def kannel_alone(messages: int) -> float:
    """Echoes a second: each is one SMS in and one out."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        made = settings(Path(name))
        boxes = Boxes(Path(name), made)
        (Path(name) / "kannel.conf").write_text(f"{OURS.sub('', configuration(made))}\n{ECHO}")
        stack.enter_context(boxes)
        time.sleep(2)  # smsbox has introduced itself to bearerbox
        began = time.perf_counter()
        with phone(made.kannel_port + 2, messages) as shown:
            for line in shown:
                if f"Got message {messages}:" in line:
                    return messages / (time.perf_counter() - began)
    raise SystemExit("the fake phone ended before its answers came")


def with_us(messages: int) -> tuple[float, float]:
    """SMS in and SMS out a second, from the first that comes to the last that is reported as delivered."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        made = settings(Path(name))
        env = os.environ | {
            "GATEWAY_DATABASE": made.database, "GATEWAY_PORT": str(made.port), "GATEWAY_KANNEL_URL": made.kannel_url,
            "GATEWAY_KANNEL_PORT": str(made.kannel_port), "GATEWAY_KANNEL_PASSWORD": "pw", "GATEWAY_WEBHOOK_SECRETS": f'["{SECRET}"]', "GATEWAY_SENDERS": "16",
            "GATEWAY_SENDS_PER_SECOND": "5000", "GATEWAY_LOG_LEVEL": "error",
        }  # fmt: skip
        for command in ("web", "worker"):
            running = subprocess.Popen([sys.executable, "-m", "gateway", command], env=env)
            stack.callback(running.wait)
            stack.callback(running.terminate)
        while not answers(made.port):
            time.sleep(0.1)
        stack.enter_context(Boxes(Path(name) / "kannel", made))
        time.sleep(2)
        store = open_store(made.database)
        began = time.perf_counter()
        with phone(made.kannel_port + 2, messages) as shown:
            threading.Thread(target=shown.read, daemon=True).start()
            while store.count("inbound") < messages or store.database.rows(
                "select 1 from outbox where state <> 'delivered' limit 1"
            ):
                time.sleep(0.05)
            took = time.perf_counter() - began
            sent = store.count("outbox")
        store.close()
        return messages / took, sent / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    pairs = []
    for _ in range(options.pairs):
        pairs.append((kannel_alone(options.messages), *with_us(options.messages)))
        print("Kannel alone {:.0f}/s in and out, with us {:.0f}/s in and {:.0f}/s out".format(*pairs[-1]), flush=True)
    alone, came, went = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(f"median: Kannel alone {alone:.0f}/s, with us {came:.0f}/s in and {went:.0f}/s out, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
