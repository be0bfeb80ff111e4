"""Everything that goes out by SMS is written here: in the phone's language, cut to fit, by the rules of its text's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace

from flows.records import Channel, Text
from gateway.carriers import Carrier
from gateway.records import Answer, Inbound, Lane
from gateway.routing import Routes
from gateway.store.queue import Queue
from gateway.store.sql import Outgoing, Store
from gateway.throttle import Sending
from messages import Voice
from messages.dlt import Registry, rules
from messages.encoding import Encoding, sms_parts

log = structlog.get_logger()

#: A slot further away than this was given under a clock that was wrong.
FURTHEST_SLOT = timedelta(days=7)
#: The parts a pushed text may take; the lint holds each text to what its key allows.
MOST_PARTS = 3


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes texts to phones. What `compose` returns is for `Store.enqueue`; `write` does both, in the caller's transaction."""

    store: Store
    voice: Voice
    carriers: Mapping[str, Carrier]
    routes: Routes
    registry: Registry
    sending: Sending

    def write(self, text: Text, phone: str, *, now: datetime, lang: str | None = None, due_at: datetime | None = None) -> None:
        """Write a text to a phone and put it into the outbox, due at once or at `due_at`."""
        self.store.enqueue(self.compose(text, phone, now=now, lang=lang, due_at=due_at))

    def compose(
        self,
        text: Text,
        phone: str,
        *,
        now: datetime,
        lang: str | None = None,
        carrier: str = "",
        channel: Channel | None = None,
        inbound: str = "",
        due_at: datetime | None = None,
        lane: Lane | None = None,
    ) -> list[Outgoing]:
        """The SMS of a text: `lang` None is the phone's own language, `carrier` and `channel` how the person came, if they
        did, `inbound` the hop that caused it, `lane` None the one of the text's key; `due_at` None at once, or for bulk when
        its feeder's turn comes."""
        if not phone.startswith("+"):
            return []  # a person without a phone is told at the counter
        how = rules(f"{text.flow}.{text.screen}")
        lane = lane or how.lane
        carrier = self.routes.carrier(phone, lane, channel, carrier)
        limits = replace(self.carriers[carrier].limits("sms"), parts=MOST_PARTS)
        reply = self.voice.say(text, self.store.language(phone) if lang is None else lang, limits)
        if due_at is None:
            due_at = self._slot(phone, now) if lane == "bulk" else now
        first = Outgoing(
            phone, reply.pages[0], reply.encoding, reply.parts, reply.template, carrier, lane, how.delivery, due_at, now,
            inbound, how.fresh_for, how.information, how.waits,
        )  # fmt: skip
        return [self._checked(replace(first, text=page, parts=sms_parts(page))) for page in reply.pages]

    def _slot(self, phone: str, now: datetime) -> datetime:
        """When a bulk message to a phone is due: people behind one feeder hear one after the other, and nobody in the quiet
        hours, so that the help line is not flooded."""
        queue = Queue(self.store)
        feeder = queue.feeder_of(phone)
        last = queue.last_slot(feeder)
        slot = max(now, last + self.sending.feeder_gap) if last and last - now < FURTHEST_SLOT else now
        slot = self.sending.end_of_quiet(slot) or slot
        queue.keep_slot(feeder, slot)
        return slot

    def _checked(self, message: Outgoing) -> Outgoing:
        """The message, or, if the operators would refuse it, the same put aside with what differs: they bar whom they refuse
        too often. What caused it is kept all the same."""
        refused = self.registry.check(message.text, *message.template.split("/"))
        if refused:
            log.error("dlt.refused", template=message.template, why=refused)
        return replace(message, refused=refused or "")

    def reply(self, inbound: Inbound, answer: Answer, encoding: Encoding, parts: int, now: datetime) -> Outgoing:
        """The SMS that answers one."""
        how = rules(answer.screen)
        carrier = self.routes.carrier(inbound.phone, how.lane, inbound.channel, inbound.carrier)
        return Outgoing(
            inbound.phone, answer.page, encoding, parts, f"{answer.screen}/{answer.lang}", carrier, how.lane, how.delivery, now,
            now, inbound.id, how.fresh_for,
        )  # fmt: skip
