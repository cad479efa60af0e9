"""The stores under test, and short ways to put objects into them.

``STORES`` is the one place that names them: a store entered here is held to the whole contract.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from resonate.core.objects import Promise, Task
from resonate.protocol.addresses import any_route
from resonate.protocol.records import EMPTY, Value
from resonate.protocol.validation import TARGET
from resonate.store.contract import Store
from resonate.store.memory import MemoryStore
from resonate.store.sqlite import SqliteStore

STORES = {
    "memory": lambda folder, **options: MemoryStore(),
    "sqlite": lambda folder, **options: SqliteStore(folder / "test.db", **options),
    "sqlite-cold": lambda folder, **options: SqliteStore(
        folder / "test.db", cache_objects_max=0, **options
    ),
    "sqlite-2": lambda folder, **options: SqliteStore(
        folder / "test.db", cache_objects_max=2, **options
    ),
}
DURABLE = ["sqlite"]  # those that keep what they have beyond their process

FAR = 10**15  # a deadline that no test reaches
TAGS = {TARGET: "poll://any@g"}
ROUTE = any_route("g")


class Stores:
    """Opens stores of one kind on one folder: what one has written the next one finds."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder

    def make(self, **options) -> Store:
        return STORES[self.kind](self.folder, **options)

    @asynccontextmanager
    async def open(self, **options) -> AsyncIterator[Store]:
        store = self.make(**options)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def promise(promise_id: str, **fields) -> Promise:
    """Return a pending promise without a task; ``fields`` replace what it has."""
    found = {
        "state": "pending",
        "param": EMPTY,
        "value": EMPTY,
        "tags": {},
        "timeout_at": FAR,
        "created_at": 0,
        **fields,
    }
    if found["state"] != "pending":
        found.setdefault("settled_at", 5)
    return Promise(promise_id, **found)


def targeted(promise_id: str, task: Task | None = None, **fields) -> Promise:
    """Return a promise with a task for group g, by default ready since instant 0."""
    task = task or Task("pending", 0, retry_at=0)
    return promise(promise_id, **{"tags": TAGS, "route": ROUTE, "task": task, **fields})


def acquired(pid: str, expires_at: int, *, version: int = 1) -> Task:
    return Task("acquired", version, pid, 10, expires_at)


async def put(store: Store, *promises: Promise) -> None:
    """Write the objects in one transaction."""

    def decide(objects):
        for each in promises:
            objects[each.id] = each
        return [each.id for each in promises]

    await store.transact([each.id for each in promises], decide)


async def look(store: Store, reads: Iterable[str]) -> dict[str, Promise | None]:
    """Return the objects as a decision is given them."""
    seen: dict[str, Promise | None] = {}
    reads = list(reads)

    def decide(objects):
        seen.update((each, objects[each]) for each in reads)
        return ()

    await store.transact(reads, decide)
    return seen


async def get(store: Store, promise_id: str) -> Promise | None:
    return (await look(store, [promise_id]))[promise_id]


def value(data: str) -> Value:
    return Value(None, data)
