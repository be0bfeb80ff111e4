"""Meter readings: what is checked of every one, whoever took it."""

from __future__ import annotations

from flows.flow import Flow
from flows.records import Consumer, Flag, Policy, Said
from flows.screens import Bad


def odd(consumer: Consumer, value: int, policy: Policy) -> Flag:
    """Whether a reading is smaller than the last one, or far above the usual."""
    bill = consumer.bill
    if bill is None:
        return ""
    if value < bill.present:
        return "smaller"
    most = max(policy.usual_least, policy.usual_times * bill.units)
    return "high" if value - bill.present > most else ""


def meter_reading(said: Said, flow: Flow) -> str | Bad:
    """What the meter shows: one to eight digits."""
    return str(int(said.number)) if 1 <= len(said.number) <= 8 else Bad("reading")


class TakesReading(Flow):
    """A flow with the screens `reading` and `again`: an odd reading is asked for once more, then kept with a flag."""

    def is_odd(self) -> bool:
        """Whether the reading is to be asked for again."""
        return odd(self.the_consumer, int(self.answers["reading"]), self.facts.policy) != ""

    @property
    def flag(self) -> Flag:
        """What is odd about the reading as it is kept."""
        value = self.answers.get("reading", "")
        return odd(self.the_consumer, int(value), self.facts.policy) if value else ""

    def again_args(self) -> dict[str, object]:
        """The reading that is doubted and the last one."""
        bill = self.the_consumer.bill
        assert bill is not None
        return {"account": self.the_consumer.account, "reading": int(self.answers["reading"]), "previous": bill.present}
