"""What became of my request: a list of the open ones, or any by its number."""

from __future__ import annotations

from flows.casework import stops
from flows.flow import Flow, is_open
from flows.records import Args, Option, Request
from flows.screens import ask, decide, menu, tell, ticket


class Track(Flow):
    """State in words, since when, the time limit, and what is awaited."""

    name = "track"
    intents = {"STATUS": "start"}
    screens = {
        "start": decide(),
        "list": menu("by_number", items="ticket", field="ticket"),
        "number": ask(ticket, field="ticket"),
        "which": decide(),
        "show": tell(),
        "show_waits": tell(),
        "show_late": tell(),
        "show_closed": tell(),
    }
    rules = (
        # on screen  answer       go to          only if
        ("start",    "enter",     "which",       "is_named"),
        ("start",    "enter",     "list",        "has_open"),
        ("start",    "enter",     "number"),
        ("list",     "ticket",    "which"),
        ("list",     "by_number", "number"),
        ("number",   "given",     "which"),
        ("which",    "enter",     "show_closed", "is_closed"),
        ("which",    "enter",     "show_waits",  "is_waiting"),
        ("which",    "enter",     "show_late",   "is_late"),
        ("which",    "enter",     "show"),
    )  # fmt: skip

    def is_named(self) -> bool:
        """Whether the message named a request that may be told of; it is taken as answered."""
        if self.said.ticket and ticket(self.said, self) == self.said.ticket:
            self.answers["ticket"] = self.said.ticket
            return True
        return False

    @property
    def own(self) -> tuple[Request, ...]:
        """The open requests of this phone and of its accounts, and those it has joined, newest first."""
        own = filter(self.is_ours, self.facts.requests)
        return tuple(sorted(filter(is_open, own), key=lambda r: r.filed, reverse=True))[:6]

    def has_open(self) -> bool:
        """Whether there is any."""
        return bool(self.own)

    def list_items(self) -> tuple[Option, ...]:
        """The open ones by number and service."""
        return tuple(Option("ticket", r.ticket, {"ticket": r.ticket, "service": r.service}) for r in self.own)

    @property
    def request(self) -> Request | None:
        """The one asked about."""
        return next((r for r in self.facts.requests if r.ticket == self.answers.get("ticket")), None)

    def is_closed(self) -> bool:
        """Whether it is finished."""
        return self.request is not None and not is_open(self.request)

    def is_waiting(self) -> bool:
        """Whether it is this person's turn, or the application is not complete: the time limit stands still."""
        return self.request is not None and stops(self.request.service, self.request.state)

    def is_late(self) -> bool:
        """Whether its time limit has passed."""
        request = self.request
        return request is not None and request.due is not None and request.due < self.facts.now

    def show_args(self) -> Args:
        """All that is told of it."""
        return self.request_args(self.request)

    show_waits_args = show_late_args = show_closed_args = show_args
