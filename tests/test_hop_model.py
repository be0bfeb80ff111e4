"""Whatever order a carrier's hops come in, and however often: a model of what must hold, played against the real store."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.check import check
from gateway.records import Answer, Inbound
from gateway.store.sql import Store
from tests import town
from tests.conftest import Clock
from tests.talking import open_gateway, ussd

PHONES = [town.PHONES[label] for label in ("one", "son", "new", "neighbour")]
INPUTS = st.sampled_from(["1", "2", "3", "4", "5", "6", "0", "9", "4378", "000", "802101", "100000001", "x", "a*b", "", "नहीं"])
WORDS = st.sampled_from(
    ["BILL", "METER band", "TRANS", "STATUS", "GALAT", "HELP", "1", "2", "?", "STOP", "START", "METER 100000001 band"]
)
#: Everything a hop may change, but for what only says when.
KEPT = {
    "conversation": "select phone, data, guesses, muted from conversation order by phone",
    "request": "select ticket, state, open, reports, details, inbound from request order by ticket",
    "report": "select ticket, phone from report order by ticket, phone",
    "outbox": "select id, phone, text, inbound from outbox order by id",
    "inbound": "select phone, id, page from inbound order by phone, id",
    "link": "select phone, account from link order by phone, account",
    "told": "select id, phone, answered from told order by id",
}


class PowerCut(BaseException):
    """The process dies here."""


class Carrier(RuleBasedStateMachine):
    """Four phones that are neighbours and family, and a carrier that loses, repeats and reorders."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        shutil.copy(TEMPLATE / "town.db", self.folder / "town.db")
        self.clock = Clock()
        self.tickets = 4_000_000
        self.open()
        self.told: dict[str, tuple[Inbound, Answer]] = {}
        self.sessions: dict[str, tuple[str, str]] = {}
        self.count = 0

    def open(self) -> None:
        self.tickets += 500
        self.gateway = open_gateway(f"sqlite:///{self.folder}/town.db", self.clock, self.tickets, log_level="error", loop_equal=1000,
                                    loop_most=1000)  # fmt: skip
        self.store = self.gateway.store
        self.store.database.run("pragma synchronous = off")

    def teardown(self) -> None:
        assert check(self.store, self.clock()) == []
        self.store.close()
        shutil.rmtree(self.folder)

    # --- what the carrier does --------------------------------------------------------------------------------------

    def bring(self, inbound: Inbound) -> Answer:
        """A hop is brought. If it was answered before, the very same answer comes, and nothing else happens."""
        self.clock.wait(timedelta(seconds=3))
        before = self.everything() if inbound.id in self.told else None
        answer = self.gateway.hop.serve([inbound])[0]
        if before is not None:
            assert answer == self.told[inbound.id][1]
            assert self.everything() == before
        else:
            self.told[inbound.id] = inbound, answer
            if inbound.channel == "ussd":
                assert answer.page
        return answer

    def everything(self) -> dict[str, Any]:
        return {name: self.store.database.rows(sql) for name, sql in KEPT.items()}

    @initialize()
    def languages(self) -> None:
        """All but one know the gateway already."""
        for phone in PHONES[1:]:
            for text in ("", "3", "3*1"):
                self.bring(ussd(phone, f"first-{phone[-4:]}", text, self.clock(), lost=bool(text)))

    @rule(phone=st.sampled_from(PHONES), code=st.sampled_from(["", "", "", "6", "3*1"]))
    def dial(self, phone: str, code: str) -> None:
        self.count += 1
        session = f"s{self.count}"
        self.sessions[phone] = session, code
        self.bring(ussd(phone, session, code, self.clock()))

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), said=INPUTS)
    def answer(self, data: st.DataObject, said: str) -> None:
        """The person goes on. What the session has heard by then never shrinks again."""
        phone = data.draw(st.sampled_from(sorted(self.sessions)))
        session, text = self.sessions[phone]
        longer = f"{text}*{said}" if text else said
        self.sessions[phone] = session, longer
        self.bring(ussd(phone, session, longer, self.clock(), lost=True))

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Anything at all comes once more, however old."""
        self.bring(self.told[data.draw(st.sampled_from(sorted(self.told)))][0])

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), text=st.sampled_from(["7", "1*1*1*1*1", "3*9*9", "*", "0*0*0", "6*6"]))
    def out_of_step(self, data: st.DataObject, text: str) -> None:
        """A text that does not follow from what was heard: an answer in between was lost, or it is another session's."""
        phone = data.draw(st.sampled_from(sorted(self.sessions)))
        session, heard = self.sessions[phone]
        if len(text) > len(heard):
            self.sessions[phone] = session, text
        self.bring(ussd(phone, session, text, self.clock(), lost=True))

    @rule(phone=st.sampled_from(PHONES), words=WORDS)
    def sms(self, phone: str, words: str) -> None:
        self.count += 1
        self.bring(Inbound(f"m{self.count}", "phone", phone, "sms", words, self.clock()))

    @rule(phone=st.sampled_from(PHONES))
    def our_state_is_lost(self, phone: str) -> None:
        with self.store.write():
            self.store.database.run("delete from told where phone = ?", (phone,))
            self.store.database.run("delete from conversation where phone = ?", (phone,))

    @rule(minutes=st.sampled_from([1, 31, 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.clock.wait(timedelta(minutes=minutes))

    @rule(phone=st.sampled_from(PHONES), words=WORDS)
    def killed_between_commit_and_answer(self, phone: str, words: str) -> None:
        """Nobody heard the answer; a new process gives it when the hop comes again, and does nothing more."""
        self.count += 1
        inbound = Inbound(f"m{self.count}", "phone", phone, "sms", words, self.clock())
        answer = self.gateway.hop.serve([inbound])[0]
        self.told[inbound.id] = inbound, answer
        self.restart()
        self.bring(inbound)

    @rule(phone=st.sampled_from(PHONES), words=WORDS, step=st.sampled_from(["keep_conversations", "enqueue", "keep_answers"]))
    def killed_before_the_commit(self, phone: str, words: str, step: str) -> None:
        """Nothing of it is left."""
        self.count += 1
        before = self.everything()
        with broken(step), contextlib.suppress(PowerCut):
            self.gateway.hop.serve([Inbound(f"m{self.count}", "phone", phone, "sms", words, self.clock())])
            raise AssertionError("it is written by every SMS")
        self.restart()
        assert self.everything() == before

    def restart(self) -> None:
        self.store.close()
        self.open()

    # --- what holds at any time -------------------------------------------------------------------------------------

    @invariant()
    def each_thing_once(self) -> None:
        rows = self.store.database.rows
        assert rows("select count(*) from inbound") == [(len(self.told),)]
        assert rows("select count(*) from quarantine") == [(0,)]
        assert not rows("select inbound from request group by inbound having count(*) > 1")
        assert not rows("select inbound from outbox where lane = 0 group by inbound, phone, text having count(*) > 1")
        assert not rows("select asset from request where open = 1 and asset <> '' group by asset having count(*) > 1")


@contextlib.contextmanager
def broken(step: str) -> Iterator[None]:
    """The process dies when it comes to this step of the store."""
    real = getattr(Store, step)

    def cut(*_: Any) -> None:
        raise PowerCut

    setattr(Store, step, cut)
    try:
        yield
    finally:
        setattr(Store, step, real)


TEMPLATE = Path(mkdtemp())


def setup_module() -> None:
    gateway = open_gateway(f"sqlite:///{TEMPLATE}/town.db")
    town.build(gateway.store)
    gateway.store.close()


def teardown_module() -> None:
    shutil.rmtree(TEMPLATE)


TestCarrier = Carrier.TestCase
TestCarrier.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.generate], report_multiple_bugs=False,
)  # fmt: skip
