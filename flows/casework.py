"""What happens to a request at the desk: one table of steps per service, run by `transitions`, checked when imported.

A row is a step that somebody of the staff takes, and a clerk can check it:

    (in state, step, goes to, who may, what must be entered, which message the person gets, only if)

"who may" are roles of the desk; "what must be entered" are fields of FIELDS; the message is a text `sms.case_...` of the
catalogues; "only if" names methods of Work that must all hold. `=` goes nowhere: a correction, with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import ClassVar

from transitions import Machine

from flows.records import Consumer, Request
from flows.screens import Bad

Row = tuple[str, ...]

# --- what is entered ----------------------------------------------------------------------------------------------------

_DIGITS = {base + n: ord("0") + n for base in (0x0966, 0xFF10) for n in range(10)}


def money(typed: str) -> str | Bad:
    """Rupees, with paise or without; kept in paise."""
    found = re.fullmatch(r"(\d{1,9})(?:\.(\d{1,2}))?", typed.replace(",", ""))
    return str(int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))) if found else Bad("money")


def meter_reading(typed: str) -> str | Bad:
    """What a meter shows: up to eight digits."""
    return str(int(typed)) if re.fullmatch(r"\d{1,8}", typed) else Bad("reading")


def code(typed: str) -> str | Bad:
    """The number of a meter, a receipt, a bill: letters and digits, as DLT lets a value be."""
    typed = typed.upper().replace(" ", "")
    return typed if re.fullmatch(r"[A-Z0-9][A-Z0-9/-]{1,19}", typed) else Bad("code")


def words(typed: str) -> str | Bad:
    """A few words."""
    return " ".join(typed.split()) if 2 <= len(typed.strip()) <= 300 else Bad("words")


def papers(typed: str) -> str | Bad:
    """The papers that were ticked off; the page sends `all` only when each of them was."""
    return "seen" if typed in ("all", "seen") else Bad("papers")


def percent(typed: str) -> str | Bad:
    """A meter's error, such as -2.5."""
    return typed if re.fullmatch(r"[+-]?\d{1,2}(\.\d{1,2})?", typed) else Bad("percent")


#: Field -> how it is read. What is entered is kept in the request's details under this name.
FIELDS = {
    "fee": money, "receipt": code, "name": words, "address": words, "papers": papers, "estimate": money, "demand_receipt": code,
    "new_meter": code, "account": code, "first_reading": meter_reading, "identity": words, "final_reading": meter_reading,
    "bill_number": code, "final_bill": money, "removed_meter": code, "no_dues": code, "team": words, "finding": words,
    "error": percent, "old_reading": meter_reading, "corrected_bill": money, "transformer": code, "outcome": words,
    "reason": words,
}  # fmt: skip


def read(name: str, typed: str) -> str | Bad:
    """A field as it is kept, or why it cannot be; digits of any script are digits."""
    return FIELDS[name](typed.strip().translate(_DIGITS))


# --- the tables ---------------------------------------------------------------------------------------------------------

SECTION, COUNTER, BOTH, SECOND = "section supervisor", "centre supervisor", "section centre supervisor", "supervisor section"


def common(work: str, *, first: str) -> Sequence[Row]:
    """The rows every service has; `work` is the state in which it is looked at again."""
    return (
        # in state           step        goes to             who may  entered   message     only if
        ("*",                "ask",      "waiting_consumer", BOTH,    "reason", "waiting"),
        ("waiting_consumer", "answered", work,               BOTH,    ""),
        ("waiting_consumer", "expire",   "expired",          BOTH,    "",       "expired",  "waited"),
        ("*",                "correct",  "=",                BOTH,    "reason"),
        ("*",                "reject",   "rejected",         SECTION, "reason", "rejected"),
        ("*",                "withdraw", "withdrawn",        BOTH,    "reason", "withdrawn"),
        ("finished",         "reopen",   "reopened",         BOTH,    "reason", "reopened"),
        ("reopened",         "take_up",  work,               SECTION, ""),
        ("held",             "release",  first,              "supervisor", "identity reason", "", "by_another"),
    )  # fmt: skip


class Case:
    """One service's table. `path` are its states from filing to its good end; `ends` more ways to be finished well.

    In the states of `waits` it is the person's turn, or the application is not complete yet: the clock stands still.
    """

    service: ClassVar[str] = ""
    path: ClassVar[tuple[str, ...]] = ()
    ends: ClassVar[tuple[str, ...]] = ()
    waits: ClassVar[frozenset[str]] = frozenset()
    #: The state in which a case that stopped is looked at again.
    work: ClassVar[str] = ""
    rules: ClassVar[Sequence[Row]] = ()
    #: Papers that are ticked off, by the answer that decides which (empty: always the same).
    papers: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    machine: ClassVar[Machine]

    @classmethod
    def states(cls) -> tuple[str, ...]:
        """Every state, in order."""
        return (*cls.path, *cls.ends, "waiting_consumer", "held", "reopened", *BAD_ENDS)

    @classmethod
    def finished(cls) -> frozenset[str]:
        """The states in which nothing is worked on any more."""
        return frozenset({cls.path[-1], *cls.ends, *BAD_ENDS})


#: Ends without the thing done: `cancelled` is the person's own, by the objecting word.
BAD_ENDS = ("rejected", "withdrawn", "cancelled", "expired")


class NewConnection(Case):
    """1: processed after the fee, from a complete application on; supply is not used before the meter is fitted."""

    service = "new_connection"
    path = ("submitted", "fee_due", "fee_paid", "docs_pending", "inspection", "demand_note", "demand_paid", "meter_issued",
            "energised")  # fmt: skip
    waits = frozenset({"submitted", "fee_due", "fee_paid", "docs_pending", "demand_note"})
    work = "inspection"
    papers = {"": ("id", "address_proof", "photo")}
    rules = (
        # in state       step          goes to         who may  entered                        message      only if
        ("submitted",    "ask_fee",    "fee_due",      BOTH,    "fee",                         "fee"),
        ("submitted",    "ask_papers", "docs_pending", BOTH,    "",                            "papers_new_connection"),
        ("submitted",    "accept",     "inspection",   BOTH,    "name address papers receipt", "accepted"),
        ("fee_due",      "fee_in",     "fee_paid",     BOTH,    "receipt"),
        ("fee_due",      "back",       "submitted",    BOTH,    "reason"),
        ("fee_due",      "expire",     "expired",      BOTH,    "",                            "expired",   "waited"),
        ("fee_paid",     "ask_papers", "docs_pending", BOTH,    "",                            "papers_new_connection"),
        ("fee_paid",     "accept",     "inspection",   BOTH,    "name address papers receipt", "accepted"),
        ("docs_pending", "accept",     "inspection",   BOTH,    "name address papers receipt", "accepted"),
        ("docs_pending", "ask_fee",    "fee_due",      BOTH,    "fee",                         "fee"),
        ("docs_pending", "expire",     "expired",      BOTH,    "",                            "expired",   "waited"),
        ("inspection",   "estimate",   "demand_note",  SECTION, "finding estimate",            "demand"),
        ("inspection",   "back",       "docs_pending", SECTION, "reason",                      "papers_new_connection"),
        ("demand_note",  "demand_in",  "demand_paid",  BOTH,    "demand_receipt"),
        ("demand_note",  "back",       "inspection",   SECTION, "reason"),
        ("demand_note",  "expire",     "expired",      BOTH,    "",                            "expired",   "waited"),
        ("demand_paid",  "issue",      "meter_issued", SECTION, "new_meter"),
        ("meter_issued", "connect",    "energised",    SECTION, "account first_reading",       "energised"),
        ("meter_issued", "back",       "demand_paid",  SECTION, "reason"),
        *common("inspection", first="submitted"),
    )  # fmt: skip


class NameTransfer(Case):
    """2: another person's property: papers, the hours in which the registered phones may object, and a second person."""

    service = "name_transfer"
    path = ("submitted", "docs_pending", "verification", "fee_due", "approved", "effective_next_bill")
    waits = frozenset({"docs_pending", "fee_due"})
    work = "verification"
    papers = {
        "bought": ("deed", "noc", "id", "photo"),
        "died": ("death_certificate", "heir_paper", "id", "photo"),
        "partition": ("partition_deed", "noc", "id", "photo"),
        "spelling": ("id",),
    }
    rules = (
        # in state       step          goes to                who may  entered              message                 only if
        ("submitted",    "ask_papers", "docs_pending",        BOTH,    "",                  "papers_name_transfer"),
        ("submitted",    "accept",     "verification",        BOTH,    "name papers"),
        ("docs_pending", "accept",     "verification",        BOTH,    "name papers"),
        ("docs_pending", "expire",     "expired",             BOTH,    "",                  "expired",              "waited"),
        ("verification", "ask_fee",    "fee_due",             BOTH,    "fee",               "fee"),
        ("verification", "back",       "docs_pending",        BOTH,    "reason",            "papers_name_transfer"),
        ("verification", "approve",    "approved",            SECOND,  "name papers",       "",                     "after_objection owes_nothing by_another"),
        ("fee_due",      "approve",    "approved",            SECOND,  "name papers receipt", "",                   "after_objection owes_nothing by_another"),
        ("fee_due",      "back",       "verification",        BOTH,    "reason"),
        ("fee_due",      "expire",     "expired",             BOTH,    "",                  "expired",              "waited"),
        ("approved",     "enter",      "effective_next_bill", BOTH,    "name",              "transferred"),
        ("approved",     "back",       "verification",        SECTION, "reason"),
        *common("verification", first="verification"),
    )  # fmt: skip


class Meter(Case):
    """3: a faulty, burnt or stolen meter is replaced, and the bill put right."""

    service = "meter"
    path = ("submitted", "assigned", "inspected", "replaced", "bill_corrected")
    ends = ("done",)
    work = "assigned"
    rules = (
        # in state     step       goes to           who may  entered                                 message
        ("submitted",  "assign",  "assigned",       SECTION, "team",                                 "assigned"),
        ("assigned",   "inspect", "inspected",      SECTION, "finding"),
        ("assigned",   "back",    "submitted",      SECTION, "reason"),
        ("inspected",  "replace", "replaced",       SECTION, "old_reading new_meter first_reading",  "replaced"),
        ("inspected",  "sound",   "done",           SECTION, "finding",                              "sound"),
        ("inspected",  "back",    "assigned",       SECTION, "reason"),
        ("replaced",   "bill",    "bill_corrected", BOTH,    "corrected_bill",                       "bill_corrected"),
        ("replaced",   "back",    "inspected",      SECTION, "reason"),
        *common("assigned", first="submitted"),
    )  # fmt: skip


class MeterTest(Case):
    """3: a meter that runs fast is tested against a fee, in the person's presence."""

    service = "meter_test"
    path = ("submitted", "test_fee_due", "assigned", "at_lab", "inspected", "replaced", "bill_corrected")
    ends = ("done",)
    waits = frozenset({"test_fee_due"})
    work = "assigned"
    rules = (
        # in state       step       goes to           who may  entered                                 message
        ("submitted",    "ask_fee", "test_fee_due",   BOTH,    "fee",                                  "fee"),
        ("test_fee_due", "fee_in",  "assigned",       BOTH,    "receipt",                              "assigned"),
        ("test_fee_due", "back",    "submitted",      BOTH,    "reason"),
        ("test_fee_due", "expire",  "expired",        BOTH,    "",                                     "expired", "waited"),
        ("assigned",     "to_lab",  "at_lab",         SECTION, "old_reading"),
        ("assigned",     "back",    "test_fee_due",   SECTION, "reason"),
        ("at_lab",       "sound",   "done",           SECTION, "error",                                "sound"),
        ("at_lab",       "faulty",  "inspected",      SECTION, "error"),
        ("at_lab",       "back",    "assigned",       SECTION, "reason"),
        ("inspected",    "replace", "replaced",       SECTION, "new_meter first_reading",              "replaced"),
        ("replaced",     "bill",    "bill_corrected", BOTH,    "corrected_bill",                       "bill_corrected"),
        ("replaced",     "back",    "inspected",      SECTION, "reason"),
        *common("assigned", first="submitted"),
    )  # fmt: skip


class Disconnection(Case):
    """4: a receipt does not end billing; only the closure proof does: reading, bill, removed meter and no-dues number."""

    service = "disconnection"
    path = ("submitted", "confirmed", "final_reading", "final_bill", "paid", "meter_removed", "closed")
    ends = ("suspended",)
    waits = frozenset({"final_bill"})
    work = "confirmed"
    rules = (
        # in state        step       goes to          who may  entered                                          message       only if
        ("submitted",     "confirm", "confirmed",     BOTH,    "identity",                                      "confirmed",  "after_objection"),
        ("confirmed",     "read",    "final_reading", SECTION, "final_reading"),
        ("confirmed",     "back",    "submitted",     SECTION, "reason"),
        ("final_reading", "bill",    "final_bill",    BOTH,    "bill_number final_bill",                        "final_bill"),
        ("final_reading", "back",    "confirmed",     SECTION, "reason"),
        ("final_bill",    "pay",     "paid",          BOTH,    "receipt"),
        ("final_bill",    "back",    "final_reading", SECTION, "reason"),
        ("paid",          "remove",  "meter_removed", SECTION, "removed_meter"),
        ("paid",          "suspend", "suspended",     SECOND,  "final_reading",                                 "suspended",  "is_temporary by_another"),
        ("paid",          "back",    "final_bill",    SECTION, "reason"),
        ("meter_removed", "close",   "closed",        SECOND,  "final_reading final_bill removed_meter no_dues", "closed",    "by_another"),
        ("meter_removed", "back",    "paid",          SECTION, "reason"),
        *common("confirmed", first="submitted"),
    )  # fmt: skip


class Transformer(Case):
    """5: one step tells every phone that reported it. Nobody waits here until a village has paid its dues."""

    service = "transformer"
    path = ("reported", "verified", "assigned", "truck_out", "installed", "charged", "restored")
    work = "verified"
    rules = (
        # in state     step       goes to      who may  entered        message
        ("reported",   "verify",  "verified",  SECTION, "finding"),
        ("reported",   "restore", "restored",  SECTION, "finding",     "restored"),
        ("verified",   "assign",  "assigned",  SECTION, "team",        "assigned"),
        ("verified",   "restore", "restored",  SECTION, "",            "restored"),
        ("verified",   "back",    "reported",  SECTION, "reason"),
        ("assigned",   "send",    "truck_out", SECTION, "transformer", "truck"),
        ("assigned",   "restore", "restored",  SECTION, "",            "restored"),
        ("assigned",   "back",    "verified",  SECTION, "reason"),
        ("truck_out",  "install", "installed", SECTION, "transformer"),
        ("truck_out",  "back",    "assigned",  SECTION, "reason"),
        ("installed",  "charge",  "charged",   SECTION, ""),
        ("installed",  "back",    "truck_out", SECTION, "reason"),
        ("charged",    "restore", "restored",  SECTION, "",            "restored"),
        ("charged",    "back",    "installed", SECTION, "reason"),
        *common("verified", first="reported"),
    )  # fmt: skip


class Reading(Case):
    """6: the reading on the bill is wrong."""

    service = "reading"
    path = ("submitted", "assigned", "inspected", "bill_corrected")
    ends = ("done",)
    work = "assigned"
    rules = (
        # in state     step       goes to           who may  entered          message
        ("submitted",  "assign",  "assigned",       SECTION, "team",          "assigned"),
        ("assigned",   "inspect", "inspected",      SECTION, "final_reading"),
        ("assigned",   "back",    "submitted",      SECTION, "reason"),
        ("inspected",  "bill",    "bill_corrected", BOTH,    "corrected_bill", "bill_corrected"),
        ("inspected",  "sound",   "done",           BOTH,    "finding",       "done"),
        ("inspected",  "back",    "assigned",       SECTION, "reason"),
        *common("assigned", first="submitted"),
    )  # fmt: skip


class CallBack(Case):
    """The centre calls back: a connection of a load that is not opened by phone."""

    service = "call_back"
    path = ("submitted", "in_progress", "done")
    work = "in_progress"
    rules = (
        # in state       step          goes to        who may  entered    message
        ("submitted",    "reached",    "done",        BOTH,    "outcome", "done"),
        ("submitted",    "no_answer",  "in_progress", BOTH,    "",        "called"),
        ("in_progress",  "reached",    "done",        BOTH,    "outcome", "done"),
        ("in_progress",  "back",       "submitted",   BOTH,    "reason"),
        *common("in_progress", first="submitted"),
    )  # fmt: skip


def stops(service: str, state: str) -> bool:
    """Whether the time limit's clock stands still in this state."""
    case = CASES[service]
    return state in case.waits or state in ("waiting_consumer", "held") or state in case.finished()


# --- taking a step ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """A row of the table, with `*` and `=` written out. `tells` is the key of the message, without `case_`."""

    state: str
    name: str
    to: str
    roles: frozenset[str]
    fields: tuple[str, ...]
    tells: str = ""
    only_if: tuple[str, ...] = ()


@dataclass(slots=True)
class Work:
    """One request in somebody's hands: what the conditions of the tables ask.

    `by` is who wants to take a step, `last` who took the one before, `objection` the time in which others may object,
    `patience` how long the person's answer is awaited.
    """

    request: Request
    by: str
    role: str
    last: str
    now: datetime
    objection: timedelta
    patience: timedelta
    consumer: Consumer | None = None
    state: str = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.request.state

    def by_another(self) -> bool:
        """A second person: not who took the step before."""
        return self.by != self.last

    def after_objection(self) -> bool:
        """The hours in which the objecting word cancels are over."""
        return self.now - self.request.filed >= self.objection

    def waited(self) -> bool:
        """The person's answer, papers or fee have been awaited long enough."""
        return self.now - self.request.since >= self.patience

    def owes_nothing(self) -> bool:
        """No dues on the account."""
        return self.consumer is None or self.consumer.dues == 0

    def is_temporary(self) -> bool:
        """For some time only was asked."""
        return self.request.details.get("term") == "temporary"

    def steps(self) -> list[tuple[Step, tuple[str, ...]]]:
        """What this role may do now, in the table's order, each with the conditions that do not hold yet."""
        rows = (step for step in steps_of(CASES[self.request.service]) if step.state == self.state and self.role in step.roles)
        return [(step, tuple(name for name in step.only_if if not getattr(self, name)())) for step in rows]

    def take(self, name: str) -> None:
        """Take one of those steps. Raises CaseError when it is none of them."""
        if (name, ()) not in [(step.name, hindered) for step, hindered in self.steps()]:
            raise CaseError(f"{self.request.service}: {name!r} is no step in {self.state!r}")
        CASES[self.request.service].machine.events[name].trigger(self)

    def fields(self, step: Step) -> tuple[str, ...]:
        """What must be entered for a step; a correction goes over everything that was entered before."""
        if step.name != "correct":
            return step.fields
        return (*step.fields, *(name for name in self.request.details if name in FIELDS and name not in step.fields))


def steps_of(case: type[Case]) -> Iterator[Step]:
    """A table's rows, one state each. Raises CaseError for a bad one."""
    states, finished = case.states(), case.finished()
    for row in case.rules:
        source, name, to, who, entered, tells, only_if = (*row, "", "", "")[:7]
        if source == "*":
            sources = [state for state in states if state not in finished and state != to]
        elif source == "finished":
            sources = [state for state in states if state in finished]
        else:
            sources = [source]
        for state in sources:
            if state not in states or (to != "=" and to not in states):
                raise CaseError(f"{case.service}: {row} names a state that is not in its path")
            for entry in entered.split():
                if entry not in FIELDS:
                    raise CaseError(f"{case.service}: {row} wants {entry!r} entered, which FIELDS does not know")
            for condition in only_if.split():
                if not callable(getattr(Work, condition, None)):
                    raise CaseError(f"{case.service}: {row} asks {condition!r}, which is no method of Work")
            yield Step(
                state,
                name,
                state if to == "=" else to,
                frozenset(who.split()),
                tuple(entered.split()),
                tells,
                tuple(only_if.split()),
            )


class CaseError(Exception):
    """A table that does not hold together; raised at import and names the row."""


def _machine(case: type[Case]) -> Machine:
    """The table's machine. Every state but the last is left by some step, and is reached by some other."""
    steps = list(steps_of(case))
    taken = [(step.state, step.name) for step in steps]
    if doubled := [pair for pair in taken if taken.count(pair) > 1]:
        raise CaseError(f"{case.service}: {doubled[0]} stands twice")
    for state in case.path[1:]:
        if not any(step.to == state != step.state for step in steps):
            raise CaseError(f"{case.service}: no step leads to {state!r}")
    rows = [{"trigger": s.name, "source": s.state, "dest": s.to, "conditions": list(s.only_if)} for s in steps]
    return Machine(model=None, states=list(case.states()), transitions=rows, initial=case.path[0], auto_transitions=False)


def values(request: Request, entered: Mapping[str, str], now: date) -> dict[str, object]:
    """What a message may name: the request's number and time limit, and what was entered, money as paise."""
    kept = {**request.details, **entered}
    named: dict[str, object] = {
        name: int(value) if FIELDS[name] is money and value.isdigit() else value for name, value in kept.items() if name in FIELDS
    }
    return {**named, "ticket": request.ticket, "account": kept.get("account", request.account), "due": request.due or now}


#: Every kind of request, in the order of the main menu.
ALL: tuple[type[Case], ...] = (NewConnection, NameTransfer, Meter, MeterTest, Disconnection, Transformer, Reading, CallBack)
CASES: dict[str, type[Case]] = {case.service: case for case in ALL}
for case in ALL:
    case.machine = _machine(case)
#: States in which a request is not worked on any more, of whatever service.
CLOSED: frozenset[str] = frozenset().union(*(case.finished() for case in ALL))
