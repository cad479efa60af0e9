"""The checklist of section 9.1: C1 to C12, strict and lenient."""

from __future__ import annotations

import pytest

from resonate.core import machine
from resonate.core.objects import Task, due, is_external, is_ready, project
from resonate.core.properties.messages import Execute, executes
from resonate.protocol import requests as rq
from resonate.protocol.envelope import Refusal, Rules, read
from tests.core.world import (
    ANY,
    CALLER,
    DEADLINE,
    NOW,
    TTL,
    World,
    envelope,
    lease,
    parse,
    schedule_data,
    settlement,
    task_in,
)

LIVE = ("pending", "acquired", "suspended", "halted")
EXTERNAL = [{"external": "true"}, {"timer": "true"}]


@pytest.fixture(params=[False, True], ids=["lenient", "strict"])
def world(request):
    return World(strict=request.param)


@pytest.fixture
def lenient():
    return World()


@pytest.fixture
def strict():
    return World(strict=True)


# --- C1: which promises have a durable timer ------------------------------------------------------

ALL = [
    (None, {}),
    (None, {"external": "true"}),
    (None, {"timer": "true"}),
    (ANY, {}),
]


@pytest.mark.parametrize(("target", "tags"), [*ALL, (ANY, {"timer": "true"})])
def test_c1_in_lenient_mode_every_pending_promise_has_a_timer(lenient, target, tags):
    lenient.create("x", target, **tags)
    assert due(lenient.objects["x"], now=NOW) == DEADLINE
    lenient.now = DEADLINE
    lenient.advance("x")
    assert lenient.objects["x"].settled_at == DEADLINE


@pytest.mark.parametrize(("target", "tags"), ALL)
def test_c1_in_strict_mode_exactly_external_promises_have_one(strict, target, tags):
    strict.create("x", target, **tags)
    strict.now = DEADLINE
    strict.advance("x")
    assert (strict.objects["x"].settled_at == DEADLINE) == is_external(strict.objects["x"])
    assert is_external(strict.objects["x"]) == ((target, tags) != (None, {}))


@pytest.mark.parametrize("tags", EXTERNAL)
def test_c1_a_suspended_task_wakes_at_the_deadline_of_what_it_awaits(world, tags):
    world.create("x", **tags)
    world.ok("task.create", **lease("t", timeout=DEADLINE * 2))
    world.suspend("t", "x")
    world.now = due(world.objects["x"], now=NOW)
    world.advance("x")
    assert world.task("t") == Task("pending", 1, retry_at=DEADLINE, resumes=("x",))


def test_c1_in_lenient_mode_also_at_that_of_an_internal_promise(lenient):
    lenient.create("x")
    lenient.ok("task.create", **lease("t", timeout=DEADLINE * 2))
    lenient.suspend("t", "x")
    lenient.now = DEADLINE
    lenient.advance("x")
    assert lenient.task("t").state == "pending"


# --- C2 and C3: callbacks and listeners on internal promises --------------------------------------


def test_c2_in_lenient_mode_a_callback_on_an_internal_promise_is_accepted_and_discharged(lenient):
    lenient.create("x")
    lenient.create("t", ANY)
    lenient.ok("promise.register_callback", awaited="x", awaiter="t")
    assert lenient.objects["x"].callbacks == ("t",)
    lenient.settle("x")
    assert lenient.objects["x"].callbacks == ()
    assert lenient.task("t").resumes == ("x",)


def test_c2_in_strict_mode_it_is_refused(strict):
    strict.create("x")
    strict.create("t", ANY)
    answer = strict.call("promise.register_callback", awaited="x", awaiter="t")
    assert answer == (422, "Awaited promise is not external")
    assert strict.objects["x"].callbacks == ()


@pytest.mark.parametrize("tags", EXTERNAL)
def test_c2_on_an_external_promise_it_is_accepted_and_discharged(world, tags):
    world.create("x", **tags)
    world.create("t", ANY)
    world.ok("promise.register_callback", awaited="x", awaiter="t")
    world.settle("x")
    assert (world.objects["x"].callbacks, world.task("t").resumes) == ((), ("x",))


def test_c3_in_lenient_mode_a_listener_on_an_internal_promise_is_accepted(lenient):
    lenient.create("x")
    lenient.ok("promise.register_listener", awaited="x", address=CALLER)
    assert lenient.objects["x"].listeners == (CALLER,)
    lenient.settle("x")
    assert lenient.objects["x"].listeners == (CALLER,), "which is its unblock now"


def test_c3_in_strict_mode_it_is_refused(strict):
    strict.create("x")
    answer = strict.call("promise.register_listener", awaited="x", address=CALLER)
    assert answer == (422, "Awaited promise is not external")
    assert strict.objects["x"].listeners == ()


# --- C4 to C7: what looks at the projection -------------------------------------------------------


def test_c4_create_halt_and_continue_look_at_the_projection(world):
    for state in LIVE:
        task_in(world, state, f"t-{state}", f"x-{state}")
    world.now = DEADLINE
    for state in LIVE:
        data = world.ok("task.create", **lease(f"t-{state}"))
        assert data["task"]["state"] == "fulfilled"
        assert data["promise"]["state"] == "rejected_timedout"
        assert world.call("task.halt", id=f"t-{state}") == (409, "Task is fulfilled")
        assert world.call("task.continue", id=f"t-{state}") == (409, "Task is not halted")
        assert world.objects[f"t-{state}"].state == "pending", "no internal step has run"


def test_c5_with_lease_and_deadline_due_at_one_instant_nothing_is_dispatched(world):
    world.ok("task.create", **lease("t", ttl=DEADLINE - NOW))
    world.now = DEADLINE
    world.advance("t")
    assert world.task("t") == Task("fulfilled", 1)
    assert executes(world.promises(), DEADLINE) == []


def test_c5_dispatch_looks_at_the_projection(world):
    world.create("t", ANY)
    assert is_ready(world.objects["t"], DEADLINE - 1)
    assert not is_ready(world.objects["t"], DEADLINE)


def test_c6_an_awaiter_whose_deadline_nobody_has_written_is_not_woken(world):
    task_in(world, "suspended")
    world.now = DEADLINE
    world.settle("x")
    assert world.task("t").state == "fulfilled"
    assert world.objects["t"].state == "rejected_timedout"
    assert executes(world.promises(), DEADLINE) == []


def test_c6_the_awaiters_of_that_awaiter_are_told_of_its_deadline(world):
    task_in(world, "suspended", "t", "x")
    world.ok("task.create", **lease("top", timeout=DEADLINE * 2))
    world.suspend("top", "t")
    world.now = DEADLINE
    state = world.load("x", "t")  # a store may give more than was asked for
    machine.handle(parse("promise.settle", {"id": "x", "state": "resolved"}), state)
    world.keep(state)
    assert world.task("top") == Task("pending", 1, retry_at=DEADLINE, resumes=("t",))


def test_c7_a_heartbeat_at_the_deadline_does_not_move_the_lease(world):
    world.ok("task.create", **lease("t", ttl=DEADLINE))
    world.now = DEADLINE
    world.ok("task.heartbeat", pid="w", tasks=[world.ref("t")])
    assert world.task("t").expires_at == NOW + DEADLINE


# --- C8: all answers are projected ----------------------------------------------------------------


@pytest.mark.parametrize("now", [DEADLINE - 1, DEADLINE, DEADLINE + 1])
@pytest.mark.parametrize("timer", ["true", "false"])
def test_c8_all_answers_of_one_instant_agree(lenient, now, timer):
    world = lenient
    world.create("p", ANY, timer=timer, branch="b")
    world.create("w", ANY, timeout=DEADLINE * 2, branch="b")
    world.create("h", ANY, timeout=DEADLINE * 2)
    world.acquire("h", ttl=DEADLINE * 2)
    world.now = now
    fence = {"kind": "promise.create", "data": {"id": "p", "timeoutAt": 1}}
    tags = {"resonate:timer": timer}
    told = [
        world.ok("promise.get", id="p")["promise"],
        world.ok("promise.create", id="p", timeoutAt=1)["promise"],
        world.ok("promise.register_listener", awaited="p", address=CALLER)["promise"],
        world.ok("promise.register_callback", awaited="p", awaiter="w")["promise"],
        world.ok("task.fence", **world.ref("h"), action=fence)["action"]["data"]["promise"],
        *world.ok("task.acquire", **world.ref("w"), pid="w", ttl=1)["preload"],
        *world.ok("promise.search", tags=tags)["promises"],
        world.ok("task.create", **lease("p"))["promise"],
    ]
    assert len(told) == 8
    assert all(each == told[0] for each in told)
    assert (told[0]["state"] == "pending") == (now < DEADLINE)
    task = world.ok("task.get", id="p")["task"]
    assert (task["state"] == "fulfilled") == (now >= DEADLINE)
    assert task in world.ok("task.search")["tasks"]
    assert world.ok("promise.search", tags=tags, state="pending")["promises"] == (
        told[:1] if now < DEADLINE else []
    )


def test_c8_pending_never_follows_settled(world):
    world.create("p", external="true")
    states = []
    for now in (NOW, DEADLINE - 1, DEADLINE, DEADLINE + 5):
        world.now = now
        states.append(world.ok("promise.get", id="p")["promise"]["state"])
        if now == DEADLINE:
            world.advance("p")
    assert states == ["pending", "pending", "rejected_timedout", "rejected_timedout"]


# --- C9 and C10: versions -------------------------------------------------------------------------


def test_c9_a_version_is_dispatched_only_if_it_was_issued(world):
    world.create("t", ANY)
    issued, waiting = {0}, []
    for lost in ("release", "expiry", "resume", "halt"):
        waiting += executes(world.promises(), world.now)
        issued.add(world.acquire("t", ttl=TTL))
        assert executes(world.promises(), world.now) == [], "who is held is not dispatched"
        if lost == "release":
            world.ok("task.release", **world.ref("t"))
        elif lost == "expiry":
            world.now += TTL
            world.advance("t")
        elif lost == "resume":
            world.create("x", external="true")
            world.suspend("t", "x")
            world.settle("x")
        else:
            world.ok("task.halt", id="t")
            world.ok("task.continue", id="t")
    waiting += executes(world.promises(), world.now)
    assert waiting == [Execute("t", version, ANY) for version in range(5)]
    assert {each.version for each in waiting} <= issued


def test_c9_the_task_of_a_schedule_is_dispatched_at_version_0(world):
    tags = {"resonate:target": ANY}
    world.ok("schedule.create", **schedule_data(promiseTags=tags, template="x"))
    world.now = NOW + 1_000
    world.fire()
    assert executes(world.promises(), world.now) == [Execute("x", 0, ANY)]


def test_c10_of_two_that_acquire_one_version_one_does(world):
    world.create("t", ANY)
    for version in range(3):
        data = {"id": "t", "version": version, "ttl": TTL}
        assert world.call("task.acquire", **data, pid="a").status == 200
        assert world.call("task.acquire", **data, pid="b").status == 409
        assert world.call("task.create", **lease("t", pid="b")).status == 409
        assert world.task("t").pid == "a"
        world.ok("task.release", **world.ref("t"))


# --- C11: what is settled takes nothing more ------------------------------------------------------


@pytest.mark.parametrize("how", ["settled", "dead"])
def test_c11_register_after_settle(world, how):
    world.create("p", external="true")
    world.create("w", ANY, timeout=DEADLINE * 2)
    if how == "settled":
        world.settle("p")
    world.now = DEADLINE
    before = dict(world.objects)
    for kind, data in (
        ("promise.register_callback", {"awaited": "p", "awaiter": "w"}),
        ("promise.register_listener", {"awaited": "p", "address": CALLER}),
    ):
        promise = world.ok(kind, **data)["promise"]
        assert promise["state"] == ("resolved" if how == "settled" else "rejected_timedout")
    assert world.objects == before


def test_c11_suspending_on_what_is_settled_registers_nothing(world):
    task_in(world, "acquired")
    world.create("x", external="true")
    world.create("y", external="true")
    world.settle("x")
    assert world.suspend("t", "y", "x").status == 300
    assert (world.objects["x"].callbacks, world.objects["y"].callbacks) == ((), ())


# --- C12: debug operations are protected ----------------------------------------------------------

DEBUG = {
    "debug.start": {},
    "debug.stop": {},
    "debug.reset": {},
    "debug.snap": {},
    "debug.tick": {"time": 5},
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", DEBUG)
def test_c12_debug_operations_are_forbidden_unless_the_server_allows_them(kind, strict, debug):
    found = read(envelope(kind, DEBUG[kind]), Rules(strict=strict, debug=debug))
    if debug:
        assert type(found) is rq.DEBUG_KINDS[kind]
    else:
        assert found == Refusal(403, "Debug operations are disabled", kind, "c1")


def test_c12_none_of_them_is_the_machine_s():
    assert not machine.kinds() & set(rq.DEBUG_KINDS.values())


def test_c12_an_instant_to_debug_does_not_reach_a_server_that_does_not_debug(world):
    world.create("p", external="true")
    body = envelope("promise.get", {"id": "p"}).replace(
        b'"corrId"', b'"resonate:debug_time": 99999, "corrId"'
    )
    request = read(body, world.rules)
    answer = machine.handle(request, world.load(*machine.reads(request)))
    assert answer.data.promise.state == "pending"


def test_projection_is_the_state_that_every_answer_tells(world):
    world.create("p", ANY)
    world.now = DEADLINE
    assert (
        project(world.objects["p"], DEADLINE).state
        == (world.ok("promise.get", id="p")["promise"]["state"])
    )
    assert world.call("task.fulfill", **world.ref("p"), action=settlement("p")).status == 409
