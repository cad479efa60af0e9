"""The handlers of tasks, line by line (H7 to H16; H11 is in test_heartbeat)."""

from __future__ import annotations

import pytest

from resonate.core.objects import Task
from resonate.protocol.limits import DELAY_MS_MAX, INT64_MAX
from tests.core.world import (
    ANY,
    DEADLINE,
    NOW,
    TTL,
    World,
    action,
    callback,
    lease,
    promise_data,
    settlement,
    task_in,
)

MISMATCH = "Version mismatch"
LIVE = ("pending", "acquired", "suspended", "halted")


@pytest.fixture
def world():
    return World()


def wake(world, task_id="t", awaited="z"):
    """Let a task that is not suspended collect a resume."""
    world.create(awaited)
    world.ok("promise.register_callback", awaited=awaited, awaiter=task_id)
    world.settle(awaited)
    assert awaited in world.task(task_id).resumes


# --- H7 task.get ----------------------------------------------------------------------------------


def test_h7_1_without_a_task_404(world):
    assert world.call("task.get", id="t") == (404, "Task not found")
    world.create("t")
    assert world.call("task.get", id="t") == (404, "Task not found")


@pytest.mark.parametrize(
    ("state", "record"),
    [
        ("pending", {"state": "pending", "version": 0, "resumes": 0}),
        ("acquired", {"state": "acquired", "version": 1, "resumes": 0, "ttl": TTL, "pid": "w"}),
        ("suspended", {"state": "suspended", "version": 1, "resumes": 0}),
        ("halted", {"state": "halted", "version": 1, "resumes": 0}),
        ("fulfilled", {"state": "fulfilled", "version": 1, "resumes": 0}),
    ],
)
def test_h7_2_the_record_has_a_holder_only_while_acquired(world, state, record):
    task_in(world, state)
    assert world.ok("task.get", id="t") == {"task": {"id": "t", **record}}


@pytest.mark.parametrize("state", LIVE)
def test_h7_2_a_task_is_seen_through_its_promise(world, state):
    task_in(world, state)
    if state != "suspended":
        wake(world)
    version = world.task("t").version
    world.now = DEADLINE
    record = {"id": "t", "state": "fulfilled", "version": version, "resumes": 0}
    assert world.ok("task.get", id="t") == {"task": record}


def test_h7_2_resumes_are_told_as_a_number(world):
    task_in(world, "pending")
    wake(world)
    wake(world, awaited="y")
    assert world.ok("task.get", id="t")["task"]["resumes"] == 2


# --- H8 task.create -------------------------------------------------------------------------------


def test_h8_2_a_new_task_is_held_at_once(world):
    data = world.ok("task.create", **lease("t", pid="p1", ttl=60_000))
    assert data["task"] == {
        "id": "t",
        "state": "acquired",
        "version": 1,
        "resumes": 0,
        "ttl": 60_000,
        "pid": "p1",
    }
    assert data["promise"]["createdAt"] == NOW
    assert data["preload"] == []
    assert world.task("t") == Task("acquired", 1, "p1", 60_000, NOW + 60_000)


def test_h8_2_a_delay_is_accepted_and_has_no_effect(world):
    world.ok("task.create", **lease("t", delay="5000"))
    assert world.task("t") == Task("acquired", 1, "w", TTL, NOW + TTL)


def test_h8_2_a_timer_may_be_held(world):
    assert world.ok("task.create", **lease("t", timer="true"))["task"]["state"] == "acquired"


@pytest.mark.parametrize(("timer", "state"), [("true", "resolved"), ("", "rejected_timedout")])
def test_h8_2_born_timed_out_it_is_not_held(world, timer, state):
    data = world.ok("task.create", **lease("t", timeout=NOW, timer=timer))
    assert data["task"] == {"id": "t", "state": "fulfilled", "version": 0, "resumes": 0}
    assert (data["promise"]["state"], data["promise"]["settledAt"]) == (state, NOW)
    assert data["preload"] == []


def test_h8_3_an_existing_promise_without_target_is_422(world):
    world.create("t")
    assert world.call("task.create", **lease("t")) == (422, "Promise exists without a target task")


def test_h8_4_fulfilled_is_told(world):
    task_in(world, "fulfilled")
    data = world.ok("task.create", **lease("t"))
    assert data["task"] == {"id": "t", "state": "fulfilled", "version": 1, "resumes": 0}
    assert data["promise"]["state"] == "resolved"
    assert data["preload"] == []


def test_h8_4_pending_is_granted_and_what_was_sent_about_the_promise_is_ignored(world):
    world.create("t", ANY, param={"data": "MQ=="})
    data = world.ok(
        "task.create", **lease("t", target="http://x", timeout=5, param={"data": "Mg=="})
    )
    assert (data["task"]["state"], data["task"]["version"]) == ("acquired", 1)
    promise = data["promise"]
    assert (promise["param"], promise["timeoutAt"]) == ({"data": "MQ=="}, DEADLINE)
    assert promise["tags"] == {"resonate:target": ANY}


@pytest.mark.parametrize("state", ["acquired", "suspended", "halted"])
def test_h8_4_otherwise_409(world, state):
    task_in(world, state)
    assert world.call("task.create", **lease("t")) == (409, "Already exists")


# --- H9 task.acquire ------------------------------------------------------------------------------


def acquire(world, version, pid="w2"):
    return world.call("task.acquire", id="t", version=version, pid=pid, ttl=TTL)


def test_h9_4_acquiring_grants_the_lease_and_clears_the_resumes(world):
    task_in(world, "pending")
    wake(world)
    world.now += 7
    status, data = acquire(world, 0)
    assert status == 200
    assert data["task"]["resumes"] == 0
    assert set(data) == {"task", "promise", "preload"}
    assert world.task("t") == Task("acquired", 1, "w2", TTL, NOW + 7 + TTL)


def test_h9_4_a_delayed_task_may_be_acquired_by_whoever_names_its_version(world):
    world.create("t", ANY, delay="5000")
    assert acquire(world, 0).status == 200


def test_h9_4_the_task_of_a_timer_may_be_acquired(world):
    world.create("t", ANY, timer="true")
    assert acquire(world, 0).status == 200


def test_h9_acquiring_is_exclusive_for_each_version(world):
    task_in(world, "pending")
    assert [acquire(world, 0, pid).status for pid in ("a", "b", "a")] == [200, 409, 409]
    assert world.task("t").pid == "a"


# --- H10 task.fence -------------------------------------------------------------------------------


def fence(world, inner, version=1):
    return world.call("task.fence", id="t", version=version, action=inner)


def head(status):
    return {"corrId": "c1", "status": status, "version": "2026-04-01"}


def test_h10_3_create_answers_with_an_envelope_inside(world):
    task_in(world, "acquired")
    status, data = fence(world, action("promise.create", **promise_data("c")))
    assert status == 200
    assert data["preload"] == []
    assert data["action"]["kind"] == "promise.create"
    assert data["action"]["head"] == head(200)
    assert data["action"]["data"]["promise"]["id"] == "c"
    assert "c" in world.objects


def test_h10_3_create_of_an_existing_promise_tells_it(world):
    task_in(world, "acquired")
    world.create("c")
    settled = world.settle("c")
    data = fence(world, action("promise.create", **promise_data("c", timeout=5))).data
    assert data["action"]["data"] == {"promise": settled}


def test_h10_3_settle_of_an_unknown_promise_is_404_inside_and_200_outside(world):
    task_in(world, "acquired")
    assert fence(world, settlement("c")) == (
        200,
        {
            "action": {"kind": "promise.settle", "head": head(404), "data": "Promise not found"},
            "preload": [],
        },
    )


def test_h10_3_settle_writes_and_wakes(world):
    task_in(world, "acquired")
    world.create("c")
    world.ok("promise.register_callback", awaited="c", awaiter="t")
    data = fence(world, settlement("c", "rejected", "MQ==")).data
    assert data["action"]["head"] == head(200)
    assert data["action"]["data"]["promise"]["state"] == "rejected"
    assert world.task("t").resumes == ("c",)


@pytest.mark.parametrize("version", [0, 2])
def test_h10_1_a_failed_guard_leaves_the_inner_action_undone(world, version):
    task_in(world, "acquired")
    world.create("c")
    before = dict(world.objects)
    assert fence(world, settlement("c"), version) == (409, MISMATCH)
    assert fence(world, action("promise.create", **promise_data("d")), version) == (409, MISMATCH)
    assert world.objects == before


# --- H12 task.suspend -----------------------------------------------------------------------------


def test_h12_1_the_same_promise_twice_is_awaited_once(world):
    task_in(world, "acquired")
    world.create("x")
    assert world.suspend("t", "x", "x") == (200, {})
    assert world.objects["x"].callbacks == ("t",)


@pytest.mark.parametrize("order", [("closed", "nobody"), ("nobody", "closed"), ("x", "nobody")])
def test_h12_3_an_unknown_promise_wins_over_a_settled_one_in_any_order(world, order):
    task_in(world, "acquired")
    world.create("x")
    world.create("closed")
    world.settle("closed")
    before = dict(world.objects)
    assert world.suspend("t", *order) == (422, "Awaited promise not found")
    assert world.objects == before


@pytest.mark.parametrize("how", ["settled", "dead"])
def test_h12_4_something_settled_answers_300_and_keeps_the_lease(world, how):
    task_in(world, "acquired")
    wake(world)
    world.create("open")
    world.create("x", timeout=NOW + 1 if how == "dead" else DEADLINE)
    if how == "settled":
        world.settle("x")
    world.now += 1
    status, data = world.suspend("t", "open", "x")
    assert (status, [each["id"] for each in data["preload"]]) == (300, ["x"])
    assert world.task("t") == Task("acquired", 1, "w", TTL, NOW + TTL), "resumes are emptied"
    assert world.objects["open"].callbacks == ()


def test_h12_4_without_resumes_300_writes_nothing(world):
    task_in(world, "acquired")
    world.create("x")
    world.settle("x")
    before = dict(world.objects)
    assert world.suspend("t", "x")[0] == 300
    assert world.objects == before


def test_h12_5_suspending_clears_lease_and_resumes_and_registers_each_callback(world):
    task_in(world, "acquired")
    wake(world)
    world.create("x")
    world.create("y")
    assert world.suspend("t", "y", "x") == (200, {})
    assert world.task("t") == Task("suspended", 1)
    assert (world.objects["x"].callbacks, world.objects["y"].callbacks) == (("t",), ("t",))


def test_h12_5_a_callback_that_is_there_already_serves_again(world):
    task_in(world, "suspended")
    world.create("y")
    world.ok("promise.register_callback", awaited="y", awaiter="t")
    world.settle("y")
    world.acquire("t")
    assert world.suspend("t", "x") == (200, {})
    assert world.objects["x"].callbacks == ("t",)


def test_h12_the_guard_comes_before_the_awaited(world):
    task_in(world, "acquired")
    actions = [callback("nobody", "t")]
    answer = world.call("task.suspend", id="t", version=0, actions=actions)
    assert answer == (409, "Task is not acquired or version mismatch")


# --- H13 task.fulfill, H14 task.release -----------------------------------------------------------


@pytest.mark.parametrize("state", ["resolved", "rejected", "rejected_canceled"])
def test_h13_2_fulfilling_settles_the_promise(world, state):
    task_in(world, "acquired")
    wake(world)
    world.now += 5
    promise = world.ok("task.fulfill", id="t", version=1, action=settlement("t", state, "MQ=="))
    assert promise["promise"]["state"] == state
    assert promise["promise"]["value"] == {"data": "MQ=="}
    assert promise["promise"]["settledAt"] == NOW + 5
    assert world.task("t") == Task("fulfilled", 1)


def test_h14_2_release_makes_the_task_due_at_once_and_keeps_version_and_resumes(world):
    task_in(world, "acquired")
    wake(world)
    world.now += 5
    assert world.ok("task.release", id="t", version=1) == {}
    assert world.task("t") == Task("pending", 1, retry_at=NOW + 5, resumes=("z",))


@pytest.mark.parametrize("delay", [0, 1, DELAY_MS_MAX])
def test_8_5_release_with_a_delay_postpones_the_next_dispatch(world, delay):
    task_in(world, "acquired")
    world.ok("task.release", id="t", version=1, delay=delay)
    assert world.task("t").retry_at == NOW + delay
    wake(world)
    assert world.task("t").retry_at == NOW + delay, "a resume does not shorten it"
    assert acquire(world, 1).status == 200, "an explicit acquire is not affected"


def test_8_5_a_delay_of_null_is_none(world):
    task_in(world, "acquired")
    world.ok("task.release", id="t", version=1, delay=None)
    assert world.task("t").retry_at == NOW


def test_8_5_a_delay_saturates():
    world = World(now=INT64_MAX - 10)
    world.ok("task.create", **lease("t", timeout=INT64_MAX, ttl=1))
    world.ok("task.release", id="t", version=1, delay=11)
    assert world.task("t").retry_at == INT64_MAX


# --- H15 task.halt, H16 task.continue -------------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "acquired"])
def test_h15_4_halting_clears_lease_and_timer_and_keeps_version_and_resumes(world, state):
    task_in(world, state)
    wake(world)
    version = world.task("t").version
    assert world.ok("task.halt", id="t") == {}
    assert world.task("t") == Task("halted", version, resumes=("z",))


def test_h15_3_halting_twice_writes_nothing(world):
    task_in(world, "halted")
    before = world.objects["t"]
    assert world.ok("task.halt", id="t") == {}
    assert world.objects["t"] is before


def test_h16_3_continuing_makes_the_task_due_at_once_with_what_it_collected(world):
    task_in(world, "halted")
    wake(world)
    world.now += 5
    assert world.ok("task.continue", id="t") == {}
    assert world.task("t") == Task("pending", 1, retry_at=NOW + 5, resumes=("z",))
