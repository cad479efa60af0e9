"""The state that a batch of steps works on: what it remembers, and how a step is undone."""

from __future__ import annotations

import pytest

from resonate.core import machine, steps
from resonate.core.objects import Branch, BranchOf, ScheduleKey, project
from resonate.core.state import State
from tests.core.world import (
    ANY,
    DEADLINE,
    NOW,
    World,
    lease,
    parse,
    promise_data,
    schedule_data,
    task_in,
)


@pytest.fixture
def world():
    return World()


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


# --- deleting -------------------------------------------------------------------------------------


def test_what_is_deleted_becomes_none_and_can_be_undone(world):
    world.ok("schedule.create", **schedule_data())
    schedule = world.schedule()
    state = world.load(schedule.key)
    state.begin()
    state.delete(schedule.key)
    assert (state.objects[schedule.key], state.before) == (None, {schedule.key: schedule})
    assert state.schedule("s") is None
    assert state.wrote
    state.rollback()
    assert (state.schedule("s"), state.before, state.wrote) == (schedule, {}, False)


def test_what_is_deleted_may_be_created_again_in_the_same_batch(world):
    world.ok("schedule.create", **schedule_data())
    old = world.schedule()
    state = world.load(old.key)
    assert machine.handle(parse("schedule.delete", {"id": "s"}), state).status == 200
    assert machine.handle(parse("schedule.get", {"id": "s"}), state).status == 404
    again = parse("schedule.create", schedule_data(cron="@daily"))
    assert machine.handle(again, state).status == 200
    assert state.before == {old.key: old}
    assert state.schedule("s").cron == "@daily"
    state.rollback()
    assert state.schedule("s") is None


def test_a_schedule_and_a_promise_of_one_id_are_two_objects(world):
    world.create("s")
    world.ok("schedule.create", **schedule_data("s"))
    assert set(world.objects) == {"s", ScheduleKey("s")}
    assert world.ok("schedule.delete", id="s") == {}
    assert set(world.objects) == {"s"}


def test_deleting_what_was_not_loaded_is_a_mistake():
    with pytest.raises(KeyError):
        State({}, NOW).delete(ScheduleKey("s"))
    with pytest.raises(KeyError):
        State({}, NOW).schedule("s")


def test_what_a_step_has_touched_is_forgotten_with_the_next(world):
    task_in(world, "suspended")
    state = world.load("x", "t")
    machine.handle(parse("promise.settle", {"id": "x", "state": "resolved"}), state)
    assert set(state.touched()) == {"x", "t"}
    state.begin()
    assert state.touched() == []


# --- branches -------------------------------------------------------------------------------------


def branch_in(state, name="w"):
    return state.branch_of(state.stored(name))


def test_the_branch_of_a_promise_is_loaded_under_its_id_or_its_name_and_grows_with_a_batch(world):
    world.create("w", branch="b")
    objects = {"w": world.objects["w"], BranchOf("w"): ("w", "a"), Branch("b"): ("c", "w")}
    state = State({**objects, "d": None, "e": None, "f": None}, NOW)
    for name, tags in (("d", {"branch": "b"}), ("e", {"branch": "other"}), ("f", {})):
        machine.handle(parse("promise.create", promise_data(name, **tags)), state)
    assert branch_in(state) == ["a", "c", "d"]


def test_an_empty_name_is_no_branch(world):
    world.create("w", branch="")
    state = State({"w": world.objects["w"], BranchOf("w"): (), "c": None}, NOW)
    machine.handle(parse("promise.create", promise_data("c", branch="")), state)
    assert branch_in(state) == []


def test_the_names_of_a_branch_are_loaded_or_it_is_a_mistake(world):
    world.create("w", branch="b")
    with pytest.raises(KeyError):
        branch_in(State({"w": world.objects["w"]}, NOW))


def test_what_becomes_another_promise_is_born_once(world):
    world.create("w", branch="b")
    state = State({"w": world.objects["w"], BranchOf("w"): (), "c": None}, NOW)
    machine.handle(parse("promise.create", promise_data("c", branch="b")), state)
    machine.handle(parse("promise.settle", {"id": "c", "state": "resolved"}), state)
    assert branch_in(state) == ["c"]
