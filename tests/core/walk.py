"""A walk: requests of all kinds, internal steps and time, as some ``pick`` chooses them.

``pick`` returns one of the options it is given: Hypothesis chooses to find and shrink failures, a
seeded generator chooses to show what a walk of some length reaches. Everything is kept small (few
ids, few versions, few instants), so that requests meet each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from resonate.core import machine, schedules, steps, tasks
from resonate.core.objects import (
    Branch,
    BranchOf,
    Key,
    Promise,
    ScheduleKey,
    Stored,
    due,
    project,
    record,
)
from resonate.core.properties import (
    check_promise_record,
    check_state,
    check_step,
    check_task_record,
)
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.envelope import Refusal
from resonate.protocol.limits import INT64_MAX
from tests.core.world import ANY, CALLER, Reply, World, action, callback, parse, reply

IDS = ("a", "b", "c", "a:1", "t:é", "p:notify:http://h", "\U0001f600 \x7f\u2028")
SCHEDULES = ("s", "a")  # one of them is called like a promise
CRONS = (*("* * * * * *", "*/2 * * * * *") * 4, "@daily", "0 0 0 1 1 ? 1971", "0 0 0 1 1 ? 1970")
TEMPLATES = (*("{{.id}}.{{.timestamp}}", "{{.timestamp}}") * 3, "a:1")  # the last has no instant
FAR = 4  # occurrences fired at a time
PIDS = ("w", "v")
ADDRESSES = (CALLER, "http://h", "POLL://any@a%20b/c%2Fd")
TARGETS = (None, None, ANY, ANY, ANY, "poll://uni@g/w", "http://h/x")
DEADLINES = (*(50, 1_000, 9_999) * 4, -1, 0, 1, 5, 20, 2**53 - 1, INT64_MAX)  # from now
TIMEOUTS = (0, 1, 500, 1_500, 1_500, INT64_MAX)
TTLS = (1, 5, 50, INT64_MAX)
DELAYS = (None, 0, 1, 7, 86_400_000)
STATES = ("resolved", "rejected", "rejected_canceled")
BRANCHES = ("a", "b")  # one of them is a promise, too
VALUES = ({}, {"data": "x"}, {"headers": {"h": "\u2028"}, "data": ""})
LIVE = ("pending", "acquired", "suspended", "halted")
CALLBACK = "promise.register_callback"
SENSIBLE = {  # by the state of a task; settling it, which ends what could be interesting, is rare
    "open": (CALLBACK, CALLBACK, "promise.settle", "promise.register_listener"),
    "pending": ("task.acquire", "task.acquire", "task.acquire", "task.halt", CALLBACK),
    "acquired": (*("task.suspend",) * 4, "task.fence", "task.release", "task.heartbeat", CALLBACK),
    "suspended": ("task.halt", "promise.settle", CALLBACK),
    "halted": ("task.continue", "promise.register_listener"),
    "fulfilled": ("promise.get", "task.create"),
}
BY_ID = {"promise.get", "task.get", "task.halt", "task.continue"}
STEPS = (*("advance", "drain", "fire", "fire") * 2, "discharge", "discharge", "lost", "renew")
STARTS = (0, 1_000, INT64_MAX - 30)

Pick = Callable[[Sequence[Any]], Any]
Edge = tuple[str | None, str]


class Walk:
    """A world, and what has been seen in it."""

    def __init__(self, pick: Pick, now: int, *, strict: bool = False) -> None:
        self.pick = pick
        self.strict = strict
        self.world = World(now, strict=strict)
        self.answers: set[tuple[str, int, str | None]] = set()
        self.edges: set[Edge] = set()
        self.internal_edges: set[Edge] = set()
        self.told: dict[str, Any] = {}

    # --- what happens ---

    def move(self) -> None:
        """Let one thing happen; all properties are checked after it, step by step."""
        what = self.pick(("request",) * 7 + ("time", "step", "step"))
        if what == "time":
            self.pass_time()
        elif what == "step":
            self.internal(self.pick(STEPS))
        else:
            self.request(*self.any_request())

    def pass_time(self) -> None:
        """Go on to an instant: some moments later, or the next at which something is due."""
        world = self.world
        instants = [due(each, now=world.now) for each in world.objects.values()]
        ahead = sorted(each for each in instants if each is not None and each > world.now)
        later = [world.now + each for each in (1, 6, 60, 2_500)]
        world.now = min(self.pick((*ahead[:2], *later)), INT64_MAX)
        check_state(world.objects, world.now, strict=self.strict)

    def internal(self, name: str) -> None:
        """Take one internal step that may or may not be due."""
        if name == "fire":
            there = tuple(each.id for each in self.world.schedules())
            self.fire(self.pick(there or SCHEDULES), self.pick((1, FAR)))
            return
        promise_id, address = self.pick(self.ids()), self.pick(ADDRESSES)
        listened = [(each.id, to) for each in self.world.promises() for to in each.listeners]
        if name == "discharge" and listened:
            promise_id, address = self.pick(listened)
        state = self.world.load(promise_id)
        if name == "advance":
            self.take(state, lambda: steps.advance(state, promise_id))
        elif name == "drain":
            self.take(state, lambda: steps.drain(state, promise_id, 1))
        elif name == "discharge":
            self.take(state, lambda: steps.discharge(state, promise_id, address))
        elif name == "renew":
            self.take(state, lambda: steps.renew(state, promise_id))
        else:
            version, pid = self.version(promise_id), self.pick(PIDS)
            self.take(state, lambda: steps.release_lost(state, promise_id, version, pid))

    def fire(self, schedule_id: str, limit: int) -> None:
        """Fire a schedule, and settle what was born too late; both are one commit."""
        state = self.world.load_occurrences(schedule_id, limit)
        born = self.take(state, lambda: schedules.fire(state, schedule_id, limit))
        for promise_id in born:
            self.take(state, lambda p=promise_id: steps.advance(state, p))
            promise = self.promise(promise_id)
            if promise.task is not None or not self.strict:  # the others show it by projection
                assert project(promise, self.world.now) is promise, "what is dead is settled"

    def request(self, kind: str, data: dict[str, Any]) -> Reply:
        """Carry out a request, and then its drains, one awaiter at a time."""
        request = parse(kind, data, rules=self.world.rules)
        if isinstance(request, Refusal):
            return reply(kind, Answer(request.status, request.text))
        if isinstance(request, rq.Search):
            return self.note(kind, self.world.find(request))
        state = self.world.load(*machine.reads(request))
        answer = self.take(state, lambda: carry_out(request, state), internal=False)
        answered = self.note(kind, answer)
        if self.pick((True, True, True, False)):  # a drain may come late
            self.settle_down()
        return answered

    def settle_down(self) -> None:
        """Drain what is settled, one awaiter at a time, until nobody waits."""
        for promise in self.world.promises():
            while steps.is_unfinished(project(self.promise(promise.id), self.world.now)):
                state = self.world.load(promise.id)
                self.take(state, lambda s=state, p=promise.id: steps.drain(s, p, 1))

    def take(self, state: State, step: Callable[[], Any], *, internal: bool = True) -> Any:
        """Take one step, and check what it did."""
        world = self.world
        before = dict(world.objects)
        state.begin()
        result = step()
        world.keep(state)
        check_step(before, world.objects, world.now, internal=internal, strict=self.strict)
        if isinstance(result, Answer) and result.status >= 400:
            assert world.objects == before, "a refusal writes nothing"
        edges = task_edges(before, world.objects)
        self.edges |= edges
        if internal:
            self.internal_edges |= edges
        return result

    def note(self, kind: str, answer: Answer) -> Reply:
        """Remember an answer, and hold it against what is stored and what was told before."""
        answered = reply(kind, answer)
        data = answered.data
        self.answers.add((kind, answered.status, data if isinstance(data, str) else None))
        for promise in promises_in(data):
            stored = self.promise(promise["id"])
            check_promise_record(promise, stored)
            assert promise["state"] == record(project(stored, self.world.now)).state
            if promise["id"] in self.told:
                assert promise == self.told[promise["id"]], "what was told settled never changes"
            elif promise["state"] != "pending":
                self.told[promise["id"]] = promise
        if isinstance(data, dict):
            for task in [*data.get("tasks", ()), *filter(None, [data.get("task")])]:
                check_task_record(task, project(self.promise(task["id"]), self.world.now))
        return answered

    # --- what is asked for ---

    def promise(self, promise_id: str) -> Promise:
        """Return a promise that is there."""
        promise = self.world.objects[promise_id]
        assert isinstance(promise, Promise)
        return promise

    def ids(self) -> tuple[str, ...]:
        """Return the ids of which to pick one: all, and some of those that schedules made."""
        fired = [each.id for each in self.world.promises() if each.id not in IDS]
        return (*IDS, *fired[-3:])

    def version(self, task_id: str) -> int:
        """Return a version of the task, mostly the right one."""
        promise = self.world.objects.get(task_id)
        task = promise.task if isinstance(promise, Promise) else None
        right = 0 if task is None else task.version
        return max(0, right + self.pick((0, 0, 0, 0, 0, 0, -1, 1)))

    def likely(self, *states: str) -> str:
        """Return an id, mostly of an object whose task, or else promise, is in such a state."""
        now = self.world.now
        found = [each.id for each in self.world.promises() if state_of(each, now) in states]
        return str(self.pick(self.pick((IDS, found, found, found)) or IDS))

    def what(self) -> tuple[str, str]:
        """Return a kind and an id: any, or such that the request has something to do."""
        promise_id = self.pick(self.ids())
        if self.pick((False, False, True)):
            return self.pick((*rq.KINDS, *("schedule.create",) * 4)), promise_id
        promise = self.world.objects.get(promise_id)
        if not isinstance(promise, Promise):
            return self.pick(("promise.create", "task.create")), promise_id
        return self.pick(SENSIBLE[state_of(promise, self.world.now)]), promise_id

    def any_request(self) -> tuple[str, dict[str, Any]]:
        """Return a request of any kind."""
        kind, promise_id = self.what()
        if kind.startswith("schedule.") or kind.endswith(".search"):
            return kind, self.other_data(kind)
        if kind.startswith("promise."):
            return kind, self.promise_data(kind, promise_id)
        return kind, self.task_data(kind, promise_id)

    def promise_data(self, kind: str, promise_id: str) -> dict[str, Any]:
        """Return the data of a request about a promise."""
        if kind == "promise.create":
            return self.new_promise(promise_id)
        if kind == "promise.settle":
            return self.settlement(promise_id)
        if kind == CALLBACK:
            return {"awaited": promise_id, "awaiter": self.likely(*LIVE)}
        if kind == "promise.register_listener":
            return {"awaited": promise_id, "address": self.pick(ADDRESSES)}
        return {"id": promise_id}

    def task_data(self, kind: str, task_id: str) -> dict[str, Any]:
        """Return the data of a request about a task."""
        pick = self.pick
        ref = {"id": task_id, "version": self.version(task_id)}
        if kind in BY_ID:
            return {"id": task_id}
        if kind == "task.create":
            inner = action("promise.create", **self.new_promise(task_id))
            return {"pid": pick(PIDS), "ttl": pick(TTLS), "action": inner}
        if kind == "task.acquire":
            return {**ref, "pid": pick(PIDS), "ttl": pick(TTLS)}
        if kind == "task.release":
            return {**ref, "delay": pick(DELAYS)}
        if kind == "task.fulfill":
            return {**ref, "action": action("promise.settle", **self.settlement(task_id))}
        if kind == "task.suspend":
            awaited = [self.likely("open", *LIVE) for _ in range(pick((1, 1, 2, 3)))]
            return {**ref, "actions": [callback(each, task_id) for each in awaited]}
        if kind == "task.heartbeat":
            held = [self.likely("acquired") for _ in range(pick((0, 1, 3)))]
            refs = [{"id": each, "version": self.version(each)} for each in held]
            return {"pid": pick(PIDS), "tasks": refs}
        inner_id = pick(IDS)
        if pick((True, False)):
            return {**ref, "action": action("promise.create", **self.new_promise(inner_id))}
        return {**ref, "action": action("promise.settle", **self.settlement(inner_id))}

    def other_data(self, kind: str) -> dict[str, Any]:
        """Return the data of a search, or of a request about a schedule."""
        pick = self.pick
        if kind == "promise.search":
            return {
                "state": pick((None, "pending", "rejected_timedout")),
                "rootOnly": pick((True, None)),
            }
        if kind == "task.search":
            return {"state": pick((None, "pending", "fulfilled"))}
        if kind == "schedule.search":
            return {}
        if kind != "schedule.create":
            return {"id": pick(SCHEDULES)}
        data = {"id": pick(SCHEDULES), "cron": pick(CRONS), "promiseId": pick(TEMPLATES)}
        data |= {"promiseTimeout": pick(TIMEOUTS), "promiseParam": pick(VALUES)}
        return {**data, "promiseTags": self.tags()}

    def new_promise(self, promise_id: str) -> dict[str, Any]:
        """Return the data of a promise.create."""
        timeout = min(max(0, self.world.now + self.pick(DEADLINES)), INT64_MAX)
        param, tags = self.pick(VALUES), self.tags()
        return {"id": promise_id, "timeoutAt": timeout, "param": param, "tags": tags}

    def tags(self) -> dict[str, str]:
        """Return the tags of a new promise."""
        now, pick = self.world.now, self.pick
        tags = {"resonate:timer": pick(("true", "false"))} if pick((False, False, True)) else {}
        target = pick(TARGETS)
        if target is not None:
            tags["resonate:target"] = target
        if pick((False, False, False, True)):
            tags["resonate:delay"] = pick(("0", "007", str(now + 3), str(now + 30)))
        if pick((False, True)):
            tags["resonate:branch"] = pick((*BRANCHES, ""))
        if pick((False, self.strict)):
            tags["resonate:external"] = "true"
        return tags

    def settlement(self, promise_id: str) -> dict[str, Any]:
        """Return the data of a promise.settle."""
        return {"id": promise_id, "state": self.pick(STATES), "value": self.pick(VALUES)}


def state_of(promise: Promise, now: int) -> str:
    """Return the state of the task, or of the promise that has none, as seen at ``now``."""
    seen = project(promise, now)
    if seen.task is not None:
        return seen.task.state
    return "open" if seen.state == "pending" else "fulfilled"


def carry_out(request: rq.Request, state: State) -> Answer:
    """Run the handler alone, without the steps that its changes enable."""
    if isinstance(request, rq.TaskFence):
        return tasks.fence(state, request.data, request.head.corr_id)
    return machine._HANDLERS[type(request)](state, request.data)


def promises_in(data: Any) -> Iterator[dict[str, Any]]:
    """Yield the promise records in the data of an answer, wherever they are."""
    if not isinstance(data, dict):
        return
    if "promise" in data:
        yield data["promise"]
    for name in ("promises", "preload"):
        yield from data.get(name, ())
    if "action" in data:
        yield from promises_in(data["action"]["data"])


def task_edges(before: dict[Key, Stored], after: dict[Key, Stored]) -> set[Edge]:
    """Return the changes of state that tasks made."""
    edges = set()
    for key, promise in after.items():
        if isinstance(promise, Promise) and promise.task is not None:
            old = before.get(key)
            was = old.task.state if isinstance(old, Promise) and old.task is not None else None
            if was != promise.task.state:
                edges.add((was, promise.task.state))
    return edges


def nothing_known() -> dict[Key, Any]:
    """Return what a store loads for any request of a walk into an empty world."""
    named: dict[Key, Any] = dict.fromkeys(IDS)
    named |= {ScheduleKey(each): None for each in SCHEDULES}
    named |= {BranchOf(each): () for each in IDS}
    return named | {Branch(each): () for each in BRANCHES}
