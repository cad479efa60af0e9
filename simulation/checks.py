"""What must hold, looked at while the simulation runs.

- Every handler and internal step keeps the specification's properties (``core.properties``).
- Nothing is told before it is durable: the database itself is asked at the moment of telling.
- What was told settled never changes; a version is granted to one worker, once and for ever.
- What was acknowledged is there after every crash, and settles in the end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from resonate.core import machine, schedules, steps, tasks
from resonate.core.objects import Promise, Schedule
from resonate.core.properties import check_state, check_step
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer, FenceAnswer, LeaseAnswer, PromiseAnswer
from resonate.protocol.messages import ExecuteData, Message
from resonate.protocol.records import PromiseRecord

Objects = dict[Any, Any]
_INTERNAL = ("advance", "drain", "discharge", "renew", "release_lost")
_installed: list[Checks] = []


class Checks:
    """The checks of one run. ``path`` is the database file."""

    def __init__(self, path: Path, *, strict: bool) -> None:
        self._path = path
        self._strict = strict
        self._connection: apsw.Connection | None = None
        self._latest = 0  # instant that any server has used: a later one may be behind it
        self.steps = 0
        self.failure: AssertionError | None = None
        self.settled: dict[str, PromiseRecord] = {}
        self.acknowledged: set[str] = set()
        self.grants: dict[tuple[str, int], str] = {}
        self.statuses: dict[tuple[str, int], int] = {}
        _installed[:] = [self]
        _install()

    def close(self) -> None:
        """Check no more."""
        _installed.clear()
        if self._connection is not None:
            self._connection.close()

    def look(self, act: Callable[..., None], *arguments: Any) -> None:
        """Do a check; keep the first that fails: the engine survives what its parts raise."""
        try:
            act(*arguments)
        except AssertionError as error:
            self.failure = self.failure or error
            raise

    # --- steps ------------------------------------------------------------------------------------

    def step(self, state: State, took: Callable[[], Any], *, internal: bool) -> Any:
        """Take a step, and check what it did."""
        self.steps += 1
        self._latest = max(self._latest, state.now)
        mark = len(state._undo)
        result = took()
        undone = state._undo[mark:]
        if undone:
            after = {
                key: each
                for key, each in dict.items(state.objects)  # type: ignore[arg-type]
                if isinstance(each, Promise | Schedule)
            }
            before = dict(after)
            for key, old, _ in reversed(undone):
                if old is None:
                    before.pop(key, None)
                else:
                    before[key] = old
            self.look(self._step, before, after, state.now, internal)
        return result

    def _step(self, before: Objects, after: Objects, now: int, internal: bool) -> None:
        check_step(before, after, now, internal=internal, strict=self._strict)

    # --- what is told -----------------------------------------------------------------------------

    def told(self, requests: list[rq.Request], answers: list[Answer]) -> None:
        """Look at answers as they leave the server."""
        self.look(self._told, requests, answers)

    def _told(self, requests: list[rq.Request], answers: list[Answer]) -> None:
        assert len(requests) == len(answers)
        for request, answer in zip(requests, answers, strict=True):
            kind = str(request.__struct_config__.tag)
            key = kind, answer.status
            self.statuses[key] = self.statuses.get(key, 0) + 1
            assert answer.status != 500, answer
            if answer.status not in (200, 300):
                continue
            data = answer.data
            if isinstance(data, FenceAnswer):
                data = data.action.data
            if isinstance(data, PromiseAnswer):
                self._record(data.promise)
            elif isinstance(data, LeaseAnswer):
                self._record(data.promise)
                self._lease(data)
            for each in getattr(data, "preload", ()):
                self._record(each)
            for each in getattr(data, "promises", ()):
                self._record(each, searched=True)

    def sent(self, message: Message) -> None:
        """Look at a message as it leaves the server."""
        self.look(self._sent, message)

    def _sent(self, message: Message) -> None:
        data = message.data
        if isinstance(data, ExecuteData):
            row = self._row(data.task.id)
            assert row is not None, f"offered before it is durable: {data}"
            assert data.task.version <= row[1], f"offered a version that was never issued: {data}"
        elif isinstance(data, LeaseAnswer):
            self._record(data.promise)
            self._lease(data)
        else:
            assert data.promise.state != "pending", "an unblock tells of a settled promise"
            self._record(data.promise)

    def _record(self, record: PromiseRecord, *, searched: bool = False) -> None:
        before = self.settled.get(record.id)
        if before is not None:
            assert searched or record == before, f"{before} was told, and now {record}"
            return
        row = self._row(record.id)
        assert row is not None, f"told before it is durable: {record}"
        self.acknowledged.add(record.id)
        if record.state != "pending":
            by_deadline = record.settled_at == record.timeout_at
            assert by_deadline or row[0] == record.state, f"told before it is durable: {record}"
            if not searched:
                self.settled[record.id] = record

    def _lease(self, lease: LeaseAnswer) -> None:
        task = lease.task
        if task.state != "acquired":
            return
        row = self._row(task.id)
        version = -1 if row is None else row[1]
        assert version >= task.version, f"granted before it is durable: {task}"
        assert task.pid is not None
        holder = self.grants.setdefault((task.id, task.version), task.pid)
        assert holder == task.pid, f"{task.id} at {task.version} was granted to {holder} as well"

    def _row(self, promise_id: str) -> tuple[str, int] | None:
        """Return the state and version that are on disk."""
        found = (
            self._open()
            .execute("SELECT state, coalesce(version, 0) FROM promises WHERE id = ?", (promise_id,))
            .fetchall()
        )
        return found[0] if found else None

    # --- everything -------------------------------------------------------------------------------

    def whole(self, objects: dict[Any, Any]) -> None:
        """Check everything that is stored, and that nothing acknowledged is missing."""
        check_state(objects, self._latest, strict=self._strict)
        missing = self.acknowledged - objects.keys()
        assert not missing, f"acknowledged and gone: {missing}"
        for promise_id, record in self.settled.items():
            stored = objects[promise_id]
            by_deadline = record.settled_at == record.timeout_at
            assert by_deadline or stored.state == record.state, f"{record} was told, not {stored}"

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
        return self._connection


@functools.cache
def _install() -> None:
    """Have every handler and internal step checked, by whichever run there is."""
    for kind, handler in list(machine._HANDLERS.items()):
        machine._HANDLERS[kind] = _checked(handler, internal=False)
    tasks.fence = _checked(tasks.fence, internal=False)
    for name in _INTERNAL:
        setattr(steps, name, _checked(getattr(steps, name), internal=True))
    schedules.fire = _checked(schedules.fire, internal=False)


def _checked(act: Callable[..., Any], *, internal: bool) -> Callable[..., Any]:
    @functools.wraps(act)
    def checked(state: State, *arguments: Any, **named: Any) -> Any:
        if not _installed:
            return act(state, *arguments, **named)
        took = functools.partial(act, state, *arguments, **named)
        return _installed[0].step(state, took, internal=internal)

    return checked
