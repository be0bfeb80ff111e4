"""The billing API: keys, once-only, problems that name the field, and schemathesis over the whole document."""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, settings
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from flows.records import Bill, Payment
from gateway.api import BODY_LIMIT, api_routes, key_command, new_key
from gateway.app import Gateway, make_app
from gateway.intake import Hooks
from gateway.store import Store, open_store
from tests import town
from tests.postgres import Server

KEY = "a-key-of-the-billing-system"
CLIENTS = {"billing": hashlib.sha256(KEY.encode()).hexdigest(), "other": hashlib.sha256(b"other").hexdigest()}
AUTH = {"Authorization": f"Bearer billing.{KEY}"}
BILL = {"amount": 124050, "due": "2026-07-05", "number": "007"}
PAYMENT = {"account": "100000001", "paid_on": "2026-06-01", "receipt": "R1", "amount": 50000}


class Calls:
    """What the hooks were told."""

    def __init__(self) -> None:
        self.bills: list[tuple[Bill, bool]] = []
        self.payments: list[tuple[str, Payment]] = []
        self.phones: list[tuple[str, str]] = []

    def hooks(self) -> Hooks:
        return Hooks(
            lambda account, bill, is_new: self.bills.append((bill, is_new)),
            lambda account, payment: self.payments.append((account, payment)),
            lambda phone, account: self.phones.append((phone, account)),
        )


def make(path: Path, calls: Calls) -> tuple[Store, Starlette]:
    store = open_store(f"sqlite:///{path}/api.db")
    town.build(store)
    return store, Starlette(routes=[Mount("/api/v1", routes=api_routes(store, CLIENTS, calls.hooks()))])


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def made(tmp_path: Path, calls: Calls) -> Iterator[tuple[Store, TestClient]]:
    store, app = make(tmp_path, calls)
    with TestClient(app, base_url="http://test/api/v1", headers=AUTH) as client:
        yield store, client
    store.close()


@pytest.fixture
def client(made: tuple[Store, TestClient]) -> TestClient:
    return made[1]


@pytest.fixture
def store(made: tuple[Store, TestClient]) -> Store:
    return made[0]


def once() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def problem(answer: Any) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert {"title", "detail"} <= body.keys()
    return body


def test_a_bill_is_new_then_as_it_was_then_changed(client: TestClient, calls: Calls, store: Store) -> None:
    answers = [client.put("/bills/100000001/2026-06", json=body) for body in (BILL, BILL, {**BILL, "amount": 1})]
    assert [(one.status_code, one.json()["outcome"]) for one in answers] == [(201, "new"), (200, "unchanged"), (200, "changed")]
    assert [(bill.amount, is_new) for bill, is_new in calls.bills] == [(124050, True), (1, False)]
    assert store.database.rows("select number from bill where month = '2026-06-01'") == [("007",)]


def test_a_consumer_keeps_what_is_left_out(client: TestClient, store: Store) -> None:
    assert client.put("/consumers/0300000008", json={"name": "फूलमती कुमारी", "load": 3000}).json() == {"outcome": "changed"}
    sql = "select name_deva, name_latin, load, pin from consumer where account = '0300000008'"
    assert store.database.rows(sql) == [("फूलमती कुमारी", "Phoolmati Devi", 3000, "802119")]
    assert [one.account for one in store.search("कुमारी")] == ["0300000008"]
    assert client.put("/consumers/700000001", json={"name": "New Man", "category": "DS-II"}).status_code == 201
    assert store.database.rows("select area from consumer where account = '700000001'") == [("urban",)]


def test_a_link_is_noted_unconfirmed_and_once(client: TestClient, calls: Calls, store: Store) -> None:
    path = "/links/+919812345678/100000006"
    assert [client.put(path).status_code for _ in range(2)] == [201, 200]
    assert calls.phones == [("+919812345678", "100000006")]
    assert store.database.rows("select how, confirmed from link where phone = '+919812345678'") == [("import", 0)]


def test_a_payment_sent_twice_is_taken_once_and_answered_alike(client: TestClient, calls: Calls) -> None:
    key = once()
    first, again = (client.post("/payments", json=PAYMENT, headers=key) for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content) == (201, b'{"outcome":"new"}')
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(calls.payments) == 1


def test_a_key_with_another_request_is_refused(client: TestClient) -> None:
    key = once()
    client.post("/payments", json=PAYMENT, headers=key)
    answer = client.post("/payments", json={**PAYMENT, "amount": 1}, headers=key)
    assert answer.status_code == 422
    assert problem(answer)["errors"][0]["field"] == "Idempotency-Key"


def test_keys_of_two_clients_do_not_meet(client: TestClient) -> None:
    key = once()
    client.post("/payments", json=PAYMENT, headers=key)
    other = client.post("/payments", json=PAYMENT, headers={**key, "Authorization": "Bearer other.other"})
    assert other.json() == {"outcome": "unchanged"}


def test_a_refusal_is_not_kept_for_its_key(client: TestClient) -> None:
    key, payment = once(), {**PAYMENT, "account": "700000001"}
    assert client.post("/payments", json=payment, headers=key).status_code == 404
    client.put("/consumers/700000001", json={"name": "New Man"})
    assert client.post("/payments", json=payment, headers=key).status_code == 201


def test_a_batch_leaves_out_what_cannot_be_taken(client: TestClient, calls: Calls) -> None:
    bill = {**BILL, "account": "100000001", "month": "2026-06"}
    bills = [bill, {**bill, "account": "999999999"}, bill, {**bill, "amount": 1}, {**bill, "account": "100000002"}]
    answer = client.post("/bills", json={"bills": bills}, headers=once()).json()
    assert (answer["new"], answer["changed"], answer["unchanged"]) == (2, 0, 1)
    assert [one["index"] for one in answer["left_out"]] == [1, 3]
    assert len(calls.bills) == 2


def test_a_batch_has_its_limit(client: TestClient) -> None:
    bill = {**BILL, "account": "100000001", "month": "2026-06"}
    answer = client.post("/bills", json={"bills": [bill] * 501}, headers=once())
    assert problem(answer)["errors"] == [{"field": "bills", "reason": "must have 1 to 500 items"}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**BILL, "amount": "1240"}, "amount"),
        ({**BILL, "amount": 1240.5}, "amount"),
        ({**BILL, "amount": 1e300}, "amount"),
        ({**BILL, "amount": True}, "amount"),
        ({**BILL, "due": "2026-02-31"}, "due"),
        ({**BILL, "basis": "XX"}, "basis"),
        ({**BILL, "units": -1}, "units"),
        ({**BILL, "colour": "red"}, "colour"),
        ({"amount": 1}, "due"),
        ([], "(the whole body)"),
    ],
)
def test_a_wrong_value_is_named(client: TestClient, calls: Calls, body: object, field: str) -> None:
    answer = client.put("/bills/100000001/2026-06", json=body)
    assert answer.status_code == 422
    assert [one["field"] for one in problem(answer)["errors"]] == [field]
    assert not calls.bills


@pytest.mark.parametrize(
    "path", ["/bills/12/2026-06", "/bills/100000001/2026-13", "/links/+911234567890/100000001", "/requests/0"]
)
def test_a_wrong_path_is_named(client: TestClient, path: str) -> None:
    answer = client.get(path) if "requests" in path else client.put(path, json=BILL)
    assert answer.status_code == 422
    assert len(problem(answer)["errors"]) == 1


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer billing.wrong"}, {"Authorization": f"Bearer nobody.{KEY}"},
                                    {"Authorization": f"Basic billing.{KEY}"}, {"Authorization": "Bearer"}])  # fmt: skip
def test_no_valid_key_no_answer(client: TestClient, header: dict[str, str]) -> None:
    client.headers.pop("Authorization")
    answer = client.put("/bills/100000001/2026-06", json=BILL, headers=header)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    problem(answer)


def test_what_is_not_json_or_too_large_or_nowhere(client: TestClient) -> None:
    path, json = "/bills/100000001/2026-06", {"content-type": "application/json"}
    assert problem(client.put(path, content=b"{", headers=json))["status"] == 400
    assert problem(client.put(path, content=b'"\xff"', headers=json))["status"] == 400
    assert problem(client.put(path, content=b"[" * 100_000, headers=json))["status"] == 400
    assert problem(client.put(path, content=b"a=b"))["status"] == 415
    assert problem(client.put(path, content=b" " * (BODY_LIMIT + 1), headers=json))["status"] == 413
    assert problem(client.post("/payments", json=PAYMENT))["errors"][0]["field"] == "Idempotency-Key"
    assert problem(client.get("/nothing"))["status"] == 404
    wrong_method = client.delete(path)
    assert (problem(wrong_method)["status"], wrong_method.headers["allow"]) == (405, "PUT")


def test_a_request_is_found_by_its_ticket(client: TestClient, store: Store) -> None:
    with store.write():
        store.database.run(
            "insert into request (ticket, service, state, open, account, asset, pin, phone, filed, since, due, priority, unverified, reports, details, inbound) "
            "values ('40000014', 'meter', 'assigned', 1, '100000001', '', '', '+915550000002', "
            "1779700000000, 1779700000000, null, 0, 0, 1, '{}', 'x')"
        )
    answer = client.get("/requests/40000014")
    assert (answer.json()["state"], answer.json()["open"], answer.json()["due"]) == ("assigned", True, None)
    assert "+91" not in answer.text
    assert client.get("/requests/40000022").status_code == 404


def test_our_own_fault_shows_nothing_of_us(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/fault.db")
    town.build(store)

    def broken(account: str, bill: Bill, is_new: bool) -> None:
        raise RuntimeError("secret inside")

    app = Starlette(routes=[Mount("/api/v1", routes=api_routes(store, CLIENTS, Hooks(bill_arrived=broken)))])
    with TestClient(app) as client:
        answer = client.put("/api/v1/bills/100000001/2026-06", json=BILL, headers=AUTH)
    assert problem(answer)["status"] == 500
    assert "secret" not in answer.text
    assert not store.database.rows("select 1 from bill where month = '2026-06-01'")
    store.close()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_however_many_call_at_once_few_connections_are_open(gateway: Gateway, postgres: Server) -> None:
    """As docs/scale.md counts them: PostgreSQL lets in only so many."""
    opened = replace(gateway, settings=gateway.settings.model_copy(update={"api_clients": CLIENTS}))
    with TestClient(make_app(opened, send=False), base_url="http://127.0.0.1") as client, ThreadPoolExecutor(40) as callers:
        for path in ("/api/v1/requests/12345674", "/desk/login", "/readyz"):
            answers = [callers.submit(client.get, path, headers=AUTH) for _ in range(120)]
            assert {answer.result().status_code for answer in answers} <= {200, 404}
        ((count,),) = postgres.sql("select count(*) from pg_stat_activity where datname = 'town'")
    assert isinstance(count, int)
    assert count <= 10 + gateway.settings.writers


def test_a_fresh_key_opens(tmp_path: Path) -> None:
    from click.testing import CliRunner

    key, digest = new_key()
    assert hashlib.sha256(key.encode()).hexdigest() == digest
    assert "Bearer billing." in CliRunner().invoke(key_command, ["billing"]).output


# --- schemathesis: whatever the document allows is taken, whatever it forbids is refused, never a 500 -----------------

_folder = tempfile.TemporaryDirectory()
_store, _app = make(Path(_folder.name), Calls())
_schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", _app)


@_schema.parametrize()
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_the_document_is_kept_to(case: schemathesis.Case) -> None:
    # A line break in the path is nobody's address: the framework's own 404 answers before us, as plain text.
    assume(not any(end in str(part) for part in (case.path_parameters or {}).values() for end in ("\n", "%0A")))
    if "Idempotency-Key" in (case.headers or {}) and case.meta and case.meta.generation.mode.is_positive:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex  # a repeated key is another test's matter
    if "\n" in unquote("".join(map(str, (case.path_parameters or {}).values()))):
        return  # the router itself says 404 to a line break in an address
    case.call_and_validate(headers=AUTH)
