"""The handlers of schedules, line by line (H18 to H20)."""

from __future__ import annotations

import pytest

from resonate.core.objects import Schedule, due
from resonate.protocol.cron import NEVER
from resonate.protocol.limits import INT64_MAX
from resonate.protocol.records import EMPTY, Value
from tests.core.world import ANY, DEADLINE, NOW, World, schedule_data

TIMER_TARGET = "A resonate:timer promise must not have a resonate:target tag"
INVALID = (400, "Invalid cron expression")
YEAR = 31_536_000_000


@pytest.fixture
def world():
    return World()


def plan(world, **fields):
    return world.call("schedule.create", **schedule_data(**fields))


# --- H18 schedule.get -----------------------------------------------------------------------------


def test_h18_of_an_unknown_schedule_404(world):
    world.create("s")
    assert world.call("schedule.get", id="s") == (404, "Schedule not found")


def test_h18_get_tells_the_whole_record(world):
    param, tags = {"headers": {"h": "1"}, "data": "cA=="}, {"resonate:target": ANY, "a": "b"}
    plan(world, promiseParam=param, promiseTags=tags, timeout=7)
    record = {
        "id": "s",
        "cron": "* * * * * *",
        "promiseId": "{{.id}}.{{.timestamp}}",
        "promiseTimeout": 7,
        "promiseParam": param,
        "promiseTags": tags,
        "createdAt": NOW,
        "nextRunAt": NOW + 1_000,
    }
    assert world.call("schedule.get", id="s") == (200, {"schedule": record})
    world.now += 1_000
    world.fire()
    record |= {"lastRunAt": NOW + 1_000, "nextRunAt": NOW + 2_000}
    assert world.call("schedule.get", id="s") == (200, {"schedule": record})


def test_h18_a_schedule_that_is_due_and_has_not_fired_is_told_as_it_is_stored(world):
    plan(world)
    world.now += 10_000
    schedule = world.ok("schedule.get", id="s")["schedule"]
    assert schedule["nextRunAt"] == NOW + 1_000
    assert "lastRunAt" not in schedule


# --- H19 schedule.create --------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
def test_h19_1_a_timer_with_a_target_is_refused_in_strict_mode_only(strict):
    world = World(strict=strict)
    tags = {"resonate:timer": "true", "resonate:target": ANY}
    answer = plan(world, promiseTags=tags)
    assert answer == (400, TIMER_TARGET) if strict else answer.status == 200
    assert (world.schedule() is None) == strict
    for tags in ({"resonate:timer": "true"}, {"resonate:timer": "false", "resonate:target": ANY}):
        assert plan(world, schedule_id="other", promiseTags=tags).status == 200


def test_h19_1_is_looked_at_also_when_the_schedule_exists():
    world = World(strict=True)
    plan(world)
    tags = {"resonate:timer": "true", "resonate:target": ANY}
    assert plan(world, promiseTags=tags) == (400, TIMER_TARGET)


def test_h19_2_an_existing_schedule_is_told_as_it_is_and_nothing_is_compared(world):
    first = plan(world)
    before = dict(world.objects)
    world.now += 5
    other = {"cron": "@daily", "template": "x", "timeout": 1, "promiseTags": {"a": "b"}}
    assert plan(world, **other, promiseParam={"data": "x"}) == first
    assert world.objects == before


def test_h19_3_what_is_left_out_is_empty(world):
    schedule = plan(world).data["schedule"]
    assert (schedule["promiseParam"], schedule["promiseTags"]) == ({}, {})
    assert world.schedule() == Schedule(
        *("s", "* * * * * *", "{{.id}}.{{.timestamp}}", DEADLINE, EMPTY, {}, NOW, NOW + 1_000)
    )


def test_h19_3_what_is_given_is_stored(world):
    plan(world, promiseParam={"data": "x"}, promiseTags={"a": "b"}, timeout=0)
    schedule = world.schedule()
    assert (schedule.promise_param, schedule.promise_tags) == (Value(data="x"), {"a": "b"})
    assert schedule.promise_timeout == 0


@pytest.mark.parametrize(
    ("now", "cron", "next_run_at"),
    [
        (0, "* * * * * *", 1_000),
        (999, "* * * * * *", 1_000),
        (1_000, "* * * * * *", 2_000),  # strictly later
        (1_001, "* * * * *", 60_000),
        (60_000, "@hourly", 3_600_000),
        (0, "@yearly", YEAR),
    ],
)
def test_h19_3_the_first_run_is_the_next_occurrence(now, cron, next_run_at):
    world = World(now)
    assert plan(world, cron=cron).data["schedule"]["nextRunAt"] == next_run_at
    assert due(world.schedule(), now=now) == next_run_at


@pytest.mark.parametrize(
    ("now", "cron"),
    [
        (NOW, "0 0 0 1 1 ? 1970"),
        (YEAR, "0 0 0 1 1 ? 1971"),
        (INT64_MAX, "* * * * * *"),
        (NEVER, "* * * * * *"),
    ],
)
def test_r27_without_a_future_occurrence_it_is_refused(now, cron):
    world = World(now)
    assert plan(world, cron=cron) == INVALID
    assert world.objects == {}


def test_r27_is_a_check_at_the_door_and_comes_first():
    world = World(strict=True)
    plan(world)
    past = {
        "cron": "0 0 0 1 1 ? 1970",
        "promiseTags": {"resonate:timer": "true", "resonate:target": ANY},
    }
    assert plan(world, **past) == INVALID


# --- H20 schedule.delete --------------------------------------------------------------------------


def test_h20_of_an_unknown_schedule_404(world):
    world.create("s")
    assert world.call("schedule.delete", id="s") == (404, "Schedule not found")


def test_h20_what_it_has_fired_stays(world):
    plan(world)
    world.now += 1_000
    world.fire()
    fired = world.objects[f"s.{NOW + 1_000}"]
    assert world.ok("schedule.delete", id="s") == {}
    assert world.objects == {fired.id: fired}
    assert world.call("schedule.get", id="s").status == 404
    assert world.call("schedule.delete", id="s").status == 404


def test_h20_a_deleted_schedule_may_be_created_anew(world):
    plan(world)
    world.ok("schedule.delete", id="s")
    world.now += 500
    schedule = plan(world, cron="@daily").data["schedule"]
    assert (schedule["createdAt"], schedule["cron"]) == (NOW + 500, "@daily")
