"""Presence: noticing that a worker process is gone, and giving its leases to others soon.

Rules:
- Only connections that declared ``presence`` count. When one closes and its pid neither connects
  again nor sends a request within the grace, every lease of the pid is released.
- A request with the pid starts the grace anew: who lost only its stream keeps its work.
- A silent death (power, partition) leaves the connection open; there the lease's end decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from resonate.engine.members import Directory, Member


class Presence:
    """Graces under way, by pid.

    ``gone`` is told of a pid whose grace is over; it answers False when nothing can be done about
    it now, and is told again after another grace.
    """

    def __init__(self, directory: Directory, gone: Callable[[str], bool], grace_ms: int) -> None:
        self._directory = directory
        self._gone = gone
        self._grace = grace_ms / 1000
        self._graces: dict[str, asyncio.TimerHandle] = {}

    def opened(self, member: Member) -> None:
        """A connection is there: its pid is present."""
        self._cancel(member.pid)

    def closed(self, member: Member) -> None:
        """A connection is gone: its pid has until the end of the grace."""
        others = self._directory.by_pid(member.pid)
        if member.terms.presence and not any(other.terms.presence for other in others):
            self._start(member.pid)

    def seen(self, pid: str) -> None:
        """A request of the pid came in."""
        if pid in self._graces:
            self._start(pid)

    def stop(self) -> None:
        """Let no grace end any more."""
        for pid in list(self._graces):
            self._cancel(pid)

    def _start(self, pid: str) -> None:
        self._cancel(pid)
        loop = asyncio.get_running_loop()
        self._graces[pid] = loop.call_later(self._grace, self._over, pid)

    def _cancel(self, pid: str) -> None:
        grace = self._graces.pop(pid, None)
        if grace is not None:
            grace.cancel()

    def _over(self, pid: str) -> None:
        del self._graces[pid]
        if not self._gone(pid):
            self._start(pid)
