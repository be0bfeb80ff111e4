"""How everything is logged: one JSON object a line, and of a fault where it happened, never what it said.

The words of an exception may hold a row or an input: PostgreSQL quotes the key that was there already, a reader the text it
could not read. So an exception is its type and the places it passed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from traceback import extract_tb
from typing import Any

import msgspec
import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_encode = msgspec.json.Encoder(enc_hook=repr).encode
#: The innermost places of an exception that are named.
PLACES = 8


def set_up(level: str) -> None:
    """Log to the standard error stream from this level on."""
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # PostgreSQL's driver quotes the server in its warnings
    structlog.configure(
        processors=[
            structlog.processors.add_log_level, structlog.processors.TimeStamper("iso", utc=True), places,
            _as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: Lines(),
    )  # fmt: skip


class Lines:
    """The standard error stream. A line that cannot be written (a full disk, a pipe nobody reads) is lost, and nothing with it:
    what is logged has been done."""

    def msg(self, line: bytes) -> None:
        """Write a line."""
        with suppress(OSError, ValueError):
            stream = sys.stderr.buffer
            stream.write(line + b"\n")
            stream.flush()

    log = debug = info = warning = error = critical = msg


def _as_json(logger: object, method: str, event: MutableMapping[str, Any]) -> bytes:
    """The line, as bytes: half the time of text, and there is a line a hop."""
    return _encode(event)


def places(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception as its type, what it came from, and the places it passed."""
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        if error.__cause__ is not None:
            event["because"] = type(error.__cause__).__name__
        event["places"] = [f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in extract_tb(error.__traceback__)[-PLACES:]]
    return event
