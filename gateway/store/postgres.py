"""PostgreSQL, for more than one machine: any number of web and worker processes share it.

What differs from one file: hops of one phone on two machines wait for each other by a lock on the phone; every call has a
deadline, so that a server whose cable was pulled is given up within seconds; a lost connection is opened anew, at another host
of the URL if there are several (limits.md section 6).
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.types.numeric import Int8Dumper

from gateway.store.files import whole
from gateway.store.sql import Conflict

T = TypeVar("T")
#: SQL as PostgreSQL writes it, and its values.
Statement = tuple[str, Sequence[object] | None]

#: Seconds after which the server gives a statement up, and after which we give the server up.
STATEMENT_SECONDS, DEADLINE_SECONDS = 4, 5
#: What very many bear is found among as many consumers; an index would first gather all of them.
MANY = 30_000
#: How long after a failed try to connect nobody tries again: what waits is refused at once, not after a try each.
PAUSE_SECONDS = 0.5
#: A server that is gone is noticed within these (limits.md section 6): without them a call hangs for minutes.
NETWORK = {"connect_timeout": 2, "tcp_user_timeout": 2000, "keepalives": 1, "keepalives_idle": 1, "keepalives_interval": 1,
           "keepalives_count": 2, "target_session_attrs": "read-write", "application_name": "gateway"}  # fmt: skip
#: How every transaction begins: set within it alone, so that a pooler may stand between (docs/scale.md). What is acknowledged
#: is on disk, whatever the server's own settings say; and a process that hangs does not hold its locks.
BEGIN = "begin; set local synchronous_commit = on; "
HURRIED = f"set local statement_timeout = '{STATEMENT_SECONDS}s'; set local idle_in_transaction_session_timeout = '10s'; "
#: And one for phones: all it asks for is found by a key. Else a plan made while a table was still empty goes on reading all of it
#: until the server has looked at the table again: a third of all it did in a new town under load (measured).
BY_KEY = "set local enable_seqscan = off; "
#: Rows of one statement.
MOST_ROWS = 1000
#: Whoever brings the tables up to date holds this lock; the others wait and find it done.
MIGRATING = 0x_4741_5445_5741_59

#: Where words of consumers are cut: everything but letters, digits and the marks that belong to a Devanagari letter.
SEPARATORS = r"[\s!-/:-@\[-`{-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u0964\u0965\u0970\u2000-\u206f]+"
_SEARCHED = " || ' ' || ".join(("account", "name_deva", "name_latin", "address_deva", "address_latin", "meter"))

_PLACE = re.compile(r"\?")
_VALUES = re.compile(r"\bvalues\s*(\([^()]*\))", re.IGNORECASE)


@lru_cache(maxsize=1024)
def _numbered(sql: str) -> str:
    """`?` as PostgreSQL writes it: $1, $2, ..."""
    number = count(1)
    return _PLACE.sub(lambda _: f"${next(number)}", sql)


def _array(values: Iterable[object]) -> str:
    """Values as PostgreSQL reads an array: several times faster than having the driver find out what they are."""
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: object) -> str:
    if isinstance(value, str):
        return '"' + (value.replace("\\", "\\\\").replace('"', '\\"') if "\\" in value or '"' in value else value) + '"'
    return "NULL" if value is None else str(value)


def _lock(key: str) -> int:
    """The number of a key's lock."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), signed=True)


class Late(psycopg.OperationalError):
    """The server has not answered by the deadline; what became of the statement is unknown."""


class _Connection(psycopg.Connection[Any]):
    """A connection that is given up when the server has not answered by the deadline."""

    deadline: float | None = None
    host = ""

    def __del__(self, *_: Any) -> None:
        """A thread that ends takes its connection along; nobody forgot to close it."""
        if getattr(self, "pgconn", None) is not None:
            self.close()

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, timeout or self.deadline)
        except psycopg.OperationalError as error:
            told = error.sqlstate or isinstance(error, errors.PipelineAborted)  # by the server, which is there
            if told or self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.close()
            raise Late(f"no answer within {self.deadline} s") from error


class _Own(threading.local):
    """What a thread has of its own."""

    connection: _Connection | None = None
    #: Whether it is in a transaction, and whether in one of keys.
    writing = keyed = False
    #: What goes along with the next statement of a transaction of keys, ahead of it.
    along: tuple[Statement, ...] = ()


def _together(connection: _Connection, statements: Sequence[Statement]) -> psycopg.Cursor[Any]:
    """Run statements in one trip; what the last of them came to. Raises what the first came to that went wrong."""
    try:
        with connection.pipeline():
            for sql, values in statements:
                cursor = connection.execute(sql.encode(), values)
        return cursor
    except errors.PipelineAborted as error:  # said of a statement behind the one that went wrong
        raise error.__context__ or error from None


class PostgreSQL:
    """Connections to one database, one per thread."""

    name = "postgres"
    serial = "bigint generated by default as identity primary key"
    clustered = ""
    skip_locked = " for update skip locked"

    def __init__(self, url: str) -> None:
        given = conninfo_to_dict(url)
        self._parameters: dict[str, Any] = {**NETWORK, **given}
        hosts, ports = str(given.get("host", "")).split(","), str(given.get("port", "")).split(",")
        #: In the order in which they are tried; the one that was lost last is tried last.
        self._hosts = [(host, ports[n if len(ports) > 1 else 0]) for n, host in enumerate(hosts)]
        self._wholes: dict[str, str] = {}
        self._own = _Own()
        self._lock = threading.Lock()
        self._not_before = 0.0

    # --- connections ------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> _Connection:
        """This thread's connection. Raises psycopg.OperationalError when the database is away."""
        connection = self._own.connection
        if connection is None or connection.closed:
            if self._own.writing:
                raise psycopg.OperationalError("the connection was lost in the middle of a transaction")
            connection = self._own.connection = self._connect()
        return connection

    def _connect(self) -> _Connection:
        if time.monotonic() < self._not_before:
            raise psycopg.OperationalError("the database is away")
        with self._lock:
            hosts = tuple(self._hosts)
        places = {"host": ",".join(host for host, _ in hosts), "port": ",".join(port for _, port in hosts)}
        try:
            connection = _Connection.connect(
                **{**self._parameters, **{key: value for key, value in places.items() if value.strip(",")}},
                autocommit=True,
                prepare_threshold=1,
                cursor_factory=psycopg.RawCursor,
            )
        except psycopg.OperationalError:
            self._not_before = time.monotonic() + PAUSE_SECONDS
            raise
        connection.deadline = DEADLINE_SECONDS
        connection.host = connection.info.host
        connection.prepared_max = 512
        connection.adapters.register_dumper(int, Int8Dumper)  # one statement, whatever the size of its numbers
        return connection

    def close(self) -> None:
        """Close this thread's connection."""
        if self._own.connection is not None:
            self._own.connection.close()
            self._own.connection = None

    def _given_up(self, connection: _Connection) -> None:
        """If this connection is of no use any more, forget it and try its host last."""
        if connection.closed:
            self._own.connection = None
            with self._lock:
                self._hosts.sort(key=lambda place: place[0] == connection.host)

    # --- statements -------------------------------------------------------------------------------------------------

    @contextmanager
    def write(self, keys: Sequence[str] = ()) -> Iterator[None]:
        """One transaction. Those of the same keys (phones) wait for each other, in whatever process they run.

        Keys are locked in one order, so that two groups never wait for each other. Raises Conflict when the server
        undid the transaction because it and another waited for each other all the same, over rows that phones share.
        """
        begin = BEGIN + (HURRIED if self._is_hurried else "")
        if keys:
            locks = ", ".join(map(str, sorted({_lock(key) for key in keys})))
            begin += f"{BY_KEY}select pg_advisory_xact_lock(k) from unnest(array[{locks}]::bigint[]) k"
        self._begin(begin)
        try:
            self._own.writing, self._own.keyed = True, bool(keys)
            yield
            self._call("commit", prepare=False)
        except BaseException as error:
            self._undo()
            if isinstance(error, errors.DeadlockDetected | errors.SerializationFailure):
                raise Conflict("the server chose the other of two transactions") from error
            raise
        finally:
            self._own.writing, self._own.keyed, self._own.along = False, False, ()

    def _begin(self, begin: str) -> None:
        """Begin; on a new connection if the old one turns out to be dead: nothing was done on it yet."""
        try:
            self._call(begin, prepare=False)
        except psycopg.OperationalError as error:
            self._undo()
            if isinstance(error, Late) or self._is_connected:
                raise
            self._call(begin, prepare=False)

    def _undo(self) -> None:
        """Roll back, or drop a connection on which that cannot be done."""
        if self._is_connected:
            try:
                self.connection.execute("rollback", prepare=False)
            except psycopg.Error:
                self.close()

    @property
    def _is_hurried(self) -> bool:
        return self.connection.deadline is not None

    @property
    def _is_connected(self) -> bool:
        return self._own.connection is not None

    def _call(self, sql: str, values: Sequence[object] | None = None, *, prepare: bool | None = None) -> psycopg.Cursor[Any]:
        """Run a statement, with those that go along."""
        along, self._own.along = self._own.along, ()
        return self._trip(*along, (sql, values), prepare=prepare)

    def _trip(self, *statements: Statement, prepare: bool | None = None) -> psycopg.Cursor[Any]:
        """Run statements in one trip to the server; what the last of them came to."""
        connection = self.connection
        try:
            if len(statements) == 1:
                ((sql, values),) = statements
                return connection.execute(sql.encode(), values, prepare=prepare)
            return _together(connection, statements)
        except psycopg.OperationalError:
            self._given_up(connection)
            raise

    def _read(self, sql: str, values: Sequence[object]) -> list[Any]:
        """Rows; asked once more on a new connection if the old one turns out to be dead and no transaction was open on it."""
        try:
            return self._call(sql, values).fetchall()
        except psycopg.OperationalError as error:
            if self._own.writing or isinstance(error, Late) or self._is_connected:
                raise
            return self._call(sql, values).fetchall()

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Run a query and return its rows as tuples."""
        return self._read(_numbered(sql), values)

    def rows_in(self, sql: str, *values: Sequence[Any]) -> list[Any]:
        """The rows of a query for any number of texts, which are one array, or of tuples of them, which are one a column."""
        columns = values
        if values[0] and isinstance(values[0][0], tuple):
            (tuples,) = values
            columns = tuple(zip(*tuples, strict=True))
            arrays = ", ".join(f"${number}::text[]" for number in range(1, len(columns) + 1))
            sql = sql.replace("values ?*", f"select * from unnest({arrays})")
        for number in range(1, len(values) + 1):
            sql = sql.replace("in (?*)", f"= any(${number})", 1)
            sql = sql.replace("values ?*", f"select unnest(${number}::text[])", 1)
        return self._read(sql, [_array(column) for column in columns])

    def packed(self, columns: str) -> str:
        """Columns as one JSON array, in bytes."""
        return f"convert_to(json_build_array({columns.replace('(', 'json_build_array(')})::text, 'UTF8')"

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run a statement and return how many rows it touched."""
        return self._call(_numbered(sql), values).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each row: an insert as one statement, its rows as one array a column. In a transaction of keys it
        goes along with the next one, at the latest with the commit, since a trip to the server is dear and nothing hangs on it."""
        waiting = iter(rows)
        while some := list(islice(waiting, MOST_ROWS)):
            statements = self._for_rows(sql, some)
            if self._own.keyed:
                self._own.along += tuple(statements)
            else:
                self._trip(*statements)

    def _for_rows(self, sql: str, rows: Sequence[Sequence[object]]) -> list[Statement]:
        found = _VALUES.search(sql)
        if found is None or len(rows) == 1:
            return [(_numbered(sql), row) for row in rows]
        whole = self._wholes.get(sql) or self._wholes.setdefault(sql, self._whole(sql, found))
        return [(whole, [_array(column) for column in zip(*rows, strict=True)])]

    def _whole(self, sql: str, values: re.Match[str]) -> str:
        """An insert of one row as an insert of any number; the types of its values are the server's to say."""
        server = self.connection.pgconn
        prepared = server.prepare(b"", _numbered(sql).encode())
        if prepared.status != ExecStatus.COMMAND_OK:
            raise psycopg.ProgrammingError(prepared.error_message.decode(errors="replace"))
        asked = server.describe_prepared(b"")
        types = [self.connection.adapters.types[asked.param_type(place)].name for place in range(asked.nparams)]
        arrays = ", ".join(f"${number}::{name}[]" for number, name in enumerate(types, 1))
        number = count(1)
        selected = _PLACE.sub(lambda _: f"v{next(number)}", values[1][1:-1])
        names = ", ".join(f"v{number}" for number in range(1, len(types) + 1))
        return (
            f"{sql[: values.start()]}select {selected} from unnest({arrays}) as given ({names}) where true {sql[values.end() :]}"
        )

    def is_duplicate(self, error: Exception) -> bool:
        """Whether a statement failed because a row it must not double is there already."""
        return isinstance(error, errors.UniqueViolation)

    def is_trouble(self, error: Exception) -> bool:
        """Whether nothing can be kept just now (the server is away, full, stopping, or late), whoever asks."""
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | errors.ReadOnlySqlTransaction)

    # --- upkeep -----------------------------------------------------------------------------------------------------

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """For upkeep: statements of this thread may take as long as they need."""
        connection = self.connection
        before, connection.deadline = connection.deadline, None
        try:
            yield
        finally:
            connection.deadline = before

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """One transaction that only one process of all machines is in."""
        with self.unhurried(), self.write():
            self.run("select pg_advisory_xact_lock(?)", (MIGRATING,))
            yield

    def look_anew(self) -> None:
        """The server would look by itself within a minute; until then it might read whole tables for a hop."""
        with self.unhurried():
            self.run("analyze")

    def integrity(self) -> list[str]:
        """The server looks after its own pages."""
        return []

    def backup(self, path: Path) -> None:
        """Have pg_dump copy the database as of now to `path`. Raises FileExistsError, and OSError with pg_dump's own words."""
        with whole(path) as part:
            self._have("pg_dump", "--format=custom", "--no-owner", f"--file={part}")

    def take_in(self, path: Path) -> None:
        """Have pg_restore fill this database, which must be empty, from a backup: all of it or nothing. Raises OSError."""
        if self.rows("select 1 from information_schema.tables where table_schema = 'public' limit 1"):
            raise FileExistsError("the database is not empty; name a new one in GATEWAY_DATABASE")
        self._have("pg_restore", "--no-owner", "--single-transaction", "--exit-on-error", str(path))

    def _have(self, program: str, *arguments: str) -> None:
        """Have one of PostgreSQL's programs do something with this database. Raises OSError with its own first line."""
        secrets = {"PGPASSWORD": str(self._parameters["password"])} if self._parameters.get("password") else {}
        places = ("host", "port", "user", "dbname", "sslmode", "sslrootcert")
        url = make_conninfo(**{key: self._parameters[key] for key in places if self._parameters.get(key)})
        command = [program, f"--dbname={url}", *arguments]
        ran = subprocess.run(command, env={**os.environ, **secrets}, capture_output=True, text=True, check=False)  # noqa: S603
        if ran.returncode:
            raise OSError(ran.stderr.strip().splitlines()[0] if ran.stderr.strip() else f"{program} ended with {ran.returncode}")

    def enable_search(self) -> None:
        """Search over consumers in both scripts: their words as a column that the server keeps.

        PostgreSQL's own parser of texts cuts Devanagari at vowel signs, so the words are cut by SEPARATORS.
        """
        if self.rows("select 1 from information_schema.columns where table_name = 'consumer' and column_name = 'words'"):
            return
        words = f"array_remove(regexp_split_to_array(lower({_SEARCHED}), '{SEPARATORS}'), '')"
        self.run(f"alter table consumer add column words tsvector generated always as (array_to_tsvector({words})) stored")
        self.run("create index consumer_words on consumer using gin (words)")

    def search(self, words: str, limit: int) -> list[str]:
        """Accounts whose name, address, number or meter has words beginning like these; unranked, for speed."""
        terms = [term for term in re.split(SEPARATORS, words.lower()) if term]
        if not terms:
            return []
        query = " & ".join("'" + term.replace("\\", "\\\\").replace("'", "''") + "':*" for term in terms)
        sql = "select account from (select account, words from consumer limit ?) few where words @@ ?::tsquery limit ?"
        found = self.rows(sql, (MANY, query, limit))
        if len(found) < limit:
            # materialized, for else the limit has the planner read the whole table: it takes any beginning for a frequent one
            sql = "with found as materialized (select account from consumer where words @@ ?::tsquery) select account from found limit ?"
            found = self.rows(sql, (query, limit))
        return [row[0] for row in found]

    # --- a town that moves in -----------------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """Where it is, without any password."""
        user = f"{self._parameters['user']}@" if self._parameters.get("user") else ""
        hosts = ",".join(f"{host}:{port}" if port else host for host, port in self._hosts)
        return f"postgresql://{user}{hosts}/{self._parameters.get('dbname', '')}"

    def tables(self) -> dict[str, tuple[str, ...]]:
        """The tables and their columns; not which migrations have run, nor what the server computes itself."""
        sql = """select table_name, column_name from information_schema.columns join information_schema.tables t
                 using (table_schema, table_name) where table_schema = current_schema() and t.table_type = 'BASE TABLE'
                 and table_name <> 'migration' and is_generated = 'NEVER' order by table_name, ordinal_position"""
        tables: dict[str, tuple[str, ...]] = {}
        for table, column in self.rows(sql):
            tables[table] = (*tables.get(table, ()), column)
        return tables

    def take(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Copy rows in. A zero byte, which PostgreSQL keeps in no text, is left out."""
        with self.connection.cursor().copy(f"copy {table} ({', '.join(columns)}) from stdin".encode()) as copy:
            for row in rows:
                copy.write_row([value.replace("\0", "") if isinstance(value, str) else value for value in row])

    def number_on(self, last: Mapping[str, int]) -> None:
        """Go on with ids after the last that was given in each table."""
        for table, number in last.items():
            self.run("select setval(pg_get_serial_sequence(?, 'id'), ?)", (table, number))
