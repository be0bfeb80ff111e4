"""One hop, six steps: hear, recall, step, say, keep, answer.

A group of hops of different phones shares one transaction, so that one sync of the disk serves them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import randbelow
from typing import NamedTuple

import structlog

from flows.records import INDIA, Conversation, Effect, Facts, File, Policy, Said, Take, Tell, Text, Watch, replace
from flows.step import stand, step
from flows.verhoeff import with_check_digit
from gateway import metrics
from gateway.aliases import LiveEar
from gateway.carriers import Carrier
from gateway.loops import Loops
from gateway.pen import Pen
from gateway.recall import Heard, facts_of, is_older
from gateway.records import Answer, Inbound, masked
from gateway.store.mailbox import Mailbox
from gateway.store.readings import Readings
from gateway.store.sql import Conflict, Outgoing, Store
from messages import Voice
from messages.encoding import measure, sms_parts
from messages.understand import mask_aadhaar

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


class Spoken(NamedTuple):
    """What a hop comes to, before any of it is kept."""

    inbound: Inbound
    answer: Answer
    after: Conversation
    effects: Sequence[Effect]
    sms: list[Outgoing]


@dataclass(frozen=True, slots=True)
class Hop:
    """Everything a hop needs; `serve` is the whole of it."""

    store: Store
    voice: Voice
    ear: LiveEar
    policy: Policy
    carriers: Mapping[str, Carrier]
    pen: Pen
    loops: Loops
    clock: Callable[[], datetime] = now_utc
    ticket: Callable[[], str] = fresh_ticket
    #: One rides in every hop's facts and few are spent: what is not spent serves the next hop.
    unspent: list[str] = field(default_factory=list)

    def serve(self, group: Sequence[Inbound]) -> list[Answer]:
        """Answer a group of inbounds, each of another phone, in their order, once all of it is durable.

        A hop that fails does not sink its neighbours: it is served alone afterwards, and so is each of the group when the
        store refuses what the group wrote. One that fails alone is put aside and its phone is told politely. Raises
        Unavailable when nothing can be kept.
        """
        try:
            with self.store.write([inbound.phone for inbound in group]):
                answers = self._serve(group)
        except Exception as error:
            if self.store.database.is_trouble(error):
                raise Unavailable(str(error)) from error
            if len(group) > 1:
                return [self.serve([inbound])[0] for inbound in group]
            return [self._serve_alone(group[0], error)]
        metrics.served(group, answers)
        tell = log.info  # once a group: finding it costs more than calling it
        for inbound, answer in zip(group, answers, strict=True):
            if not isinstance(answer, Exception):
                tell("hop", hop=inbound.id, carrier=inbound.carrier, channel=inbound.channel, phone=masked(inbound.phone),
                         screen=answer.screen, lang=answer.lang, ends=answer.ends)  # fmt: skip
        return [
            self._serve_alone(inbound, answer) if isinstance(answer, Exception) else answer
            for inbound, answer in zip(group, answers, strict=True)
        ]

    def _serve_alone(self, inbound: Inbound, error: Exception) -> Answer:
        for _ in range(TRIES):
            if self.store.database.is_trouble(error):
                raise Unavailable(str(error)) from error
            if not isinstance(error, Conflict):
                break
            try:
                with self.store.write([inbound.phone]):
                    answer = self._serve([inbound])[0]
            except Exception as next_error:
                error = next_error
            else:
                if not isinstance(answer, Exception):
                    return answer
                error = answer
        metrics.FAILED.inc()
        log.error("hop.failed", hop=inbound.id, phone=masked(inbound.phone), exc_info=error)
        masked_text, _ = mask_aadhaar(inbound.text)
        self.store.quarantine(inbound, inbound.channel, type(error).__name__, self.clock(), masked_text)
        return self._say_only(inbound, "sorry")

    def busy(self, inbound: Inbound, lang: str | None = None) -> Answer:
        """A page that asks to try again shortly; without a `lang` the store is asked for it. Nothing is kept."""
        return self._say_only(inbound, "busy", lang)

    def _say_only(self, inbound: Inbound, screen: str, lang: str | None = None) -> Answer:
        """A page of our own trouble, in the phone's language if that can be read: the store may be away, or the row damaged."""
        if lang is None:
            try:
                lang = self.store.language(inbound.phone)
            except Exception:
                lang = ""
        reply = self.voice.say(Text("menu", screen, ends=True), lang, self.carriers[inbound.carrier].limits("ussd"))
        return Answer(reply.pages[0], True, f"menu.{screen}", lang)

    # --- the six steps ----------------------------------------------------------------------------------------------

    def _serve(self, group: Sequence[Inbound]) -> list[Answer | Exception]:
        """Recall for all of them, step and say each, keep all of it. What fails in between has written nothing yet."""
        began, now = time.perf_counter_ns(), self.clock()
        known = self.store.visit([inbound.phone for inbound in group], now.astimezone(INDIA).date())
        hops = [Heard(inbound, known[inbound.phone]) for inbound in group]
        again = self.store.answered([(hop.inbound.phone, hop.inbound.id) for hop in hops if not hop.is_surely_new])
        messages = [hop.inbound for hop in hops if hop.inbound.channel == "sms" and hop.inbound.id not in again]
        if messages:
            again |= self._twins(messages)
        fresh = [hop for hop in hops if hop.inbound.id not in again] if again else hops
        for hop in hops if again else ():
            if hop.inbound.id in again:
                metrics.DUPLICATES.labels(hop.inbound.channel).inc()
        for hop in fresh:
            hop.said = self._said(hop)
        served: dict[str, Spoken | Exception] = {}
        for hop, facts in zip(fresh, facts_of(fresh, self.store, self.policy, now, self._ticket), strict=True):
            try:
                one = served[hop.inbound.id] = self._silence(hop) or self._speak(hop, facts)
            except Exception as error:
                served[hop.inbound.id] = error
            else:
                if not any(isinstance(effect, File) for effect in one.effects):
                    self.unspent.append(facts.ticket)
        spoken = [one for one in served.values() if not isinstance(one, Exception)]
        self._keep(spoken, now, (time.perf_counter_ns() - began) // 1000 // len(group))
        return [
            again[hop.inbound.id] if hop.inbound.id in again
            else answer.answer if isinstance(answer := served[hop.inbound.id], Spoken) else answer
            for hop in hops
        ]  # fmt: skip

    def _twins(self, inbounds: Iterable[Inbound]) -> dict[str, Answer]:
        """What SMS were answered that have come before under another id: brought by a webhook and fetched as well."""
        mailbox = Mailbox(self.store)
        twins = ((i.id, mailbox.twin(i, mask_aadhaar(i.text)[0])) for i in inbounds if hasattr(self.carriers[i.carrier], "fetch"))
        return {id_: answer for id_, answer in twins if answer}

    def _silence(self, hop: Heard) -> Spoken | None:
        """No answer at all, for what no person can have written."""
        inbound, conversation = hop.inbound, hop.known.conversation
        if inbound.channel != "sms":
            return None
        first = hop.said[0] if hop.said else Said()
        is_answer = bool(first.number) or (bool(first.answers) and len(first.raw.split()) == 1)
        why = self.loops.why_silent(inbound, mask_aadhaar(inbound.text)[0], is_answer=is_answer)
        if not why or first.intent == "STOP":
            return None
        metrics.SILENCED.labels(why).inc()
        log.warning("hop.silent", hop=inbound.id, phone=masked(inbound.phone), why=why)
        return Spoken(inbound, Answer("", True, f"silent.{why}", conversation.lang), conversation, (), [])

    def _speak(self, hop: Heard, facts: Facts) -> Spoken:
        """Step and say."""
        inbound, conversation, new = hop.inbound, hop.known.conversation, hop.new
        ussd = inbound.channel == "ussd"
        if hop.live and new is None:
            turn = stand(conversation, facts)
        else:
            turn = step(conversation, hop.said, facts, dialled=ussd and not hop.live, lost=inbound.lost)
        after = turn.conversation
        if turn.text is None:
            page, screen, last = after.pages[after.page], conversation.place.screen, after.page + 1 == len(after.pages)
            answer = Answer(page, last and not after.place.screen, f"{conversation.place.flow}.{screen}", after.lang)
            encoding, parts, pages = measure(page).encoding, sms_parts(page), after.pages
        else:
            reply = self.voice.say(turn.text, after.lang, self.carriers[inbound.carrier].limits("ussd" if ussd else "sms"))
            whole = len(reply.pages) == 1
            pages = after.pages if whole else reply.pages
            answer = Answer(reply.pages[0], reply.ends and whole, f"{turn.text.flow}.{turn.text.screen}", after.lang)
            encoding, parts = reply.encoding, reply.parts
        if ussd and not (hop.live and inbound.cumulative and is_older(inbound.text, conversation.heard)):
            heard, _ = mask_aadhaar(inbound.text)
            after = replace(after, pages=pages, session=inbound.session, heard=heard, seen=facts.now)
        else:
            after = replace(after, pages=pages, seen=facts.now)
        sms: list[Outgoing] = []
        if not ussd:
            sms.append(self.pen.reply(inbound, answer, encoding, parts, facts.now))
        return Spoken(inbound, answer, after, turn.effects, sms)

    def _keep(self, spoken: Sequence[Spoken], now: datetime, micros: int) -> None:
        """Conversations, effects, messages and answers of the whole group."""
        store = self.store
        store.keep_conversations([one.after for one in spoken], now)
        sms: list[Outgoing] = []
        begun: list[Inbound] = []
        for one in spoken:
            for effect in one.effects:
                if isinstance(effect, Tell):
                    sms += self._tell(effect, one.inbound, one.after.lang, now)
                elif isinstance(effect, Take):
                    Readings(store.database).keep(effect, one.inbound.phone, now)
                elif isinstance(effect, Watch):
                    begun.append(one.inbound)
                else:
                    store.keep_effect(effect, one.inbound, now)
            sms += one.sms
        if begun:
            store.watch(begun, now)
        if sms:
            store.enqueue(sms)
        store.keep_answers([(one.inbound, mask_aadhaar(one.inbound.text)[0], one.answer) for one in spoken], micros)

    def _said(self, hop: Heard) -> tuple[Said, ...]:
        """What was said: the one new input of a live USSD session (a star in it is the person's own), the inputs dialled
        with the code or gathered in a session we know nothing of, or the words of an SMS. A single input of such a session
        says nothing, since it answers a question we have forgotten; nor does a missed call."""
        inbound = hop.inbound
        if inbound.channel == "missed":
            return ()
        if inbound.channel == "sms":
            return self.ear.message(inbound.text)
        if hop.live:
            return (self.ear.piece(hop.new),) if hop.new is not None else ()
        gathered = inbound.text.split("*") if inbound.text and inbound.cumulative else ()
        return tuple(map(self.ear.piece, (*inbound.dialled, *gathered)))

    def _ticket(self) -> str:
        try:
            return self.unspent.pop()
        except IndexError:
            return self.ticket()

    def _tell(self, tell: Tell, inbound: Inbound, lang: str, now: datetime) -> list[Outgoing]:
        """The message to each phone in its own language; what it may be answered with is opened."""
        sms = []
        for phone in [tell.phone] if tell.phone else self._others(tell.account, inbound.phone):
            own = phone == inbound.phone
            sms += self.pen.compose(tell.text, phone, now=now, lang=lang if own else None, carrier=inbound.carrier,
                                    channel=inbound.channel, inbound=inbound.id, lane="live" if own else None)  # fmt: skip
            if tell.context and tell.until:
                self.store.tell(phone, tell.context, tell.account, tell.ref, now, tell.until)
        return sms

    def _others(self, account: str, phone: str) -> list[str]:
        """The phones linked to an account, without this one."""
        return [other for other in self.store.phones_of([account])[account] if other != phone]
