"""Every state of a task × every request: the table at the end of section 3.4, and its texts."""

from __future__ import annotations

import pytest

from resonate.protocol import requests as rq
from tests.core.world import (
    ANY,
    CALLER,
    DEADLINE,
    TTL,
    World,
    action,
    callback,
    lease,
    promise_data,
    settlement,
    task_in,
)

# A cell is the status of the answer; ``>`` names the state that is stored where that changes.
# The last column is a task whose promise is past its deadline while nobody has written that.
TABLE = """
request             none         untargeted    pending       acquired       suspended     halted        fulfilled  dead
promise.get         404          200           200           200            200           200           200        200
promise.create      200>pending  200           200           200            200           200           200        200
promise.settle      404          200>resolved  200>fulfilled 200>fulfilled  200>fulfilled 200>fulfilled 200        200
callback.awaited    404          200           200           200            200           200           200        200
callback.awaiter    422          422           200           200            200           200           200        200
listener            404          200           200           200            200           200           200        200
task.get            404          404           200           200            200           200           200        200
task.create         200>acquired 422           200>acquired  409            409           409           200        200
task.acquire        404          404           200>acquired  409            409           409           409        409
fence.create        404          404           409           200            409           409           409        409
fence.settle        404          404           409           200            409           409           409        409
fence.unknown       404          404           409           200            409           409           409        409
task.heartbeat      200          200           200           200            200           200           200        200
task.suspend        404          404           409           200>suspended  409           409           409        409
suspend.settled     404          404           409           300            409           409           409        409
suspend.unknown     404          404           409           422            409           409           409        409
task.fulfill        404          404           409           200>fulfilled  409           409           409        409
task.release        404          404           409           200>pending    409           409           409        409
task.halt           404          404           200>halted    200>halted     200>halted    200           409        409
task.continue       404          404           409           409            409           200>pending   409        409
"""

TEXTS = {
    ("promise.get", 404): "Promise not found",
    ("promise.settle", 404): "Promise not found",
    ("callback.awaited", 404): "Awaited promise not found",
    ("callback.awaiter", 422): "Awaiter promise not found",
    ("callback.awaiter", "untargeted"): "Awaiter promise has no resonate:target tag",
    ("listener", 404): "Awaited promise not found",
    ("task.get", 404): "Task not found",
    ("task.create", 409): "Already exists",
    ("task.create", 422): "Promise exists without a target task",
    ("task.acquire", 404): "Task not found",
    ("task.acquire", 409): "Task is not pending",
    ("fence.create", 404): "Task not found",
    ("fence.create", 409): "Version mismatch",
    ("fence.settle", 404): "Task not found",
    ("fence.settle", 409): "Version mismatch",
    ("fence.unknown", 404): "Task not found",
    ("fence.unknown", 409): "Version mismatch",
    ("task.suspend", 404): "Task not found",
    ("task.suspend", 409): "Task is not acquired or version mismatch",
    ("suspend.settled", 404): "Task not found",
    ("suspend.settled", 409): "Task is not acquired or version mismatch",
    ("suspend.unknown", 404): "Task not found",
    ("suspend.unknown", 409): "Task is not acquired or version mismatch",
    ("suspend.unknown", 422): "Awaited promise not found",
    ("task.fulfill", 404): "Task not found",
    ("task.fulfill", 409): "Task version mismatch or invalid state",
    ("task.release", 404): "Task not found",
    ("task.release", 409): "Task version mismatch or invalid state",
    ("task.halt", 404): "Task not found",
    ("task.halt", 409): "Task is fulfilled",
    ("task.continue", 404): "Task not found",
    ("task.continue", 409): "Task is not halted",
}


def requests(version):
    """Return each row's kind and data, for task t at ``version``."""
    ref = {"id": "t", "version": version}
    return {
        "promise.get": ("promise.get", {"id": "t"}),
        "promise.create": ("promise.create", promise_data("t", ANY)),
        "promise.settle": ("promise.settle", {"id": "t", "state": "resolved"}),
        "callback.awaited": ("promise.register_callback", {"awaited": "t", "awaiter": "other"}),
        "callback.awaiter": ("promise.register_callback", {"awaited": "open", "awaiter": "t"}),
        "listener": ("promise.register_listener", {"awaited": "t", "address": CALLER}),
        "task.get": ("task.get", {"id": "t"}),
        "task.create": ("task.create", lease("t")),
        "task.acquire": ("task.acquire", {**ref, "pid": "w", "ttl": TTL}),
        "fence.create": (
            "task.fence",
            {
                **ref,
                "action": action("promise.create", **promise_data("new", timeout=DEADLINE * 3)),
            },
        ),
        "fence.settle": ("task.fence", {**ref, "action": settlement("open")}),
        "fence.unknown": ("task.fence", {**ref, "action": settlement("nobody")}),
        "task.heartbeat": ("task.heartbeat", {"pid": "w", "tasks": [ref]}),
        "task.suspend": ("task.suspend", {**ref, "actions": [callback("open", "t")]}),
        "suspend.settled": ("task.suspend", {**ref, "actions": [callback("closed", "t")]}),
        "suspend.unknown": (
            "task.suspend",
            {**ref, "actions": [callback("closed", "t"), callback("nobody", "t")]},
        ),
        "task.fulfill": ("task.fulfill", {**ref, "action": settlement("t")}),
        "task.release": ("task.release", ref),
        "task.halt": ("task.halt", {"id": "t"}),
        "task.continue": ("task.continue", {"id": "t"}),
    }


def rows():
    head, *lines = (line.split() for line in TABLE.strip().splitlines())
    for row, *cells in lines:
        for state, cell in zip(head[1:], cells, strict=True):
            status, _, stored = cell.partition(">")
            if state == "dead":
                for live in ("pending", "acquired", "suspended", "halted"):
                    yield pytest.param(
                        row, live, DEADLINE, int(status), "", id=f"{row}-{live}-dead"
                    )
            else:
                yield pytest.param(row, state, 0, int(status), stored, id=f"{row}-{state}")


def world_with(state, *, strict=False):
    """Return a world with t in ``state``, and others that outlive it; all of them external."""
    world = World(strict=strict)
    world.create("open", timeout=DEADLINE * 2, external="true")
    world.create("other", ANY, timeout=DEADLINE * 2)
    world.create("closed", timeout=DEADLINE * 2, external="true")
    world.settle("closed")
    if state == "untargeted":
        world.create("t", external="true")
    elif state != "none":
        task_in(world, state)
    return world


def stored_state(world):
    promise = world.objects.get("t")
    if promise is None:
        return "none"
    return promise.state if promise.task is None else promise.task.state


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize(("row", "state", "now", "status", "stored"), list(rows()))
def test_answer_by_state_of_the_task(row, state, now, status, stored, strict):
    world = world_with(state, strict=strict)
    version = world.task("t").version if state not in {"none", "untargeted"} else 0
    world.now = now or world.now
    before, before_state = dict(world.objects), stored_state(world)
    kind, data = requests(version)[row]

    answer = world.call(kind, **data)

    assert answer.status == status
    assert stored_state(world) == (stored or before_state)
    if status > 300:
        assert answer.data == (TEXTS.get((row, state)) or TEXTS[row, status])
        assert world.objects == before, "a refusal writes nothing"


@pytest.mark.parametrize("row", ["promise.get", "promise.create", "promise.settle", "listener"])
@pytest.mark.parametrize("state", ["pending", "acquired", "suspended", "halted"])
def test_at_its_deadline_a_promise_is_told_as_timed_out_and_nothing_is_written(row, state):
    world = world_with(state)
    world.now = DEADLINE
    before = dict(world.objects)
    kind, data = requests(0)[row]
    promise = world.ok(kind, **data)["promise"]
    assert (promise["state"], promise["settledAt"]) == ("rejected_timedout", DEADLINE)
    assert promise["value"] == {}
    assert world.objects == before


GUARDED = {
    "fence.create": "Version mismatch",
    "fence.settle": "Version mismatch",
    "task.suspend": "Task is not acquired or version mismatch",
    "suspend.settled": "Task is not acquired or version mismatch",
    "suspend.unknown": "Task is not acquired or version mismatch",
    "task.fulfill": "Task version mismatch or invalid state",
    "task.release": "Task version mismatch or invalid state",
}


@pytest.mark.parametrize("row", GUARDED)
@pytest.mark.parametrize("version", [0, 1, 3, 2**63 - 1])
def test_another_version_of_a_held_task_is_refused_and_nothing_is_written(row, version):
    world = world_with("acquired")
    world.ok("task.release", id="t", version=1)
    assert world.acquire("t") == 2
    before = dict(world.objects)
    kind, data = requests(version)[row]
    assert world.call(kind, **data) == (409, GUARDED[row])
    assert world.objects == before


@pytest.mark.parametrize("version", [0, 2, 2**63 - 1])
def test_another_version_of_a_pending_task_is_not_acquired(version):
    world = world_with("acquired")
    world.ok("task.release", id="t", version=1)
    before = dict(world.objects)
    kind, data = requests(version)["task.acquire"]
    assert world.call(kind, **data) == (409, "Version mismatch")
    assert world.objects == before


def test_the_state_is_looked_at_before_the_version_when_acquiring():
    world = world_with("acquired")
    kind, data = requests(7)["task.acquire"]
    assert world.call(kind, **data) == (409, "Task is not pending")


def test_the_table_has_every_kind_that_is_about_one_promise_or_task():
    others = {kind for kind in rq.KINDS if kind.startswith("schedule.") or kind.endswith(".search")}
    assert {kind for kind, _ in requests(0).values()} == set(rq.KINDS) - others
    assert [line.split()[0] for line in TABLE.strip().splitlines()[1:]] == list(requests(0))
