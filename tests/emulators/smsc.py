"""An operator's SMSC, as far as Kannel can tell: it takes binds, messages and keep-alives, brings messages and receipts.

PDUs are read and written by smpplib. (The package smppy is a whole server, but reads one PDU a packet: under load it loses.)
What is not acknowledged when the line breaks is brought again after the next bind, as operators do.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import threading
from collections import deque
from dataclasses import dataclass, field

from smpplib.command import SubmitSM
from smpplib.smpp import make_pdu, parse_pdu

from messages.encoding import GSM, measure
from tests.kannel import free_ports

GSM_DEFAULT, UCS2 = 0, 8
HAS_HEADER, IS_RECEIPT = 0x40, 0x04
#: How many messages may wait for Kannel's acknowledgement at once.
WINDOW = 50
#: Seconds after which a message that was turned away is brought again.
AGAIN = 0.5


class _Submitted(SubmitSM):
    """A submit_sm that keeps the optional parameters smpplib has no name for."""

    def parse_optional_params(self, data: bytes) -> None:
        self.tlvs = {}
        while data:
            tag, length = struct.unpack(">HH", data[:4])
            self.tlvs[tag], data = data[4 : 4 + length], data[4 + length :]


@dataclass(frozen=True)
class Part:
    """One message as it came over the wire; `header` is the concatenation header of a part."""

    sender: str
    phone: str
    coding: int
    octets: bytes
    header: bytes
    tlvs: dict[int, bytes]


@dataclass(frozen=True)
class Read:
    """A text as the phone shows it, its parts joined; the ids are those of its first part."""

    sender: str
    phone: str
    text: str
    coding: int
    parts: int
    tlvs: dict[int, bytes]


@dataclass
class Smsc:
    """Runs in a thread of its own on a free port of this machine, until stopped. `refuse` answers every message with this
    SMPP error; `receipts` is what its receipts tell, by phone."""

    receipts: dict[str, str] = field(default_factory=dict)
    refuse: int = 0
    parts: list[Part] = field(default_factory=list)
    binds: int = 0
    acknowledged: int = 0
    turned_away: int = 0

    def __enter__(self) -> Smsc:
        self._to_bring: deque[dict[str, object]] = deque()
        self._unacknowledged: dict[int, dict[str, object]] = {}
        self._brought = 0
        self._numbers = itertools.count(1)
        self._references = itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        self.port = free_ports(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smsc")
        self._thread.start()
        self.come()
        return self

    def come(self) -> None:
        """Be there, or back."""
        server = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(server, self._loop).result()

    def leave(self) -> None:
        """Be away: the line breaks and nobody answers."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()

    def __exit__(self, *_: object) -> None:
        self.leave()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        if self._writer is not None:
            self._writer.close()
        await asyncio.sleep(0.05)

    def bring(self, phone: str, shortcode: str, text: str, *, backwards: bool = False) -> None:
        """A person writes to the short code; `backwards` brings the parts of a long text in reverse order."""
        coding = GSM_DEFAULT if measure(text).encoding == "gsm7" else UCS2
        octets = _to_gsm(text) if coding == GSM_DEFAULT else text.encode("utf-16-be")
        alone, each = (160, 153) if coding == GSM_DEFAULT else (140, 134)
        pieces = [octets] if len(octets) <= alone else [octets[at : at + each] for at in range(0, len(octets), each)]
        reference = next(self._references) % 256
        pdus: list[dict[str, object]] = []
        for number, piece in enumerate(pieces, 1):
            header = bytes((5, 0, 3, reference, len(pieces), number)) if len(pieces) > 1 else b""
            pdus.append(_message(phone, shortcode, header + piece, coding, HAS_HEADER if header else 0))
        self._loop.call_soon_threadsafe(self._add, pdus[::-1] if backwards else pdus)

    def left(self) -> int:
        """How many messages and receipts Kannel has not acknowledged."""
        return self._brought - self.acknowledged

    def read(self) -> list[Read]:
        """Everything sent to phones, long texts when all of their parts have come, in the order of the first."""
        joined: dict[object, list[Part]] = {}
        for index, part in enumerate(self.parts):
            joined.setdefault((part.phone, part.header[3], part.header[4]) if part.header else index, []).append(part)
        texts = []
        for parts in joined.values():
            for whole in _wholes(parts):
                octets = b"".join(part.octets for part in whole)
                text = octets.decode("utf-16-be") if whole[0].coding == UCS2 else _gsm(octets)
                texts.append(Read(whole[0].sender, whole[0].phone, text, whole[0].coding, len(whole), whole[0].tlvs))
        return texts

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _add(self, pdus: list[dict[str, object]]) -> None:
        self._brought += len(pdus)
        self._queue(pdus)

    def _queue(self, pdus: list[dict[str, object]]) -> None:
        self._to_bring.extend(pdus)
        self._push()

    def _push(self) -> None:
        while self._writer is not None and self._to_bring and len(self._unacknowledged) < WINDOW:
            number, pdu = next(self._numbers), self._to_bring.popleft()
            self._unacknowledged[number] = pdu
            self._writer.write(_pdu("deliver_sm", number, **pdu))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(4)
                self._take(head + await reader.readexactly(int.from_bytes(head, "big") - 4), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        if writer is self._writer:
            self._new_line(None)
        writer.close()

    def _new_line(self, writer: asyncio.StreamWriter | None) -> None:
        """What the line before it has not acknowledged waits again: a new bind may come before the old line is seen to break."""
        self._writer = writer
        self._to_bring.extendleft(reversed(self._unacknowledged.values()))
        self._unacknowledged.clear()

    def _take(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        command, number = struct.unpack(">L", data[4:8])[0], struct.unpack(">L", data[12:16])[0]
        match command:
            case 0x00000009:  # bind_transceiver
                writer.write(_pdu("bind_transceiver_resp", number, system_id="smsc"))
                self._new_line(writer)
                self.binds += 1
                self._push()
            case 0x00000004:
                self._submitted(data, number, writer)
            case 0x80000005:  # deliver_sm_resp
                pdu = self._unacknowledged.pop(number, None)
                if pdu is not None and struct.unpack(">L", data[8:12])[0]:  # not now: its queue is full, or nobody is behind it
                    self.turned_away += 1
                    self._loop.call_later(AGAIN, self._queue, [pdu])
                elif pdu is not None:
                    self.acknowledged += 1
                self._push()
            case 0x00000015 | 0x00000006:
                writer.write(_pdu("enquire_link_resp" if command == 0x15 else "unbind_resp", number))
            case _:
                parse_pdu(data)  # raises for what is no SMPP at all

    def _submitted(self, data: bytes, number: int, writer: asyncio.StreamWriter) -> None:
        pdu = _Submitted("submit_sm", sequence=number)
        pdu.tlvs = {}
        pdu.parse(data)
        if self.refuse:
            writer.write(_pdu("submit_sm_resp", number, status=self.refuse))
            return
        octets, header = pdu.short_message or b"", b""
        if pdu.esm_class & HAS_HEADER:
            header, octets = octets[: octets[0] + 1], octets[octets[0] + 1 :]
        sender, phone = pdu.source_addr.decode(), f"+{pdu.destination_addr.decode().lstrip('+')}"
        self.parts.append(Part(sender, phone, pdu.data_coding, octets, header, pdu.tlvs))
        id_ = f"M{len(self.parts)}"
        writer.write(_pdu("submit_sm_resp", number, message_id=id_))
        if pdu.registered_delivery & 1:
            told = self.receipts.get(phone, "stat:DELIVRD err:000")
            receipt = f"id:{id_} sub:001 dlvrd:001 submit date:2611241200 done date:2611241200 {told} text:"
            self._add([_message(phone, sender, receipt.encode(), GSM_DEFAULT, IS_RECEIPT)])


def _message(source: str, destination: str, octets: bytes, coding: int, esm: int) -> dict[str, object]:
    return {"source_addr": source, "destination_addr": destination, "short_message": octets, "data_coding": coding,
            "esm_class": esm, "source_addr_ton": 1, "source_addr_npi": 1, "dest_addr_ton": 0, "dest_addr_npi": 1}  # fmt: skip


def _pdu(command: str, number: int, **fields: object) -> bytes:
    """A PDU as octets; the number is set afterwards, because smpplib's constructor takes none of its own."""
    pdu = make_pdu(command, sequence=number, **fields)
    pdu.sequence = number
    return bytes(pdu.generate())


def _wholes(parts: list[Part]) -> list[list[Part]]:
    """The texts that share a reference, each with its parts in order: a reference comes round again after 256 texts."""
    if not parts[0].header:
        return [parts]
    rows = ([part for part in parts if part.header[5] == number] for number in range(1, parts[0].header[4] + 1))
    return [[*whole] for whole in zip(*rows, strict=False)]


#: GSM-7 in one septet an octet: the alphabet by code, and what follows an escape (3GPP TS 23.038).
_TABLE = GSM[:27] + "\x1b" + GSM[27:]
_ESCAPED = dict(zip("\f^{}\\[~]|€", b"\x0a\x14\x28\x29\x2f\x3c\x3d\x3e\x40\x65", strict=True))


def _to_gsm(text: str) -> bytes:
    return b"".join(bytes((27, _ESCAPED[c])) if c in _ESCAPED else bytes((_TABLE.index(c),)) for c in text)


def _gsm(octets: bytes) -> str:
    extension = {code: letter for letter, code in _ESCAPED.items()}
    text, escaped = "", False
    for octet in octets:
        if octet == 27 and not escaped:
            escaped = True
            continue
        text += extension[octet] if escaped else _TABLE[octet]
        escaped = False
    return text
