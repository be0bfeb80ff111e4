"""What is kept: one Store over SQLite or, for more than one machine, PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from gateway.store.sql import Conflict, Database, Store
from gateway.store.sqlite import SQLite

__all__ = ["Conflict", "Store", "connect", "find", "open_store", "place_of"]


def connect(url: str) -> Database:
    """The database at `sqlite:///path/to/file` or `postgresql://host/name`. Raises ValueError for a URL of another kind."""
    scheme, _, path = url.partition("://")
    if scheme in ("postgresql", "postgres"):
        from gateway.store.postgres import PostgreSQL  # a town on one file does without its driver

        return PostgreSQL(url)
    if scheme != "sqlite" or not path.strip("/"):
        raise ValueError(
            f"database: {scheme or url}:// is not known; write sqlite:///path/to/file.db or postgresql://user@host/name"
        )
    return SQLite(path.removeprefix("/"))


def open_store(url: str) -> Store:
    """The store at a URL, brought up to date. Raises ValueError with one line if it cannot be reached."""
    store = Store(connect(url))
    try:
        store.migrate()
    except Exception as error:
        if store.database.is_trouble(error):
            raise ValueError(f"database: {str(error).strip().splitlines()[0]}") from error
        raise
    if isinstance(store.database, SQLite) and (moved := store.database.moved()):
        raise ValueError(f"database: {moved}: set GATEWAY_DATABASE to that")
    return store


def find(url: str) -> str:
    """The URL of a database that is there: a file is not made by being looked for. Raises ValueError."""
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).exists():
        raise ValueError(f"no database at {file}: see GATEWAY_DATABASE (`gateway release` makes a new one)")
    return url


def place_of(url: str) -> str:
    """The URL of a database without a password. Raises psycopg.ProgrammingError for a URL that PostgreSQL cannot read."""
    if not url.startswith("postgres"):
        return url
    from gateway.store.postgres import PostgreSQL

    return PostgreSQL(url).place
