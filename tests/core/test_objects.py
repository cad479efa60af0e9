"""Objects: how they look at an instant, and what is told of them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from resonate.core.objects import (
    Task,
    due,
    has_target,
    is_external,
    is_ready,
    project,
    record,
    saturate,
    schedule_record,
    size,
    task_record,
)
from resonate.protocol.cron import NEVER
from resonate.protocol.limits import INT64_MAX
from resonate.protocol.records import Value
from tests.core.examples import plain, schedule
from tests.core.world import ANY, DEADLINE, NOW, TTL, World, lease, task_in


@pytest.fixture
def world():
    return World()


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
    world.create("p")
    with pytest.raises(AssertionError, match="without a target"):
        task_record(world.objects["p"])


# --- external, in size, and schedules -------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "external"),
    [
        ({}, False),
        ({"resonate:external": "true"}, True),
        ({"resonate:external": "false"}, False),
        ({"resonate:external": ""}, False),
        ({"resonate:timer": "true"}, True),
        ({"resonate:timer": "TRUE"}, False),
        ({"resonate:target": ANY}, True),
        ({"resonate:scope": "global"}, False),
    ],
)
def test_external_is_what_something_outside_can_settle(tags, external):
    assert is_external(replace(plain, tags=tags)) == external


@pytest.mark.parametrize(
    ("fields", "characters"),
    [
        ({}, 1),
        ({"id": "123"}, 3),
        ({"tags": {"ab": "cde"}}, 6),
        ({"param": Value(data="1234")}, 5),
        ({"param": Value(headers={"ab": "c"})}, 4),
        ({"value": Value(data="1234")}, 5),
        ({"value": Value(headers={"ab": "c"}, data="")}, 4),
    ],
)
def test_the_size_of_a_promise_is_that_of_all_its_texts(fields, characters):
    assert size(replace(plain, **fields)) == characters


def test_a_schedule_is_looked_at_at_its_next_occurrence_and_when_it_is_over_never():
    assert due(schedule, now=NOW + 5) == schedule.next_run_at
    assert due(replace(schedule, next_run_at=NEVER - 1), now=NOW) == NEVER - 1
    assert due(replace(schedule, next_run_at=NEVER), now=NOW) is None


def test_of_a_schedule_everything_is_told():
    names = schedule.__struct_fields__
    assert schedule_record(schedule).__struct_fields__ == names
    assert all(
        getattr(schedule_record(schedule), each) == getattr(schedule, each) for each in names
    )


def test_of_a_promise_is_told_what_its_record_has():
    told = record(replace(plain, callbacks=("a",), listeners=(ANY,)))
    assert not {"callbacks", "listeners", "route", "task"} & set(told.__struct_fields__)
    assert all(getattr(told, each) == getattr(plain, each) for each in told.__struct_fields__)
