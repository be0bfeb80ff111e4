"""What the outside may ask: is the process alive, can it work, and how it fares. No page here shows anything of a person."""

from __future__ import annotations

import asyncio

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.metrics import Kept
from gateway.store import Store
from gateway.upkeep import disk_is_full

log = structlog.get_logger()

#: Seconds within which a store that works answers.
READY_WITHIN = 2.0


def outside_routes(store: Store) -> list[BaseRoute]:
    """/healthz: the process lives (else restart it); /readyz: it can serve (else send people to another machine); /metrics.

    A full disk is said by /readyz, but is no reason to send nobody here: it is the database's, so every machine's, and who comes
    reads "try again shortly" in their own language, which a load balancer with nobody behind it could not say.
    """
    kept = CollectorRegistry()
    kept.register(Kept(store))

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        try:
            await asyncio.wait_for(asyncio.to_thread(store.database.rows, "select 1"), READY_WITHIN)
        except Exception as error:
            log.error("not.ready", error=type(error).__name__)
            return PlainTextResponse("the database does not answer\n", 503)
        return PlainTextResponse("the disk is full: people are told to try again\n" if disk_is_full(store) else "ok\n")

    async def metrics(request: Request) -> Response:
        try:
            of_store = await asyncio.wait_for(asyncio.to_thread(generate_latest, kept), READY_WITHIN)
        except Exception as error:  # what this process counted can be told all the same
            log.error("metrics.store", error=type(error).__name__)
            of_store = b""
        return Response(generate_latest(REGISTRY) + of_store, media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
