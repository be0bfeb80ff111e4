"""The phone in the terminal: what is typed, and what stands under it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner

from flows.records import Conversation
from gateway.app import Gateway, assemble
from gateway.hop import now_utc
from gateway.settings import Settings
from gateway.talk import talk
from tests import town

Say = Callable[..., str]


@pytest.fixture
def town_gateway(settings: Settings) -> Iterator[Gateway]:
    """The small town, but with the clock on the wall: sending goes by it."""
    made = assemble(settings)
    town.build(made.store)
    yield made
    made.store.close()


@pytest.fixture
def say(town_gateway: Gateway) -> Say:
    """Type some lines on phone `one`, whose language is English; what the terminal shows."""
    phone = town.PHONES["one"]
    with town_gateway.store.write():
        town_gateway.store.keep_conversations([Conversation(phone, lang="en")], now_utc())

    def typed(*lines: str) -> str:
        command = click.command()(lambda: talk(town_gateway, phone))
        result = CliRunner().invoke(command, input="\n".join(lines) + "\n")
        assert result.exit_code == 0, result.output
        return result.output

    return typed


def test_dials_and_answers(say: Say) -> None:
    shown = say("*384*1912#", "3", "quit")
    assert re.search(r"^  menu\.home · en · gsm7 \d+/156 · page 1/\d · SMS parts \d · [\d.]+ ms$", shown, re.M)
    assert "  meter.kind · en" in shown


def test_dials_ahead(say: Say) -> None:
    assert "  meter.kind · en" in say("*384*1912*3#", "quit")


def test_a_message_is_answered_by_a_message(say: Say) -> None:
    shown = say("sms BIL", "inbox", "quit")
    assert "  bill.show · en" in shown
    assert shown.count("  sms| ") == 2  # when it came, and in the inbox


def test_the_same_hop_again(say: Say) -> None:
    assert "same answer: yes" in say("*384*1912#", "!", "quit")
    assert say("sms BIL", "!", "inbox", "quit").count("  sms| ") == 2  # once as it came, once in the list


def test_hanging_up_ends_the_session(say: Say) -> None:
    shown = say("*384*1912#", "3", "hangup", "1", "*384*1912#", "quit")
    assert "No session: dial *384*1912#" in shown


def test_what_the_network_refuses(say: Say) -> None:
    shown = say("*999#", "*384*19125#", "*384*1912", "help", "", "!", "quit")
    assert shown.count("invalid MMI code") == 2
    assert "a code ends with #" in shown
    assert "hangup" in shown
    assert "Nothing was delivered yet." in shown


def test_the_end_of_input_is_the_end(say: Say) -> None:
    assert say("*384*1912#").endswith("\n")
