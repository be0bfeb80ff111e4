"""The JSON API for the billing system: what `gateway import` takes as a file, one record or five hundred at a time, over HTTP.

Every client has a key of its own. A POST carries an `Idempotency-Key`, so that sending it again does nothing twice; a PUT needs
none. Errors are problem+json (RFC 9457) and name the field. The OpenAPI document is made from the same tables as the checks.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import click
import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gateway.audit import Audit
from gateway.fields import Kind, Schema, Value, Wrong, in_columns, key_of, kinds
from gateway.intake import TAKING_IN, Hooks, apply, refused
from gateway.staff import program
from gateway.store import Store
from gateway.store.sql import millis, moment, retried

BODY_LIMIT = 1 << 20
BATCH_LIMIT = 500
#: How long an answer is kept for its Idempotency-Key.
KEEP_ANSWERS = timedelta(days=7)
IDEMPOTENCY_KEY: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"}
#: What is answered is kept nowhere on the way.
PRIVATE = {"cache-control": "no-store"}
TICKET: Schema = {"type": "string", "pattern": "^[1-9][0-9]{7}$"}

#: The plain words of every status that is answered.
TITLES = {
    400: "The request cannot be read",
    401: "No valid key",
    404: "Not known",
    405: "Not possible here",
    413: "Too large",
    415: "JSON is expected",
    422: "A value is not right",
    500: "Our fault",
    503: "Try again shortly",
}

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Problem(Exception):
    """A request that is not carried out: the status, a line for people, and which fields are at fault."""

    def __init__(self, status: int, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, tuple(errors)

    def response(self) -> Response:
        """The problem as RFC 9457 wants it."""
        body: dict[str, object] = {"title": TITLES[self.status], "status": self.status, "detail": self.detail}
        if self.errors:
            body["errors"] = self.errors
        headers = {"www-authenticate": "Bearer"} if self.status == 401 else {}
        return Response(_encode(body), self.status, {**headers, **PRIVATE}, "application/problem+json")


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: the status and the JSON that says so."""

    status: int
    body: Mapping[str, object]


# --- checking JSON against a schema -----------------------------------------------------------------------------------

_TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def faults(schema: Schema, value: object, where: str = "") -> Iterator[dict[str, str]]:
    """What is wrong with a JSON value, field by field. Knows those words of JSON Schema that this API uses.

    Types are strict; as in JSON Schema, 660.0 is the integer 660 (exact: no limit here is beyond 2**53).
    """
    if isinstance(value, float) and value.is_integer() and schema["type"] == "integer":
        value = int(value)
    if type(value) is not _TYPES[schema["type"]]:
        yield _fault(where, f"must be of type {schema['type']}")
    elif isinstance(value, dict):
        yield from _object_faults(schema, value, where)
    elif isinstance(value, list):
        if not schema["minItems"] <= len(value) <= schema["maxItems"]:
            yield _fault(where, f"must have {schema['minItems']} to {schema['maxItems']} items")
        else:
            for index, item in enumerate(value):
                yield from faults(schema["items"], item, f"{where}[{index}]")
    elif isinstance(value, str):
        yield from (_fault(where, reason) for reason in _text_faults(schema, value))
    elif isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield _fault(where, f"must be from {schema['minimum']} to {schema['maximum']}")
    elif "enum" in schema and value not in schema["enum"]:
        yield _fault(where, f"must be one of {schema['enum']}")


def _fault(where: str, reason: str) -> dict[str, str]:
    return {"field": where or "(the whole body)", "reason": reason}


def _object_faults(schema: Schema, value: Mapping[str, object], where: str) -> Iterator[dict[str, str]]:
    dot = f"{where}." if where else ""
    for name in schema.get("required", ()):
        if name not in value:
            yield _fault(f"{dot}{name}", "is missing")
    for name, item in value.items():
        if name in schema["properties"]:
            yield from faults(schema["properties"][name], item, f"{dot}{name}")
        else:
            yield _fault(f"{dot}{name[:40]}", "is not a field of this object")


def _text_faults(schema: Schema, value: str) -> Iterator[str]:
    if len(value) > schema.get("maxLength", len(value)):
        yield f"must not be longer than {schema['maxLength']} characters"
    if "enum" in schema and value not in schema["enum"]:
        yield f"must be one of {', '.join(schema['enum'])}"
    if schema.get("format") == "date" and not _is_day(value):
        yield "must be a day such as 2026-02-28"
    if "pattern" in schema and not _matches(schema["pattern"], value):
        yield f"must match {schema['pattern']}"
    if "not" in schema and _matches(schema["not"]["pattern"], value):
        yield "is a placeholder"


def _matches(pattern: str, value: str) -> bool:
    """As JSON Schema means a pattern; `$` does not overlook a line break at the end."""
    return re.search(pattern.replace("$", r"\Z"), value) is not None


def _is_day(value: str) -> bool:
    try:
        return bool(_DAY.fullmatch(value) and date.fromisoformat(value))
    except ValueError:
        return False


# --- the operations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: what the path names, the body, and whose key it came with."""

    path: Mapping[str, str]
    body: Mapping[str, Any]
    client: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing the API does. `path` and `body` are checked against their schemas before `run`; a `post` runs once per key."""

    method: str
    template: str
    says: str
    run: Callable[[Call], Done]
    path: Mapping[str, Schema] = field(default_factory=dict)
    body: Schema | None = None
    answers: Mapping[int, str] = field(default_factory=dict)
    answer: Schema = field(default_factory=dict)

    @property
    def once(self) -> bool:
        """Whether it needs an Idempotency-Key."""
        return self.method == "POST"


_OUTCOME: Schema = {
    "type": "object",
    "required": ["outcome"],
    "properties": {"outcome": {"type": "string", "enum": ["new", "changed", "unchanged"]}},
}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_BATCH_OUTCOME: Schema = {
    "type": "object",
    "required": ["new", "changed", "unchanged", "left_out"],
    "properties": {
        "new": _COUNT,
        "changed": _COUNT,
        "unchanged": _COUNT,
        "left_out": {
            "type": "array",
            "items": {"type": "object", "properties": {"index": _COUNT, "reason": {"type": "string"}}},
        },
    },
}
_TIME: Schema = {"type": "string", "format": "date-time"}
_REQUEST: Schema = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("ticket", "service", "state", "account")},
        "open": {"type": "boolean"},
        "filed": _TIME,
        "since": _TIME,
        "due": {"type": ["string", "null"], "format": "date-time"},
    },
}
_SAVED = {200: "kept as it was, or changed", 201: "new"}


def _object(kind: Kind, without: Sequence[str] = (), needed: Sequence[str] = ()) -> Schema:
    """The JSON object of a kind, less the fields that its path names."""
    fields = [one for one in kind.fields if one.name not in without]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [one.name for one in fields if one.needed or one.name in needed],
        "properties": {one.name: {**one.schema, "description": one.says} for one in fields},
    }


@dataclass(frozen=True, slots=True)
class Desk:
    """What the operations work on."""

    store: Store
    kinds: Mapping[str, Kind]
    hooks: Hooks
    clock: Callable[[], datetime]

    def operations(self) -> tuple[Operation, ...]:
        """Everything the API does."""
        consumers, bills, payments, phones = (self.kinds[name] for name in ("consumers", "bills", "payments", "phones"))
        account, month, phone = bills.field("account").schema, bills.field("month").schema, phones.field("phone").schema
        batch: Schema = {"type": "array", "minItems": 1, "maxItems": BATCH_LIMIT, "items": _object(bills)}
        bodies: Schema = {"type": "object", "additionalProperties": False, "required": ["bills"], "properties": {"bills": batch}}
        return (
            Operation("PUT", "/consumers/{account}", "Keep a consumer; fields left out stay as they are.",
                      lambda call: self._keep(consumers, call), {"account": account},
                      _object(consumers, ("account",), ("name",)), _SAVED, _OUTCOME),
            Operation("PUT", "/bills/{account}/{month}", "Keep a month's bill; the consumer is told when it is new or changed.",
                      lambda call: self._keep(bills, call), {"account": account, "month": month},
                      _object(bills, ("account", "month")), _SAVED, _OUTCOME),
            Operation("POST", "/bills", f"Keep up to {BATCH_LIMIT} bills in one transaction, less those of unknown consumers.",
                      self._keep_bills, {}, bodies, {200: "done"}, _BATCH_OUTCOME),
            Operation("POST", "/payments", "Keep a payment.",
                      lambda call: self._keep(payments, call), {}, _object(payments), _SAVED, _OUTCOME),
            Operation("PUT", "/links/{phone}/{account}", "Note a phone for a consumer, to be confirmed by the person.",
                      lambda call: self._keep(phones, call), {"phone": phone, "account": account}, None, _SAVED, _OUTCOME),
            Operation("GET", "/requests/{ticket}", "How far a request is.",
                      self._request, {"ticket": TICKET}, None, {200: "the request"}, _REQUEST),
        )  # fmt: skip

    def _keep(self, kind: Kind, call: Call) -> Done:
        """One record. Raises Problem 404 if its consumer is not known."""
        row = _row(kind, {**call.path, **call.body})
        (reason,) = refused(self.store, kind, [row])
        if reason:
            raise Problem(404, reason, [_fault("account", reason)])
        counts = apply(self.store, kind, [row], self.hooks, self.clock())
        outcome = "new" if counts.new else "changed" if counts.changed else "unchanged"
        return Done(201 if counts.new else 200, {"outcome": outcome})

    def _keep_bills(self, call: Call) -> Done:
        kind = self.kinds["bills"]
        rows = [_row(kind, one, f"bills[{index}].") for index, one in enumerate(call.body["bills"])]
        reasons = refused(self.store, kind, rows)
        first: dict[str, Sequence[Value]] = {}
        repeated = 0
        for index, (row, reason) in enumerate(zip(rows, list(reasons), strict=True)):
            if not reason and first.setdefault(key_of(kind, row), row) is not row:
                repeated += first[key_of(kind, row)] == row
                reasons[index] = "" if first[key_of(kind, row)] == row else "says otherwise than an earlier bill of this batch"
        counts = apply(self.store, kind, list(first.values()), self.hooks, self.clock())
        left_out = [{"index": index, "reason": reason} for index, reason in enumerate(reasons) if reason]
        unchanged = counts.unchanged + repeated
        return Done(200, {"new": counts.new, "changed": counts.changed, "unchanged": unchanged, "left_out": left_out})

    def _request(self, call: Call) -> Done:
        """A request by its ticket; that it was read is written down. Raises Problem 404."""
        sql = "select ticket, service, state, open, account, filed, since, due from request where ticket = ?"
        rows = self.store.database.rows(sql, (call.path["ticket"],))
        if not rows:
            raise Problem(404, "no request has this ticket number", [_fault("ticket", "is not known")])
        ticket, service, state, is_open, account, filed, since, due = rows[0]
        Audit(self.store, self.clock)(program(call.client), "read request", ticket)
        return Done(200, {"ticket": ticket, "service": service, "state": state, "open": bool(is_open), "account": account,
                          "filed": moment(filed), "since": moment(since), "due": moment(due) if due else None})  # fmt: skip


def _row(kind: Kind, given: Mapping[str, Any], where: str = "") -> list[Value]:
    """A checked JSON object as a row. Raises Problem 422 for what the schema cannot say."""
    values: dict[str, Value] = {}
    for name, value in given.items():
        try:
            values[name] = kind.field(name).read(value) if isinstance(value, str) else int(value)
        except Wrong as why:
            raise Problem(422, "a value cannot be used", [_fault(f"{where}{name}", str(why))]) from None
    return in_columns(kind, values)


# --- over HTTP --------------------------------------------------------------------------------------------------------


class Door:
    """One path of the API as an ASGI application: method, key, body, checks, then the operation in a thread of its own."""

    def __init__(self, operations: Mapping[str, Operation], desk: Desk, clients: Mapping[str, str]) -> None:
        self.operations, self.desk, self.clients = operations, desk, clients

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever happens, the answer is JSON and holds no trace of our code."""
        request = Request(scope, receive)
        began = time.monotonic()
        try:
            response = await self._serve(request)
        except Problem as problem:
            response = problem.response()
            if problem.status == 405:
                response.headers["allow"] = ", ".join(self.operations)
        except Exception as error:
            trouble = self.desk.store.database.is_trouble(error)
            log.error("api.failed", why=type(error).__name__, trouble=trouble)
            response = Problem(503 if trouble else 500, "nothing was changed; send the same request again later").response()
        template = next((one.template for one in self.operations.values()), "")
        log.info("api.answered", client=getattr(request.state, "client", ""), method=request.method, path=template,
                 status=response.status_code,
                 millis=round(1000 * (time.monotonic() - began)))  # fmt: skip
        await response(scope, receive, send)

    async def _serve(self, request: Request) -> Response:
        operation = self.operations.get(request.method)
        if operation is None:
            raise Problem(405, f"possible here: {', '.join(self.operations)}")
        client = request.state.client = _client(request.headers.get("authorization", ""), self.clients)
        raw = await _raw(request)
        call = _checked(operation, request.path_params, _json(request, raw) if operation.body else {}, client)
        if not operation.once:
            done = await asyncio.to_thread(retried, lambda: self._run(operation, call))
            return _response(done.status, _encode(done.body))
        key = request.headers.get("idempotency-key", "")
        wrong = list(faults(IDEMPOTENCY_KEY, key, "Idempotency-Key"))
        if wrong:
            raise Problem(400, "a POST needs an Idempotency-Key: 8 to 64 letters, digits, - or _, new for each request", wrong)
        digest = hashlib.sha256(operation.template.encode() + b"\n" + raw).hexdigest()
        status, body, replayed = await asyncio.to_thread(retried, lambda: self._run_once(client, key, digest, operation, call))
        return _response(status, body, {"idempotent-replayed": "true"} if replayed else None)

    def _run(self, operation: Operation, call: Call) -> Done:
        if operation.method == "GET":
            return operation.run(call)
        with self.desk.store.write(TAKING_IN):
            return operation.run(call)

    def _run_once(self, client: str, key: str, digest: str, operation: Operation, call: Call) -> tuple[int, bytes, bool]:
        """Carry out a POST unless this key has been answered; status, body, and whether it is an earlier answer."""
        store, at = self.desk.store, self.desk.clock()
        database = store.database
        with store.write(TAKING_IN):
            database.run("delete from api_answer where at < ?", (millis(at - KEEP_ANSWERS),))
            sql = "insert into api_answer values (?, ?, ?, 0, '', ?) on conflict do nothing"
            if not database.run(sql, (client, key, digest, millis(at))):
                sql = "select digest, status, body from api_answer where client = ? and key = ?"
                ((before, status, body),) = database.rows(sql, (client, key))
                if before != digest:
                    raise Problem(422, "this Idempotency-Key came before with another request",
                                  [_fault("Idempotency-Key", "is used already: make a new one for each request")])  # fmt: skip
                return status, body.encode(), True
            done = operation.run(call)
            encoded = _encode(done.body)
            sql = "update api_answer set status = ?, body = ? where client = ? and key = ?"
            database.run(sql, (done.status, encoded.decode(), client, key))
            return done.status, encoded, False


def _client(header: str, clients: Mapping[str, str]) -> str:
    """Whose key this is. Raises Problem 401; a wrong name and a wrong key look and last the same."""
    scheme, _, token = header.partition(" ")
    name, _, key = token.strip().partition(".")
    given = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
    matches = hmac.compare_digest(given, clients.get(name, "0" * 64))
    if not (matches and name in clients and scheme.lower() == "bearer"):
        raise Problem(401, "send the header: Authorization: Bearer <client>.<key>")
    return name


async def _raw(request: Request) -> bytes:
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > BODY_LIMIT:
            raise Problem(413, f"a body may have {BODY_LIMIT} bytes: send fewer bills at once")
    return body


def _json(request: Request, raw: bytes) -> object:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "the content type must be application/json")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "the body is not JSON in UTF-8") from None


def _checked(operation: Operation, path: Mapping[str, str], body: Any, client: str) -> Call:
    """The request if path and body are as their schemas say. Raises Problem 422 naming every field at fault."""
    wrong = [fault for name, schema in operation.path.items() for fault in faults(schema, path[name], name)]
    if operation.body:
        wrong += faults(operation.body, body)
    if wrong:
        raise Problem(422, "some values are not right: see errors", wrong[:50])
    return Call({name: path[name] for name in operation.path}, body, client)


def _response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, {**(headers or {}), **PRIVATE}, "application/json")


def _now() -> datetime:
    return moment(round(time.time() * 1000))


def api_routes(
    store: Store,
    clients: Mapping[str, str],
    hooks: Hooks | None = None,
    *,
    ca_pattern: str = r"\d{9,11}",
    clock: Callable[[], datetime] = _now,
) -> list[BaseRoute]:
    """The routes, to be mounted at /api/v1. `clients` gives the SHA-256 of each client's key, in hexadecimal."""
    desk = Desk(store, kinds(ca_pattern), hooks or Hooks(), clock)
    operations = desk.operations()
    document = _encode(openapi(operations))

    async def serve_document(request: Request) -> Response:
        return _response(200, document)

    doors: list[BaseRoute] = [Route("/openapi.json", serve_document)]
    for template in dict.fromkeys(operation.template for operation in operations):
        here = {operation.method: operation for operation in operations if operation.template == template}
        doors.append(Route(template, Door(here, desk, clients)))
    return [*doors, Route("/{rest:path}", _Nowhere())]


class _Nowhere:
    """Every other path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Problem(404, "there is nothing at this address: see openapi.json").response()(scope, receive, send)


# --- the OpenAPI document ---------------------------------------------------------------------------------------------


def openapi(operations: Sequence[Operation]) -> dict[str, object]:
    """The OpenAPI 3.1 document of these operations."""
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        paths.setdefault(operation.template, {})[operation.method.lower()] = _described(operation)
    fault = {"type": "object", "properties": {"field": {"type": "string"}, "reason": {"type": "string"}}}
    problem = {
        "type": "object",
        "required": ["title", "status", "detail"],
        "properties": {"title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"},
                       "errors": {"type": "array", "items": fault}},
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {"title": "URJAS gateway: billing API", "version": "1.0.0", "description": "Money is whole paise."},
        "servers": [{"url": "/api/v1"}],
        "security": [{"client": []}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": problem},
            "securitySchemes": {"client": {"type": "http", "scheme": "bearer", "description": "<client>.<key>"}},
        },
    }


def _described(operation: Operation) -> dict[str, object]:
    parameters = [{"name": name, "in": "path", "required": True, "schema": schema} for name, schema in operation.path.items()]
    if operation.once:
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": True, "schema": IDEMPOTENCY_KEY})
    refusals = {401, 404, 422, 503} | ({400, 413, 415} if operation.body else set())
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answers: dict[str, object] = {
        str(status): {"description": says, "content": {"application/json": {"schema": operation.answer}}}
        for status, says in operation.answers.items()
    }
    answers |= {str(status): {"description": TITLES[status], "content": problem} for status in sorted(refusals)}
    described: dict[str, object] = {"summary": operation.says, "parameters": parameters, "responses": answers}
    if operation.body:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": operation.body}}}
    return described


# --- keys -------------------------------------------------------------------------------------------------------------


def new_key() -> tuple[str, str]:
    """A fresh key of 256 bits, to be handed to the client once, and its SHA-256, to be put into the settings."""
    key = secrets.token_urlsafe(32)
    return key, hashlib.sha256(key.encode()).hexdigest()


@click.command("api-key")
@click.argument("client")
def key_command(client: str) -> None:
    """Make a key for a client of the JSON API; it is shown once."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", client):
        raise ValueError("CLIENT: use up to 40 letters, digits, - and _")
    key, digest = new_key()
    click.echo(f"give to the client:  Authorization: Bearer {client}.{key}")
    click.echo(f'put into GATEWAY_API_CLIENTS:  {{"{client}": "{digest}"}}')
