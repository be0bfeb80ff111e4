"""Headers that every answer carries, whoever makes it: browsers keep to HTTPS, guess no content type and load nothing by default.

A page that needs more says so itself, and what it has set stands (OWASP ASVS 5.0, chapter 3.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.types import Message, Send

BASE: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
#: Only where browsers come over HTTPS: everywhere but in the demo, which stays on loopback.
OVER_HTTPS: Mapping[str, str] = {"strict-transport-security": "max-age=31536000; includeSubDomains"}


def raw(headers: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    """Headers as ASGI wants them."""
    return tuple((key.encode(), value.encode()) for key, value in headers.items())


def with_headers(send: Send, headers: Iterable[tuple[bytes, bytes]]) -> Send:
    """`send`, which adds those headers that an answer does not have yet."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {key.lower() for key, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(one for one in headers if one[0] not in own)]
        await send(message)

    return answer
