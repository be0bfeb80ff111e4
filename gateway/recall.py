"""What a group of hops needs to know, read for all of them in a few queries: a flow never asks the store mid-way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NamedTuple

from flows.flow import is_open
from flows.records import Consumer, Conversation, Facts, Feeder, Policy, Request, Said
from flows.transformer import asset_of, feeder_asset
from gateway.records import Inbound
from gateway.store.readings import Readings
from gateway.store.sql import NONE, Known, Store, millis
from messages.understand import MASK, mask_aadhaar

#: Where a staff number is asked for.
GENUINE = ("help", "genuine")


class Heard:
    """An inbound with what is known of its phone."""

    __slots__ = ("inbound", "known", "live", "new", "said")

    def __init__(self, inbound: Inbound, known: Known) -> None:
        self.inbound = inbound
        self.known = known
        #: Whether it belongs to the USSD session this phone was last heard in.
        self.live = inbound.channel == "ussd" and inbound.session == known.conversation.session
        self.new = _new_input(known.conversation, inbound) if self.live else None
        self.said: tuple[Said, ...] = ()

    @property
    def is_surely_new(self) -> bool:
        """Whether it cannot have been answered before: a cumulative text that goes on from where a live session stands."""
        return self.new is not None and self.inbound.cumulative


class Named(NamedTuple):
    """The numbers a hop is about: named now, or answered before in the question that is open or in the one that is held;
    staff numbers only where it is asked whether one is genuine."""

    accounts: AbstractSet[str] = NONE
    pins: AbstractSet[str] = NONE
    tickets: AbstractSet[str] = NONE
    staff: AbstractSet[str] = NONE


NOTHING = Named()


def _named(hop: Heard) -> Named:
    place, held = hop.known.conversation.place, hop.known.conversation.held
    asks_staff = (place.flow, place.screen) == GENUINE
    if not place.answers and held is None and not asks_staff:
        for said in hop.said:
            if said.account or said.pin or said.ticket or said.intent == "GENUINE":
                break
        else:
            return NOTHING  # as half of the hops do: a digit on a menu
    accounts, pins, tickets, staff = set[str](), set[str](), set[str](), set[str]()
    for said in hop.said:
        accounts.add(said.account)
        pins.add(said.pin)
        tickets.add(said.ticket)
        if said.intent == "GENUINE":
            staff.update(re.findall(r"\d{1,12}", said.words))
        elif asks_staff:
            staff.add(said.number)
    for answers in (place.answers, held.answers if held else {}):
        if answers:
            accounts.update((answers.get("account", ""), answers.get("near", "")))
            pins.add(answers.get("pin", ""))
            tickets.add(answers.get("ticket", ""))
    for numbers in (accounts, pins, tickets, staff):
        numbers.discard("")
    return Named(accounts, pins, tickets, staff)


def facts_of(hops: Sequence[Heard], store: Store, policy: Policy, now: datetime, ticket: Callable[[], str]) -> list[Facts]:
    """Everything the flows may need of each phone and of the numbers its hop is about."""
    at = millis(now)
    phones = [hop.inbound.phone for hop in hops]
    named = [_named(hop) for hop in hops]
    by_phone = store.linked(phones)
    readings = Readings(store.database)
    perhaps = [hop.inbound.phone for hop in hops if hop.known.reads]
    readers = readings.readers(perhaps, _all(one.accounts for one in named), now) if perhaps else {}
    if readers:
        for index, phone in enumerate(phones):
            if phone in readers and readers[phone].next:
                named[index] = named[index]._replace(accounts={*named[index].accounts, readers[phone].next})
    named_at_all = [one for one in named if one is not NOTHING]
    staff = readings.staff(_all(one.staff for one in named_at_all)) if named_at_all else {}
    feeders = store.feeders(_all(one.pins for one in named_at_all)) if named_at_all else {}
    known = [{consumer.account: consumer for consumer in by_phone[phone].consumers} for phone in phones]
    if named_at_all:
        others = store.consumers(_all(one.accounts - mine.keys() for one, mine in zip(named, known, strict=True)))
        for one, mine in zip(named, known, strict=True) if others else ():
            mine.update((account, others[account]) for account in one.accounts & others.keys())
    assets = [_assets(consumers, one.pins, feeders) for consumers, one in zip(known, named, strict=True)]
    named_or_open = store.requests(phones, _all(known), _all(assets), _all(one.tickets for one in named_at_all))
    requests = _by_what_they_name(named_or_open)
    reported = store.reported(phones) if any(request.asset for request in named_or_open) else {}
    return [
        Facts(
            now=now,
            channel=hop.inbound.channel,
            ticket=ticket(),
            policy=policy,
            linked=by_phone[phone].consumers,
            noted=by_phone[phone].noted,
            known=consumers,
            requests=_requests((phone, *consumers, *about, *one.tickets), requests) if requests else (),
            feeders={pin: feeders[pin] for pin in one.pins} if one.pins else {},
            contexts=store.contexts(phone, now) if hop.known.told_until > at else (),
            reported=reported.get(phone, NONE),
            guesses=hop.known.guesses,
            opted_out=hop.known.muted,
            lapsed=0 < hop.known.told_until <= at,
            reader=readers.get(phone),
            staff=staff,
        )
        for hop, phone, one, consumers, about in zip(hops, phones, named, known, assets, strict=True)
    ]


def _all(several: Iterable[Iterable[str]]) -> list[str]:
    """What is in any of them, each once."""
    return [*set().union(*several)]


def _assets(consumers: Mapping[str, Consumer], pins: AbstractSet[str], feeders: Mapping[str, Sequence[Feeder]]) -> set[str]:
    """What reports about these connections, or about a place with these PIN codes, could be about."""
    assets = {asset_of(consumer) for consumer in consumers.values()}
    assets.discard("")
    return assets.union(feeder_asset(feeder.code, pin) for pin in pins for feeder in feeders[pin]) if pins else assets


def _by_what_they_name(requests: Iterable[Request]) -> dict[str, dict[str, Request]]:
    """Requests under their ticket and, while they are open, under their phone, account and asset."""
    found: dict[str, dict[str, Request]] = {}
    for request in requests:
        names = (request.phone, request.account, request.asset) if is_open(request) else ()
        for name in (request.ticket, *names):
            if name:
                found.setdefault(name, {})[request.ticket] = request
    return found


def _requests(names: Iterable[str], named: Mapping[str, Mapping[str, Request]]) -> tuple[Request, ...]:
    """The requests under any of these names, the oldest first."""
    found: dict[str, Request] = {}
    for name in names:
        if name in named:
            found |= named[name]
    return tuple(sorted(found.values(), key=lambda request: request.filed)) if found else ()


# --- what is new in a USSD hop --------------------------------------------------------------------------------------


def _new_input(conversation: Conversation, inbound: Inbound) -> str | None:
    """What a hop of a live session adds to what was heard; None if it adds nothing, or does not follow from it."""
    if not inbound.cumulative:
        return inbound.text
    heard, text = conversation.heard, inbound.text
    if not heard:
        return text.removeprefix("*") if text else None
    if MASK in heard:  # what is new begins behind as many stars
        return text.split("*", heard.count("*") + 1)[-1] if mask_aadhaar(text)[0].startswith(heard + "*") else None
    return text[len(heard) + 1 :] if text.startswith(heard + "*") else None


def is_older(text: str, heard: str) -> bool:
    """Whether a session's cumulative text is from before what was heard: a repeat that came late."""
    return text.count("*") < heard.count("*") or (not text and bool(heard))
