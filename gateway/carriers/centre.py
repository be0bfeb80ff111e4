"""The counter of the centre: a carrier whose screen is a page at the desk, so that nothing is cut or paged."""

from __future__ import annotations

from collections.abc import Mapping

from flows.records import Channel
from gateway.carriers import Door
from gateway.records import Never, OutboundMessage, Outcome
from messages import Limits


class Centre:
    """It has no doors and sends nothing: a person with a phone is written to by the carrier that reaches it."""

    name = "centre"
    sends = False
    doors: Mapping[str, Door] = {}

    def limits(self, channel: Channel) -> Limits:
        """A page of the desk holds any screen."""
        return Limits("ussd", septets=4000, units=4000)

    def send(self, message: OutboundMessage) -> Outcome:
        """Nothing is sent from here."""
        return Never("the counter sends nothing", alarm=True)
