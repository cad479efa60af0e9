"""Properties of a state and of a step: schedules."""

from __future__ import annotations

from resonate.core.objects import Schedule
from resonate.core.properties.checks import (
    Snapshot,
    StepTaken,
    of_schedule,
    of_state,
    of_step,
    strict_only,
)
from resonate.protocol.validation import TARGET, TIMER


@strict_only
@of_schedule
def well_formed_schedule_promise_tags_not_timer_targeted(schedule: Schedule) -> bool:
    """No schedule fires timers that have a task."""
    return not (schedule.promise_tags.get(TIMER) == "true" and TARGET in schedule.promise_tags)


@of_schedule
def well_formed_schedule_created_at_lte_next_run_at(schedule: Schedule) -> bool:
    """No run is due before the schedule was created."""
    return schedule.created_at <= schedule.next_run_at


@of_schedule
def well_formed_schedule_created_at_lte_last_run_at(schedule: Schedule) -> bool:
    """No run happened before the schedule was created."""
    return schedule.last_run_at is None or schedule.created_at <= schedule.last_run_at


@of_schedule
def well_formed_schedule_last_run_at_lt_next_run_at(schedule: Schedule) -> bool:
    """The next run comes after the last one."""
    return schedule.last_run_at is None or schedule.last_run_at < schedule.next_run_at


@of_state
def well_formed_store_schedule_ids_unique(state: Snapshot) -> bool:
    """There is one schedule an id: each is stored under the key of its own."""
    return all(schedule.key == key for key, schedule in state.schedules.items())


def _birth(schedule: Schedule) -> tuple[object, ...]:
    """Return what is fixed when a schedule is created."""
    each = schedule
    given = each.id, each.cron, each.promise_id, each.promise_timeout
    return *given, each.promise_param, each.promise_tags, each.created_at


@of_step
def preserved_schedule_birth_fields_immutable(step: StepTaken) -> bool:
    """Only the instants of the last and the next run ever change."""
    before = step.before.schedules
    return all(
        _birth(before[key]) == _birth(new)
        for key, new in step.after.schedules.items()
        if key in before
    )
