"""The desk's door: who gets in and how, what every answer carries, what ends a login, and the audit's chain."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from gateway.app import Gateway, make_app
from gateway.cli import main
from gateway.desk import Desk, make_desk
from gateway.desk.accounts import hand_over
from gateway.desk.audit import Audit, verify
from gateway.desk.door import HEADERS, TRIES_NAME, Door, fingerprint
from gateway.desk.keys import LONGEST, hashed, one_time_password, step_of, weakness
from gateway.desk.routes import ROUTES, desk_routes
from gateway.desk.staff import ROLES, Staff
from gateway.settings import Settings
from gateway.store.staff import Account, StaffBook
from tests.conftest import Clock

PASSWORD = "char gaay do bachhde 7"
HASH = hashed(PASSWORD)


class Office:
    """The desk behind its door, as browsers meet it over HTTPS."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.book = StaffBook(desk.gateway.store)
        self.app = Starlette(routes=[Mount("/desk", Door(desk, desk_routes(desk)))])

    def browser(self) -> TestClient:
        return TestClient(self.app, "https://desk.example", follow_redirects=False, headers={"accept-language": "en"})

    def has(self, name: str, role: str = "section", sections: tuple[str, ...] = ("S1",), **more: object) -> Account:
        account = Account(name, role, sections, "en", HASH, **more)  # type: ignore[arg-type]
        with self.desk.gateway.store.write():
            self.book.keep(account, self.desk.clock())
        return account

    def inside(self, name: str, code: str = "") -> TestClient:
        browser = self.browser()
        answer = browser.post("/desk/login", data={"name": name, "password": PASSWORD, "code": code})
        assert answer.status_code == 303, answer.text
        return browser

    def csrf(self, browser: TestClient) -> str:
        return browser.get("/desk/account").text.split('name="csrf" value="')[1].split('"')[0]

    def post(self, browser: TestClient, path: str, **form: str) -> int:
        return browser.post(path, data={"csrf": self.csrf(browser), **form}).status_code


@pytest.fixture
def office(gateway: Gateway, clock: Clock) -> Office:
    real = replace(gateway, settings=gateway.settings.model_copy(update={"demo": False}))
    return Office(make_desk(real, lambda: None))


def test_the_way_in_and_out(office: Office) -> None:
    office.has("asha")
    browser = office.browser()
    assert browser.get("/desk/").headers["location"] == "/desk/login"
    assert browser.get("/desk/login").status_code == 200
    answer = browser.post("/desk/login", data={"name": " Asha ", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert answer.headers["location"] == "/desk/"
    assert cookie.startswith("__Host-desk-key=")
    assert all(word in cookie for word in ("HttpOnly", "Secure", "Path=/", "SameSite=strict"))
    assert "asha" in browser.get("/desk/").text
    key = browser.cookies["__Host-desk-key"]
    assert not office.desk.gateway.store.database.rows("select 1 from staff_session where token = ?", (key,))
    assert office.post(browser, "/desk/logout") == 303
    browser.cookies.set("__Host-desk-key", key)
    assert browser.get("/desk/").status_code == 303, "the key of an ended session opens nothing"


def test_wrong_name_wrong_password_and_shut_account_are_answered_alike(office: Office) -> None:
    office.has("asha")
    office.has("old", active=False)
    browser = office.browser()
    tries = (
        {"name": "nobody", "password": PASSWORD},
        {"name": "asha", "password": "wrong"},
        {"name": "old", "password": PASSWORD},
    )
    answers = [browser.post("/desk/login", data=form) for form in tries]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


def test_after_some_wrong_tries_a_name_waits(office: Office, clock: Clock) -> None:
    office.has("asha")
    office.has("birju")
    browser = office.browser()
    for _ in range(TRIES_NAME):
        assert browser.post("/desk/login", data={"name": "asha", "password": "x"}).status_code == 401
    assert browser.post("/desk/login", data={"name": "asha", "password": PASSWORD}).status_code == 429
    office.inside("birju")
    clock.wait(timedelta(minutes=16))
    office.inside("asha")


def test_every_answer_carries_the_headers(office: Office) -> None:
    office.has("asha")
    inside = office.inside("asha")
    for answer in (office.browser().get("/desk/login"), office.browser().get("/desk/"), inside.get("/desk/"),
                   inside.get("/desk/requests/00000000"), inside.get("/desk/none"), inside.post("/desk/language")):  # fmt: skip
        assert HEADERS.items() <= dict(answer.headers).items(), answer.request.url
        assert answer.headers["strict-transport-security"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "<script>" not in answer.text
        assert "style=" not in answer.text
        assert "onclick" not in answer.text


def test_every_change_wants_the_sessions_own_token(office: Office) -> None:
    """Every POST of the table, as somebody whose role is right: without the token, with another's, from another site."""
    office.has("asha")
    for role in ROLES:
        office.has(role.replace("_", "."), role, ("*",))
    other = office.csrf(office.inside("asha"))
    for page in (page for page in ROUTES if page.method == "POST"):
        path = "/desk" + page.path.format(ticket="12345678", step="reject", talk="t", number=0, name="asha", id="1")
        browser = office.inside(min(page.roles).replace("_", "."))
        assert browser.post(path).status_code == 403, path
        assert browser.post(path, data={"csrf": other}).status_code == 403, path
        own = {"csrf": office.csrf(browser)}
        assert browser.post(path, data=own, headers={"origin": "https://evil.example"}).status_code == 403, path
        assert browser.post(path, data=own, headers={"sec-fetch-site": "cross-site"}).status_code == 403, path


def test_every_route_with_every_role(office: Office) -> None:
    """Denied by default: a role opens what its row says and nothing else, and who is not in opens nothing."""
    for role in ROLES:
        office.has(role.replace("_", "."), role, ("*",))
    browsers = {role: office.inside(role.replace("_", ".")) for role in ROLES}
    tokens = {role: office.csrf(browser) for role, browser in browsers.items()}
    stranger = office.browser()
    for page in ROUTES:
        if page.path in ("/account/elsewhere", "/account/password", "/account/factor"):
            continue  # everybody's own, tried below; here they would end the other browsers' logins
        path = "/desk" + page.path.format(ticket="12345678", step="reject", talk="t", number=0, name="nobody", id="1")
        for role, browser in browsers.items():
            answer = browser.request(page.method, path, data={"csrf": tokens[role]} if page.method == "POST" else None)
            assert (answer.status_code != 403) == (role in page.roles), (page.path, page.method, role, answer.status_code)
            assert answer.status_code != 500
        answer = stranger.request(page.method, path)
        assert answer.status_code in (303, 401), page.path


def test_a_login_ends_idle_and_ends_in_any_case(office: Office, clock: Clock) -> None:
    office.has("asha")
    browser = office.inside("asha")
    clock.wait(timedelta(minutes=29))
    assert browser.get("/desk/").status_code == 200
    clock.wait(timedelta(minutes=31))
    assert browser.get("/desk/").status_code == 303
    browser = office.inside("asha")
    for _ in range(12 * 60 // 20):
        clock.wait(timedelta(minutes=20))
        browser.get("/desk/")
    clock.wait(timedelta(minutes=1))
    assert browser.get("/desk/").status_code == 303


def test_a_password_handed_over_must_be_changed(office: Office) -> None:
    account, first = hand_over(office.has("asha"))
    with office.desk.gateway.store.write():
        office.book.keep(account, office.desk.clock())
    browser, elsewhere = office.browser(), office.browser()
    for one in (browser, elsewhere):
        assert one.post("/desk/login", data={"name": "asha", "password": first}).status_code == 303
        assert one.get("/desk/requests").headers["location"] == "/desk/account"
    new = "naya taala nayi chabi 5"
    assert office.post(browser, "/desk/account/password", old="wrong", new=new, again=new) == 422
    assert office.post(browser, "/desk/account/password", old=first, new="short", again="short") == 422
    assert office.post(browser, "/desk/account/password", old=first, new=new, again=new + "x") == 422
    assert office.post(browser, "/desk/account/password", old=first, new=new, again=new) == 200
    assert browser.get("/desk/").status_code == 200
    assert elsewhere.get("/desk/").status_code == 303, "other browsers are logged out"
    assert office.browser().post("/desk/login", data={"name": "asha", "password": first}).status_code == 401


def test_the_second_factor(office: Office, clock: Clock) -> None:
    office.has("asha")
    browser = office.inside("asha")
    token = office.csrf(browser)
    page = browser.post("/desk/account/factor", data={"csrf": token, "password": PASSWORD}).text
    secret = page.split('name="secret" value="')[1].split('"')[0]
    assert "<svg" in page
    app = pyotp.TOTP(secret)
    form = {"csrf": token, "password": PASSWORD, "secret": secret}
    assert browser.post("/desk/account/factor", data={**form, "code": "000000"}).status_code == 422
    assert browser.post("/desk/account/factor", data={**form, "code": app.at(clock())}).status_code == 200
    log_in = {"name": "asha", "password": PASSWORD}
    assert office.browser().post("/desk/login", data=log_in).status_code == 401
    assert office.browser().post("/desk/login", data={**log_in, "code": app.at(clock())}).status_code == 401, "a code serves once"
    clock.wait(timedelta(seconds=30))
    office.inside("asha", app.at(clock()))
    assert office.post(browser, "/desk/account/factor", password=PASSWORD, off="yes") == 200
    clock.wait(timedelta(minutes=20))
    office.inside("asha")


def test_the_administrator_adds_changes_and_shuts_accounts(office: Office) -> None:
    office.has("ekta", "administrator", ("*",))
    office.has("asha")
    admin, asha = office.inside("ekta"), office.inside("asha")
    added = admin.post(
        "/desk/accounts", data={"csrf": office.csrf(admin), "name": "Gita", "role": "centre", "sections": "", "lang": "hi"}
    )
    first = added.text.split("<b>")[1].split("</b>")[0]
    assert office.browser().post("/desk/login", data={"name": "gita", "password": first}).status_code == 303
    for bad in (
        {"name": "gita"},
        {"name": "1"},
        {"name": "x y"},
        {"name": "har", "role": "king"},
        {"name": "har", "sections": "<b>"},
    ):
        form = {"csrf": office.csrf(admin), "role": "section", "sections": "", "lang": "hi", **bad}
        assert admin.post("/desk/accounts", data=form).status_code == 422, bad
    assert office.post(admin, "/desk/accounts/asha", what="role", role="reader", sections="S2", lang="en") == 200
    assert asha.get("/desk/").status_code == 303, "a changed account logs in anew"
    assert office.book.account("asha").staff == Staff("asha", "reader", ("S2",), "en")  # type: ignore[union-attr]
    asha = office.inside("asha")
    assert office.post(admin, "/desk/accounts/asha", what="shut") == 200
    assert asha.get("/desk/").status_code == 303
    assert office.browser().post("/desk/login", data={"name": "asha", "password": PASSWORD}).status_code == 401
    assert office.post(admin, "/desk/accounts/asha", what="open") == 200
    office.inside("asha")
    assert office.post(admin, "/desk/accounts/ekta", what="shut") == 404, "nobody shuts the door behind oneself"
    assert office.post(admin, "/desk/accounts/nobody", what="shut") == 404


def test_the_demos_click_exists_in_the_demo_only(office: Office, gateway: Gateway) -> None:
    office.has("asha")
    browser = office.browser()
    assert "/desk/login/demo" not in browser.get("/desk/login").text
    assert browser.post("/desk/login/demo", data={"name": "asha"}).status_code == 404
    with TestClient(make_app(gateway, send=False), "http://127.0.0.1:8000", follow_redirects=False) as demo:
        assert demo.get("/desk/login", headers={"host": "tunnel.example"}).status_code == 403
        assert "/desk/login/demo" in demo.get("/desk/login").text
        assert demo.post("/desk/login/demo", data={"name": "asha"}).headers["location"] == "/desk/"
        assert demo.get("/desk/").status_code == 200
        assert demo.post("/desk/login/demo", data={"name": "nobody"}).status_code == 404


def test_what_makes_a_password() -> None:
    assert weakness("a" * 9, "asha", "SBPDCL") == "password_length"
    assert weakness("a" * (LONGEST + 1), "asha", "SBPDCL") == "password_length"
    for easy in ("password123", "ashaasha12", "1234567890", "sbpdcl1912", "qwertyuiop"):
        assert weakness(easy, "asha", "SBPDCL") == "password_easy", easy
    assert weakness(PASSWORD, "asha", "SBPDCL") == ""
    assert weakness(one_time_password(), "asha", "SBPDCL") == ""
    assert len({one_time_password() for _ in range(100)}) == 100
    assert len(fingerprint("x")) == 64


def test_a_code_is_good_for_a_minute_and_a_half(clock: Clock) -> None:
    secret = pyotp.random_base32()
    code = pyotp.TOTP(secret).at(clock())
    assert step_of(code, secret, clock())
    assert step_of(code, secret, clock() + timedelta(seconds=30))
    assert not step_of(code, secret, clock() + timedelta(minutes=2))
    assert not step_of("", secret, clock())


# --- the audit ----------------------------------------------------------------------------------------------------------

BIRJU = Staff("birju", "supervisor", ("*",), "en")


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("update audit set reason = 'x' where number = 3", "line 3 was changed"),
        ("update audit set at = at + 1 where number = 1", "line 1 was changed"),
        ("delete from audit where number = 2", "line 2 is missing"),
        ("delete from audit where number >= 4", "the end is cut off"),
        ("update audit_head set number = 4", "the end is cut off"),
        (
            "insert into audit select 6, at, who, role, what, subject, reason, seal from audit where number = 5",
            "line 6 was changed",
        ),
    ],
)
def test_the_chain_shows_what_was_tampered_with(gateway: Gateway, clock: Clock, tampering: str, fault: str) -> None:
    audit = Audit(gateway.store, clock)
    for number in range(5):
        audit(BIRJU, "read request", f"1234567{number}", "why")
    whole = verify(gateway.store)
    assert (whole.lines, whole.fault) == (5, "")
    gateway.store.database.run(tampering)
    assert fault in verify(gateway.store).fault


def test_a_change_undone_leaves_no_line(gateway: Gateway, clock: Clock) -> None:
    audit = Audit(gateway.store, clock)
    with pytest.raises(RuntimeError), gateway.store.write():
        audit.within(BIRJU, "step", "12345678")
        raise RuntimeError
    audit(BIRJU, "read request", "12345678")
    assert verify(gateway.store).lines == 1
    assert verify(gateway.store).fault == ""


def test_logins_are_on_record(office: Office) -> None:
    office.has("asha")
    office.inside("asha")
    office.browser().post("/desk/login", data={"name": "asha", "password": "x"})
    rows = office.desk.gateway.store.database.rows("select who, what from audit order by number")
    assert rows == [("asha", "login"), ("asha", "login refused")]


def test_accounts_from_the_command_line(settings: Settings, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE", settings.database)

    def say(*words: str) -> str:
        return CliRunner().invoke(main, list(words)).output.strip()

    assert say("staff", "add", "Gita", "--role", "centre").startswith("gita: first password ")
    assert say("staff", "add", "gita", "--role", "centre") == "gateway: There is an account of this name already."
    assert say("staff", "add", "har", "--role", "king") == "gateway: There is no such role."
    assert say("staff", "list") == "gita  centre  -"
    assert say("staff", "password", "gita").startswith("gita: first password ")
    assert say("staff", "password", "nobody") == "gateway: staff: there is no account 'nobody'; `gateway staff list` shows them"
    assert say("staff", "end", "gita") == "gita: 0 logins ended"
    assert "3 lines hold" in say("audit", "verify")
    gateway.store.database.run("update audit set who = 'asha' where number = 2")
    assert say("audit", "verify") == "gateway: audit: line 2 was changed, or one before it; 1 lines before it hold"
