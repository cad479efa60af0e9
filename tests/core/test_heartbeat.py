"""Heartbeats (H11), and what they tell to be lost (section 8.4)."""

from __future__ import annotations

import pytest

from resonate.core import machine
from resonate.core.objects import Task
from resonate.core.tasks import HeartbeatOfAll
from resonate.protocol.answers import Answer, HeartbeatAnswer
from resonate.protocol.limits import INT64_MAX
from resonate.protocol.requests import VERSION, Head, TaskHeartbeatData, TaskRef
from tests.core.world import NOW, TTL, World, lease, task_in


@pytest.fixture
def world():
    return World()


def beat(world, *refs, pid="w"):
    return world.ok("task.heartbeat", pid=pid, tasks=list(refs))


def test_h11_a_lease_is_extended_by_the_ttl_it_was_given(world):
    task_in(world, "acquired")
    world.now += 300
    assert beat(world, world.ref("t")) == {}
    assert world.task("t") == Task("acquired", 1, "w", TTL, NOW + 300 + TTL)


def test_h11_a_lease_past_its_end_is_still_extended_until_somebody_takes_it_away(world):
    task_in(world, "acquired")
    world.now += TTL + 1
    assert beat(world, world.ref("t")) == {}
    assert world.task("t").expires_at == NOW + TTL + 1 + TTL


def test_h11_at_the_same_instant_there_is_nothing_to_write(world):
    task_in(world, "acquired")
    before = world.objects["t"]
    assert beat(world, world.ref("t")) == {}
    assert world.objects["t"] is before


@pytest.mark.parametrize("state", ["pending", "suspended", "halted", "fulfilled"])
def test_8_4_what_is_not_acquired_is_lost(world, state):
    task_in(world, state)
    before = dict(world.objects)
    world.now += 1
    assert beat(world, world.ref("t")) == {"lost": [world.ref("t")]}
    assert world.objects == before


def test_8_4_lost_are_unknown_tasks_other_versions_other_holders_and_the_dead(world):
    task_in(world, "acquired")
    world.ok("task.create", **lease("dying", timeout=NOW + 5))
    world.create("plain")
    world.now += 5
    lost = [
        {"id": "nobody", "version": 1},
        {"id": "plain", "version": 0},
        {"id": "t", "version": 0},
        {"id": "t", "version": 2},
        {"id": "dying", "version": 1},
        {"id": "nobody", "version": 1},
    ]
    assert beat(world, *lost[:3], world.ref("t"), *lost[3:]) == {"lost": lost}
    assert beat(world, world.ref("t"), pid="v") == {"lost": [world.ref("t")]}
    assert world.task("t").expires_at == NOW + 5 + TTL
    assert world.task("dying").expires_at == NOW + TTL, "a dead task is not extended"


def test_8_4_without_tasks_nothing_is_lost(world):
    assert beat(world) == {}


def test_the_end_of_a_lease_saturates():
    world = World(now=INT64_MAX - 10)
    world.ok("task.create", **lease("t", timeout=INT64_MAX, ttl=INT64_MAX))
    assert world.task("t").expires_at == INT64_MAX
    world.now += 1
    before = world.objects["t"]
    assert beat(world, world.ref("t")) == {}
    assert world.objects["t"] is before


# --- an empty list: all tasks of a process, which the engine writes out ---------------------------


def beat_all(world, *refs):
    """Carry out an empty heartbeat of w as the engine writes it out."""
    data = TaskHeartbeatData("w", [TaskRef(**each) for each in refs])
    request = HeartbeatOfAll(Head("c", VERSION), data)
    state = world.load(*machine.reads(request))
    answer = machine.handle(request, state)
    world.keep(state)
    return answer


def test_h11_an_empty_list_extends_all_and_tells_of_none_that_it_is_lost(world):
    task_in(world, "acquired")
    world.ok("task.create", **lease("other", pid="v"))
    world.now += 5
    gone = {"id": "nobody", "version": 1}
    assert beat_all(world, world.ref("t"), world.ref("other"), gone) == Answer(
        200, HeartbeatAnswer()
    )
    assert world.task("t").expires_at == NOW + 5 + TTL
    assert world.task("other").expires_at == NOW + TTL


def test_h11_an_empty_list_is_no_kind_of_its_own():
    assert HeartbeatOfAll not in machine.kinds()
    assert machine.reads(HeartbeatOfAll(Head("c", VERSION), TaskHeartbeatData("w", []))) == ()
