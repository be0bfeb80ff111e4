"""A feature phone in the terminal: dial, answer, send and read messages, through the same hop as every carrier."""

from __future__ import annotations

import threading
import time

import click

from gateway.app import Gateway
from gateway.carriers.phone import Handset, NotHere, Phone
from gateway.hop import Unavailable, now_utc
from gateway.outbox import Outbox
from gateway.phone.strip import Shown, shown
from gateway.records import Answer, Inbound

HELP = """  {code}    dial; answers may follow, as in {ahead}
  1, 2, ...     answer the question (or words, where words are asked)
  sms BIL       send a message to {shortcode}
  {missed}         a missed call, answered with the bill by SMS
  inbox         all messages
  !             deliver the last hop again
  hangup        drop the session
  quit"""
#: What the network answers itself.
NETWORK = {"code": "Connection problem or invalid MMI code.", "call": "No voice calls here; a code ends with #.",
           "session": "No session: dial {code}, or send `sms BIL`. `help` tells more."}  # fmt: skip
#: How long the answer to a message is waited for, and how often it is looked for, in seconds.
PATIENCE, LOOK = 8.0, 0.05


class Talk:
    """One conversation at the terminal."""

    def __init__(self, gateway: Gateway, phone: str, wake: threading.Event) -> None:
        self.gateway = gateway
        self.wake = wake
        self.carrier = gateway.carriers[Phone.name]
        self.handset = Handset(phone, gateway.settings.ussd_code, gateway.settings.missed_number)
        self.before: Answer | None = None
        self.said = ""
        self.seen = 0
        self.new_messages()

    def do(self, line: str) -> None:
        """Do what was typed."""
        verb, _, rest = line.partition(" ")
        try:
            match verb.lower():
                case "!" if self.handset.last is None:
                    click.echo("Nothing was delivered yet.")
                case "!" if self.handset.last is not None:
                    self.hop(self.handset.last, self.said, self.before)
                case "sms" if rest.strip():
                    self.hop(self.handset.sms(rest.strip(), now_utc()), line)
                case "hangup":
                    self.handset.hang_up()
                    click.secho("  (hung up)", dim=True)
                case "inbox":
                    self.seen = 0
                    if not self.show_messages():
                        click.echo("No messages yet.")
                case "help" | "?":
                    code = self.gateway.settings.ussd_code
                    click.echo(
                        HELP.format(
                            code=code,
                            ahead=f"{code[:-1]}*6#",
                            shortcode=self.gateway.settings.shortcode,
                            missed=self.handset.missed_number,
                        )
                    )
                case _ if line.startswith("*") or line == self.handset.missed_number:
                    self.hop(self.handset.dial(line, now_utc()), line)
                case _:
                    self.hop(self.handset.answer(line, now_utc()), line)
        except NotHere as why:
            click.echo(NETWORK[str(why)].format(code=self.gateway.settings.ussd_code))
        except Unavailable:
            click.echo("Network busy: the database cannot be written just now.")

    def hop(self, inbound: Inbound, said: str, before: Answer | None = None) -> None:
        """One hop, what the phone shows for it, and one dim line for the developer."""
        began = time.perf_counter_ns()
        answer = self.gateway.hop.serve([inbound])[0]
        micros = (time.perf_counter_ns() - began) // 1000
        self.wake.set()
        after = self.gateway.store.recall(inbound.phone, now_utc().date()).conversation
        hop = shown(said, inbound.channel, answer, self.carrier.limits(inbound.channel), after, micros)
        self.said, self.before = said, answer
        if inbound.channel == "ussd":
            click.echo("\n".join(f"  | {row}" for row in answer.page.split("\n")))
            if answer.ends and inbound.session == self.handset.session:
                self.handset.hang_up()
        click.secho(strip(hop, before), dim=True)
        if not self.show_messages() and inbound.channel != "ussd" and before is None:
            self.wait_for_messages()

    def wait_for_messages(self) -> None:
        """The answer to a message comes by the outbox."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self.show_messages():
                return
            time.sleep(LOOK)
        click.echo("  (the answer still waits in the outbox; `inbox` shows it when it has come)")

    def show_messages(self) -> bool:
        """The messages that have come since the last look; whether there were any."""
        new = self.new_messages()
        for text, encoding, parts in new:
            click.echo("\n".join(f"  sms| {row}" if not at else f"     | {row}" for at, row in enumerate(text.split("\n"))))
            click.secho(f"  {encoding}, {parts} {'part' if parts == 1 else 'parts'}", dim=True)
        return bool(new)

    def new_messages(self) -> list[tuple[str, str, int]]:
        """Text, encoding and parts of the messages since the last look."""
        new = []
        while rows := self.gateway.store.inbox(self.handset.phone, self.seen):
            self.seen = rows[-1][0]
            new += [(text, encoding, parts) for _, text, encoding, parts, _, _ in rows]
        return new


def strip(hop: Shown, before: Answer | None) -> str:
    """A hop in one line."""
    facts = [hop.screen, hop.lang or "no language", f"{hop.encoding} {hop.units}/{hop.limit}", f"page {hop.number}/{hop.pages}",
             f"SMS parts {hop.parts}", f"{hop.micros / 1000:.2f} ms"]  # fmt: skip
    if before is not None:
        facts.append(f"same answer: {'yes' if before.page == hop.page and before.ends == hop.ends else 'no'}")
    return "  " + " · ".join(facts + (["the session ends"] if hop.ends else []))


def talk(gateway: Gateway, phone: str) -> None:
    """Talk until `quit`. This phone's messages are sent from here too, in case no worker runs; no other carrier's are."""
    wake, stop = threading.Event(), threading.Event()
    rules = gateway.settings.sending(Phone.name)
    outbox = Outbox(gateway.store, gateway.carriers[Phone.name], rules, senders=1, wake=wake)
    worker = threading.Thread(target=outbox.run, args=(stop,))
    worker.start()
    try:
        talking = Talk(gateway, phone, wake)
        click.echo(f"{phone}: dial {gateway.settings.ussd_code} or send `sms BIL`; `help` tells more.")
        while True:
            line = click.prompt("", prompt_suffix="> ", default="", show_default=False).strip()
            if line.lower() == "quit":
                break
            if line:
                talking.do(line)
    except (click.Abort, EOFError):
        click.echo()
    finally:
        stop.set()
        wake.set()
        worker.join()
