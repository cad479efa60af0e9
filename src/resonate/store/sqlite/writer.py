"""The one writer: commits groups of objects, one after another, on its own thread.

Rules:
- A group is one statement, and so one transaction: SQLite runs it whole in C, without the GIL.
  Only a group too large for one JSON text, or one with schedules or deletions in it, takes several,
  inside an explicit transaction.
- Checkpoints copy the log into the database in the background, on another connection; the writer
  only takes the short rest, so that the log can start over and does not grow without bound.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator

import apsw
import msgspec

from resonate.core.objects import Key, Promise, Schedule, ScheduleKey, Stored
from resonate.protocol.errors import Unavailable
from resonate.store.queries import queries
from resonate.store.sqlite.cache import weight
from resonate.store.sqlite.database import PACKAGE, close_quietly

_CHUNK_BYTES_MAX = 32 * 1024 * 1024
_CHECKPOINT_PAGES = 4_000  # 16 MiB of log
_CHECKPOINT_RETRY_SECONDS = 1.0
Done = Callable[[Exception | None], None]
Changes = dict[Key, Stored | None]
log = logging.getLogger("resonate.store")


class Writer:
    """A thread that owns the writing connection from ``start`` to ``stop``."""

    def __init__(self, connection: apsw.Connection, folder: apsw.Connection) -> None:
        self._connection = connection
        self._sql = queries(PACKAGE)
        self._encoder = msgspec.json.Encoder()
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Done] | None] = queue.SimpleQueue()
        self._checkpointer = _Checkpointer(folder)
        self._log_pages = 0
        self._thread = threading.Thread(target=self._run, name="resonate-writer", daemon=True)
        connection.set_wal_hook(self._remember_log_pages)

    def start(self) -> None:
        """Begin to take jobs."""
        self._checkpointer.start()
        self._thread.start()

    def stop(self) -> None:
        """Finish the jobs taken so far, fold the log into the database, close."""
        self._jobs.put(None)
        self._thread.join()

    def write(self, changes: Changes, done: Done) -> None:
        """Commit ``changes``; then call ``done`` on the writer's thread, with the error if any."""
        self._jobs.put((lambda: self._commit(changes), done))

    def reset(self, done: Done) -> None:
        """Delete everything."""
        self._jobs.put((self._reset, done))

    def probe(self, text: str, done: Done) -> None:
        """Try a durable write that changes nothing."""
        self._jobs.put((lambda: self._probe(text), done))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            try:
                work()
            except apsw.Error as error:
                done(unavailable(error))
            except Exception as error:
                log.exception("a commit failed unexpectedly")
                done(Unavailable(f"a commit failed ({type(error).__name__}: {error})"))
            else:
                done(None)
                self._checkpoint()
        self._checkpointer.stop()
        close_quietly(self._connection)

    def _commit(self, changes: Changes) -> None:
        promises = [each for each in changes.values() if isinstance(each, Promise)]
        chunks = list(_chunks(promises))
        if len(chunks) == 1 and len(promises) == len(changes):
            self._insert(chunks[0])
            return
        with self._connection:
            for chunk in chunks:
                self._insert(chunk)
            self._rest(changes)

    def _insert(self, objects: list[Promise]) -> None:
        self._connection.execute(self._sql["write"], (self._json(objects),))

    def _rest(self, changes: Changes) -> None:
        """Write schedules, and delete."""
        schedules = [each for each in changes.values() if isinstance(each, Schedule)]
        gone = [key for key, each in changes.items() if each is None]
        ids = [key for key in gone if isinstance(key, str)]
        others = [key.id for key in gone if isinstance(key, ScheduleKey)]
        for query, what in (
            ("write_schedules", schedules),
            ("delete", ids),
            ("delete_schedules", others),
        ):
            if what:
                self._connection.execute(self._sql[query], (self._json(what),))

    def _reset(self) -> None:
        with self._connection:
            self._connection.execute(self._sql["delete_everything"])

    def _json(self, what: object) -> str:
        return self._encoder.encode(what).decode()

    def _probe(self, text: str) -> None:
        self._connection.execute(self._sql["probe"], (text,))

    def _remember_log_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        if self._checkpointer.take_finished():
            fold(self._connection)
        elif self._log_pages > _CHECKPOINT_PAGES:
            self._checkpointer.ask()


class _Checkpointer:
    """A thread that copies the log into the database while the writer goes on.

    ``ask`` and ``take_finished`` are called by the writer alone. One copy runs at a time: the
    writer takes the rest only when it is finished, and asks again only after that.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._asked = threading.Event()
        self._stopping = threading.Event()
        self._busy = False
        self._finished = False
        self._thread = threading.Thread(target=self._run, name="resonate-checkpoint", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._asked.set()
        self._thread.join()
        close_quietly(self._connection)

    def ask(self) -> None:
        if not self._busy:
            self._busy = True
            self._asked.set()

    def take_finished(self) -> bool:
        finished, self._finished = self._finished, False
        if finished:
            self._busy = False
        return finished

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._stopping.is_set():
                return
            if not fold(self._connection):
                self._stopping.wait(_CHECKPOINT_RETRY_SECONDS)
            self._finished = True


def fold(connection: apsw.Connection) -> bool:
    """Copy what the log holds into the database; what hinders it is only logged."""
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.Error as error:
        log.warning("the log could not be copied into the database: %s", error)
        return False
    return True


def _chunks(objects: list[Promise]) -> Iterator[list[Promise]]:
    if sum(map(weight, objects)) <= _CHUNK_BYTES_MAX:
        yield objects
        return
    chunk: list[Promise] = []
    size = 0
    for promise in objects:
        if chunk and size + weight(promise) > _CHUNK_BYTES_MAX:
            yield chunk
            chunk, size = [], 0
        chunk.append(promise)
        size += weight(promise)
    yield chunk


def unavailable(error: apsw.Error) -> Unavailable:
    """Say in one sentence what the disk or SQLite has against us."""
    if isinstance(error, apsw.FullError):
        return Unavailable("the disk is full")
    if isinstance(error, apsw.CorruptError):
        return Unavailable(f"the database is damaged ({error}): restore it from a backup")
    return Unavailable(f"the database cannot be used now ({error})")
