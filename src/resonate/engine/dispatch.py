"""Dispatch: which ready task goes to which member, now.

Rules:
- A member with a free slot gets the oldest task it may have, at once; a full one gets nothing.
- A task is given to one member at a time: claimed for it, when its connection asked for that, or
  offered.
- Preferences, in this order: the exact member of a ``uni`` address (its tasks come before those of
  the group); the member named by ``any`` or the last holder of a parked workflow, unless it
  failed; then whoever is least loaded, rather not the one that failed.
- A task that tells which function it calls goes to members that can run that; while nobody in the
  group can, it waits. One that a member gave back goes to others, or rests (``hints``).
- Nothing here writes: ``next`` names task and member, the engine acts on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice

from msgspec import Struct

from resonate.core.objects import BranchOf, Promise, is_ready
from resonate.core.state import State
from resonate.engine.clock import Clock
from resonate.engine.hints import Hints
from resonate.engine.members import Directory, Group, Member
from resonate.engine.offers import Offer, Offers
from resonate.engine.queues import Queue, Queues, Waiting
from resonate.protocol.addresses import (
    has_function,
    is_pushed,
    parse_address,
    push_group,
)
from resonate.protocol.limits import RECYCLE_HOLD_MS
from resonate.protocol.validation import BRANCH, TARGET
from resonate.store.contract import Ready

_FIND_SECONDS = 1.0  # between two looks for functions, where there are more than may be in memory
_HEADS = 256  # tasks at the head of a queue that are loaded together


class Match(Struct, frozen=True):
    """A task and the member that gets it."""

    waiting: Waiting
    member: Member
    queue: Queue


class Dispatch:
    """Brings ready tasks and free members together.

    ``look`` asks the engine for a batch that loads objects, with their branches, and shows them to
    ``see``; ``read`` asks it to read a queue on from the store and to call ``refilled``; ``find``
    to look there for functions of a group that are waited for, and to call ``found``.
    """

    def __init__(
        self,
        clock: Clock,
        directory: Directory,
        *,
        look: Callable[[list[str]], None],
        read: Callable[[Queue], None],
        find: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._look = look
        self._find = find
        self._queues = Queues(read, find, self._find_later)
        self._offers = Offers(directory, self._offer_ended)
        self._hints = Hints()
        self._recycled: dict[tuple[str, str], int] = {}

    # --- members ----------------------------------------------------------------------------------

    def joined(self, member: Member) -> None:
        """A member is there: what waits for it can go."""
        if member.terms.capacity > 0:
            self._recycled.pop((member.group, member.pid), None)
            self._queues.opened(member)
            self._hints.joined(member)
            self.freed(member)

    def left(self, member: Member, *, recycled: bool) -> None:
        """A member is gone; one whose stream the server itself ended is waited for a little."""
        if recycled:
            self._hold(member)
        self._offers.left(member)
        self._queues.closed(member, self._directory.groups.get(member.group))

    def freed(self, member: Member) -> None:
        """A member may have room again."""
        if member.free:
            self._queues.freed(member)
            self._offers.freed(member)
            rested = self._hints.rouse(member)
            if rested:
                self._look(rested)

    def answered(self, member: Member) -> None:
        """A member tried to acquire something."""
        self._offers.answered(member)

    def clear(self) -> None:
        """Forget all tasks; ``joined``, called again for every member, reads them anew."""
        self._offers.clear()
        self._queues.clear()
        self._hints.clear()

    def _hold(self, member: Member) -> None:
        key = (member.group, member.pid)
        self._recycled[key] = until = self._clock.now() + RECYCLE_HOLD_MS
        loop = asyncio.get_running_loop()
        loop.call_later(RECYCLE_HOLD_MS / 1000, self._unhold, key, until)

    def _unhold(self, key: tuple[str, str], until: int) -> None:
        if self._recycled.get(key) == until:
            del self._recycled[key]
            group = self._directory.groups.get(key[0])
            if group is not None:
                for member in group.members.values():
                    self.freed(member)
                self._look([])

    # --- tasks ------------------------------------------------------------------------------------

    def see(self, before: Promise | None, after: Promise, now: int) -> None:
        """Take note of a change, or of a look at an object."""
        task = after.task
        if task is None or after.route is None:
            return
        queue = self._queues.get(after.route)
        if queue is not None and queue.looking == after.id:
            queue.looking = None
            self._queues.touch(queue.route)
        if not is_ready(after, now):
            if queue is not None:
                queue.drop(after.id)
            self._end_offer(after.id)
            if task.state != "pending":
                self._offers.settled(after.id)
            self._hints.see(before, after)
            return
        if queue is None and has_function(after.route):
            queue = self._open(after)
        offer = self._offers.get(after.id)
        if offer is not None and offer.waiting.version == task.version:
            return
        self._end_offer(after.id)
        if queue is None:
            return
        assert task.retry_at is not None
        if after.id not in queue.tasks:
            self._enter(queue, Ready(after.id, task.version, task.retry_at, after.tags[TARGET]))
        else:
            queue.tasks[after.id].version = task.version
        self._queues.touch(queue.route)

    def _open(self, promise: Promise) -> Queue | None:
        """Make the queue of a function that is called for the first time, if anybody can run it."""
        assert promise.route is not None
        group = self._directory.groups.get(_group_of(promise.tags[TARGET]))
        return None if group is None else self._queues.open_function(promise.route, group)

    def look_from(self, group: str) -> tuple[str, int]:
        """Return the route behind which a look for functions begins, and what ``found`` wants."""
        return self._queues.look_from(group), self._queues.epoch

    def found(self, name: str, after: str, routes: list[str], epoch: int) -> bool:
        """Take in for which functions of a group tasks wait in the store, behind a route.

        Return whether to look for more.
        """
        group = self._directory.groups.get(name)
        if group is None or epoch != self._queues.epoch:
            return False
        return self._queues.found(group, after, routes)

    def _find_later(self, group: str) -> None:
        asyncio.get_running_loop().call_later(_FIND_SECONDS, self._find, group)

    def released(self, task_id: str, pid: str | None, target: str, route: str) -> None:
        """The holder gave the task back."""
        group = self._directory.groups.get(_group_of(target))
        if group is None:
            return
        holder = route if is_pushed(route) else pid  # who runs behind an address goes by any pid
        if self._hints.released(task_id, holder, route, group, self._clock.now()):
            self._wake_later(task_id)

    def lost(self, task_id: str, pid: str, version: int) -> None:
        """The holder is gone, or let its lease run out."""
        self._hints.lost(task_id, pid, version)

    def loser(self, task_id: str, version: int) -> str | None:
        """Return who lost the lease of that version."""
        return self._hints.loser(task_id, version)

    def _wake_later(self, task_id: str) -> None:
        """Have a resting task looked at when its rest is over: nothing else would."""
        left = self._hints.rests(task_id, self._clock.now())
        if left > 0:
            asyncio.get_running_loop().call_later(left / 1000, self._wake_later, task_id)
        else:
            self._hints.rested(task_id)
            self._look([task_id])

    def refilled(self, queue: Queue, found: list[Ready], *, whole: bool) -> None:
        """Take in what the store has beyond ``queue.cursor``."""
        fresh = [
            self._waiting(ready)
            for ready in found
            if ready.id not in queue.tasks
            and self._offers.get(ready.id) is None
            and not self._rests(ready.id)
        ]
        queue.finish_reading(fresh, found[-1] if found else None, whole=whole)
        if self._queues.get(queue.route) is queue:
            self._queues.touch(queue.route)
            self._queues.refill(queue)

    def _enter(self, queue: Queue, ready: Ready) -> None:
        if not self._rests(ready.id):
            queue.add(self._waiting(ready))

    def _waiting(self, ready: Ready) -> Waiting:
        address = parse_address(ready.target)
        waiting = Waiting(ready.id, ready.version, ready.retry_at)
        waiting.prefer = address.id if address is not None else None
        hint = self._hints.get(ready.id)
        if hint is not None and (hint.failed or hint.refused):
            waiting.avoid = hint.avoid
        elif hint is not None and waiting.prefer is None:
            waiting.prefer = hint.holder
        return waiting

    def _rests(self, task_id: str) -> bool:
        return self._hints.rests(task_id, self._clock.now()) > 0

    # --- giving -----------------------------------------------------------------------------------

    def next(self, state: State) -> Match | None:
        """Return the next task to be given and the member that gets it.

        The caller claims the task or calls ``offer``, and tells ``see`` what changed, before it
        asks again.
        """
        for queue in self._queues.dirty():
            group = self._directory.groups.get(queue.group)
            if queue.pid is None and group is not None and not group.has_room:
                self._queues.full(queue.group)
                continue
            self._queues.refill(queue)
            match = self._match(queue, state)
            if match is not None:
                self._queues.touch(queue.route)
                return match
        return None

    def offer(self, match: Match) -> Offer:
        """Remember that the member is being offered the task."""
        return self._offers.make(match.waiting, match.member, match.queue)

    def withdrawn(self, task_id: str) -> None:
        """An offer that was taken could not be delivered after all."""
        offer = self._offers.get(task_id)
        if offer is not None:
            self.refused(offer)

    def has_tasks(self, route: str) -> bool:
        """Tell whether tasks of a route wait that somebody could take."""
        queue = self._queues.get(route)
        return queue is not None and (bool(queue.tasks) or queue.more or queue.reading)

    def refused(self, offer: Offer) -> None:
        """The connection did not take the offer: somebody else gets it."""
        self._offers.refuse(offer)

    def _match(self, queue: Queue, state: State) -> Match | None:
        group = self._directory.groups.get(queue.group)
        while group is not None:
            pair = self._first(group, queue)
            if pair is None:
                return None
            waiting, member = pair
            if not state.knows(waiting.id) or _lacks_branch(state, waiting.id):
                self._load_heads(queue, waiting.id)
                return None
            queue.drop(waiting.id)
            promise = state.view(waiting.id)
            if promise is not None and promise.task is not None and is_ready(promise, state.now):
                waiting.version = promise.task.version
                return Match(waiting, member, queue)
        return None

    def _first(self, group: Group, queue: Queue) -> tuple[Waiting, Member] | None:
        """Return the oldest task that somebody can take now. Held ones do not stop the others."""
        for waiting in queue.tasks.values():
            member = self._choose(group, queue, waiting)
            if member is not None:
                return waiting, member
            if not self._is_held(queue, waiting):
                return None
        return None

    def _choose(self, group: Group, queue: Queue, waiting: Waiting) -> Member | None:
        wish = queue.pid or waiting.prefer
        if wish is not None and (queue.pid is not None or wish not in waiting.avoid):
            member = group.members.get(wish)
            if member is not None and member.free and member.can_run(queue.function):
                return member
            if queue.pid is not None or self._is_held(queue, waiting):
                return None
        return group.pick(queue.function, waiting.avoid)

    def _is_held(self, queue: Queue, waiting: Waiting) -> bool:
        return waiting.prefer is not None and (queue.group, waiting.prefer) in self._recycled

    def _load_heads(self, queue: Queue, first: str) -> None:
        if queue.looking is None:
            queue.looking = first
            heads = islice(queue.tasks.values(), _HEADS)
            others = [each.id for each in heads if each.id != first]
            self._look([first, *others])

    def _end_offer(self, task_id: str) -> None:
        offer = self._offers.end(task_id)
        if offer is not None:
            self.freed(offer.member)

    def _offer_ended(self, offer: Offer, avoid: str | None) -> None:
        """An offer ended without anybody having the task: it goes back to the front."""
        queue = self._queues.get(offer.queue.route)
        if queue is not None:
            offer.waiting.avoid = frozenset(() if avoid is None else (avoid,))
            queue.again(offer.waiting)
            self._queues.touch(queue.route)
        self._look([offer.waiting.id])


def _lacks_branch(state: State, task_id: str) -> bool:
    """Tell whether what the holder is to be told with its task is not loaded.

    Before the first lease there is nothing: local steps are created by holders.
    """
    promise = state.stored(task_id)
    if promise is None or promise.task is None or promise.task.version == 0:
        return False
    return bool(promise.tags.get(BRANCH)) and not state.knows(BranchOf(task_id))


def _group_of(target: str) -> str:
    """Return the name of the group whose members may have a task."""
    address = parse_address(target)
    assert address is not None, "a promise with a route has a target"
    return push_group(address.route) if address.cast == "http" else address.group
