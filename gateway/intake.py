"""Files from the billing system: consumers, bills, payments and phones, staged first and then switched.

A row first goes into a stage table, in short transactions; only when the whole file has been read is it marked ready, and its
rows are taken into use, again in short transactions. A kill before that mark leaves nothing; a kill after it is made good by
the next import (`finish`) or a worker (`resume`). Live traffic waits for one short transaction at most (limits.md section 7).
"""

# ruff: noqa: S608 - what is put into SQL here are the names of our own tables and columns

from __future__ import annotations

import hashlib
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec

from flows.records import INDIA, Bill, Payment
from gateway.fields import Field, Kind, Value, Wrong, complete, fold, in_columns, key_of, kinds, known_columns
from gateway.sheets import BadFile, CsvWriter, Row, Sheet, open_sheet
from gateway.store import Store
from gateway.store.sql import millis, moment, retried

#: Most rows a transaction ever touches, and the fewest it is made for.
MOST_ROWS, LEAST_ROWS = 5_000, 100
#: How long a transaction should take, and what part of that time the database is then left to others.
TRANSACTION_SECONDS, REST = 0.05, 0.5
#: A reading that shows no sign of life for so long is dead.
DEAD_SECONDS = 600
#: After so long without a sign of life somebody else takes an import into use, so many rows at a time.
IDLE_SECONDS, RESUMED_ROWS = 60, 100
#: A file of which more than half cannot be used is the wrong file, or its columns are exchanged.
MOST_LEFT_OUT = 0.5

#: Whoever takes something in waits for whoever does so at the same time: what is new is new once, also on PostgreSQL.
TAKING_IN = ("intake",)

#: Tells this process from an earlier one of the same number.
_START = uuid.uuid4().hex

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str | int | None]).decode


@dataclass(frozen=True, slots=True)
class Hooks:
    """What is to happen, inside the same transaction, when something is new: each is called once per row, never for a row
    that equals what is kept.

    `bill_arrived(account, bill, is_new)` for a new or changed bill, `payment_arrived(account, payment)` for a new payment,
    `phone_noted(phone, account)` for a new link, `balance_moved(account, before, after)` for a prepaid balance (in paise;
    `before` is None if none was known).
    """

    bill_arrived: Callable[[str, Bill, bool], None] | None = None
    payment_arrived: Callable[[str, Payment], None] | None = None
    phone_noted: Callable[[str, str], None] | None = None
    balance_moved: Callable[[str, int | None, int], None] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows were new, changed, or as they were."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a file. `already` is when the same file was imported before: then nothing was done."""

    kind: str
    read: int
    counts: Counts
    left_out: int = 0
    side: Path | None = None
    dry_run: bool = False
    already: datetime | None = None
    notices: tuple[str, ...] = ()

    def lines(self) -> tuple[str, str]:
        """The report for people, in two lines."""
        if self.already:
            head = f"nothing to do: this file was imported on {self.already:%d-%m-%Y %H:%M} UTC"
            return head, "rows that were left out then are in the side file: mend and import that"
        new, changed, same = self.counts.new, self.counts.changed, self.counts.unchanged
        head = f"{self.kind}: {self.read} rows read" + (", nothing kept (dry run)" if self.dry_run else "")
        tail = f", reasons in {self.side.name}" if self.side else ""
        return head, f"{new} new, {changed} changed, {same} unchanged, {self.left_out} left out{tail}"


#: Called with what is being done, how much of it is done, and the whole (0: not known).
Progress = Callable[[str, int, int], None]


# --- one group of rows against what is kept ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A row to be written, whole, and what it was before."""

    row: tuple[Value, ...]
    before: tuple[Value, ...] | None

    @property
    def is_new(self) -> bool:
        """Whether there was none before."""
        return self.before is None


def compare(store: Store, kind: Kind, rows: Sequence[Sequence[Value]], now: datetime) -> list[Change]:
    """The rows that are new or differ from what is kept."""
    kept = _kept(store, kind, rows) if rows else {}
    changes, arrived = [], _arrived(kind, now)
    for given in rows:
        before = kept.get(key_of(kind, given))
        row = complete(kind, given, before)
        if before is None and arrived:
            row = tuple(value or arrived.get(column, value) for column, value in zip(kind.columns, row, strict=True))
        if row != before:
            changes.append(Change(row, before))
    return changes


def _arrived(kind: Kind, now: datetime) -> Mapping[str, Value]:
    """What a new row of a kind has of its arrival: a bill without a day is of this day, for what was paid before that may have
    been for another."""
    if kind.name == "phones":
        return {"linked_at": millis(now)}
    return {"issued": now.astimezone(INDIA).date().isoformat()} if kind.name == "bills" else {}


def _kept(store: Store, kind: Kind, rows: Sequence[Sequence[Value]]) -> dict[str, tuple[Value, ...]]:
    columns = [kind.key[0], *([kind.narrow] if kind.narrow else [])]
    values = [sorted({str(row[kind.columns.index(column)]) for row in rows}) for column in columns]
    where = " and ".join(f"{column} in ({_marks(of)})" for column, of in zip(columns, values, strict=True))
    sql = f"select {', '.join(kind.columns)} from {kind.table} where {where}"
    return {key_of(kind, row): tuple(row) for row in store.database.rows(sql, [value for of in values for value in of])}


def write(store: Store, kind: Kind, changes: Sequence[Change], hooks: Hooks) -> None:
    """Keep the changes and tell the hooks. Belongs inside `with store.write():`."""
    others = [column for column in kind.columns if column not in kind.key]
    sql = (
        f"insert into {kind.table} ({', '.join(kind.columns)}) values ({_marks(kind.columns)}) "
        f"on conflict ({', '.join(kind.key)}) do update set {', '.join(f'{column} = excluded.{column}' for column in others)}"
    )
    store.database.many(sql, [change.row for change in changes])
    if kind.name == "consumers":
        served = {(row[kind.columns.index("pin")], row[kind.columns.index("feeder")]) for row in (one.row for one in changes)}
        sql = "insert into feeder_pin (pin, feeder) values (?, ?) on conflict do nothing"
        store.database.many(sql, sorted((str(pin), str(feeder)) for pin, feeder in served if pin and feeder))
    tell = _HOOKS.get(kind.name)
    if tell:
        for change in changes:
            tell(hooks, change, dict(zip(kind.columns, change.row, strict=True)))


def _tell_bill(hooks: Hooks, change: Change, row: Mapping[str, Any]) -> None:
    if hooks.bill_arrived:
        month, due = date.fromisoformat(row["month"]), date.fromisoformat(row["due"])
        values = {**row, "month": month, "due": due, "free": bool(row["free"])}
        del values["issued"]
        hooks.bill_arrived(row["account"], Bill(**values), change.is_new)


def _tell_payment(hooks: Hooks, change: Change, row: Mapping[str, Any]) -> None:
    if hooks.payment_arrived and change.is_new:
        hooks.payment_arrived(row["account"], Payment(date.fromisoformat(row["paid_on"]), row["amount"], row["receipt"]))


def _tell_phone(hooks: Hooks, change: Change, row: Mapping[str, Any]) -> None:
    if hooks.phone_noted and change.is_new:
        hooks.phone_noted(row["phone"], row["account"])


def _tell_balance(hooks: Hooks, change: Change, row: Mapping[str, Any]) -> None:
    place = list(row).index("balance")
    before = change.before[place] if change.before else None
    if hooks.balance_moved and row["balance"] is not None and row["balance"] != before:
        hooks.balance_moved(row["account"], None if before is None else int(before), row["balance"])


_HOOKS: Mapping[str, Callable[[Hooks, Change, Mapping[str, Any]], None]] = {
    "consumers": _tell_balance,
    "bills": _tell_bill,
    "payments": _tell_payment,
    "phones": _tell_phone,
}


def apply(store: Store, kind: Kind, rows: Sequence[Sequence[Value]], hooks: Hooks, now: datetime) -> Counts:
    """Compare, keep and tell. Belongs inside `with store.write(TAKING_IN):`."""
    changes = compare(store, kind, rows, now)
    write(store, kind, changes, hooks)
    return _counted(len(rows), changes)


def _counted(rows: int, changes: Sequence[Change]) -> Counts:
    new = sum(change.is_new for change in changes)
    return Counts(new, len(changes) - new, rows - len(changes))


def refused(store: Store, kind: Kind, rows: Sequence[Sequence[Value]]) -> list[str]:
    """For each row why the store cannot take it, or an empty text."""
    if not rows:
        return []
    table, column = ("consumer", "account") if kind.of_consumer else (kind.table, kind.key[0])
    place = kind.columns.index(column)
    asked = sorted({str(row[place]) for row in rows})
    sql = f"select {column} from {table} where {column} in ({_marks(asked)})"
    known = {row[0] for row in store.database.rows(sql, asked)}
    if kind.of_consumer:
        reason = "no consumer has this CA number: import the consumers first"
        return ["" if row[place] in known else reason for row in rows]
    names = [kind.columns.index(column) for column in ("name_deva", "name_latin")]
    named = [row[place] in known or any(row[name] for name in names) for row in rows]
    return ["" if good else f"this {kind.table} is new and has no name" for good in named]


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


# --- reading a file ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a file holds which field."""

    kind: Kind
    places: tuple[tuple[int, Field, str], ...]

    def read(self, row: Row) -> list[Value]:
        """The row's values in the order of the table. Raises Wrong with the whole reason."""
        if row.too_long:
            raise Wrong("the row has more cells than the header: is a delimiter inside a cell that is not quoted?")
        given: dict[str, Value] = {}
        for place, one, column in self.places:
            cell = row.cells[place].strip()
            if cell:
                try:
                    given[one.name] = one.read(cell)
                except Wrong as why:
                    raise Wrong(f"{column} '{cell[:40]}' {why}") from None
            elif one.needed:
                raise Wrong(f"{column} is empty")
        return in_columns(self.kind, given)


def find_columns(sheet: Sheet, kind: Kind, mapping: Mapping[str, str]) -> Columns:
    """Match the header with the kind's fields; `mapping` gives our field for a column of another name.

    Unknown columns are named once, in the sheet's notices. Raises BadFile for a needed column that is missing.
    """
    ours = {one.name: one for one in kind.fields}
    mapped = {fold(column): name for column, name in mapping.items()}
    for name in mapped.values():
        if name not in ours:
            raise BadFile(f"--map: {kind.name} have no field '{name}': known are {', '.join(ours)}")
    folded = [fold(column) for column in sheet.header]
    missing_mapped = [column for column in mapping if fold(column) not in folded]
    if missing_mapped:
        raise BadFile(f"--map: the file has no column '{missing_mapped[0]}'")
    taken = {name: folded.index(column) for column, name in mapped.items()}
    for one in kind.fields:
        names = [name for name in map(fold, (one.name, *one.also)) if name in folded and name not in mapped]
        if one.name not in taken and names:
            taken[one.name] = folded.index(names[0])
    missing = [one for one in kind.fields if one.needed and one.name not in taken]
    if missing:
        raise BadFile(f"the file has no column for {missing[0].says}: call it {' or '.join(missing[0].also[:2])}, or use --map")
    _notice(sheet, folded, set(mapped), taken)
    return Columns(kind, tuple((place, ours[name], sheet.header[place]) for name, place in taken.items()))


def _notice(sheet: Sheet, folded: Sequence[str], mapped: set[str], taken: Mapping[str, int]) -> None:
    known = known_columns() | mapped
    unknown = [column for column, name in zip(sheet.header, folded, strict=True) if column and name not in known]
    if unknown:
        sheet.notices.append(f"columns not used: {', '.join(unknown)}")
    twice = sorted({sheet.header[place] for place in taken.values() if folded.count(folded[place]) > 1})
    if twice:
        raise BadFile(f"the file has the column '{twice[0]}' twice: remove one")


class LeftOut:
    """The side file: rows left out, each with its number and reason; it is made when the first one comes."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self.path, self.count = path.with_name(f"{path.stem}.left-out.csv"), 0
        self._header, self._writer = header, None  # type: tuple[Sequence[str], CsvWriter | None]

    def add(self, row: Row, reason: str) -> None:
        """Put a row aside."""
        if self._writer is None:
            self._writer = CsvWriter(self.path)
            self._writer.row(["row", "reason", *self._header])
        self._writer.row([str(row.number), reason, *row.cells])
        self.count += 1

    def close(self) -> Path | None:
        """Finish the file; None if there was no need of one."""
        if self._writer is None:
            return None
        self._writer.close()
        return self.path


# --- the import -------------------------------------------------------------------------------------------------------


def import_file(
    store: Store,
    kind_name: str,
    path: Path,
    *,
    ca_pattern: str = r"\d{9,11}",
    mapping: Mapping[str, str] | None = None,
    hooks: Hooks | None = None,
    dry_run: bool = False,
    progress: Progress = lambda what, done, whole: None,
    clock: Callable[[], datetime] | None = None,
) -> Report:
    """Take a file in. Raises BadFile or OSError; then nothing has changed.

    `mapping` gives our field for a column by its name in the file. With `dry_run` only the side file is written.
    """
    now = clock or (lambda: moment(round(time.time() * 1000)))
    kind, hooks = kinds(ca_pattern)[kind_name], hooks or Hooks()
    drop_dead(store, now())
    finished = {} if dry_run else finish(store, hooks, progress, now)
    with open_sheet(path, lambda column: fold(column) in known_columns()) as sheet:
        digest = _digest(sheet.digest, mapping or {})
        earlier = None if dry_run else _earlier(store, kind, digest)
        if earlier is not None:
            id_, began, done = earlier
            return finished[id_] if id_ in finished else Report(kind.name, 0, Counts(), already=done or began)
        reading = _Reading(store, kind, path, sheet, find_columns(sheet, kind, mapping or {}), dry_run, progress, now)
        staged = reading.run(digest)
    if dry_run:
        return staged
    report = finish(store, hooks, progress, now).get(reading.id) or _report(store, reading.id)  # a worker may have been faster
    return replace(report, side=staged.side, notices=staged.notices)


def _digest(of_file: str, mapping: Mapping[str, str]) -> str:
    """The file as it is understood: another mapping makes another file of it."""
    return hashlib.sha256(_encode([of_file, sorted(mapping.items())])).hexdigest()


def _earlier(store: Store, kind: Kind, digest: str) -> tuple[int, datetime, datetime | None] | None:
    """The import of the same file: its id, when it began and when it was done. Raises BadFile while it is being read."""
    sql = "select id, state, began, done from intake where kind = ? and digest = ? and dry = 0 order by id desc limit 1"
    rows = store.database.rows(sql, (kind.name, digest))
    if not rows:
        return None
    id_, state, began, done = rows[0]
    if state == "reading":
        raise BadFile("this file is being imported by another command just now")
    return id_, moment(began), moment(done) if done else None


class _Reading:
    """One file on its way into the stage."""

    def __init__(self, store: Store, kind: Kind, path: Path, sheet: Sheet, columns: Columns, dry_run: bool, progress: Progress,
                 now: Callable[[], datetime]) -> None:  # fmt: skip
        self.store, self.kind, self.path, self.sheet, self.columns = store, kind, path, sheet, columns
        self.dry_run, self.progress, self.now = dry_run, progress, now
        self.left_out = LeftOut(path, sheet.header)
        self.id, self.read, self.repeated, self.counts = 0, 0, 0, Counts()

    def run(self, digest: str) -> Report:
        """Stage every row and mark the import ready; or, in a dry run, count and forget. On any failure nothing is left."""
        sql = """insert into intake (kind, digest, name, state, worker, began, seen, dry) values (?, ?, ?, 'reading', ?, ?, ?, ?)
                 returning id"""
        at = millis(self.now())
        with self.store.write():
            ((self.id,),) = self.store.database.rows(
                sql, (self.kind.name, digest, self.path.name, _worker(), at, at, int(self.dry_run))
            )
        try:
            for group in _groups(self.sheet.rows, MOST_ROWS):
                self._stage(group)
            self._judge()
            self._warn_of_numbers()
            if self.dry_run:
                _drop(self.store, self.id)
            else:
                self._ready()
        except BaseException:
            _drop(self.store, self.id)
            raise
        finally:
            side = self.left_out.close()
        counts = replace(self.counts, unchanged=self.counts.unchanged + self.repeated)
        notices = tuple(self.sheet.notices)
        return Report(self.kind.name, self.read, counts, self.left_out.count, side, self.dry_run, notices=notices)

    def _stage(self, group: Sequence[Row]) -> None:
        """Read a group of rows, put the bad ones aside and the good ones into the stage."""
        self.read += len(group)
        good, reasons = self._parsed(group)
        refusals = refused(self.store, self.kind, [values for _, values in good])
        reasons.update({row.number: reason for (row, _), reason in zip(good, refusals, strict=True) if reason})
        fresh = self._fresh([(row, values) for row, values in good if row.number not in reasons], reasons)
        for row in group:
            if row.number in reasons:
                self.left_out.add(row, reasons[row.number])
        if self.dry_run:
            self._count(fresh)
        with self.store.write():  # reading the next group takes longer than this: the database has its rest
            sql = "insert into intake_row (intake, key, row, data) values (?, ?, ?, ?)"
            self.store.database.many(sql, [(self.id, key, number, data) for key, (number, data) in fresh.items()])
            self.store.database.run("update intake set seen = ? where id = ?", (millis(self.now()), self.id))
        self.progress("Reading", self.sheet.done(), self.sheet.whole)

    def _parsed(self, group: Sequence[Row]) -> tuple[list[tuple[Row, list[Value]]], dict[int, str]]:
        good: list[tuple[Row, list[Value]]] = []
        reasons: dict[int, str] = {}
        for row in group:
            try:
                good.append((row, self.columns.read(row)))
            except Wrong as why:
                reasons[row.number] = str(why)
        return good, reasons

    def _fresh(self, good: Sequence[tuple[Row, list[Value]]], reasons: dict[int, str]) -> dict[str, tuple[int, str]]:
        """The rows whose key is new in this file, by key; the same row once more is counted, another one is put aside."""
        if not good:
            return {}
        keys = [key_of(self.kind, values) for _, values in good]
        sql = f"select key, row, data from intake_row where intake = ? and key in ({_marks(keys)})"
        seen = {key: (number, data) for key, number, data in self.store.database.rows(sql, (self.id, *keys))}
        fresh: dict[str, tuple[int, str]] = {}
        for (row, values), key in zip(good, keys, strict=True):
            data = _encode(values).decode()
            number, before = seen.setdefault(key, (row.number, data))
            if number == row.number:
                fresh[key] = (number, data)
            elif before == data:
                self.repeated += 1
            else:
                reasons[row.number] = f"says otherwise than row {number} about the same {' and '.join(self.kind.key)}: keep one"
        return fresh

    def _count(self, fresh: Mapping[str, tuple[int, str]]) -> None:
        rows = [_decode(data) for _, data in fresh.values()]
        changes = compare(self.store, self.kind, rows, self.now())
        self.counts = _added(self.counts, _counted(len(rows), changes))

    def _judge(self) -> None:
        """Raises BadFile if the file is bad as a whole."""
        if not self.read:
            raise BadFile("the file has a header and no rows")
        if self.left_out.count > self.read * MOST_LEFT_OUT:
            raise BadFile(
                f"{self.left_out.count} of {self.read} rows cannot be used, so nothing was changed: are columns exchanged? "
                f"see {self.left_out.path.name}"
            )

    def _warn_of_numbers(self) -> None:
        if any(one.name == "account" and place in self.sheet.numeric for place, one, _ in self.columns.places):
            self.sheet.notices.append("CA numbers are numbers in this workbook: leading zeros may be lost; make the column text")

    def _ready(self) -> None:
        sql = "update intake set state = 'ready', total = ?, same = ?, left_out = ? where id = ?"
        with self.store.write():
            self.store.database.run(sql, (self.read, self.repeated, self.left_out.count, self.id))


def finish(
    store: Store,
    hooks: Hooks,
    progress: Progress = lambda what, done, whole: None,
    clock: Callable[[], datetime] | None = None,
) -> dict[int, Report]:
    """Take into use what was read whole but not yet applied, oldest import first.

    Safe beside another process doing the same: each group of rows is applied and removed from the stage in one transaction.
    """
    now = clock or (lambda: moment(round(time.time() * 1000)))
    reports = {}
    for id_, name, total, left_out in store.database.rows(
        "select id, kind, total, left_out from intake where state = 'ready' order by id"
    ):
        reports[id_] = _apply_all(store, id_, kinds()[name], hooks, progress, now, total, left_out)
    if reports:
        store.database.look_anew()
    return reports


def resume(store: Store, hooks: Hooks, clock: Callable[[], datetime]) -> bool:
    """Take some more rows of an import into use whose command has died; whether there was any. One short transaction."""
    now = clock()
    quiet = millis(now) - IDLE_SECONDS * 1000
    sql = "select id, kind from intake where state = 'ready' and (seen < ? or worker = ?) order by id limit 1"
    for id_, kind in store.database.rows(sql, (quiet, _worker())):
        with store.write(TAKING_IN):
            claim = "update intake set worker = ? where id = ? and state = 'ready' and (seen < ? or worker = ?)"
            if store.database.run(claim, (_worker(), id_, quiet, _worker())):
                _apply_group(store, id_, kinds()[kind], RESUMED_ROWS, hooks, now)
                return True
    return False


def _report(store: Store, id_: int) -> Report:
    """What became of an import that is done."""
    sql = "select kind, total, left_out, added, changed, same from intake where id = ?"
    ((kind, total, left_out, *counts),) = store.database.rows(sql, (id_,))
    return Report(kind, total, Counts(*counts), left_out)


def _apply_all(
    store: Store, id_: int, kind: Kind, hooks: Hooks, progress: Progress, now: Callable[[], datetime], total: int, left_out: int
) -> Report:  # fmt: skip
    size, more = LEAST_ROWS, True

    def group() -> bool:
        with store.write(TAKING_IN):
            return _apply_group(store, id_, kind, size, hooks, now())

    while more:
        began = time.monotonic()
        with _short():
            more = retried(group)
        size = _paced(size, time.monotonic() - began)
        counts = Counts(*store.database.rows("select added, changed, same from intake where id = ?", (id_,))[0])
        progress("Taking into use", counts.new + counts.changed + counts.unchanged, total - left_out)
    return Report(kind.name, total, counts, left_out)


def _apply_group(store: Store, id_: int, kind: Kind, size: int, hooks: Hooks, now: datetime) -> bool:
    """Apply the next rows of the stage and take them off it; False when none is left. Inside one transaction."""
    database = store.database
    if not database.run("update intake set seen = ? where id = ? and state = 'ready'", (millis(now), id_)):
        return False  # another process has finished it
    sql = "select key, data from intake_row where intake = ? order by key limit ?"
    staged = database.rows(sql, (id_, size))
    if not staged:
        database.run("update intake set state = 'done', done = ? where id = ?", (millis(now), id_))
        return False
    counts = apply(store, kind, [_decode(data) for _, data in staged], hooks, now)
    database.run("delete from intake_row where intake = ? and key <= ?", (id_, staged[-1][0]))
    sql = "update intake set added = added + ?, changed = changed + ?, same = same + ? where id = ?"
    database.run(sql, (counts.new, counts.changed, counts.unchanged, id_))
    return True


def _added(one: Counts, other: Counts) -> Counts:
    return Counts(one.new + other.new, one.changed + other.changed, one.unchanged + other.unchanged)


def _paced(size: int, took: float) -> int:
    """How many rows the next transaction takes, so that it lasts about TRANSACTION_SECONDS."""
    fitting = size * TRANSACTION_SECONDS / max(took, 0.001)
    return max(LEAST_ROWS, min(MOST_ROWS, size * 2, int(fitting)))


@contextmanager
def _short() -> Iterator[None]:
    """After the transaction inside, leave the database to others for a part of its time: SQLite has no queue for writers."""
    began = time.monotonic()
    yield
    time.sleep((time.monotonic() - began) * REST)


def _groups(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    source = iter(rows)
    while group := list(islice(source, size)):
        yield group


# --- what a killed import left behind ---------------------------------------------------------------------------------


def drop_dead(store: Store, now: datetime) -> None:
    """Forget files whose reading was killed: they never became ready, so nothing of them was in use."""
    for id_, worker, seen in store.database.rows("select id, worker, seen from intake where state = 'reading'"):
        if _is_dead(worker) or millis(now) - seen > DEAD_SECONDS * 1000:
            _drop(store, id_)


def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{_START}"


def _is_dead(worker: str) -> bool:
    """Whether the process is known to be gone; one on another machine is given the benefit of the doubt."""
    host, process, start = worker.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    if int(process) == os.getpid():
        return start != _START  # in a container the next process may have the same number
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _drop(store: Store, id_: int) -> None:
    """Take an import off the stage, in short transactions."""
    sql = "delete from intake_row where intake = ? and key in (select key from intake_row where intake = ? order by key limit ?)"
    gone = MOST_ROWS
    while gone == MOST_ROWS:
        with _short(), store.write():
            gone = store.database.run(sql, (id_, id_, MOST_ROWS))
    with store.write():
        store.database.run("delete from intake where id = ?", (id_,))


# --- the command ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """What the command needs: the store, the shape of CA numbers, and what is to happen when something arrives."""

    store: Store
    ca_pattern: str
    hooks: Hooks


def import_command(opened: Callable[[], Opened]) -> click.Command:
    """`gateway import KIND FILE`; `opened` is called when the command runs."""

    @click.command("import")
    @click.argument("kind", type=click.Choice(list(kinds())))
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--dry-run", is_flag=True, help="only say what would change; bad rows are still written to the side file")
    @click.option("--map", "pairs", multiple=True, metavar="'COLUMN=FIELD'", help="our field for a column of another name")
    def command(kind: str, file: Path, dry_run: bool, pairs: tuple[str, ...]) -> None:
        """Take in a CSV or XLSX file from the billing system."""
        mapping, parts = _mapping(pairs), opened()
        try:
            with _bar() as progress:
                report = import_file(parts.store, kind, file, ca_pattern=parts.ca_pattern, mapping=mapping, hooks=parts.hooks,
                                     dry_run=dry_run, progress=progress)  # fmt: skip
        except BadFile as bad:
            raise BadFile(f"{file.name}: {bad}") from None
        for line in (*report.notices, *report.lines()):
            click.echo(line)

    return command


def _mapping(pairs: Iterable[str]) -> dict[str, str]:
    mapping = {}
    for pair in pairs:
        column, equals, name = pair.rpartition("=")
        if not (column.strip() and equals and name.strip()):
            raise ValueError(f"--map '{pair}': write it as 'Their column=our_field'")
        mapping[column.strip()] = name.strip()
    return mapping


@contextmanager
def _bar() -> Iterator[Progress]:
    """A progress bar on standard error: one for the reading, one for the taking into use."""
    bars: dict[str, Any] = {}

    def progress(what: str, done: int, whole: int) -> None:
        if what not in bars:
            for bar in bars.values():
                bar.render_finish()
            bars[what] = click.progressbar(length=max(whole, 1), label=what, file=sys.stderr)
            bars[what].render_progress()
        bars[what].update(max(0, done - bars[what].pos))

    yield progress
    for bar in bars.values():
        bar.render_finish()
