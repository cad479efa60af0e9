"""Steps at NOW that properties of promises and schedules refuse, by the name of the property."""

from __future__ import annotations

from msgspec.structs import replace

from resonate.core.objects import Task
from tests.core.examples import (
    TARGET,
    TIMER,
    VALUE,
    acquired,
    awaited,
    becomes,
    born,
    born_with,
    drained,
    fired,
    fires,
    fulfilled,
    halted,
    late,
    move,
    occurrence,
    one,
    pending,
    plain,
    planned,
    resolved,
    schedule,
    sleeper,
    state,
    suspended,
    task,
    tasked,
    waker,
)
from tests.core.world import ANY, CALLER, DEADLINE, NOW

first = Task("pending", 0, retry_at=0)
listened = replace(plain, listeners=(ANY, CALLER))
dying = replace(listened, timeout_at=NOW, created_at=NOW - 1)
dead = replace(late, timeout_at=NOW, created_at=NOW - 1, settled_at=NOW)


def late_birth(after=fired, **fields):
    """Return a step in which a schedule fires an occurrence that is past its own deadline."""
    before = replace(schedule, next_run_at=0)
    promise = replace(tasked(first, occurrence, "s.0"), created_at=0, timeout_at=100, **fields)
    return state(before), state(after, promise)


PROMISE_STEPS = {
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
        fires(created_at=NOW - 1),  # at no occurrence
        fires(value=VALUE),
        fires(after=schedule, created_at=NOW - 500),  # it has not fired
        fires(created_at=NOW + 500),  # not yet
        fires(id="s.0", created_at=0),  # long ago
        ({}, state(fired, replace(occurrence, created_at=NOW - 1))),
        (state(schedule), state(replace(occurrence, created_at=NOW - 1))),
    ],
}

COUPLING = {
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
    "consistent_listener_consumption_enqueues_unblock": [
        becomes(listened, resolved),
        becomes(listened, resolved, listeners=(ANY,)),
        becomes(listened, resolved, listeners=(ANY, CALLER, CALLER)),
        becomes(dying, dead),
        becomes(dying, dead, listeners=(ANY, ANY)),
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
        late_birth(id="other"),
        late_birth(tags={**TARGET, "resonate:schedule": "z"}),
        late_birth(after=schedule),
        (late_birth()[0], late_birth()[0] | one(tasked(pending, dying, "q"))),
    ],
    "preserved_execute_only_for_live_task": [
        ({}, {"q": tasked(pending)}),
        ({}, state(tasked(pending, resolved))),
    ],
}

SCHEDULE_STEPS = {
    "preserved_schedule_birth_fields_immutable": [
        (planned(), planned(cron="@daily")),
        (planned(), planned(promise_id="x")),
        (planned(), planned(promise_timeout=5)),
        (planned(), planned(promise_param=VALUE)),
        (planned(), planned(promise_tags=TIMER)),
        (planned(), planned(created_at=1)),
        (planned(), {schedule.key: replace(schedule, id="z")}),
    ],
}

ready = tasked(pending)
told = replace(resolved, listeners=(ANY, CALLER))
OUTBOX_STEPS = {
    "monotone_outbox_keys_never_disappear": [
        (state(ready), {}),
        (state(ready), one(plain)),
        move(pending, pending, retry_at=NOW + 1),
        (state(told), {}),
        (one(told, listeners=(ANY,)), {}),
        (state(told), one(told, listeners=())),
        (state(told), one(told, listeners=(ANY,), value=VALUE)),
        (state(told), one(plain)),
    ],
    "consistent_new_execute_matches_task_and_target": [
        move(acquired, pending, version=2),
        move(pending, pending, version=2),
        born_with(pending),
        (task(acquired), one(ready, route="poll://any@other")),
        (task(acquired), one(ready, tags={"resonate:target": "http://h"})),
    ],
    "consistent_new_unblock_carries_stored_record": [
        becomes(awaited, told, settled_at=None),
        becomes(awaited, told, settled_at=NOW + 1),
        (state(awaited), {"q": told}),
        (state(awaited), {"p": replace(told, value=VALUE), "q": told}),
    ],
    "consistent_new_unblock_discharges_its_listener": [
        becomes(resolved, told),
        born(told),
        becomes(awaited, told),
        (state(replace(told, listeners=(ANY,))), state(told)),
    ],
}

STEPS = {**PROMISE_STEPS, **COUPLING, **SCHEDULE_STEPS, **OUTBOX_STEPS}
