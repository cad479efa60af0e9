"""What two ways of saying the same have in common (section 9.1), and races."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from resonate.core import schedules, steps
from resonate.core.objects import is_ready, project
from tests.core.world import (
    ANY,
    CALLER,
    DEADLINE,
    NOW,
    World,
    action,
    lease,
    promise_data,
    schedule_data,
    settlement,
    task_in,
)

ALL = ("pending", "acquired", "suspended", "halted", "fulfilled")


@pytest.fixture(params=[False, True], ids=["lenient", "strict"])
def world(request):
    return World(strict=request.param)


def copy(world):
    twin = World(world.now, strict=world.rules.strict)
    twin.objects = dict(world.objects)
    return twin


# --- metamorphic checks ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("promise.create", promise_data("p", ANY, param={"data": "x"})),
        ("promise.create", promise_data("p", timeout=NOW)),
        ("schedule.create", schedule_data()),
    ],
)
def test_to_create_twice_is_to_create_once(world, kind, data):
    first = world.ok(kind, **data)
    twin = copy(world)
    assert twin.ok(kind, **data) == first
    twin.now += 5
    assert twin.ok(kind, **data) == first
    assert twin.objects == world.objects


@pytest.mark.parametrize("state", ALL[:4])
@pytest.mark.parametrize("again", ["resolved", "rejected", "rejected_canceled"])
def test_settling_absorbs(world, state, again):
    task_in(world, state)
    world.ok("promise.register_listener", awaited="t", address=CALLER)
    settled = world.settle("t", "rejected", "x")
    twin = copy(world)
    for twin.now in (NOW, NOW + 1, DEADLINE, DEADLINE * 3):
        assert twin.settle("t", again, "y") == settled
    assert twin.objects == world.objects


def test_to_halt_and_continue_is_to_release(world):
    task_in(world, "acquired")
    world.create("z", external="true")
    world.ok("promise.register_callback", awaited="z", awaiter="t")
    world.settle("z")
    twin = copy(world)
    world.ok("task.halt", id="t")
    world.ok("task.continue", id="t")
    twin.ok("task.release", **twin.ref("t"))
    assert world.objects == twin.objects


def test_to_halt_and_continue_what_is_pending_leaves_it_pending(world):
    task_in(world, "pending")
    world.now += 5
    twin = copy(world)
    twin.ok("task.halt", id="t")
    twin.ok("task.continue", id="t")
    expected = replace(world.task("t"), retry_at=NOW + 5)
    assert twin.task("t") == expected, "apart from the instant of its dispatch"


@pytest.mark.parametrize("state", ALL)
def test_an_internal_step_that_is_not_enabled_is_the_identity(world, state):
    task_in(world, state)
    world.create("open", external="true")
    world.ok("promise.register_listener", awaited="open", address=CALLER)
    world.ok("schedule.create", **schedule_data())
    before = dict(world.objects)
    for promise in world.promises():
        world.step(steps.advance, promise.id)
        world.step(steps.drain, promise.id, 10)
        world.step(steps.discharge, promise.id, CALLER)
        world.step(steps.release_lost, promise.id, 1, "nobody")
    world.fire()
    world.advance()
    assert all(world.objects[each] is before[each] for each in before)


def test_what_is_enabled_is_so_once(world):
    world.create("p", ANY)
    world.ok("schedule.create", **schedule_data(timeout=500))
    world.now = DEADLINE
    for _ in range(2):
        world.advance()
        world.fire()
        before = dict(world.objects)
    world.advance()
    world.fire()
    assert world.objects == before
    assert schedules.occurrences(world.schedule(), world.now, 10) == []


@pytest.mark.parametrize("state", ALL[:4])
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
        ("promise.search", {"state": "rejected_timedout"}),
        ("task.search", {"state": "fulfilled"}),
    ]:
        assert world.call(kind, **data) == twin.call(kind, **data)


def test_to_fire_in_parts_is_to_fire_at_once(world):
    world.ok(
        "schedule.create", **schedule_data(timeout=1_500, promiseTags={"resonate:target": ANY})
    )
    world.now = NOW + 5_500
    twin = copy(world)
    world.fire()
    for _ in range(5):
        twin.fire(limit=1)
    assert twin.objects == world.objects


def test_to_fire_in_time_and_settle_later_is_to_fire_late(world):
    world.ok(
        "schedule.create", **schedule_data(timeout=1_500, promiseTags={"resonate:target": ANY})
    )
    twin = copy(world)
    for world.now in range(NOW, NOW + 5_001, 1_000):
        world.fire()
    world.advance()
    twin.now = world.now
    twin.fire()
    assert twin.objects == world.objects


# --- races: whatever the order, the same in the end -----------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
def test_whatever_the_order_of_suspend_and_settle_the_wake_is_not_lost(strict):
    for first in ("suspend", "settle"):
        world = World(strict=strict)
        world.create("x", external="true")
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
