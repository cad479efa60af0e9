"""Queues: the ready tasks of each route, oldest first, as far as they are kept in memory.

Rules:
- A queue exists while somebody is connected who could take from it; without anybody the tasks just
  wait in the store.
- Tasks that call a function have a queue of that function. It is made when something is in it, and
  somebody can run the function; how many a group has is bounded, further ones wait in the store.
- Of the queues that have to be looked through, those of one member come first, then that whose
  first task is the oldest. One where nobody has room is looked through again when somebody has.
- Bounded: while ``more`` is set the store has tasks that are not here. New ones are left to it
  too, and all of them are read from there, in order, when the queue runs low.
- Reading goes on from ``cursor``: no ready task at or before it is only in the store. A task that
  is left to the store moves it back: instants repeat, and a task that rested is older than others.
- What arrives while reading is under way is kept aside, so that reading comes to an end.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from msgspec import Struct

from resonate.engine.members import Group, Member
from resonate.protocol.addresses import function_of
from resonate.protocol.limits import FUNCTION_QUEUES_MAX, INT64_MAX, QUEUE_TASKS_MAX
from resonate.store.contract import Ready

Key = tuple[int, str]  # retry_at and id: the order of a queue
_LAST: Key = (INT64_MAX, "")
_TOLD_MAX = 1_000
log = logging.getLogger("resonate.engine")


class Waiting(Struct):
    """A ready task in a queue: which member should have it, and which rather not."""

    id: str
    version: int
    retry_at: int
    prefer: str | None = None
    avoid: frozenset[str] = frozenset()


class Queue:
    """Ready tasks of one route; ``pid`` is set when exactly one member may take them.

    ``function`` is the key of the function that they call, None when nobody knows.
    """

    def __init__(self, route: str, group: str, pid: str | None) -> None:
        self.route = route
        self.group = group
        self.pid = pid
        self.function = function_of(route)
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

    @property
    def idle(self) -> bool:
        """Tell whether nothing is in it, here or in the store."""
        return not self.tasks and not self.more and not self.reading

    @property
    def head(self) -> Key:
        """Return how old its first task is."""
        for first in self.tasks.values():
            return (first.retry_at, first.id)
        return _LAST

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
    """The queues of everybody connected, and those that have to be looked through.

    ``read`` asks for a queue to be read on from the store; ``find`` for a look for the functions of
    a group for which tasks wait there: from ``look_from`` on and round, telling ``found``, while
    that has room. ``find_later`` does so after a while.
    """

    def __init__(
        self,
        read: Callable[[Queue], None],
        find: Callable[[str], None],
        find_later: Callable[[str], None],
    ) -> None:
        self._read = read
        self._find = find
        self._find_later = find_later
        self._queues: dict[str, Queue] = {}
        self._own: dict[str, None] = {}  # routes of one member that have to be looked through
        self._shared: dict[str, None] = {}  # and those of groups
        self._stuck: dict[str, dict[str, None]] = {}  # by group: routes that wait for room
        self._functions: dict[str, dict[str, Queue]] = {}  # by group: the queues of functions
        self._crews: dict[str, set[frozenset[str] | None]] = {}  # by group: who was looked for
        self._unknown: dict[str, None] = {}  # routes of functions that nobody could run
        self._crowded: dict[str, str] = {}  # groups with too many: the route to go on behind
        self._due: dict[str, None] = {}  # those of them that are looked at soon
        self._ordered: list[Queue] = []  # the shared ones to be looked through, the oldest last
        self.epoch = 0  # how often everything was forgotten

    def get(self, route: str) -> Queue | None:
        """Return the queue of a route, if anybody could take from it."""
        return self._queues.get(route)

    def touch(self, route: str) -> None:
        """Have the queue looked through: something in it or before it changed."""
        queue = self._queues.get(route)
        if queue is not None:
            self._dirty(queue)[route] = None
            self._ordered.clear()
            self._stuck.get(queue.group, {}).pop(route, None)

    # --- queues come and go -----------------------------------------------------------------------

    def opened(self, member: Member) -> None:
        """Make the queues a new member takes from, and read what waits in the store."""
        self._open(member.shared_route, member.group, None)
        if member.own_route is None:
            return
        self._open(member.own_route, member.group, member.pid)
        crews = self._crews.setdefault(member.group, set())
        if member.terms.functions not in crews:
            crews.add(member.terms.functions)
            self._find(member.group)

    def closed(self, member: Member, group: Group | None) -> None:
        """Forget the queues nobody takes from any more; ``group`` is what is left of the group."""
        if member.own_route is not None:
            self._close(member.own_route)
        if group is None:
            self._close(member.shared_route)
            self._crews.pop(member.group, None)
            self._crowded.pop(member.group, None)
        if group is None or (member.crew is not None and not member.crew.size):
            self._crews.get(member.group, set()).discard(member.terms.functions)
            mine = list(self._functions.get(member.group, {}).values())
            gone = [each for each in mine if group is None or not group.can_run(each.function)]
            for queue in gone:
                self._close(queue.route)
            if group is not None:
                self._tell_unknown(group, [queue.route for queue in gone if not queue.idle])
            self._resume(member.group)
        if group is None:
            self._stuck.pop(member.group, None)
            self._functions.pop(member.group, None)

    def open_function(self, route: str, group: Group) -> Queue | None:
        """Make the queue of a function of a group; None when nobody there can run it.

        None, too, when there are as many as may be: it is found when others are empty.
        """
        if not group.can_run(function_of(route)):
            self._tell_unknown(group, [route])
            return None
        mine = self._functions.setdefault(group.name, {})
        if route not in mine and len(mine) >= FUNCTION_QUEUES_MAX:
            self._crowded.setdefault(group.name, "")
            self._resume(group.name)
            if not self._make_room(group):
                return None
        self._unknown.pop(route, None)
        queue = mine[route] = self._open(route, group.name, None)
        return queue

    def _make_room(self, group: Group) -> bool:
        """Close queues of functions that have nothing to do, or else one whose members are full."""
        mine = self._functions[group.name]
        for queue in [queue for queue in mine.values() if queue.idle]:
            self._close(queue.route)
        if len(mine) < FUNCTION_QUEUES_MAX:
            return True
        for route in self._stuck.get(group.name, ()):
            if route in mine and group.pick(mine[route].function) is None:
                self._close(route)
                return True
        return False

    def _resume(self, group: str) -> None:
        """Look soon for functions that had no room, if there are any."""
        if group in self._crowded and group not in self._due:
            self._due[group] = None
            self._find_later(group)

    def _tell_unknown(self, group: Group, routes: list[str]) -> None:
        """Say, once, that functions are called which nobody in a group of workers knows."""
        fresh = [route for route in routes if route not in self._unknown]
        if not group.works or not fresh:
            return
        if len(self._unknown) >= _TOLD_MAX:
            self._unknown.clear()
        self._unknown.update(dict.fromkeys(fresh))
        others = f" and {len(fresh) - 1} others" if len(fresh) > 1 else ""
        log.warning(
            "no worker of group %s has function %s%s: calls wait for one that has",
            group.name,
            unquote(function_of(fresh[0]) or ""),
            others,
        )

    def look_from(self, group: str) -> str:
        """Return the route behind which the look for functions of a group begins."""
        self._due.pop(group, None)
        return self._crowded.pop(group, "")

    def found(self, group: Group, after: str, routes: list[str]) -> bool:
        """Make the queues of functions that have tasks in the store, behind one; False: no room."""
        for route in routes:
            if self.open_function(route, group) is None and group.can_run(function_of(route)):
                self._crowded[group.name] = after
                return False
            after = route
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._queues.clear()
        self._own.clear()
        self._shared.clear()
        self._stuck.clear()
        self._functions.clear()
        self._crews.clear()
        self._unknown.clear()
        self._crowded.clear()
        self._due.clear()
        self._ordered.clear()
        self.epoch += 1

    def _open(self, route: str, group: str, pid: str | None) -> Queue:
        queue = self._queues.get(route)
        if queue is None:
            queue = self._queues[route] = Queue(route, group, pid)
        self.touch(route)
        self.refill(queue)
        return queue

    def _close(self, route: str) -> None:
        queue = self._queues.pop(route, None)
        if queue is None:
            return
        self._dirty(queue).pop(route, None)
        self._ordered.clear()
        for routes in (self._stuck.get(queue.group), self._functions.get(queue.group)):
            if routes is not None:
                routes.pop(route, None)

    # --- looking through them ---------------------------------------------------------------------

    def freed(self, member: Member) -> None:
        """Look through the queues of a member that may have room again."""
        own = None if member.own_route is None else self._queues.get(member.own_route)
        if own is not None and own.tasks:
            self._own[own.route] = None
        stuck = self._stuck.get(member.group)
        if stuck:
            for route in [each for each in stuck if member.can_run(function_of(each))]:
                del stuck[route]
                self._shared[route] = None
            self._ordered.clear()
        self._resume(member.group)

    def full(self, group: str) -> None:
        """Nobody of a group has room: its queues wait for that."""
        for route in [each for each in self._shared if self._queues[each].group == group]:
            self._strike(self._queues[route])

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
            queue = self._next()
            yield queue
            self._strike(queue)

    def _next(self) -> Queue:
        if self._own:
            return self._queues[next(iter(self._own))]
        while self._ordered:
            queue = self._ordered.pop()
            if queue.route in self._shared:
                return queue
        self._ordered = [self._queues[route] for route in self._shared]
        self._ordered.sort(key=lambda queue: queue.head, reverse=True)
        return self._ordered.pop()

    def _strike(self, queue: Queue) -> None:
        self._dirty(queue).pop(queue.route, None)
        if queue.pid is not None or self._queues.get(queue.route) is not queue:
            return
        if queue.tasks or (queue.more and not queue.reading):
            self._stuck.setdefault(queue.group, {})[queue.route] = None
        if queue.function is not None:
            self._resume(queue.group)

    def _dirty(self, queue: Queue) -> dict[str, None]:
        return self._shared if queue.pid is None else self._own
