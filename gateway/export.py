"""Lists for people who work in spreadsheets: requests, messages, readings as CSV or XLSX, masked unless there is a reason.

No cell is ever run as a formula. Every list is on record in the audit: when, who, what and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import click

from gateway.audit import Audit
from gateway.hop import now_utc
from gateway.records import masked
from gateway.sheets import writer
from gateway.staff import Staff, console
from gateway.store import Store
from gateway.store.sql import millis, moment

Shape = Literal["text", "time", "phone", "account", "open", "secret"]
#: Rows read at a time.
GROUP = 2_000


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of list: its columns with how each is shown, and the query that gives them, `where` the key and since go.

    `within` is the condition on the sections that somebody may see; a list without one is for who sees all of them.
    `time` is a kept time, `phone` and `account` show their last digits only, `secret` is shown only in a full list. A list
    that the billing system takes has its accounts `open`: a masked one would be of no use to it.
    The first column of the query is the key that the rows come in order of.
    """

    columns: Mapping[str, Shape]
    sql: str
    within: str
    first: str | int


LISTINGS: Mapping[str, Listing] = {
    "requests": Listing(
        {"ticket": "text", "service": "text", "state": "text", "open": "text", "filed": "time", "since": "time", "due": "time",
         "account": "account", "asset": "text", "pin": "text", "phone": "phone", "reports": "text", "priority": "text",
         "details": "secret"},
        """select ticket, ticket, service, state, open, filed, since, due, account, asset, pin, phone, reports, priority, details
           from request where ticket > ? and filed >= ? {within} order by ticket limit ?""",
        "and section in ({})",
        "",
    ),
    "messages": Listing(
        {"id": "text", "created": "time", "settled": "time", "phone": "phone", "state": "text", "attempts": "text",
         "carrier": "text", "template": "text", "parts": "text", "note": "text", "text": "secret"},
        """select id, id, created, settled, phone, state, attempts, carrier, template, parts, note, text
           from outbox where id > ? and created >= ? {within} order by id limit ?""",
        "",
        0,
    ),
    "readings": Listing(
        {"id": "text", "at": "time", "month": "text", "account": "open", "status": "text", "value": "text", "flag": "text",
         "previous": "text", "staff": "text", "handed": "time"},
        """select id, id, at, month, account, status, value, flag, previous, staff, handed
           from reading where id > ? and at >= ? {within} order by id limit ?""",
        "and account in (select account from consumer where section in ({}))",
        0,
    ),
}  # fmt: skip


def export(
    store: Store, kind: str, path: Path, since: datetime | None = None, *, by: Staff, now: datetime, full: bool = False,
    reason: str = "",
) -> int:  # fmt: skip
    """Write a list of what somebody may see to a .csv or .xlsx file that only its owner can read; how many rows it has.

    `since` leaves out what is older. `full` shows phones, accounts and texts and wants a `reason`, which is kept.
    Raises ValueError (another ending, no reason, not for this person) and OSError.
    """
    if full and not reason.strip():
        raise ValueError("--full: give a --reason, it is kept")
    if not may_export(by, kind):
        raise ValueError(f"{kind}: this list is for who sees every section")
    listing, count = LISTINGS[kind], 0
    sections = () if by.sees_all else tuple(code for code in by.sections if code)
    within = "" if by.sees_all else listing.within.format(", ".join("?" * len(sections)) or "null")
    sql = listing.sql.format(within=within)
    out = writer(path)
    Audit(store, lambda: now)(by, f"export {kind}", "in full" if full else "masked", reason.strip())
    shown = [(name, shape) for name, shape in listing.columns.items() if full or shape != "secret"]
    places = [list(listing.columns).index(name) + 1 for name, _ in shown]
    try:
        out.row([name for name, _ in shown])
        after, from_ = listing.first, millis(since) if since else 0
        while group := store.database.rows(sql, (after, from_, *sections, GROUP)):
            for row in group:
                out.row([_cell(row[place], shape, full) for place, (_, shape) in zip(places, shown, strict=True)])
            after, count = group[-1][0], count + len(group)
    finally:
        out.close()
    return count


def may_export(staff: Staff, kind: str) -> bool:
    """Whether a list is for somebody: what belongs to no section is for who sees all of them."""
    return staff.sees_all or bool(LISTINGS[kind].within)


def _cell(value: Any, shape: Shape, full: bool) -> str:
    if value is None or value == "" or (shape == "time" and not value):
        return ""
    if shape == "time":
        return moment(value).isoformat(sep=" ", timespec="seconds")
    if shape == "phone" and not full:
        return masked(value)
    if shape == "account" and not full:
        return f"{'*' * len(value[:-4])}{value[-4:]}"
    return str(value)


def export_command(opened: Callable[[], Store]) -> click.Command:
    """`gateway export requests|messages|readings FILE`; `opened` is called when the command runs."""

    @click.command("export")
    @click.argument("kind", type=click.Choice(list(LISTINGS)))
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    @click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="leave out what is older than this day (UTC)")
    @click.option("--full", is_flag=True, help="phones, accounts and texts unmasked; needs --reason, which is kept")
    @click.option("--reason", default="", help="why the list is needed")
    def command(kind: str, file: Path, since: datetime | None, full: bool, reason: str) -> None:
        """Write a list as CSV or XLSX."""
        count = export(opened(), kind, file, utc(since), by=console(), now=now_utc(), full=full, reason=reason)
        click.echo(f"{count} {kind} in {file}")

    return command


def utc(since: datetime | None) -> datetime | None:
    """A day as typed, at its beginning in UTC."""
    return moment(0).replace(year=since.year, month=since.month, day=since.day) if since else None
