"""The handlers of promises, line by line (H1 to H5)."""

from __future__ import annotations

import pytest

from resonate.core import steps
from resonate.core.objects import Task
from tests.core.world import (
    ANY,
    CALLER,
    DEADLINE,
    NOW,
    World,
    lease,
    promise_data,
    task_in,
)

SETTLED = ("resolved", "rejected", "rejected_canceled")


@pytest.fixture
def world():
    return World()


# --- H1 promise.get -------------------------------------------------------------------------------


def test_h1_1_get_of_an_unknown_promise_is_404(world):
    assert world.call("promise.get", id="p") == (404, "Promise not found")


def test_h1_2_get_tells_the_whole_record(world):
    param = {"headers": {"h": "1"}, "data": "cA=="}
    world.create("p", ANY, param=param, branch="b")
    assert world.call("promise.get", id="p") == (
        200,
        {
            "promise": {
                "id": "p",
                "state": "pending",
                "param": param,
                "value": {},
                "tags": {"resonate:target": ANY, "resonate:branch": "b"},
                "timeoutAt": DEADLINE,
                "createdAt": NOW,
            }
        },
    )


def test_h1_2_get_of_a_settled_promise_tells_when_and_what(world):
    world.create("p")
    world.now += 5
    world.settle("p", "rejected", "dg==")
    world.now += 5
    promise = world.ok("promise.get", id="p")["promise"]
    assert promise["state"] == "rejected"
    assert promise["value"] == {"data": "dg=="}
    assert promise["settledAt"] == NOW + 5


# --- H2 promise.create ----------------------------------------------------------------------------


def test_h2_2_an_existing_promise_is_told_as_it_is_and_nothing_is_compared(world):
    first = world.create("p", param={"data": "MQ=="})
    before = dict(world.objects)
    world.now += 1
    again = world.create("p", ANY, param={"data": "Mg=="}, timeout=DEADLINE * 2)
    assert again == first
    assert world.objects == before


def test_h2_2_an_existing_settled_promise_is_told_settled(world):
    world.create("p")
    settled = world.settle("p")
    assert world.create("p") == settled


def test_h2_3_a_promise_without_target_has_no_task(world):
    promise = world.create("p")
    assert promise["state"] == "pending"
    assert promise["createdAt"] == NOW
    assert "settledAt" not in promise
    assert world.objects["p"].task is None
    assert world.objects["p"].route is None


def test_h2_3_a_target_gives_a_pending_task_that_is_due_at_once(world):
    world.create("p", ANY)
    assert world.task("p") == Task("pending", 0, retry_at=NOW)


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("poll://any@a b", "poll://any@a%20b"),
        ("poll://any@a%20b/one", "poll://any@a%20b"),
        ("POLL://uni@g/x%2Fy", "poll://uni@g/x%2Fy"),
        ("http://h/x", "http://h/x"),
    ],
)
def test_h2_3_the_route_is_the_queue_that_the_target_names(world, target, route):
    world.create("p", target)
    assert world.objects["p"].route == route


def test_h2_3_what_is_left_out_is_empty(world):
    promise = world.ok("promise.create", id="p", timeoutAt=DEADLINE)["promise"]
    assert (promise["param"], promise["value"], promise["tags"]) == ({}, {}, {})


@pytest.mark.parametrize(
    ("delay", "retry_at"), [("0", NOW), ("999", NOW), ("1001", 1001), ("0009999", 9_999)]
)
def test_h2_3_a_delay_postpones_the_first_dispatch(world, delay, retry_at):
    world.create("p", ANY, delay=delay)
    assert world.task("p").retry_at == retry_at


def test_h2_3_a_delay_may_have_any_number_of_zeros_in_front(world):
    world.create("p", ANY, delay="0" * 5_000 + "1500")  # int() itself refuses so many digits
    assert world.task("p").retry_at == 1_500


def test_h2_3_a_delay_without_a_target_has_no_effect(world):
    world.create("p", delay="5000")
    assert world.objects["p"].task is None


def test_h2_3_the_task_of_a_timer_is_armed_for_the_deadline_only(world):
    world.create("p", ANY, timer="true", delay="5000")
    assert world.task("p") == Task("pending", 0, retry_at=DEADLINE)


@pytest.mark.parametrize("timeout", [0, NOW - 1, NOW])
@pytest.mark.parametrize(
    ("tags", "state"),
    [
        ({}, "rejected_timedout"),
        ({"timer": "false"}, "rejected_timedout"),
        ({"timer": "true"}, "resolved"),
    ],
)
def test_h2_3_with_its_deadline_past_a_promise_is_born_settled(world, timeout, tags, state):
    promise = world.create("p", timeout=timeout, **tags)
    assert promise["state"] == state
    assert (promise["createdAt"], promise["settledAt"]) == (timeout, timeout)
    assert promise["value"] == {}
    assert world.objects["p"].task is None


def test_h2_3_the_task_of_a_promise_born_settled_is_fulfilled(world):
    world.create("p", ANY, timeout=NOW, delay="5")
    assert world.task("p") == Task("fulfilled", 0)


# --- H3 promise.settle ----------------------------------------------------------------------------


def test_h3_1_settle_of_an_unknown_promise_is_404(world):
    assert world.call("promise.settle", id="p", state="resolved") == (404, "Promise not found")


@pytest.mark.parametrize("late", SETTLED)
@pytest.mark.parametrize("first", SETTLED)
def test_h3_2_the_first_settlement_wins(world, first, late):
    world.create("p")
    settled = world.settle("p", first, "MQ==")
    world.now += 1
    assert world.settle("p", late, "Mg==") == settled


@pytest.mark.parametrize("now", [DEADLINE, DEADLINE + 1])
@pytest.mark.parametrize(("timer", "state"), [("true", "resolved"), ("", "rejected_timedout")])
def test_h3_2_from_the_deadline_on_the_value_is_discarded(world, now, timer, state):
    world.create("p", timer=timer)
    world.now = now
    promise = world.settle("p", "rejected", "MQ==")
    assert (promise["state"], promise["settledAt"]) == (state, DEADLINE)
    assert promise["value"] == {}


@pytest.mark.parametrize("state", SETTLED)
def test_h3_3_settling_writes_state_value_and_instant(world, state):
    world.create("p")
    world.now = DEADLINE - 1
    value = {"headers": {"a": "b"}, "data": "x"}
    promise = world.ok("promise.settle", id="p", state=state, value=value)["promise"]
    assert (promise["state"], promise["value"]) == (state, value)
    assert promise["settledAt"] == DEADLINE - 1


def test_h3_3_settling_without_a_value_leaves_it_empty(world):
    world.create("p")
    assert world.ok("promise.settle", id="p", state="resolved")["promise"]["value"] == {}


@pytest.mark.parametrize("state", ["pending", "acquired", "suspended", "halted"])
def test_h3_3_settling_fulfils_the_task_in_the_same_step(world, state):
    task_in(world, state)
    version = world.task("t").version
    world.settle("t")
    assert world.task("t") == Task("fulfilled", version)


def test_h3_3_a_timer_may_be_settled_before_its_deadline(world):
    world.create("p", timer="true")
    assert world.settle("p", "rejected_canceled")["state"] == "rejected_canceled"


# --- H4 promise.register_callback -----------------------------------------------------------------


def register(world, awaited="a", awaiter="w"):
    return world.call("promise.register_callback", awaited=awaited, awaiter=awaiter)


def test_h4_1_an_unknown_awaited_is_404(world):
    assert register(world) == (404, "Awaited promise not found")
    world.create("w", ANY)
    assert register(world) == (404, "Awaited promise not found")


def test_h4_2_an_unknown_awaiter_is_422(world):
    world.create("a")
    assert register(world) == (422, "Awaiter promise not found")


def test_h4_3_an_awaiter_without_target_is_422(world):
    world.create("a")
    world.create("w")
    assert register(world) == (422, "Awaiter promise has no resonate:target tag")


def test_h4_3_the_awaiter_is_looked_at_even_if_the_awaited_is_settled(world):
    world.create("a")
    world.settle("a")
    assert register(world).status == 422


def test_h4_5_both_pending_adds_the_awaiter_once(world):
    world.create("a")
    world.create("w", ANY)
    for _ in range(2):
        status, data = register(world)
        assert (status, data["promise"]["state"]) == (200, "pending")
    assert world.objects["a"].callbacks == ("w",)


def test_h4_5_the_second_registration_writes_nothing(world):
    world.create("a")
    world.create("w", ANY)
    register(world)
    before = world.objects["a"]
    register(world)
    assert world.objects["a"] is before


def test_h4_5_awaiters_keep_their_order(world):
    world.create("a")
    for awaiter in ("c", "b", "d"):
        world.create(awaiter, ANY)
        register(world, awaiter=awaiter)
    assert world.objects["a"].callbacks == ("c", "b", "d")


@pytest.mark.parametrize("how", ["settled", "dead"])
def test_h4_5_a_settled_awaited_changes_nothing_and_wakes_nobody(world, how):
    task_in(world, "suspended", "w")
    world.create("a", timeout=DEADLINE if how == "settled" else NOW + 1)
    if how == "settled":
        world.settle("a")
    world.now += 1
    before = dict(world.objects)
    status, data = register(world)
    assert status == 200
    assert data["promise"]["state"] == ("resolved" if how == "settled" else "rejected_timedout")
    assert world.objects == before


@pytest.mark.parametrize("how", ["settled", "dead"])
def test_h4_5_a_settled_awaiter_is_not_added(world, how):
    world.create("a")
    world.create("w", ANY, timeout=DEADLINE if how == "settled" else NOW + 1)
    if how == "settled":
        world.settle("w")
    world.now += 1
    assert register(world).status == 200
    assert world.objects["a"].callbacks == ()


# --- H5 promise.register_listener -----------------------------------------------------------------


def listen(world, address=CALLER):
    return world.call("promise.register_listener", awaited="a", address=address)


def test_h5_1_an_unknown_promise_is_404(world):
    assert listen(world) == (404, "Awaited promise not found")


def test_h5_3_a_listener_is_added_once(world):
    world.create("a")
    for _ in range(2):
        status, data = listen(world)
        assert (status, data["promise"]["state"]) == (200, "pending")
    listen(world, "http://h")
    assert world.objects["a"].listeners == (CALLER, "http://h")


def test_h5_4_on_a_settled_promise_nothing_is_added(world):
    world.create("a")
    settled = world.settle("a")
    before = dict(world.objects)
    assert listen(world) == (200, {"promise": settled})
    assert world.objects == before


def test_h5_4_a_queued_unblock_is_superseded_by_the_answer(world):
    world.create("a")
    listen(world)
    listen(world, "http://h")
    settled = world.settle("a")
    assert listen(world) == (200, {"promise": settled})
    assert world.objects["a"].listeners == ("http://h",)


def test_h5_4_an_unblock_of_a_deadline_that_nobody_wrote_is_superseded_too(world):
    world.create("a")
    listen(world)
    world.now = DEADLINE
    promise = listen(world).data["promise"]
    assert (promise["state"], promise["settledAt"]) == ("rejected_timedout", DEADLINE)
    assert world.objects["a"].state == "rejected_timedout"
    assert world.objects["a"].listeners == ()


def test_h5_4_superseding_wakes_the_awaiters_of_a_deadline_that_it_writes(world):
    world.create("a")
    listen(world)
    world.ok("task.create", **lease("t", timeout=DEADLINE * 2))
    world.suspend("t", "a")
    world.now = DEADLINE
    listen(world)
    assert world.task("t") == Task("pending", 1, retry_at=DEADLINE, resumes=("a",))


# --- I2, on delivery ------------------------------------------------------------------------------


def test_i2_a_delivered_unblock_takes_its_listener_off(world):
    world.create("a")
    listen(world)
    listen(world, "http://h")
    world.settle("a")
    world.step(steps.discharge, "a", CALLER)
    assert world.objects["a"].listeners == ("http://h",)


def test_i2_writes_the_settlement_if_nobody_has(world):
    world.create("a")
    listen(world)
    world.now = DEADLINE
    world.step(steps.discharge, "a", CALLER)
    assert world.objects["a"].state == "rejected_timedout"
    assert world.objects["a"].listeners == ()


@pytest.mark.parametrize("address", [CALLER, "http://other"])
def test_i2_does_nothing_too_early_or_for_a_stranger(world, address):
    world.step(steps.discharge, "a", address)
    world.create("a")
    listen(world)
    if address != CALLER:
        world.settle("a")
    before = world.objects["a"]
    world.step(steps.discharge, "a", address)
    assert world.objects["a"] is before


def test_an_id_may_be_any_text(world):
    for promise_id in ("p:notify:http://h", "a/b?c#d", "é", "\U0001f600", "\x7f\x01", " ", "'\"\\"):
        assert world.ok("promise.create", **promise_data(promise_id))["promise"]["id"] == promise_id
        assert world.ok("promise.get", id=promise_id)["promise"]["id"] == promise_id
