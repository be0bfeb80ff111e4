"""10,000 SMS in and their answers out through real Kannel, whose boxes and our worker are killed in between: nothing is lost."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.records import Conversation
from gateway.store import open_store
from tests.emulators.smsc import WINDOW, Smsc
from tests.kannel import SECRET, Boxes, answers, need_kannel
from tests.test_kannel import kannel_settings

MESSAGES = 10_000
KILLS = 8
BOXES = ("smsbox", "bearerbox")
SENDERS = 16
#: Seconds without any progress after which it is given up.
PATIENCE = 90
#: What people write, each with a number of its own; every tenth is long.
WRITTEN = {
    "hi": ("बिल {}", "मीटर {}", "ट्रांसफार्मर जल गया {}", "मेरे घर का मीटर ख़राब है, बिजली का बिल अधिक आता है, कृपया जाँच करें: {}"),
    "hi-Latn": ("bill {}", "METER {}", "kya haal hai {}", "mera naam Ramesh Kumar hai aur {}"),
    "en": ("BILL {}", "READING {}", "{} please", "the lights are out [again] in our street ~ {}"),
}


@contextmanager
def process(*command: str, env: dict[str, str], log: Path) -> Iterator[None]:
    """A process of ours, ended as a supervisor ends it."""
    with log.open("wb") as out, subprocess.Popen([sys.executable, "-m", "gateway", *command], env=env, stderr=out) as running:
        try:
            yield
            assert running.poll() is None, log.read_text()[-2000:]
        finally:
            running.terminate()


@pytest.mark.xdist_group("kannel")
def test_ten_thousand_each_way_with_the_boxes_killed_in_between(tmp_path: Path) -> None:
    need_kannel()
    languages = itertools.cycle(WRITTEN)
    phones = {f"+91555{n:07d}": lang for n, lang in zip(range(MESSAGES), languages, strict=False)}
    written = {
        phone: WRITTEN[lang][3 if n % 10 == 0 else n % 3].format(100_000_000 + n)
        for n, (phone, lang) in enumerate(phones.items())
    }
    with ExitStack() as stack:
        smsc = stack.enter_context(Smsc())
        settings = kannel_settings(
            database=f"sqlite:///{tmp_path}/town.db", kannel_smsc_host="127.0.0.1", kannel_smsc_port=smsc.port,
            kannel_smsc_username="buxar", kannel_smsc_password="secret",
        )  # fmt: skip
        store = open_store(settings.database)
        stack.callback(store.close)
        now = datetime.now(UTC)
        with store.write():
            store.keep_conversations([Conversation(phone, lang=lang) for phone, lang in phones.items()], now)
        env = os.environ | {
            "GATEWAY_DATABASE": settings.database, "GATEWAY_PORT": str(settings.port), "GATEWAY_KANNEL_URL": settings.kannel_url,
            "GATEWAY_KANNEL_PORT": str(settings.kannel_port), "GATEWAY_KANNEL_PASSWORD": "pw-7",
            "GATEWAY_WEBHOOK_SECRETS": f'["{SECRET}"]', "GATEWAY_SENDERS": str(SENDERS),
            "GATEWAY_SENDS_PER_SECOND": "5000", "GATEWAY_REPORT_WAIT_SECONDS": "3", "GATEWAY_LOG_LEVEL": "error",
        }  # fmt: skip
        for name in ("web", "worker"):
            stack.enter_context(process(name, env=env, log=tmp_path / f"{name}.log"))
        until = time.monotonic() + 20
        while not answers(settings.port):
            assert time.monotonic() < until, (tmp_path / "web.log").read_text()[-2000:]
            time.sleep(0.05)
        boxes = stack.enter_context(Boxes(tmp_path / "kannel", settings))
        for phone, text in written.items():
            smsc.bring(phone, "56161", text)
        began = changed = time.monotonic()
        killed, before = Counter[str](), (0, 0, 0)

        def left() -> tuple[int, int, int]:
            """What has not arrived yet: people's messages here, our answers on phones, what the SMSC still has to bring."""
            heard, waiting = store.database.rows(
                "select (select count(distinct phone) from inbound), "
                "(select count(*) from outbox where state not in ('sent', 'delivered', 'unknown'))"
            )[0]
            return MESSAGES - int(heard), int(waiting), smsc.left()

        while any(now_left := left()):
            if now_left != before:
                changed, before = time.monotonic(), now_left
            assert time.monotonic() < changed + PATIENCE, (now_left, killed, boxes.deaths)
            if killed.total() < KILLS and store.count("inbound") > killed.total() * MESSAGES // KILLS:
                box = BOXES[killed.total() % 2]
                boxes.kill(box)
                killed[box] += 1
            time.sleep(0.3)
        took = time.monotonic() - began

        came = store.database.rows("select phone, text from inbound")
        sent = store.database.rows("select phone, text, state from outbox")
    assert dict(came) == written, "every SMS, to the letter"
    shown = Counter((one.phone, one.text) for one in smsc.read())
    assert {(phone, text) for phone, text, _ in sent} == set(shown), "each answer, to the letter, and nothing else"
    doubled_in, doubled_out = len(came) - len(written), shown.total() - len(sent)
    print(f"{len(came)} in, {len(sent)} out in {took:.0f} s; killed {dict(killed)}, died {dict(boxes.deaths)}; "
          f"doubled {doubled_in} in, {doubled_out} out")  # fmt: skip
    assert killed == dict.fromkeys(BOXES, KILLS // 2)
    assert doubled_in <= killed["bearerbox"] * WINDOW, "what the SMSC was not told in time comes with another id"
    assert doubled_out <= boxes.deaths.total() * (WINDOW + SENDERS)
