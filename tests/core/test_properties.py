"""Random walks: the specification's properties hold in every state and of every step.

Handlers and drains are taken one at a time here, because the properties of a step speak of one
step and not of a commit; ``machine.handle``, which takes them together, has its own walk.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from resonate.core import machine, steps
from resonate.core.objects import ScheduleKey, is_external, project
from resonate.core.properties import internal, task_steps
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.envelope import Refusal
from tests.core.walk import STARTS, Walk, carry_out, nothing_known
from tests.core.world import World, parse, reply

pytestmark = pytest.mark.timeout(180)  # under coverage on a busy machine; 10 seconds without
MOVES = st.integers(1, 60)  # drawn first, so that a failure shrinks by whole moves
bounded = settings(
    max_examples=12,  # more of them is a matter of patience: nothing else depends on it
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # to explain takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def drawing(data):
    """Let Hypothesis pick."""
    return lambda options: data.draw(st.sampled_from(options))


# --- one step at a time ---------------------------------------------------------------------------


@settings(bounded, max_examples=30)
@given(data=st.data(), now=st.sampled_from(STARTS), strict=st.booleans(), moves=MOVES)
def test_all_properties_hold_of_every_step(data, now, strict, moves):
    walk = Walk(drawing(data), now, strict=strict)
    for _ in range(moves):
        walk.move()


@pytest.mark.parametrize("strict", [False, True])
def test_a_long_walk_reaches_every_answer_and_every_edge_and_all_properties_hold(strict):
    choice = Random(20260401).choice
    answers, edges, internal_edges = set(), set(), set()
    for _ in range(200):
        walk = Walk(choice, choice(STARTS), strict=strict)
        for _ in range(60):
            walk.move()
        answers |= walk.answers
        edges |= walk.edges
        internal_edges |= walk.internal_edges
    fired = {(None, "pending"), (None, "fulfilled")}
    assert answers == (STRICT if strict else LENIENT)
    assert edges == task_steps.EDGES | fired | {(None, "acquired")}
    assert internal_edges == internal.EDGES | fired


# Every answer there is besides the refusals at the door.
BOTH = {
    ("promise.get", 200, None),
    ("promise.get", 404, "Promise not found"),
    ("promise.create", 200, None),
    ("promise.settle", 200, None),
    ("promise.settle", 404, "Promise not found"),
    ("promise.register_callback", 200, None),
    ("promise.register_callback", 404, "Awaited promise not found"),
    ("promise.register_callback", 422, "Awaiter promise not found"),
    ("promise.register_callback", 422, "Awaiter promise has no resonate:target tag"),
    ("promise.register_listener", 200, None),
    ("promise.register_listener", 404, "Awaited promise not found"),
    ("task.get", 200, None),
    ("task.get", 404, "Task not found"),
    ("task.create", 200, None),
    ("task.create", 409, "Already exists"),
    ("task.create", 422, "Promise exists without a target task"),
    ("task.acquire", 200, None),
    ("task.acquire", 404, "Task not found"),
    ("task.acquire", 409, "Task is not pending"),
    ("task.acquire", 409, "Version mismatch"),
    ("task.fence", 200, None),
    ("task.fence", 404, "Task not found"),
    ("task.fence", 409, "Version mismatch"),
    ("task.heartbeat", 200, None),
    ("task.suspend", 200, None),
    ("task.suspend", 300, None),
    ("task.suspend", 404, "Task not found"),
    ("task.suspend", 409, "Task is not acquired or version mismatch"),
    ("task.suspend", 422, "Awaited promise not found"),
    ("task.fulfill", 200, None),
    ("task.fulfill", 404, "Task not found"),
    ("task.fulfill", 409, "Task version mismatch or invalid state"),
    ("task.release", 200, None),
    ("task.release", 404, "Task not found"),
    ("task.release", 409, "Task version mismatch or invalid state"),
    ("task.halt", 200, None),
    ("task.halt", 404, "Task not found"),
    ("task.halt", 409, "Task is fulfilled"),
    ("task.continue", 200, None),
    ("task.continue", 404, "Task not found"),
    ("task.continue", 409, "Task is not halted"),
    ("schedule.get", 200, None),
    ("schedule.get", 404, "Schedule not found"),
    ("schedule.create", 200, None),
    ("schedule.create", 400, "Invalid cron expression"),
    ("schedule.delete", 200, None),
    ("schedule.delete", 404, "Schedule not found"),
}
LENIENT = BOTH | {(f"{kind}.search", 200, None) for kind in ("promise", "task", "schedule")}
TIMER_TARGET = "A resonate:timer promise must not have a resonate:target tag"
STRICT = BOTH | {
    *((kind, 400, TIMER_TARGET) for kind in ("promise.create", "task.create", "schedule.create")),
    ("promise.register_callback", 422, "Awaited promise is not external"),
    ("promise.register_listener", 422, "Awaited promise is not external"),
    ("task.suspend", 400, "Awaited promises must be distinct"),
    ("task.suspend", 422, "Awaited promise is not external"),
}


# --- whole requests -------------------------------------------------------------------------------


@bounded
@given(data=st.data(), now=st.sampled_from(STARTS), strict=st.booleans(), moves=MOVES)
def test_whole_requests_keep_the_properties_of_a_state_and_leave_nobody_waiting(
    data, now, strict, moves
):
    walk = Walk(drawing(data), now, strict=strict)
    world = walk.world
    for _ in range(moves):
        if walk.pick((False, False, False, True)):
            walk.pass_time()
            for schedule in world.schedules():
                world.fire(schedule.id)
            world.advance()
        else:
            kind, fields = walk.any_request()
            world.call(kind, **fields)
        for each in world.promises():
            assert not steps.is_unfinished(each), "who awaits a settled promise is woken with it"


@bounded
@given(data=st.data(), strict=st.booleans(), moves=MOVES)
def test_a_batch_is_its_requests_one_after_another_and_a_step_can_be_undone(data, strict, moves):
    walk = Walk(drawing(data), 1_000, strict=strict)
    one_by_one, batch = walk.world, State(nothing_known(), 1_000, strict=strict)
    for _ in range(moves):
        kind, fields = walk.any_request()
        request = parse(kind, fields, rules=one_by_one.rules)
        if isinstance(request, Refusal | rq.Search):
            continue
        objects, before = dict(batch.objects), dict(batch.before)
        answer = machine.handle(request, batch)
        if walk.pick((False, False, True)):
            batch.rollback()
            assert (batch.objects, batch.before) == (objects, before)
            answer = machine.handle(request, batch)
        assert reply(kind, answer) == one_by_one.call(kind, **fields)
    stored = {key: each for key, each in batch.objects.items() if each}
    assert stored == one_by_one.objects
    assert {key: batch.before[key] for key in stored} == dict.fromkeys(stored)


@bounded
@given(data=st.data(), now=st.sampled_from(STARTS), strict=st.booleans(), moves=MOVES)
def test_projecting_and_writing_the_deadline_give_equal_answers(data, now, strict, moves):
    walk = Walk(drawing(data), now, strict=strict)
    lazy, eager = walk.world, World(now, strict=strict)
    for _ in range(moves):
        if walk.pick((False, False, True)):
            walk.pass_time()
            eager.now = lazy.now
        kind, fields = walk.any_request()
        request = parse(kind, fields, rules=lazy.rules)
        if isinstance(request, Refusal):
            continue
        for promise in eager.promises():
            eager.objects[promise.id] = project(promise, eager.now)
        assert answer_alone(lazy, kind, request) == answer_alone(eager, kind, request)


def answer_alone(world, kind, request):
    """Return the answer to a request, without the drains that it enables."""
    if isinstance(request, rq.Search):
        return reply(kind, world.find(request))
    state = world.load(*machine.reads(request))
    state.begin()
    answer = reply(kind, carry_out(request, state))
    world.keep(state)
    return answer


# --- a request said twice -------------------------------------------------------------------------

ABSORBING = {
    *("promise.get", "promise.create", "promise.settle", "promise.register_callback"),
    *("promise.register_listener", "task.get", "task.heartbeat", "task.halt"),
    *("schedule.get", "schedule.create", "promise.search", "task.search", "schedule.search"),
}
EXCLUSIVE = {"task.acquire", "task.fulfill", "task.release", "schedule.delete"}


@bounded
@given(data=st.data(), now=st.sampled_from(STARTS), strict=st.booleans(), moves=MOVES)
def test_said_twice_a_request_changes_nothing_more(data, now, strict, moves):
    walk = Walk(drawing(data), now, strict=strict)
    for _ in range(moves):
        walk.move()
    walk.settle_down()
    world = walk.world
    kind, fields = walk.any_request()
    first = world.call(kind, **fields)
    objects = dict(world.objects)
    again = world.call(kind, **fields)
    if kind in ABSORBING:
        assert again == first
        assert world.objects == objects
    elif first.status == 200 and kind in EXCLUSIVE:
        assert again.status == (404 if kind == "schedule.delete" else 409)
        assert world.objects == objects


@bounded
@given(data=st.data(), now=st.sampled_from(STARTS), strict=st.booleans(), moves=MOVES)
def test_in_the_end_everything_is_settled_and_nobody_waits(data, now, strict, moves):
    walk = Walk(drawing(data), now, strict=strict)
    for _ in range(moves):
        walk.move()
    world = walk.world
    for schedule in world.schedules():
        del world.objects[ScheduleKey(schedule.id)]  # they would go on for ever
    world.now = 2**63 - 1
    for _ in range(6):
        for promise in world.promises():
            world.step(steps.advance, promise.id)
            world.step(steps.drain, promise.id, 10)
            for address in promise.listeners:
                world.step(steps.discharge, promise.id, address)
    for stored in world.promises():
        each = project(stored, world.now)
        assert each is stored or (strict and not is_external(stored)), "its deadline is written"
        assert each.state != "pending"
        assert each.task is None or each.task.state == "fulfilled"
        assert (each.callbacks, each.listeners) == ((), ())


def test_a_walk_can_ask_for_every_kind():
    walk = Walk(Random(1).choice, 1_000)
    assert {walk.any_request()[0] for _ in range(500)} == set(rq.KINDS)
