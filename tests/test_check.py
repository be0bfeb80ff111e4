"""`gateway check` finds what does not hold, says where, and names nobody."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import pytest
from click.testing import CliRunner

from gateway.check import check, check_command
from gateway.store import Store
from gateway.store.invariants import INVARIANTS, YOUNG
from tests import town
from tests.conftest import BOTH_STORES
from tests.talking import PHONES, conversations, open_gateway


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """The small town after some hundred hops."""
    gateway = open_gateway(database)
    store, hop = gateway.store, gateway.hop
    town.build(store)
    talks = [conversations(phone, random.Random(number), town.BEGIN) for number, phone in enumerate(PHONES)]
    for group in islice(zip(*talks, strict=True), 50):
        hop.serve(group)
    yield store
    store.close()


#: What is done behind the gateway's back, and the invariant that notices.
DAMAGE = {
    "inbound.answered": "delete from outbox where inbound = (select min(inbound) from outbox where inbound like 'm-%')",
    "inbound.reason": "update inbound set page = '' where id = (select min(id) from inbound)",
    "inbound.filed": "delete from request where ticket = (select min(ticket) from request)",
    "inbound.joined": "delete from report where ticket in (select ticket from request where service = 'transformer')",
    "reply.once": """insert into outbox (phone, text, encoding, parts, template, carrier, lane, delivery, state, due_at, created, inbound)
        select phone, text, encoding, parts, template, carrier, lane, delivery, state, due_at, created, inbound
        from outbox where inbound <> '' order by id limit 1""",
    "outbox.state": "update outbox set state = 'lost' where id = (select min(id) from outbox)",
    "outbox.stuck": "update outbox set state = 'sending', worker = 'w', attempts = 1, tried = 1 where id = (select min(id) from outbox)",
    "request.source": "update request set inbound = 'nowhere' where ticket = (select min(ticket) from request)",
    "request.history": "insert into event (ticket, at, what, who) select ticket, 0, 'filed', '' from request limit 1",
    "request.reports": "update request set reports = reports + 1 where ticket = (select min(ticket) from request)",
    "request.open": "update request set state = 'done' where ticket = (select min(ticket) from request where open = 1)",
    "request.account": "update request set account = '999999999' where ticket = (select max(ticket) from request where account <> '')",
    "link.account": "update link set account = '999999999' where phone = '+915550000002'",
    "told.until": """insert into told (phone, kind, account, ref, at, until)
        values ('+915550000002', 'disconnection', '', '', 0, 99999999999999)""",
    "conversation.state": """update conversation set data = '{"phone":"+915550000002","place":{"flow":"gone","screen":"x"}}'
                             where phone = '+915550000002'""",
    "conversation.source": "delete from inbound where phone = '+915550000002' and channel = 'ussd'",
    "conversation.readable": "update conversation set data = '{' where phone = '+915550000002'",
    "schema": "delete from migration where name like '0004%'",
}


class Undone(Exception):
    """The damage is taken back."""


@BOTH_STORES
def test_conversations_leave_nothing_to_find_and_damage_is_found_where_it_is(store: Store) -> None:
    assert check(store, town.BEGIN) == []
    assert store.count("inbound") == 50 * len(PHONES)
    assert store.count("request") >= 15
    for name, damage in DAMAGE.items():
        with pytest.raises(Undone), store.write():
            assert store.database.run(damage), name
            faults = check(store, town.BEGIN)
            assert name in {fault.partition(":")[0] for fault in faults}, faults
            assert not any(phone[3:] in fault for fault in faults for phone in PHONES)
            raise Undone
    assert check(store, town.BEGIN) == []


def test_every_invariant_has_been_seen_broken() -> None:
    assert {invariant.name for invariant in INVARIANTS} <= set(DAMAGE)


def test_no_invariant_looks_through_a_whole_table_for_every_row_of_another(store: Store) -> None:
    """A million hops are to take seconds: with one such join they would take hours."""
    lists = dict.fromkeys(("filing", "joining", "closed", "states"), "''")
    for invariant in INVARIANTS:
        sql = invariant.sql.format(lanes=2, stuck=0, young=YOUNG, campaign="campaign/", **lists)
        plan = [row[-1] for row in store.database.rows(f"explain query plan {sql}", (0,) * sql.count("?"))]
        slow = [step for step in plan if step.startswith(("SCAN", "SEARCH i USING AUTOMATIC")) and "JOIN" in step]
        assert slow == [], f"{invariant.name}: no index, or one made of all hops for this query alone"


def test_the_command_ends_with_the_verdict(store: Store) -> None:
    command = check_command(lambda: store)
    good = CliRunner().invoke(command)
    assert (good.exit_code, good.output.startswith(f"everything holds; {50 * len(PHONES)} hops")) == (0, True)
    with store.write():
        store.database.run(DAMAGE["link.account"])
    bad = CliRunner().invoke(command)
    assert bad.exit_code == 1
    assert "link.account: +91******0002: the phone is linked to an account that does not exist" in bad.output
    assert "1 faults" in bad.output
