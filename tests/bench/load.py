"""The load: USSD sessions of five hops over keep-alive connections, each connection one phone at a time.

    python -m tests.bench.load PORT PATH CONNECTIONS SECONDS PHONES [RATE]

Without a rate each connection asks again as soon as it is answered, which shows the most a server can do. With one, so many
hops a second come at random moments, whether those before them are answered or not, and each is timed from its own moment: a
server that stands still for a second is charged for all who came meanwhile. Run in a process of its own (and on a core of its
own): prints one JSON line with hops per second and latencies.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import cast
from urllib.parse import urlencode

import uvloop

#: The inputs of one session, as cumulative texts: home, a service, three answers in it.
SESSIONS = (
    ("", "3", "3*1", "3*1*1", "3*1*1*4378"),
    ("", "6", "6*1", "6*1*0", "6*1*0*2"),
    ("", "5", "5*1", "5*1*0", "5*1*0*5"),
    ("", "1", "1*1", "1*1*2", "1*1*2*2"),
)


class Phone(asyncio.Protocol):
    """One connection: a hop, its answer, and whatever `ready` has it do next."""

    def __init__(self, requests: Iterator[bytes], took: list[float], ready: Callable[[Phone], None]) -> None:
        self.requests, self.took, self.ready = requests, took, ready
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.ready(self)

    def ask(self, came: float) -> None:
        """Send the next hop, which is timed from when it came."""
        self.came = came
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"unexpected answer: {head[:200]!r} {body!r}")
        self.took.append(time.perf_counter() - self.came)
        self.buffer = b""
        self.ready(self)


class AtOnce:
    """Each connection asks again as soon as it is answered."""

    def __init__(self, connections: int, seconds: float) -> None:
        self.until, self.left = time.perf_counter() + seconds, connections
        self.done = asyncio.Event()

    def ready(self, phone: Phone) -> None:
        now = time.perf_counter()
        if now <= self.until:
            phone.ask(now)
            return
        self.left -= 1
        if not self.left:
            self.done.set()


class AtRandom:
    """Hops come at random moments, so many a second; the next free connection brings the one that has waited longest."""

    def __init__(self, connections: int, seconds: float, rate: float) -> None:
        self.rate, self.connections = rate, connections
        self.free: list[Phone] = []
        self.waiting: deque[float] = deque()
        self.next = time.perf_counter()
        self.until = self.next + seconds
        self.done = asyncio.Event()
        self.tick()

    def ready(self, phone: Phone) -> None:
        if self.waiting:
            phone.ask(self.waiting.popleft())
            return
        self.free.append(phone)
        if self.next > self.until and len(self.free) == self.connections:
            self.done.set()

    def tick(self) -> None:
        """Send what has come since the last time, a millisecond ago if this process was in time."""
        now = time.perf_counter()
        while self.next <= min(now, self.until):
            self.waiting.append(self.next)
            self.next += random.expovariate(self.rate)
        while self.waiting and self.free:
            self.free.pop().ask(self.waiting.popleft())
        if self.next <= self.until:
            asyncio.get_running_loop().call_later(0.001, self.tick)


def requests(port: int, path: str, phones: int, seed: int) -> Iterator[bytes]:
    """Endless hops of random demo phones."""
    chance = random.Random(seed)
    while True:
        phone = f"+91555{chance.randrange(1, phones + 1):07d}"
        session = f"ATUid_{chance.getrandbits(128):032x}"
        for text in chance.choice(SESSIONS):
            form = {"sessionId": session, "phoneNumber": phone, "networkCode": "99999", "serviceCode": "*384*1912#", "text": text}
            body = urlencode(form).encode()
            yield (
                f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/x-www-form-urlencoded\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            ).encode() + body


async def load(port: int, path: str, connections: int, seconds: float, phones: int, rate: float = 0) -> dict[str, float]:
    took: list[float] = []
    seed = random.SystemRandom().randrange(2**32)
    began = time.perf_counter()
    pace = AtRandom(connections, seconds, rate) if rate else AtOnce(connections, seconds)
    lines = [
        await asyncio.get_running_loop().create_connection(
            lambda number=number: Phone(requests(port, path, phones, seed + number), took, pace.ready),  # type: ignore[misc]
            "127.0.0.1", port,
        )
        for number in range(connections)
    ]  # fmt: skip
    await pace.done.wait()
    spent = time.perf_counter() - began
    for transport, _ in lines:
        transport.close()
    took.sort()
    return {
        "hops": len(took),
        "per_second": len(took) / spent,
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[len(took) * 99 // 100] * 1e3,
    }


if __name__ == "__main__":
    port, path, connections, seconds, phones, *rate = sys.argv[1:]
    print(json.dumps(uvloop.run(load(int(port), path, int(connections), float(seconds), int(phones), *map(float, rate)))))
