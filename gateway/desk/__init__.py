"""The desk: the staff's pages, where requests are worked off, and the centre for people without a phone.

Which pages there are, and who may open them, stands in routes.py; what a step of casework does, in gateway/casework.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from flows.records import INDIA, Name
from gateway.audit import Audit
from gateway.carriers.centre import Centre
from gateway.casework import Casework
from gateway.desk.ask import Ask
from gateway.hop import Hop
from gateway.records import masked
from gateway.store.cases import Cases
from messages.catalogue import Catalogue, rupees

if TYPE_CHECKING:
    from gateway.app import Gateway

LANGS = ("hi", "en")
STATIC = Path(__file__).with_name("static")


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages need: the product's parts, the desk's own words, and the counter's way into the hop."""

    gateway: Gateway
    cases: Cases
    casework: Casework
    audit: Audit
    counter: Hop
    words: Mapping[str, Mapping[str, str]]
    pages: Environment
    clock: Callable[[], datetime]
    wake: Callable[[], None]

    @property
    def is_secure(self) -> bool:
        """Whether browsers come over HTTPS: always, but for a demo on loopback."""
        return not self.gateway.settings.demo

    def cookie(self, what: str) -> str:
        """The name of a cookie; the prefix makes browsers hold it to HTTPS, this host and the whole of it."""
        return f"__Host-desk-{what}" if self.is_secure else f"desk-{what}"

    def catalogue(self, lang: str) -> Catalogue:
        """The catalogue that names states and services as people read them on their phones."""
        return self.gateway.voice.catalogues[lang]

    def midnight(self) -> datetime:
        """The end of this day in Bihar."""
        today = self.clock().astimezone(INDIA)
        return today.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)

    def page(self, ask: Ask, template: str, status: int = 200, **values: Any) -> Response:
        """A page in the person's language."""
        return HTMLResponse(
            self.render(ask.lang, template, ask=ask, staff=ask.staff, csrf=ask.csrf, url=ask.url, **values), status
        )

    def render(self, lang: str, template: str, **values: Any) -> str:
        """A template with the words of a language; `w` is the desk's own, `word` the catalogue's: what phones show,
        but for a state that speaks to the person."""
        catalogue, now, w = self.catalogue(lang), self.clock(), self.words[lang]

        def when(moment: datetime | None) -> str:
            return moment.astimezone(INDIA).strftime("%d-%m-%y %H:%M") if moment else ""

        def name(name: Name) -> str:
            return (name.deva or name.latin) if lang == "hi" else (name.latin or name.deva)

        return self.pages.get_template(template).render(
            w=w, lang=lang, other="en" if lang == "hi" else "hi", when=when, name=name,
            word=lambda key: w[f"state_{key}"] if f"state_{key}" in w else catalogue.word(key),
            now=now, company=self.gateway.settings.company, rupees=rupees, masked=masked,
            left=lambda due: left(due - now, w) if due else "", **values,
        )  # fmt: skip


def left(span: timedelta, words: Mapping[str, str]) -> str:
    """A span as the desk says it: 3 days, 5 hours; late ones with the word for it."""
    hours = int(abs(span).total_seconds() // 3600)
    said = words["days"].format(n=hours // 24) if hours >= 48 else words["hours"].format(n=hours)
    return words["late_by"].format(span=said) if span < timedelta() else words["left"].format(span=said)


def desk_words() -> dict[str, dict[str, str]]:
    """The desk's own words by language: words.toml turned over."""
    table = tomllib.loads(resources.files("gateway.desk").joinpath("words.toml").read_text(encoding="utf-8"))
    return {lang: {key: both[lang] for key, both in table.items()} for lang in LANGS}


def make_desk(gateway: Gateway, wake: Callable[[], None]) -> Desk:
    """The desk over a gateway; `wake` tells the senders that something was put into the outbox."""
    hop, settings = gateway.hop, gateway.settings
    cases, audit = Cases(gateway.store), Audit(gateway.store, hop.clock)
    return Desk(
        gateway=gateway,
        cases=cases,
        casework=Casework(gateway.store, cases, hop.pen, hop.policy, audit, timedelta(days=settings.reopen_days), hop.clock),
        audit=audit,
        counter=replace(hop, carriers={**hop.carriers, Centre.name: Centre()}),
        words=desk_words(),
        pages=Environment(loader=PackageLoader("gateway.desk"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                          lstrip_blocks=True),
        clock=hop.clock,
        wake=wake,
    )  # fmt: skip
