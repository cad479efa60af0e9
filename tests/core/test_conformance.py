"""The checklist of section 9.1 (C1 to C11), its metamorphic checks, and its races."""

from __future__ import annotations

import itertools

import pytest

from resonate.core import machine
from resonate.core.objects import Task, due, is_ready, project
from tests.core.world import (
    ANY,
    CALLER,
    DEADLINE,
    NOW,
    TTL,
    World,
    action,
    lease,
    parse,
    promise_data,
    settlement,
    task_in,
)


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(
    ("target", "tags"),
    [
        (None, {}),
        (None, {"external": "true"}),
        (None, {"timer": "true"}),
        (ANY, {}),
        (ANY, {"timer": "true"}),
    ],
)
def test_c1_every_pending_promise_has_a_timer(world, target, tags):
    world.create("x", target, **tags)
    assert due(world.objects["x"], now=NOW) == DEADLINE


@pytest.mark.parametrize("tags", [{}, {"external": "true"}, {"timer": "true"}])
def test_c1_a_suspended_task_wakes_at_the_deadline_of_what_it_awaits(world, tags):
    world.create("x", **tags)
    world.ok("task.create", **lease("t", timeout=DEADLINE * 2))
    world.suspend("t", "x")
    world.now = due(world.objects["x"], now=NOW)
    world.advance("x")
    assert world.task("t") == Task("pending", 1, retry_at=DEADLINE, resumes=("x",))


@pytest.mark.parametrize("tags", [{}, {"external": "true"}, {"timer": "true"}])
def test_c2_a_callback_on_any_promise_is_accepted_and_discharged(world, tags):
    world.create("x", **tags)
    world.create("t", ANY)
    world.ok("promise.register_callback", awaited="x", awaiter="t")
    assert world.objects["x"].callbacks == ("t",)
    world.settle("x")
    assert world.objects["x"].callbacks == ()
    assert world.task("t").resumes == ("x",)


def test_c3_a_listener_on_an_internal_promise_is_accepted(world):
    world.create("x")
    world.ok("promise.register_listener", awaited="x", address=CALLER)
    assert world.objects["x"].listeners == (CALLER,)


def test_c4_create_halt_and_continue_look_at_the_projection(world):
    for state in ("pending", "acquired", "suspended", "halted"):
        task_in(world, state, f"t-{state}", f"x-{state}")
    world.now = DEADLINE
    for state in ("pending", "acquired", "suspended", "halted"):
        data = world.ok("task.create", **lease(f"t-{state}"))
        assert data["task"]["state"] == "fulfilled"
        assert data["promise"]["state"] == "rejected_timedout"
        assert world.call("task.halt", id=f"t-{state}") == (409, "Task is fulfilled")
        assert world.call("task.continue", id=f"t-{state}") == (409, "Task is not halted")
        assert world.objects[f"t-{state}"].state == "pending", "no internal step has run"


def test_c5_with_lease_and_deadline_due_at_one_instant_nothing_is_dispatched(world):
    world.ok("task.create", **lease("t", ttl=DEADLINE - NOW))
    world.now = DEADLINE
    world.advance("t")
    assert world.task("t") == Task("fulfilled", 1)


def test_c5_dispatch_looks_at_the_projection(world):
    world.create("t", ANY)
    assert is_ready(world.objects["t"], DEADLINE - 1)
    assert not is_ready(world.objects["t"], DEADLINE)


def test_c6_an_awaiter_whose_deadline_nobody_has_written_is_not_woken(world):
    task_in(world, "suspended")
    world.now = DEADLINE
    world.settle("x")
    assert world.task("t").state == "fulfilled"
    assert world.objects["t"].state == "rejected_timedout"


def test_c6_the_awaiters_of_that_awaiter_are_told_of_its_deadline(world):
    task_in(world, "suspended", "t", "x")
    world.ok("task.create", **lease("top", timeout=DEADLINE * 2))
    world.suspend("top", "t")
    world.now = DEADLINE
    state = world.load("x", "t")  # a store may give more than was asked for
    machine.handle(parse("promise.settle", {"id": "x", "state": "resolved"}), state)
    world.keep(state)
    assert world.task("top") == Task("pending", 1, retry_at=DEADLINE, resumes=("t",))


def test_c7_a_heartbeat_at_the_deadline_does_not_move_the_lease(world):
    world.ok("task.create", **lease("t", ttl=DEADLINE))
    world.now = DEADLINE
    world.ok("task.heartbeat", pid="w", tasks=[world.ref("t")])
    assert world.task("t").expires_at == NOW + DEADLINE


@pytest.mark.parametrize("now", [DEADLINE - 1, DEADLINE, DEADLINE + 1])
@pytest.mark.parametrize("timer", ["true", "false"])
def test_c8_all_answers_of_one_instant_agree(world, now, timer):
    world.create("p", ANY, timer=timer)
    world.create("w", ANY, timeout=DEADLINE * 2)
    world.create("h", ANY, timeout=DEADLINE * 2)
    world.acquire("h", ttl=DEADLINE * 2)
    world.now = now
    fence = {"kind": "promise.create", "data": {"id": "p", "timeoutAt": 1}}
    told = [
        world.ok("promise.get", id="p")["promise"],
        world.ok("promise.create", id="p", timeoutAt=1)["promise"],
        world.ok("promise.register_listener", awaited="p", address=CALLER)["promise"],
        world.ok("promise.register_callback", awaited="p", awaiter="w")["promise"],
        world.ok("task.fence", **world.ref("h"), action=fence)["action"]["data"]["promise"],
        world.ok("task.create", **lease("p"))["promise"],
    ]
    assert all(each == told[0] for each in told)
    assert (told[0]["state"] == "pending") == (now < DEADLINE)
    task = world.ok("task.get", id="p")["task"]
    assert (task["state"] == "fulfilled") == (now >= DEADLINE)


def test_c8_pending_never_follows_settled(world):
    world.create("p")
    states = []
    for now in (NOW, DEADLINE - 1, DEADLINE, DEADLINE + 5):
        world.now = now
        states.append(world.ok("promise.get", id="p")["promise"]["state"])
        if now == DEADLINE:
            world.advance("p")
    assert states == ["pending", "pending", "rejected_timedout", "rejected_timedout"]


def test_c10_of_two_that_acquire_one_version_one_does(world):
    world.create("t", ANY)
    for version in range(3):
        data = {"id": "t", "version": version, "ttl": TTL}
        assert world.call("task.acquire", **data, pid="a").status == 200
        assert world.call("task.acquire", **data, pid="b").status == 409
        world.ok("task.release", **world.ref("t"))


@pytest.mark.parametrize("how", ["settled", "dead"])
def test_c11_register_after_settle(world, how):
    world.create("p")
    world.create("w", ANY, timeout=DEADLINE * 2)
    if how == "settled":
        world.settle("p")
    world.now = DEADLINE
    before = dict(world.objects)
    world.ok("promise.register_callback", awaited="p", awaiter="w")
    world.ok("promise.register_listener", awaited="p", address=CALLER)
    assert world.objects == before


# --- metamorphic checks ---------------------------------------------------------------------------


def copy(world):
    twin = World(world.now)
    twin.objects = dict(world.objects)
    return twin


def test_to_halt_and_continue_is_to_release(world):
    task_in(world, "acquired")
    world.create("z")
    world.ok("promise.register_callback", awaited="z", awaiter="t")
    world.settle("z")
    twin = copy(world)
    world.ok("task.halt", id="t")
    world.ok("task.continue", id="t")
    twin.ok("task.release", **twin.ref("t"))
    assert world.objects == twin.objects


@pytest.mark.parametrize("state", ["pending", "acquired", "suspended", "halted", "fulfilled"])
def test_an_internal_step_that_is_not_due_changes_nothing(world, state):
    task_in(world, state)
    before = dict(world.objects)
    world.advance()
    assert all(world.objects[each] is before[each] for each in before)


@pytest.mark.parametrize("state", ["pending", "acquired", "suspended", "halted"])
def test_projecting_and_writing_give_equal_answers(world, state):
    task_in(world, state)
    world.now = DEADLINE
    twin = copy(world)
    twin.advance("t")
    assert twin.objects["t"] == project(world.objects["t"], DEADLINE)
    for kind, data in [
        ("promise.get", {"id": "t"}),
        ("task.get", {"id": "t"}),
        ("task.create", lease("t")),
        ("task.halt", {"id": "t"}),
        ("promise.settle", {"id": "t", "state": "rejected"}),
        ("task.fulfill", {**world.ref("t"), "action": settlement("t")}),
    ]:
        assert world.call(kind, **data) == twin.call(kind, **data)


# --- races: whatever the order, the same in the end -----------------------------------------------


def test_whatever_the_order_of_suspend_and_settle_the_wake_is_not_lost():
    for first in ("suspend", "settle"):
        world = World()
        world.create("x")
        task_in(world, "acquired")
        if first == "suspend":
            assert world.suspend("t", "x").status == 200
            world.settle("x")
            assert is_ready(world.objects["t"], world.now)
        else:
            world.settle("x")
            assert world.suspend("t", "x").status == 300
            assert world.task("t").state == "acquired"


def test_of_three_settlements_the_first_wins():
    for order in itertools.permutations(("resolved", "rejected", "rejected_canceled")):
        world = World()
        world.create("p")
        told = [world.settle("p", state) for state in order]
        assert [each["state"] for each in told] == [order[0]] * 3


def test_a_tree_of_known_shape_has_a_known_number_of_promises_and_tasks(world):
    def grow(name, depth):
        world.ok("task.create", **lease(name))
        for branch in range(3 if depth else 0):
            grow(f"{name}.{branch}", depth - 1)
            inner = action("promise.create", **promise_data(f"{name}:{branch}"))
            world.ok("task.fence", **world.ref(name), action=inner)

    grow("r", 2)
    tasks = [each for each in world.objects.values() if each.task is not None]
    assert len(tasks) == 1 + 3 + 9
    assert len(world.objects) == len(tasks) + 3 + 9
