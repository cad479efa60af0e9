"""Load from the cache or the file, decide on the event loop, commit on the writer's thread.

Rules:
- Everything here runs on the event loop. Decisions follow one another without a pause between load
  and decide, so the cache is always the truth.
- Group commit: while one group is being written, all decisions go into the next one. An object that
  changes several times in a group is written once.
- When a commit fails, everything decided since is dropped with it and the cache is emptied. After
  that, or a read that failed, nothing is served until ``recover`` has seen a durable write succeed.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import msgspec

from resonate.core.objects import Promise
from resonate.core.state import Objects
from resonate.protocol.errors import Unavailable
from resonate.protocol.limits import CACHE_BYTES_MAX, CACHE_OBJECTS_MAX, STEP_OBJECTS_MAX
from resonate.store.contract import Decide, Held, Obligation, Ready
from resonate.store.queries import queries
from resonate.store.sqlite.cache import Cache
from resonate.store.sqlite.database import PACKAGE, FileLock, close_quietly, open_all
from resonate.store.sqlite.writer import Writer, unavailable


class _Group:
    """Objects that are committed together, and the future of that commit."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.objects: dict[str, Promise] = {}
        self.done: asyncio.Future[None] = loop.create_future()


class _View(dict[str, Promise | None]):
    """The objects of one decision; what is cached can be had without being asked for."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def __contains__(self, promise_id: object) -> bool:
        return super().__contains__(promise_id) or promise_id in self._cache

    def __missing__(self, promise_id: str) -> Promise:
        promise = self._cache.get(promise_id)
        if promise is None:
            raise KeyError(promise_id)
        self[promise_id] = promise
        return promise


class SqliteStore:
    """The contract on one SQLite file.

    ``path`` is the database file, created when missing. ``vfs`` names another SQLite file layer;
    tests inject disk faults with it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        vfs: str | None = None,
        cache_objects_max: int = CACHE_OBJECTS_MAX,
        cache_bytes_max: int = CACHE_BYTES_MAX,
    ) -> None:
        self.path = Path(path)
        self._vfs = vfs
        self._sql = queries(PACKAGE)
        self._cache = Cache(objects_max=cache_objects_max, bytes_max=cache_bytes_max)
        self._lock = FileLock(self.path)
        self._decoder = msgspec.json.Decoder(Promise)
        self._obligation = msgspec.json.Decoder(tuple[str, ...])
        self._failure: Exception | None = None

    async def open(self) -> None:
        """Lock, migrate and open the file; raises StartError with one clear sentence."""
        self._lock.acquire()
        try:
            first, self._reader, self._scanner, folder = open_all(self.path, 4, vfs=self._vfs)
        except BaseException:
            self._lock.release()
            raise
        self._writer = Writer(first, folder)
        self._loop = asyncio.get_running_loop()
        self._scans = ThreadPoolExecutor(1, thread_name_prefix="resonate-scan")
        self._open = _Group(self._loop)
        self._written: _Group | None = None
        self._writer.start()

    async def close(self) -> None:
        """Wait for the commits under way, fold the log into the file, close it."""
        while self._written is not None:
            await asyncio.wait([self._written.done])
        try:
            await asyncio.to_thread(self._scans.shutdown)
            for connection in (self._reader, self._scanner):
                close_quietly(connection)
            await asyncio.to_thread(self._writer.stop)  # the last to close folds the log
        finally:
            self._lock.release()

    async def recover(self) -> None:
        """Serve again once a durable write succeeds; raises Unavailable until then."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._writer.probe(f"{time.time():.3f}", self._answer(functools.partial(_settle, done)))
        await done
        self._failure = None

    # --- transactions -----------------------------------------------------------------------------

    async def transact(self, reads: Iterable[str], decide: Decide) -> None:
        """Load, decide, and return when everything decided so far is durable."""
        if self._failure is not None:
            raise Unavailable(str(self._failure))
        try:
            objects = self._load(reads)
        except apsw.Error as error:
            self._failure = unavailable(error)
            raise Unavailable(str(self._failure)) from error
        changed = decide(objects)
        if changed:
            group = self._open
            for promise_id in changed:
                promise = objects[promise_id]
                assert promise is not None, "objects are never taken away by a decision"
                self._cache.put(promise)
                group.objects[promise_id] = promise
            self._write_next()
        elif self._open.objects:
            group = self._open
        elif self._written is not None:
            group = self._written
        else:
            return
        await asyncio.shield(group.done)

    def uncommitted(self, promise_id: str) -> bool:
        """Tell whether the object is in a group that is not durable yet."""
        return promise_id in self._open.objects or (
            self._written is not None and promise_id in self._written.objects
        )

    def _load(self, reads: Iterable[str]) -> Objects:
        objects = _View(self._cache)
        self._fetch(objects, reads)
        awaiters = [
            awaiter
            for promise in list(objects.values())
            if promise is not None and promise.callbacks
            for awaiter in promise.callbacks[:STEP_OBJECTS_MAX]
        ]
        if awaiters:
            self._fetch(objects, awaiters)
        self._cache.trim(self.uncommitted)
        return objects

    def _fetch(self, objects: dict[str, Promise | None], ids: Iterable[str]) -> None:
        missing = []
        for promise_id in ids:
            promise = objects[promise_id] = self._cache.get(promise_id)
            if promise is None and "\x00" not in promise_id:  # such an id was never created
                missing.append(promise_id)
        if missing:
            found = self._reader.execute(self._sql["load"], (_json(missing),))
            for (text,) in found:
                promise = self._decoder.decode(text)
                objects[promise.id] = promise
                self._cache.put(promise)

    # --- group commit -----------------------------------------------------------------------------

    def _write_next(self) -> None:
        if self._written is not None or not self._open.objects:
            return
        self._written, self._open = self._open, _Group(self._loop)
        self._writer.write(list(self._written.objects.values()), self._answer(self._committed))

    def _committed(self, error: Exception | None) -> None:
        group = self._written
        assert group is not None, "one group is being written"
        self._written = None
        if error is None:
            group.done.set_result(None)
            self._write_next()
            return
        self._failure = error
        self._cache.clear()
        dropped, self._open = self._open, _Group(self._loop)
        for each in (group, dropped):
            each.done.set_exception(Unavailable(str(error)))
            each.done.exception()  # nobody may be waiting: that is no mistake

    def _answer(
        self, done: Callable[[Exception | None], None]
    ) -> Callable[[Exception | None], None]:
        """Return ``done`` as something that any thread may call."""

        def answer(error: Exception | None) -> None:
            self._loop.call_soon_threadsafe(done, error)

        return answer

    # --- scans ------------------------------------------------------------------------------------

    async def due(self, after: int, until: int, limit: int) -> list[tuple[int, str]]:
        """Ask the three indexes of instants."""
        rows = await self._scan("due", {"after": after, "until": until, "limit": limit})
        return [(instant, promise_id) for instant, promise_id in rows]

    async def ready(self, route: str, after: tuple[int, str], now: int, limit: int) -> list[Ready]:
        """Ask the index of ready tasks."""
        at, last = after
        rows = await self._scan(
            "ready",
            {"route": route, "after_at": at, "after_id": last, "now": now, "limit": limit},
        )
        return [Ready(*row) for row in rows]

    async def held(self, after: str, limit: int) -> list[Held]:
        """Ask the index of leases."""
        return [Held(*row) for row in await self._scan("held", {"after": after, "limit": limit})]

    async def obligations(self, after: tuple[int, str], limit: int) -> list[Obligation]:
        """Ask the index of obligations."""
        at, last = after
        rows = await self._scan("obligations", {"after_at": at, "after_id": last, "limit": limit})
        return [
            Obligation(promise_id, settled_at, self._obligation.decode(listeners), awaiters)
            for promise_id, settled_at, listeners, awaiters in rows
        ]

    async def snapshot(self) -> dict[str, Promise]:
        """Read every committed object."""
        promises = [self._decoder.decode(text) for (text,) in await self._scan("snapshot", {})]
        return {promise.id: promise for promise in promises}

    async def _scan(self, query: str, bindings: dict[str, Any]) -> list[tuple[Any, ...]]:
        def run() -> list[tuple[Any, ...]]:
            try:
                return self._scanner.execute(self._sql[query], bindings).fetchall()
            except apsw.Error as error:
                raise unavailable(error) from error

        return await self._loop.run_in_executor(self._scans, run)


def _json(ids: list[str]) -> str:
    return msgspec.json.encode(ids).decode()


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
