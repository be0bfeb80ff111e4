"""Flow: a table of rules run by `transitions`, checked when it is imported.

A flow names its screens and its rules. A rule is a row of a table that a clerk can check:

    (on screen, answer, go to, only if, and then)

The answer is the trigger: the name of an option (or several, parted by spaces), or `given` for a typed answer, or `enter`
at a `decide()` screen. The first row that fits is taken. "only if" names one method returning bool; "and then" names
methods that add effects.

One `transitions` machine serves each flow class and is never told about a phone: a hop makes a light object, the walk, and
triggers events on it (about 20 microseconds; a model per phone would cost 200 and leak).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any, ClassVar

from transitions import EventData, Machine, Transition

from flows.casework import CLOSED
from flows.records import (
    Area,
    Args,
    Consumer,
    Conversation,
    Effect,
    Facts,
    File,
    Option,
    Place,
    Request,
    Said,
    Tell,
    Text,
)
from flows.screens import Screen

Rule = tuple[str, ...]


class FlowError(Exception):
    """A flow's table does not hold together; raised at import and names the row."""


class Flow:
    """One walk through one flow during one step; subclasses hold the table.

    `said` is what the current trigger was made of. A screen `x` may have these methods: `x_args` (values for its text),
    `x_items` (the options that depend on facts).
    """

    name: ClassVar[str] = ""
    #: Keyword intent -> the screen where that word enters.
    intents: ClassVar[Mapping[str, str]] = {}
    #: Whether it is a service that files something: what is left unfinished in it is worth going on with.
    files: ClassVar[bool] = False
    #: Whether it only interrupts: the question open before it stays open.
    aside: ClassVar[bool] = False
    screens: ClassVar[Mapping[str, Screen]] = {}
    rules: ClassVar[Sequence[Rule]] = ()
    machine: ClassVar[Machine]

    def __init_subclass__(cls) -> None:
        if cls.screens:
            cls.machine = _machine(cls)

    def __init__(self, conversation: Conversation, place: Place, facts: Facts, said: Said) -> None:
        self.conversation = conversation
        self.state = place.screen
        self.answers = dict(place.answers)
        self.trail = place.trail
        self.facts = facts
        self.said = said
        self.lang = conversation.lang
        self.effects: list[Effect] = []
        self.filed: File

    def take(self, answer: str) -> None:
        """Move by the first rule of the current screen that fits this answer."""
        if not self.machine.events[answer].trigger(self):
            raise FlowError(f"{self.name}: no rule fits {answer!r} on screen {self.state!r}")

    def args(self) -> Args:
        """The values for the current screen's text."""
        method = getattr(self, f"{self.state}_args", None)
        return method() if method else {}

    def marks(self) -> tuple[str, ...]:
        """Lines of the catalogue that stand above the current screen."""
        return ()

    def options(self) -> tuple[Option, ...]:
        """What can be chosen on the current screen, in order."""
        screen = self.screens[self.state]
        items: tuple[Option, ...] = getattr(self, f"{self.state}_items")() if screen.items else ()
        return items + _options(screen.options)

    def arrived(self) -> None:
        """What a flow keeps when it stops at a screen."""

    def is_private(self) -> bool:
        """Whether what stands here of a connection is for its own people: a phone that was only noted is asked first."""
        return False

    def is_barred(self) -> bool:
        """Whether what stands here may not be seen by this phone any more."""
        return False

    # --- what several flows ask of the facts -------------------------------------------------------------------------

    @property
    def consumer(self) -> Consumer | None:
        """The connection this walk is about: the one answered, else the only one linked to the phone."""
        account = self.answers.get("account", "")
        if account:
            return self.facts.known.get(account)
        return self.facts.linked[0] if len(self.facts.linked) == 1 else None

    @property
    def the_consumer(self) -> Consumer:
        """The connection, on screens that can only be reached with one."""
        consumer = self.consumer
        if consumer is None:
            raise FlowError(f"{self.name}: screen {self.state!r} needs an account")
        return consumer

    def is_linked(self) -> bool:
        """Whether the connection is linked to this phone."""
        return self.consumer is not None and self.facts.is_linked(self.consumer.account)

    def open_request(self, *services: str) -> Request | None:
        """The open request of such a service on this walk's account."""
        account = self.the_consumer.account
        return next((r for r in self.facts.requests if r.service in services and r.account == account and is_open(r)), None)

    def file_request(
        self,
        service: str,
        consumer: Consumer | None,
        *,
        area: Area | None = None,
        asset: str = "",
        pin: str = "",
        priority: bool = False,
        told: str = "",
    ) -> None:
        """Open a request with the time limit of its service and area; on USSD its number also goes out by SMS, in the text
        `filed_<service>` or `filed_<told>`."""
        policy, ticket = self.facts.policy, self.facts.ticket
        limit = policy.limit(service, area or (consumer.area if consumer else "rural"), self.facts.now.date())
        due = self.facts.now + limit if limit else None
        self.filed = File(
            service=service,
            ticket=ticket,
            account=consumer.account if consumer else "",
            asset=asset,
            pin=pin or (consumer.pin if consumer else ""),
            details={field: value for field, value in self.answers.items() if field not in ("account", "confirm")},
            due=due,
            priority=priority or (consumer is not None and consumer.load >= policy.priority_load),
            unverified=consumer is not None and not self.is_linked(),
        )
        self.effects.append(self.filed)
        if self.facts.channel == "ussd":
            self.effects.append(Tell(Text("sms", f"filed_{told or service}", self.done_args()), phone=self.conversation.phone))

    def done_args(self) -> Args:
        """The filed request's number and time limit."""
        limit = self.filed.due - self.facts.now if self.filed.due else timedelta()
        return {"ticket": self.filed.ticket, "limit": limit, "account": self.filed.account}

    def request_args(self, request: Request | None) -> Args:
        """What is told of an open request: number, service, state, since when, time limit, time left and reports."""
        if request is None:
            raise FlowError(f"{self.name}: screen {self.state!r} needs a request")
        left = max(request.due - self.facts.now, timedelta()) if request.due else timedelta()
        return {"ticket": request.ticket, "service": request.service, "state": request.state, "since": request.since,
                "awaits": f"awaits_{request.state}", "due": request.due, "left": left, "reports": request.reports}  # fmt: skip

    def is_ours(self, request: Request) -> bool:
        """Whether it is this phone's, or one that it has joined, or of one of its accounts, if that is not only noted."""
        return (request.phone == self.conversation.phone or request.ticket in self.facts.reported
                or any(request.account == consumer.account and consumer.account not in self.facts.noted
                       for consumer in self.facts.linked))  # fmt: skip

    def wants_details(self, request: Request) -> bool:
        """Whether it is this phone's own open request for which a name and an address may be sent."""
        return (request.phone == self.conversation.phone and is_open(request)
                and request.service in ("new_connection", "name_transfer", "call_back"))  # fmt: skip


@lru_cache(maxsize=1024)
def _options(names: tuple[str, ...]) -> tuple[Option, ...]:
    """Named options, of which there are a few hundred in all."""
    return tuple(map(Option, names))


def is_open(request: Request) -> bool:
    """Whether a request is still worked on."""
    return request.state not in CLOSED


def rows_of(flow: type[Flow]) -> Iterator[tuple[str, str, str, str, tuple[str, ...]]]:
    """A flow's rules one answer a row: screen, answer, destination, condition, callbacks. Raises FlowError for a bad row."""
    for rule in flow.rules:
        source, answers, to, only_if, then = (*rule, "", "")[:5]
        for screen in (source, to):
            if screen not in flow.screens:
                raise FlowError(f"{flow.name}: {rule} names the screen {screen!r}, which is not in screens")
        for method in filter(None, [only_if, *then.split()]):
            if not callable(getattr(flow, method, None)):
                raise FlowError(f"{flow.name}: {rule} names {method!r}, which is not a method of {flow.__name__}")
        for answer in answers.split():
            if answer not in flow.screens[source].triggers:
                raise FlowError(f"{flow.name}: {rule}: screen {source!r} has no answer {answer!r}")
            yield source, answer, to, only_if, tuple(then.split())


class _Rule(Transition):
    """A row of a table as `transitions` keeps it. A table has what stands in it and no more, so nothing more is looked for: the
    engine's calls before, between and after would be a third of what it does for a rule."""

    def execute(self, event_data: EventData) -> bool:
        """Go to the next screen, unless the row is for other cases."""
        for condition in self.conditions:
            if not condition.check(event_data):
                return False
        for method in self.before:
            event_data.machine.callback(method, event_data)
        walk: Any = event_data.model
        walk.state = self.dest
        return True


class _Machine(Machine):
    """The engine with such rules."""

    transition_cls = _Rule


def _machine(flow: type[Flow]) -> Machine:
    """The flow's machine, once every name in its table is known to exist (transitions itself checks too few of them)."""
    for name, screen in flow.screens.items():
        if screen.items and not callable(getattr(flow, f"{name}_items", None)):
            raise FlowError(f"{flow.name}: screen {name!r} lists items, but there is no method {name}_items")
    rows = [
        {"trigger": answer, "source": source, "dest": to, "conditions": only_if or None, "before": list(then)}
        for source, answer, to, only_if, then in rows_of(flow)
    ]
    return _Machine(model=None, states=list(flow.screens), transitions=rows, initial="start", auto_transitions=False)
