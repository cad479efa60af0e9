"""The program of a worker of the demo: ``python -m resonate.cli.demo.worker URL NAME SLOTS``.

A worker as anybody would write it, but that it tells on stdout, line by line, when a function
starts and ends. It ends with SIGTERM, and when stdin is closed: when the demo is gone.
"""

from __future__ import annotations

import os
import sys
import threading
import time

import msgspec

from resonate import Context, Resonate
from resonate.cli.demo.board import Event

GROUP = "worker-group"
_STOP_SECONDS = 1.0


def main(url: str, name: str, slots: int) -> None:
    """Work until told to stop."""
    resonate = Resonate.remote(url, group=GROUP, pid=name, concurrency=slots)

    @resonate.register
    def introduce(_: Context) -> int:
        return os.getpid()

    @resonate.register
    def compute_something(_: Context, id: str, compute_cost: float) -> str:
        _tell(Event("started", id, time.monotonic()))
        time.sleep(compute_cost)
        _tell(Event("finished", id, time.monotonic()))
        return name

    threading.Thread(target=_end_with_the_demo, daemon=True).start()
    resonate.run_until_signal(_STOP_SECONDS)


def _tell(event: Event) -> None:
    os.write(sys.stdout.fileno(), msgspec.json.encode(event) + b"\n")  # one write: lines stay whole


def _end_with_the_demo() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
