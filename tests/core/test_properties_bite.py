"""Every property refuses something: one that holds of everything would prove nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from resonate.core.objects import Promise, Task
from resonate.core.properties import (
    INTERNAL_PROPERTIES,
    STATE_PROPERTIES,
    STEP_PROPERTIES,
    check_state,
    check_step,
)
from resonate.protocol.limits import DELAY_MS_MAX
from resonate.protocol.records import EMPTY, Value
from tests.core.world import ANY, CALLER, DEADLINE, NOW

VALUE = Value(data="x")
TARGET = {"resonate:target": ANY}
TIMER = {"resonate:timer": "true"}

plain = Promise("p", "pending", EMPTY, EMPTY, {}, DEADLINE, NOW)
resolved = replace(plain, state="resolved", settled_at=NOW)
late = replace(plain, state="rejected_timedout", settled_at=DEADLINE)
pending = Task("pending", 1, retry_at=NOW)
acquired = Task("acquired", 1, "w", 5, NOW + 5)
suspended = Task("suspended", 1)
halted = Task("halted", 1)
fulfilled = Task("fulfilled", 1)
TASKS = [pending, acquired, suspended, halted, fulfilled]


def tasked(task, promise=plain, promise_id="p"):
    return replace(promise, id=promise_id, tags=TARGET, route=ANY, task=task)


def state(*promises):
    return {each.id: each for each in promises}


def one(promise=plain, **fields):
    return state(replace(promise, **fields))


def task(base, **fields):
    return state(tasked(replace(base, **fields)))


# Name of the property: states that it refuses.
STATES = {
    "well_formed_promise_created_at_lte_timeout_at": [one(created_at=DEADLINE + 1)],
    "well_formed_promise_pending_created_before_deadline": [one(created_at=DEADLINE)],
    "well_formed_promise_settled_at_lte_timeout_at": [one(resolved, settled_at=DEADLINE + 1)],
    "well_formed_promise_created_at_lte_settled_at": [one(resolved, settled_at=NOW - 1)],
    "well_formed_promise_settled_at_iff_not_pending": [
        one(settled_at=NOW),
        one(resolved, settled_at=None),
    ],
    "well_formed_promise_pending_has_no_value": [one(value=VALUE)],
    "well_formed_promise_deadline_verdict_matches_timer_tag": [
        one(resolved, settled_at=DEADLINE),
        one(late, tags=TIMER),
    ],
    "well_formed_promise_deadline_settlement_has_no_value": [one(late, value=VALUE)],
    "well_formed_promise_timedout_is_server_owned": [one(late, settled_at=NOW)],
    "well_formed_promise_callbacks_unique": [one(callbacks=("a", "a"))],
    "well_formed_promise_listeners_unique": [one(listeners=(ANY, ANY))],
    "well_formed_promise_awaiter_is_not_self": [one(callbacks=("p",))],
    "well_formed_promise_created_at_lte_now": [one(created_at=NOW + 1)],
    "well_formed_promise_settled_at_lte_now": [one(resolved, settled_at=NOW + 1)],
    "well_formed_store_promise_ids_unique": [{"p": plain, "q": plain}],
    "consistent_callback_awaiter_is_targeted": [
        one(callbacks=("nobody",)),
        state(replace(plain, callbacks=("q",)), replace(plain, id="q")),
    ],
    "consistent_listener_addresses_deliverable": [one(listeners=("nowhere",))],
    "well_formed_task_acquired_iff_has_pid": [task(acquired, pid=None), task(pending, pid="w")],
    "well_formed_task_acquired_iff_has_ttl": [task(acquired, ttl=None), task(halted, ttl=5)],
    "well_formed_task_acquired_iff_has_expires_at": [
        task(acquired, expires_at=None),
        task(suspended, expires_at=5),
    ],
    "well_formed_task_pending_iff_has_retry_at": [
        task(pending, retry_at=None),
        task(acquired, retry_at=5),
    ],
    "well_formed_task_fulfilled_is_cleared": [
        task(fulfilled, pid="w"),
        task(fulfilled, resumes=("a",)),
    ],
    "well_formed_task_suspended_is_cleared": [task(suspended, retry_at=5)],
    "well_formed_task_halted_is_cleared": [task(halted, expires_at=5)],
    "well_formed_task_suspended_has_no_resumes": [task(suspended, resumes=("a",))],
    "well_formed_task_resumes_unique": [task(pending, resumes=("a", "a"))],
    "well_formed_task_acquired_version_positive": [task(acquired, version=0)],
    "well_formed_store_task_ids_unique": [{"p": tasked(pending), "q": tasked(pending)}],
    "consistent_task_iff_targeted_promise": [one(tags=TARGET), one(task=pending)],
    "consistent_settled_promise_has_fulfilled_task": [state(tasked(halted, resolved))],
    "consistent_settled_task_promise_settled": [state(tasked(fulfilled))],
    "consistent_suspended_task_holds_rung": [state(tasked(suspended))],
    "well_formed_task_ttl_positive": [task(acquired, ttl=0)],
    "well_formed_promise_target_is_nonempty": [one(tags={"resonate:target": ""})],
    "well_formed_promise_delay_before_deadline": [
        one(tags={"resonate:delay": str(DEADLINE)}),
        one(tags={"resonate:delay": "9" * 5_000}),
    ],
}


def move(old, new, **fields):
    """A step in which the task of p becomes another one."""
    return state(tasked(old)), state(tasked(replace(new, **fields)))


def becomes(old, new=None, **fields):
    """A step in which p becomes another promise."""
    return state(old), one(new or old, **fields)


def born(promise=plain, **fields):
    """A step that creates p."""
    return {}, one(promise, **fields)


def born_with(base, promise=plain, **fields):
    """A step that creates p with a task."""
    return {}, state(tasked(replace(base, **fields), promise))


awaited = replace(plain, callbacks=("t",), listeners=(ANY,))
drained = replace(resolved, callbacks=())
sleeper = tasked(suspended, promise_id="t")
waker = state(replace(resolved, callbacks=("t",)), sleeper)

# Name of the property: steps at NOW that it refuses.
STEPS = {
    "preserved_promise_birth_fields_immutable": [
        becomes(plain, param=VALUE),
        becomes(plain, tags={"a": "b"}),
        becomes(plain, timeout_at=DEADLINE + 1),
        becomes(plain, created_at=NOW - 1),
        becomes(plain, route=ANY),
    ],
    "preserved_settled_promise_record": [
        becomes(resolved, value=VALUE),
        becomes(resolved, param=VALUE),
        becomes(resolved, settled_at=NOW - 1),
    ],
    "monotone_promise_set_grows": [(one(), {})],
    "preserved_promise_state_frozen_once_settled": [becomes(resolved, state="rejected")],
    "preserved_promise_settlement_is_one_way": [becomes(resolved, plain)],
    "consistent_promise_settled_at_moves_with_state": [
        becomes(plain, state="resolved"),
        becomes(plain, settled_at=NOW),
    ],
    "preserved_promise_value_until_settlement": [becomes(plain, value=VALUE)],
    "preserved_promise_no_duplicate_ids": [({}, {"q": plain})],
    "monotone_promise_callbacks_grow_while_pending": [becomes(awaited, callbacks=("u",))],
    "monotone_promise_listeners_grow_while_pending": [becomes(awaited, listeners=())],
    "monotone_promise_callbacks_shrink_once_settled": [becomes(resolved, callbacks=("t",))],
    "monotone_promise_listeners_shrink_once_settled": [becomes(plain, resolved, listeners=(ANY,))],
    "consistent_promise_state_edge_admissible": [becomes(resolved, state="rejected")],
    "consistent_new_promise_born_clean": [
        born(callbacks=("t",)),
        born(listeners=(ANY,)),
        born(value=VALUE),
        born(created_at=NOW - 1),
        born(resolved),
        born(timeout_at=NOW),
        born(late, timeout_at=NOW, settled_at=NOW, created_at=NOW - 1),
        born(late, timeout_at=NOW - 1, settled_at=NOW, created_at=NOW - 1),
        born(late, timeout_at=NOW, settled_at=NOW, created_at=NOW, tags=TIMER),
    ],
    "consistent_promise_settlement_stamp": [
        becomes(plain, resolved, settled_at=NOW - 1),
        becomes(plain, late),
        becomes(replace(plain, timeout_at=NOW), resolved, timeout_at=NOW),
    ],
    "preserved_timedout_is_server_owned": [
        becomes(plain, resolved, state="rejected_timedout"),
        becomes(plain, late),
    ],
    "consistent_settlement_fulfils_task": [
        (state(tasked(halted)), state(tasked(halted, resolved)))
    ],
    "consistent_task_fulfilment_needs_settlement": [
        move(halted, fulfilled),
        (state(tasked(halted, resolved)), state(tasked(fulfilled, resolved))),
    ],
    "consistent_obligation_discharge_requires_settled": [
        becomes(awaited, callbacks=()),
        becomes(awaited, listeners=()),
    ],
    "consistent_callback_consumption_resumes_awaiter": [
        (waker, state(drained, sleeper)),
        (waker, state(drained, tasked(replace(pending, resumes=("q",)), promise_id="t"))),
        (
            state(replace(resolved, callbacks=("q",)), replace(plain, id="q")),
            state(drained, replace(plain, id="q")),
        ),
    ],
    "consistent_wake_follows_callback_consumption": [
        move(suspended, pending),
        (waker, state(waker["p"], tasked(replace(pending, resumes=("p",)), promise_id="t"))),
    ],
    "consistent_suspension_registers_callback": [
        move(acquired, suspended),
        (
            state(tasked(acquired, promise_id="t"), resolved),
            state(sleeper, replace(resolved, callbacks=("t",))),
        ),
        (
            state(tasked(acquired, promise_id="t"), plain),
            state(sleeper, replace(awaited, timeout_at=NOW)),
        ),
    ],
    "consistent_task_birth_couples_promise_birth": [
        (one(), state(tasked(pending))),
        born_with(pending, version=1),
        born_with(acquired, version=0),
    ],
    "preserved_no_dead_dispatch": [
        (task(acquired), state(tasked(pending, replace(plain, timeout_at=NOW)))),
        ({}, state(tasked(pending, replace(plain, timeout_at=NOW)))),
        (one(), state(tasked(pending, late))),
    ],
    "preserved_execute_only_for_live_task": [({}, state(tasked(pending, resolved)))],
    "monotone_task_set_grows": [(task(pending), {}), (task(pending), one())],
    "monotone_task_version_increases_only_on_acquisition": [
        move(pending, acquired),
        move(pending, acquired, version=3),
        move(acquired, pending, version=2),
        move(suspended, pending, version=2),
        move(acquired, acquired, version=2),
    ],
    "preserved_fulfilled_task": [move(fulfilled, halted), move(fulfilled, fulfilled, version=2)],
    "consistent_task_state_edge_admissible": [
        move(pending, suspended),
        move(suspended, acquired),
        move(halted, acquired),
        move(halted, suspended),
        *(move(fulfilled, each) for each in TASKS if each is not fulfilled),
    ],
    "preserved_task_acquisition_only_from_pending": [
        move(halted, acquired),
        move(suspended, acquired),
    ],
    "preserved_task_suspension_only_from_acquired": [
        move(pending, suspended),
        move(halted, suspended),
    ],
    "preserved_task_halted_only_reenters_via_pending": [
        move(halted, acquired),
        move(halted, suspended),
    ],
    "consistent_task_birth_state": [
        born_with(suspended),
        born_with(halted, version=0),
        born_with(acquired, resumes=("a",)),
        born_with(acquired, version=2),
        born_with(acquired, expires_at=NOW + 6),
        born_with(acquired, ttl=None),
        born_with(pending, version=0, retry_at=NOW + 1),
        born_with(pending, version=1),
        born_with(fulfilled),
    ],
    "consistent_task_lease_released_atomically": [
        move(acquired, pending, pid="w"),
        move(acquired, suspended, ttl=5),
        move(acquired, halted, expires_at=NOW + 5),
        move(acquired, pending, version=2),
    ],
    "preserved_task_lease_holder_stable": [
        move(acquired, acquired, pid="v"),
        move(acquired, acquired, ttl=6),
    ],
    "consistent_task_lease_fields_move_together": [
        move(acquired, pending, pid="w"),
        move(pending, acquired, ttl=None),
    ],
    "monotone_task_resumes_grow_or_clear": [
        (task(pending, resumes=("a", "b")), task(pending, resumes=("a",))),
    ],
    "consistent_task_resumes_cleared_only_on_dispatch_or_park": [
        (task(pending, resumes=("a",)), task(pending)),
        (task(halted, resumes=("a",)), task(pending)),
        (task(acquired, resumes=("a",)), task(halted)),
    ],
    "consistent_task_acquisition_is_atomic": [
        move(pending, acquired, version=2, pid=None),
        move(pending, acquired, version=2, ttl=None),
        move(pending, acquired, version=2, expires_at=NOW + 6),
        move(pending, acquired, version=2, retry_at=NOW),
        move(pending, acquired, version=2, resumes=("a",)),
    ],
    "consistent_task_lease_deadline_is_now_plus_ttl": [
        move(acquired, acquired, expires_at=NOW + 6),
        move(pending, acquired, expires_at=NOW),
    ],
    "consistent_task_pending_entry_arms_retry": [
        move(acquired, pending, retry_at=None),
        move(acquired, pending, retry_at=NOW - 1),
        move(acquired, pending, retry_at=NOW + DELAY_MS_MAX + 1),
        move(suspended, pending, retry_at=NOW + 1),
        move(halted, pending, retry_at=NOW + 1),
    ],
    "consistent_task_retry_rearm_only_when_due": [
        (task(pending, retry_at=NOW + 1), task(pending, retry_at=NOW + 2)),
    ],
    "monotone_task_retry_rearm_advances": [move(pending, pending, retry_at=NOW - 1)],
    "consistent_task_wake_records_resume": [
        move(suspended, pending),
        move(suspended, pending, resumes=("a",), retry_at=NOW + 1),
        move(suspended, pending, resumes=("a",), version=2),
    ],
}

INTERNAL = {
    "consistent_task_state_edge_internal_admissible": [
        move(pending, acquired),
        move(pending, halted),
        move(acquired, suspended),
        move(halted, pending),
    ],
    "consistent_promise_state_edge_internal_admissible": [
        becomes(plain, resolved),
        becomes(plain, state="rejected_timedout", settled_at=NOW),
        born(),
    ],
}


def examples(table):
    return [
        pytest.param(name, example, id=f"{name}-{number}")
        for name, found in table.items()
        for number, example in enumerate(found)
    ]


@pytest.mark.parametrize(("name", "example"), examples(STATES))
def test_the_property_refuses_the_state(name, example):
    assert not STATE_PROPERTIES[name](example, NOW)
    with pytest.raises(AssertionError):
        check_state(example, NOW)


@pytest.mark.parametrize(("name", "example"), examples(STEPS))
def test_the_property_refuses_the_step(name, example):
    assert not STEP_PROPERTIES[name](*example, NOW)
    with pytest.raises(AssertionError):
        check_step(*example, NOW)


@pytest.mark.parametrize(("name", "example"), examples(INTERNAL))
def test_the_property_refuses_the_internal_step(name, example):
    assert not INTERNAL_PROPERTIES[name](*example, NOW)
    with pytest.raises(AssertionError):
        check_step(*example, NOW, internal=True)


def test_every_property_has_an_example():
    assert set(STATES) == set(STATE_PROPERTIES)
    assert set(STEPS) == set(STEP_PROPERTIES)
    assert set(INTERNAL) == set(INTERNAL_PROPERTIES)


def test_the_name_of_what_is_violated_is_told():
    with pytest.raises(AssertionError, match=r"^well_formed_promise_pending_has_no_value does not"):
        check_state(one(value=VALUE), NOW)
    with pytest.raises(AssertionError, match=r"^preserved_promise_value_until_settlement does not"):
        check_step(*becomes(plain, value=VALUE), NOW)


def test_what_is_in_order_passes():
    good = state(
        replace(plain, id="a", callbacks=("s",), listeners=(ANY, CALLER)),
        replace(resolved, id="b", value=VALUE),
        replace(plain, id="d", tags={"resonate:delay": "000"}),
        tasked(suspended, promise_id="s"),
        tasked(pending, promise_id="q"),
        tasked(acquired, promise_id="c"),
        tasked(halted, promise_id="h"),
        tasked(fulfilled, resolved, promise_id="f"),
    )
    check_state({}, NOW)
    check_state(good, NOW)
    check_step({}, {}, NOW, internal=True)
    check_step(good, good, NOW, internal=True)
    check_step(*move(replace(pending, retry_at=NOW), pending, retry_at=NOW + 9), NOW)
