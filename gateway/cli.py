"""The command line: the demo, the web server and the worker, the office's files and campaigns, backup and upkeep."""

from __future__ import annotations

import gc
import re
import signal
import socket
import sys
import time
from contextlib import suppress
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import click
from prometheus_client import start_http_server
from pydantic import SecretStr

from gateway import logs
from gateway.app import Gateway, assemble, make_app
from gateway.backup import backup_command, restore_command
from gateway.check import check_command
from gateway.copy import copy_command
from gateway.hop import now_utc
from gateway.office import add_commands
from gateway.oneline import OneLine
from gateway.settings import BadSetting, Settings, load
from gateway.shortcut import web_server
from gateway.store import Store, find, open_store, place_of
from gateway.templates import export_sheet, import_sheet, open_registry

#: The demo is looked at in the evening too: it has no quiet hours.
AT_ANY_HOUR = {"quiet_from": clock_time(0), "quiet_until": clock_time(0)}


@click.group(cls=OneLine, help=__doc__)
def main() -> None:
    """Entry point."""


def _gateway(quiet: str = "", **overrides: Any) -> Gateway:
    """The gateway as it is set up; `quiet` is the log level of a command somebody looks at, unless one is set."""
    settings = load(**overrides)
    if quiet and "log_level" not in settings.model_fields_set:
        settings = settings.model_copy(update={"log_level": quiet})
    logs.set_up(settings.log_level)
    return assemble(settings)


def _build_town(gateway: Gateway) -> None:
    """The demo town, once."""
    from gateway.demo import build_town

    if gateway.store.count("consumer"):
        return
    with click.progressbar(length=100, label="Building the demo town", file=sys.stderr) as bar:
        done = 0

        def progress(part: int, whole: int) -> None:
            nonlocal done
            percent = part * 100 // max(whole, 1)
            bar.update(percent - done)
            done = percent

        build_town(gateway.store, now_utc(), limits=gateway.hop.policy.limits, progress=progress)


def _listen(settings: Settings) -> socket.socket:
    """The port, taken before anything is promised at it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]
        raise BadSetting(f"GATEWAY_PORT: {settings.host}:{settings.port} cannot be listened at: {why}") from None


def _serve(gateway: Gateway, listening: socket.socket, *, send: bool) -> None:
    """The web server."""
    server = web_server(make_app(gateway, send=send))
    # Texts and tables last as long as the process: looked through for garbage again and again, they hold hops up for 40 ms.
    # A group of hops makes some thousands of values and leaves no rings behind: garbage is looked for a few times a second.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    if not server.started:
        raise SystemExit(1)  # uvicorn has said why


def _found() -> str:
    """The database as it is set, which must be there: a command in the wrong folder is not to begin a new town."""
    return find(load().database)


add_commands(main, lambda: _gateway(database=_found()))


@main.command()
def run() -> None:
    """The demo: a town, the web server with the phone page, and sending, all in one process."""
    gateway = _gateway("warning", demo=True, **AT_ANY_HOUR)
    listening = _listen(gateway.settings)
    _build_town(gateway)
    click.echo(f"The phone is at http://{gateway.settings.host}:{gateway.settings.port}/phone/  (stop with Ctrl-C)")
    _serve(gateway, listening, send=True)


@main.command()
def web() -> None:
    """The web server: webhooks, health and metrics."""
    gateway = _gateway()
    if not gateway.carriers:
        raise BadSetting("no carrier is set: docs/carriers.md names the settings of each; or GATEWAY_DEMO=true")
    _serve(gateway, _listen(gateway.settings), send=False)


@main.command()
def worker() -> None:
    """The sending worker: as many as you like may run side by side."""
    gateway = _gateway()
    workers = gateway.workers()
    if gateway.settings.worker_metrics_port:
        start_http_server(gateway.settings.worker_metrics_port, gateway.settings.host)
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda *_: workers.stop())
    workers.start()
    workers.join()


@main.command()
def release() -> None:
    """Bring the database up to date (run once before a new version starts)."""
    gateway = _gateway()
    click.echo(f"{gateway.store.database.name}: up to date")


def _store() -> Store:
    """The store alone, for commands that need nothing else."""
    return open_store(_found())


main.add_command(check_command(_store))
main.add_command(copy_command(_store))
main.add_command(backup_command(_store))
main.add_command(restore_command(lambda: load().database))


@main.command()
def demo() -> None:
    """Fill an empty database with the demo town."""
    gateway = _gateway(demo=True)
    if gateway.store.count("consumer"):
        raise ValueError(f"{place_of(gateway.settings.database)} holds consumers already; name an empty one in GATEWAY_DATABASE")
    began = time.monotonic()
    _build_town(gateway)
    click.echo(
        f"{gateway.store.count('consumer')} consumers, {gateway.store.count('link')} links in {time.monotonic() - began:.1f} s"
    )


@main.command()
@click.option("--phone", default="+915559999999", show_default=True, help="the phone that talks")
def talk(phone: str) -> None:
    """A feature phone in the terminal."""
    from gateway.talk import talk as talking

    if not re.fullmatch(r"\+\d{8,15}", phone):
        raise ValueError(f"--phone {phone}: write it like +915550000001")
    gateway = _gateway("error", demo=True, **AT_ANY_HOUR)
    _build_town(gateway)
    talking(gateway, phone)


@main.group()
def staff() -> None:
    """Accounts at the desk."""


@staff.command("add")
@click.argument("name")
@click.option("--role", required=True, help="reader, centre, section, supervisor, sms_officer or administrator")
@click.option("--sections", default="", help="codes with spaces between; * is all of them")
@click.option("--lang", default="hi", show_default=True, help="hi or en")
def add_staff(name: str, role: str, sections: str, lang: str) -> None:
    """A new account; its first password is printed and must be changed at the first login."""
    from gateway.desk.accounts import BadAccount, add_from_console

    try:
        first = add_from_console(_gateway(), name.lower(), role, sections, lang)
    except BadAccount as bad:
        raise ValueError(bad.line) from None
    click.echo(f"{name.lower()}: first password {first}")


@staff.command("password")
@click.argument("name")
def staff_password(name: str) -> None:
    """Hand over a new password; the account's logins end."""
    from gateway.desk.accounts import reset_from_console

    click.echo(f"{name.lower()}: first password {reset_from_console(_gateway(), name.lower())}")


@staff.command("end")
@click.argument("name")
def end_staff(name: str) -> None:
    """End all logins of an account."""
    from gateway.desk.accounts import end_from_console

    click.echo(f"{name.lower()}: {end_from_console(_gateway(), name.lower())} logins ended")


@staff.command("list")
def list_staff() -> None:
    """All accounts, a line each."""
    from gateway.store.staff import StaffBook

    for one in StaffBook(_gateway().store).accounts():
        click.echo(f"{one.name}  {one.role}  {' '.join(one.sections) or '-'}" + ("" if one.active else "  shut"))


@main.group()
def audit() -> None:
    """The record of who looked at what and who changed what."""


@audit.command("verify")
@click.option("--noted", default="", help="a head noted earlier, which must still stand in the chain")
def verify_audit(noted: str) -> None:
    """Walk the whole chain; note the head's seal elsewhere to be able to prove that nothing was cut off or written anew."""
    from gateway.audit import verify

    verdict = verify(_gateway().store, noted)
    if verdict.fault:
        raise ValueError(f"audit: {verdict.fault}; {verdict.lines} lines before it hold")
    click.echo(f"{verdict.lines} lines hold; head {verdict.head or '(none yet)'}")


@main.command("settings")
def show_settings() -> None:
    """Print every setting, where it came from, and what it is for; secrets are masked."""
    settings = load()
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = "***" if value.get_secret_value() else "(empty)"
        elif name == "database":
            value = place_of(value)
        elif name == "webhook_secrets":
            value = dict.fromkeys(value, "***")
        click.echo(f"GATEWAY_{name.upper()} = {value}   [{_source(name, settings)}]  {field.description}")


def _source(name: str, settings: Settings) -> str:
    import os

    if name not in settings.model_fields_set:
        return "default"
    return "environment" if f"GATEWAY_{name.upper()}" in {key.upper() for key in os.environ} else ".env"


@main.command("kannel-config")
def kannel_config() -> None:
    """Print the configuration of Kannel that goes with the settings; it holds passwords."""
    from gateway.kannel_config import configuration

    click.echo(configuration(load()))


@main.command()
def lint() -> None:
    """Check the catalogues: keys, slots, characters, that everything fits a phone, and what operators refuse."""
    from flows import FLOWS
    from messages import Voice
    from messages.lint import SHORTEST, long_screens
    from messages.lint import lint as check

    settings = load()
    voice = Voice(settings.house())
    faults = check(voice, FLOWS, open_registry(settings, voice))
    for fault in faults:
        click.echo(fault)
    if faults:
        raise SystemExit(1)
    long = [size for _, _, size in long_screens(voice, FLOWS)]
    click.echo(f"the catalogues are clean; {len(long)} Hindi screens over {SHORTEST} units, the longest {max(long, default=0)}")


@main.group()
def templates() -> None:
    """The registered wording of every pushed text (India's DLT)."""


@templates.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def templates_export(file: Path) -> None:
    """Write the sheet for the operators' portals: every pushed text in every language, typed and in the older form."""
    click.echo(export_sheet(load(), file))


@templates.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def templates_import(file: Path) -> None:
    """Take the template ids from the sheet that came back."""
    for line in import_sheet(load(), file):
        click.echo(line)


@main.command()
@click.option("--check", is_flag=True, help="only say which drawings are stale")
def flows(check: bool) -> None:
    """Draw the flows, docs/flows/*.md, and print the exchanges each service takes and the longest screens."""
    from flows.paths import exchanges, services
    from messages import Voice
    from messages.draw import longest, pages

    voice = Voice(Settings.model_construct().house())  # the drawings show the defaults, whatever is set here
    stale = 0
    for name, text in pages(voice).items():
        path = Path("docs/flows") / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale += 1
            click.echo(("stale, run `make flows`: " if check else "drawn: ") + str(path))
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if check:
        raise SystemExit(1 if stale else 0)
    for service in services():
        click.echo(f"{service}: exchanges {exchanges(service, own=True)}, at most {exchanges(service, own=False)}")
    for lang, key, size, encoding in longest(voice):
        click.echo(f"{lang}: longest page {key}, {size} {'units' if encoding == 'ucs2' else 'septets'}")
