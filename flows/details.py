"""What a phone cannot type on USSD comes by SMS afterwards: NAAM and PATA with the name and the address for a request."""

from __future__ import annotations

from flows.flow import Flow
from flows.records import Args, Note, Request
from flows.screens import decide, end


class Details(Flow):
    """Added to the newest request of this phone that takes such details."""

    name = "details"
    intents = {"ADDRESS": "address"}
    aside = True
    screens = {"start": decide(), "name": decide(), "address": decide(), "noted": end(), "empty": end(), "nothing": end()}
    rules = (
        # on screen  answer   go to      only if       and then
        ("start",    "enter", "nothing"),
        ("name",     "enter", "noted",   "has_words",  "note_name"),
        ("name",     "enter", "empty"),
        ("address",  "enter", "nothing", "has_no_request"),
        ("address",  "enter", "noted",   "has_words",  "note_address"),
        ("address",  "enter", "empty"),
    )  # fmt: skip

    @property
    def request(self) -> Request | None:
        """The newest request of this phone that takes a name and an address."""
        return max(filter(self.wants_details, self.facts.requests), key=lambda r: r.filed, default=None)

    def has_no_request(self) -> bool:
        """Whether there is none."""
        return self.request is None

    def has_words(self) -> bool:
        """Whether anything follows the keyword."""
        return bool(self.said.words)

    def note_name(self) -> None:
        """Keep the name."""
        self._note("name")

    def note_address(self) -> None:
        """Keep the address."""
        self._note("address")

    def _note(self, field: str) -> None:
        request = self.request
        assert request is not None
        self.effects.append(Note(request.ticket, field, self.said.words))

    def noted_args(self) -> Args:
        """Which request it was added to."""
        return self.request_args(self.request)
