"""The store in memory: same contract, nothing durable.

For ``resonate dev``, local mode and tests. Scans walk over everything; they are rare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from resonate.core import searches
from resonate.core.objects import (
    Branch,
    BranchOf,
    Key,
    Promise,
    Schedule,
    Stored,
    due,
    is_ready,
    project,
    size,
)
from resonate.core.state import Objects
from resonate.protocol import requests as rq
from resonate.protocol.validation import BRANCH, ORIGIN, PARENT, TARGET
from resonate.store.contract import Decide, Held, Obligation, Ready
from resonate.store.pages import Page, page

Found = Stored | tuple[str, ...] | None


class _View(dict[Key, Found]):
    """The objects of one decision; what is not loaded yet is looked up."""

    def __init__(self, find: Callable[[Key], Found]) -> None:
        self._find = find

    def __contains__(self, _key: object) -> bool:
        return True

    def __missing__(self, key: Key) -> Found:
        found = self[key] = self._find(key)
        return found


class MemoryStore:
    """Objects in a dict. Never fails, never forgets before the process ends."""

    def __init__(self) -> None:
        self._objects: dict[Key, Stored] = {}
        self._branches: dict[str, dict[str, None]] = {}

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def recover(self) -> None:
        """Nothing can have failed."""

    async def transact(self, reads: Iterable[Key], decide: Decide) -> None:
        """Decide on a view of the objects and keep what changed."""
        objects: Objects = _View(self._find)
        for key in reads:
            objects[key] = self._find(key)
        for key in decide(objects):
            new = objects[key]
            assert not isinstance(new, tuple), "branches are not changed, their promises are"
            self._keep(key, new)

    def _find(self, key: Key) -> Found:
        if isinstance(key, Branch):
            return tuple(sorted(self._branches.get(key.name, ())))
        if not isinstance(key, BranchOf):
            return self._objects.get(key)
        promise = self._objects.get(key.promise_id)
        if not isinstance(promise, Promise):
            return ()
        return self._find(Branch(promise.tags.get(BRANCH, "")))

    def _keep(self, key: Key, new: Stored | None) -> None:
        if new is not None:
            self._objects[key] = new
            if isinstance(new, Promise) and new.tags.get(BRANCH):
                self._branches.setdefault(new.tags[BRANCH], {})[new.id] = None
            return
        old = self._objects.pop(key, None)
        if isinstance(old, Promise) and old.tags.get(BRANCH):
            branch = self._branches[old.tags[BRANCH]]
            del branch[old.id]
            if not branch:
                del self._branches[old.tags[BRANCH]]

    def uncommitted(self, _key: Key) -> bool:
        """Everything decided is kept at once."""
        return False

    # --- scans ------------------------------------------------------------------------------------

    def _promises(self) -> Iterator[Promise]:
        return (each for each in self._objects.values() if isinstance(each, Promise))

    async def due(self, after: int, until: int, limit: int) -> list[tuple[int, Key]]:
        """Walk over all objects."""
        found = [
            (instant, key)
            for key, stored in self._objects.items()
            for instant in _instants(stored)
            if after < instant <= until
        ]
        return sorted(found, key=lambda each: each[0])[:limit]

    async def ready(self, route: str, after: tuple[int, str], now: int, limit: int) -> list[Ready]:
        """Walk over all objects."""
        found = []
        for promise in self._promises():
            if promise.route == route and is_ready(promise, now):
                task = promise.task
                assert task is not None
                assert task.retry_at is not None
                if (task.retry_at, promise.id) > after:
                    target = promise.tags[TARGET]
                    found.append(Ready(promise.id, task.version, task.retry_at, target))
        return sorted(found, key=lambda each: (each.retry_at, each.id))[:limit]

    async def routes(self, after: str, until: str, limit: int) -> list[str]:
        """Walk over all objects."""
        routes = {
            each.route
            for each in self._promises()
            if each.task is not None
            and each.task.state == "pending"
            and each.route is not None
            and after < each.route < until
        }
        return sorted(routes)[:limit]

    async def held(self, after: str, limit: int) -> list[Held]:
        """Walk over all objects."""
        found = []
        for promise in self._promises():
            task = promise.task
            if task is not None and task.pid is not None and promise.id > after:
                found.append(Held(promise.id, task.version, task.pid))
        return sorted(found, key=lambda each: each.id)[:limit]

    async def obligations(self, after: tuple[int, str], limit: int) -> list[Obligation]:
        """Walk over all objects."""
        found = [
            Obligation(each.id, each.settled_at, each.listeners, len(each.callbacks))
            for each in self._promises()
            if each.settled_at is not None
            and (each.listeners or each.callbacks)
            and (each.settled_at, each.id) > after
        ]
        return sorted(found, key=lambda each: (each.settled_at, each.id))[:limit]

    async def promises(self, query: rq.PromiseSearchData, now: int, limit: int) -> Page[Promise]:
        """Walk over all objects."""
        found = searches.promises(self._promises(), query, now)
        return page(((each, size(each)) for each in found), limit)

    async def tasks(self, query: rq.TaskSearchData, now: int, limit: int) -> Page[Promise]:
        """Walk over all objects."""
        found = searches.tasks(self._promises(), query, now)
        return page(((each, 0) for each in found), limit)

    async def schedules(self, query: rq.ScheduleSearchData, limit: int) -> Page[Schedule]:
        """Walk over all objects."""
        every = (each for each in self._objects.values() if isinstance(each, Schedule))
        found = searches.schedules(every, query)
        return page(((each, len(each.promise_param.data or "")) for each in found), limit)

    async def count_promises(self, query: rq.PromiseSearchData, now: int) -> dict[str, int]:
        """Walk over all objects."""
        matching = (each for each in self._promises() if searches.matches(each, query, now))
        return Counter(project(each, now).state for each in matching)

    async def count_tasks(self, query: rq.TaskSearchData, now: int) -> dict[str, int]:
        """Walk over all objects."""
        return Counter(
            searches.task_state(each, now)
            for each in self._promises()
            if each.task is not None and each.id.startswith(query.id_prefix or "")
        )

    async def expendable(self, after: str, before: int, limit: int) -> tuple[list[str], str | None]:
        """Walk over all objects."""
        awaiters = {
            awaiter
            for each in self._promises()
            if each.state == "pending"
            for awaiter in each.callbacks
        }
        ids = sorted(each.id for each in self._promises() if each.id > after)[:limit]
        found = [
            each.id
            for each in map(self._promise, ids)
            if each.settled_at is not None
            and each.settled_at < before
            and not each.callbacks
            and not each.listeners
            and each.id not in awaiters
            and not any(map(self._is_alive, _families(each)))
        ]
        return found, ids[-1] if ids else None

    def _promise(self, promise_id: str) -> Promise:
        promise = self._objects[promise_id]
        assert isinstance(promise, Promise)
        return promise

    def _is_alive(self, promise_id: str | None) -> bool:
        found = None if promise_id is None else self._objects.get(promise_id)
        return isinstance(found, Promise) and found.state == "pending"

    async def snapshot(self) -> dict[Key, Stored]:
        """Copy the dict."""
        return dict(self._objects)

    async def reset(self) -> None:
        """Forget everything."""
        self._objects.clear()
        self._branches.clear()


def _families(promise: Promise) -> tuple[str | None, ...]:
    """Return the ids of the promises that this one is a part of."""
    tags = promise.tags
    return tags.get(ORIGIN), tags.get(BRANCH), tags.get(PARENT)


def _instants(stored: Stored) -> list[int]:
    """Return the deadline, the end of the lease and the start of a delayed task; a next run."""
    if isinstance(stored, Schedule):
        instant = due(stored, now=0)
        return [] if instant is None else [instant]
    if stored.state != "pending":
        return []
    instants = [stored.timeout_at]
    task = stored.task
    if task is not None and task.expires_at is not None:
        instants.append(task.expires_at)
    if task is not None and task.retry_at is not None and task.retry_at > stored.created_at:
        instants.append(task.retry_at)
    return instants
