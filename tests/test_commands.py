"""Commands that cannot do what they are asked to: one line that says why, exit code 1, and nothing made."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.store import open_store
from tests import town

#: Those that need what is kept; FILE is there.
COMMANDS = (
    "purge", "reader list", "linking", "campaign list", "forget 5550000002 --reason x", "held 5550000002 --reason x",
    "import bills FILE", "export requests x.csv", "check", "backup b.db", "copy postgresql://u@127.0.0.1:1/x",
)  # fmt: skip
#: And those that may begin a town.
OPENING = (*COMMANDS, "release", "restore FILE", "staff list", "audit verify", "web", "worker", "demo")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run; there is a town in `town.db`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("CANumber,BillMonth,Amount,DueDate\n100000001,MAY-2026,1,2026-06-22\n")
    store = open_store("sqlite:///town.db")
    town.build(store)
    store.close()
    return tmp_path


def run(command: str, **settings: str) -> Result:
    return CliRunner().invoke(main, command.split(), env={f"GATEWAY_{name.upper()}": value for name, value in settings.items()})


def line(ran: Result) -> str:
    """What a command that failed said."""
    assert isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert (ran.exit_code, ran.output.count("\n")) == (1, 1), ran.output
    assert ran.output.startswith("gateway: ")
    return ran.output.removeprefix("gateway: ").rstrip()


@pytest.mark.parametrize("command", OPENING)
def test_what_is_wrong_is_one_line(command: str, folder: Path) -> None:
    assert line(run(command, port="abc")).startswith("GATEWAY_PORT: ")
    assert line(run(command, database="mysql://x")).startswith("database: mysql:// is not known")
    assert line(run(command, database="postgresql://u@127.0.0.1:1/x")).startswith("database: ")
    assert "foo" in line(run(command, database="postgresql://u@h/x?foo=1"))
    (folder / "words.db").write_text("no database at all, only some words\n" * 200)
    if command != "restore FILE":
        assert line(run(command, database="sqlite:///words.db")) == "database: file is not a database"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_wrong_folder_holds_no_new_town(command: str, folder: Path) -> None:
    assert line(run(command, database="sqlite:///elsewhere/gateway.db")) == (
        "no database at elsewhere/gateway.db: see GATEWAY_DATABASE (`gateway release` makes a new one)"
    )
    assert not (folder / "elsewhere").exists()


def test_a_database_that_somebody_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.sqlite.BUSY_SECONDS", 0.05)
    holder = sqlite3.connect("town.db", isolation_level=None)
    holder.execute("begin immediate")
    assert line(run("purge", database="sqlite:///town.db")) == "database: database is locked"
    holder.close()


def test_arguments_that_cannot_be(folder: Path) -> None:
    town_file = "sqlite:///town.db"
    assert line(run("backup nowhere/x.db", database=town_file)).startswith("[Errno 2] No such file or directory")
    assert "another reader's phone" in run("reader add 4472 5550000012 S1", database=town_file, demo="true").output
    assert "is not in the range" in run("campaign start due --at-least 99999999999999999999", database=town_file).output


def test_no_password_is_shown() -> None:
    shown = run("settings", database="postgresql://gateway:hush@db.example/town").output
    assert "GATEWAY_DATABASE = postgresql://gateway@db.example/town " in shown
    assert "hush" not in shown
