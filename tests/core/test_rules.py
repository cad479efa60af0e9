"""The rules that are easy to get wrong (section 3.6), by number. 13 and 14 are in test_firing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from resonate.core import steps
from resonate.core.objects import Task, is_ready
from resonate.protocol.envelope import Refusal
from tests.core.world import (
    ANY,
    CALLER,
    DEADLINE,
    NOW,
    TTL,
    World,
    action,
    callback,
    lease,
    parse,
    promise_data,
    settlement,
    task_in,
)


@pytest.fixture
def world():
    return World()


def test_rule_1_the_version_rises_only_when_a_pending_task_is_acquired(world):
    world.create("t", ANY)
    world.create("x")
    versions = [world.task("t").version]

    def note(answer=None):
        assert answer is None or answer.status == 200, answer
        versions.append(world.task("t").version)

    world.acquire("t")
    note()  # 1
    note(world.call("task.release", **world.ref("t")))
    world.acquire("t")
    note()  # 2
    world.now += TTL
    world.advance("t")
    assert world.task("t").state == "pending"
    note()  # the lease expired
    world.acquire("t")
    note()  # 3
    note(world.suspend("t", "x"))
    world.settle("x")
    assert world.task("t").state == "pending"
    note()  # resumed
    note(world.call("task.halt", id="t"))
    note(world.call("task.continue", id="t"))
    world.acquire("t")
    note()  # 4
    note(world.call("task.fulfill", **world.ref("t"), action=settlement("t")))
    assert versions == [0, 1, 1, 2, 2, 3, 3, 3, 3, 3, 4, 4]


def test_rule_1_a_task_that_is_born_held_starts_at_1(world):
    assert world.ok("task.create", **lease("t"))["task"]["version"] == 1


def test_rule_1_after_a_resume_the_next_lease_is_one_above_the_last(world):
    task_in(world, "suspended")
    world.settle("x")
    assert world.task("t").version == 1
    assert world.acquire("t") == 2


@pytest.mark.parametrize("how", ["release", "expiry", "resume", "continue"])
def test_rule_2_dispatch_is_immediate(world, how):
    task_in(world, {"resume": "suspended", "continue": "halted"}.get(how, "acquired"))
    world.now += TTL
    if how == "release":
        world.ok("task.release", **world.ref("t"))
    elif how == "expiry":
        world.advance("t")
    elif how == "resume":
        world.settle("x")
    else:
        world.ok("task.continue", id="t")
    assert world.task("t").retry_at == world.now
    assert is_ready(world.objects["t"], world.now)


def collect(world, *awaited):
    for each in awaited:
        world.create(each, timeout=DEADLINE * 2)
        world.ok("promise.register_callback", awaited=each, awaiter="t")
        world.settle(each)


@pytest.mark.parametrize("state", ["pending", "acquired", "halted"])
def test_rule_3_resumes_are_a_set_that_everything_else_leaves_alone(world, state):
    task_in(world, state)
    collect(world, "a", "b")
    assert world.task("t").resumes == ("a", "b")
    assert world.ok("task.get", id="t")["task"]["resumes"] == 2
    world.ok("task.heartbeat", pid="w", tasks=[world.ref("t")])
    world.call("task.release", **world.ref("t"))
    world.ok("task.halt", id="t")
    world.ok("task.continue", id="t")
    assert world.task("t").resumes == ("a", "b")


def test_rule_3_the_same_promise_is_counted_once(world):
    task_in(world, "acquired")
    collect(world, "a")
    world.objects["a"] = replace(world.objects["a"], callbacks=("t",))
    assert world.step(steps.drain, "a", 10) == 1
    assert world.task("t").resumes == ("a",)


@pytest.mark.parametrize("how", ["grant", "suspend", "300", "fulfil"])
def test_rule_3_resumes_are_emptied_by(world, how):
    task_in(world, "pending" if how == "grant" else "acquired")
    collect(world, "a")
    if how == "grant":
        world.acquire("t")
    elif how == "suspend":
        world.create("x")
        assert world.suspend("t", "x").status == 200
    elif how == "300":
        assert world.suspend("t", "a").status == 300
    else:
        world.settle("t")
    assert world.task("t").resumes == ()


def test_rule_4_a_halted_task_collects_resumes_and_is_dispatched_with_them_when_continued(world):
    task_in(world, "suspended")
    world.ok("task.halt", id="t")
    world.settle("x")
    assert world.task("t") == Task("halted", 1, resumes=("x",))
    assert not is_ready(world.objects["t"], world.now)
    world.ok("task.continue", id="t")
    assert world.task("t") == Task("pending", 1, retry_at=world.now, resumes=("x",))


@pytest.mark.parametrize("late", [0, 1])
def test_rule_5_an_awaiter_past_its_own_deadline_is_not_woken(world, late):
    task_in(world, "suspended")
    world.now = DEADLINE + late  # of t; x lives on
    world.settle("x")
    assert world.task("t") == Task("fulfilled", 1)
    assert world.objects["t"].settled_at == DEADLINE
    assert world.objects["x"].callbacks == ()


def test_rule_6_all_refuse_or_ignore_a_task_whose_promise_is_dead(world):
    task_in(world, "acquired")
    world.now = DEADLINE
    before = dict(world.objects)
    ref = world.ref("t")
    statuses = [
        world.call("task.halt", id="t").status,
        world.call("task.continue", id="t").status,
        world.call("task.acquire", **ref, pid="w", ttl=TTL).status,
        world.call("task.fence", **ref, action=settlement("x")).status,
        world.call("task.suspend", **ref, actions=[callback("x", "t")]).status,
        world.call("task.fulfill", **ref, action=settlement("t")).status,
        world.call("task.release", **ref).status,
    ]
    assert statuses == [409] * 7
    assert world.ok("task.heartbeat", pid="w", tasks=[ref]) == {"lost": [ref]}
    assert world.objects == before
    assert not is_ready(before["t"], DEADLINE)


def test_rule_7_guard_and_write_of_a_fence_are_one_request_at_one_instant(world):
    task_in(world, "acquired")
    inner = action("promise.create", **promise_data("c"))
    world.ok("task.fence", **world.ref("t"), action=inner)
    assert world.objects["c"].created_at == world.now
    world.now = DEADLINE  # the holder's promise is dead: what it would still write is refused
    assert world.call("task.fence", **world.ref("t"), action=settlement("c")).status == 409
    assert world.objects["c"].state == "pending"


@pytest.mark.parametrize("timeout", [0, NOW])
def test_rule_8_a_promise_past_its_deadline_is_born_settled(world, timeout):
    promise = world.create("t", ANY, timeout=timeout)
    assert (promise["createdAt"], promise["settledAt"]) == (timeout, timeout)
    assert world.task("t") == Task("fulfilled", 0)


def test_rule_9_a_delay_postpones_only_the_first_dispatch(world):
    world.create("t", ANY, delay="5000")
    assert not is_ready(world.objects["t"], 4_999)
    assert is_ready(world.objects["t"], 5_000)
    world.acquire("t")
    world.ok("task.release", **world.ref("t"))
    assert world.task("t").retry_at == NOW
    assert is_ready(world.objects["t"], NOW)


def test_rule_9_a_timer_resolves_at_its_deadline_and_is_never_dispatched(world):
    world.create("t", ANY, timer="true")
    assert not any(is_ready(world.objects["t"], now) for now in (NOW, DEADLINE - 1, DEADLINE))
    world.now = DEADLINE
    world.advance("t")
    assert (world.objects["t"].state, world.objects["t"].settled_at) == ("resolved", DEADLINE)
    assert world.task("t") == Task("fulfilled", 0)


def test_rule_9_the_released_task_of_a_timer_is_not_dispatched(world):
    world.ok("task.create", **lease("t", timer="true"))
    world.ok("task.release", **world.ref("t"))
    assert not is_ready(world.objects["t"], world.now)


def test_rule_10_a_settled_promise_takes_no_callback_and_no_listener(world):
    world.create("a")
    world.create("w", ANY)
    world.settle("a")
    world.ok("promise.register_callback", awaited="a", awaiter="w")
    world.ok("promise.register_listener", awaited="a", address=CALLER)
    assert (world.objects["a"].callbacks, world.objects["a"].listeners) == ((), ())


@pytest.mark.parametrize("end", ["fulfil", "halt", "await another"])
def test_rule_11_callbacks_of_a_pending_promise_stay(world, end):
    task_in(world, "suspended")
    world.create("y")
    world.ok("promise.register_callback", awaited="y", awaiter="t")
    if end == "fulfil":
        world.settle("t")
    elif end == "halt":
        world.ok("task.halt", id="t")
    else:
        world.create("z")
        world.settle("y")
        world.acquire("t")
        assert world.suspend("t", "z").status == 200
    assert world.objects["x"].callbacks == ("t",)


def test_rule_11_a_leftover_callback_wakes_early_and_does_no_harm(world):
    task_in(world, "suspended")
    world.create("y")
    world.ok("promise.register_callback", awaited="y", awaiter="t")
    world.settle("y")
    world.acquire("t")
    world.create("z")
    assert world.suspend("t", "z").status == 200
    world.settle("x")  # nobody awaits it any more
    assert world.task("t") == Task("pending", 2, retry_at=NOW, resumes=("x",))
    world.acquire("t")
    assert world.suspend("t", "z") == (200, {})
    assert world.task("t") == Task("suspended", 3)


def test_rule_11_a_leftover_callback_of_a_fulfilled_awaiter_is_no_error(world):
    task_in(world, "suspended")
    world.settle("t")
    before = world.objects["t"]
    world.settle("x")
    assert world.objects["t"] is before
    assert world.objects["x"].callbacks == ()


def test_rule_12_settling_and_creating_are_idempotent_and_acquiring_is_exclusive(world):
    created = world.create("t", ANY)
    assert world.create("t", ANY) == created
    assert world.acquire("t") == 1
    again = {"id": "t", "version": 0, "pid": "w", "ttl": TTL}
    assert world.call("task.acquire", **again) == (409, "Task is not pending")
    settled = world.settle("t")
    assert world.settle("t") == settled


def test_rule_15_settling_the_promise_of_an_acquired_task_shuts_its_worker_out(world):
    task_in(world, "acquired")
    world.create("x")
    ref = world.ref("t")
    world.settle("t")
    assert world.call("task.fence", **ref, action=settlement("x")).status == 409
    assert world.call("task.suspend", **ref, actions=[callback("x", "t")]).status == 409
    assert world.call("task.fulfill", **ref, action=settlement("t")).status == 409
    assert world.call("task.release", **ref).status == 409


@pytest.mark.parametrize("kind", ["promise.settle", "task.fulfill"])
def test_rule_16_a_client_can_not_time_a_promise_out_nor_say_when_it_settled(world, kind):
    task_in(world, "acquired")
    data = {"id": "t", "state": "rejected_timedout", "settledAt": 7}
    if kind == "task.fulfill":
        data = {**world.ref("t"), "action": {"data": data}}
    assert isinstance(parse(kind, data), Refusal)
    (data if kind == "promise.settle" else data["action"]["data"])["state"] = "resolved"
    assert world.ok(kind, **data)["promise"]["settledAt"] == NOW


def test_rule_17_nothing_is_ever_deleted(world):
    task_in(world, "suspended")
    world.settle("t")
    world.settle("x")
    world.now = DEADLINE * 3
    world.advance()
    assert set(world.objects) == {"t", "x"}
