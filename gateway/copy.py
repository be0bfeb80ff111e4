"""`gateway copy`: a running town moves from its file to PostgreSQL, whole or not at all.

The file is locked for writing while it is copied, so nothing that was acknowledged is left behind; hops that come meanwhile wait
or are told to come again. When PostgreSQL has it all, the file refuses every further write: a process that has not been
restarted yet takes nothing and sends nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime

import click

from gateway.check import check
from gateway.hop import now_utc
from gateway.store import Store, connect
from gateway.store.postgres import PostgreSQL
from gateway.store.sqlite import SQLite

#: A database with rows in any of these is in use; in others the tables may come with rows.
TOWN = ("consumer", "link", "conversation", "inbound", "request", "outbox", "intake")
#: Rows between two signs of progress.
STEP = 1_000


def copy_town(source: SQLite, target: PostgreSQL, now: datetime, progress: Callable[[int, int], None]) -> dict[str, int]:
    """Copy every table; the rows of each. Raises ValueError with one line, and then nothing has changed on either side."""
    store = Store(target)
    store.migrate()
    tables = target.tables()
    if set(tables) != set(source.tables()):
        raise ValueError("the two databases have different tables: use the same version of the gateway for both")
    held = [table for table in TOWN if store.count(table)]
    if held:
        raise ValueError(f"{target.place} is not empty ({held[0]} has rows); name an empty database")
    with source.write(), target.unhurried():
        counts = {table: int(source.rows(f"select count(*) from {table}")[0][0]) for table in tables}  # noqa: S608
        done, whole = 0, sum(counts.values())

        def counted(rows: Iterator[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
            nonlocal done
            for row in rows:
                yield row
                done += 1
                if done % STEP == 0 or done == whole:
                    progress(done, whole)

        with target.write():
            for table, columns in tables.items():
                target.run(f"delete from {table}")  # noqa: S608
                target.take(table, columns, counted(source.scan(table, columns)))
            target.number_on(source.last_numbers())
            wrong = [table for table in tables if store.count(table) != counts[table]]
            if wrong:
                raise ValueError(f"{wrong[0]}: {store.count(wrong[0])} of {counts[wrong[0]]} rows arrived; nothing is kept")
            faults = check(store, now)
            if faults:
                raise ValueError(
                    f"the copy has {len(faults)} faults, the first: {faults[0]}; nothing is kept: `gateway check` first"
                )
        source.refuse_writes(f"this town has moved to {target.place}")
    target.look_anew()
    return counts


def copy_command(opened: Callable[[], Store]) -> click.Command:
    """`gateway copy`; `opened` is called when the command runs."""

    @click.command("copy")
    @click.argument("url")
    def command(url: str) -> None:
        """Move the town to PostgreSQL at URL; the file refuses writes from then on."""
        counts = _copy(opened, url)
        for table, count in counts.items():
            if count:
                click.echo(f"{count:>10} {table}")
        click.echo("copied and checked; now restart web and worker with GATEWAY_DATABASE set to that URL")

    return command


def _copy(opened: Callable[[], Store], url: str) -> dict[str, int]:
    with closing(opened()) as store:
        source, target = store.database, connect(url)
        if not isinstance(source, SQLite) or not isinstance(target, PostgreSQL):
            raise ValueError("copy goes from the file in GATEWAY_DATABASE to a postgresql:// URL")
        with closing(target), click.progressbar(length=100, label="Copying", file=sys.stderr) as bar:
            shown = 0

            def progress(done: int, whole: int) -> None:
                nonlocal shown
                percent = done * 100 // whole
                bar.update(percent - shown)
                shown = percent

            return copy_town(source, target, now_utc(), progress)
