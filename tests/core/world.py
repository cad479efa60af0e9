"""A world of objects on a manual clock, for the tests of the core.

``call`` sends a request as a client does: as JSON, through the door checks, to the machine, and
back as JSON. The machine is given what a store would load and nothing else, so a handler that looks
further raises KeyError. After every call and step the properties of a state are checked.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from resonate.core import machine, schedules, searches, steps
from resonate.core.objects import (
    Branch,
    BranchOf,
    Key,
    Promise,
    Schedule,
    ScheduleKey,
    Stored,
    Task,
    project,
    record,
    schedule_record,
    task_record,
)
from resonate.core.properties import check_state
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.answers import (
    Answer,
    PromisesAnswer,
    SchedulesAnswer,
    TasksAnswer,
    encode,
    respond,
)
from resonate.protocol.envelope import LENIENT, Refusal, Rules, read
from resonate.protocol.limits import INT64_MAX, OCCURRENCES_MAX
from resonate.protocol.validation import BRANCH

NOW = 1_000
DEADLINE = 10_000
TTL = 500
ANY = "poll://any@g"
CALLER = "poll://uni@callers/c"


class Reply(NamedTuple):
    """Status and data of a response."""

    status: int
    data: Any


class World:
    """Objects at an instant, of a lenient server or a strict one."""

    def __init__(self, now: int = NOW, *, strict: bool = False) -> None:
        self.now = now
        self.rules = Rules(strict=strict) if strict else LENIENT
        self.objects: dict[Key, Stored] = {}

    # --- requests ---

    def call(self, kind: str, **data: Any) -> Reply:
        """Send a request, and return what a client gets."""
        request = parse(kind, data, rules=self.rules)
        if isinstance(request, Refusal):
            return reply(kind, Answer(request.status, request.text))
        if isinstance(request, rq.Search):
            return reply(kind, self.find(request))
        state = self.load(*machine.reads(request))
        answer = machine.handle(request, state)
        self.keep(state)
        return reply(kind, answer)

    def ok(self, kind: str, **data: Any) -> Any:
        """Send a request that must succeed, and return the data of the response."""
        status, found = self.call(kind, **data)
        assert status == 200, found
        return found

    def create(self, promise_id: str, target: str | None = None, **fields: Any) -> Any:
        """Create a promise, with a target when one is given."""
        return self.ok("promise.create", **promise_data(promise_id, target, **fields))["promise"]

    def settle(self, promise_id: str, state: str = "resolved", value: str | None = None) -> Any:
        """Settle a promise."""
        data = {"id": promise_id, "state": state, "value": {"data": value} if value else {}}
        return self.ok("promise.settle", **data)["promise"]

    def acquire(self, task_id: str, pid: str = "w", ttl: int = TTL) -> int:
        """Acquire a pending task at its version; return the new one."""
        data = {"id": task_id, "version": self.task(task_id).version, "pid": pid, "ttl": ttl}
        return int(self.ok("task.acquire", **data)["task"]["version"])

    def suspend(self, task_id: str, *awaited: str) -> Reply:
        """Suspend an acquired task until one of ``awaited`` settles."""
        actions = [callback(each, task_id) for each in awaited]
        version = self.task(task_id).version
        return self.call("task.suspend", id=task_id, version=version, actions=actions)

    def ref(self, task_id: str) -> dict[str, Any]:
        """Return id and version of a task, as requests name it."""
        return {"id": task_id, "version": self.task(task_id).version}

    def find(self, request: rq.Search) -> Answer:
        """Answer a search by the rules of the core, all that matches on one page."""
        query, now = request.data, self.now
        if isinstance(query, rq.ScheduleSearchData):
            found = searches.schedules(self.schedules(), query)
            return Answer(200, SchedulesAnswer([schedule_record(each) for each in found]))
        if isinstance(query, rq.TaskSearchData):
            seen = [project(each, now) for each in searches.tasks(self.promises(), query, now)]
            return Answer(200, TasksAnswer([task_record(each) for each in seen]))
        seen = [project(each, now) for each in searches.promises(self.promises(), query, now)]
        return Answer(200, PromisesAnswer([record(each) for each in seen]))

    # --- steps ---

    def step(self, take: Any, promise_id: str, *arguments: Any) -> Any:
        """Take one internal step, without those that it enables."""
        state = self.load(promise_id)
        result = take(state, promise_id, *arguments)
        self.keep(state)
        return result

    def advance(self, *promise_ids: str) -> None:
        """Write what time has brought about, with the steps that this enables."""
        for promise_id in promise_ids or [each.id for each in self.promises()]:
            state = self.load(promise_id)
            machine.step(state, promise_id, lambda s=state, p=promise_id: steps.advance(s, p))
            self.keep(state)

    def fire(self, schedule_id: str = "s", limit: int = OCCURRENCES_MAX) -> None:
        """Fire a schedule, with the steps that this enables."""
        state = self.load_occurrences(schedule_id, limit)
        key = ScheduleKey(schedule_id)
        machine.step(state, key, lambda: steps.fire(state, schedule_id, limit))
        self.keep(state)

    def load_occurrences(self, schedule_id: str, limit: int) -> State:
        """Return a schedule with the promises that it is about to fire, as a store does."""
        schedule = self.schedule(schedule_id)
        due = [] if schedule is None else schedules.occurrences(schedule, self.now, limit)
        return self.load(ScheduleKey(schedule_id), *(promise_id for _, promise_id in due))

    # --- objects ---

    def promises(self) -> list[Promise]:
        """Return the promises, as stored."""
        return [each for each in self.objects.values() if isinstance(each, Promise)]

    def schedules(self) -> list[Schedule]:
        """Return the schedules."""
        return [each for each in self.objects.values() if isinstance(each, Schedule)]

    def schedule(self, schedule_id: str = "s") -> Schedule | None:
        """Return a schedule."""
        return self.objects.get(ScheduleKey(schedule_id))  # type: ignore[return-value]

    def load(self, *keys: Key) -> State:
        """Return the objects of these keys and the awaiters in their callbacks, as a store does."""
        named: dict[Key, Any] = {}
        for key in keys:
            if isinstance(key, BranchOf | Branch):
                named[key] = self.branch(key)
                named |= {each: self.objects[each] for each in named[key]}
            else:
                named[key] = self.objects.get(key)
        for promise in [each for each in named.values() if isinstance(each, Promise)]:
            named |= {each: self.objects.get(each) for each in promise.callbacks}
        return State(named, self.now, strict=self.rules.strict)

    def branch(self, key: BranchOf | Branch) -> tuple[str, ...]:
        """Return the ids of the promises that have a branch, or that of a promise."""
        name: str | None = None
        if isinstance(key, Branch):
            name = key.name
        else:
            promise = self.objects.get(key.promise_id)
            name = promise.tags.get(BRANCH) if isinstance(promise, Promise) else None
        return tuple(
            sorted(each.id for each in self.promises() if name and each.tags.get(BRANCH) == name)
        )

    def keep(self, state: State) -> None:
        """Store what a step has changed."""
        for key in state.before:
            stored = state.objects[key]
            if stored is None:
                assert isinstance(key, ScheduleKey), "promises are never deleted by the protocol"
                del self.objects[key]
                continue
            assert all(0 <= each <= INT64_MAX for each in instants(stored)), "sums saturate"
            self.objects[key] = stored
        check_state(self.objects, self.now, strict=self.rules.strict)

    def task(self, task_id: str) -> Task:
        """Return the task as it is stored."""
        task = self.objects[task_id].task
        assert task is not None
        return task


def instants(promise: Stored) -> list[int]:
    """Return every instant that is stored of a promise and its task, or of a schedule."""
    if not isinstance(promise, Promise):
        return [promise.created_at, promise.next_run_at, promise.last_run_at or 0]
    found = [promise.timeout_at, promise.created_at, promise.settled_at]
    if promise.task is not None:
        found += [promise.task.expires_at, promise.task.retry_at]
    return [each for each in found if each is not None]


def envelope(kind: str, data: Any, corr_id: str = "c1") -> bytes:
    """Return the body of a request."""
    head = {"corrId": corr_id, "version": rq.VERSION}
    return json.dumps({"kind": kind, "head": head, "data": data}).encode()


def parse(
    kind: str, data: Any, corr_id: str = "c1", rules: Rules = LENIENT
) -> rq.Request | Refusal:
    """Return a request as the machine sees it."""
    return read(envelope(kind, data, corr_id), rules)


def reply(kind: str, answer: Answer) -> Reply:
    """Return an answer as a client sees it."""
    response = json.loads(encode(respond(kind, "c1", answer)))
    head = {"corrId": "c1", "status": answer.status, "version": rq.VERSION}
    assert (response["kind"], response["head"]) == (kind, head)
    return Reply(answer.status, response["data"])


def promise_data(
    promise_id: str,
    target: str | None = None,
    *,
    timeout: int = DEADLINE,
    param: Any = None,
    **tags: str,
) -> dict[str, Any]:
    """Return the data of a promise.create; ``tags`` lack the prefix ``resonate:``."""
    named = {f"resonate:{name}": value for name, value in tags.items()}
    if target is not None:
        named["resonate:target"] = target
    return {"id": promise_id, "timeoutAt": timeout, "param": param or {}, "tags": named}


def action(kind: str, **data: Any) -> dict[str, Any]:
    """Return a request inside a request."""
    return {"kind": kind, "head": {}, "data": data}


def callback(awaited: str, awaiter: str) -> dict[str, Any]:
    """Return an action of task.suspend."""
    return action("promise.register_callback", awaited=awaited, awaiter=awaiter)


def settlement(promise_id: str, state: str = "resolved", value: str | None = None) -> Any:
    """Return the action of a task.fulfill, or one of a fence."""
    found = {"data": value} if value else {}
    return action("promise.settle", id=promise_id, state=state, value=found)


def lease(promise_id: str, pid: str = "w", ttl: int = TTL, **fields: Any) -> dict[str, Any]:
    """Return the data of a task.create."""
    inner = promise_data(promise_id, fields.pop("target", ANY), **fields)
    return {"pid": pid, "ttl": ttl, "action": action("promise.create", **inner)}


def schedule_data(
    schedule_id: str = "s",
    cron: str = "* * * * * *",
    template: str = "{{.id}}.{{.timestamp}}",
    timeout: int = DEADLINE,
    **fields: Any,
) -> dict[str, Any]:
    """Return the data of a schedule.create; every second, it fires, when nothing else is said."""
    named = {"id": schedule_id, "cron": cron, "promiseId": template, "promiseTimeout": timeout}
    return {**named, **fields}


def task_in(world: World, state: str, task_id: str = "t", awaited: str = "x") -> None:
    """Bring a task into a state; ``suspended`` makes the promise that it awaits, external."""
    world.create(task_id, ANY)
    if state != "pending":
        world.acquire(task_id)
    if state == "suspended":
        world.create(awaited, timeout=DEADLINE * 2, external="true")
        assert world.suspend(task_id, awaited) == (200, {})
    elif state == "halted":
        world.ok("task.halt", id=task_id)
    elif state == "fulfilled":
        world.ok("task.fulfill", **world.ref(task_id), action=settlement(task_id))
    assert world.task(task_id).state == state
