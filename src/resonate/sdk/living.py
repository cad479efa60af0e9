"""Living clients: those that were not stopped, and who stops them.

Rules:
- When the program ends, connections are closed and leases released: the server acts at once.
- One that nobody can use any more is stopped, so that a program may make a client for each call.
  A worker goes on: it works for others.
- A process that was forked leaves those of its parent alone.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import Protocol

_EXIT_SECONDS = 0.0


class Stoppable(Protocol):
    """A client."""

    @property
    def working(self) -> bool:
        """Tell whether it takes tasks."""

    def stop(self, drain_seconds: float) -> None:
        """End it."""


def keep(client: Stoppable, owner: object) -> None:
    """Take note of a client that begins, and is used through its owner."""
    if not _living:
        atexit.unregister(_leave)  # behind what was registered since the last time
        atexit.register(_leave)
    finalizer = weakref.finalize(owner, _dropped, client)
    finalizer.atexit = False
    _living[client] = (os.getpid(), finalizer)


def forget(client: Stoppable) -> None:
    """It has ended."""
    _, finalizer = _living.pop(client, (0, None))
    if finalizer is not None:
        finalizer.detach()


def _mine() -> list[Stoppable]:
    return [client for client, (process, _) in list(_living.items()) if process == os.getpid()]


def _leave() -> None:
    for client in _mine():
        client.stop(_EXIT_SECONDS)


def _dropped(client: Stoppable) -> None:
    """Stop it on a thread of its own: this may be any, and hold any lock."""
    if client in _mine() and not client.working:
        threading.Thread(
            target=client.stop, args=(_EXIT_SECONDS,), name="resonate-stop", daemon=True
        ).start()


_living: dict[Stoppable, tuple[int, weakref.finalize[..., object]]] = {}
