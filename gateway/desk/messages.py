"""What leaves by SMS: what waits and how long, what stands in the way, the templates, delivery, parts and cost."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

from starlette.responses import RedirectResponse, Response

from gateway.campaigns import Office
from gateway.desk.ask import Ask
from gateway.desk.charts import bars
from gateway.desk.figures import delivered
from gateway.store.campaigns import CampaignKind
from gateway.store.figures import TAKEN, Figures
from gateway.store.queue import Queue
from messages.catalogue import LANGUAGES

#: How far back delivery is counted, and what has not arrived is listed: the newest of it, as many as one form takes.
BACK = timedelta(days=7)
MOST_ASIDE = 50
#: Tariff categories of Bihar (facts: utility.md section 4).
CATEGORIES = ("KJ", "DS-I", "DS-II", "DS-III", "NDS-I", "NDS-II", "IAS-I", "IAS-II", "LTIS-I", "LTIS-II", "PWW", "SS",
              "HTS-I", "HTS-II", "HTS-III", "HTS-IV")  # fmt: skip
KINDS: tuple[CampaignKind, ...] = get_args(CampaignKind)


def office(ask: Ask) -> Office:
    """Who does the work of campaigns."""
    gateway = ask.desk.gateway
    return Office(gateway.store, gateway.pen, gateway.settings)


def messages(ask: Ask) -> Response:
    """All of it on one page."""
    return shown(ask)


def shown(ask: Ask, status: int = 200, *, why: str = "") -> Response:
    """The page; with `why` a campaign cannot be, what was asked for stands in its form."""
    desk, now = ask.desk, ask.desk.clock()
    w, queue, registry = desk.words[ask.lang], Queue(desk.gateway.store), desk.gateway.pen.registry
    sent = Figures(desk.gateway.store).sent(now - BACK)
    settings = desk.gateway.settings
    groups = sorted({(one.carrier, one.register) for one in sent})
    delivery = []
    for carrier, register in groups:
        own = [one for one in sent if (one.carrier, one.register) == (carrier, register)]
        by_state = {state: sum(one.messages for one in own if one.state == state) for state in {one.state for one in own}}
        out = sum(by_state.get(state, 0) for state in TAKEN)
        parts = sum(one.parts for one in own if one.state in TAKEN)
        delivery.append((carrier, register, by_state, out, parts, parts * settings.part_paise))
    hour, day = queue.parts_spent(now)
    return desk.page(
        ask,
        "messages.html",
        status,
        ages=queue.ages(now),
        alarms=queue.alarms(),
        # whose phones they are, not who sits in one section need know
        aside=queue.aside(now - BACK, now, MOST_ASIDE) if ask.staff.sees_all else (),
        again=ask.query.get("again", "") if ask.query.get("again", "").isdecimal() else "",
        kept=ask.query.get("kept", "") if ask.query.get("kept", "").isdecimal() else "",
        delivery=delivery,
        chart=bars(delivered(ask, sent), w["delivery"]),
        parts=(hour, day),
        cost=day * settings.part_paise,
        part_paise=settings.part_paise,
        templates=[
            (key, [registry.templates[key, lang] for lang in LANGUAGES]) for key in sorted({key for key, _ in registry.templates})
        ],
        profile=registry.profile,
        campaigns=office(ask).all(),
        why=why,
        asked={field: ask.query.get(field, ask.typed(field)) for field in ("kind", "section", "category", "at_least")},
        kinds=KINDS,
        categories=CATEGORIES,
        sections=desk.cases.sections(),
    )


def again(ask: Ask) -> Response:
    """Put chosen messages into the queue once more: none that may have arrived and goes out once, and none that operators
    would refuse. The rules of sending hold for them as for any other."""
    desk, now = ask.desk, ask.desk.clock()
    queue, registry = Queue(desk.gateway.store), desk.gateway.pen.registry
    ids = [int(id_) for id_ in ask.form.get("message", ()) if id_.isascii() and id_.isdigit() and len(id_) < 16]
    if not ids or not ask.staff.sees_all:
        return RedirectResponse("/desk/messages#h-aside", 303)
    gone = 0
    with desk.gateway.store.write([message.phone for message in queue.aside_of(ids, now)]):
        for message in queue.aside_of(ids, now):
            if message.hindrance:
                continue
            if refused := registry.check(message.text, *message.template.split("/")):
                queue.remark(message.id, refused)
            elif queue.send_again(message.id, now):
                desk.audit.within(ask.staff, "send again", f"message {message.id}", message.template)
                gone += 1
    desk.wake()
    return RedirectResponse(f"/desk/messages?again={gone}&kept={len(ids) - gone}#h-aside", 303)


def mended(ask: Ask) -> Response:
    """An alarm has been seen to; what it stopped goes on."""
    desk, kind, name = ask.desk, ask.typed("kind"), ask.typed("name")
    queue = Queue(desk.gateway.store)
    known = next((alarm for alarm in queue.alarms() if (alarm.kind, alarm.name) == (kind, name)), None)
    if known:
        with desk.gateway.store.write():
            queue.end_alarm(known.kind, known.name, desk.clock())
            desk.audit.within(ask.staff, "end alarm", f"{kind} {name}")
        desk.wake()
    return RedirectResponse("/desk/messages", 303)
