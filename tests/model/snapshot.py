"""``debug.snap``: the stored state, unprojected, as section 5.4 lays it out."""

from __future__ import annotations

from typing import Any

from tests.model.steps import Steps
from tests.model.world import World, task_record

RETRY, LEASE = 0, 1


def snapshot(world: World, steps: Steps) -> dict[str, Any]:
    promises = sorted(world.promises, key=str.encode)
    tasks = sorted(world.tasks, key=str.encode)
    return {
        "promises": [dict(world.promises[each]) for each in promises],
        "promiseTimeouts": [
            {"id": each, "timeout": world.promises[each]["timeoutAt"]}
            for each in promises
            if steps.armed(each)
        ],
        "callbacks": sorted(
            (
                {"awaiter": awaiter, "awaited": awaited}
                for awaited in promises
                for awaiter in world.callbacks[awaited]
            ),
            key=lambda row: (row["awaiter"].encode(), row["awaited"].encode()),
        ),
        "listeners": [
            {"id": each, "address": address}
            for each in promises
            for address in sorted(world.listeners[each], key=str.encode)
        ],
        "tasks": [task_record(each, world.tasks[each]) for each in tasks],
        "taskTimeouts": [row for each in tasks for row in _task_timeouts(each, world.tasks[each])],
        "messages": [*_executes(world), *_unblocks(world)],
    }


def _task_timeouts(task_id: str, task: dict[str, Any]) -> list[dict[str, Any]]:
    """The kind of timer is a function of the state."""
    if task["state"] == "pending":
        return [{"id": task_id, "type": RETRY, "timeout": task["retryAt"]}]
    if task["state"] == "acquired":
        return [{"id": task_id, "type": LEASE, "timeout": task["expiresAt"]}]
    return []


def _message(address: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"address": address, "message": {"kind": kind, "head": {}, "data": data}}


def _executes(world: World) -> list[dict[str, Any]]:
    rows = sorted(world.executes.items(), key=lambda item: item[0].encode())
    return [
        _message(row["address"], "execute", {"task": {"id": task_id, "version": row["version"]}})
        for task_id, row in rows
    ]


def _unblocks(world: World) -> list[dict[str, Any]]:
    rows = sorted(
        world.unblocks.items(), key=lambda item: (item[0][0].encode(), item[0][1].encode())
    )
    return [
        _message(address, "unblock", {"promise": dict(record)}) for (_, address), record in rows
    ]
