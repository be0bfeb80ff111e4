"""What leaves by SMS: what waits and how long, what stands in the way, the templates, delivery, parts and cost."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import RedirectResponse, Response

from gateway.desk.ask import Ask
from gateway.desk.campaigns import CATEGORIES, KINDS, office
from gateway.desk.charts import bars
from gateway.desk.figures import delivered
from gateway.store.figures import TAKEN, Figures
from gateway.store.queue import Queue

#: How far back delivery is counted.
BACK = timedelta(days=7)
LANGS = ("hi", "hi-Latn", "en")


def messages(ask: Ask) -> Response:
    """All of it on one page."""
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
        ages=queue.ages(now),
        alarms=queue.alarms(),
        delivery=delivery,
        chart=bars(delivered(ask, sent), w["delivery"]),
        parts=(hour, day),
        cost=day * settings.part_paise,
        part_paise=settings.part_paise,
        templates=[
            (key, [registry.templates[key, lang] for lang in LANGS]) for key in sorted({key for key, _ in registry.templates})
        ],
        profile=registry.profile,
        campaigns=office(ask).all(),
        kinds=KINDS,
        categories=CATEGORIES,
        sections=desk.cases.sections(),
    )


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
