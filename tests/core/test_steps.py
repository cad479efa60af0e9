"""What the server does by itself: I1, I3 and I4, and the steps that are ours."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from resonate.core import steps
from resonate.core.objects import Task
from resonate.protocol.limits import INT64_MAX
from tests.core.world import ANY, CALLER, DEADLINE, NOW, TTL, World, lease, task_in

LIVE = ("pending", "acquired", "suspended", "halted")


@pytest.fixture
def world():
    return World()


# --- I1 promise timeout ---------------------------------------------------------------------------


@pytest.mark.parametrize("late", [0, 1, 1_000])
@pytest.mark.parametrize(("timer", "state"), [("true", "resolved"), ("false", "rejected_timedout")])
def test_i1_settles_at_the_deadline_however_late_it_runs(world, late, timer, state):
    world.create("p", timer=timer)
    world.now = DEADLINE + late
    world.step(steps.advance, "p")
    promise = world.objects["p"]
    assert (promise.state, promise.settled_at) == (state, DEADLINE)


@pytest.mark.parametrize("state", LIVE)
def test_i1_fulfils_the_task_with_it(world, state):
    task_in(world, state)
    version = world.task("t").version
    world.now = DEADLINE
    world.step(steps.advance, "t")
    assert world.task("t") == Task("fulfilled", version)


def test_i1_leaves_callbacks_and_listeners_for_their_own_steps(world):
    task_in(world, "suspended")
    world.create("y")
    world.ok("promise.register_callback", awaited="y", awaiter="t")
    world.ok("promise.register_listener", awaited="y", address=CALLER)
    world.now = DEADLINE
    world.step(steps.advance, "y")
    assert (world.objects["y"].callbacks, world.objects["y"].listeners) == (("t",), (CALLER,))


@pytest.mark.parametrize("now", [NOW, DEADLINE - 1])
def test_i1_too_early_does_nothing(world, now):
    world.create("p")
    before = world.objects["p"]
    world.now = now
    world.step(steps.advance, "p")
    assert world.objects["p"] is before


def test_i1_twice_is_once(world):
    world.create("p")
    world.now = DEADLINE
    world.step(steps.advance, "p")
    before = world.objects["p"]
    world.now += 1
    world.step(steps.advance, "p")
    assert world.objects["p"] is before


def test_i1_of_nothing_is_nothing(world):
    world.step(steps.advance, "nobody")
    assert world.objects == {}


# --- I3 callback drain ----------------------------------------------------------------------------


def settled_without_drain(world, promise_id="x"):
    """Settle by the deadline, and leave the awaiters waiting."""
    world.now = world.objects[promise_id].timeout_at
    world.step(steps.advance, promise_id)


def test_i3_wakes_a_suspended_task_with_the_promise_as_its_only_resume(world):
    world.ok("task.create", **lease("t", timeout=DEADLINE * 2))
    world.create("x")
    world.suspend("t", "x")
    settled_without_drain(world)
    assert world.step(steps.drain, "x", 10) == 1
    assert world.task("t") == Task("pending", 1, retry_at=DEADLINE, resumes=("x",))
    assert world.objects["x"].callbacks == ()


@pytest.mark.parametrize("state", ["pending", "acquired", "halted"])
def test_i3_adds_to_the_resumes_of_any_other_live_task_and_changes_nothing_else(world, state):
    task_in(world, state)
    task = world.task("t")
    for each in ("a", "b"):
        world.create(each)
        world.ok("promise.register_callback", awaited=each, awaiter="t")
        world.now += 1
        world.settle(each)
    assert world.task("t") == replace(task, resumes=("a", "b"))


def test_i3_of_a_fulfilled_awaiter_only_takes_the_callback_off(world):
    task_in(world, "suspended")
    world.settle("t")
    before = world.objects["t"]
    world.settle("x")
    assert world.objects["t"] is before
    assert world.objects["x"].callbacks == ()


def test_i3_writes_the_settlement_if_nobody_has(world):
    task_in(world, "suspended")
    world.now = DEADLINE * 2  # of x
    assert world.step(steps.drain, "x", 10) == 1
    assert (world.objects["x"].state, world.objects["x"].settled_at) == (
        "rejected_timedout",
        world.now,
    )


def test_i3_writes_the_deadline_of_the_awaiter(world):
    task_in(world, "suspended")
    world.now = DEADLINE * 2
    world.step(steps.drain, "x", 10)
    assert (world.objects["t"].state, world.objects["t"].settled_at) == (
        "rejected_timedout",
        DEADLINE,
    )


def test_i3_of_a_pending_promise_does_nothing(world):
    task_in(world, "suspended")
    before = dict(world.objects)
    assert world.step(steps.drain, "x", 10) == 0
    assert world.objects == before


@pytest.mark.parametrize("promise_id", ["nobody", "alone"])
def test_i3_without_awaiters_does_nothing(world, promise_id):
    world.create("alone")
    world.settle("alone")
    before = dict(world.objects)
    assert world.step(steps.drain, promise_id, 10) == 0
    assert world.objects == before


def crowd(world, size):
    """Let tasks 0, 1, … await x, and settle it without waking them."""
    world.create("x")
    for number in range(size):
        world.ok("task.create", **lease(str(number), timeout=DEADLINE * 2))
        assert world.suspend(str(number), "x").status == 200
    settled_without_drain(world)


def states(world, size):
    return [world.task(str(number)).state for number in range(size)]


def test_i3_wakes_at_most_the_limit_in_order(world):
    crowd(world, 3)
    assert world.step(steps.drain, "x", 2) == 2
    assert states(world, 3) == ["pending", "pending", "suspended"]
    assert steps.is_unfinished(world.objects["x"])
    assert world.step(steps.drain, "x", 2) == 1
    assert states(world, 3) == ["pending"] * 3
    assert not steps.is_unfinished(world.objects["x"])


def test_i3_leaves_awaiters_that_are_not_loaded(world):
    crowd(world, 3)
    state = world.load("x")
    del state.objects["0"]
    assert steps.drain(state, "x", 10) == 2
    world.keep(state)
    assert world.objects["x"].callbacks == ("0",)
    assert states(world, 3) == ["suspended", "pending", "pending"]


def test_i3_with_nobody_loaded_does_nothing(world):
    crowd(world, 1)
    state = world.load("x")
    del state.objects["0"]
    assert steps.drain(state, "x", 10) == 0
    assert not state.wrote


def test_an_awaiter_that_does_not_exist_or_has_no_task_is_let_go(world):
    world.create("x")
    world.create("plain")
    world.settle("x")
    world.objects["x"] = replace(world.objects["x"], callbacks=("nobody", "plain"))
    assert world.step(steps.drain, "x", 10) == 2
    assert world.objects["x"].callbacks == ()


def test_only_a_settled_promise_with_awaiters_is_unfinished(world):
    task_in(world, "suspended")
    assert not steps.is_unfinished(world.objects["x"])
    settled_without_drain(world)
    assert steps.is_unfinished(world.objects["x"])


# --- I4 lease timeout -----------------------------------------------------------------------------


@pytest.mark.parametrize("late", [0, 1, 100])
def test_i4_takes_a_lease_that_has_ended_and_keeps_version_and_resumes(world, late):
    task_in(world, "acquired")
    world.create("z")
    world.ok("promise.register_callback", awaited="z", awaiter="t")
    world.settle("z")
    world.now = NOW + TTL + late
    world.step(steps.advance, "t")
    assert world.task("t") == Task("pending", 1, retry_at=world.now, resumes=("z",))


def test_i4_too_early_does_nothing(world):
    task_in(world, "acquired")
    before = world.objects["t"]
    world.now = NOW + TTL - 1
    world.step(steps.advance, "t")
    assert world.objects["t"] is before


@pytest.mark.parametrize("state", ["pending", "suspended", "halted", "fulfilled"])
def test_i4_of_a_task_without_a_lease_does_nothing(world, state):
    task_in(world, state)
    before = world.objects["t"]
    world.now = DEADLINE - 1
    world.step(steps.advance, "t")
    assert world.objects["t"] is before


# --- ours: releasing what a lost member held, leases after a start --------------------------------


def test_a_lease_of_a_lost_holder_is_released(world):
    task_in(world, "acquired")
    assert world.step(steps.release_lost, "t", 1, "w") is True
    assert world.task("t") == Task("pending", 1, retry_at=NOW)


@pytest.mark.parametrize(("version", "pid"), [(0, "w"), (2, "w"), (1, "other")])
def test_another_lease_is_not_released(world, version, pid):
    task_in(world, "acquired")
    before = world.objects["t"]
    assert world.step(steps.release_lost, "t", version, pid) is False
    assert world.objects["t"] is before


@pytest.mark.parametrize("state", ["pending", "suspended", "halted", "fulfilled"])
def test_what_is_not_held_is_not_released(world, state):
    task_in(world, state)
    before = world.objects["t"]
    assert world.step(steps.release_lost, "t", 1, "w") is False
    assert world.objects["t"] is before


def test_a_lease_is_not_released_once_its_promise_is_dead(world):
    task_in(world, "acquired")
    before = world.objects["t"]
    world.now = DEADLINE
    assert world.step(steps.release_lost, "t", 1, "w") is False
    assert world.objects["t"] is before


def test_nothing_to_release_or_renew(world):
    world.create("plain")
    before = dict(world.objects)
    for promise_id in ("nobody", "plain"):
        assert world.step(steps.release_lost, promise_id, 1, "w") is False
        world.step(steps.renew, promise_id)
    assert world.objects == before


def test_after_a_start_a_lease_gets_one_full_ttl(world):
    task_in(world, "acquired")
    world.now = NOW + TTL * 3
    world.step(steps.renew, "t")
    assert world.task("t") == Task("acquired", 1, "w", TTL, world.now + TTL)


@pytest.mark.parametrize("state", ["pending", "suspended", "halted", "fulfilled"])
def test_what_is_not_held_is_not_renewed(world, state):
    task_in(world, state)
    before = world.objects["t"]
    world.step(steps.renew, "t")
    assert world.objects["t"] is before


def test_a_lease_of_a_dead_promise_is_not_renewed(world):
    task_in(world, "acquired")
    before = world.objects["t"]
    world.now = DEADLINE
    world.step(steps.renew, "t")
    assert world.objects["t"] is before


def test_renewing_saturates():
    world = World(now=INT64_MAX - 10)
    world.create("t", ANY, timeout=INT64_MAX)
    world.acquire("t", ttl=INT64_MAX)
    world.step(steps.renew, "t")
    assert world.task("t").expires_at == INT64_MAX


# --- ours: retention ------------------------------------------------------------------------------


def expired(world, promise_id):
    """Take the step; return the state and whether it took the promise away."""
    state = world.load(promise_id)
    state.begin()
    steps.expire(state, promise_id)
    return state, state.wrote


def test_a_settled_promise_of_which_nobody_has_to_hear_is_deleted_with_its_task(world):
    task_in(world, "fulfilled")
    before = world.objects["t"]
    state, deleted = expired(world, "t")
    assert deleted
    assert (state.objects["t"], state.before) == (None, {"t": before})
    assert state.view("t") is None
    state.rollback()
    assert state.objects["t"] is before


@pytest.mark.parametrize("state", LIVE)
def test_what_is_not_settled_is_not_deleted(world, state):
    task_in(world, state)
    assert expired(world, "t")[1] is False
    world.now = DEADLINE  # as long as nobody has written that
    assert expired(world, "t")[1] is False


@pytest.mark.parametrize("fields", [{"callbacks": ("t",)}, {"listeners": (CALLER,)}])
def test_what_somebody_has_to_hear_of_is_not_deleted(world, fields):
    world.create("x")
    world.settle("x")
    world.objects["x"] = replace(world.objects["x"], **fields)
    assert expired(world, "x")[1] is False


def test_there_may_be_nothing_to_delete(world):
    assert expired(world, "nobody")[1] is False
