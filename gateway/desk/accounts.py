"""Accounts: everybody's own (password, second factor, where it is logged in), and all of them for the administrator."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace
from starlette.responses import RedirectResponse, Response

from gateway.audit import Audit
from gateway.desk import LANGS, desk_words, keys
from gateway.desk.ask import Ask
from gateway.hop import now_utc
from gateway.staff import ALL_SECTIONS, ROLES, Staff, console
from gateway.store.cases import Cases
from gateway.store.staff import Account, StaffBook

if TYPE_CHECKING:
    from gateway.app import Gateway

NAME = re.compile(r"[a-z][a-z0-9._-]{1,39}")
#: Lines of an account's record that its owner sees.
HAPPENED = 12
SECTION = re.compile(r"[A-Za-z0-9_-]{1,20}")


class BadAccount(Exception):
    """An account that cannot be: `why` is the end of a key of words.toml, `named` what it names."""

    def __init__(self, why: str, named: str = "") -> None:
        super().__init__(why)
        self.why, self.named = why, named

    @property
    def line(self) -> str:
        """Why, in English."""
        return desk_words()["en"][f"why_{self.why}"].format(named=self.named)


def drafted(cases: Cases, name: str, role: str, sections: str, lang: str) -> Account:
    """An account as typed, its password still missing. Raises BadAccount."""
    codes = tuple(sections.replace(",", " ").split())
    if not NAME.fullmatch(name):
        raise BadAccount("account_name")
    if role not in ROLES:
        raise BadAccount("account_role")
    if lang not in LANGS:
        raise BadAccount("account_lang")
    some = [code for code in codes if code != ALL_SECTIONS]
    if wrong := [code for code in some if not SECTION.fullmatch(code)] or cases.no_sections(some):
        raise BadAccount("account_sections", " ".join(wrong)[:60])
    return Account(name, role, codes, lang, "")


def hand_over(account: Account) -> tuple[Account, str]:
    """The account with a new password that must be changed at the first login, and that password, shown once."""
    password = keys.one_time_password()
    return replace(account, password=keys.hashed(password), must_change=True), password


# --- everybody's own ----------------------------------------------------------------------------------------------------


def own(ask: Ask) -> Response:
    """The person's own account."""
    return _own(ask)


def _own(ask: Ask, status: int = 200, **values: object) -> Response:
    book = StaffBook(ask.desk.gateway.store)
    account = _mine(ask, book)
    shown = {"why": "", "done": "", "secret": "", "picture": "", **values}
    wanted = ask.desk.gateway.settings.desk_second_factor and not account.totp
    return ask.desk.page(
        ask, "account.html", status, account=account, logins=book.sessions_of(account.name), wanted=wanted,
        shortest=keys.SHORTEST, longest=keys.LONGEST, happened=ask.desk.cases.seen_by(account.name, HAPPENED), **shown,
    )  # fmt: skip


def _proven(ask: Ask, book: StaffBook, account: Account, password: str) -> str:
    """Why somebody who is in has not proven once more who it is, by password; empty if it is proven (ASVS 5.0, 7.5.1).

    Wrong ones count as failed tries, so that a browser left open is no place to guess.
    """
    key, now = f"name {account.name} inside", ask.desk.clock()
    if book.too_many({key: keys.TRIES_HERE}, now - keys.TRIES_SPAN):
        return "too_many"
    if keys.is_right(password, account.password):
        return ""
    with ask.desk.gateway.store.write():
        book.failed([key], now)
        ask.desk.audit.within(ask.staff, "password refused", account.name)
    return "wrong_password"


def _code(ask: Ask) -> str:
    return ask.typed("code").replace(" ", "")


def password(ask: Ask) -> Response:
    """Change one's password; every other browser is logged out."""
    store, book = ask.desk.gateway.store, StaffBook(ask.desk.gateway.store)
    account, new = _mine(ask, book), ask.form.get("new", ("",))[0]
    if why := _proven(ask, book, account, ask.form.get("old", ("",))[0]):
        return _own(ask, 422, why=why)
    why = keys.weakness(new, account.name, ask.desk.gateway.settings.company)
    if not why and new != ask.form.get("again", ("",))[0]:
        why = "password_again"
    if why:
        return _own(ask, 422, why=why)
    with store.write():
        book.keep(replace(account, password=keys.hashed(new), must_change=False), ask.desk.clock())
        book.end_all(account.name, but=ask.session)
        ask.desk.audit.within(ask.staff, "change password", account.name)
    return _own(ask, done="password_changed")


def second_factor(ask: Ask) -> Response:
    """Show a new secret; or, when its code comes back with it, keep it; or, with a code, take the factor away again."""
    store, book, now = ask.desk.gateway.store, StaffBook(ask.desk.gateway.store), ask.desk.clock()
    account, secret = _mine(ask, book), ask.typed("secret")
    if why := _proven(ask, book, account, ask.form.get("password", ("",))[0]):
        return _own(ask, 422, why=why)
    if account.totp:
        with store.write():
            step = keys.step_of(_code(ask), account.totp, now)
            if not (step and book.spend_code(account.name, step)):
                return _own(ask, 422, why="wrong_code")
            book.keep(replace(account, totp="", totp_step=0), now)
            book.end_all(account.name, but=ask.session)
            ask.desk.audit.within(ask.staff, "second factor off", account.name)
        return _own(ask, done="factor_off")
    if not re.fullmatch(r"[A-Z2-7]{32}", secret):
        secret = keys.new_secret()
        return _own(ask, secret=secret, picture=keys.picture(secret, account.name, ask.desk.gateway.settings.company))
    step = keys.step_of(_code(ask), secret, now)
    if not step:
        shown = keys.picture(secret, account.name, ask.desk.gateway.settings.company)
        return _own(ask, 422, why="wrong_code", secret=secret, picture=shown)
    with store.write():
        book.keep(replace(account, totp=secret, totp_step=step), now)
        book.end_all(account.name, but=ask.session)
        ask.desk.audit.within(ask.staff, "second factor on", account.name)
    return _own(ask, done="factor_on")


def elsewhere(ask: Ask) -> Response:
    """Log out the other browsers that were ticked, or every other one if none was; the password is asked once more."""
    store, book = ask.desk.gateway.store, StaffBook(ask.desk.gateway.store)
    account, ticked = _mine(ask, book), ask.form.get("session", ())
    if why := _proven(ask, book, account, ask.form.get("password", ("",))[0]):
        return _own(ask, 422, why=why)
    with store.write():
        for login in book.sessions_of(account.name):
            if login.token != ask.session and (not ticked or login.token in ticked):
                book.end(login.token)
        ask.desk.audit.within(ask.staff, "end sessions", account.name)
    return RedirectResponse("/desk/account", 303)


def _mine(ask: Ask, book: StaffBook) -> Account:
    account = book.account(ask.staff.name)
    assert account is not None  # the session came with it
    return account


# --- the administrator's ------------------------------------------------------------------------------------------------


def accounts(ask: Ask) -> Response:
    """All accounts."""
    return _accounts(ask)


def _accounts(ask: Ask, status: int = 200, **values: object) -> Response:
    """The page. After an error `at` says in which form it was: the account's name, or nothing for the new one; there stands
    what was typed."""
    book = StaffBook(ask.desk.gateway.store)
    shown = {"why": "", "named": "", "at": "", "handed": None, **values}
    return ask.desk.page(ask, "accounts.html", status, accounts=book.accounts(), roles=ROLES, logins=book.sessions(),
                         sections=ask.desk.cases.sections(), changed=book.versions(), **shown)  # fmt: skip


def _draft(ask: Ask, name: str) -> Account:
    return drafted(ask.desk.cases, name, ask.typed("role"), ask.typed("sections"), ask.typed("lang"))


def add(ask: Ask) -> Response:
    """A new account; its first password is shown once."""
    try:
        account, first = hand_over(_draft(ask, ask.typed("name").lower()))
        _keep_new(ask.desk.audit, ask.staff, account)
    except BadAccount as bad:
        return _accounts(ask, 422, why=bad.why, named=bad.named)
    return _accounts(ask, handed=(account.name, first))


def _keep_new(audit: Audit, by: Staff, account: Account) -> None:
    """Keep a new account. Raises BadAccount if there is one of that name."""
    book = StaffBook(audit.store)
    with audit.store.write():
        if book.account(account.name):
            raise BadAccount("account_exists")
        book.keep(account, audit.clock())
        audit.within(by, "add account", account.name, f"{account.role} {' '.join(account.sections)}".strip())


def change(ask: Ask) -> Response:
    """Change somebody's role, sections or language, hand over a new password, take the second factor away, shut the account
    or open it again. Whatever it is, that account's logins end."""
    store, book = ask.desk.gateway.store, StaffBook(ask.desk.gateway.store)
    what, first = ask.typed("what"), ""
    with store.write():
        account = book.account(ask.path["name"])
        if account is None or account.name == ask.staff.name:  # nobody shuts the door behind oneself
            return ask.desk.page(ask, "sorry.html", 404, why="gone")
        match what:
            case "role":
                try:
                    draft = _draft(ask, account.name)
                except BadAccount as bad:
                    return _accounts(ask, 422, why=bad.why, named=bad.named, at=account.name)
                after = replace(account, role=draft.role, sections=draft.sections, lang=draft.lang)
            case "password":
                if ask.typed("changed") != book.versions()[account.name]:  # the page sent again: the first one holds
                    return _accounts(ask, 422, why="account_moved", at=account.name)
                after, first = hand_over(account)
            case "factor":
                after = replace(account, totp="", totp_step=0)
            case "shut" | "open":
                after = replace(account, active=what == "open")
            case "sessions":
                after = account
            case _:
                return _accounts(ask, 422, why="account_what")
        book.keep(after, ask.desk.clock())
        book.end_all(account.name)
        ask.desk.audit.within(ask.staff, f"account {what}", account.name, f"{after.role} {' '.join(after.sections)}".strip())
    return _accounts(ask, handed=(account.name, first)) if first else RedirectResponse("/desk/accounts", 303)


# --- the command line's -------------------------------------------------------------------------------------------------


def add_from_console(gateway: Gateway, name: str, role: str, sections: str, lang: str) -> str:
    """A new account; its first password. Raises BadAccount."""
    account, first = hand_over(drafted(Cases(gateway.store), name, role, sections, lang))
    _keep_new(Audit(gateway.store, now_utc), console(), account)
    return first


def reset_from_console(gateway: Gateway, name: str) -> str:
    """A new first password for an account. Raises ValueError if there is none of that name."""
    book, audit = StaffBook(gateway.store), Audit(gateway.store, now_utc)
    account, first = hand_over(_named(book, name))
    with gateway.store.write():
        book.keep(account, now_utc())
        book.end_all(name)
        audit.within(console(), "account password", name)
    return first


def end_from_console(gateway: Gateway, name: str) -> int:
    """End all logins of an account; how many there were. Raises ValueError if there is none of that name."""
    book, audit = StaffBook(gateway.store), Audit(gateway.store, now_utc)
    _named(book, name)
    with gateway.store.write():
        audit.within(console(), "account sessions", name)
        return book.end_all(name)


def _named(book: StaffBook, name: str) -> Account:
    account = book.account(name)
    if account is None:
        raise ValueError(f"staff: there is no account {name!r}; `gateway staff list` shows them")
    return account
