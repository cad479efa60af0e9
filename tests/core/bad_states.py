"""States that properties refuse, by the name of the property."""

from __future__ import annotations

from msgspec.structs import replace

from resonate.core.objects import ScheduleKey
from resonate.protocol.cron import NEVER
from tests.core.examples import (
    TARGET,
    TIMER,
    VALUE,
    acquired,
    fulfilled,
    halted,
    late,
    one,
    pending,
    plain,
    planned,
    resolved,
    schedule,
    state,
    suspended,
    task,
    tasked,
)
from tests.core.world import ANY, DEADLINE, NOW

PROMISE_STATES = {
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
    "well_formed_promise_timer_not_targeted": [one(tags={**TIMER, **TARGET})],
    "well_formed_promise_obligations_require_external": [
        one(callbacks=("t",)),
        one(listeners=(ANY,)),
    ],
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
}

TASK_STATES = {
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

SCHEDULE_STATES = {
    "well_formed_schedule_promise_tags_not_timer_targeted": [
        planned(promise_tags={**TIMER, **TARGET}),
    ],
    "well_formed_schedule_created_at_lte_next_run_at": [planned(created_at=NOW + 1)],
    "well_formed_schedule_created_at_lte_last_run_at": [
        planned(created_at=NOW, last_run_at=NOW - 1, next_run_at=NEVER),
    ],
    "well_formed_schedule_last_run_at_lt_next_run_at": [
        planned(last_run_at=NOW),
        planned(last_run_at=NOW + 1),
    ],
    "well_formed_store_schedule_ids_unique": [
        {schedule.key: schedule, ScheduleKey("z"): schedule},
        {"s": schedule},
    ],
}

ready = tasked(pending)
told = replace(resolved, listeners=(ANY,))
OUTBOX_STATES = {
    "well_formed_store_outbox_keys_unique": [
        {"p": ready, "q": ready},
        one(told, listeners=(ANY, ANY)),
        {"p": told, "q": told},
    ],
    "consistent_outbox_execute_names_existing_task": [{"q": ready}, {"p": plain, "q": ready}],
    "consistent_outbox_never_ahead": [{"p": ready, "q": tasked(replace(pending, version=2))}],
    "consistent_outbox_execute_address_is_target_tag": [
        one(ready, route="poll://any@other"),
        one(ready, route=None),
        one(ready, tags={}),
        one(ready, tags={"resonate:target": "nowhere"}),
        {"q": ready},
    ],
    "consistent_outbox_unblock_names_settled_promise": [
        one(told, settled_at=None),
        one(told, settled_at=NOW + 1),
        {"q": told},
        {"p": replace(told, value=VALUE), "q": told},
    ],
    "consistent_outbox_unblock_address_deliverable": [one(told, listeners=(ANY, "nowhere"))],
}

STATES = {**PROMISE_STATES, **TASK_STATES, **SCHEDULE_STATES, **OUTBOX_STATES}
