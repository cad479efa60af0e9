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
from pathlib import Path

import apsw
import msgspec

from resonate.core.objects import Branch, BranchOf, Key, Promise, Stored
from resonate.core.state import Objects
from resonate.protocol.errors import Unavailable
from resonate.protocol.limits import (
    CACHE_BYTES_MAX,
    CACHE_OBJECTS_MAX,
    PRELOAD_RECORDS_MAX,
    STEP_OBJECTS_MAX,
)
from resonate.protocol.validation import BRANCH
from resonate.store.contract import Decide
from resonate.store.sqlite.cache import Cache
from resonate.store.sqlite.database import FileLock, close_quietly, open_all
from resonate.store.sqlite.scans import Scans, promise_decoder, schedule_decoder
from resonate.store.sqlite.writer import Changes, Writer, unavailable

Found = Stored | tuple[str, ...] | None


class _Group:
    """Changes that are committed together, and the future of that commit.

    ``branches`` has the ids of its promises by the branch they belong to, ``deleted`` the keys of
    what may still be in the file.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.changes: Changes = {}
        self.branches: dict[str, set[str]] = {}
        self.deleted: set[Key] = set()
        self.done: asyncio.Future[None] = loop.create_future()


class _View(dict[Key, Found]):
    """The objects of one decision; what is cached can be had without being asked for."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._cache

    def __missing__(self, key: Key) -> Stored:
        stored = self._cache.get(key)
        if stored is None:
            raise KeyError(key)
        self[key] = stored
        return stored


class SqliteStore(Scans):
    """The contract on one SQLite file.

    ``path`` is the database file, created when missing. ``vfs`` names another SQLite file layer;
    tests inject disk faults with it.
    """

    writer = Writer  # the simulation has one that runs on its own clock

    def __init__(
        self,
        path: str | Path,
        *,
        vfs: str | None = None,
        cache_objects_max: int = CACHE_OBJECTS_MAX,
        cache_bytes_max: int = CACHE_BYTES_MAX,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self._vfs = vfs
        self._cache = Cache(objects_max=cache_objects_max, bytes_max=cache_bytes_max)
        self._lock = FileLock(self.path)
        self._failure: Exception | None = None

    async def open(self) -> None:
        """Lock, migrate and open the file; raises StartError with one clear sentence."""
        self._lock.acquire()
        try:
            first, self._reader, *scans, folder = open_all(self.path, 5, vfs=self._vfs)
        except BaseException:
            self._lock.release()
            raise
        self._writer = self.writer(first, folder)
        self._loop = asyncio.get_running_loop()
        self.open_scans(*scans)
        self._open = _Group(self._loop)
        self._written: _Group | None = None
        self._writer.start()

    async def close(self) -> None:
        """Wait for the commits under way, fold the log into the file, close it."""
        while self._written is not None:
            await asyncio.wait([self._written.done])
        try:
            await self.close_scans()
            close_quietly(self._reader)
            await asyncio.to_thread(self._writer.stop)  # the last to close folds the log
        finally:
            self._lock.release()

    async def recover(self) -> None:
        """Serve again once a durable write succeeds; raises Unavailable until then."""
        text = f"{time.time():.3f}"
        await self._written_by(lambda done: self._writer.probe(text, done))
        self._failure = None

    async def reset(self) -> None:
        """Delete everything, after what is being written."""
        await self.transact((), lambda _objects: ())
        self._cache.clear()
        await self._written_by(self._writer.reset)

    # --- transactions -----------------------------------------------------------------------------

    async def transact(self, reads: Iterable[Key], decide: Decide) -> None:
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
            self._keep(group, changed, objects)
            self._write_next()
        elif self._open.changes:
            group = self._open
        elif self._written is not None:
            group = self._written
        else:
            return
        await asyncio.shield(group.done)

    def _keep(self, group: _Group, changed: Iterable[Key], objects: Objects) -> None:
        for key in changed:
            new = objects[key]
            assert not isinstance(new, tuple), "branches are not changed, their promises are"
            group.changes[key] = new
            if new is None:
                self._cache.drop(key)
                group.deleted.add(key)
                continue
            self._cache.put(key, new)
            if isinstance(new, Promise) and BRANCH in new.tags:
                group.branches.setdefault(new.tags[BRANCH], set()).add(new.id)

    def uncommitted(self, key: Key) -> bool:
        """Tell whether the object is in a group that is not durable yet."""
        return key in self._open.changes or (
            self._written is not None and key in self._written.changes
        )

    def _load(self, reads: Iterable[Key]) -> Objects:
        objects = _View(self._cache)
        branches = self._fetch(objects, reads)
        for key in branches:
            self._fetch_branch(objects, key)
        awaiters = [
            awaiter
            for promise in list(objects.values())
            if type(promise) is Promise and promise.callbacks
            for awaiter in promise.callbacks[:STEP_OBJECTS_MAX]
        ]
        if awaiters:
            self._fetch(objects, awaiters)
        self._cache.trim(self.uncommitted)
        return objects

    def _fetch(self, objects: _View, keys: Iterable[Key]) -> list[BranchOf | Branch]:
        """Load objects; return the keys of branches, whose promises are among the objects."""
        ids: list[str] = []
        schedules: list[str] = []
        branches: list[BranchOf | Branch] = []
        deleted = self._open.deleted
        if self._written is not None:
            deleted = deleted | self._written.deleted
        for key in keys:
            if not isinstance(key, str) and isinstance(key, BranchOf | Branch):
                branches.append(key)
                continue
            stored = objects[key] = self._cache.get(key)
            if stored is not None or key in deleted:
                continue
            if not isinstance(key, str):
                schedules.append(key.id)
            elif "\x00" not in key:  # such an id was never created
                ids.append(key)
        if ids:
            for (text,) in self._reader.execute(self._sql["load"], (_json(ids),)):
                promise = promise_decoder.decode(text)
                self._found(objects, promise.id, promise)
        if schedules:
            for (text,) in self._reader.execute(self._sql["load_schedules"], (_json(schedules),)):
                schedule = schedule_decoder.decode(text)
                self._found(objects, schedule.key, schedule)
        return branches

    def _found(self, objects: _View, key: Key, stored: Stored) -> None:
        objects[key] = stored
        self._cache.put(key, stored)

    def _fetch_branch(self, objects: _View, key: BranchOf | Branch) -> None:
        """Load the promises that share a branch; the one it is named after is in no index."""
        branch = _name(objects, key)
        if not branch:
            objects[key] = ()
            return
        bindings = {"branch": branch, "limit": PRELOAD_RECORDS_MAX + 1}
        ids = {branch, *(id for (id,) in self._reader.execute(self._sql["branch"], bindings))}
        for group in (self._written, self._open):
            if group is not None:
                ids.update(group.branches.get(branch, ()))
        self._fetch(objects, ids)
        objects[key] = tuple(sorted(filter(functools.partial(_is_of, objects, branch), ids)))

    # --- group commit -----------------------------------------------------------------------------

    def _write_next(self) -> None:
        if self._written is not None or not self._open.changes:
            return
        self._written, self._open = self._open, _Group(self._loop)
        self._writer.write(self._written.changes, self._answer(self._committed))

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

    async def _written_by(self, job: Callable[[Callable[[Exception | None], None]], None]) -> None:
        """Have the writer do a job, and return when it is done."""
        done: asyncio.Future[None] = self._loop.create_future()
        job(self._answer(functools.partial(_settle, done)))
        await done

    def _answer(
        self, done: Callable[[Exception | None], None]
    ) -> Callable[[Exception | None], None]:
        """Return ``done`` as something that any thread may call."""

        def answer(error: Exception | None) -> None:
            self._loop.call_soon_threadsafe(done, error)

        return answer


def _name(objects: _View, key: BranchOf | Branch) -> str | None:
    if isinstance(key, Branch):
        return key.name
    promise = objects[key.promise_id]
    return promise.tags.get(BRANCH) if isinstance(promise, Promise) else None


def _is_of(objects: _View, branch: str, promise_id: str) -> bool:
    promise = objects[promise_id]
    return isinstance(promise, Promise) and promise.tags.get(BRANCH) == branch


def _json(ids: list[str]) -> str:
    return msgspec.json.encode(ids).decode()


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
