"""The server under test: the real engine on the real SQLite store, on simulated time and disk.

Rules:
- A commit takes a little time. A crash finds it either done or not, and its answer is never told.
- A disk fault lets one write fail, or all of them until the disk is healed.
- The wall clock may be stepped; the monotonic clock never is.
- Starting a second server on the same file is refused; it is tried now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from resonate.core.objects import Key, Promise, Stored
from resonate.engine.clock import Clock
from resonate.engine.engine import Engine
from resonate.protocol.envelope import LENIENT, Rules
from resonate.protocol.errors import StartError
from resonate.store.sqlite.database import close_quietly
from resonate.store.sqlite.scans import promise_decoder, schedule_decoder
from resonate.store.sqlite.store import SqliteStore
from resonate.store.sqlite.writer import Changes, Done, Writer, fold, unavailable
from simulation.checks import Checks
from simulation.faults import Chance
from simulation.loop import Process, VirtualLoop

EPOCH_SECONDS = 1_700_000_000
_RULES = {False: LENIENT, True: Rules(strict=True)}


class SimulatedWriter(Writer):
    """The writer without a thread: jobs run one after another, after a little time each."""

    chance: Chance
    loop: VirtualLoop
    broken = False

    def start(self) -> None:
        self._running: Any = None
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True
        close_quietly(self._connection)
        close_quietly(self._checkpointer._connection)

    def write(self, changes: Changes, done: Done) -> None:
        super().write(changes, done)
        self._take()

    def probe(self, text: str, done: Done) -> None:
        super().probe(text, done)
        self._take()

    def _take(self) -> None:
        if self._running is None and not self._jobs.empty():
            seconds = 0.0002 + self.chance.random.random() * 0.001
            if self.chance.happens(self.chance.slowness):
                seconds += 0.3
            self._running = self._jobs.get()
            self.loop.call_later(seconds, self._do)

    def _do(self) -> None:
        self._perform(tell=True)
        self._take()

    def _perform(self, *, tell: bool) -> None:
        (work, done), self._running = self._running, None
        error: Exception | None = None
        try:
            if self.broken or self.chance.happens(self.chance.disk / 200):
                raise apsw.FullError("simulated")
            work()
        except apsw.Error as raised:
            error = unavailable(raised)
        if tell:
            done(error)
        if error is None and self._log_pages > 400:
            fold(self._connection)

    def crash(self, *, committed: bool) -> None:
        """End: the commit under way is done or not, and nobody is told."""
        if self._running is not None and committed:
            self._perform(tell=False)
        self._running = None


class Server:
    """One server process after another, on one file."""

    def __init__(
        self, loop: VirtualLoop, chance: Chance, checks: Checks, path: Path, *, strict: bool
    ) -> None:
        self._loop = loop
        self._chance = chance
        self._checks = checks
        self._path = path
        self._strict = strict
        self._process: Process | None = None
        self.offset = 0.0  # of the wall clock, in seconds
        self.engine: Engine | None = None
        self.store: SqliteStore | None = None
        self.starts = 0
        self.crashed: Callable[[], None] = lambda: None

    def now(self) -> int:
        """Return what the server's clock says, or the wall clock, while there is none."""
        if self.engine is not None:
            return self.engine._clock.now()
        return int((EPOCH_SECONDS + self._loop.now + self.offset) * 1000)

    @property
    def process(self) -> Process:
        """Return the process that runs."""
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        """Start a server process, and wait until it serves."""
        self.starts += 1
        process = self._process = Process(f"server-{self.starts}")
        await self._loop.spawn(process, self._serve())

    async def _serve(self) -> None:
        loop, chance = self._loop, self._chance
        writer = type("RunsWriter", (SimulatedWriter,), {"chance": chance, "loop": loop})
        store = type("RunsStore", (SqliteStore,), {"writer": writer})(
            self._path, cache_objects_max=50
        )
        clock = Clock(lambda: EPOCH_SECONDS + loop.now + self.offset, lambda: loop.now)
        engine = Engine(store, clock=clock, grace_ms=500, rules=_RULES[self._strict])
        await engine.start()
        self.engine, self.store = engine, store
        self._chance.note("serving", loop.now)

    def crash(self) -> None:
        """Kill the process: nothing that is not on disk is left."""
        if self.engine is None or self.store is None:
            return
        committed = self._chance.random.random() < 0.5
        self._chance.note("crash", self._loop.now, committed)
        store, self.engine, self.store = self.store, None, None
        self.process.kill()
        store._writer.crash(committed=committed)
        store._writer.stop()
        close_quietly(store._reader)
        for thread in (store._scanner, store._searcher):
            close_quietly(thread._connection)
        store._lock.release()
        self.crashed()

    def stored(self) -> dict[Key, Stored]:
        """Return every object that is committed, at this moment."""
        assert self.store is not None
        found: dict[Key, Stored] = {}
        for query, decoder in (
            ("snapshot", promise_decoder),
            ("snapshot_schedules", schedule_decoder),
        ):
            for (text,) in self.store._reader.execute(self.store._sql[query]):
                each: Any = decoder.decode(text)
                found[each.id if isinstance(each, Promise) else each.key] = each
        return found

    async def second(self) -> None:
        """Start another server on the same file by mistake: it is refused."""
        try:
            await SqliteStore(self._path).open()
        except StartError:
            return
        raise AssertionError("a second server was let in")

    def break_disk(self) -> None:
        """Let every write fail."""
        if self.store is not None:
            self.store._writer.broken = True

    def heal_disk(self) -> None:
        """Let writes succeed again."""
        if self.store is not None:
            self.store._writer.broken = False

    async def stop(self) -> None:
        """Stop cleanly."""
        if self.engine is not None:
            engine, self.engine = self.engine, None
            await self._loop.spawn(self.process, engine.stop())
        await asyncio.sleep(0)
