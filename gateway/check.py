"""`gateway check`: whether everything that must hold of what is kept does hold; run daily, and after every crash test.

Each fault is one line: the invariant's name, where (an id; phones masked), and what is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime

import click
import msgspec

from flows import FLOWS
from flows.casework import CLOSED
from flows.flow import rows_of
from flows.records import Conversation, Place
from gateway.hop import now_utc
from gateway.records import masked
from gateway.store import Store
from gateway.store.invariants import INVARIANTS, NAMED, Invariants
from gateway.store.queue import STATES
from gateway.store.sql import millis
from messages.catalogue import LANGUAGES
from messages.understand import mask_aadhaar


def check(store: Store, now: datetime) -> list[str]:
    """Every fault, one line each; of many of one kind the first few and a line that says so."""
    invariants = Invariants(store)
    lists = {"filing": _reached_by("file"), "joining": _reached_by("join"), "closed": sorted(CLOSED), "states": STATES}
    faults = [f"schema: migration {name!r} has not been run: `gateway release`" for name in invariants.missing_migrations()]
    faults += [f"database: {line}" for line in invariants.integrity()]
    for invariant in INVARIANTS:
        where = invariants.broken(invariant, millis(now), lists)
        faults += [f"{invariant.name}: {_unnamed(one)}: {invariant.wrong}" for one in where[:NAMED]]
        if len(where) > NAMED:
            faults.append(f"{invariant.name}: and more of these")
    faults += _conversation_faults(invariants)
    return faults


def _conversation_faults(invariants: Invariants) -> Iterator[str]:
    """Conversations that cannot be read, stand nowhere, or were moved by a hop that should still be kept and is not."""
    decode = msgspec.json.Decoder(Conversation).decode
    young = invariants.young()
    for group, hops in invariants.conversations():
        for phone, data, seen in group:
            try:
                conversation = decode(data)
            except msgspec.DecodeError as error:
                yield f"conversation.readable: {masked(phone)}: {error}"
                continue
            if conversation.phone != phone:
                yield f"conversation.readable: {masked(phone)}: it is another phone's"
            why = _stands_nowhere(conversation)
            if why:
                yield f"conversation.state: {masked(phone)}: {why}"
            heard = (phone, conversation.session, mask_aadhaar(conversation.heard)[0])
            lost = conversation.session and seen >= young and heard not in hops
            if lost and not (young and invariants.has_texted(phone)):  # after a purge the messages since may be all that is left
                yield f"conversation.source: {masked(phone)}: it was moved by a USSD hop that is not kept"


def _stands_nowhere(conversation: Conversation) -> str:
    """Why a conversation is in no known state; empty if it is in one."""
    for place in filter(None, (conversation.place, conversation.held)):
        if not _is_known(place):
            return f"there is no screen {place.flow}.{place.screen}"
        unknown = [screen for screen in place.trail if screen not in FLOWS[place.flow].screens]
        if unknown:
            return f"the way back leads to {place.flow}.{unknown[0]}, which is not there"
    if conversation.lang not in ("", *LANGUAGES):
        return f"the language {conversation.lang!r} is not spoken"
    if conversation.page and conversation.page >= len(conversation.pages):
        return f"page {conversation.page + 1} of {len(conversation.pages)} is shown"
    if conversation.lang and conversation.ahead:
        return "answers dialled before a language was chosen are still kept"
    return ""


def _is_known(place: Place) -> bool:
    return place.flow in FLOWS and (not place.screen or place.screen in FLOWS[place.flow].screens)


def _reached_by(then: str) -> list[str]:
    """The screens that are only ever reached by doing this: seeing one says that it was done."""
    done: set[str] = set()
    otherwise: set[str] = set()
    for flow in FLOWS.values():
        for _, _, to, _, methods in rows_of(flow):
            does = any(method.startswith(then) for method in methods)
            (done if does else otherwise).add(f"{flow.name}.{to}")
    return sorted(done - otherwise)


def _unnamed(where: str) -> str:
    """A place as a log may hold it."""
    return masked(where) if where.startswith("+") else where


def check_command(opened: Callable[[], Store]) -> click.Command:
    """`gateway check`; `opened` is called when the command runs."""

    @click.command("check")
    def command() -> None:
        """Check what must always hold of what is kept; exit code 1 and a line each where it does not."""
        began = time.monotonic()
        with closing(opened()) as store:
            with store.database.unhurried():
                faults = check(store, now_utc())
            for fault in faults:
                click.echo(fault)
            invariants = Invariants(store)
            if aside := invariants.put_aside():
                click.echo(f"note: {aside} inbounds are put aside because of faults of our own; see the table quarantine")
            took = f"{invariants.hops()} hops looked at in {time.monotonic() - began:.1f} s"
        if faults:
            raise SystemExit(f"gateway: {len(faults)} faults; {took}")
        click.echo(f"everything holds; {took}")

    return command
