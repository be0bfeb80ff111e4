"""A step of casework, taken: the request's new state, its story, the message to whoever asked, and the audit, all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flows.casework import BAD_ENDS, CASES, Work, read, stops, values
from flows.records import Policy, Request, Text
from flows.screens import Bad
from gateway.audit import Audit
from gateway.pen import Pen
from gateway.staff import Staff
from gateway.store.cases import Cases, Row
from gateway.store.sql import Conflict, Store

#: Messages that staff may send by hand: they name nothing but the request.
BY_HAND = ("case_waiting", "case_called", "case_visit")
#: The longest note.
LONGEST_NOTE = 500
#: Within this the same thing done again by the same person is a second click.
SAME_CLICK = timedelta(minutes=1)


def _text_of(tells: str, request: Request) -> str:
    """The key of a message; the papers for a name transfer are named in fixed words, one text a reason."""
    if tells == "papers_name_transfer":
        tells += f"_{request.details['reason']}"
    return f"case_{tells}"


@dataclass
class Refused(Exception):
    """A step that was not taken: `why` is a key of the desk's words, `fields` say the same of what was typed."""

    why: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Casework:
    """Takes steps for the staff. `reopening` is how long the person may answer that it was not done."""

    store: Store
    cases: Cases
    pen: Pen
    policy: Policy
    audit: Audit
    reopening: timedelta
    clock: Callable[[], datetime]

    def work(self, staff: Staff, request: Request) -> Work:
        """A request in somebody's hands."""
        consumer = self.store.consumer(request.account) if request.account else None
        last, policy = self.cases.last_hand(request.ticket), self.policy
        return Work(request, staff.name, staff.role, last, self.clock(), policy.objection, policy.patience, consumer)

    def find(self, staff: Staff, ticket: str) -> tuple[Row, Request]:
        """A request that this person may see. Raises Refused."""
        row, request = self.cases.row(ticket), self.cases.request(ticket)
        if row is None or request is None or not staff.sees(row.section):
            raise Refused("gone")
        return row, request

    def take(self, staff: Staff, ticket: str, name: str, state: str, typed: Mapping[str, str]) -> None:
        """Take a step that was offered while the request stood in `state`; a second click on it is done already. Raises
        Refused; then nothing has changed."""
        now = self.clock()
        try:
            with self.store.write():
                self.cases.lock(ticket)
                _, request = self.find(staff, ticket)
                if request.state != state:
                    if self.cases.took(ticket, f"step:{name}", staff.name, now - SAME_CLICK):
                        return
                    raise Refused("moved")
                self._take(staff, request, name, typed, now)
        except Conflict:
            raise Refused("another_open") from None

    def _take(self, staff: Staff, request: Request, name: str, typed: Mapping[str, str], now: datetime) -> None:
        work = self.work(staff, request)
        step, hindered = next(((step, why) for step, why in work.steps() if step.name == name), (None, ()))
        if step is None:
            raise Refused("no_step")
        if hindered:
            raise Refused(hindered[0])
        entered: dict[str, str] = {}
        wrong: dict[str, str] = {}
        for entry in work.fields(step):
            value = read(entry, typed.get(entry, ""))
            if isinstance(value, Bad):
                wrong[entry] = value.why
            else:
                entered[entry] = value
        if wrong:
            raise Refused("fields", wrong)
        work.take(name)
        reason = entered.pop("reason", "")
        case, ticket = CASES[request.service], request.ticket
        finished = work.state in case.finished()
        self.cases.move(
            ticket,
            work.state,
            open=not finished,
            stops=stops(request.service, work.state),
            details={**request.details, **entered},
            now=now,
        )
        self.cases.event(ticket, now, f"step:{name}", staff.name, reason, entered)
        if "name" in entered:
            self.store.name_applicant(ticket, entered["name"])
        if step.tells:
            told = self.cases.request(ticket)
            assert told is not None
            self._tell(told, _text_of(step.tells, told), entered, now, answerable=finished and work.state not in BAD_ENDS)
        self.audit.within(staff, f"step {name}", ticket, reason)

    def _tell(self, request: Request, key: str, entered: Mapping[str, str], now: datetime, *, answerable: bool) -> None:
        """Write to every phone that asked or reported; of a finished request each may answer that it is not done."""
        text = Text("sms", key, values(request, entered, now))
        for phone, _ in self.cases.phones(request.ticket):
            self.pen.write(text, phone, now=now)
            if answerable and phone.startswith("+"):
                self.store.tell(phone, "finished", request.account, request.ticket, now, now + self.reopening)

    def is_reached(self, ticket: str) -> bool:
        """Whether a message goes to anybody: who asked at the counter may have no mobile."""
        return any(phone.startswith("+") for phone, _ in self.cases.phones(ticket))

    def note(self, staff: Staff, ticket: str, words: str) -> None:
        """Add a note to the story. Raises Refused."""
        words = " ".join(words.split())
        with self.store.write():
            self.find(staff, ticket)
            if not 2 <= len(words) <= LONGEST_NOTE:
                raise Refused("fields", {"note": "words"})
            self.cases.event(ticket, self.clock(), "note", staff.name, words)
            self.audit.within(staff, "note", ticket)

    def say(self, staff: Staff, ticket: str, key: str) -> None:
        """Send one of the messages that may be sent by hand, once however often it is clicked. Raises Refused."""
        with self.store.write():
            self.cases.lock(ticket)
            _, request = self.find(staff, ticket)
            if key not in BY_HAND:
                raise Refused("no_step")
            if not self.is_reached(ticket):
                raise Refused("no_mobile")
            now = self.clock()
            if self.cases.took(ticket, f"word:{key}", staff.name, now - SAME_CLICK):
                return
            self._tell(request, key, {}, now, answerable=False)
            self.cases.event(ticket, now, f"word:{key}", staff.name)
            self.audit.within(staff, f"message {key}", ticket)
