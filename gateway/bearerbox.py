"""Kannel's bearerbox hands us its SMS itself: we are one of its boxes, beside smsbox, and acknowledge what is durable.

smsbox (1.4.5) acknowledges an SMS when it has only begun to bring it by post-url, so that the one in its hands is lost when it
is killed. Here bearerbox keeps each in its spool until our transaction is on the disk, and brings again what was not
acknowledged, under the same id, when a line breaks. Nor does bearerbox join long SMS: killed in between, it would bring the
parts it had as if each were an SMS. We join them, and acknowledge none before the whole is kept.

On the wire (gw/msg-decl.h, and measured): each message has its length before it, and is a row of four-byte numbers and of octets
with their length before them.
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from gateway.carriers import Ignored, Unreadable
from gateway.metrics import REFUSED
from gateway.records import Answer, Inbound
from gateway.traffic import MOST_TOGETHER

log = structlog.get_logger()

#: The name of our box: the printed configuration sends it every SMS (group smsbox-route).
BOX = "gateway"
#: Kinds of message, a command, and a kind of SMS, as Kannel numbers them.
ADMIN, SMS, ACK = 1, 2, 3
IDENTIFY = 3
FROM_A_PHONE = 0
#: The fields of an SMS up to the last we need, in their order; numbers are marked with #.
FIELDS = (
    "from", "to", "header", "text", "#at", "smsc", "smsc number", "foreign id", "service", "account", "id", "#kind", "#class",
    "#waiting", "#coding",
)  # fmt: skip
#: What the text of an SMS is in, by its coding: Kannel keeps GSM-7 as UTF-8. What is in neither is for a machine.
CODINGS = {-1: "utf-8", 0: "utf-8", 2: "utf-16-be"}
#: No SMS comes near this: whoever announces more is no bearerbox.
LONGEST = 1 << 20
#: Seconds between looks at whether to stop, to a connection, and until the next try after trouble.
LOOK, CONNECT, AGAIN = 0.5, 3.0, 2.0
#: Seconds without a line after which a person should look.
AWAY = 30.0
#: Seconds after which what has come of a long SMS is heard without the rest, and for which a whole one is remembered: what the
#: SMSC brings twice comes soon after the new bind, and a phone's references come round.
INCOMPLETE, WHOLE = 600.0, 60.0

#: Whose long SMS: from, to, its reference, the count of its parts.
Key = tuple[str, str, int, int]


class Brought(NamedTuple):
    """An SMS or a part of one: what it says, what acknowledges it, and which part it is (reference, count, number)."""

    fields: Mapping[str, str]
    octets: bytes
    charset: str | None
    ack: bytes
    part: tuple[int, int, int] = (0, 1, 1)

    def heard(self) -> dict[str, str]:
        """Its fields, with its text if it is one."""
        text = {"text": self.octets.decode(self.charset, "replace")} if self.charset else {}
        return {**self.fields, **text}


@dataclass(frozen=True, slots=True)
class Bearerbox:
    """The line to it. `hear` understands the fields of an SMS, `serve` answers a group of different phones, `after` is called
    when that is durable, `away` with whether there has been no line for long, `close` at the end."""

    port: int
    hear: Callable[[Mapping[str, str]], Inbound]
    serve: Callable[[Sequence[Inbound]], Sequence[Answer]]
    after: Callable[[], None]
    away: Callable[[bool], None]
    close: Callable[[], None]

    def run(self, stop: threading.Event) -> None:
        """Keep a line until `stop`. When it breaks, or nothing can be kept, the next brings what was not acknowledged."""
        why, parts = "", Parts()
        since, told = time.monotonic(), False
        with socket.socket(socket.AF_UNIX) as turn:
            while not stop.is_set() and not self._has_turn(turn):
                stop.wait(AGAIN)
            while not stop.is_set():
                try:
                    if not told and time.monotonic() - since > AWAY:
                        self.away(True)
                        told = True
                    with socket.create_connection(("127.0.0.1", self.port), CONNECT) as line:
                        line.settimeout(LOOK)
                        line.sendall(_packed(ADMIN, IDENTIFY, BOX.encode()))
                        log.info("bearerbox.connected")
                        self.away(False)
                        why, told = "", False
                        parts.begin_anew()
                        try:
                            self._take(line, parts, stop)
                        finally:
                            since = time.monotonic()
                except Exception as error:
                    if why != (why := type(error).__name__):  # said once, however long it lasts
                        log.warning("bearerbox.away", hint="see GATEWAY_KANNEL_PORT", exc_info=error)
                    stop.wait(AGAIN)
        self.close()

    def _has_turn(self, turn: socket.socket) -> bool:
        """Whether no other worker has a line: all parts of a long SMS must come to one. A turn ends with its process."""
        try:
            turn.bind(f"\0gateway-bearerbox-{self.port}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    def _take(self, line: socket.socket, parts: Parts, stop: threading.Event) -> None:
        """Serve what comes, together as much as has come."""
        buffer = bytearray()
        while not stop.is_set():
            with suppress(TimeoutError):
                octets = line.recv(1 << 16)
                if not octets:
                    raise ConnectionError("bearerbox has closed the line")
                buffer += octets
            whole = [one for brought in map(read, _messages(buffer)) for one in parts.add(brought)]
            for group, acks in self._groups([*whole, *parts.overdue()]):
                if group:
                    self.serve(group)
                    self.after()
                line.sendall(acks)

    def _groups(self, whole: Iterable[Brought]) -> Iterator[tuple[list[Inbound], bytes]]:
        """Inbounds of different phones, no more than gain from being together, and the acknowledgements that are due then."""
        group: dict[str, Inbound] = {}
        acks = b""
        for brought in whole:
            inbound = self._heard(brought)
            if inbound and (inbound.phone in group or len(group) == MOST_TOGETHER):
                yield [*group.values()], acks
                group, acks = {}, b""
            if inbound:
                group[inbound.phone] = inbound
            acks += brought.ack
        yield [*group.values()], acks

    def _heard(self, brought: Brought) -> Inbound | None:
        """An SMS understood; None for one that nobody could answer, today or tomorrow."""
        try:
            return self.hear(brought.heard())
        except (Ignored, Unreadable) as why:
            REFUSED.labels("kannel", "sms", f"ignored {str(why).partition(':')[0]}").inc()
            log.warning("bearerbox.ignored", why=str(why))
            return None


# --- long SMS ---------------------------------------------------------------------------------------------------------


class Parts:
    """Long SMS of which parts have come. A part may come twice: a bearerbox that is killed has not told the SMSC of the last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sets: dict[Key, list[Brought]] = {}
        self._since: dict[Key, float] = {}

    def add(self, brought: Brought) -> Iterator[Brought]:
        """What can be heard now: an SMS of one part, or a long one with the last of its parts."""
        reference, count, number = brought.part
        if not 1 <= number <= count or count == 1:
            yield brought
            return
        key = (brought.fields["from"], brought.fields["to"], reference, count)
        if any(one.part == brought.part and one.octets != brought.octets for one in self._sets.get(key, ())):
            yield from self._close(key)  # the reference has come round: another SMS
        parts = self._sets.setdefault(key, [])
        self._since.setdefault(key, self._clock())
        if _is_whole(parts):  # known by its id, it is answered as before
            yield _joined(parts)._replace(ack=brought.ack)
            return
        parts.append(brought)
        if _is_whole(parts):
            self._since[key] = self._clock()
            yield _joined(parts)

    def begin_anew(self) -> None:
        """A new line brings all parts of what was not acknowledged. Of what was, it may still bring one that came twice."""
        for key in [key for key, parts in self._sets.items() if not _is_whole(parts)]:
            del self._sets[key], self._since[key]

    def overdue(self) -> Iterator[Brought]:
        """What has waited too long for its other parts, as it is. Whole ones are forgotten."""
        for key, parts in [*self._sets.items()]:
            if self._clock() - self._since[key] > (WHOLE if _is_whole(parts) else INCOMPLETE):
                yield from self._close(key)

    def _close(self, key: Key) -> Iterator[Brought]:
        parts, _ = self._sets.pop(key), self._since.pop(key)
        if not _is_whole(parts):
            yield _joined(parts)


def _is_whole(parts: Sequence[Brought]) -> bool:
    return bool(parts) and len({one.part for one in parts}) == parts[0].part[1]


def _joined(parts: Sequence[Brought]) -> Brought:
    """Parts as one SMS, whatever the order in which they came."""
    ordered = sorted(parts, key=lambda one: (one.part, one.fields["id"]))
    once = {one.part: one.octets for one in ordered}
    return ordered[0]._replace(octets=b"".join(once.values()), ack=b"".join(one.ack for one in parts))


# --- on the wire ------------------------------------------------------------------------------------------------------


def read(message: bytes) -> Brought:
    """An SMS or a part of one. Raises ConnectionError when bearerbox says that it ends, ValueError for what it does not bring."""
    found: dict[str, bytes] = {}
    numbers: dict[str, int] = {}
    try:
        (kind,) = struct.unpack_from(">i", message)
        if kind == ADMIN:
            raise ConnectionError("bearerbox ends")
        if kind != SMS:
            raise ValueError(f"a message of the kind {kind}: this is not Kannel 1.4.5")
        at = 4
        for name in FIELDS:
            (number,) = struct.unpack_from(">i", message, at)
            at += 4
            if name.startswith("#"):
                numbers[name[1:]] = number
            else:  # a length, and -1 for nothing
                found[name] = message[at : at + max(number, 0)]
                at += max(number, 0)
    except struct.error:
        raise ValueError("a message that is cut off: this is not Kannel 1.4.5") from None
    fields = {name: found[name].decode("ascii", "replace") for name in ("from", "to", "id")} | {"at": str(numbers["at"])}
    charset = CODINGS.get(numbers["coding"]) if numbers["kind"] == FROM_A_PHONE else None
    return Brought(fields, found["text"], charset, _packed(ACK, 0, numbers["at"], found["id"]), _part(found["header"]))


def _part(header: bytes) -> tuple[int, int, int]:
    """Which part this is (reference, count, number), by its user data header (3GPP 23.040, 9.2.3.24.1 and 9.2.3.24.8)."""
    at = 1
    while at + 2 <= len(header):
        kind, length = header[at], header[at + 1]
        value = header[at + 2 : at + 2 + length]
        if (kind, len(value)) in ((0, 3), (8, 4)):
            return int.from_bytes(value[:-2]), value[-2], value[-1]
        at += 2 + length
    return 0, 1, 1


def _messages(buffer: bytearray) -> Iterator[bytes]:
    """The messages that have come whole, taken out of the buffer."""
    while len(buffer) >= 4:
        length = int.from_bytes(buffer[:4])
        if length > LONGEST:
            raise ValueError("lengths of megabytes: this is no bearerbox")
        if len(buffer) < 4 + length:
            return
        message = bytes(buffer[4 : 4 + length])
        del buffer[: 4 + length]
        yield message


def _packed(*parts: int | bytes) -> bytes:
    """A message of ours."""
    packed = b"".join(struct.pack(">i", part) if isinstance(part, int) else struct.pack(">i", len(part)) + part for part in parts)
    return struct.pack(">i", len(packed)) + packed
