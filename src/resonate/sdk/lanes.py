"""Lanes: who gives out ids when a coroutine runs several asyncio tasks.

The numbers of one lane are given out in the order of calls. Tasks that run side by side would mix
theirs by chance, so each has a lane of its own, under a number of the lane that it was made in.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any


class Lane:
    """Gives out numbers; every asyncio task of a body has its own, so that order is certain."""

    def __init__(self, owner: object, prefix: str, task: asyncio.Task[Any] | None) -> None:
        self.owner = owner
        self.task = task
        self._prefix = prefix
        self._count = 0

    def next_id(self) -> str:
        """Return the next id."""
        self._count += 1
        return f"{self._prefix}.{self._count}"

    def enter(self) -> None:
        """Be the lane of the asyncio task that runs."""
        self.task = asyncio.current_task()
        _lane.set(self)

    def current(self) -> Lane:
        """Return the lane of the asyncio task that runs; a new task takes a number for its own."""
        if self.task is None:
            return self
        lane = _lane.get(None)
        if lane is None or lane.owner is not self.owner:
            return self
        task = asyncio.current_task()
        if task is None or task is lane.task:
            return lane
        mine = Lane(self.owner, lane.next_id(), task)
        _lane.set(mine)
        return mine


def in_body() -> bool:
    """Tell whether the caller runs on an event loop, in an async function or a task it made."""
    if _lane.get(None) is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # a thread that an async function has given something to do
        return False
    return True


_lane: contextvars.ContextVar[Lane | None] = contextvars.ContextVar("resonate_lane", default=None)
