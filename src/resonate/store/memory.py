"""The store in memory: same contract, nothing durable.

For ``resonate dev``, local mode and tests. Scans walk over everything; they are rare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from resonate.core.objects import Promise, is_ready
from resonate.core.state import Objects
from resonate.protocol.validation import TARGET
from resonate.store.contract import Decide, Held, Obligation, Ready


class _View(dict[str, Promise | None]):
    """The objects of one decision; what is not loaded yet is looked up."""

    def __init__(self, find: Callable[[str], Promise | None]) -> None:
        self._find = find

    def __contains__(self, _promise_id: object) -> bool:
        return True

    def __missing__(self, promise_id: str) -> Promise | None:
        promise = self[promise_id] = self._find(promise_id)
        return promise


class MemoryStore:
    """Objects in a dict. Never fails, never forgets before the process ends."""

    def __init__(self) -> None:
        self._objects: dict[str, Promise] = {}

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def recover(self) -> None:
        """Nothing can have failed."""

    async def transact(self, reads: Iterable[str], decide: Decide) -> None:
        """Decide on a view of the objects and keep what changed."""
        objects: Objects = _View(self._objects.get)
        for promise_id in reads:
            objects[promise_id] = self._objects.get(promise_id)
        for promise_id in decide(objects):
            promise = objects[promise_id]
            assert promise is not None, "objects are never taken away by a decision"
            self._objects[promise_id] = promise

    def uncommitted(self, _promise_id: str) -> bool:
        """Everything decided is kept at once."""
        return False

    async def due(self, after: int, until: int, limit: int) -> list[tuple[int, str]]:
        """Walk over all objects."""
        found = [
            (instant, promise.id)
            for promise in self._objects.values()
            for instant in _instants(promise)
            if after < instant <= until
        ]
        return sorted(found)[:limit]

    async def ready(self, route: str, after: tuple[int, str], now: int, limit: int) -> list[Ready]:
        """Walk over all objects."""
        found = []
        for promise in self._objects.values():
            if promise.route == route and is_ready(promise, now):
                task = promise.task
                assert task is not None
                assert task.retry_at is not None
                if (task.retry_at, promise.id) > after:
                    target = promise.tags[TARGET]
                    found.append(Ready(promise.id, task.version, task.retry_at, target))
        return sorted(found, key=lambda each: (each.retry_at, each.id))[:limit]

    async def held(self, after: str, limit: int) -> list[Held]:
        """Walk over all objects."""
        found = []
        for promise in self._objects.values():
            task = promise.task
            if task is not None and task.pid is not None and promise.id > after:
                found.append(Held(promise.id, task.version, task.pid))
        return sorted(found, key=lambda each: each.id)[:limit]

    async def obligations(self, after: tuple[int, str], limit: int) -> list[Obligation]:
        """Walk over all objects."""
        found = [
            Obligation(each.id, each.settled_at, each.listeners, len(each.callbacks))
            for each in self._objects.values()
            if each.settled_at is not None
            and (each.listeners or each.callbacks)
            and (each.settled_at, each.id) > after
        ]
        return sorted(found, key=lambda each: (each.settled_at, each.id))[:limit]

    async def snapshot(self) -> dict[str, Promise]:
        """Copy the dict."""
        return dict(self._objects)


def _instants(promise: Promise) -> list[int]:
    """Return the deadline, the end of the lease and the start of a delayed task."""
    if promise.state != "pending":
        return []
    instants = [promise.timeout_at]
    task = promise.task
    if task is not None and task.expires_at is not None:
        instants.append(task.expires_at)
    if task is not None and task.retry_at is not None and task.retry_at > promise.created_at:
        instants.append(task.retry_at)
    return instants
