"""Random requests, most of which have something to do in the model's present state."""

from __future__ import annotations

import copy
import random
from typing import Any

from resonate.protocol.limits import DELAY_MS_MAX, INT64_MAX, SEARCH_LIMIT_MAX
from tests.model import values
from tests.model.choosing import Choosing, Data
from tests.model.door import PROMISE_STATES, SETTLED_STATES, TASK_STATES
from tests.model.model import Model
from tests.model.world import is_external

TASKS_MIN = 4  # with fewer alive, most requests make more

WEIGHTS = {
    "promise.get": 4,
    "promise.create": 10,
    "promise.settle": 8,
    "promise.register_callback": 6,
    "promise.register_listener": 7,
    "promise.search": 5,
    "task.get": 4,
    "task.create": 9,
    "task.acquire": 12,
    "task.release": 6,
    "task.fulfill": 6,
    "task.suspend": 14,
    "task.fence": 10,
    "task.heartbeat": 5,
    "task.halt": 5,
    "task.continue": 5,
    "task.search": 3,
    "schedule.get": 2,
    "schedule.create": 5,
    "schedule.delete": 2,
    "schedule.search": 2,
}


class Requests(Choosing):
    """Makes requests for one walk."""

    def __init__(self, chooser: random.Random, model: Model) -> None:
        super().__init__(chooser, model)
        self.cursors = ["", "a", "!!!", "YTph"]

    def one(self, now: int) -> tuple[str, Data]:
        """Return a kind and its data."""
        self.now = now
        weights = WEIGHTS
        if len(self._tasks("pending", "acquired", "suspended", "halted")) < TASKS_MIN:
            weights = {**WEIGHTS, "promise.create": 60, "task.create": 30}
        kind = self.random.choices(list(weights), list(weights.values()))[0]
        data = getattr(self, "_" + kind.replace(".", "_"))()
        return kind, copy.deepcopy(data)  # it may be spoilt, and the values are everybody's

    def learn(self, status: int, data: Any) -> None:
        """Keep the cursors that were answered."""
        if isinstance(data, dict) and "cursor" in data:
            self.cursors = [*self.cursors[-8:], data["cursor"]]

    # --------------------------------------------------------------------------- promises

    def _promise_get(self) -> Data:
        return {"id": self._id()}

    def _promise_create(self, target: float = 0.6) -> Data:
        timeout_at = self._timeout_at()
        data = {"id": self._new_id(), "timeoutAt": timeout_at}
        tags = self._tags(timeout_at, target=target)
        return self._optional(data, param=self.random.choice(values.VALUES), tags=tags)

    def _promise_settle(self) -> Data:
        awaited = [each for each, awaiters in self.model.world.callbacks.items() if awaiters]
        data = {
            "id": self._among(awaited if self._chance(0.5) else self._pending()),
            "state": self.random.choice(SETTLED_STATES),
        }
        return self._optional(data, value=self.random.choice(values.VALUES))

    def _promise_register_callback(self) -> Data:
        awaiter = self._task("acquired", "suspended", "pending")
        awaited = self._among(self._pending(awaiter))
        return {"awaited": awaited, "awaiter": awaiter}

    def _promise_register_listener(self) -> Data:
        unblocked = list(self.model.world.unblocks)
        if unblocked and self._chance(0.3):
            awaited, address = self.random.choice(unblocked)
            return {"awaited": awaited, "address": address}
        return {"awaited": self._among(self._pending()), "address": self._address(values.LISTENERS)}

    def _page(self, states: tuple[str, ...], **more: Any) -> Data:
        limits = (1, 2, 3, 3, 3, SEARCH_LIMIT_MAX, SEARCH_LIMIT_MAX + 1, 0)
        choices = {
            "state": self.random.choice(states),
            "limit": self.random.choice(limits),
            "cursor": self.random.choice(self.cursors),
            "idPrefix": self.random.choice(("", "a", "é", "p:", "s-", "a%")),
            **more,
        }
        return {name: found for name, found in choices.items() if self._chance(0.3)}

    def _filter(self) -> dict[str, str]:
        return self.random.choice(({}, {"k": "v"}, {"k": "w", "resonate:branch": "a"}, {"x": ""}))

    def _promise_search(self) -> Data:
        instants = [each["createdAt"] for each in self.model.world.promises.values()] or [self.now]
        bounds = ("createdFrom", "createdTo", "settledFrom", "settledTo")
        return self._page(
            PROMISE_STATES,
            tags=self._filter(),
            rootOnly=self._chance(0.7),
            counts=self._chance(0.7),
            order=self.random.choice(("id", "newest", "oldest", "newest", "oldest", "other")),
            **{
                name: min(
                    INT64_MAX,
                    self.random.choice((*instants, self.now)) + self.random.choice((0, 0, 1)),
                )
                for name in bounds
                if self._chance(0.4)
            },
        )

    # ------------------------------------------------------------------------------ tasks

    def _action(self, kind: str, data: Data) -> Data:
        action = {"kind": kind, "head": {}, "data": data}
        if self._chance(0.04):
            action["kind"] = self.random.choice(("promise.get", "", "x"))
        if not self.model.strict or self._chance(0.02):
            for name in ("kind", "head"):
                if self._chance(0.1):
                    del action[name]
        return action

    def _task_get(self) -> Data:
        return {"id": self._some_task()}

    def _task_create(self) -> Data:
        inner = self._promise_create(target=0.95)
        if self._chance(0.3):
            inner["id"] = self._some_task()
        action = self._action("promise.create", inner)
        return {"pid": self._pid(), "ttl": self._ttl(), "action": action}

    def _task_acquire(self) -> Data:
        task_id = self._task("pending") if self._chance(0.8) else self._some_task()
        return {**self._ref(task_id), "pid": self._pid(), "ttl": self._ttl()}

    def _task_release(self) -> Data:
        data = self._ref(self._held())
        if self._chance(0.4):
            data["delay"] = self.random.choice(
                (0, 1, 500, DELAY_MS_MAX, DELAY_MS_MAX + 1, -1, None)
            )
        return data

    def _held(self) -> str:
        return self._task("acquired") if self._chance(0.8) else self._some_task()

    def _some_task(self) -> str:
        """Return a task in any state, each state as likely as the others."""
        return self._task(self.random.choice(TASK_STATES))

    def _task_fulfill(self) -> Data:
        task_id = self._held()
        inner = self._promise_settle()
        inner["id"] = task_id if self._chance(0.95) else self._id()
        return {**self._ref(task_id), "action": self._action("promise.settle", inner)}

    def _awaitable(self, task_id: str) -> str:
        if self._chance(0.1):
            return self._among(self._promises(*PROMISE_STATES[1:]))
        pending = self._pending(task_id)
        if self.model.strict and self._chance(0.9):
            world = self.model.world
            pending = [each for each in pending if is_external(world.promises[each])]
        return self._among(pending, 0.93)

    def _task_suspend(self) -> Data:
        task_id = self._held()
        actions = []
        for _ in range(self.random.choice((1, 1, 1, 2, 2, 3, self._seldom(0, 1)))):
            awaited = self._awaitable(task_id)
            awaiter = task_id if self._chance(0.98) else self._id()
            callback = {"awaited": awaited, "awaiter": awaiter}
            actions.append(self._action("promise.register_callback", callback))
        return {**self._ref(task_id), "actions": actions}

    def _task_fence(self) -> Data:
        task_id = self._held()
        if self._chance(0.6):
            kind, inner = "promise.create", self._promise_create()
        else:
            kind, inner = "promise.settle", self._promise_settle()
        if inner["id"] == task_id and self._chance(0.9):
            inner["id"] = self._new_id()
        action = {"kind": kind, "data": inner}
        if self.model.strict or self._chance(0.5):
            action["head"] = {}
        if self._chance(0.03):
            action["kind"] = self.random.choice(("promise.get", "", "task.create"))
        return {**self._ref(task_id), "action": action}

    def _task_heartbeat(self) -> Data:
        held = self._tasks("acquired")
        pid = self._pid()
        if held and self._chance(0.7):
            pid = self.model.world.tasks[self.random.choice(held)]["pid"]
        tasks = [self._ref(self._among(held)) for _ in range(self.random.choice((0, 1, 1, 2, 4)))]
        return {"pid": pid, "tasks": tasks}

    def _task_halt(self) -> Data:
        held = self._task("pending", "acquired", "suspended")
        return {"id": held if self._chance(0.6) else self._some_task()}

    def _task_continue(self) -> Data:
        return {"id": self._task("halted") if self._chance(0.6) else self._some_task()}

    def _task_search(self) -> Data:
        return self._page(TASK_STATES, counts=self._chance(0.7))

    # -------------------------------------------------------------------------- schedules

    def _schedule_id(self) -> str:
        return self._among(self.model.world.schedules)

    def _schedule_get(self) -> Data:
        return {"id": self._schedule_id()}

    def _schedule_delete(self) -> Data:
        return {"id": self._schedule_id()}

    def _schedule_create(self) -> Data:
        cron, template = self.random.choice(values.CRONS), self.random.choice(values.TEMPLATES)
        if self._chance(0.1):
            cron = self.random.choice(("", *values.BAD_CRONS))
        if self._chance(0.08):
            template = self.random.choice(values.BAD_TEMPLATES)
        timeout = self.random.choice((0, 1, 5000, 86_400_000, INT64_MAX, self._seldom(-1, 1)))
        data = {
            "id": self._id(),
            "cron": cron,
            "promiseId": template,
            "promiseTimeout": timeout,
        }
        param, tags = self.random.choice(values.VALUES), self._tags(self.now + timeout)
        return self._optional(data, promiseParam=param, promiseTags=tags)

    def _schedule_search(self) -> Data:
        data = self._page(TASK_STATES, tags=self._filter())
        data.pop("state", None)
        return data
