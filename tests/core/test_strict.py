"""Strict and lenient: what the handlers refuse (section 4, rows 1 to 7) and what is ignored."""

from __future__ import annotations

import pytest

from resonate.core import steps
from resonate.core.objects import Task, is_ready
from tests.core.world import (
    ANY,
    CALLER,
    DEADLINE,
    NOW,
    World,
    action,
    callback,
    lease,
    promise_data,
    schedule_data,
    task_in,
)

TIMER_TARGET = "A resonate:timer promise must not have a resonate:target tag"
NOT_EXTERNAL = (422, "Awaited promise is not external")
BOTH = {"timer": "true"}
EXTERNAL = [{"external": "true"}, {"timer": "true"}, {"target": ANY}]
INTERNAL = [{}, {"external": "false"}, {"timer": "false"}, {"scope": "global"}]


@pytest.fixture
def strict():
    return World(strict=True)


@pytest.fixture
def lenient():
    return World()


@pytest.fixture(params=[False, True], ids=["lenient", "strict"])
def world(request):
    return World(strict=request.param)


def refused(world, kind, **data):
    """Hold that a request is refused and writes nothing; return the answer."""
    before = dict(world.objects)
    answer = world.call(kind, **data)
    assert answer.status >= 400
    assert world.objects == before
    return answer


# --- row 1: a timer with a target -----------------------------------------------------------------


def test_row_1_promise_create(strict, lenient):
    data = promise_data("p", ANY, **BOTH)
    assert refused(strict, "promise.create", **data) == (400, TIMER_TARGET)
    lenient.ok("promise.create", **data)
    assert lenient.task("p") == Task("pending", 0, retry_at=DEADLINE)


def test_row_1_task_create(strict, lenient):
    data = lease("p", **BOTH)
    assert refused(strict, "task.create", **data) == (400, TIMER_TARGET)
    lenient.ok("task.create", **data)
    assert lenient.task("p").state == "acquired"


def test_row_1_schedule_create(strict, lenient):
    data = schedule_data(promiseTags={"resonate:timer": "true", "resonate:target": ANY})
    assert refused(strict, "schedule.create", **data) == (400, TIMER_TARGET)
    lenient.ok("schedule.create", **data)


def test_row_1_is_looked_at_also_when_the_promise_exists(strict):
    strict.create("p", ANY)
    assert refused(strict, "promise.create", **promise_data("p", ANY, **BOTH)).status == 400
    assert refused(strict, "task.create", **lease("p", **BOTH)).status == 400


@pytest.mark.parametrize(
    "tags", [{"timer": "true"}, {"timer": "false", "target": ANY}, {"target": ANY}]
)
def test_row_1_one_of_them_is_no_offence(strict, tags):
    strict.create("p", **tags)


def test_row_1_in_lenient_mode_its_task_is_never_dispatched_and_becomes_fulfilled(lenient):
    lenient.create("p", ANY, **BOTH)
    for now in (NOW, DEADLINE - 1, DEADLINE, DEADLINE + 1):
        assert not is_ready(lenient.objects["p"], now)
    lenient.now = DEADLINE
    lenient.advance("p")
    assert (lenient.objects["p"].state, lenient.task("p")) == ("resolved", Task("fulfilled", 0))


# --- row 2: the same in a fence -------------------------------------------------------------------


def test_row_2_inside_a_fence_only_the_inner_answer_refuses(strict, lenient):
    for world in (strict, lenient):
        task_in(world, "acquired")
        before = dict(world.objects)
        inner = action("promise.create", **promise_data("c", ANY, **BOTH))
        answer = world.ok("task.fence", **world.ref("t"), action=inner)["action"]
        if world is strict:
            assert (answer["head"]["status"], answer["data"]) == (400, TIMER_TARGET)
            assert world.objects == before
        else:
            assert (answer["head"]["status"], answer["data"]["promise"]["id"]) == (200, "c")


def test_row_2_the_guard_comes_first(strict):
    task_in(strict, "pending")
    inner = action("promise.create", **promise_data("c", ANY, **BOTH))
    assert refused(strict, "task.fence", **strict.ref("t"), action=inner).status == 409


# --- rows 3 and 4: callbacks and listeners --------------------------------------------------------


@pytest.mark.parametrize("tags", INTERNAL)
def test_row_3_a_callback_on_an_internal_promise(strict, lenient, tags):
    for world in (strict, lenient):
        world.create("a", **tags)
        world.create("w", ANY)
    data = {"awaited": "a", "awaiter": "w"}
    assert refused(strict, "promise.register_callback", **data) == NOT_EXTERNAL
    lenient.ok("promise.register_callback", **data)
    assert lenient.objects["a"].callbacks == ("w",)


@pytest.mark.parametrize("tags", INTERNAL)
def test_row_4_a_listener_on_an_internal_promise(strict, lenient, tags):
    for world in (strict, lenient):
        world.create("a", **tags)
    data = {"awaited": "a", "address": CALLER}
    assert refused(strict, "promise.register_listener", **data) == NOT_EXTERNAL
    lenient.ok("promise.register_listener", **data)
    assert lenient.objects["a"].listeners == (CALLER,)


@pytest.mark.parametrize("tags", EXTERNAL)
def test_rows_3_and_4_an_external_promise_takes_both(world, tags):
    world.create("a", **tags)
    world.create("w", ANY)
    world.ok("promise.register_callback", awaited="a", awaiter="w")
    world.ok("promise.register_listener", awaited="a", address=CALLER)
    assert (world.objects["a"].callbacks, world.objects["a"].listeners) == (("w",), (CALLER,))


def test_rows_3_and_4_a_settled_internal_promise_is_refused_too(strict):
    strict.create("a")
    strict.create("w", ANY)
    strict.settle("a")
    assert strict.call("promise.register_callback", awaited="a", awaiter="w") == NOT_EXTERNAL
    assert strict.call("promise.register_listener", awaited="a", address=CALLER) == NOT_EXTERNAL


def test_row_3_comes_after_what_is_said_of_the_awaiter(strict):
    strict.create("a")
    strict.create("w")
    for awaiter, text in (
        ("nobody", "Awaiter promise not found"),
        ("w", "Awaiter promise has no resonate:target tag"),
    ):
        found = strict.call("promise.register_callback", awaited="a", awaiter=awaiter)
        assert found == (422, text)


# --- rows 5 and 6: suspending ---------------------------------------------------------------------


def suspending(world, *awaited, version=1):
    actions = [callback(each, "t") for each in awaited]
    return {"id": "t", "version": version, "actions": actions}


def test_row_5_suspending_on_an_internal_promise(strict, lenient):
    for world in (strict, lenient):
        task_in(world, "acquired")
        world.create("a")
    assert refused(strict, "task.suspend", **suspending(strict, "a")) == NOT_EXTERNAL
    assert lenient.suspend("t", "a") == (200, {})


def test_row_5_one_internal_promise_is_enough_settled_or_not(strict):
    task_in(strict, "acquired")
    strict.create("open", external="true")
    strict.create("done")
    strict.settle("done")
    strict.create("closed", external="true")
    strict.settle("closed")
    for awaited in (("open", "done"), ("done",), ("closed", "done")):
        assert refused(strict, "task.suspend", **suspending(strict, *awaited)) == NOT_EXTERNAL
    assert strict.suspend("t", "open", "closed").status == 300


def test_row_5_an_unknown_promise_wins_whatever_the_order(strict):
    task_in(strict, "acquired")
    strict.create("a")
    for awaited in (("a", "nobody"), ("nobody", "a")):
        found = refused(strict, "task.suspend", **suspending(strict, *awaited))
        assert found == (422, "Awaited promise not found")


@pytest.mark.parametrize("tags", EXTERNAL)
def test_row_5_an_external_promise_is_awaited(world, tags):
    task_in(world, "acquired")
    world.create("a", **tags)
    assert world.suspend("t", "a") == (200, {})


def test_row_6_the_same_promise_twice(strict, lenient):
    for world in (strict, lenient):
        task_in(world, "acquired")
        world.create("a", external="true")
        world.create("b", external="true")
    text = "Awaited promises must be distinct"
    for awaited in (("a", "a"), ("a", "b", "a")):
        assert refused(strict, "task.suspend", **suspending(strict, *awaited)) == (400, text)
    assert lenient.suspend("t", "a", "b", "a") == (200, {})
    assert lenient.objects["a"].callbacks == ("t",)


def test_row_6_comes_before_the_guard(strict, lenient):
    for world in (strict, lenient):
        found = world.call("task.suspend", **suspending(world, "a", "a"))
        assert found.status == (400 if world is strict else 404)


# --- row 7: who has a timer -----------------------------------------------------------------------


@pytest.mark.parametrize("tags", INTERNAL)
def test_row_7_in_strict_mode_the_deadline_of_an_internal_promise_is_never_written(strict, tags):
    strict.create("p", **tags)
    strict.now = DEADLINE
    before = dict(strict.objects)
    strict.advance()
    assert strict.objects == before
    told = strict.ok("promise.get", id="p")["promise"]
    assert (told["state"], told["settledAt"]) == ("rejected_timedout", DEADLINE)
    assert strict.settle("p", value="x") == told, "and it is too late to settle it"
    assert strict.objects == before


@pytest.mark.parametrize("tags", EXTERNAL)
def test_row_7_that_of_an_external_one_is(world, tags):
    world.create("p", **tags)
    world.now = DEADLINE
    world.advance()
    assert world.objects["p"].settled_at == DEADLINE


def test_row_7_in_strict_mode_leases_end_as_ever(strict):
    task_in(strict, "acquired")
    strict.now = strict.task("t").expires_at
    strict.step(steps.advance, "t")
    assert strict.task("t").state == "pending"


# --- extensions are off ---------------------------------------------------------------------------


def test_a_strict_heartbeat_does_not_tell_what_is_lost(strict, lenient):
    lost = [{"id": "nobody", "version": 1}]
    assert strict.ok("task.heartbeat", pid="w", tasks=lost) == {}
    assert lenient.ok("task.heartbeat", pid="w", tasks=lost) == {"lost": lost}


def test_a_strict_heartbeat_extends_as_ever(world):
    task_in(world, "acquired")
    world.now += 5
    world.ok("task.heartbeat", pid="w", tasks=[world.ref("t")])
    assert world.task("t").expires_at == world.now + world.task("t").ttl


def test_a_strict_release_knows_no_delay(strict, lenient):
    for world in (strict, lenient):
        task_in(world, "acquired")
        world.ok("task.release", **world.ref("t"), delay=5)
    assert strict.task("t").retry_at == NOW
    assert lenient.task("t").retry_at == NOW + 5


def test_a_strict_server_does_not_search(strict, lenient):
    for kind in ("promise.search", "task.search", "schedule.search"):
        assert strict.call(kind) == (501, "Not implemented")
        assert lenient.call(kind).status == 200
