"""A server that counts: ``python -m benchmarks.sdk_serve PORT DB``.

For each line on standard input it prints how many bodies and how many requests it has been sent. It
ends with standard input, so that it does not outlive a benchmark that was killed.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading

import uvloop

from resonate.engine.batches import Reply
from resonate.engine.engine import Engine
from resonate.gateway.server import listen, serve, url_of
from resonate.protocol import requests as rq
from resonate.store.sqlite import SqliteStore


class CountingEngine(Engine):
    """Counts what comes in, and does what any engine does."""

    bodies = 0
    requests = 0

    def submit(self, requests: list[rq.Request], reply: Reply, size: int = 0) -> None:
        """Count and decide."""
        self.bodies += 1
        self.requests += len(requests)
        super().submit(requests, reply, size)


def main() -> None:
    """Serve until a signal."""
    logging.basicConfig(level=logging.ERROR)
    sock = listen("127.0.0.1", int(sys.argv[1]))
    engine = CountingEngine(SqliteStore(sys.argv[2]), server_url=url_of(sock))

    def tell() -> None:
        for _ in sys.stdin:
            print(engine.bodies, engine.requests, flush=True)
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=tell, daemon=True).start()
    uvloop.run(serve(engine, sock, lambda: print(url_of(sock), flush=True)))


if __name__ == "__main__":
    main()
