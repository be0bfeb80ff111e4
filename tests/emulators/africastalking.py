"""Africa's Talking's messaging API as far as a client can tell: it takes messages, has bad days, and reports on deliveries.

    with Emulator() as carrier:
        carrier.days = ["hang", "ok"]      # how the next sends go; then all are ok
        carrier.reports_to = "http://.../delivery"

Also a program, for the benchmarks: `python -m tests.emulators.africastalking --latency 0.1`, which prints its address and, when
it is told so on its standard input, what it took.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import Request, urlopen

API_KEY = "emulator-key"
STATUSES = {
    100: "Success", 101: "Success", 102: "Success", 401: "RiskHold", 402: "InvalidSenderId", 403: "InvalidPhoneNumber",
    404: "UnsupportedNumberType", 405: "InsufficientBalance", 406: "UserInBlacklist", 407: "CouldNotRoute",
    409: "DoNotDisturbRejection", 500: "InternalServerError", 501: "GatewayError", 502: "RejectedByGateway",
}  # fmt: skip
#: Seconds: how long a hanging call is held, and a slow one takes.
HANG, SLOW = 30.0, 0.3


@dataclass(frozen=True)
class Taken:
    """A message that goes out to a phone."""

    reference: str
    phone: str
    text: str
    sender: str
    at: float


class Emulator:
    """The API on loopback. `days` says how the next sends go, one word each:

    ok, slow; hang (not taken), late (taken, and answered after the client has gone), reset (not taken), reset after (taken);
    garbage (taken, the answer cannot be read), charset (taken, the type is not exactly application/json), no id (taken),
    dribble (taken, the answer has no end), list (taken, the answer is no object);
    empty (201 without recipients: the sender is not known); code N (the recipient's status); http N (the answer's).
    """

    def __init__(self, *, latency: float = 0.0, port: int = 0) -> None:
        self.days: deque[str] | list[str] = []
        self.every_day = "ok"
        self.latency = latency
        self.hang = HANG
        self.taken: list[Taken] = []
        self.calls = 0
        self.connections = 0
        self.inbox: list[dict[str, Any]] = []
        self.reports_to = ""
        self.make_reports: Callable[[Taken], list[str]] = lambda taken: []
        self.early = False
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._ids = itertools.count(1)
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Emulator:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def phones(self) -> list[str]:
        """Whom messages went to, in order."""
        return [one.phone for one in self.taken]

    def report(self, taken: Taken, status: str, **more: str) -> None:
        """Send a delivery report, and wait for the answer."""
        form = {"id": taken.reference, "status": status, "phoneNumber": taken.phone, "networkCode": "40554", **more}
        request = Request(
            self.reports_to, urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
        )
        with urlopen(request, timeout=30) as answer:
            assert answer.status == 200, answer.status

    def wait(self, seconds: float) -> None:
        """As long as this, or until the emulator is shut."""
        self._closing.wait(seconds)

    def next_day(self) -> str:
        with self._lock:
            self.calls += 1
            if not self.days:
                return self.every_day
            day = self.days[0]
            del self.days[0]
            return day

    def take(self, phone: str, text: str, sender: str) -> Taken:
        taken = Taken(f"ATXid_{token_hex(16)}", phone, text, sender, time.monotonic())
        with self._lock:
            self.taken.append(taken)
        if self.early:
            self.report_all(taken)
        return taken

    def report_all(self, taken: Taken) -> None:
        for status in self.make_reports(taken) if self.reports_to else ():
            self.report(taken, status)

    def bring(self, phone: str, text: str, date: str, *, to: str = "56161") -> int:
        """An SMS from a phone, to be fetched."""
        id_ = next(self._ids)
        self.inbox.append({"linkId": token_hex(4), "text": text, "to": to, "id": id_, "date": date, "from": phone})
        return id_


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is nothing to print."""


def _handler(emulator: Emulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            emulator.connections += 1

        def log_message(self, *_: object) -> None:
            """Tests read what was taken, not a log."""

        def answer(self, status: int, body: str, media: str = "application/json") -> None:
            """Head and body in one write: else each call costs 40 ms."""
            data = body.encode()
            head = f"HTTP/1.1 {status} .\r\nContent-Type: {media}\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data)

        def refused(self) -> bool:
            if self.headers.get("apikey") == API_KEY:
                return False
            self.answer(401, "The supplied authentication is invalid", "text/plain")
            return True

        def do_GET(self) -> None:
            if self.refused():
                return
            url = urlsplit(self.path)
            asked = parse_qs(url.query)
            if url.path == "/version1/messaging":
                last = int(asked.get("lastReceivedId", ["0"])[0])
                messages = [one for one in emulator.inbox if one["id"] > last][:100]
                self.answer(200, json.dumps({"SMSMessageData": {"Messages": messages}}))
            else:
                self.answer(404, "{}")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.refused():
                return
            form = {key: values[0] for key, values in parse_qs(body, strict_parsing=True).items()}
            assert self.path == "/version1/messaging"
            assert self.headers["Accept"] == "application/json"
            assert form["username"] == "sandbox"
            emulator.wait(emulator.latency)
            self.send(emulator.next_day(), form["to"], form["message"], form.get("from", ""))

        def send(self, day: str, phone: str, text: str, sender: str) -> None:
            word, _, number = day.partition(" ")
            if word == "slow":
                emulator.wait(SLOW)
            if word == "hang":
                emulator.wait(emulator.hang)
            elif word == "http":
                self.answer(int(number), "Too many requests" if number == "429" else "trouble", "text/plain")
            elif word == "reset" and not number:
                self.reset()
            elif word == "empty":
                self.answer(201, json.dumps({"SMSMessageData": {"Message": "InvalidSenderId", "Recipients": []}}))
            elif word == "code" and int(number) not in (100, 101, 102):
                self.answer(201, _answer(phone, int(number), "None", "0"))
            else:
                taken = emulator.take(phone, text, sender)
                self.answer_taken(day, taken, int(number) if word == "code" else 101)
                if not emulator.early:
                    emulator.report_all(taken)

        def answer_taken(self, day: str, taken: Taken, code: int) -> None:
            answer = _answer(taken.phone, code, "None" if day == "no id" else taken.reference, "INR 0.2500")
            match day:
                case "late":
                    emulator.wait(emulator.hang)
                case "reset after":
                    self.reset()
                case "garbage":
                    self.answer(201, "<html>502 Bad Gateway</html>")
                case "list":
                    self.answer(201, "[1, 2]")
                case "charset":
                    self.answer(201, answer, "application/json;charset=UTF-8")
                case "dribble":
                    self.wfile.write(b"HTTP/1.1 201 .\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for _ in range(int(emulator.hang / 0.05)):
                        self.wfile.write(b"1\r\n \r\n")
                        emulator.wait(0.05)
                case _:
                    self.answer(201, answer)

        def reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

    return Handler


def _answer(phone: str, code: int, reference: str, cost: str) -> str:
    recipient = {"statusCode": code, "number": phone, "status": STATUSES[code], "cost": cost, "messageId": reference}
    return json.dumps(
        {"SMSMessageData": {"Message": f"Sent to 1/1 Total Cost: {cost} Message parts: 1", "Recipients": [recipient]}}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--every-day", default="ok", help="how all sends go")
    parser.add_argument("--reports-to", default="", help="where each message is reported as delivered")
    options = parser.parse_args()
    with Emulator(latency=options.latency) as emulator:
        emulator.every_day, emulator.reports_to = options.every_day, options.reports_to
        emulator.make_reports = lambda taken: ["Success"]
        print(emulator.url, flush=True)
        for _ in sys.stdin:
            print(json.dumps([(one.phone, one.text, one.at) for one in emulator.taken]), flush=True)


if __name__ == "__main__":
    main()
