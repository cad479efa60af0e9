"""A walk: requests of all kinds, internal steps and time, as some ``pick`` chooses them.

``pick`` returns one of the options it is given: Hypothesis chooses to find and shrink failures, a
seeded generator chooses to show what a walk of some length reaches. Everything is kept small (few
ids, few versions, few instants), so that requests meet each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from resonate.core import machine, steps, tasks
from resonate.core.objects import Promise, due, project, record
from resonate.core.properties import check_state, check_step
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.envelope import Refusal
from resonate.protocol.limits import INT64_MAX
from tests.core.world import ANY, CALLER, Reply, World, action, callback, parse, reply

IDS = ("a", "b", "c", "a:1", "t:é", "p:notify:http://h", "\U0001f600 \x7f\u2028")
PIDS = ("w", "v")
ADDRESSES = (CALLER, "http://h", "POLL://any@a%20b/c%2Fd")
TARGETS = (None, None, ANY, ANY, ANY, "poll://uni@g/w", "http://h/x")
DEADLINES = (*(50, 1_000, 9_999) * 4, -1, 0, 1, 5, 20, 2**53 - 1, INT64_MAX)  # from now
TTLS = (1, 5, 50, INT64_MAX)
DELAYS = (None, 0, 1, 7, 86_400_000)
STATES = ("resolved", "rejected", "rejected_canceled")
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
STARTS = (0, 1_000, INT64_MAX - 30)

Pick = Callable[[Sequence[Any]], Any]


class Walk:
    """A world, and what has been seen in it."""

    def __init__(self, pick: Pick, now: int) -> None:
        self.pick = pick
        self.world = World(now)
        self.answers: set[tuple[str, int, str | None]] = set()
        self.edges: set[tuple[str | None, str]] = set()
        self.internal_edges: set[tuple[str | None, str]] = set()
        self.told: dict[str, Any] = {}

    # --- what happens ---

    def move(self) -> None:
        """Let one thing happen; all properties are checked after it, step by step."""
        what = self.pick(("request",) * 7 + ("time", "step", "step"))
        if what == "time":
            self.pass_time()
        elif what == "step":
            self.internal(self.pick(IDS))
        else:
            self.request(*self.any_request())

    def pass_time(self) -> None:
        """Go on to an instant: some moments later, or the next at which something is due."""
        world = self.world
        instants = [due(each, now=world.now) for each in world.objects.values()]
        ahead = sorted(each for each in instants if each is not None and each > world.now)
        later = [world.now + each for each in (1, 6, 60)]
        world.now = min(self.pick((*ahead[:2], *later)), INT64_MAX)
        check_state(world.objects, world.now)

    def internal(self, promise_id: str) -> None:
        """Take one internal step that may or may not be due."""
        world = self.world
        name = self.pick(("advance", "advance", "drain", "drain", "discharge", "lost", "renew"))
        state = world.load(promise_id)
        if name == "advance":
            self.take(state, lambda: steps.advance(state, promise_id))
        elif name == "drain":
            self.take(state, lambda: steps.drain(state, promise_id, 1))
        elif name == "discharge":
            address = self.pick(ADDRESSES)
            self.take(state, lambda: steps.discharge(state, promise_id, address))
        elif name == "renew":
            self.take(state, lambda: steps.renew(state, promise_id))
        else:
            version, pid = self.version(promise_id), self.pick(PIDS)
            self.take(state, lambda: steps.release_lost(state, promise_id, version, pid))

    def request(self, kind: str, data: dict[str, Any]) -> Reply:
        """Carry out a request, and then its drains, one awaiter at a time."""
        request = parse(kind, data)
        if isinstance(request, Refusal):
            return self.note(kind, Answer(request.status, request.text))
        state = self.world.load(*machine.reads(request))
        answer = self.take(state, lambda: carry_out(request, state), internal=False)
        if self.pick((True, True, True, False)):  # a drain may come late
            self.settle_down()
        return self.note(kind, answer)

    def settle_down(self) -> None:
        """Drain what is settled, one awaiter at a time, until nobody waits."""
        objects, now = self.world.objects, self.world.now
        for promise_id in IDS:
            while promise_id in objects and steps.is_unfinished(project(objects[promise_id], now)):
                state = self.world.load(promise_id)
                self.take(state, lambda s=state, p=promise_id: steps.drain(s, p, 1))

    def take(self, state: State, step: Callable[[], Any], *, internal: bool = True) -> Any:
        """Take one step, and check what it did."""
        world = self.world
        before = dict(world.objects)
        state.begin()
        result = step()
        world.keep(state)
        check_step(before, world.objects, world.now, internal=internal)
        if isinstance(result, Answer) and result.status >= 400:
            assert world.objects == before, "a refusal writes nothing"
        edges = task_edges(before, world.objects)
        self.edges |= edges
        if internal:
            self.internal_edges |= edges
        return result

    def note(self, kind: str, answer: Answer) -> Reply:
        """Remember an answer, and hold it against what was told before."""
        answered = reply(kind, answer)
        data = answered.data
        self.answers.add((kind, answered.status, data if isinstance(data, str) else None))
        if isinstance(data, dict) and "action" in data:
            data = data["action"]["data"]
        if isinstance(data, dict) and "promise" in data:
            promise = data["promise"]
            stored = self.world.objects[promise["id"]]
            assert promise["state"] == record(project(stored, self.world.now)).state
            if promise["id"] in self.told:
                assert promise == self.told[promise["id"]], "what was told settled never changes"
            elif promise["state"] != "pending":
                self.told[promise["id"]] = promise
        return answered

    # --- what is asked for ---

    def version(self, task_id: str) -> int:
        """Return a version of the task, mostly the right one."""
        promise = self.world.objects.get(task_id)
        task = None if promise is None else promise.task
        right = 0 if task is None else task.version
        return max(0, right + self.pick((0, 0, 0, 0, 0, 0, -1, 1)))

    def likely(self, *states: str) -> str:
        """Return an id, mostly of an object whose task, or else promise, is in such a state."""
        objects, now = self.world.objects, self.world.now
        found = [each for each in IDS if each in objects and state_of(objects[each], now) in states]
        return str(self.pick(self.pick((IDS, found, found, found)) or IDS))

    def what(self) -> tuple[str, str]:
        """Return a kind and an id: any, or such that the request has something to do."""
        if self.pick((False, False, True)):
            return self.pick(tuple(rq.KINDS)), self.pick(IDS)
        promise_id = self.pick(IDS)
        promise = self.world.objects.get(promise_id)
        if promise is None:
            return self.pick(("promise.create", "task.create")), promise_id
        return self.pick(SENSIBLE[state_of(promise, self.world.now)]), promise_id

    def any_request(self) -> tuple[str, dict[str, Any]]:
        """Return a request of any kind."""
        pick = self.pick
        kind, promise_id = self.what()
        ref = {"id": promise_id, "version": self.version(promise_id)}
        if kind in {"promise.get", "task.get", "task.halt", "task.continue"}:
            return kind, {"id": promise_id}
        if kind == "promise.create":
            return kind, self.new_promise(promise_id)
        if kind == "promise.settle":
            return kind, self.settlement(promise_id)
        if kind == "promise.register_callback":
            awaiter = self.likely(*LIVE)
            return kind, {"awaited": promise_id, "awaiter": awaiter}
        if kind == "promise.register_listener":
            return kind, {"awaited": promise_id, "address": pick(ADDRESSES)}
        if kind == "task.create":
            inner = action("promise.create", **self.new_promise(promise_id))
            return kind, {"pid": pick(PIDS), "ttl": pick(TTLS), "action": inner}
        if kind == "task.acquire":
            return kind, {**ref, "pid": pick(PIDS), "ttl": pick(TTLS)}
        if kind == "task.release":
            return kind, {**ref, "delay": pick(DELAYS)}
        if kind == "task.fulfill":
            return kind, {**ref, "action": action("promise.settle", **self.settlement(promise_id))}
        if kind == "task.suspend":
            awaited = [self.likely("open", *LIVE) for _ in range(pick((1, 1, 2, 3)))]
            return kind, {**ref, "actions": [callback(each, promise_id) for each in awaited]}
        if kind == "task.heartbeat":
            held = [self.likely("acquired") for _ in range(pick((0, 1, 3)))]
            refs = [{"id": each, "version": self.version(each)} for each in held]
            return kind, {"pid": pick(PIDS), "tasks": refs}
        inner_id = pick(IDS)
        if pick((True, False)):
            return kind, {**ref, "action": action("promise.create", **self.new_promise(inner_id))}
        return kind, {**ref, "action": action("promise.settle", **self.settlement(inner_id))}

    def new_promise(self, promise_id: str) -> dict[str, Any]:
        """Return the data of a promise.create."""
        now, pick = self.world.now, self.pick
        timeout = min(max(0, now + pick(DEADLINES)), INT64_MAX)
        tags = {"resonate:timer": pick(("true", "false"))} if pick((False, False, True)) else {}
        target = pick(TARGETS)
        if target is not None:
            tags["resonate:target"] = target
        if pick((False, False, False, True)):
            tags["resonate:delay"] = pick(("0", "007", str(now + 3), str(now + 30)))
        return {"id": promise_id, "timeoutAt": timeout, "param": pick(VALUES), "tags": tags}

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


def task_edges(before: dict[str, Promise], after: dict[str, Promise]) -> set[Any]:
    """Return the changes of state that tasks made."""
    edges = set()
    for promise_id, promise in after.items():
        if promise.task is not None:
            old = before.get(promise_id)
            was = old.task.state if old is not None and old.task is not None else None
            if was != promise.task.state:
                edges.add((was, promise.task.state))
    return edges
