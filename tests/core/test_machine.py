"""The machine: what it reads, and what it settles down."""

from __future__ import annotations

import pytest

from resonate.core import machine, steps
from resonate.core.objects import Branch, BranchOf, ScheduleKey
from resonate.core.state import State
from resonate.protocol.limits import STEP_OBJECTS_MAX
from tests.core.world import (
    ANY,
    DEADLINE,
    NOW,
    World,
    action,
    callback,
    lease,
    parse,
    promise_data,
    schedule_data,
    settlement,
    task_in,
)


@pytest.fixture
def world():
    return World()


# --- reads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data", "reads"),
    [
        ("promise.get", {"id": "a"}, ("a",)),
        ("promise.create", promise_data("a"), ("a",)),
        ("promise.settle", {"id": "a", "state": "resolved"}, ("a",)),
        ("promise.register_callback", {"awaited": "a", "awaiter": "b"}, ("a", "b")),
        ("promise.register_listener", {"awaited": "a", "address": ANY}, ("a",)),
        ("task.get", {"id": "a"}, ("a",)),
        ("task.create", lease("a"), ("a", BranchOf("a"))),
        ("task.create", lease("a", branch=""), ("a", BranchOf("a"))),
        ("task.create", lease("a", branch="b"), ("a", BranchOf("a"), Branch("b"))),
        (
            "task.acquire",
            {"id": "a", "version": 0, "pid": "p", "ttl": 1},
            ("a", BranchOf("a")),
        ),
        ("task.fence", {"id": "a", "version": 0, "action": settlement("b")}, ("a", "b")),
        ("task.heartbeat", {"pid": "p", "tasks": []}, ()),
        (
            "task.heartbeat",
            {"pid": "p", "tasks": [{"id": "a", "version": 0}, {"id": "b", "version": 1}]},
            ("a", "b"),
        ),
        (
            "task.suspend",
            {"id": "a", "version": 0, "actions": [callback("b", "a"), callback("c", "a")]},
            ("a", BranchOf("a"), "b", "c"),
        ),
        ("task.fulfill", {"id": "a", "version": 0, "action": settlement("a")}, ("a",)),
        ("task.release", {"id": "a", "version": 0}, ("a",)),
        ("task.halt", {"id": "a"}, ("a",)),
        ("task.continue", {"id": "a"}, ("a",)),
        ("schedule.get", {"id": "a"}, (ScheduleKey("a"),)),
        ("schedule.create", schedule_data("a"), (ScheduleKey("a"),)),
        ("schedule.delete", {"id": "a"}, (ScheduleKey("a"),)),
    ],
)
def test_a_request_names_what_it_looks_at(kind, data, reads):
    assert machine.reads(parse(kind, data)) == reads


def test_looking_at_an_id_that_was_not_loaded_is_a_mistake():
    with pytest.raises(KeyError):
        machine.handle(parse("promise.get", {"id": "a"}), State({}, NOW))


# --- settling down --------------------------------------------------------------------------------


def test_whoever_awaits_is_pending_when_the_settlement_is_answered(world):
    for number in range(3):
        world.ok("task.create", **lease(str(number)))
    world.create("x")
    for number in range(3):
        assert world.suspend(str(number), "x").status == 200
    world.settle("x")
    assert [world.task(str(number)).state for number in range(3)] == ["pending"] * 3
    assert world.objects["x"].callbacks == ()


@pytest.mark.parametrize("how", ["settle", "fulfill", "fence"])
def test_all_ways_to_settle_wake(world, how):
    task_in(world, "suspended")
    if how == "settle":
        world.settle("x")
    elif how == "fulfill":
        world.ok("task.create", **lease("y"))
        world.ok("promise.register_callback", awaited="y", awaiter="t")
        world.ok("task.fulfill", id="y", version=1, action=settlement("y"))
    else:
        world.ok("task.create", **lease("holder"))
        world.ok("task.fence", **world.ref("holder"), action=settlement("x"))
    assert world.task("t").state == "pending"


def waiting(world, size):
    """Return a settled promise's world, in which ``size`` suspended tasks await it."""
    world.create("x")
    for number in range(size):
        world.ok("task.create", **lease(str(number), timeout=DEADLINE * 2))
        world.suspend(str(number), "x")
    world.now = DEADLINE
    world.step(steps.advance, "x")
    return world.load("x")


def test_settling_down_is_bounded_and_goes_on_where_it_stopped(world):
    state = waiting(world, 5)
    state.begin()
    machine.settle_down(state, ("x",), 2)
    assert state.objects["x"].callbacks == ("2", "3", "4")
    machine.settle_down(state, ("x",), 2)
    machine.settle_down(state, ("x",), 2)
    assert state.objects["x"].callbacks == ()


def test_the_bound_is_for_all_promises_together(world):
    waiting(world, 3)
    world.create("y", timeout=DEADLINE * 2)
    world.ok("task.create", **lease("u", timeout=DEADLINE * 2))
    world.suspend("u", "y")
    state = world.load("x", "y")
    state.begin()
    machine.settle_down(state, ("x", "y"), 3)
    assert state.objects["x"].callbacks == ()
    state.now = DEADLINE * 2
    machine.settle_down(state, ("x", "y"), 0)
    assert state.objects["y"].callbacks == ("u",)


def test_a_settlement_wakes_at_most_so_many_at_once(world):
    crowd = [str(number) for number in range(STEP_OBJECTS_MAX + 1)]
    world.create("x")
    state = State({"x": world.objects["x"]}, NOW)
    for each in crowd:
        state.objects[each] = None
        machine.handle(parse("promise.create", promise_data(each, ANY)), state)
        machine.handle(parse("promise.register_callback", {"awaited": "x", "awaiter": each}), state)
    machine.handle(parse("promise.settle", {"id": "x", "state": "resolved"}), state)
    assert state.objects["x"].callbacks == (crowd[-1],)
    assert steps.is_unfinished(state.objects["x"])
    machine.step(state, "x", lambda: steps.drain(state, "x", STEP_OBJECTS_MAX))
    assert state.objects["x"].callbacks == ()


def test_a_circle_of_awaiters_settles_down(world):
    for name in ("a", "b"):
        world.create(name, ANY)
    world.ok("promise.register_callback", awaited="a", awaiter="b")
    world.ok("promise.register_callback", awaited="b", awaiter="a")
    world.now = DEADLINE
    world.advance("a")
    assert [world.objects[each].callbacks for each in ("a", "b")] == [(), ()]
    assert [world.objects[each].state for each in ("a", "b")] == ["rejected_timedout"] * 2


def test_a_step_settles_down_what_it_enables(world):
    task_in(world, "suspended")
    world.now = DEADLINE * 2
    world.advance("x")
    assert world.objects["x"].callbacks == ()
    assert world.objects["t"].state == "rejected_timedout"


def test_a_step_may_take_an_object_away_or_find_none(world):
    world.create("x")
    world.settle("x")
    state = world.load("x", "nobody")
    machine.step(state, "x", lambda: steps.expire(state, "x"))
    assert state.before == {"x": world.objects["x"]}
    machine.step(state, "nobody", lambda: steps.advance(state, "nobody"))
    assert not state.wrote


def test_a_step_that_is_undone_leaves_the_one_before_it(world):
    for each in ("x", "y"):
        world.create(each)
    world.now = DEADLINE
    state = world.load("x", "y")
    for each in ("x", "y"):
        machine.step(state, each, lambda p=each: steps.advance(state, p))
    state.rollback()
    assert set(state.before) == {"x"}


def test_reading_does_not_write(world):
    task_in(world, "suspended")
    before = dict(world.objects)
    world.now = DEADLINE * 2
    world.ok("promise.get", id="x")
    assert world.objects == before


def test_within_six_rounds_of_all_steps_nothing_settled_holds_anybody(world):
    for level in range(6):
        world.create(f"l{level}", ANY, timeout=DEADLINE + level)
    for level in range(5):
        world.ok("promise.register_callback", awaited=f"l{level}", awaiter=f"l{level + 1}")
        world.ok("promise.register_listener", awaited=f"l{level}", address=ANY)
    world.now = DEADLINE * 2
    for _ in range(6):
        world.advance()
        for promise_id in list(world.objects):
            world.step(steps.drain, promise_id, 1)
            world.step(steps.discharge, promise_id, ANY)
    assert all(not (each.callbacks or each.listeners) for each in world.objects.values())
    assert all(each.state != "pending" for each in world.objects.values())


def test_a_request_inside_a_fence_is_not_a_request_of_its_own(world):
    task_in(world, "acquired")
    world.create("c")
    inner = action("promise.settle", id="c", state="resolved")
    state = world.load("t", "c")
    machine.handle(parse("task.fence", {**world.ref("t"), "action": inner}, "outer"), state)
    assert set(state.before) == {"c"}
