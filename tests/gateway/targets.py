"""An HTTP server that is pushed to, in threads of its own: it can ask while it is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Target:
    """What is posted to ``url``. ``act`` is given each message, before it is answered."""

    def __init__(self, act: Callable[[Any], object] = lambda message: None) -> None:
        self.messages: list[Any] = []
        self.heads: list[dict[str, str]] = []
        self.errors: list[BaseException] = []
        self.act = act
        self.gate = threading.Event()
        self.gate.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/run/x?y=z"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # http.server's name
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                target.heads.append({"path": self.path, **dict(self.headers.items())})
                target.messages.append(message)
                try:
                    target.act(message)
                except BaseException as error:  # noqa: BLE001  # told by __exit__
                    target.errors.append(error)
                target.gate.wait(10)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler

    def of(self, kind: str) -> list[Any]:
        return [each["data"] for each in self.messages if each["kind"] == kind]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        assert self.errors == []
