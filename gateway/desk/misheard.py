"""What was not understood: each message with its answer, and the spelling it needs added where it is one."""

from __future__ import annotations

import unicodedata
from datetime import timedelta

from starlette.responses import RedirectResponse, Response

from gateway.desk.ask import Ask

#: How far back the list goes, and how many it shows.
BACK = timedelta(days=30)
MOST = 100
#: The longest spelling.
LONGEST = 60


def misheard(ask: Ask) -> Response:
    """The list, newest first, and the spellings that staff have added."""
    return _page(ask)


def _page(ask: Ask, status: int = 200, trouble: str = "") -> Response:
    desk = ask.desk
    return desk.page(
        ask,
        "misheard.html",
        status,
        # whose messages they are, not who sits in one section need know
        heard=desk.cases.misheard(desk.clock() - BACK, MOST) if ask.staff.sees_all else (),
        aliases=desk.cases.aliases(),
        intents=_meanings(ask),
        trouble=trouble,
    )


def _meanings(ask: Ask) -> list[tuple[str, str]]:
    """What a spelling can stand for, with its words where there are some."""
    catalogue = ask.desk.catalogue(ask.lang)
    named = catalogue.shared["word"]
    return [
        (intent, catalogue.word(f"keyword_{intent}") if f"keyword_{intent}" in named else "")
        for intent in sorted(ask.desk.counter.ear.intents)
    ]


def add(ask: Ask) -> Response:
    """Add a spelling; it counts from the next message on."""
    desk, intent = ask.desk, ask.typed("intent")
    spelling = " ".join(unicodedata.normalize("NFC", ask.typed("spelling")).casefold().split())
    if not spelling or len(spelling) > LONGEST or intent not in desk.counter.ear.intents:
        return _page(ask, 422, desk.words[ask.lang]["wrong_spelling"])
    try:
        desk.counter.ear.trial({spelling: intent})
    except ValueError as error:
        return _page(ask, 422, f"{desk.words[ask.lang]['spelling_taken']} ({error})")
    with desk.gateway.store.write():
        desk.cases.add_alias(spelling, intent, ask.staff.name, desk.clock())
        if ask.staff.sees_all and (heard := ask.typed("inbound")):
            desk.cases.understood(heard, intent, ask.staff.name, desk.clock())
        desk.audit.within(ask.staff, "add spelling", f"{spelling} = {intent}")
    desk.counter.ear.refresh(now=True)
    return RedirectResponse("/desk/misheard", 303)


def leave(ask: Ask) -> Response:
    """Take a message from the list: nothing is to be learned from it."""
    desk = ask.desk
    if not ask.staff.sees_all:
        return _page(ask, 403)
    with desk.gateway.store.write():
        desk.cases.understood(ask.typed("inbound"), "left", ask.staff.name, desk.clock())
        desk.audit.within(ask.staff, "leave message", ask.typed("inbound"))
    return RedirectResponse("/desk/misheard", 303)


def remove(ask: Ask) -> Response:
    """Take a spelling back."""
    desk = ask.desk
    with desk.gateway.store.write():
        desk.cases.remove_alias(ask.typed("spelling"))
        desk.audit.within(ask.staff, "remove spelling", ask.typed("spelling"))
    desk.counter.ear.refresh(now=True)
    return RedirectResponse("/desk/misheard", 303)
