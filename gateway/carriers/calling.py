"""How carriers are called: over a kept connection, for so long and no longer, and what it means when that fails."""

from __future__ import annotations

import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

#: Octets. The most a carrier answers are a hundred fetched messages, each of several parts.
ANSWER_LIMIT = 256 * 1024

LONG_NUMBER = re.compile(r"[0-9]{5,}")


class Line(threading.local):
    """Each thread's own kept-alive connection."""

    def __init__(self) -> None:
        self.session = new_session()


def new_session() -> requests.Session:
    """A session whose read time-out (seconds) is that of a whole answer, head and body together, and not, as elsewhere, of each
    piece of it: a carrier that answers a byte at a time would hold a sender for ever."""
    session = requests.Session()
    session.trust_env = False  # no proxy and no .netrc of the machine gets to see passwords and keys
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


def never_left(error: requests.RequestException) -> bool:
    """Whether a request of ours cannot have reached the other side. Any other fault of TLS than a certificate that is refused
    may come with the answer, when the message has been taken."""
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    if isinstance(error, requests.exceptions.SSLError):
        return any(isinstance(why, ssl.SSLCertVerificationError) for why in getattr(reason, "args", ()))
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def words_of(answer: str) -> str:
    """A carrier's own words as they may be kept and logged: the first of them, and no long number, which may be a phone."""
    return LONG_NUMBER.sub("...", answer.strip())[:80]


class _Bounded(io.RawIOBase):
    """What comes over a connection for one answer. Raises TimeoutError and OSError, as the connection itself does."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._octets = connection.makefile("rb", buffering=0)
        self._until = time.monotonic() + (connection.gettimeout() or 0)
        self._room = ANSWER_LIMIT

    def makefile(self, mode: str) -> io.BufferedReader:
        """As a socket's."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer has no end")
        self._connection.settimeout(left)
        count = self._octets.readinto(into)
        self._room -= count or 0
        if self._room < 0:
            raise OSError("the answer is too large")
        return count

    def close(self) -> None:
        self._octets.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(_Bounded(sock), *args, **more)  # type: ignore[arg-type]  # all it asks of a socket is makefile


class _Http(HTTPConnection):
    response_class = _Answer


class _Https(HTTPSConnection):
    response_class = _Answer


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


_POOLS: Mapping[str, type[HTTPConnectionPool]] = {"http": _HttpPool, "https": _HttpsPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = _POOLS
