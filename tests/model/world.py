"""The stored objects (3.1), the projection (3.2) and the building blocks (3.3), on plain dicts.

A promise is stored as its record. A task is stored as ``{"state", "version", "resumes"}`` with ``pid``,
``ttl``, ``expiresAt`` while acquired and ``retryAt`` while pending; ``resumes`` is a list without
duplicates. Nothing is cached and nothing is clever: every question is answered by looking at all rows.
"""

from __future__ import annotations

from typing import Any

from resonate.protocol.limits import INT64_MAX
from tests.model.rules import TARGET, TIMER, delay_of

Row = dict[str, Any]
BRANCH = "resonate:branch"
EXTERNAL = "resonate:external"


def saturated(instant: int) -> int:
    return min(instant, INT64_MAX)


class World:
    """All rows of a server."""

    def __init__(self) -> None:
        self.promises: dict[str, Row] = {}
        self.callbacks: dict[str, list[str]] = {}  # awaited -> awaiters
        self.listeners: dict[str, list[str]] = {}  # promise -> addresses
        self.tasks: dict[str, Row] = {}
        self.schedules: dict[str, Row] = {}
        self.executes: dict[str, Row] = {}  # task -> {"address", "version"}
        self.unblocks: dict[tuple[str, str], Row] = {}  # promise, address -> promise record
        self.written: list[str] = []  # promises that were written, or whose task was, since asked

    # ------------------------------------------------------------------------- 3.2 projection

    def view(self, promise_id: str, now: int) -> Row | None:
        found = self.promises.get(promise_id)
        return None if found is None else project(found, now)

    def tview(self, promise_id: str, now: int) -> tuple[Row, Row] | None:
        if promise_id not in self.tasks:
            return None
        promise = project(self.promises[promise_id], now)
        return seen(self.tasks[promise_id], promise), promise

    # -------------------------------------------------------------------- 3.3 building blocks

    def set_task(self, task_id: str, task: Row) -> None:
        """Write a task; its execute message goes when it is not pending (6.5)."""
        self.written.append(task_id)
        self.tasks[task_id] = task
        if task["state"] != "pending":
            self.executes.pop(task_id, None)

    def add_callback(self, awaited: str, awaiter: str) -> None:
        if awaiter not in self.callbacks[awaited]:
            self.callbacks[awaited].append(awaiter)
            self.written.append(awaited)

    def add_listener(self, awaited: str, address: str) -> None:
        if address not in self.listeners[awaited]:
            self.listeners[awaited].append(address)
            self.written.append(awaited)

    def supersede(self, settled: str, address: str) -> bool:
        """Drop the unblock of a promise that is settled in view, for one address.

        If nobody has noticed its deadline yet, the unblock is still a listener. That must make no
        difference, so it goes the same way, and the drain of the others is enabled.
        """
        if address in self.listeners[settled]:
            self.listeners[settled].remove(address)
            self.written.append(settled)
            return True
        return self.unblocks.pop((settled, address), None) is not None

    def settle(self, promise_id: str, state: str, value: Row, at: int) -> Row:
        settled = {**self.promises[promise_id], "state": state, "value": value, "settledAt": at}
        self.promises[promise_id] = settled
        self.written.append(promise_id)
        task = self.tasks.get(promise_id)
        if task is not None and task["state"] != "fulfilled":
            self.set_task(promise_id, fulfilled(task["version"]))
        return settled

    def create(self, request: Row, at: int, *, strict: bool) -> Row:
        promise_id, tags, timeout_at = request["id"], request["tags"], request["timeoutAt"]
        alive = timeout_at > at
        promise = {
            "id": promise_id,
            "state": "pending" if alive else verdict(tags),
            "param": request["param"],
            "value": {},
            "tags": tags,
            "timeoutAt": timeout_at,
            "createdAt": at if alive else timeout_at,
        }
        if not alive:
            promise["settledAt"] = timeout_at
        self.promises[promise_id] = promise
        self.written.append(promise_id)
        self.callbacks[promise_id] = []
        self.listeners[promise_id] = []
        if TARGET in tags:
            task = fulfilled(0)
            if alive:
                retry_at = max(delay_of(tags), at)
                if is_timer(tags) and not strict:
                    retry_at = timeout_at
                task = {"state": "pending", "version": 0, "resumes": [], "retryAt": retry_at}
            self.set_task(promise_id, task)
        return promise

    def grant(self, task_id: str, task: Row, pid: str, ttl: int, now: int) -> Row:
        task = {
            "state": "acquired",
            "version": task["version"] + 1,
            "resumes": [],
            "pid": pid,
            "ttl": ttl,
            "expiresAt": saturated(now + ttl),
        }
        self.set_task(task_id, task)
        return task

    def to_pending(self, task_id: str, task: Row, at: int) -> None:
        self.set_task(task_id, {**without_lease(task), "state": "pending", "retryAt": at})


# ----------------------------------------------------------------------------- 3.2, on one row


def is_timer(tags: dict[str, str]) -> bool:
    return tags.get(TIMER) == "true"


def is_external(promise: Row) -> bool:
    tags = promise["tags"]
    return tags.get(EXTERNAL) == "true" or TARGET in tags or is_timer(tags)


def verdict(tags: dict[str, str]) -> str:
    return "resolved" if is_timer(tags) else "rejected_timedout"


def project(promise: Row, now: int) -> Row:
    if promise["state"] == "pending" and promise["timeoutAt"] <= now:
        state = verdict(promise["tags"])
        return {**promise, "state": state, "settledAt": promise["timeoutAt"]}
    return promise


def seen(task: Row, promise: Row) -> Row:
    if promise["state"] != "pending" and task["state"] != "fulfilled":
        return fulfilled(task["version"])
    return task


def fulfilled(version: int) -> Row:
    return {"state": "fulfilled", "version": version, "resumes": []}


def without_lease(task: Row) -> Row:
    cleared = ("pid", "ttl", "expiresAt", "retryAt")
    return {name: found for name, found in task.items() if name not in cleared}


def task_record(task_id: str, task: Row) -> Row:
    """Section 2.3: resumes is a count, deadlines are not shown."""
    record = {
        "id": task_id,
        "state": task["state"],
        "version": task["version"],
        "resumes": len(task["resumes"]),
    }
    if task["state"] == "acquired":
        record |= {"ttl": task["ttl"], "pid": task["pid"]}
    return record
