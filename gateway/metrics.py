"""What is counted and timed, for Prometheus. No label ever holds a phone, a name or anything else that a person said.

Counting is cheap enough for the hop: a dictionary look-up and an addition. What the store knows better (queues, alarms, the
parts of a day) is read from it when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows import FLOWS
from gateway.records import Answer, Inbound, Later, OutboundMessage, Outcome, Report, Sent, SessionEnd, Unsure
from gateway.store import Store
from gateway.store.queue import Queue

HOPS = Counter("gateway_hops", "Hops answered", ["flow", "screen", "channel", "register"])
DUPLICATES = Counter("gateway_duplicates", "Hops that had been answered before", ["channel"])
FAILED = Counter("gateway_hops_failed", "Hops put aside because of a fault of our own")
SILENCED = Counter("gateway_silenced", "SMS that no person can have written, and that were not answered", ["why"])
HOP_SECONDS = Histogram(
    "gateway_hop_seconds", "From a webhook's arrival to its answer, commit included", ["door"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)  # fmt: skip
DROPPED = Counter("gateway_sessions_dropped", "USSD sessions that ended on a question", ["flow", "screen"])
REFUSED = Counter("gateway_webhook_refused", "Webhook requests that were not taken", ["carrier", "door", "why"])
TRIES = Counter("gateway_sms_tries", "Tries to send an SMS", ["carrier", "lane", "outcome"])
SEND_SECONDS = Histogram(
    "gateway_sms_seconds",
    "How long the carrier takes over one SMS",
    ["carrier"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
PARTS = Counter("gateway_sms_parts", "SMS parts sent, as we count them", ["carrier", "lane", "register"])
COST = Counter("gateway_sms_cost", "What the carrier says they cost", ["carrier", "currency"])
REPORTS = Counter("gateway_sms_reports", "Delivery reports", ["carrier", "state"])
KEPT_BACK = Counter("gateway_sms_kept_back", "SMS that a rule of sending kept from leaving", ["carrier", "rule"])

_hops: dict[tuple[str, str, str], Counter] = {}


def served(group: Sequence[Inbound], answers: Sequence[Answer | Exception]) -> None:
    """A group of hops was answered."""
    counts: dict[tuple[str, str, str], int] = {}
    for inbound, answer in zip(group, answers, strict=True):
        if not isinstance(answer, Exception):
            key = (answer.screen, inbound.channel, answer.lang)
            counts[key] = counts.get(key, 0) + 1
    for (screen, channel, lang), count in counts.items():
        counter = _hops.get((screen, channel, lang))
        if counter is None:
            counter = _hops[screen, channel, lang] = HOPS.labels(*_screen(screen), channel, lang or "none")
        counter.inc(count)


def ended(event: SessionEnd) -> None:
    """A session is over; that it broke off in the middle is worth knowing by screen."""
    if event.status != "Success" and event.screen:
        DROPPED.labels(*_screen(event.screen)).inc()


def tried(message: OutboundMessage, outcome: Outcome) -> None:
    """There was a try to send."""
    TRIES.labels(message.carrier, message.lane, type(outcome).__name__.lower()).inc()
    if isinstance(outcome, Sent | Unsure):
        PARTS.labels(message.carrier, message.lane, message.template.rpartition("/")[2]).inc(message.parts)
    if isinstance(outcome, Sent):
        currency, _, amount = outcome.cost.partition(" ")
        if currency.isalpha() and len(currency) == 3 and amount.replace(".", "", 1).isdigit():
            COST.labels(message.carrier, currency).inc(float(amount))
    if isinstance(outcome, Later) and outcome.pause:
        KEPT_BACK.labels(message.carrier, "carrier pauses").inc()


def reported(event: Report) -> None:
    """A delivery report came."""
    REPORTS.labels(event.carrier, event.state).inc()


def _screen(name: str) -> tuple[str, str]:
    """Flow and screen; a carrier tells us back what we told it, so only names that exist become labels."""
    flow, _, screen = name.partition(".")
    known = flow in FLOWS and (screen in FLOWS[flow].screens or screen == "sorry")
    return (flow, screen) if known else ("other", "other")


class Kept(Collector):
    """What the store knows: queues and their ages, alarms, parts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterable[Metric]:
        """Nothing is read to be registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read it."""
        queue, now = Queue(self._store), datetime.now(UTC)
        waiting = GaugeMetricFamily("gateway_queue_messages", "SMS that are due and wait", labels=["carrier", "lane"])
        age = GaugeMetricFamily(
            "gateway_queue_age_seconds", "For how long the first of them has been due", labels=["carrier", "lane"]
        )
        for carrier, lane, count, seconds in queue.ages(now):
            waiting.add_metric([carrier, lane], count)
            age.add_metric([carrier, lane], seconds)
        alarms = GaugeMetricFamily("gateway_alarm", "1 for what a person must look at", labels=["kind", "name"])
        for alarm in queue.alarms():
            alarms.add_metric([alarm.kind, alarm.name], 1)
        parts = GaugeMetricFamily("gateway_sms_parts_spent", "SMS parts of this hour and of the last 24", labels=["span"])
        for span, count in zip(("hour", "day"), queue.parts_spent(now), strict=True):
            parts.add_metric([span], count)
        return waiting, age, alarms, parts
