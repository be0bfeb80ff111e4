"""The load: USSD sessions of five hops over keep-alive connections, each connection one phone at a time.

Run in a process of its own (and on a core of its own): prints one JSON line with hops per second and latencies.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
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
    """One connection, which sends the next hop when the last one is answered."""

    def __init__(self, requests: Iterator[bytes], took: list[float], until: float, done: asyncio.Future[None]) -> None:
        self.requests, self.took, self.until, self.done = requests, took, until, done
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(next(self.requests))  # type: ignore[attr-defined]

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
        now = time.perf_counter()
        self.took.append(now - self.sent)
        self.buffer = b""
        if now > self.until:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
        else:
            self.next()


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


async def load(port: int, path: str, connections: int, seconds: float, phones: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    until = time.perf_counter() + seconds
    began = time.perf_counter()
    waits = []
    seed = random.SystemRandom().randrange(2**32)
    for number in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        await loop.create_connection(
            lambda number=number, done=done: Phone(requests(port, path, phones, seed + number), took, until, done),  # type: ignore[misc]
            "127.0.0.1", port,
        )  # fmt: skip
    await asyncio.gather(*waits)
    spent = time.perf_counter() - began
    took.sort()
    return {
        "hops": len(took),
        "per_second": len(took) / spent,
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[len(took) * 99 // 100] * 1e3,
    }


if __name__ == "__main__":
    port, path, connections, seconds, phones = sys.argv[1:6]
    print(json.dumps(uvloop.run(load(int(port), path, int(connections), float(seconds), int(phones)))))
