"""The machine: what it reads, what it settles down, and the state it works on."""

from __future__ import annotations

import pytest

from resonate.core import machine, steps
from resonate.core.objects import Task, due, has_target, is_ready, project, saturate
from resonate.core.state import State
from resonate.protocol.limits import INT64_MAX, STEP_OBJECTS_MAX
from tests.core.world import (
    ANY,
    DEADLINE,
    NOW,
    TTL,
    World,
    action,
    callback,
    lease,
    parse,
    promise_data,
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
        ("task.create", lease("a"), ("a",)),
        ("task.acquire", {"id": "a", "version": 0, "pid": "p", "ttl": 1}, ("a",)),
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
            ("a", "b", "c"),
        ),
        ("task.fulfill", {"id": "a", "version": 0, "action": settlement("a")}, ("a",)),
        ("task.release", {"id": "a", "version": 0}, ("a",)),
        ("task.halt", {"id": "a"}, ("a",)),
        ("task.continue", {"id": "a"}, ("a",)),
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


# --- the state ------------------------------------------------------------------------------------


def test_before_remembers_what_the_batch_began_with(world):
    old = world.create("p") and world.objects["p"]
    state = State({"p": old, "q": None}, NOW)
    for _ in range(2):
        machine.handle(parse("promise.register_listener", {"awaited": "p", "address": ANY}), state)
        machine.handle(parse("promise.settle", {"id": "p", "state": "resolved"}), state)
        machine.handle(parse("promise.create", promise_data("q")), state)
    assert state.before == {"p": old, "q": None}


def test_each_step_begins_without_having_written(world):
    state = State({"p": None}, NOW)
    create = parse("promise.create", promise_data("p"))
    machine.handle(create, state)
    assert state.wrote
    machine.handle(create, state)
    assert not state.wrote


def test_rollback_undoes_the_step_and_nothing_before_it(world):
    task_in(world, "suspended")
    world.create("y")
    state = world.load("x", "y", "t", "new")
    machine.handle(parse("promise.settle", {"id": "y", "state": "resolved"}), state)
    kept, objects = dict(state.before), dict(state.objects)

    machine.handle(parse("promise.settle", {"id": "x", "state": "resolved"}), state)
    assert {"x", "t"} <= set(state.before)
    state.rollback()
    assert (state.objects, state.before, state.wrote) == (objects, kept, False)

    machine.handle(parse("promise.create", promise_data("new")), state)
    state.rollback()
    assert (state.objects, state.before) == (objects, kept)
    state.rollback()
    assert (state.objects, state.before) == (objects, kept)


def test_a_step_that_raises_can_be_rolled_back_in_the_middle_of_its_writes(world):
    task_in(world, "suspended")
    world.ok("task.create", **lease("u"))
    world.ok("promise.register_callback", awaited="x", awaiter="u")
    before = dict(world.objects)
    state = world.load("x")

    def fail():
        steps.drain(state, "x", 1)
        raise RuntimeError

    state.now = world.now = DEADLINE * 2
    with pytest.raises(RuntimeError):
        machine.step(state, "x", fail)
    assert state.wrote
    state.rollback()
    assert state.before == {}
    assert state.objects == {each: before[each] for each in ("x", "t", "u")}


def test_a_second_write_of_an_object_in_one_step_is_undone_to_the_first_state(world):
    world.create("p")
    old = world.objects["p"]
    state = State({"p": old}, DEADLINE)
    state.begin()
    state.put(project(old, DEADLINE))
    state.put(old)
    state.put(project(old, DEADLINE))
    state.rollback()
    assert state.objects == {"p": old}
    assert state.before == {}


def test_writing_what_was_not_loaded_is_a_mistake(world):
    world.create("p")
    with pytest.raises(KeyError):
        State({}, NOW).put(world.objects["p"])


# --- objects --------------------------------------------------------------------------------------


def test_sums_saturate():
    assert saturate(INT64_MAX - 1) == INT64_MAX - 1
    assert saturate(INT64_MAX + 1) == saturate(2 * INT64_MAX) == INT64_MAX


def test_far_deadlines_are_kept_exactly(world):
    for timeout in (2**53 - 1, INT64_MAX):
        promise = world.create(str(timeout), ANY, timeout=timeout)
        assert promise["timeoutAt"] == timeout
        assert world.acquire(str(timeout), ttl=INT64_MAX) == 1


@pytest.mark.parametrize(
    ("state", "instant"),
    [
        ("pending", DEADLINE),
        ("acquired", NOW + TTL),
        ("suspended", DEADLINE),
        ("halted", DEADLINE),
        ("fulfilled", None),
    ],
)
def test_the_server_looks_again_at_the_next_instant_that_matters(world, state, instant):
    task_in(world, state)
    assert due(world.objects["t"], now=NOW) == instant


def test_the_end_of_a_lease_counts_only_before_the_deadline(world):
    world.ok("task.create", **lease("t", ttl=DEADLINE))
    assert due(world.objects["t"], now=NOW) == DEADLINE


def test_a_delayed_task_is_looked_at_when_it_starts(world):
    world.create("t", ANY, delay="5000")
    assert due(world.objects["t"], now=NOW) == 5_000
    assert due(world.objects["t"], now=5_000) == DEADLINE
    world.create("d", ANY, delay="9999")
    assert due(world.objects["d"], now=NOW) == 9_999
    world.create("timer", ANY, timer="true")
    assert due(world.objects["timer"], now=NOW) == DEADLINE


@pytest.mark.parametrize("state", ["acquired", "suspended", "halted", "fulfilled"])
def test_only_a_pending_task_is_dispatched(world, state):
    task_in(world, state)
    assert not is_ready(world.objects["t"], world.now)


def test_a_promise_without_target_is_never_dispatched(world):
    world.create("p")
    assert not is_ready(world.objects["p"], NOW)
    assert not has_target(world.objects["p"])


def test_an_object_that_is_not_past_its_deadline_projects_to_itself(world):
    task_in(world, "acquired")
    promise = world.objects["t"]
    assert project(promise, DEADLINE - 1) is promise
    world.settle("t")
    settled = world.objects["t"]
    assert project(settled, DEADLINE) is settled
    assert settled.task == Task("fulfilled", 1)


def test_asking_for_the_task_of_a_promise_without_one_is_a_mistake(world):
    from resonate.core.objects import task_record

    world.create("p")
    with pytest.raises(AssertionError, match="without a target"):
        task_record(world.objects["p"])


def test_a_request_inside_a_fence_is_not_a_request_of_its_own(world):
    task_in(world, "acquired")
    world.create("c")
    inner = action("promise.settle", id="c", state="resolved")
    state = world.load("t", "c")
    machine.handle(parse("task.fence", {**world.ref("t"), "action": inner}, "outer"), state)
    assert set(state.before) == {"c"}
