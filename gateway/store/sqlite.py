"""One SQLite file: power-safe (`synchronous=FULL`), one writer at a time, readers never held up (WAL)."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import sqlite_utils

from gateway.store.files import make_durable, whole

#: How long a writer waits for another process's transaction.
BUSY_SECONDS = 10

#: FTS5's default tokenizer cuts Devanagari at every vowel sign; these categories keep marks inside the word.
TOKENIZER = "unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'"
#: What SQLite says of a file that it cannot make sense of.
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
#: Values asked for by one statement.
MOST_VALUES = 256
#: How the triggers begin that refuse writes after a move.
MOVED = "moved"
#: What the search of consumers looks in.
SEARCHED = ("account", "name_deva", "name_latin", "address_deva", "address_latin", "meter")


_VALUES = re.compile(r"^\s*insert\b.*?\bvalues\s*(\([?, ]*\))", re.IGNORECASE | re.DOTALL)


def _filled(values: Sequence[Any]) -> Sequence[Any]:
    """The values, and nulls, which nothing equals, until they are 1, 2, 4 ..."""
    if not values:
        return (None,)
    missing = (1 << (len(values) - 1).bit_length()) - len(values)
    if not missing:
        return values
    return [*values, *[(None,) * len(values[0]) if isinstance(values[0], tuple) else None] * missing]


@lru_cache(maxsize=4096)
def _with_places(sql: str, width: int, *places: int) -> str:
    """A query with so many places for values, or for tuples of a width, where it says `in (?*)` or `values ?*`."""
    for count in places:
        sql = sql.replace("(?*)", f"({', '.join('?' * count)})", 1)
        sql = sql.replace("values ?*", "values " + ", ".join([f"({', '.join('?' * width)})"] * count), 1)
    return sql


@lru_cache(maxsize=256)
def _for_rows(sql: str, rows: int) -> str | None:
    """An insert of one row as an insert of several; None if it is no such statement."""
    found = _VALUES.search(sql)
    return sql[: found.start(1)] + ", ".join([found[1]] * rows) + sql[found.end(1) :] if found else None


class SQLite:
    """Connections to one file, one per thread."""

    name = "sqlite"
    serial = "integer primary key autoincrement"
    skip_locked = ""  # there is one writer, who sees what all others took
    clustered = "without rowid"

    def __init__(self, path: str) -> None:
        self.path = path
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._local = threading.local()

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=256)
            for pragma in (
                "journal_mode=wal",
                "synchronous=full",
                "foreign_keys=on",
                "cache_size=-65536",
                "temp_store=memory",
                "wal_autocheckpoint=8000",
            ):
                connection.execute(f"pragma {pragma}")
            self._local.connection = connection
        return connection

    def close(self) -> None:
        """Close this thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    @contextmanager
    def write(self, keys: Sequence[str] = ()) -> Iterator[None]:
        """One transaction; there is one writer, whatever the keys. `begin immediate`, because a read-then-write under a plain begin fails under load (measured)."""
        connection = self.connection
        connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Run a query and return its rows as tuples."""
        return self.connection.execute(sql, values).fetchall()

    def rows_in(self, sql: str, *values: Sequence[Any]) -> list[Any]:
        """The rows of a query for any number of values or tuples: as 1, 2, 4 ... places, so that few statements are made."""
        rows = []
        for start in range(0, max(map(len, values)), MOST_VALUES):
            given = [_filled(some[start : start + MOST_VALUES]) for some in values]
            flat, width = [*chain(*given)], 1
            if isinstance(flat[0], tuple):
                flat, width = [*chain(*flat)], len(flat[0])
            rows += self.connection.execute(_with_places(sql, width, *map(len, given)), flat).fetchall()
        return rows

    def packed(self, columns: str) -> str:
        """Columns as one JSON array. Bytes, because that is what is decoded: as text all of it is turned into Unicode and back."""
        return f"cast(json_array({columns.replace('(', 'json_array(')}) as blob)"

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run a statement and return how many rows it touched."""
        return self.connection.execute(sql, values).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each row: an insert for 64, 32, ... 1 of them at once. Each step of a statement lets another
        thread in, and the web server beside this one takes every chance: a step a row doubles what a row costs."""
        waiting = iter(rows)
        while some := list(islice(waiting, 64)):
            while some:
                size = 1 << (len(some).bit_length() - 1)
                together = _for_rows(sql, size)
                if together is None:
                    self.connection.executemany(sql, [*some, *waiting])
                    return
                self.connection.execute(together, list(chain(*some[:size])))
                some = some[size:]

    def is_duplicate(self, error: Exception) -> bool:
        """Whether a statement failed because a row it must not double is there already."""
        return isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_TRIGGER

    def is_trouble(self, error: Exception) -> bool:
        """Whether nothing can be kept just now (locked, disk full, read-only, moved away), whoever asks."""
        moved = isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_TRIGGER
        return moved or isinstance(error, sqlite3.OperationalError)

    def migrating(self) -> AbstractContextManager[None]:
        """One transaction for changing the tables: any will do."""
        return self.write()

    def unhurried(self) -> AbstractContextManager[None]:
        """Statements have no time limit here."""
        return nullcontext()

    def look_anew(self) -> None:
        """Queries are planned without looking at what is there."""

    # --- upkeep ------------------------------------------------------------------------------------------------------

    def integrity(self) -> list[str]:
        """What is wrong with the file itself; empty if nothing is."""
        lines = [row[0] for row in self.rows("pragma quick_check(10)")]
        return [] if lines == ["ok"] else lines

    def backup(self, path: Path) -> None:
        """Copy the database as of now to `path` while it is in use. One step, because a copy in several begins anew at every
        commit in between; writers go on, only the WAL cannot be emptied for that long. Raises FileExistsError."""
        with whole(path) as part:
            copy = sqlite3.connect(part)
            try:
                self.connection.backup(copy)
                copy.execute("pragma journal_mode=delete")  # one file, which can be moved about
            finally:
                copy.close()

    def stage(self, path: Path) -> SQLite:
        """A backup as a database of its own beside this one: what is to be looked at before it takes this one's place."""
        staged = SQLite(f"{self.path}.part")
        staged.discard()
        shutil.copyfile(path, staged.path)
        os.chmod(staged.path, 0o600)
        return staged

    def replace_with(self, staged: SQLite, *, replace: bool) -> Path | None:
        """Let a staged database take this one's place; with `replace` the one that was there is put aside, and named: a damaged
        one as it is. Raises FileExistsError without `replace`, and ValueError while a process has the database open."""
        staged.close()
        self.close()
        target = Path(self.path)
        if target.exists():
            if not replace:
                raise FileExistsError(f"{target} exists; `--replace` puts it aside first")
            _empty_wal(target)
        _empty_wal(Path(staged.path))
        make_durable(Path(staged.path))
        before = _put_aside(target)
        Path(staged.path).rename(target)
        make_durable(target.parent)
        return before

    def discard(self) -> None:
        """Delete the files of a staged database."""
        self.close()
        for file in _files(Path(self.path)):
            file.unlink()

    # --- a town that moves out ----------------------------------------------------------------------------------------

    def tables(self) -> list[str]:
        """The tables; not which migrations have run, nor those of the search."""
        names = self.rows("select name from sqlite_master where type = 'table' and name not like 'sqlite#_%' escape '#'")
        return [name for (name,) in names if name != "migration" and not name.startswith("consumer_fts")]

    def scan(self, table: str, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """Every row of a table, a few at a time."""
        return self.connection.execute(f"select {', '.join(columns)} from {table}")

    def last_numbers(self) -> dict[str, int]:
        """The last id that was given in each table that numbers its rows."""
        return dict(self.rows("select name, seq from sqlite_sequence where seq > 0"))

    def refuse_writes(self, why: str) -> None:
        """From this transaction on nobody writes here again, whichever process it is."""
        for table in self.tables():
            for verb in ("insert", "update", "delete"):
                self.run(
                    f"create trigger {MOVED}_{table}_{verb} before {verb} on {table} begin select raise(abort, '{why}'); end"
                )

    def moved(self) -> str:
        """Where the town went, if this file refuses writes."""
        sql = "select sql from sqlite_master where type = 'trigger' and name = ?"
        return "".join(sql.split("'")[1] for (sql,) in self.rows(sql, (f"{MOVED}_inbound_insert",)))

    # --- what sqlite-utils does for us: bulk, search, upkeep ----------------------------------------------------------

    @property
    def utils(self) -> sqlite_utils.Database:
        """The same connection as a sqlite-utils database, for imports and upkeep; never in the hop."""
        return sqlite_utils.Database(self.connection)

    def enable_search(self) -> None:
        """Full-text search over consumers in both scripts, kept up to date by triggers."""
        table = self.utils.table("consumer")
        if table.detect_fts() is None:
            table.enable_fts(SEARCHED, tokenize=TOKENIZER, create_triggers=True)

    def search(self, words: str, limit: int) -> list[str]:
        """Accounts whose name, address, number or meter has words beginning like these; unranked, for speed."""
        terms = [term for term in words.replace('"', " ").split() if term]
        if not terms:
            return []
        query = " ".join(f'"{term}"*' for term in terms)
        sql = "select c.account from consumer_fts f join consumer c on c.rowid = f.rowid where consumer_fts match ? limit ?"
        return [row[0] for row in self.rows(sql, (query, limit))]


def _files(path: Path) -> list[Path]:
    """The file and what SQLite keeps beside it, of these what there is."""
    return [file for suffix in ("", "-wal", "-shm", "-journal") if (file := path.with_name(path.name + suffix)).exists()]


def _put_aside(path: Path) -> Path | None:
    """Rename a database and whatever is beside it, even where the file itself is gone: SQLite would play a WAL that was left
    behind into whatever file comes next. The first new name; None if there was nothing."""
    aside = f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    return next(iter([file.rename(path.with_name(aside + file.name.removeprefix(path.name))) for file in _files(path)]), None)


def _empty_wal(path: Path) -> None:
    """Write what is left in the WAL into the file, so that the file is all there is; a damaged one is left as it is. Raises
    ValueError while anybody else has it open: leaving WAL mode is refused then."""
    with closing(sqlite3.connect(path, timeout=1)) as connection:
        try:
            connection.execute("pragma journal_mode=delete")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in DAMAGED:
                raise ValueError(f"{path} is in use: stop the gateway first ({error})") from error
