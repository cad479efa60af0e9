"""Random walks: the specification's properties hold in every state and of every step.

Handlers and drains are taken one at a time here, because the properties of a step speak of one
step and not of a commit; ``machine.handle``, which takes them together, has its own walk.
"""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from resonate.core import machine, steps
from resonate.core.objects import project
from resonate.core.properties import check_state, task_steps
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.envelope import Refusal
from tests.core.walk import IDS, STARTS, Walk, carry_out
from tests.core.world import World, parse, reply

MOVES = st.integers(1, 60)  # drawn first, so that a failure shrinks by whole moves
bounded = settings(
    max_examples=25,  # more of them is a matter of patience: nothing else depends on it
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # to explain takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def drawing(data):
    """Let Hypothesis pick."""
    return lambda options: data.draw(st.sampled_from(options))


# --- one step at a time ---------------------------------------------------------------------------


@settings(bounded, max_examples=60)
@given(data=st.data(), now=st.sampled_from(STARTS), moves=MOVES)
def test_all_properties_hold_of_every_step(data, now, moves):
    walk = Walk(drawing(data), now)
    for _ in range(moves):
        walk.move()


def test_a_long_walk_reaches_every_answer_and_every_edge_and_all_properties_hold():
    choice = Random(20260401).choice
    answers, edges, internal_edges = set(), set(), set()
    for _ in range(200):
        walk = Walk(choice, choice(STARTS))
        for _ in range(60):
            walk.move()
        answers |= walk.answers
        edges |= walk.edges
        internal_edges |= walk.internal_edges
    births = {(None, "pending"), (None, "acquired"), (None, "fulfilled")}
    assert {each for each in answers if each[1] != 400} == EXPECTED
    assert edges == task_steps.EDGES | births
    assert internal_edges == task_steps.INTERNAL_EDGES


# Every answer there is besides the refusals at the door.
EXPECTED = {
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
}


# --- whole requests -------------------------------------------------------------------------------


@bounded
@given(data=st.data(), now=st.sampled_from(STARTS), moves=MOVES)
def test_whole_requests_keep_the_properties_of_a_state_and_leave_nobody_waiting(data, now, moves):
    walk = Walk(drawing(data), now)
    world = walk.world
    for _ in range(moves):
        if walk.pick((False, False, False, True)):
            walk.pass_time()
            world.advance()
        else:
            kind, fields = walk.any_request()
            world.call(kind, **fields)
        check_state(world.objects, world.now)
        for each in world.objects.values():
            assert not steps.is_unfinished(each), "who awaits a settled promise is woken with it"


@bounded
@given(data=st.data(), moves=MOVES)
def test_a_batch_is_its_requests_one_after_another_and_a_step_can_be_undone(data, moves):
    walk = Walk(drawing(data), 1_000)
    one_by_one, batch = walk.world, State({}, 1_000)
    for promise_id in IDS:
        batch.objects[promise_id] = None
    for _ in range(moves):
        kind, fields = walk.any_request()
        request = parse(kind, fields)
        if isinstance(request, Refusal):
            continue
        objects, before = dict(batch.objects), dict(batch.before)
        answer = machine.handle(request, batch)
        if walk.pick((False, False, True)):
            batch.rollback()
            assert (batch.objects, batch.before) == (objects, before)
            answer = machine.handle(request, batch)
        assert reply(kind, answer) == one_by_one.call(kind, **fields)
    stored = {name: each for name, each in batch.objects.items() if each is not None}
    assert stored == one_by_one.objects
    assert batch.before == dict.fromkeys(stored), "before is what the batch began with"


@bounded
@given(data=st.data(), now=st.sampled_from(STARTS), moves=MOVES)
def test_projecting_and_writing_the_deadline_give_equal_answers(data, now, moves):
    walk = Walk(drawing(data), now)
    lazy, eager = walk.world, World(now)
    for _ in range(moves):
        if walk.pick((False, False, True)):
            walk.pass_time()
            eager.now = lazy.now
        kind, fields = walk.any_request()
        request = parse(kind, fields)
        if isinstance(request, Refusal):
            continue
        eager.objects = {name: project(each, eager.now) for name, each in eager.objects.items()}
        answers = []
        for world in (lazy, eager):
            state = world.load(*machine.reads(request))
            state.begin()
            answers.append(reply(kind, carry_out(request, state)))
            world.keep(state)
        assert answers[0] == answers[1]


# --- a request said twice -------------------------------------------------------------------------

ABSORBING = {
    *("promise.get", "promise.create", "promise.settle", "promise.register_callback"),
    *("promise.register_listener", "task.get", "task.heartbeat", "task.halt"),
}


@bounded
@given(data=st.data(), now=st.sampled_from(STARTS), moves=MOVES)
def test_said_twice_a_request_changes_nothing_more(data, now, moves):
    walk = Walk(drawing(data), now)
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
    elif first.status == 200 and kind in {"task.acquire", "task.fulfill", "task.release"}:
        assert again.status == 409
        assert world.objects == objects


@bounded
@given(data=st.data(), now=st.sampled_from(STARTS), moves=MOVES)
def test_in_the_end_everything_is_settled_and_nobody_waits(data, now, moves):
    walk = Walk(drawing(data), now)
    for _ in range(moves):
        walk.move()
    world = walk.world
    world.now = 2**63 - 1
    for _ in range(6):
        for promise_id in list(world.objects):
            world.step(steps.advance, promise_id)
            world.step(steps.drain, promise_id, 10)
            for address in world.objects[promise_id].listeners:
                world.step(steps.discharge, promise_id, address)
    for each in world.objects.values():
        assert each.state != "pending"
        assert each.task is None or each.task.state == "fulfilled"
        assert (each.callbacks, each.listeners) == ((), ())


def test_a_walk_can_ask_for_every_kind():
    walk = Walk(Random(1).choice, 1_000)
    assert {walk.any_request()[0] for _ in range(500)} == set(rq.KINDS)
