"""The office's commands: files in and out, meter readers, how far linking is, reminders and notices, data protection."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable

import click

from flows.reader import mobile_number
from flows.records import Name
from gateway.api import key_command
from gateway.app import Gateway
from gateway.campaigns import REASONS, Office
from gateway.duties import Keeper
from gateway.export import export_command
from gateway.fields import MOST_PAISE
from gateway.intake import Opened, import_command
from gateway.records import masked
from gateway.staff import console
from gateway.store.campaigns import Selection
from gateway.store.readings import Readings
from messages.catalogue import rupees

Opener = Callable[[], Gateway]


def add_commands(main: click.Group, opened: Opener) -> None:
    """Put them beside the others; `opened` opens the gateway when a command runs."""

    def for_import() -> Opened:
        gateway = opened()
        return Opened(gateway.store, gateway.settings.ca_pattern, gateway.billing().hooks)

    main.add_command(import_command(for_import))
    main.add_command(export_command(lambda: opened().store))
    main.add_command(key_command)
    main.add_command(_readers(opened))
    main.add_command(_linking(opened))
    main.add_command(_campaigns(opened))
    for command in _duties(opened):
        main.add_command(command)


def _phone(gateway: Gateway, given: str) -> str:
    """A phone as typed. Raises ClickException."""
    phone = mobile_number(re.sub(r"[\s+-]", "", given), gateway.hop.policy)
    if not phone:
        raise click.ClickException(f"{given[:20]}: a mobile number has 10 digits")
    return phone


# --- meter readers ----------------------------------------------------------------------------------------------------


def _readers(opened: Opener) -> click.Group:
    @click.group("reader")
    def group() -> None:
        """Meter readers and their rounds."""

    @group.command("add")
    @click.argument("staff")
    @click.argument("phone")
    @click.argument("section")
    @click.option("--name", default="", help="the reader's name, for the office only")
    def add(staff: str, phone: str, section: str, name: str) -> None:
        """Give a reader's PHONE the accounts of a SECTION that no other reader has; STAFF is the number on the card."""
        gateway = opened()
        if not re.fullmatch(r"[0-9]{3,12}", staff):
            raise click.ClickException("STAFF: 3 to 12 digits, as on the card")
        number, database = _phone(gateway, phone), gateway.store.database
        try:
            with gateway.store.write():
                count = Readings(database).add_reader(staff, number, Name(latin=name), section)
        except Exception as error:
            if not database.is_duplicate(error):
                raise
            raise click.ClickException(f"{masked(number)} is another reader's phone: gateway reader list") from None
        click.echo(f"reader {staff}: {count} accounts of section {section}")

    @group.command("remove")
    @click.argument("staff")
    def remove(staff: str) -> None:
        """The reader's phone and number count no more."""
        gateway = opened()
        with gateway.store.write():
            known = Readings(gateway.store.database).dismiss_reader(staff)
        if not known:
            raise click.ClickException(f"{staff}: no active reader has this number")
        click.echo(f"reader {staff} is removed; the round is free")

    @group.command("list")
    def list_() -> None:
        """Every active reader."""
        for staff, phone, name, section, accounts in Readings(opened().store.database).list_readers():
            click.echo(f"{staff}  {masked(phone)}  section {section}  {accounts} accounts  {name}")

    return group


def _linking(opened: Opener) -> click.Command:
    @click.command("linking")
    def command() -> None:
        """How many accounts have a phone, by section, and how many got their first in each of the last 8 weeks."""
        gateway = opened()
        sections = Readings(gateway.store.database).linking(gateway.hop.clock())
        if sections:
            weeks = "  ".join(f"{day:%d-%m}" for day in sections[0].weeks)
            click.echo(f"{'section':20} {'accounts':>8} {'linked':>7} {'confirmed':>9} {'left':>6}   weeks from {weeks}")
        for one in sections:
            weeks = "  ".join(f"{count:5}" for count in one.weeks.values())
            click.echo(f"{one.name.latin[:20]:20} {one.accounts:8} {one.linked:7} {one.confirmed:9} "
                       f"{one.accounts - one.linked:6}              {weeks}")  # fmt: skip
        left = sum(one.accounts - one.linked for one in sections)
        pace = sum(sum(one.weeks.values()) for one in sections) / max(1, len(sections[0].weeks) if sections else 1)
        more = f": {-(-left // pace):.0f} weeks at the pace of the last ones" if pace else ""
        click.echo(f"{left} accounts have no phone{more if left else ''}")

    return command


# --- campaigns --------------------------------------------------------------------------------------------------------


def _selected(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that choose whom a campaign is for."""
    for decorate in (
        click.option("--at-least", type=click.IntRange(0, MOST_PAISE // 100), default=0, help="least amount in rupees"),
        click.option("--category", default="", help="tariff category such as DS-II"),
        click.option("--section", default="", help="code of a section"),
        click.argument("kind", type=click.Choice(["due", "overdue", "notice"])),
    ):
        command = decorate(command)
    return command


def _campaigns(opened: Opener) -> click.Group:
    def office(gateway: Gateway) -> Office:
        return Office(gateway.store, gateway.pen, gateway.settings)

    @click.group("campaign")
    def group() -> None:
        """Reminders before the due day (due), after it (overdue), and the notice before disconnection (notice)."""

    @group.command("preview")
    @_selected
    def preview(kind: str, section: str, category: str, at_least: int) -> None:
        """Who would be written to, in how many SMS parts, at what price, and who is left out and why."""
        gateway = opened()
        seen = office(gateway).preview(_selection(kind, section, category, at_least), gateway.hop.clock())
        click.echo(f"{seen.accounts} accounts, {seen.phones} phones, {seen.parts} SMS parts, Rs {rupees(seen.paise)}")
        for lang, text in sorted(seen.samples.items()):
            click.echo(f"[{lang}] {text}")
        for why, count in sorted(seen.left_out.items()):
            click.echo(f"left out: {count}: {REASONS[why]}")

    @group.command("start")
    @_selected
    def start(kind: str, section: str, category: str, at_least: int) -> None:
        """Start a campaign; the sending worker works it off."""
        gateway = opened()
        chosen = _selection(kind, section, category, at_least)
        id_ = office(gateway).start(chosen, getpass.getuser(), gateway.hop.clock())
        click.echo(f"campaign {id_} is under way: gateway campaign list")

    def move(name: str, says: str, done: Callable[[Office, int, Gateway], bool]) -> None:
        @group.command(name, help=says)
        @click.argument("id", type=int)
        def command(id: int) -> None:
            gateway = opened()
            if not done(office(gateway), id, gateway):
                raise click.ClickException(f"campaign {id} cannot be changed so: see gateway campaign list")
            click.echo(f"campaign {id}: {name}")

    move("pause", "Hold a campaign.", lambda office, id_, gateway: office.pause(id_))
    move("resume", "Go on with a paused campaign.", lambda office, id_, gateway: office.resume(id_))
    move("stop", "End a campaign; what has not gone out never does.",
         lambda office, id_, gateway: office.stop(id_, gateway.hop.clock()))  # fmt: skip

    @group.command("list")
    def list_() -> None:
        """All campaigns with their progress."""
        for one in office(opened()).all():
            chosen = one.selection
            where = " ".join(filter(None, (chosen.section, chosen.category))) or "all"
            more = "" if one.filled or one.state in ("stopped", "done") else " and more to come"
            made = f"{one.made:%d-%m-%Y %H:%M} UTC by {one.who}"
            click.echo(f"{one.id}  {chosen.kind} {where} from Rs {rupees(chosen.at_least)}  {one.state}  {one.sent} sent, "
                       f"{one.waiting} waiting{more}, {one.cleared} cleared  {made}")  # fmt: skip

    return group


def _selection(kind: str, section: str, category: str, at_least: int) -> Selection:
    kinds = {"due": "due", "overdue": "overdue", "notice": "notice"}
    return Selection(kinds[kind], section, category, at_least * 100)  # type: ignore[arg-type]


# --- data protection --------------------------------------------------------------------------------------------------


def _duties(opened: Opener) -> list[click.Command]:
    @click.command("purge")
    def purge() -> None:
        """Erase what is older than the keep_... settings say; a worker does so every night."""
        gateway = opened()
        for what, count in Keeper(gateway.store, gateway.settings).purge(gateway.hop.clock()).items():
            if count:
                click.echo(f"{count} {what}")

    def command(name: str, says: str, act: Callable[[Keeper], Callable[..., dict[str, int]]]) -> click.Command:
        @click.command(name, help=says)
        @click.argument("phone")
        @click.option("--reason", required=True, help="why; it is kept with your name")
        def run(phone: str, reason: str) -> None:
            gateway = opened()
            keeper = Keeper(gateway.store, gateway.settings)
            held = act(keeper)(_phone(gateway, phone), console(), reason, gateway.hop.clock())
            for table, count in held.items():
                if count:
                    click.echo(f"{table}: {count}")

        return run

    return [
        purge,
        command("forget", "Unlink a PHONE, erase its texts; requests stay without the person.", lambda keeper: keeper.forget),
        command("held", "What is kept of a PHONE.", lambda keeper: keeper.held),
    ]
