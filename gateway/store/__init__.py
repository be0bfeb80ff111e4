"""What is kept: one Store over SQLite or, for more than one machine, PostgreSQL."""

from __future__ import annotations

from gateway.store.sql import Conflict, Store
from gateway.store.sqlite import SQLite

__all__ = ["Conflict", "Store", "open_store"]


def open_store(url: str) -> Store:
    """The store at `sqlite:///path/to/file`, brought up to date. Raises ValueError for a URL of another kind."""
    scheme, _, path = url.partition("://")
    if scheme != "sqlite" or not path.strip("/"):
        raise ValueError(f"database: {scheme or url}:// is not known; write sqlite:///path/to/file.db")
    store = Store(SQLite(path[1:] if path.startswith("/") and not path.startswith("//") else path))
    store.migrate()
    return store
