"""A server to be measured: ``python -m benchmarks.serve PORT DB`` or ``… PORT canned``.

With ``canned`` the gateway is the real one and the engine answers every request at once, with the
same promise: the ceiling that durable answers are compared with.
"""

from __future__ import annotations

import logging
import sys

import uvloop

from resonate.engine.batches import Reply
from resonate.engine.engine import Engine
from resonate.gateway.server import listen, serve, url_of
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer, PromiseAnswer
from resonate.protocol.records import EMPTY, PromiseRecord
from resonate.store.memory import MemoryStore
from resonate.store.sqlite import SqliteStore

_TAGS = {"resonate:target": "poll://any@bench", "resonate:scope": "global"}
_CANNED = Answer(
    200, PromiseAnswer(PromiseRecord("canned", "pending", EMPTY, EMPTY, _TAGS, 2**52, 2**50))
)


class CannedEngine(Engine):
    """Answers without deciding anything."""

    def submit(self, requests: list[rq.Request], reply: Reply, size: int = 0) -> None:
        """Answer at once."""
        del size
        reply([_CANNED] * len(requests))


def main() -> None:
    """Serve until a signal."""
    logging.basicConfig(level=logging.WARNING)
    sock = listen("127.0.0.1", int(sys.argv[1]))
    if sys.argv[2] == "canned":
        engine: Engine = CannedEngine(MemoryStore(), server_url=url_of(sock))
    else:
        engine = Engine(SqliteStore(sys.argv[2]), server_url=url_of(sock))
    uvloop.run(serve(engine, sock, lambda: print(url_of(sock), flush=True)))


if __name__ == "__main__":
    main()
