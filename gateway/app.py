"""The web application: the carriers' webhooks, the billing API, health, metrics and, in demo mode, the phone page."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount
from starlette.types import Lifespan, Receive, Scope, Send

from gateway import metrics
from gateway.aliases import LiveEar
from gateway.api import api_routes
from gateway.bearerbox import Bearerbox
from gateway.billing import Billing
from gateway.campaigns import Office
from gateway.carriers import Carrier, Mailbox
from gateway.carriers.africastalking import AfricasTalking
from gateway.carriers.kannel import Kannel
from gateway.carriers.mobileseva import MobileSeva
from gateway.carriers.phone import Phone
from gateway.carriers.ussd import Ussd
from gateway.chores import Chore, Chores
from gateway.desk import make_desk
from gateway.desk.door import Door
from gateway.desk.front import front_routes
from gateway.desk.routes import desk_routes
from gateway.handover import Handover, Webhook
from gateway.headers import BASE, OVER_HTTPS, raw, with_headers
from gateway.hop import Hop, Unavailable, now_utc
from gateway.intake import resume
from gateway.loops import Loops
from gateway.outbox import Outbox
from gateway.outside import outside_routes
from gateway.pen import Pen
from gateway.pull import Pull
from gateway.records import Answer, Inbound, OptOut, Report, SessionEnd
from gateway.routing import Routes
from gateway.scrubbing import heed
from gateway.settings import Settings
from gateway.store import Store, open_store
from gateway.store.mailbox import Mailbox as Post
from gateway.store.queue import Joined, Queue
from gateway.tariff import Demonstration
from gateway.templates import open_registry
from gateway.traffic import Done, Traffic
from gateway.unfinished import Unfinished
from gateway.upkeep import Purging, Upkeep
from gateway.webhook import Webhooks
from gateway.workers import Work, Workers
from messages import Voice

log = structlog.get_logger()
T = TypeVar("T")
#: Threads of a web process for pages, the billing API and what carriers report; each has a connection of its own.
BESIDE_HOPS = 8

#: How long an apology waits for the language of its reader: what is left of the carrier's patience after our own.
APOLOGY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts, put together once for web server, worker and command line alike."""

    settings: Settings
    store: Store
    voice: Voice
    carriers: Mapping[str, Carrier]
    pen: Pen
    hop: Hop

    def note(self, event: SessionEnd | Report | OptOut) -> None:
        """Keep what a carrier tells without waiting for an answer. Raises Unavailable."""
        try:
            if isinstance(event, Report):
                metrics.reported(event)
                for told in Queue(self.store).report(event, now_utc()) or [Joined(0, "", event)]:
                    self.told(told)
            else:
                if isinstance(event, SessionEnd):
                    metrics.ended(event)
                self.store.note(event, now_utc())
            if isinstance(event, SessionEnd):
                self.unfinished().ended(event)
        except Exception as error:
            if self.store.database.is_trouble(error):
                raise Unavailable(str(error)) from error
            raise

    def told(self, told: Joined) -> None:
        """It is known which message a report is about, at once or when the send was written down; or that nobody knows (0)."""
        report = told.report
        log.info("sms.report", hop=told.hop, message=told.message, carrier=report.carrier, reference=report.reference,
                 status=report.status, reason=report.reason)  # fmt: skip
        if told.message:
            heed(self.store, self.pen.registry, told, now_utc())

    def workers(self) -> Workers:
        """Sending for every carrier, fetching for those that keep what they bring, and the chores."""
        every = timedelta(minutes=self.settings.at_fetch_minutes)
        megabyte, low, reserve = 1_000_000, self.settings.disk_low_mb, self.settings.disk_reserve_mb
        upkeep = Upkeep(self.store, self.hop.clock, low=low * megabyte, reserve=reserve * megabyte)
        work: list[Work] = [self.chores(), upkeep, Purging(self.store, self.settings, self.hop.clock)]
        for carrier in self.carriers.values():
            if carrier.sends:
                rules, senders = self.settings.sending(carrier.name), self.settings.senders
                work.append(Outbox(self.store, carrier, rules, senders=senders, wake=threading.Event(),
                                   stand_ins=self.pen.routes.stand_ins, refused=self.pen.registry.check,
                                   told=self.told))  # fmt: skip
            if every and isinstance(carrier, Mailbox):
                work.append(Pull(self.store, carrier, self.hop.serve, every=every))
            if isinstance(carrier, Kannel) and self.settings.own_kannel:
                port, close = self.settings.kannel_port + 1, self.store.close
                work.append(
                    Bearerbox(port, carrier.hear_sms, self.hop.serve, lambda: workers.wake(), self._bearerbox_away, close)
                )
        workers = Workers(work)
        return workers

    def _bearerbox_away(self, away: bool) -> None:
        queue, now = Queue(self.store), self.hop.clock()
        with self.store.write():
            if away:
                queue.raise_alarm("carrier", "bearerbox", now, "no SMS come in: does Kannel's bearerbox run?")
            else:
                queue.end_alarm("carrier", "bearerbox", now)

    def billing(self) -> Billing:
        """What people are told of bills, payments, balances and noted phones."""
        return Billing(self.store, self.pen, self.settings, self.hop.clock)

    def unfinished(self) -> Unfinished:
        """Who is told that a dropped service can be gone on with."""
        policy = self.hop.policy
        life = timedelta(seconds=self.settings.session_seconds)
        return Unfinished(self.store, self.pen, life, policy.idle, self.hop.clock)

    def handover(self) -> Handover | None:
        """Where readings go: to the company's billing system, in the demo to the demonstration tariff, or nowhere."""
        settings, clock = self.settings, self.hop.clock
        if settings.billing_url:
            return Handover(self.store, Webhook(settings.billing_url, settings.billing_secret.get_secret_value()), clock)
        return Handover(self.store, Demonstration(self.store, self.billing().hooks, clock), clock) if settings.demo else None

    def chores(self) -> Chores:
        """What is done beside hops and sending."""
        clock, hooks, office = self.hop.clock, self.billing().hooks, Office(self.store, self.pen, self.settings)
        chores = [
            Chore("unfinished", self.unfinished().sweep),
            Chore("campaigns", lambda: office.work(clock())),
            Chore("imports", lambda: resume(self.store, hooks, clock)),
        ]
        if handover := self.handover():
            chores.insert(0, Chore("readings", handover.work))
        return Chores(self.store, chores)


def assemble(settings: Settings) -> Gateway:
    """Open the store and make the parts. Raises ValueError or BadSetting with one line."""
    store = open_store(settings.database)
    voice = Voice(settings.house())
    carriers: dict[str, Carrier] = {}
    if settings.demo:
        carriers["phone"] = Phone(settings)
    if settings.at_username:
        carriers["africastalking"] = AfricasTalking(settings)
    registry = open_registry(settings, voice)
    if settings.kannel_url:
        carriers["kannel"] = Kannel(settings, registry.id_of)
    if settings.mobileseva_username:
        carriers["mobileseva"] = MobileSeva(settings, registry.id_of)
    for name, platform in settings.ussd_platforms.items():
        carriers[name] = Ussd(name, platform, settings)
    pen = Pen(store, voice, carriers, Routes(settings.routes, carriers), registry, settings.sending())
    within = timedelta(minutes=settings.loop_minutes)
    loops = Loops(Post(store), within, settings.loop_most, settings.loop_equal)
    hop = Hop(store, voice, LiveEar(store, settings.ca_pattern), settings.policy(), carriers, pen, loops)
    return Gateway(settings, store, voice, carriers, pen, hop)


class Web(Starlette):
    """The application. Webhooks pass the framework by, which would cost more than our own work (limits.md section 1), and with
    gateway/shortcut.py even ASGI."""

    def __init__(self, webhooks: Webhooks, routes: Sequence[BaseRoute], lifespan: Lifespan[Web], *, https: bool) -> None:
        super().__init__(routes=routes, lifespan=lifespan)
        self.webhooks = webhooks
        self.headers = raw({**BASE, **(OVER_HTTPS if https else {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every answer carries the headers. A fault was answered by the framework; it is logged here
        without its words."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        send = with_headers(send, self.headers)
        if scope["path"].startswith("/in/"):
            await self.webhooks(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        except Exception as error:
            log.error("web.failed", method=scope["method"], exc_info=error)


def in_thread(pool: Executor | None, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
    """Have work done in a thread of this pool (None: the event loop's own), and be told in the event loop how it went."""

    def tell(ended: asyncio.Future[T]) -> None:
        error = ended.exception()
        done(error if isinstance(error, Exception) else ended.result())

    asyncio.get_running_loop().run_in_executor(pool, work).add_done_callback(tell)


def make_app(gateway: Gateway, *, send: bool) -> Web:
    """The application; with `send` the outbox is worked in this process too."""
    workers = gateway.workers() if send else Workers([])
    writers = gateway.settings.writers if gateway.store.database.name == "postgres" else 1
    settings, apologies = gateway.settings, ThreadPoolExecutor(1, "apology")
    traffic = Traffic(
        gateway.hop.serve, after=workers.wake, writers=writers, close=gateway.store.close, patience=settings.answer_seconds,
        most_a_minute=settings.hops_a_minute,
    )  # fmt: skip

    def note(event: SessionEnd | Report | OptOut, done: Callable[[Exception | None], None]) -> None:
        in_thread(None, lambda: gateway.note(event), done)

    def busy(inbound: Inbound, done: Done) -> None:
        """In the phone's own language, unless the store is what hangs."""
        waiting = [done]

        def tell(answer: Answer | Exception) -> None:
            if waiting:
                waiting.pop()(answer)

        asyncio.get_running_loop().call_later(APOLOGY_SECONDS, lambda: tell(gateway.hop.busy(inbound, "")))
        in_thread(apologies, lambda: gateway.hop.busy(inbound, None if waiting else ""), tell)

    @asynccontextmanager
    async def lifespan(app: Web) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(BESIDE_HOPS, "beside"))
        traffic.start()
        workers.start()
        yield
        traffic.stop()
        workers.stop()
        workers.join()
        apologies.submit(gateway.store.close)
        apologies.shutdown()
        gateway.store.close()

    secrets = {name: settings.secrets_of(name) for name in gateway.carriers}
    webhooks = Webhooks(gateway.carriers, secrets, settings.webhook_networks, traffic.bring, note, busy)
    routes: list[BaseRoute] = outside_routes(gateway.store)
    desk = make_desk(gateway, workers.wake)
    routes += [*front_routes(desk), Mount("/desk", Door(desk, desk_routes(desk)))]
    if gateway.settings.api_clients:
        hooks, pattern = gateway.billing().hooks, gateway.settings.ca_pattern
        api = api_routes(gateway.store, gateway.settings.api_clients, hooks, ca_pattern=pattern, clock=gateway.hop.clock)
        routes.append(Mount("/api/v1", routes=api))
    if gateway.settings.demo:
        from gateway.phone import phone_routes  # the page exists in demo mode only

        routes += [Mount("/phone", routes=phone_routes(gateway, traffic.serve))]
    return Web(webhooks, routes, lifespan, https=not settings.demo)
