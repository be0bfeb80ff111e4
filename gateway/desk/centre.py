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
from gateway.fields import Wrong
from gateway.fields import phone as read_phone
from gateway.hop import Unavailable
from gateway.records import Inbound, masked
from messages.understand import mask_aadhaar

#: An option on a screen: its number and its words.
OPTION = re.compile(r"^(\d{1,3}) (.+)$")
#: What the counter can begin with: the options of the home screen.
BEGINNINGS = ("1", "2", "3", "4", "5", "6", "7")


def start(ask: Ask) -> Response:
    """Who is here, and what for."""
    return _start(ask)


def _start(ask: Ask, status: int = 200, wrong: str = "", typed: str = "") -> Response:
    return ask.desk.page(ask, "centre.html", status, beginnings=BEGINNINGS, wrong=wrong, typed=typed)


def begin(ask: Ask) -> Response:
    """Begin a conversation in the person's name: on their phone's row, or on one of its own without a phone."""
    desk, talk, typed, choice = ask.desk, token_hex(8), ask.typed("phone"), ask.typed("begin")
    try:
        phone = read_phone(typed) if typed else f"counter-{talk}"
    except Wrong:
        return _start(ask, 422, "wrong_phone", typed)
    if choice not in BEGINNINGS:  # Enter in the phone's field: nothing begins that nobody chose
        return _start(ask, 422, "wrong_begin", typed)
    with desk.gateway.store.write([phone]):
        known = desk.gateway.store.recall(phone, desk.clock().date()).conversation
        if not known.lang:  # the clerk reads the screens: the welcome in three scripts is not for them
            desk.gateway.store.keep_conversations([Conversation(phone, lang=ask.lang)], desk.clock())
        desk.cases.begin_talk(talk, phone, ask.staff.name, desk.clock())
        desk.audit.within(ask.staff, "counter", masked(phone) if typed else phone)
    return _hop(ask, phone, talk, 0, (choice,))


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
    first = desk.cases.heard(phone, id_)
    if first is None or first.text == mask_aadhaar(text)[0]:
        return RedirectResponse(f"/desk/centre/{talk}/{number}", 303)
    latest = number  # another answer, from a page gone back to: it is not swallowed, and the talk goes on where it stands
    while desk.cases.heard(phone, f"centre-{talk}/{latest + 1}"):
        latest += 1
    return RedirectResponse(f"/desk/centre/{talk}/{latest}?answered={number}", 303)


def screen(ask: Ask) -> Response:
    """The screen as it stands, its options as buttons, and what has been filed."""
    desk, talk, number = ask.desk, ask.path["talk"], ask.path["number"]
    phone = desk.cases.phone_at(talk)
    said = desk.cases.heard(phone, f"centre-{talk}/{number}")
    if said is None:
        return desk.page(ask, "sorry.html", 404, why="gone")
    answered = desk.cases.heard(phone, f"centre-{talk}/{ask.query.get('answered', '')}")
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
        answered=answered.text if answered else "",
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
    """A slip for the person, to be printed: the number, what to bring, the time limit. Of a talk's own requests its clerk
    prints it in any case: what a person files may belong to a section that the clerk does not see."""
    desk, ticket = ask.desk, ask.path["ticket"]
    row, request = desk.cases.row(ticket), desk.cases.request(ticket)
    if row is None or request is None or not desk.cases.is_filed_at(ask.path.get("talk", ""), ticket, ask.staff.name):
        try:
            row, request = desk.casework.find(ask.staff, ticket)
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
