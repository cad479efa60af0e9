"""The handlers H1 to H21 of section 3.4, line by line as the reference has them.

Each takes the cleaned data of a request that has passed the door, and ``now``; it writes to the world
and returns status and data. ``answer`` notes which line of the reference answered.
"""

from __future__ import annotations

from typing import Any

from resonate.protocol.cron import next_cron, parse_cron
from tests.model.rules import TARGET, TIMER_TARGET
from tests.model.searches import preload, search_promises, search_schedules, search_tasks
from tests.model.steps import Steps
from tests.model.world import (
    Row,
    World,
    is_external,
    is_timer,
    saturated,
    task_record,
    without_lease,
)

Answer = tuple[int, Any]
NO_TASK, NO_PROMISE, NO_SCHEDULE = "Task not found", "Promise not found", "Schedule not found"
NO_AWAITED, NOT_EXTERNAL = "Awaited promise not found", "Awaited promise is not external"
VERSION_MISMATCH, NOT_HELD = "Version mismatch", "Task version mismatch or invalid state"
NOT_ACQUIRED = "Task is not acquired or version mismatch"


class Handlers:
    """The handlers of one server, and all it knows."""

    def __init__(self, *, strict: bool, retry_timeout: int) -> None:
        self.strict = strict
        self.retry_timeout = retry_timeout
        self.lines: list[str] = []  # the lines of the reference that answered
        self.corr_id = "0"
        self.reset()

    def reset(self) -> None:
        self.world = World()
        self.steps = Steps(self.world, strict=self.strict, retry_timeout=self.retry_timeout)

    # ---------------------------------------------------------------------------- notation

    def view(self, promise_id: str, now: int) -> Row | None:
        return self.world.view(promise_id, now)

    def tview(self, promise_id: str, now: int) -> tuple[Row, Row] | None:
        return self.world.tview(promise_id, now)

    def answer(self, line: str, status: int, data: Any) -> Answer:
        self.lines.append(line)
        return status, data

    def guard(self, line: str, data: Row, now: int, text: str) -> tuple[Row, Answer | None]:
        """The common lease guard: the task, and the answer if it is refused."""
        found = self.tview(data["id"], now)
        if found is None:
            return {}, self.answer(f"{line} none", 404, NO_TASK)
        task, promise = found
        if task["state"] != "acquired":
            return {}, self.answer(f"{line} {task['state']}", 409, text)
        assert promise["state"] == "pending"  # seen() made the task of a dead one fulfilled
        if task["version"] != data["version"]:
            return {}, self.answer(f"{line} version", 409, text)
        return task, None

    def timer_and_target(self, tags: dict[str, str]) -> bool:
        return self.strict and is_timer(tags) and TARGET in tags

    # ---------------------------------------------------------------------------- promises

    def promise_get(self, data: Row, now: int) -> Answer:
        promise = self.view(data["id"], now)
        if promise is None:
            return self.answer("H1.1", 404, NO_PROMISE)
        return self.answer("H1.2", 200, {"promise": promise})

    def promise_create(self, data: Row, now: int) -> Answer:
        if self.timer_and_target(data["tags"]):
            return self.answer("H2.1", 400, TIMER_TARGET)
        promise = self.view(data["id"], now)
        if promise is not None:
            return self.answer("H2.2", 200, {"promise": promise})
        promise = self.world.create(data, now, strict=self.strict)
        born = "born" if promise["state"] == "pending" else "born settled"
        return self.answer(f"H2.3 {born}", 200, {"promise": promise})

    def promise_settle(self, data: Row, now: int) -> Answer:
        promise = self.view(data["id"], now)
        if promise is None:
            return self.answer("H3.1", 404, NO_PROMISE)
        if promise["state"] != "pending":
            return self.answer("H3.2", 200, {"promise": promise})
        settled = self.world.settle(data["id"], data["state"], data["value"], now)
        return self.answer("H3.3", 200, {"promise": settled})

    def promise_register_callback(self, data: Row, now: int) -> Answer:
        awaited = self.view(data["awaited"], now)
        if awaited is None:
            return self.answer("H4.1", 404, NO_AWAITED)
        awaiter = self.view(data["awaiter"], now)
        if awaiter is None:
            return self.answer("H4.2", 422, "Awaiter promise not found")
        if TARGET not in awaiter["tags"]:
            return self.answer("H4.3", 422, "Awaiter promise has no resonate:target tag")
        if self.strict and not is_external(awaited):
            return self.answer("H4.4", 422, NOT_EXTERNAL)
        if awaited["state"] == "pending" and awaiter["state"] == "pending":
            self.world.add_callback(data["awaited"], data["awaiter"])
            return self.answer("H4.5", 200, {"promise": awaited})
        return self.answer("H4.6", 200, {"promise": awaited})

    def promise_register_listener(self, data: Row, now: int) -> Answer:
        awaited, address = self.view(data["awaited"], now), data["address"]
        if awaited is None:
            return self.answer("H5.1", 404, NO_AWAITED)
        if self.strict and not is_external(awaited):
            return self.answer("H5.2", 422, NOT_EXTERNAL)
        if awaited["state"] == "pending":
            self.world.add_listener(data["awaited"], address)
            return self.answer("H5.3", 200, {"promise": awaited})
        if self.world.supersede(data["awaited"], address):
            return self.answer("H5.4 superseded", 200, {"promise": awaited})
        return self.answer("H5.4", 200, {"promise": awaited})

    def promise_search(self, data: Row, now: int) -> Answer:
        return self.answer("H6", 200, search_promises(self.world, data, now))

    # ------------------------------------------------------------------------------- tasks

    def task_get(self, data: Row, now: int) -> Answer:
        found = self.tview(data["id"], now)
        if found is None:
            return self.answer("H7.1", 404, NO_TASK)
        return self.answer("H7.2", 200, {"task": task_record(data["id"], found[0])})

    def task_create(self, data: Row, now: int) -> Answer:
        inner = data["action"]["data"]
        task_id = inner["id"]
        if self.timer_and_target(inner["tags"]):
            return self.answer("H8.1", 400, TIMER_TARGET)
        promise = self.view(task_id, now)
        if promise is None:
            promise = self.world.create(inner, now, strict=self.strict)
            if promise["state"] != "pending":
                task = self.world.tasks[task_id]
                return self.answer("H8.2 born settled", 200, _lease(task_id, task, promise, []))
            return self._granted("H8.2 born", task_id, data, promise, now)
        if TARGET not in promise["tags"]:
            return self.answer("H8.3", 422, "Promise exists without a target task")
        found = self.tview(task_id, now)
        assert found is not None
        task, promise = found
        if task["state"] == "fulfilled":
            return self.answer("H8.4 fulfilled", 200, _lease(task_id, task, promise, []))
        if task["state"] == "pending":
            return self._granted("H8.4 pending", task_id, data, promise, now)
        return self.answer(f"H8.4 {task['state']}", 409, "Already exists")

    def _granted(self, line: str, task_id: str, data: Row, promise: Row, now: int) -> Answer:
        task = self.world.tasks[task_id]
        task = self.world.grant(task_id, task, data["pid"], data["ttl"], now)
        loaded = preload(self.world, promise, now)
        return self.answer(line, 200, _lease(task_id, task, promise, loaded))

    def task_acquire(self, data: Row, now: int) -> Answer:
        found = self.tview(data["id"], now)
        if found is None:
            return self.answer("H9.1", 404, NO_TASK)
        task, promise = found
        if task["state"] != "pending":
            return self.answer(f"H9.2 {task['state']}", 409, "Task is not pending")
        if task["version"] != data["version"]:
            return self.answer("H9.3", 409, VERSION_MISMATCH)
        return self._granted("H9.4", data["id"], data, promise, now)

    def task_fence(self, data: Row, now: int) -> Answer:
        _, refusal = self.guard("H10.1", data, now, VERSION_MISMATCH)
        if refusal is not None:
            return refusal
        kind, inner = data["action"]["kind"], data["action"]["data"]
        handler = self.promise_create if kind == "promise.create" else self.promise_settle
        status, found = handler(inner, now)
        line = self.lines.pop()
        head = {"corrId": self.corr_id, "status": status, "version": "2026-04-01"}
        envelope = {"kind": kind, "head": head, "data": found}
        return self.answer(f"H10.3 {line}", 200, {"action": envelope, "preload": []})

    def task_heartbeat(self, data: Row, now: int) -> Answer:
        refs = data["tasks"]
        if not refs:
            if self.strict:
                return self.answer("H11 empty", 200, {})
            refs = [
                {"id": task_id, "version": task["version"]}
                for task_id, task in self.world.tasks.items()
                if task.get("pid") == data["pid"]
            ]
            self._renew(data["pid"], refs, now)  # those of dead promises are nobody's ref: not lost
            return self.answer("H11 all", 200, {})
        lost = self._renew(data["pid"], refs, now)
        if lost and not self.strict:
            return self.answer("H11 lost", 200, {"lost": lost})
        return self.answer("H11 skipped" if lost else "H11", 200, {})

    def _renew(self, pid: str, refs: list[Row], now: int) -> list[Row]:
        lost = []
        for ref in refs:
            found = self.tview(ref["id"], now)
            if found is not None:
                task, promise = found
                held = task["state"] == "acquired" and promise["state"] == "pending"
                if held and task["version"] == ref["version"] and task["pid"] == pid:
                    expires_at = saturated(now + task["ttl"])
                    self.world.set_task(ref["id"], {**task, "expiresAt": expires_at})
                    continue
            lost.append(ref)
        return lost

    def task_suspend(self, data: Row, now: int) -> Answer:
        task_id = data["id"]
        awaited = [each["data"]["awaited"] for each in data["actions"]]
        if self.strict and len(set(awaited)) < len(awaited):
            return self.answer("H12.1", 400, "Awaited promises must be distinct")
        task, refusal = self.guard("H12.2", data, now, NOT_ACQUIRED)
        if refusal is not None:
            return refusal
        views = [self.view(each, now) for each in awaited]
        if any(each is None for each in views):
            return self.answer("H12.3", 422, NO_AWAITED)
        if self.strict and not all(is_external(each) for each in views if each is not None):
            return self.answer("H12.3 internal", 422, NOT_EXTERNAL)
        if any(each["state"] != "pending" for each in views if each is not None):
            self.world.set_task(task_id, {**task, "resumes": []})
            promise = self.world.promises[task_id]
            settled = [each for each in views if each is not None and each["state"] != "pending"]
            news = [] if self.strict else settled
            return self.answer("H12.4", 300, {"preload": preload(self.world, promise, now, news)})
        for each in awaited:
            self.world.add_callback(each, task_id)
        suspended = {**without_lease(task), "state": "suspended", "resumes": []}
        self.world.set_task(task_id, suspended)
        return self.answer("H12.5", 200, {})

    def task_fulfill(self, data: Row, now: int) -> Answer:
        _, refusal = self.guard("H13.1", data, now, NOT_HELD)
        if refusal is not None:
            return refusal
        inner = data["action"]["data"]
        settled = self.world.settle(data["id"], inner["state"], inner["value"], now)
        return self.answer("H13.2", 200, {"promise": settled})

    def task_release(self, data: Row, now: int) -> Answer:
        task, refusal = self.guard("H14.1", data, now, NOT_HELD)
        if refusal is not None:
            return refusal
        delay = data.get("delay", 0)
        self.world.to_pending(data["id"], task, saturated(now + delay))
        return self.answer("H14.2 delay" if delay else "H14.2", 200, {})

    def task_halt(self, data: Row, now: int) -> Answer:
        found = self.tview(data["id"], now)
        if found is None:
            return self.answer("H15.1", 404, NO_TASK)
        task, _ = found
        if task["state"] == "fulfilled":
            return self.answer("H15.2", 409, "Task is fulfilled")
        if task["state"] == "halted":
            return self.answer("H15.3", 200, {})
        self.world.set_task(data["id"], {**without_lease(task), "state": "halted"})
        return self.answer(f"H15.4 {task['state']}", 200, {})

    def task_continue(self, data: Row, now: int) -> Answer:
        found = self.tview(data["id"], now)
        if found is None:
            return self.answer("H16.1", 404, NO_TASK)
        task, _ = found
        if task["state"] != "halted":
            return self.answer(f"H16.2 {task['state']}", 409, "Task is not halted")
        self.world.to_pending(data["id"], task, now)
        return self.answer("H16.3", 200, {})

    def task_search(self, data: Row, now: int) -> Answer:
        return self.answer("H17", 200, search_tasks(self.world, data, now))

    # --------------------------------------------------------------------------- schedules

    def schedule_get(self, data: Row, now: int) -> Answer:
        found = self.world.schedules.get(data["id"])
        if found is None:
            return self.answer("H18", 404, NO_SCHEDULE)
        return self.answer("H18", 200, {"schedule": found})

    def schedule_create(self, data: Row, now: int) -> Answer:
        if self.timer_and_target(data["promiseTags"]):
            return self.answer("H19.1", 400, TIMER_TARGET)
        if data["id"] in self.world.schedules:
            return self.answer("H19.2", 200, {"schedule": self.world.schedules[data["id"]]})
        cron = parse_cron(data["cron"])
        assert cron is not None  # R27
        schedule = {**data, "createdAt": now, "nextRunAt": next_cron(cron, now)}
        self.world.schedules[data["id"]] = schedule
        return self.answer("H19.3", 200, {"schedule": schedule})

    def schedule_delete(self, data: Row, now: int) -> Answer:
        if self.world.schedules.pop(data["id"], None) is None:
            return self.answer("H20", 404, NO_SCHEDULE)
        return self.answer("H20", 200, {})

    def schedule_search(self, data: Row, now: int) -> Answer:
        return self.answer("H21", 200, search_schedules(self.world, data))


def _lease(task_id: str, task: Row, promise: Row, loaded: list[Row]) -> Row:
    return {"task": task_record(task_id, task), "promise": promise, "preload": loaded}
