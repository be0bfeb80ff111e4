"""The centre: a person at the counter goes through the very same flows, with the clerk's hands, with a phone or without."""

from __future__ import annotations

import re
from secrets import token_hex

from starlette.responses import RedirectResponse, Response

from flows.casework import CASES
from flows.records import Conversation
from gateway.carriers.centre import Centre
from gateway.casework import Refused
from gateway.desk.ask import Ask
from gateway.hop import Unavailable
from gateway.records import Inbound, masked

#: A phone as people say it, and as it is kept.
PHONE = re.compile(r"(?:\+?91|0)?([5-9]\d{9})")
#: An option on a screen: its number and its words.
OPTION = re.compile(r"^(\d{1,3}) (.+)$")
#: What the counter can begin with: the options of the home screen.
BEGINNINGS = ("1", "2", "3", "4", "5", "6", "7")


def start(ask: Ask) -> Response:
    """Who is here, and what for."""
    return ask.desk.page(ask, "centre.html", beginnings=BEGINNINGS, wrong="", typed="")


def begin(ask: Ask) -> Response:
    """Begin a conversation in the person's name: on their phone's row, or on one of its own without a phone."""
    desk, digits = ask.desk, re.sub(r"[\s-]", "", ask.typed("phone"))
    found = PHONE.fullmatch(digits)
    if digits and not found:
        return desk.page(ask, "centre.html", 422, beginnings=BEGINNINGS, wrong="wrong_phone", typed=ask.typed("phone"))
    talk = token_hex(8)
    phone = f"+91{found[1]}" if found else f"counter-{talk}"
    choice = ask.typed("begin")
    with desk.gateway.store.write([phone]):
        known = desk.gateway.store.recall(phone, desk.clock().date()).conversation
        if not known.lang:  # the clerk reads the screens: the welcome in three scripts is not for them
            desk.gateway.store.keep_conversations([Conversation(phone, lang=ask.lang)], desk.clock())
        desk.cases.begin_talk(talk, phone, ask.staff.name, desk.clock())
        desk.audit.within(ask.staff, "counter", masked(phone) if found else phone)
    return _hop(ask, phone, talk, 0, (choice,) if choice in BEGINNINGS else ())


def _hop(ask: Ask, phone: str, talk: str, number: int, dialled: tuple[str, ...] = (), text: str = "") -> Response:
    """One hop by the same way as any phone's; its number in the talk makes a second click harmless."""
    desk = ask.desk
    id_, session = f"centre-{talk}/{number}", f"centre-{talk}"
    inbound = Inbound(id_, Centre.name, phone, "ussd", text, desk.clock(), session, cumulative=False, dialled=dialled)
    try:
        if desk.cases.heard(phone, id_) is None:  # a second click finds the first one's answer
            desk.counter.serve([inbound])
    except Unavailable:
        return desk.page(ask, "sorry.html", 503, why="unavailable")
    desk.wake()
    return RedirectResponse(f"/desk/centre/{talk}/{number}", 303)


def screen(ask: Ask) -> Response:
    """The screen as it stands, its options as buttons, and what has been filed."""
    desk, talk, number = ask.desk, ask.path["talk"], ask.path["number"]
    phone = desk.cases.phone_at(talk)
    said = desk.cases.heard(phone, f"centre-{talk}/{number}")
    if said is None:
        return desk.page(ask, "sorry.html", 404, why="gone")
    lines = said.page.split("\n")
    options = [(found[1], found[2]) for line in lines if (found := OPTION.match(line))]
    return desk.page(
        ask,
        "counter.html",
        talk=talk,
        number=int(number) + 1,
        phone=phone,
        text="\n".join(line for line in lines if not OPTION.match(line)),
        options=options,
        said=said,
        filed=desk.cases.filed_by([f"centre-{talk}/{hop}" for hop in range(int(number) + 1)]),
    )


def answer(ask: Ask) -> Response:
    """What the person says, typed by the clerk."""
    number, talk = ask.typed("number"), ask.path["talk"]
    phone = ask.desk.cases.phone_at(talk)
    if not phone or not re.fullmatch(r"[1-9]\d{0,3}", number):
        return ask.desk.page(ask, "sorry.html", 404, why="gone")
    return _hop(ask, phone, talk, int(number), text=ask.typed("answer")[:160])


def token(ask: Ask) -> Response:
    """A slip for the person, to be printed: the number, what to bring, the time limit."""
    desk = ask.desk
    try:
        row, request = desk.casework.find(ask.staff, ask.path["ticket"])
    except Refused as refused:
        return desk.page(ask, "sorry.html", 404, why=refused.why)
    desk.audit(ask.staff, "print token", row.ticket)
    papers = CASES[row.service].papers
    return desk.page(
        ask,
        "token.html",
        row=row,
        papers=papers.get(request.details.get("reason", ""), papers.get("", ())),
        house=desk.gateway.settings,
    )
