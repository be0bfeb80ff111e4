"""OWASP ASVS 5.0, levels 1 and 2: the list in docs/asvs.csv holds together, and what it says of the whole product is so."""

from __future__ import annotations

import csv
import json
import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import openpyxl
import pytest
from argon2 import extract_parameters
from argon2.low_level import Type
from starlette.testclient import TestClient

import gateway.sheets
from gateway.app import Gateway, make_app
from gateway.desk.keys import CONTEXT, hashed
from gateway.sheets import BadFile, open_sheet
from tests.conftest import Clock
from tests.serving import served
from tests.test_door import PASSWORD, Office, filed, office

__all__ = ["office"]  # the fixture

ROOT = Path(__file__).parents[1]
SOURCES = [path for room in ("gateway", "flows", "messages") for path in (ROOT / room).rglob("*.py")]
TEMPLATES = sorted((ROOT / "gateway").rglob("*.html"))
SCRIPTS = [path for path in (ROOT / "gateway").rglob("*.js") if ".min." not in path.name]
SECRET = "0123456789abcdef0123456789abcdef"


# --- the list ---------------------------------------------------------------------------------------------------------


def listed() -> list[dict[str, str]]:
    with (ROOT / "docs" / "asvs.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_requirement_stands_in_the_list_once() -> None:
    ids = (ROOT / "tests" / "data" / "asvs_ids.txt").read_text(encoding="utf-8").splitlines()
    assert len(ids) == 70 + 183
    assert [f"{row['requirement']} {row['level']}" for row in listed()] == ids


def test_every_row_says_what_it_claims() -> None:
    for row in listed():
        assert row["status"] in ("met", "not applicable", "company", "open"), row
        assert row["subject"], row
        assert row["where"], row
        assert row["status"] != "not applicable" or not row["test"], row
        for path in re.findall(r"[\w./-]+/[\w.-]+", row["where"]):
            assert (ROOT / path).exists() or path.startswith("/"), (row["requirement"], path)


def test_every_test_in_the_list_is_there() -> None:
    for row in listed():
        if row["test"]:
            file, _, test = row["test"].partition("::")
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), row


def test_what_is_met_without_a_test_is_a_page_of_the_docs_or_a_place() -> None:
    untested = [row for row in listed() if row["status"] == "met" and not row["test"]]
    assert all("docs/" in row["where"] or "own files only" in row["where"] for row in untested)


# --- every answer -----------------------------------------------------------------------------------------------------


@pytest.fixture
def web(gateway: Gateway) -> Iterator[TestClient]:
    """The whole application as a company runs it, with a client of the API."""
    settings = gateway.settings.model_copy(update={"demo": False, "api_clients": {"billing": "0" * 64}})
    with TestClient(make_app(replace(gateway, settings=settings), send=False), "https://desk.example", follow_redirects=False,
                    raise_server_exceptions=False) as client:  # fmt: skip
        yield client


METHODS = ("TRACE", "DELETE", "PATCH", "CONNECT", "FOO")
PATHS = ("/", "/posters", "/healthz", "/readyz", "/metrics", "/desk/login", "/desk/", "/desk/none", "/desk/static/desk.css",
         "/desk/static/desk.js", "/desk/static/icon.svg", "/desk/static/none", "/api/v1/openapi.json", "/api/v1/requests/40000001",
         "/api/v1/none", "/none", f"/in/africastalking/{SECRET}/ussd", "/in/none")  # fmt: skip


def test_every_answer_carries_the_headers(web: TestClient) -> None:
    for path in PATHS:
        headers = web.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        assert headers["referrer-policy"] in ("no-referrer", "same-origin")
        policy = headers["content-security-policy"]
        assert all(word in policy for word in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"))
        assert "unsafe" not in policy, path
        assert "server" not in headers


def test_every_answer_says_how_it_is_written(web: TestClient) -> None:
    for path in PATHS:
        answer = web.get(path)
        kind = answer.headers.get("content-type", "")
        assert bool(kind) == bool(answer.content), path
        assert not (kind.startswith("text/") or "xml" in kind) or "charset=utf-8" in kind, path


def test_no_other_origin_is_let_in(web: TestClient) -> None:
    for path in PATHS:
        for method in ("GET", "OPTIONS"):
            answer = web.request(method, path, headers={"origin": "https://evil.example", "access-control-request-method": "PUT"})
            assert not [name for name in answer.headers if name.startswith("access-control-")], path


def test_unknown_methods_are_refused(web: TestClient) -> None:
    for method, path in product(
        METHODS, ("/", "/healthz", "/desk/login", "/desk/static/desk.css", "/api/v1/bills", f"/in/phone/{SECRET}/x")
    ):
        answer = web.request(method, path)
        assert answer.status_code in (403, 404, 405), (method, path)
        assert method not in answer.text


def test_a_fault_tells_nothing(web: TestClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("select secret from staff")

    monkeypatch.setattr(type(gateway.store.database), "rows", broken)
    answer = web.post("/desk/login", data={"name": "asha", "password": "x"})
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert answer.headers["content-security-policy"]


def test_nothing_but_our_own_files_is_served(web: TestClient) -> None:
    for path in (
        "/.git/HEAD",
        "/desk/static/",
        "/desk/static/../door.py",
        "/desk/static/%2e%2e/door.py",
        "/.env",
        "/docs",
        "/static",
    ):
        assert web.get(path).status_code == 404 or web.get(path).headers.get("location") == "/desk/login", path


def test_what_is_personal_is_kept_nowhere(web: TestClient, office: Office) -> None:
    office.has("asha")
    for answer in (office.inside("asha").get("/desk/"), web.get("/desk/login"), web.get("/api/v1/requests/40000001")):
        assert answer.headers["cache-control"] == "no-store"


def test_a_message_with_two_ends_is_refused(gateway: Gateway) -> None:
    """Over a real socket, with the parser of production: nobody else's request can be smuggled behind one."""
    with served(make_app(gateway, send=False)) as url, socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as wire:
        wire.sendall(b"POST /in/x/y/z HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 400 ")


# --- the desk ---------------------------------------------------------------------------------------------------------


def test_cookies(office: Office) -> None:
    """Both of them, the session's and the language's."""
    office.has("asha")
    browser = office.browser()
    key = browser.post("/desk/login", data={"name": "asha", "password": PASSWORD}).headers["set-cookie"]
    form = {"csrf": office.csrf(browser), "lang": "en", "back": "/desk/figures"}
    lang = browser.post("/desk/language", data=form).headers["set-cookie"]
    for cookie in (key, lang):
        assert cookie.startswith("__Host-desk-")
        assert all(word in cookie for word in ("; Secure", "; HttpOnly", "; Path=/;", "; SameSite="))
        assert "Domain" not in cookie


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/desk//evil.example", "/\\evil.example", "javascript:1"]
)
def test_it_goes_back_to_our_own_pages_only(office: Office, back: str) -> None:
    office.has("asha")
    browser = office.inside("asha")
    answer = browser.post("/desk/language", data={"csrf": office.csrf(browser), "lang": "en", "back": back})
    assert answer.headers["location"] == "/desk/"


def test_what_was_typed_is_shown_as_text(office: Office) -> None:
    office.has("asha")
    filed(office, "40000001", "S1", '{"near": "<script>alert(1)</script>"}')
    browser = office.inside("asha")
    for path in ("/desk/requests/40000001", "/desk/requests?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"):
        page = browser.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_sql_stays_text(office: Office) -> None:
    office.has("asha")
    browser = office.inside("asha")
    for words in ("'; drop table staff; --", "' or 1=1 --", '" union select password from staff', "%", "_", "\\"):
        for name in ("q", "section", "state", "service", "page"):
            assert browser.get("/desk/requests", params={name: words}).status_code == 200
        assert office.browser().post("/desk/login", data={"name": words, "password": words}).status_code in (401, 429)
    assert browser.get("/desk/requests", params={"q": "a\0b"}).status_code == 400
    assert office.browser().post("/desk/login", data={"name": "a\0b", "password": "x"}).status_code in (401, 429)
    assert office.book.account("asha")


def test_no_page_takes_a_file(office: Office) -> None:
    office.has("asha")
    browser = office.inside("asha")
    token = office.csrf(browser)
    answer = browser.post("/desk/language", data={"csrf": token}, files={"lang": ("x.txt", b"en")})
    assert answer.status_code == 400
    assert not [path.name for path in TEMPLATES if 'type="file"' in path.read_text(encoding="utf-8")]


def test_password_fields() -> None:
    """Masked, open to pasting and password managers, and with no hint beside them."""
    fields = [field for path in TEMPLATES for field in re.findall(r"<input[^>]*password[^>]*>", path.read_text(encoding="utf-8"))]
    assert len(fields) >= 5
    for field in fields:
        assert 'type="password"' in field
        assert re.search(r'autocomplete="(current|new)-password"', field)
    assert not re.search("onpaste|hint", " ".join(fields))


def test_a_password_of_ones_own_never_runs_out(office: Office, clock: Clock) -> None:
    office.has("asha")
    clock.wait(timedelta(days=2000))
    office.inside("asha")


def test_no_account_comes_with_it(office: Office) -> None:
    assert office.book.accounts() == []


def test_a_new_password_leaves_the_second_factor(office: Office) -> None:
    office.has("asha", totp="A" * 32)
    office.has("ekta", "administrator", ("*",))
    admin = office.inside("ekta")
    assert office.post(admin, "/desk/accounts/asha", what="password", changed=office.book.versions()["asha"]) == 200
    assert office.book.account("asha").totp == "A" * 32  # type: ignore[union-attr]


def test_every_page_has_the_way_out(office: Office) -> None:
    office.has("ekta", "administrator", ("*",))
    browser = office.inside("ekta")
    for path in ("/desk/", "/desk/requests", "/desk/figures", "/desk/exports", "/desk/account", "/desk/accounts"):
        assert 'action="/desk/logout"' in browser.get(path).text, path


def test_logging_out_clears_the_browser(office: Office) -> None:
    office.has("asha")
    browser = office.inside("asha")
    answer = browser.post("/desk/logout", data={"csrf": office.csrf(browser)})
    assert answer.headers["clear-site-data"] == '"cache", "storage"'


def test_no_secret_of_staff_in_an_address() -> None:
    """What is secret goes by POST: no form with a password, code or token is a GET."""
    for path in TEMPLATES:
        for form in re.findall(r"<form(?![^>]*method=\"post\").*?</form>", path.read_text(encoding="utf-8"), re.S):
            assert not re.search(r"password|csrf|code\b", form), path.name


def test_the_words_of_the_page_are_those_of_the_code() -> None:
    assert f"`{' '.join(CONTEXT)}`" in (ROOT / "docs" / "accounts.md").read_text(encoding="utf-8")


def test_passwords_are_kept_as_argon2id() -> None:
    used = extract_parameters(hashed("x"))
    assert (used.type, used.memory_cost >= 19 * 1024, used.time_cost >= 2) == (Type.ID, True, True)


# --- the source -------------------------------------------------------------------------------------------------------


def found(pattern: str, paths: list[Path]) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in paths if re.search(pattern, path.read_text(encoding="utf-8"))}


def test_no_dangerous_call() -> None:
    assert not found(r"(?<![.\w])(eval|exec|compile)\(|pickle|marshal|shelve|os\.system|shell=True|yaml|ctypes", SOURCES)
    assert found("subprocess", SOURCES) == {"gateway/store/postgres.py"}
    assert not found(r"innerHTML|outerHTML|document\.write|eval\(|new Function|postMessage|insertAdjacentHTML", SCRIPTS)


def test_templates_escape_by_themselves() -> None:
    """The only markup that is put in as it is are drawings the server made."""
    assert found(r"\|\s*safe", TEMPLATES) == {"gateway/desk/templates/account.html"}
    assert not found(r"autoescape\s+false|autoescape=False", [*TEMPLATES, *SOURCES])
    assert found(r"Environment\(", SOURCES) == found(r"autoescape=True", SOURCES)
    assert not found(r"from_string\(", SOURCES)


def test_no_page_holds_a_script_of_its_own() -> None:
    assert not found(r"<script(?![^>]*(src=|type=\"application/json\"))|\son[a-z]+=\"|style=\"|javascript:", TEMPLATES)


def test_no_page_loads_from_elsewhere() -> None:
    assert not found(r"(src|href|action)=\"(https?:)?//", TEMPLATES)
    assert not found(r"https?://(?!www\.w3\.org)", SCRIPTS)


def test_nothing_in_the_browsers_storage() -> None:
    assert found("localStorage|sessionStorage|indexedDB|document\\.cookie", SCRIPTS) <= {"gateway/phone/static/phone.js"}


def test_broken_hashes_where_a_carrier_demands_them_only() -> None:
    assert found(r"\b(md5|sha1)\b", SOURCES) <= {"gateway/settings.py", "gateway/carriers/mobileseva.py"}


def test_secrets_come_from_the_system() -> None:
    """`random` gives the demo its people and waits their spread; whatever must not be guessed comes from `secrets`."""
    assert found(r"^import random|from random", SOURCES) <= set()
    assert {str(path.relative_to(ROOT)) for path in SOURCES if "\nimport random\n" in path.read_text(encoding="utf-8")} <= {
        "gateway/demo.py",
        "gateway/outbox.py",
    }
    for path in ("gateway/desk/door.py", "gateway/desk/keys.py", "gateway/api.py"):
        assert "import secrets" in (ROOT / path).read_text(encoding="utf-8")


def test_certificates_are_checked() -> None:
    assert not found(r"verify=False|CERT_NONE|_create_unverified", SOURCES)


def test_our_calls_follow_no_redirect() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert len(re.findall(r"session\(?\)?\.post\(|requests\.(get|post)\(", text)) <= text.count("allow_redirects=False"), path


def test_no_secret_in_the_source() -> None:
    assert not found(r"BEGIN [A-Z ]*PRIVATE KEY|atsk_[0-9a-f]{8}", SOURCES)
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_log_is_json_in_utc() -> None:
    """A line break in what is logged makes no second line."""
    code = "from gateway import logs; import structlog; logs.set_up('info'); structlog.get_logger().info('x', why='a\\nb')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["why"] == "a\nb"
    assert json.loads(line)["timestamp"].endswith("Z")


# --- files ------------------------------------------------------------------------------------------------------------


def workbook(path: Path, sheet: str) -> Path:
    """A workbook whose first sheet is this XML."""
    plain = path.with_name("plain.xlsx")
    made = openpyxl.Workbook()
    made.active.append(["account"])
    made.save(plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            text = old.read(part)
            new.writestr(part, sheet if part.filename == "xl/worksheets/sheet1.xml" else text)
    return path


ROWS = """<!DOCTYPE x [<!ENTITY away SYSTEM "file:///etc/passwd">]>
<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1"><c r="A1" t="inlineStr">
<is><t>account</t></is></c></row><row r="2"><c r="A2" t="inlineStr"><is><t>&away;</t></is></c></row></sheetData></worksheet>"""


def test_a_workbook_fetches_nothing(tmp_path: Path) -> None:
    path = workbook(tmp_path / "x.xlsx", ROWS)
    cells: list[str] = []
    try:
        with open_sheet(path, lambda _: True) as sheet:
            for row in sheet.rows:
                cells += row.cells
    except BadFile:
        pass
    assert "root:" not in str(cells)


def test_a_workbook_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.sheets, "MOST_UNPACKED", 10_000)
    path = workbook(tmp_path / "x.xlsx", " " * 20_000)
    with pytest.raises(BadFile, match="unpacks to more"), open_sheet(path, lambda _: True):
        pass
