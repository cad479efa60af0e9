"""Steps at NOW that properties of tasks, or of internal steps, refuse, by the property's name."""

from __future__ import annotations

from msgspec.structs import replace

from resonate.protocol.limits import DELAY_MS_MAX
from tests.core.examples import (
    TASKS,
    acquired,
    becomes,
    born,
    born_with,
    fires,
    fulfilled,
    halted,
    move,
    occurrence,
    one,
    pending,
    plain,
    resolved,
    schedule,
    suspended,
    task,
    tasked,
)
from tests.core.world import NOW

TASK_STEPS = {
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
        fires(tasked(acquired, occurrence, occurrence.id)),
        fires(tasked(replace(pending, version=0, retry_at=NOW + 1), occurrence, occurrence.id)),
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
        move(pending, acquired, version=2, ttl=None, expires_at=None),
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
        move(replace(pending, retry_at=None), pending),
    ],
    "monotone_task_retry_rearm_advances": [
        move(pending, pending, retry_at=NOW - 1),
        move(pending, pending, retry_at=None),
        (task(pending, retry_at=NOW - 1), task(pending)),
    ],
    "consistent_task_wake_records_resume": [
        move(suspended, pending),
        move(suspended, pending, resumes=("a",), retry_at=NOW + 1),
        move(suspended, pending, resumes=("a",), version=2),
    ],
}

INTERNAL_STEPS = {
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
        fires(id="other"),
        fires(after=schedule),
    ],
}
