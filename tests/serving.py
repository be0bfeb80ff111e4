"""The product on a real port of this machine, by its own web server, in a thread of the tests."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.app import Web
from gateway.shortcut import web_server


@contextmanager
def served(web: Web, port: int = 0) -> Iterator[str]:
    """Its address, on a free port unless one is given."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = web_server(web)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
