"""Mobile Seva's push service, written from the facts (telecom-india.md section 6): it checks what is signed and decodes it."""

from __future__ import annotations

import hashlib
import html
import itertools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

USER, PASSWORD, KEY, SENDER = "SBPDCL-BIHAR", "a secret", "key-4711", "SBPDCL"


class Push:
    """Runs on a free port until the block ends. `sent` holds what phones show; `says` overrides the answer, `status` its code."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []
        self.says: str | None = None
        self.status = 200
        self._numbers = itertools.count(150620161466003974245)

    def __enter__(self) -> Push:
        push = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode("ascii")
                answer = push.answer(self.path, dict(parse_qsl(body, keep_blank_values=True, strict_parsing=True))).encode()
                self.send_response(push.status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/esms/sendsmsrequestDLT"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, form: dict[str, str]) -> str:
        if self.says is not None:
            return self.says
        signed = f"{USER}{SENDER}{form['content'].strip()}{KEY}"
        if path != "/esms/sendsmsrequestDLT" or form["key"] != hashlib.sha512(signed.encode()).hexdigest():
            return "401,the key does not fit"
        if (
            form["username"] != USER
            or form["password"] != hashlib.sha1(PASSWORD.encode()).hexdigest()
            or form["senderid"] != SENDER
        ):
            return "401,the user is not known"
        if not form["content"].isascii() or (form["smsservicetype"] == "unicodemsg") != ("&#" in form["content"]):
            return "404,the content and its type do not fit"
        self.sent.append({**form, "content": html.unescape(form["content"])})
        return f"402,MsgID = {next(self._numbers)}msdgsms"
