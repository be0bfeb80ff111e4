"""The desk without a browser: what each page shows, who may, and a request worked off from the filing to its end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.records import Conversation
from gateway.app import Gateway
from gateway.desk import Desk, make_desk
from gateway.desk.routes import desk_routes
from gateway.desk.staff import Staff
from gateway.records import Inbound
from tests import town
from tests.conftest import Clock


class Seat:
    """Sits somebody down at the desk, in the place of the door."""

    staff: Staff | None = None

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {}).update({"staff": Seat.staff, "csrf": "token"})
        await self.app(scope, receive, send)


ASHA = Staff("asha", "section", ("S1",), "en")
BIRJU = Staff("birju", "supervisor", ("*",), "en")
CHANDA = Staff("chanda", "centre", ("*",), "hi")


class Office:
    """The desk over the small town, with phones that text and staff who click."""

    def __init__(self, gateway: Gateway, clock: Clock, desk: Desk, client: TestClient) -> None:
        self.gateway, self.clock, self.desk, self.client = gateway, clock, desk, client
        self.texts = 0

    def as_(self, staff: Staff | None) -> TestClient:
        Seat.staff = staff
        return self.client

    def text(self, label: str, words: str) -> str:
        """An SMS from a phone, and the answer to it."""
        self.texts += 1
        self.clock.wait(timedelta(seconds=5))
        inbound = Inbound(f"t{self.texts}", "phone", town.PHONES[label], "sms", words, self.clock())
        return self.gateway.hop.serve([inbound])[0].page

    def speaks(self, label: str, lang: str) -> None:
        with self.gateway.store.write():
            self.gateway.store.keep_conversations([Conversation(town.PHONES[label], lang=lang)], self.clock())

    def inbox(self, label: str) -> list[str]:
        sql = "select text from outbox where phone = ? order by id"
        return [row[0] for row in self.gateway.store.database.rows(sql, (town.PHONES[label],))]

    def ticket(self, service: str) -> str:
        sql = "select ticket from request where service = ? order by filed desc limit 1"
        return str(self.gateway.store.database.rows(sql, (service,))[0][0])

    def state(self, ticket: str) -> str:
        return str(self.gateway.store.database.rows("select state from request where ticket = ?", (ticket,))[0][0])

    def step(self, staff: Staff, ticket: str, name: str, **typed: object) -> int:
        self.clock.wait(timedelta(minutes=10))
        form = {"csrf": "token", "state": self.state(ticket), **typed}
        return self.as_(staff).post(f"/desk/requests/{ticket}/steps/{name}", data=form, follow_redirects=False).status_code


@pytest.fixture
def office(gateway: Gateway, clock: Clock) -> Iterator[Office]:
    desk = make_desk(gateway, lambda: None)
    app = Starlette(routes=[Mount("/desk", routes=desk_routes(desk))], middleware=[Middleware(Seat)])
    with TestClient(app) as client:
        with gateway.store.write():
            gateway.store.database.run("insert into section values ('S1', 'चरित्रवन', 'Charitravan', 'urban', '', '')")
        yield Office(gateway, clock, desk, client)
    Seat.staff = None


def test_pages_open(office: Office) -> None:
    office.text("one", "METER band")
    office.text("one", "1")
    for staff in (ASHA, BIRJU, CHANDA):
        for path in ("/desk/", "/desk/requests"):
            answer = office.as_(staff).get(path)
            assert answer.status_code == 200, answer.text
