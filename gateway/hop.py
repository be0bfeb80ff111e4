"""One hop, six steps: hear, recall, step, say, keep, answer.

A group of hops of different phones shares one transaction, so that one sync of the disk serves them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from secrets import randbelow

import structlog
from messages.encoding import measure, sms_parts

from flows.records import Conversation, Facts, Policy, Said, Tell, Text
from flows.step import stand, step
from flows.transformer import asset_of, feeder_asset
from flows.verhoeff import with_check_digit
from gateway.carriers import Carrier
from gateway.records import Answer, Inbound, masked
from gateway.store.sql import Conflict, Known, Outgoing, Store
from messages import Voice
from messages.understand import Ear, mask_aadhaar

log = structlog.get_logger()

#: How often a hop is taken again after somebody else was faster.
TRIES = 5


class Unavailable(Exception):
    """Our own trouble (the disk is full, the database is away): nothing was done, the carrier may bring it again."""


def fresh_ticket() -> str:
    """A ticket number: eight digits, the first not 0, the last a check digit; random, so that none tells of another."""
    return with_check_digit(str(1_000_000 + randbelow(9_000_000)))


def now_utc() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Hop:
    """Everything a hop needs; `serve` is the whole of it."""

    store: Store
    voice: Voice
    ear: Ear
    policy: Policy
    carriers: Mapping[str, Carrier]
    clock: Callable[[], datetime] = now_utc
    ticket: Callable[[], str] = fresh_ticket

    def serve(self, group: Sequence[Inbound]) -> list[Answer]:
        """Answer a group of inbounds, each of another phone, in their order, once all of it is durable.

        A hop that fails does not sink its neighbours: the group is undone and each is served alone. One that fails alone
        is put aside and its phone is told politely. Raises Unavailable when nothing can be kept.
        """
        try:
            with self.store.write():
                return [self._serve(inbound) for inbound in group]
        except Exception as error:
            if len(group) > 1:
                return [self.serve([inbound])[0] for inbound in group]
            return [self._serve_alone(group[0], error)]

    def _serve_alone(self, inbound: Inbound, error: Exception) -> Answer:
        for _ in range(TRIES):
            if self.store.database.is_trouble(error):
                raise Unavailable(str(error)) from error
            if not isinstance(error, Conflict):
                break
            try:
                with self.store.write():
                    return self._serve(inbound)
            except Exception as next_error:
                error = next_error
        log.error("hop.failed", inbound=inbound.id, phone=masked(inbound.phone), error=repr(error), exc_info=error)
        self.store.quarantine(inbound, inbound.channel, type(error).__name__, self.clock())
        conversation = self.store.recall(inbound.phone, self.clock().date()).conversation
        return self._say_only(inbound, conversation, "sorry")

    def _say_only(self, inbound: Inbound, conversation: Conversation, screen: str) -> Answer:
        reply = self.voice.say(Text("menu", screen, ends=True), conversation.lang, self.carriers[inbound.carrier].limits("ussd"))
        return Answer(reply.pages[0], True, f"menu.{screen}", conversation.lang)

    # --- the six steps ----------------------------------------------------------------------------------------------

    def _serve(self, inbound: Inbound) -> Answer:
        began = time.perf_counter_ns()
        now = self.clock()
        known = self.store.recall(inbound.phone, now.date())
        conversation = known.conversation
        live = inbound.channel == "ussd" and inbound.session == conversation.session
        new = _new_input(conversation, inbound) if live else None
        if new is None:  # nothing proves that this has not been answered before
            again = self.store.answered(inbound.id)
            if again is not None:
                return again
        said = self._said(inbound, new) if new is not None or not live else ()
        facts = self._facts(known, inbound, said, now)
        if live and new is None:
            turn = stand(conversation, facts)
        else:
            turn = step(conversation, said, facts, dialled=inbound.channel == "ussd" and not live, lost=inbound.lost)
        after = turn.conversation
        limits = self.carriers[inbound.carrier].limits("ussd" if inbound.channel == "ussd" else "sms")
        if turn.text is None:
            page, screen, last = after.pages[after.page], conversation.place.screen, after.page + 1 == len(after.pages)
            answer = Answer(page, last and not after.place.screen, f"{conversation.place.flow}.{screen}", after.lang)
            encoding, parts = measure(page).encoding, sms_parts(page)
        else:
            reply = self.voice.say(turn.text, after.lang, limits)
            after = replace(after, pages=reply.pages if len(reply.pages) > 1 else (), page=0)
            ends = reply.ends and len(reply.pages) == 1
            answer = Answer(reply.pages[0], ends, f"{turn.text.flow}.{turn.text.screen}", after.lang)
            encoding, parts = reply.encoding, reply.parts
        if inbound.channel == "ussd" and not (live and _is_older(inbound.text, conversation.heard)):
            after = replace(after, session=inbound.session, heard=inbound.text)
        self.store.keep_conversation(replace(after, seen=now), now)
        for effect in turn.effects:
            if isinstance(effect, Tell):
                self._tell(effect, inbound, after.lang, now)
            else:
                self.store.keep_effect(effect, inbound, now)
        if inbound.channel != "ussd":
            template = f"{answer.screen}/{answer.lang}"
            sms = Outgoing(inbound.phone, answer.page, encoding, parts, template, inbound.carrier, "live", "fresh", now)
            self.store.enqueue(sms, inbound.id, now)
        masked_text, _ = mask_aadhaar(inbound.text)
        self.store.keep_answer(inbound, masked_text, answer, (time.perf_counter_ns() - began) // 1000)
        return answer

    def _said(self, inbound: Inbound, new: str | None) -> tuple[Said, ...]:
        """What was said: the one new input of a live USSD session (a star in it is the person's own), the inputs dialled
        with the code or gathered in a session we know nothing of, or the words of an SMS."""
        if inbound.channel != "ussd":
            return self.ear.message(inbound.text)
        if new is not None:
            return (self.ear.piece(new),)
        return tuple(map(self.ear.piece, (*inbound.dialled, *(inbound.text.split("*") if inbound.text else ()))))

    def _facts(self, known: Known, inbound: Inbound, said: Sequence[Said], now: datetime) -> Facts:
        """Everything the flows may need of this phone and of the numbers named now or answered before."""
        store, conversation = self.store, known.conversation
        answers = {**(conversation.held.answers if conversation.held else {}), **conversation.place.answers}
        linked = store.linked(inbound.phone)
        consumers = {consumer.account: consumer for consumer in linked}
        for account in {*(s.account for s in said), answers.get("account", ""), answers.get("near", "")} - consumers.keys():
            if account and (consumer := store.consumer(account)):
                consumers[account] = consumer
        pins = {*(s.pin for s in said), answers.get("pin", "")} - {""}
        feeders = {pin: store.feeders(pin) for pin in pins}
        assets = {asset for asset in map(asset_of, consumers.values()) if asset}
        assets |= {feeder_asset(feeder.code, pin) for pin, served in feeders.items() for feeder in served}
        tickets = {*(s.ticket for s in said), answers.get("ticket", "")} - {""}
        return Facts(
            now=now,
            channel=inbound.channel,
            ticket=self.ticket(),
            policy=self.policy,
            linked=linked,
            known=consumers,
            requests=store.requests(inbound.phone, consumers, assets, tickets),
            feeders=feeders,
            contexts=store.contexts(inbound.phone, now) if known.told_until > now.timestamp() * 1000 else (),
            guesses=known.guesses,
            opted_out=known.muted,
        )

    def _tell(self, tell: Tell, inbound: Inbound, lang: str, now: datetime) -> None:
        """Write the message to each phone in its own language, and open what it may be answered with."""
        phones = [tell.phone] if tell.phone else [p for p in self.store.phones_of(tell.account) if p != inbound.phone]
        limits = self.carriers[inbound.carrier].limits("sms")
        for phone in phones:
            own = phone == inbound.phone
            reply = self.voice.say(tell.text, lang if own else self.store.language(phone), replace(limits, parts=3))
            for page in reply.pages:
                self.store.enqueue(
                    Outgoing(phone, page, reply.encoding, sms_parts(page), reply.template, inbound.carrier,
                             "live" if own else "notice", "must_arrive", now),
                    inbound.id, now,
                )  # fmt: skip
            if tell.context and tell.until:
                self.store.tell(phone, tell.context, tell.account, tell.ref, now, tell.until)


def _new_input(conversation: Conversation, inbound: Inbound) -> str | None:
    """What a hop of a live session adds to what was heard; None if it adds nothing, or does not follow from it."""
    if not inbound.cumulative:
        return inbound.text
    heard, text = conversation.heard, inbound.text
    if not heard:
        return text.removeprefix("*") if text else None
    return text[len(heard) + 1 :] if text.startswith(heard + "*") else None


def _is_older(text: str, heard: str) -> bool:
    """Whether a session's cumulative text is from before what was heard: a repeat that came late."""
    return text.count("*") < heard.count("*") or (not text and bool(heard))
