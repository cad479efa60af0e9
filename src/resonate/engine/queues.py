"""Queues: the ready tasks of each route, oldest first, as far as they are kept in memory.

Rules:
- A queue exists while somebody is connected who could take from it; without anybody the tasks just
  wait in the store.
- Bounded: while ``more`` is set the store has tasks that are not here. New ones are left to it
  too, and all of them are read from there, in order, when the queue runs low.
- Reading goes on from ``cursor``: no ready task at or before it is only in the store. A task that
  is left to the store moves it back: instants repeat, and a task that rested is older than others.
- What arrives while reading is under way is kept aside, so that reading comes to an end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

from msgspec import Struct

from resonate.engine.members import Member
from resonate.protocol.addresses import any_route, uni_route
from resonate.protocol.limits import QUEUE_TASKS_MAX
from resonate.store.contract import Ready

Key = tuple[int, str]  # retry_at and id: the order of a queue


class Waiting(Struct):
    """A ready task in a queue: which member should have it, and which rather not."""

    id: str
    version: int
    retry_at: int
    prefer: str | None = None
    avoid: str | None = None


class Queue:
    """Ready tasks of one route; ``pid`` is set when exactly one member may take them."""

    def __init__(self, route: str, group: str, pid: str | None) -> None:
        self.route = route
        self.group = group
        self.pid = pid
        self.tasks: OrderedDict[str, Waiting] = OrderedDict()
        self.cursor: Key = (-1, "")
        self.more = True
        self.reading = False
        self.looking: str | None = None  # the task whose object was asked for
        self._aside: dict[str, Waiting] = {}  # arrived since reading began
        self._left: Key | None = None  # the first that was left to the store since then

    @property
    def low(self) -> bool:
        """Tell whether the store should be read."""
        return self.more and not self.reading and len(self.tasks) < QUEUE_TASKS_MAX // 2

    def add(self, waiting: Waiting) -> None:
        """Put a new task at the end, or leave it to the store for now."""
        if self.reading and len(self._aside) < QUEUE_TASKS_MAX:
            self._aside[waiting.id] = waiting
        elif self.more or len(self.tasks) >= QUEUE_TASKS_MAX:
            self._leave(waiting)
        else:
            self._append(waiting)

    def again(self, waiting: Waiting) -> None:
        """Put a task back in front: it has waited before."""
        self.drop(waiting.id)
        self.tasks[waiting.id] = waiting
        self.tasks.move_to_end(waiting.id, last=False)

    def drop(self, task_id: str) -> None:
        """Forget a task: it is not ready any more."""
        self.tasks.pop(task_id, None)
        self._aside.pop(task_id, None)

    def begin_reading(self) -> None:
        """From here on ``finish_reading`` is awaited."""
        self.reading = True

    def finish_reading(self, waiting: list[Waiting], last: Ready | None, *, whole: bool) -> None:
        """Take in what the store had beyond the cursor; ``whole`` tells that it was all."""
        self.reading = False
        for each in waiting:
            self._append(each)
        if last is not None:
            self.cursor = max(self.cursor, (last.retry_at, last.id))
        self.more = not whole
        left, self._left = self._left, None
        if left is not None:
            self._go_back(left)
        aside, self._aside = self._aside, {}
        for each in aside.values():
            if each.id in self.tasks:
                self.tasks[each.id] = each  # the newer of the two
            else:
                self.add(each)

    def _append(self, waiting: Waiting) -> None:
        self.tasks[waiting.id] = waiting
        self.cursor = max(self.cursor, (waiting.retry_at, waiting.id))

    def _leave(self, waiting: Waiting) -> None:
        key = (waiting.retry_at, "")  # before every id of that instant
        if self.reading:
            self._left = key if self._left is None else min(self._left, key)
        else:
            self._go_back(key)

    def _go_back(self, key: Key) -> None:
        self.more = True
        self.cursor = min(self.cursor, key)


class Queues:
    """The queues of everybody connected, and those that have to be looked through."""

    def __init__(self, read: Callable[[Queue], None]) -> None:
        self._read = read
        self._queues: dict[str, Queue] = {}
        self._own: dict[str, None] = {}  # routes of one member that have to be looked through
        self._shared: dict[str, None] = {}  # and those of groups

    def get(self, route: str) -> Queue | None:
        """Return the queue of a route, if anybody could take from it."""
        return self._queues.get(route)

    def touch(self, route: str) -> None:
        """Have the queue looked through: something in it or before it changed."""
        queue = self._queues.get(route)
        if queue is not None:
            self._dirty(queue)[route] = None

    def opened(self, member: Member) -> None:
        """Make the queues a new member takes from, and read what waits in the store."""
        for route, pid in routes(member):
            queue = self._queues.get(route)
            if queue is None:
                queue = self._queues[route] = Queue(route, member.group, pid)
            self.touch(route)
            self.refill(queue)

    def closed(self, member: Member, *, last: bool) -> None:
        """Forget the queues nobody takes from any more."""
        for route, pid in routes(member):
            if last or pid is not None:
                queue = self._queues.pop(route, None)
                if queue is not None:
                    self._dirty(queue).pop(route, None)

    def freed(self, member: Member) -> None:
        """Look through the queues of a member that may have room again."""
        for route, _pid in routes(member):
            self.touch(route)

    def refill(self, queue: Queue) -> None:
        """Read on in the store when the queue runs low."""
        if queue.low:
            queue.begin_reading()
            self._read(queue)

    def dirty(self) -> Iterator[Queue]:
        """Yield each queue that has to be looked through, and strike it off.

        Queues of one member come first: nobody else can take what is in them, so that a backlog of
        the group must not stand before them.
        """
        while self._own or self._shared:
            route = next(iter(self._own or self._shared))
            queue = self._queues[route]
            yield queue
            self._dirty(queue).pop(route, None)

    def clear(self) -> None:
        """Forget everything."""
        self._queues.clear()
        self._own.clear()
        self._shared.clear()

    def _dirty(self, queue: Queue) -> dict[str, None]:
        return self._shared if queue.pid is None else self._own


def routes(member: Member) -> list[tuple[str, str | None]]:
    """Return the routes a member takes from: that of its group, and its own.

    An HTTP address is a group of its own, with one route (``engine.push``).
    """
    if member.is_address:
        return [(member.pid, None)]
    return [
        (any_route(member.group), None),
        (uni_route(member.group, member.pid), member.pid),
    ]
