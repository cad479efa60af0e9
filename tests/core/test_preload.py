"""Preload: the other promises of a branch, told with a lease (section 5.1)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from resonate.core import machine, tasks
from resonate.core.objects import BranchOf, size
from resonate.core.preload import preload
from resonate.core.state import State
from resonate.protocol.limits import PRELOAD_BYTES_MAX, PRELOAD_RECORDS_MAX
from resonate.protocol.records import Value
from tests.core.examples import plain
from tests.core.world import (
    ANY,
    DEADLINE,
    NOW,
    TTL,
    World,
    action,
    lease,
    parse,
    promise_data,
    settlement,
)


@pytest.fixture
def world():
    return World()


def ids(data):
    return [each["id"] for each in data["preload"]]


def acquire(world, task_id="w"):
    return world.ok("task.acquire", **world.ref(task_id), pid="p", ttl=TTL)


def workflow(world, *steps):
    """Make a workflow with local steps."""
    world.create("w", ANY, branch="w")
    for each in steps:
        world.create(each, branch="w")


# --- which promises, and in which order -----------------------------------------------------------


def test_all_promises_of_the_branch_but_the_own_ordered_by_id(world):
    workflow(world, "w:10", "w:2", "a", "\U0001f600", "é", "\uffff")
    world.create("elsewhere", branch="other")
    world.create("nowhere")
    world.create("empty", branch="")
    assert ids(acquire(world)) == ["a", "w:10", "w:2", "é", "\uffff", "\U0001f600"]


def test_what_is_told_is_the_whole_record(world):
    workflow(world, "w:1")
    world.now += 5
    settled = world.settle("w:1", value="x")
    assert acquire(world)["preload"] == [settled]


@pytest.mark.parametrize("tags", [{}, {"branch": ""}])
def test_without_a_branch_there_is_nothing(world, tags):
    world.create("w", ANY, **tags)
    world.create("x", **tags)
    assert acquire(world)["preload"] == []


def test_a_promise_that_is_called_like_the_branch_needs_the_tag(world):
    workflow(world, "w:1")
    world.create("t", ANY, branch="w")
    world.create("v", ANY)  # of no branch
    world.create("v:1", branch="v")
    assert ids(acquire(world, "t")) == ["w", "w:1"]
    assert ids(acquire(world, "v")) == []


@pytest.mark.parametrize(("timer", "state"), [("true", "resolved"), ("", "rejected_timedout")])
def test_c8_it_is_projected_and_writes_nothing(world, timer, state):
    world.create("w", ANY, branch="w", timeout=DEADLINE * 2)
    world.create("w:1", branch="w", timer=timer)
    before = world.objects["w:1"]
    world.now = DEADLINE
    (told,) = acquire(world)["preload"]
    assert (told["state"], told["settledAt"]) == (state, DEADLINE)
    assert told == world.ok("promise.get", id="w:1")["promise"]
    assert world.objects["w:1"] is before


# --- which answers --------------------------------------------------------------------------------


def test_task_acquire_and_task_create_that_grants(world):
    workflow(world, "w:1")
    assert ids(world.ok("task.create", **lease("w", branch="other"))) == ["w:1"]
    world.ok("task.release", **world.ref("w"))
    assert ids(acquire(world)) == ["w:1"]


def test_task_create_of_a_new_promise_in_an_old_branch(world):
    world.create("w:1", branch="w")
    assert ids(world.ok("task.create", **lease("w", branch="w"))) == ["w:1"]
    assert ids(world.ok("task.create", **lease("x"))) == []


def test_task_create_that_grants_nothing_tells_nothing(world):
    workflow(world, "w:1")
    world.settle("w")
    assert ids(world.ok("task.create", **lease("w", branch="w"))) == []
    late = world.ok("task.create", **lease("late", branch="w", timeout=NOW))
    assert (late["task"]["state"], ids(late)) == ("fulfilled", [])


def test_task_suspend_that_goes_on_at_once(world):
    workflow(world, "w:1", "w:2")
    acquire(world)
    world.settle("w:2")
    status, data = world.suspend("w", "w:1", "w:2")
    assert (status, ids(data)) == (300, ["w:2", "w:1"]), "what is awaited and settled goes first"
    assert [each["state"] for each in data["preload"]] == ["resolved", "pending"]


def test_what_is_awaited_and_settled_is_told_though_it_is_of_no_branch(world):
    workflow(world)
    acquire(world)
    for each in ("x", "y", "z"):
        world.create(each)
    for each in ("z", "x"):
        world.settle(each)
    assert ids(world.suspend("w", "z", "y", "x", "z")[1]) == ["z", "x"]


def test_a_strict_server_tells_the_branch_alone():
    strict = World(strict=True)
    workflow(strict, "w:1")
    acquire(strict)
    strict.create("x", ANY)
    strict.settle("x")
    assert ids(strict.suspend("w", "x")[1]) == ["w:1"]


def test_of_news_one_is_told_whatever_its_size():
    state, own = crowd(3, value=Value(data="x" * PRELOAD_BYTES_MAX))
    news = [state.view(each) for each in ("00001", "00002")]
    assert [each.id for each in preload(state, own, news)] == ["00001"]


def test_news_are_bounded_like_the_rest():
    state, own = crowd(PRELOAD_RECORDS_MAX + 5)
    news = [state.view(each) for each in reversed(state.objects[BranchOf("w")]) if each != "w"]
    found = preload(state, own, news)
    assert [each.id for each in found] == [each.id for each in news[:PRELOAD_RECORDS_MAX]]


def test_task_suspend_that_suspends_tells_nothing(world):
    workflow(world, "w:1")
    acquire(world)
    assert world.suspend("w", "w:1") == (200, {})


@pytest.mark.parametrize(
    "inner", [action("promise.create", **promise_data("w:2", branch="w")), settlement("w:1")]
)
def test_of_a_fence_it_is_always_empty(world, inner):
    workflow(world, "w:1")
    acquire(world)
    assert world.ok("task.fence", **world.ref("w"), action=inner)["preload"] == []


# --- in one batch with what it tells --------------------------------------------------------------


def test_what_the_same_batch_has_created_is_told(world):
    workflow(world, "w:2")
    state = world.load("w", BranchOf("w"))
    for name in ("w:3", "w:1", "other"):
        state.objects[name] = None
    for name, branch in (("w:3", "w"), ("w:1", "w"), ("other", "x")):
        machine.handle(parse("promise.create", promise_data(name, branch=branch)), state)
    acquiring = parse("task.acquire", {"id": "w", "version": 0, "pid": "p", "ttl": TTL})
    answer = machine.handle(acquiring, state)
    assert [each.id for each in answer.data.preload] == ["w:1", "w:2", "w:3"]


def test_what_the_same_batch_has_settled_is_told_settled(world):
    workflow(world, "w:1")
    state = world.load("w", BranchOf("w"))
    machine.handle(parse("promise.settle", {"id": "w:1", "state": "rejected"}), state)
    (told,) = preload(state, state.stored("w"))
    assert told.state == "rejected"


def test_what_was_undone_is_not_told(world):
    workflow(world)
    state = world.load("w", BranchOf("w"))
    state.objects["c"] = None
    machine.handle(parse("promise.create", promise_data("c", branch="w")), state)
    assert [each.id for each in preload(state, state.stored("w"))] == ["c"]
    state.rollback()
    assert preload(state, state.stored("w")) == []
    machine.handle(parse("promise.create", promise_data("c", branch="elsewhere")), state)
    assert preload(state, state.stored("w")) == []


def test_what_was_deleted_is_not_told_nor_what_was_then_created_elsewhere(world):
    workflow(world, "w:1")
    state = world.load("w", BranchOf("w"))
    state.delete("w:1")
    assert preload(state, state.stored("w")) == []
    machine.handle(parse("promise.create", promise_data("w:1", branch="elsewhere")), state)
    assert preload(state, state.stored("w")) == []


# --- limits ---------------------------------------------------------------------------------------


def crowd(size, **fields):
    """Return a state with a branch of so many promises, and who preloads it."""
    own = replace(plain, id="w", tags={"resonate:branch": "b"})
    others = [replace(own, id=f"{number:05}", **fields) for number in range(size)]
    objects = {each.id: each for each in (own, *others)}
    return State({**objects, BranchOf("w"): tuple(sorted(objects))}, NOW), own


@pytest.mark.parametrize(
    "size", [PRELOAD_RECORDS_MAX - 1, PRELOAD_RECORDS_MAX, PRELOAD_RECORDS_MAX + 5]
)
def test_at_most_1000_records_are_told_the_first_ones(size):
    assert PRELOAD_RECORDS_MAX == 1_000
    found = preload(*crowd(size))
    assert [each.id for each in found] == [f"{number:05}" for number in range(min(size, 1_000))]


@pytest.mark.parametrize(
    "value",
    [
        {"param": Value(data="x" * 262_144)},
        {"value": Value(data="x" * 262_144)},
        {"param": Value(headers={"h" * 131_072: "x" * 131_072})},
        {"value": Value(headers={"": "x" * 262_144})},
    ],
)
def test_at_most_a_mebibyte_is_told_headers_and_all(value):
    assert PRELOAD_BYTES_MAX == 1024 * 1024
    assert len(preload(*crowd(3, **value))) == 3
    assert len(preload(*crowd(10, **value))) == 3, "ids and tags count, too"


@pytest.mark.parametrize(("spare", "count"), [(0, 1), (-1, 0), (1, 1)])
def test_a_mebibyte_exactly_is_told(spare, count):
    state, own = crowd(1)
    room = PRELOAD_BYTES_MAX - size(state.objects["00000"]) - spare
    value = Value(data="x" * room)
    state.objects["00000"] = replace(state.objects["00000"], value=value)
    assert len(preload(state, own)) == count


def test_what_alone_is_too_large_ends_it():
    state, own = crowd(3)
    state.objects["00001"] = replace(state.objects["00001"], param=Value(data="x" * 2_000_000))
    assert [each.id for each in preload(state, own)] == ["00000"]


def test_without_a_branch_none_is_read():
    for tags in ({}, {"resonate:branch": ""}):
        assert preload(State({}, NOW), replace(plain, tags=tags)) == []


def test_a_lease_that_is_not_granted_reads_no_branch():
    answer = tasks.lease(
        State({}, NOW), replace(plain, task=tasks.Task("pending", 0)), granted=False
    )
    assert answer.data.preload == []
