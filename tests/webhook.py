"""A receiver of alerts: a web server on this machine that keeps what is posted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "t0p-secret-token"


class Webhook:
    """The server and its messages."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"json://127.0.0.1:{self.server.server_address[1]}/{SECRET}"

    def wait_for(self, number: int, seconds: float = 60) -> list[dict[str, Any]]:
        """All messages, once there are as many; raises AssertionError after `seconds`."""
        deadline = time.monotonic() + seconds
        while len(self.posted) < number:
            assert time.monotonic() < deadline, self.posted
            time.sleep(0.2)
        return list(self.posted)

    def _handler(webhook) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@contextmanager
def webhook() -> Iterator[Webhook]:
    receiver = Webhook()
    threading.Thread(target=receiver.server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
