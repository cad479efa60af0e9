"""Schedules fire (I6): every occurrence once, in order, each at its own instant."""

from __future__ import annotations

import pytest

from resonate.core import machine, schedules, steps
from resonate.core.objects import ScheduleKey, Task, is_ready
from resonate.protocol.cron import NEVER
from resonate.protocol.limits import INT64_MAX
from tests.core.world import ANY, CALLER, DEADLINE, NOW, World, schedule_data

FIRST = NOW + 1_000


@pytest.fixture
def world():
    return World()


def plan(world, **fields):
    world.ok("schedule.create", **schedule_data(**fields))


def born(world):
    """Return the promises that were fired, in order of their ids."""
    found = (each for each in world.promises() if "resonate:schedule" in each.tags)
    return sorted(found, key=lambda each: each.id)


def runs(world):
    return world.schedule().last_run_at, world.schedule().next_run_at


# --- what is fired --------------------------------------------------------------------------------


def test_at_its_instant_a_promise_is_born(world):
    plan(world, promiseParam={"data": "x"}, promiseTags={"a": "b"})
    world.now = FIRST
    world.fire()
    promise_id = f"s.{FIRST}"
    assert world.ok("promise.get", id=promise_id)["promise"] == {
        "id": promise_id,
        "state": "pending",
        "param": {"data": "x"},
        "value": {},
        "tags": {
            "a": "b",
            "resonate:schedule": "s",
            "resonate:origin": promise_id,
            "resonate:branch": promise_id,
            "resonate:parent": promise_id,
            "resonate:prefix": promise_id,
        },
        "timeoutAt": FIRST + DEADLINE,
        "createdAt": FIRST,
    }
    assert runs(world) == (FIRST, FIRST + 1_000)


def test_tags_that_say_where_it_belongs_are_overwritten(world):
    names = ("schedule", "origin", "branch", "parent", "prefix")
    plan(world, promiseTags={f"resonate:{name}": "mine" for name in names})
    world.now = FIRST
    world.fire()
    own = born(world)[0].id
    tags = dict.fromkeys((f"resonate:{name}" for name in names), own)
    assert born(world)[0].tags == {**tags, "resonate:schedule": "s"}
    assert set(world.schedule().promise_tags.values()) == {"mine"}


def test_a_target_makes_it_a_task_that_is_dispatched_at_once(world):
    plan(world, promiseTags={"resonate:target": "poll://any@a b"})
    world.now = FIRST
    world.fire()
    promise = born(world)[0]
    assert promise.task == Task("pending", 0, retry_at=FIRST)
    assert promise.route == "poll://any@a%20b"
    assert is_ready(promise, world.now)


@pytest.mark.parametrize(
    ("delay", "retry_at"),
    [
        ("0", FIRST),
        ("1999", FIRST),
        ("0002500", 2_500),
        (str(INT64_MAX), INT64_MAX),
        (str(INT64_MAX + 1), INT64_MAX),
        ("9" * 19, INT64_MAX),
        ("1" + "0" * 19, INT64_MAX),
        ("9" * 5_000, INT64_MAX),
        ("0" * 5_000 + "2500", 2_500),
    ],
)
def test_its_delay_is_one_instant_which_saturates(world, delay, retry_at):
    plan(world, promiseTags={"resonate:target": ANY, "resonate:delay": delay})
    world.now = FIRST
    world.fire()
    assert born(world)[0].task == Task("pending", 0, retry_at=retry_at)


def test_the_task_of_a_timer_is_never_dispatched(world):
    plan(world, promiseTags={"resonate:target": ANY, "resonate:timer": "true"})
    world.now = FIRST
    world.fire()
    assert born(world)[0].task == Task("pending", 0, retry_at=FIRST + DEADLINE)
    assert not is_ready(born(world)[0], FIRST + DEADLINE)


def test_the_deadline_saturates(world):
    plan(world, timeout=INT64_MAX)
    world.now = FIRST
    world.fire()
    assert born(world)[0].timeout_at == INT64_MAX


def test_with_no_time_at_all_it_is_born_settled(world):
    plan(world, timeout=0, promiseTags={"resonate:target": ANY})
    world.now = FIRST + 10
    world.fire()
    promise = born(world)[0]
    assert promise.state == "rejected_timedout"
    assert promise.created_at == promise.settled_at == promise.timeout_at == FIRST
    assert promise.task == Task("fulfilled", 0)


# --- when -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [NOW, FIRST - 1])
def test_too_early_nothing_happens(world, now):
    plan(world)
    before = dict(world.objects)
    world.now = now
    world.fire()
    assert world.objects == before


def test_of_nothing_is_nothing(world):
    world.create("s")
    world.now = DEADLINE - 1
    before = dict(world.objects)
    world.fire()
    assert world.objects == before


def test_twice_is_once(world):
    plan(world)
    world.now = FIRST
    world.fire()
    before = dict(world.objects)
    world.fire()
    assert world.objects == before


@pytest.mark.parametrize("late", [0, 1, 999])
def test_rule_13_all_missed_occurrences_fire_each_at_its_own_instant(world, late):
    plan(world, timeout=500_000)
    world.now = FIRST + 2_000 + late
    world.fire()
    instants = [FIRST, FIRST + 1_000, FIRST + 2_000]
    assert [each.id for each in born(world)] == [f"s.{each}" for each in instants]
    assert [each.created_at for each in born(world)] == instants
    assert [each.timeout_at for each in born(world)] == [each + 500_000 for each in instants]
    assert runs(world) == (FIRST + 2_000, FIRST + 3_000)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_limit_bounds_a_step_and_the_rest_is_due_still(world, limit):
    plan(world, timeout=500_000)
    world.now = FIRST + 4_000
    world.fire(limit=limit)
    assert [each.created_at for each in born(world)] == [
        FIRST + 1_000 * number for number in range(limit)
    ]
    assert runs(world) == (FIRST + 1_000 * (limit - 1), FIRST + 1_000 * limit)
    while world.schedule().next_run_at <= world.now:
        world.fire(limit=limit)
    assert len(born(world)) == 5
    assert runs(world) == (FIRST + 4_000, FIRST + 5_000)


def test_with_a_limit_of_nothing_nothing_fires(world):
    plan(world)
    world.now = FIRST
    assert schedules.occurrences(world.schedule(), world.now, 0) == []
    world.fire(limit=0)
    assert runs(world) == (None, FIRST)


def test_occurrences_are_those_by_now_with_the_ids_of_their_promises(world):
    plan(world, cron="*/2 * * * * *", template="{{.timestamp}}/{{.id}}")
    found = schedules.occurrences(world.schedule(), 6_000, 100)
    assert found == [(2_000, "2000/s"), (4_000, "4000/s"), (6_000, "6000/s")]
    assert schedules.occurrences(world.schedule(), 1_999, 100) == []


# --- a promise that is there already --------------------------------------------------------------


def test_an_occurrence_whose_promise_exists_has_no_effect(world):
    plan(world)
    mine = f"s.{FIRST + 1_000}"
    world.create(mine, ANY)
    settled = world.settle(mine, value="x")
    world.now = FIRST + 2_000
    world.fire()
    assert world.ok("promise.get", id=mine)["promise"] == settled
    assert len(world.promises()) == 3
    assert runs(world) == (FIRST + 2_000, FIRST + 3_000)


def test_without_a_timestamp_only_the_first_occurrence_creates_something(world):
    plan(world, template="always")
    world.now = FIRST + 2_000
    world.fire()
    assert [(each.id, each.created_at) for each in born(world)] == [("always", FIRST)]
    assert runs(world) == (FIRST + 2_000, FIRST + 3_000)
    world.settle("always")
    world.now += 1_000
    world.fire()
    assert world.objects["always"].state == "resolved"


def test_two_schedules_of_one_template_fire_one_promise_an_instant(world):
    for name in ("s", "z"):
        plan(world, schedule_id=name, template="{{.timestamp}}")
    world.now = FIRST
    world.fire("z")
    world.fire("s")
    assert [each.tags["resonate:schedule"] for each in born(world)] == ["z"]
    assert runs(world) == (FIRST, FIRST + 1_000)


def test_it_stops_at_a_promise_that_is_not_loaded(world):
    plan(world)
    world.now = FIRST + 2_000
    state = world.load_occurrences("s", 10)
    del state.objects[f"s.{FIRST + 1_000}"]
    assert schedules.fire(state, "s", 10) == [f"s.{FIRST}"]
    world.keep(state)
    assert runs(world) == (FIRST, FIRST + 1_000)
    world.fire()
    assert len(born(world)) == 3


def test_with_no_promise_loaded_nothing_happens(world):
    plan(world)
    world.now = FIRST
    state = world.load(ScheduleKey("s"))
    state.begin()
    assert schedules.fire(state, "s", 10) == []
    assert not state.wrote


# --- too late for its own deadline ----------------------------------------------------------------


@pytest.mark.parametrize(("timer", "state"), [("true", "resolved"), ("", "rejected_timedout")])
def test_rule_14_what_comes_too_late_is_timed_out_in_the_same_commit(world, timer, state):
    plan(world, timeout=1_000, promiseTags={"resonate:timer": timer})
    world.now = FIRST + 1_999
    world.fire()
    late, open_ = born(world)
    assert (late.state, late.created_at, late.settled_at) == (state, FIRST, FIRST + 1_000)
    assert (open_.state, open_.created_at) == ("pending", FIRST + 1_000)


@pytest.mark.parametrize("strict", [False, True])
def test_rule_14_its_task_is_never_ready(strict):
    world = World(strict=strict)
    plan(world, timeout=1_000, promiseTags={"resonate:target": ANY})
    world.now = FIRST + 1_999
    state = world.load_occurrences("s", 10)
    for promise_id in schedules.fire(state, "s", 10):
        promise = state.stored(promise_id)
        assert promise.state == "pending", "born at its own instant"
        assert is_ready(promise, world.now) == (promise.timeout_at > world.now)
        steps.advance(state, promise_id)
    world.keep(state)
    late, open_ = born(world)
    assert (late.task, open_.task) == (
        Task("fulfilled", 0),
        Task("pending", 0, retry_at=FIRST + 1_000),
    )


def test_rule_14_in_strict_mode_an_internal_one_shows_its_deadline_by_projection_only():
    world = World(strict=True)
    plan(world, timeout=1_000)
    world.now = FIRST + 1_000
    world.fire(limit=1)
    assert born(world)[0].state == "pending"
    told = world.ok("promise.get", id=f"s.{FIRST}")["promise"]
    assert (told["state"], told["settledAt"]) == ("rejected_timedout", FIRST + 1_000)


# --- never ----------------------------------------------------------------------------------------


def test_when_its_years_are_over_it_stays_silent():
    last = 31_536_000_000  # 1971-01-01
    world = World(last - 5)
    plan(world, cron="0 0 0 1 1 ? 1971")
    world.now = last
    world.fire()
    assert runs(world) == (last, NEVER)
    assert world.ok("schedule.get", id="s")["schedule"]["nextRunAt"] == 253_402_300_799_000
    for world.now in (last + 1_000, NEVER, NEVER + 1_000, INT64_MAX):
        before = dict(world.objects)
        assert schedules.occurrences(world.schedule(), world.now, 10) == []
        world.fire()
        assert world.objects == before


def test_at_the_end_of_9999_every_schedule_falls_silent():
    world = World(NEVER - 2_500)
    plan(world)
    world.now = INT64_MAX
    world.fire()
    assert [each.created_at for each in born(world)] == [NEVER - 2_000, NEVER - 1_000]
    assert runs(world) == (NEVER - 1_000, NEVER)


# --- in a commit with other things ----------------------------------------------------------------


def test_what_it_fires_can_be_listened_to_and_awaited(world):
    plan(world, template="always", promiseTags={"resonate:target": ANY})
    world.create("w", ANY)
    world.now = FIRST
    world.fire()
    world.ok("promise.register_listener", awaited="always", address=CALLER)
    world.ok("promise.register_callback", awaited="always", awaiter="w")
    world.acquire("always")
    world.settle("always")
    assert world.task("w").resumes == ("always",)


def test_a_step_that_fires_can_be_undone(world):
    plan(world)
    world.now = FIRST + 1_000
    state = world.load_occurrences("s", 10)
    before = dict(state.objects)
    machine.step(state, ScheduleKey("s"), lambda: steps.fire(state, "s", 10))
    assert len(state.before) == 3
    state.rollback()
    assert (state.objects, state.before) == (before, {})
