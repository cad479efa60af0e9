"""The outbox as the specification has it, for ``debug.snap``: messages that wait to be delivered.

The engine keeps none: a pending task whose instant has come *is* its execute message, and a settled
promise that has a listener *is* its unblock message. What is left to remember is when a task was
last posted (I5), because that moves its next instant; only debugging asks for it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from resonate.core.objects import (
    Promise,
    Schedule,
    Stored,
    has_target,
    is_external,
    is_timer,
    record,
    saturate,
    task_record,
)
from resonate.protocol.limits import OFFER_MS
from resonate.protocol.validation import TARGET

_RETRY, _LEASE = 0, 1


class Outbox:
    """Which tasks were posted, and when."""

    def __init__(self) -> None:
        self._posted: dict[str, tuple[int | None, int]] = {}  # id -> its retry_at, when

    def see(self, stored: object, now: int) -> None:
        """Post the task of a promise if it is due (I5), or forget that it was posted.

        A timer's task is never posted; it only waits for the deadline from then on.
        """
        if not isinstance(stored, Promise):
            return
        if stored.task is None or stored.task.state != "pending":
            self._posted.pop(stored.id, None)
        elif stored.timeout_at > now and self._due(stored) <= now:
            self._posted[stored.id] = stored.task.retry_at, now

    def clear(self) -> None:
        """Forget everything."""
        self._posted.clear()

    def snapshot(self, objects: list[Stored], *, strict: bool) -> dict[str, Any]:
        """Return what ``debug.snap`` tells (section 5.4): everything as stored."""
        promises = sorted(
            (each for each in objects if not isinstance(each, Schedule)), key=lambda each: each.id
        )
        pending = [each for each in promises if each.state == "pending"]
        armed = [each for each in pending if is_external(each)] if strict else pending
        callbacks = [(awaiter, each.id) for each in promises for awaiter in each.callbacks]
        return {
            "promises": [record(each) for each in promises],
            "promiseTimeouts": [{"id": each.id, "timeout": each.timeout_at} for each in armed],
            "callbacks": [
                {"awaiter": awaiter, "awaited": awaited} for awaiter, awaited in sorted(callbacks)
            ],
            "listeners": [
                {"id": each.id, "address": address}
                for each in pending
                for address in sorted(each.listeners)
            ],
            "tasks": [task_record(each) for each in promises if has_target(each)],
            "taskTimeouts": [
                {"id": each.id, "type": kind, "timeout": instant}
                for each in promises
                for kind, instant in self._timeouts(each)
            ],
            "messages": [*self._executes(promises), *_unblocks(promises)],
        }

    def _timeouts(self, promise: Promise) -> list[tuple[int, int]]:
        task = promise.task
        if task is not None and task.state == "pending":
            return [(_RETRY, self._due(promise))]
        if task is not None and task.expires_at is not None:
            return [(_LEASE, task.expires_at)]
        return []

    def _due(self, promise: Promise) -> int:
        """Return when the task is posted next."""
        assert promise.task is not None
        assert promise.task.retry_at is not None
        posted = self._posted.get(promise.id)
        if posted is None or posted[0] != promise.task.retry_at:
            return promise.task.retry_at
        return promise.timeout_at if is_timer(promise) else saturate(posted[1] + OFFER_MS)

    def _executes(self, promises: list[Promise]) -> list[dict[str, Any]]:
        return [
            _message(
                each.tags[TARGET],
                "execute",
                {"task": {"id": each.id, "version": each.task.version}},
            )
            for each in promises
            if each.task is not None
            and each.task.state == "pending"
            and not is_timer(each)
            and self._posted.get(each.id, (None,))[0] == each.task.retry_at
        ]


def _unblocks(promises: list[Promise]) -> list[dict[str, Any]]:
    return [
        _message(address, "unblock", {"promise": record(each)})
        for each in promises
        if each.state != "pending"
        for address in sorted(each.listeners)
    ]


def _message(address: str, kind: str, data: Any) -> dict[str, Any]:
    message = {"kind": kind, "head": {}, "data": msgspec.to_builtins(data)}
    return {"address": address, "message": message}
