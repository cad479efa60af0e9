"""Talks to a model in tests: one call is one request."""

from __future__ import annotations

import itertools
from typing import Any

from tests.model.door import VERSION
from tests.model.model import Model

FAR = 10**9
TARGET = {"resonate:target": "poll://any@g"}
EXTERNAL = {"resonate:external": "true"}
TIMER = {"resonate:timer": "true"}


def envelope(kind: str, data: Any, corr_id: str = "1") -> dict[str, Any]:
    return {"kind": kind, "head": {"corrId": corr_id, "version": VERSION}, "data": data}


def action(kind: str, **data: Any) -> dict[str, Any]:
    return {"kind": kind, "head": {}, "data": data}


class Client:
    """A model, the instant it is asked at, and short ways to ask."""

    def __init__(self, *, strict: bool = False, now: int = 0) -> None:
        self.model = Model(strict=strict)
        self.now = now
        self.count = itertools.count(1)

    def ask(self, kind: str, /, **data: Any) -> tuple[int, Any]:
        return self.model.handle(envelope(kind, data, str(next(self.count))), self.now)

    def tick(self, now: int) -> None:
        self.now = now
        assert self.ask("debug.tick", time=now) == (200, [])

    def snap(self) -> dict[str, Any]:
        return self.ask("debug.snap")[1]

    def create(
        self, promise_id: str, tags: dict[str, str] | None = None, *, timeout_at: int = FAR
    ) -> tuple[int, Any]:
        return self.ask("promise.create", id=promise_id, timeoutAt=timeout_at, tags=tags or {})

    def settle(self, promise_id: str, state: str = "resolved") -> tuple[int, Any]:
        return self.ask("promise.settle", id=promise_id, state=state)

    def task_create(
        self, promise_id: str, *, timeout_at: int = FAR, pid: str = "p", ttl: int = 10, **tags: str
    ) -> tuple[int, Any]:
        inner = action(
            "promise.create", id=promise_id, timeoutAt=timeout_at, tags={**TARGET, **tags}
        )
        return self.ask("task.create", pid=pid, ttl=ttl, action=inner)

    def acquire(self, task_id: str, version: int, *, ttl: int = 10) -> tuple[int, Any]:
        return self.ask("task.acquire", id=task_id, version=version, pid="p", ttl=ttl)

    def suspend(self, task_id: str, version: int, *awaited: str) -> tuple[int, Any]:
        actions = [
            action("promise.register_callback", awaited=each, awaiter=task_id) for each in awaited
        ]
        return self.ask("task.suspend", id=task_id, version=version, actions=actions)

    def fulfill(self, task_id: str, version: int, state: str = "resolved") -> tuple[int, Any]:
        inner = action("promise.settle", id=task_id, state=state)
        return self.ask("task.fulfill", id=task_id, version=version, action=inner)

    def fence_create(self, task_id: str, version: int, **data: Any) -> tuple[int, Any]:
        inner = action("promise.create", **data)
        return self.ask("task.fence", id=task_id, version=version, action=inner)

    def fence_settle(self, task_id: str, version: int, **data: Any) -> tuple[int, Any]:
        inner = action("promise.settle", **data)
        return self.ask("task.fence", id=task_id, version=version, action=inner)

    def release(self, task_id: str, version: int, **data: Any) -> tuple[int, Any]:
        return self.ask("task.release", id=task_id, version=version, **data)

    def heartbeat(self, *refs: tuple[str, int]) -> tuple[int, Any]:
        tasks = [{"id": task_id, "version": version} for task_id, version in refs]
        return self.ask("task.heartbeat", pid="p", tasks=tasks)

    # ------------------------------------------------------------------------ what is there

    def promise(self, promise_id: str) -> dict[str, Any]:
        return self.ask("promise.get", id=promise_id)[1]["promise"]

    def task(self, task_id: str) -> dict[str, Any]:
        return self.ask("task.get", id=task_id)[1]["task"]

    def state(self, task_id: str) -> str:
        return self.task(task_id)["state"]

    def timeout(self, task_id: str) -> tuple[int, int] | None:
        """Return kind and instant of a task's timer."""
        found = [each for each in self.snap()["taskTimeouts"] if each["id"] == task_id]
        return (found[0]["type"], found[0]["timeout"]) if found else None

    def executes(self) -> list[tuple[str, str, int]]:
        """Return the queued executes: address, task, version."""
        found = []
        for each in self.snap()["messages"]:
            if each["message"]["kind"] == "execute":
                task = each["message"]["data"]["task"]
                found.append((each["address"], task["id"], task["version"]))
        return found

    def unblocks(self) -> list[tuple[str, str, str]]:
        """Return the queued unblocks: address, promise, state."""
        found = []
        for each in self.snap()["messages"]:
            if each["message"]["kind"] == "unblock":
                promise = each["message"]["data"]["promise"]
                found.append((each["address"], promise["id"], promise["state"]))
        return found
