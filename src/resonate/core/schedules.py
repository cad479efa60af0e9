"""Handlers of the schedule requests (H18 to H20), and the firing step (I6).

Rules: every occurrence fires once, in order, each at its own instant, also those that the server
slept through; an occurrence whose promise exists has no effect.
"""

from __future__ import annotations

from msgspec.structs import replace

from resonate.core.objects import Schedule, ScheduleKey, saturate, schedule_record
from resonate.core.promises import TIMER_WITH_TARGET, born, is_timer_with_target
from resonate.core.state import State
from resonate.protocol.answers import NOTHING, Answer, ScheduleAnswer
from resonate.protocol.cron import NEVER, Cron, next_cron, parse_cron
from resonate.protocol.records import EMPTY
from resonate.protocol.requests import IdData, PromiseCreateData, ScheduleCreateData
from resonate.protocol.templates import expand
from resonate.protocol.validation import (
    BRANCH,
    CRON_INVALID,
    ORIGIN,
    PARENT,
    PREFIX,
    SCHEDULE,
)

NOT_FOUND = Answer(404, "Schedule not found")
DONE = Answer(200, NOTHING)


def tell(schedule: Schedule) -> Answer:
    """Answer 200 with the schedule."""
    return Answer(200, ScheduleAnswer(schedule_record(schedule)))


def get(state: State, data: IdData) -> Answer:
    """H18 schedule.get."""
    schedule = state.schedule(data.id)
    return NOT_FOUND if schedule is None else tell(schedule)


def create(state: State, data: ScheduleCreateData) -> Answer:
    """H19 schedule.create: an existing schedule is told as it is; nothing of it is compared."""
    next_run_at = next_cron(_cron(data.cron), state.now)
    if next_run_at is None:
        return Answer(400, CRON_INVALID)  # nothing of it lies ahead
    tags = data.promise_tags or {}
    if state.strict and is_timer_with_target(tags):
        return TIMER_WITH_TARGET
    schedule = state.schedule(data.id)
    if schedule is None:
        schedule = Schedule(
            data.id,
            data.cron,
            data.promise_id,
            data.promise_timeout,
            data.promise_param or EMPTY,
            tags,
            state.now,
            next_run_at,
        )
        state.put_schedule(schedule)
    return tell(schedule)


def delete(state: State, data: IdData) -> Answer:
    """H20 schedule.delete: promises that it fired stay."""
    if state.schedule(data.id) is None:
        return NOT_FOUND
    state.delete(ScheduleKey(data.id))
    return DONE


def occurrences(schedule: Schedule, now: int, limit: int) -> list[tuple[int, str]]:
    """Return the instants at which it has to fire by ``now``, and the ids of their promises."""
    found: list[tuple[int, str]] = []
    cron, at = _cron(schedule.cron), schedule.next_run_at
    while at <= now and at < NEVER and len(found) < limit:
        found.append((at, expand(schedule.promise_id, schedule.id, at)))
        at = next_cron(cron, at) or NEVER
    return found


def fire(state: State, schedule_id: str, limit: int) -> list[str]:
    """I6: create the promises of at most ``limit`` occurrences; return the ids of new ones.

    It stops at the first occurrence whose promise, or the lack of it, is not loaded.
    """
    schedule = state.schedule(schedule_id)
    if schedule is None:
        return []
    created: list[str] = []
    last = None
    for at, promise_id in occurrences(schedule, state.now, limit):
        if not state.knows(promise_id):
            break
        if state.stored(promise_id) is None:
            state.put(born(_occurrence(schedule, promise_id, at), at))
            created.append(promise_id)
        last = at
    if last is not None:
        following = next_cron(_cron(schedule.cron), last) or NEVER
        state.put_schedule(replace(schedule, last_run_at=last, next_run_at=following))
    return created


def _occurrence(schedule: Schedule, promise_id: str, at: int) -> PromiseCreateData:
    own = dict.fromkeys((ORIGIN, BRANCH, PARENT, PREFIX), promise_id)
    tags = {**schedule.promise_tags, SCHEDULE: schedule.id, **own}
    timeout_at = saturate(at + schedule.promise_timeout)
    return PromiseCreateData(promise_id, timeout_at, schedule.promise_param, tags)


def _cron(text: str) -> Cron:
    cron = parse_cron(text)
    assert cron is not None, "a cron expression is looked at before it is stored"
    return cron
