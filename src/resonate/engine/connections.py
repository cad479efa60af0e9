"""Connections: who comes, who goes, and who shows that it is alive.

Rules:
- One connection a group and pid: a newer one takes the place of the older.
- A process that lost a presence connection and does not show itself within the grace is gone: what
  it held goes to others. One whose lease ran out takes nothing until it shows life.
- A process that lives but answers no offers has its stream ended: it will connect anew.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from resonate.core import steps
from resonate.core.state import State
from resonate.engine.batches import Admission, Step
from resonate.engine.delivery import Delivery
from resonate.engine.dispatch import Dispatch
from resonate.engine.holders import Holders
from resonate.engine.members import Connection, Directory, Member, Terms
from resonate.engine.presence import Presence
from resonate.protocol import requests as rq
from resonate.protocol.limits import UNANSWERED_OFFERS_MAX

log = logging.getLogger("resonate.engine")


class Connections:
    """What the gateway calls. ``serving`` and ``stopping`` tell what the engine is doing."""

    def __init__(
        self,
        directory: Directory,
        holders: Holders,
        dispatch: Dispatch,
        delivery: Callable[[], Delivery],
        admission: Admission,
        *,
        grace_ms: int,
        serving: Callable[[], bool],
        stopping: Callable[[], bool],
    ) -> None:
        self._directory = directory
        self._holders = holders
        self._dispatch = dispatch
        self._delivery = delivery
        self._admission = admission
        self._serving = serving
        self._stopping = stopping
        self._presence = Presence(directory, self._gone, grace_ms)

    def connect(self, group: str, pid: str, terms: Terms, connection: Connection) -> Member:
        """Take a connection in; an older one of the same group and pid is ended."""
        old = self._directory.find(group, pid)
        if old is not None:
            self.disconnect(old)
            old.connection.end()
        member = Member(group, pid, terms, connection)
        self._directory.add(member)
        member.held = len(self._holders.of(pid))
        self._directory.place(member)
        self._presence.opened(member)
        if self._serving():
            self.welcome(member)
        return member

    def disconnect(self, member: Member, *, recycled: bool = False) -> None:
        """A connection is gone. ``recycled``: the server itself ended it, it will be back."""
        if not member.open:
            return
        self._directory.remove(member)
        self._presence.closed(member)
        self._dispatch.left(member, recycled=recycled)
        self._admission.nudge()

    def pause(self, member: Member) -> None:
        """The connection's socket does not drain: nothing more is sent to it."""
        member.paused = True
        self._directory.place(member)

    def resume(self, member: Member) -> None:
        """The connection's socket has drained."""
        member.paused = False
        self._directory.place(member)
        self._dispatch.freed(member)
        self._delivery().tell_waiting(member)
        self._admission.nudge()

    def welcome(self, member: Member) -> None:
        """Bring a member what waits for it."""
        self._dispatch.joined(member)
        self._delivery().tell_waiting(member)
        self._admission.nudge()

    def end(self) -> None:
        """End all of them."""
        self._directory.each(lambda member: member.connection.end())
        self._presence.stop()

    # --- signs of life ----------------------------------------------------------------------------

    def notice(self, request: rq.Request) -> None:
        """Take note of who is alive, by what it asks for."""
        note = _NOTES.get(type(request))
        if note is not None:
            note(self, request.data)  # type: ignore[attr-defined]

    def seen(self, pid: str) -> None:
        """A request of the pid came in: whoever goes by it is alive."""
        self._presence.seen(pid)
        self._trust(pid)

    def beat(self, pid: str) -> None:
        """A heartbeat of the pid came in."""
        self.seen(pid)
        for member in list(self._directory.by_pid(pid)):
            if member.unanswered >= UNANSWERED_OFFERS_MAX:
                log.warning("%s answers no offers: ending its stream", pid)
                self.disconnect(member)
                member.connection.end()

    def late(self, task_id: str, version: int) -> None:
        """Take who still works on what it has lost for alive: it may hold nothing to renew."""
        pid = self._dispatch.loser(task_id, version)
        if pid is not None:
            self._trust(pid)

    def _trust(self, pid: str) -> None:
        for member in self._directory.by_pid(pid):
            if member.suspect:
                member.suspect = False
                self._directory.place(member)
                self._dispatch.freed(member)

    def _gone(self, pid: str) -> bool:
        """The process is gone: everything it held goes to others."""
        if not self._serving():
            return self._stopping()
        held = self._holders.of(pid)
        if held:
            log.info("%s is gone: releasing %d leases", pid, len(held))
        for task_id, version in list(held.items()):
            self.release(task_id, version, pid)
        return True

    def release(self, task_id: str, version: int, pid: str) -> None:
        """Give up a lease on behalf of its holder."""
        take = functools.partial(self._release_lost, version=version, pid=pid)
        self._admission.push(Step(task_id, take))

    def _release_lost(self, state: State, promise_id: str, *, version: int, pid: str) -> None:
        if steps.release_lost(state, promise_id, version, pid):
            self._dispatch.lost(promise_id, pid, version)


# By the type, which is looked up faster than ``isinstance`` says no.
_NOTES: dict[type[rq.Request], Callable[[Connections, Any], None]] = {
    rq.TaskHeartbeat: lambda connections, data: connections.beat(data.pid),
    rq.TaskAcquire: lambda connections, data: connections.seen(data.pid),
    rq.TaskCreate: lambda connections, data: connections.seen(data.pid),
    rq.TaskFence: lambda connections, data: connections.late(data.id, data.version),
    rq.TaskSuspend: lambda connections, data: connections.late(data.id, data.version),
    rq.TaskFulfill: lambda connections, data: connections.late(data.id, data.version),
    rq.TaskRelease: lambda connections, data: connections.late(data.id, data.version),
}
