"""`gateway backup FILE` while everything runs, and `gateway restore FILE`: checked before anything is replaced, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from gateway.check import check
from gateway.hop import now_utc
from gateway.store import Store, connect
from gateway.store.sqlite import SQLite


def restore(url: str, path: Path, *, replace: bool) -> Path | None:
    """Let a backup take the place of the database at `url`; where the one that was there is kept, if there was one.
    PostgreSQL wants an empty database to fill.

    Raises ValueError when the file is no backup of ours, when `gateway check` finds a fault in it, or when the database is in
    use; FileExistsError when there is one and `replace` does not say that it may be put aside. A file is then as it was; on
    PostgreSQL what was looked at stays in the database that was empty, for it is looked at where it is to be.
    """
    database = connect(url)
    if not isinstance(database, SQLite):
        from gateway.store.postgres import PostgreSQL  # a town on one file does without its driver

        assert isinstance(database, PostgreSQL)
        database.take_in(path)
        with database.unhurried():
            _checked(Store(database), path)
        return None
    staged = database.stage(path)
    try:
        _checked(Store(staged), path)
        return database.replace_with(staged, replace=replace)
    finally:
        staged.discard()


def _checked(store: Store, path: Path) -> None:
    """Bring what a backup held up to date, and look at it. Raises ValueError."""
    try:
        store.migrate()
        faults = check(store, now_utc())
    except Exception as error:
        raise ValueError(f"{path} is no backup that can be read: {error}") from error
    if faults:
        raise ValueError(f"{path} does not hold together; first of {len(faults)} faults: {faults[0]}")


def backup_command(opened: Callable[[], Store]) -> click.Command:
    """`gateway backup FILE`; `opened` is called when the command runs."""

    @click.command("backup")
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    def command(file: Path) -> None:
        """Copy the database to FILE while everything runs."""
        began = time.monotonic()
        with closing(opened()) as store:
            store.database.backup(file)
        click.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB in {time.monotonic() - began:.1f} s")

    return command


def restore_command(url: Callable[[], str]) -> click.Command:
    """`gateway restore FILE`; `url` is asked for the database's place when the command runs."""

    @click.command("restore")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--replace", is_flag=True, help="put the database that is there aside first")
    def command(file: Path, replace: bool) -> None:
        """Put a backup in the database's place, once it has been checked; the gateway must be stopped."""
        began = time.monotonic()
        before = restore(url(), file, replace=replace)
        kept = f"; what was there before is {before}" if before else ""
        click.echo(f"restored and checked in {time.monotonic() - began:.1f} s{kept}")

    return command
