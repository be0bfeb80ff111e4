"""What goes wrong in a command ends it with one line and exit code 1, never with a stack trace."""

from __future__ import annotations

import sqlite3
from typing import Any

import click
import psycopg

from gateway.settings import BadSetting
from gateway.store import Conflict


class OneLine(click.Group):
    """Commands whose errors are lines: a bad setting, file or argument, a database that is away, locked or none of ours."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever read has had enough: click ends without a word
        except (sqlite3.Error, psycopg.Error) as error:
            raise SystemExit(f"gateway: database: {_line(error)}") from None
        except (BadSetting, Conflict, OSError, OverflowError, ValueError) as error:
            raise SystemExit(f"gateway: {_line(error)}") from None


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
