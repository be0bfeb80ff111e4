"""The staff's accounts and sessions, and how often somebody has tried to get in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from gateway.staff import Role, Staff
from gateway.store.sql import Store, millis, moment

_ACCOUNT = "name, role, sections, lang, password, must_change, totp, totp_step, active"
_ACCOUNTS = f"select {_ACCOUNT} from staff"


class Account(Struct, frozen=True):
    """A person of the staff. `password` is an argon2id hash; `totp` the second factor's secret, empty without one;
    `totp_step` the last time step whose code was used, since a code serves once."""

    name: str
    role: Role
    sections: tuple[str, ...]
    lang: str
    password: str
    must_change: bool = False
    totp: str = ""
    totp_step: int = 0
    active: bool = True

    @property
    def staff(self) -> Staff:
        """As the pages know them."""
        return Staff(self.name, self.role, self.sections, self.lang)


class Session(Struct, frozen=True):
    """Somebody logged in at a browser. `token` is the hash of what the browser's cookie holds."""

    token: str
    csrf: str
    began: datetime
    seen: datetime
    account: Account


class Login(Struct, frozen=True):
    """Where an account is logged in, as its owner sees it."""

    token: str
    began: datetime
    seen: datetime


class StaffBook:
    """The queries. Those that write belong inside `with store.write():`."""

    def __init__(self, store: Store) -> None:
        self._rows = store.database.rows
        self._run = store.database.run

    # --- accounts ---------------------------------------------------------------------------------------------------

    def account(self, name: str) -> Account | None:
        """One account, or None."""
        rows = self._rows(f"{_ACCOUNTS} where name = ?", (name,))
        return _account(rows[0]) if rows else None

    def accounts(self) -> list[Account]:
        """All of them, by name."""
        return [_account(row) for row in self._rows(f"{_ACCOUNTS} order by name")]

    def keep(self, account: Account, now: datetime) -> None:
        """Keep an account, new or changed."""
        self._run(
            f"""insert into staff ({_ACCOUNT}, changed) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (name) do update
                set role = excluded.role, sections = excluded.sections, lang = excluded.lang, password = excluded.password,
                must_change = excluded.must_change, totp = excluded.totp, totp_step = excluded.totp_step,
                active = excluded.active, changed = excluded.changed""",
            (account.name, account.role, " ".join(account.sections), account.lang, account.password, int(account.must_change),
             account.totp, account.totp_step, int(account.active), millis(now)),
        )  # fmt: skip

    def changed(self, name: str) -> datetime:
        """When an account that is there was last changed."""
        return moment(self._rows("select changed from staff where name = ?", (name,))[0][0])

    def versions(self) -> dict[str, str]:
        """What says of each account whether it was changed since a page showed it."""
        return {name: str(changed) for name, changed in self._rows("select name, changed from staff")}

    def spend_code(self, name: str, step: int) -> bool:
        """Mark a second factor's time step as used; False if it, or a later one, was used before."""
        return self._run("update staff set totp_step = ? where name = ? and totp_step < ?", (step, name, step)) == 1

    # --- sessions ---------------------------------------------------------------------------------------------------

    def begin(self, token: str, name: str, csrf: str, now: datetime) -> None:
        """Somebody is in."""
        at = millis(now)
        self._run(
            "insert into staff_session (token, name, csrf, began, seen) values (?, ?, ?, ?, ?)", (token, name, csrf, at, at)
        )

    def session(self, token: str) -> Session | None:
        """The session of a cookie, if its account may still come in."""
        columns = ", ".join(f"a.{column}" for column in _ACCOUNT.split(", "))
        sql = f"""select s.csrf, s.began, s.seen, {columns} from staff_session s join staff a on a.name = s.name
                  where s.token = ? and a.active = 1"""
        rows = self._rows(sql, (token,))
        if not rows:
            return None
        csrf, began, seen, *account = rows[0]
        return Session(token, csrf, moment(began), moment(seen), _account(account))

    def touch(self, token: str, now: datetime) -> None:
        """The session is in use."""
        self._run("update staff_session set seen = ? where token = ?", (millis(now), token))

    def end(self, token: str) -> None:
        """One session ends."""
        self._run("delete from staff_session where token = ?", (token,))

    def end_all(self, name: str, but: str = "") -> int:
        """Every session of an account ends, except the one named; how many did."""
        return self._run("delete from staff_session where name = ? and token <> ?", (name, but))

    def sessions_of(self, name: str) -> list[Login]:
        """Where an account is logged in, the last used first."""
        rows = self._rows("select token, began, seen from staff_session where name = ? order by seen desc, token", (name,))
        return [Login(token, moment(began), moment(seen)) for token, began, seen in rows]

    def sessions(self) -> dict[str, int]:
        """How many browsers each account is logged in at."""
        return dict(self._rows("select name, count(*) from staff_session group by name"))

    def clear_out(self, now: datetime, idle: timedelta, longest: timedelta) -> None:
        """Sessions and failed tries that are too old to count."""
        self._run("delete from staff_session where seen < ? or began < ?", (millis(now - idle), millis(now - longest)))
        self._run("delete from staff_try where at < ?", (millis(now - timedelta(days=1)),))

    # --- failed tries -----------------------------------------------------------------------------------------------

    def too_many(self, most: Mapping[str, int], since: datetime) -> bool:
        """Whether there were as many failed tries as there may be under any of these keys."""
        sql = "select count(*) from staff_try where key = ? and at > ?"
        return any(int(self._rows(sql, (key, millis(since)))[0][0]) >= count for key, count in most.items())

    def failed(self, keys: Iterable[str], now: datetime) -> None:
        """A try failed."""
        for key in keys:
            self._run("insert into staff_try (key, at) values (?, ?)", (key, millis(now)))

    def forgive(self, key: str) -> None:
        """The right one is in: its failed tries are forgotten."""
        self._run("delete from staff_try where key = ?", (key,))


def _account(row: Sequence[Any]) -> Account:
    name, role, sections, lang, password, must_change, totp, totp_step, active = row
    return Account(name, role, tuple(sections.split()), lang, password, bool(must_change), totp, totp_step, bool(active))
