"""The clock is set: an hour, a day, back, and past 2038. Nothing is sent again, and nothing is left lying."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway import outbox as module
from gateway.app import assemble
from gateway.check import check
from gateway.outbox import Outbox
from gateway.records import Inbound
from gateway.settings import Settings
from tests import town
from tests.conftest import Clock
from tests.emulators.africastalking import API_KEY, Emulator

#: Just before 32 bits of seconds come to their end.
END = datetime(2038, 1, 19, 3, 14, 5, tzinfo=UTC)
STEPS = {
    "an hour ahead": lambda now: now + timedelta(hours=1),
    "an hour back": lambda now: now - timedelta(hours=1),
    "a day ahead": lambda now: now + timedelta(days=1),
    "a day back": lambda now: now - timedelta(days=1),
    "to 2038": lambda now: END,
    "into 2038": lambda now: END + timedelta(seconds=10),
    "home again": lambda now: town.BEGIN,
}


@pytest.mark.parametrize("days", [[], ["http 500"] * 4], ids=["a good day", "tries to be made again"])
def test_clock_steps(days: list[str], settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEND", 0.1)
    with Emulator() as carrier:
        changed = {"at_base_url": carrier.url, "at_api_key": API_KEY, "sends_per_second": 1000, "equal_most": 1000,
                   "loop_equal": 1000, "loop_most": 1000}  # fmt: skip
        gateway = assemble(Settings.model_validate(settings.model_dump() | changed))
        town.build(gateway.store)
        hop, store = replace(gateway.hop, clock=clock), gateway.store
        outbox = Outbox(
            store, gateway.carriers["africastalking"], gateway.settings.sending(), senders=4, wake=threading.Event(), clock=clock
        )
        stop = threading.Event()
        worker = threading.Thread(target=outbox.run, args=(stop,))
        worker.start()
        brought: list[Inbound] = []
        try:
            for number, step in enumerate(STEPS.values()):
                carrier.days = list(days)
                for phone in town.PHONES.values():
                    brought.append(Inbound(f"sms/{number}-{phone[-4:]}", "africastalking", phone, "sms", "BILL", clock()))
                    hop.serve(brought[-1:])
                clock.now = step(clock.now)
                hop.serve([brought[0]])  # long since answered
                until = time.monotonic() + 20
                while (
                    store.database.rows("select 1 from outbox where state in ('waiting', 'sending')") and time.monotonic() < until
                ):
                    time.sleep(0.02)
                    clock.wait(timedelta(seconds=1))
        finally:
            stop.set()
            worker.join()
        sent = Counter((one.phone, one.text) for one in carrier.taken)
        assert sent == Counter(store.database.rows("select phone, text from outbox")), "each once, none left"
        assert {row[0] for row in store.database.rows("select state from outbox")} == {"sent"}
        assert store.database.rows("select count(*) from inbound") == [(len(brought),)]
        assert check(store, clock()) == []
        store.close()
