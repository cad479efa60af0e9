"""Heartbeats: they keep the leases of this process, and tell it which of them it has lost.

Rules:
- Several in a ttl, by a timer of the network's loop: nothing that user code does holds them up.
- Only what is held is named. A lease that this process does not know of, because the message got
  lost, runs out, and others have the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from resonate.protocol import requests as rq
from resonate.protocol.answers import HeartbeatAnswer
from resonate.sdk.execution import Execution
from resonate.sdk.sender import Item

_BEATS_PER_TTL = 3
_LIVELY_TTLS = 2


class Pulse:
    """The heartbeats of one pid. ``held`` is what it holds, ``lost`` is told what it lost.

    ``put`` sends an item, ``ttl`` is the lease in milliseconds.
    """

    def __init__(
        self,
        *,
        pid: str,
        ttl: int,
        held: Mapping[str, Execution],
        put: Callable[[Item], None],
        head: Callable[[], rq.Head],
        lost: Callable[[Execution], None],
    ) -> None:
        self._pid = pid
        self._ttl = ttl / 1000
        self._held = held
        self._put = put
        self._head = head
        self._lost = lost
        self._lively_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connected(self) -> None:
        """Show life for a while after a connection, though nothing be held.

        What was handed over while the old connection broke may never have arrived. When the lease
        of that runs out, the server takes this process for dead until it hears of it.
        """
        self._lively_until = asyncio.get_running_loop().time() + _LIVELY_TTLS * self._ttl
        self.keep_beating()

    def keep_beating(self) -> None:
        """Beat as long as something is held."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._ttl / _BEATS_PER_TTL, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        self._timer = None
        refs = [rq.TaskRef(each.id, each.version) for each in self._held.values()]
        if not refs and asyncio.get_running_loop().time() > self._lively_until:
            return
        refs = refs or [rq.TaskRef(self._pid, 0)]  # no such task; an empty list would mean all
        request = rq.TaskHeartbeat(self._head(), rq.TaskHeartbeatData(self._pid, refs))
        self._put(Item([request], self._beaten, self._ttl / _BEATS_PER_TTL))
        self.keep_beating()

    def _beaten(self, item: Item) -> None:
        if item.error is not None or item.answers[0].status != 200:
            return
        answer: HeartbeatAnswer = item.answers[0].data
        for ref in answer.lost or ():
            execution = self._held.get(ref.id)
            if execution is None or execution.version != ref.version or execution.ended:
                continue  # what has ended learns by its own answer what became of its lease
            if execution.workflow is not None and execution.workflow.resting:
                continue  # and so does what is being suspended
            self._lost(execution)
