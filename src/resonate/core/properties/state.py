"""Properties of a state: the stored objects, by id, at an instant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps

from resonate.core.objects import Promise, Task, has_target, is_timer, project
from resonate.protocol.addresses import parse_address
from resonate.protocol.records import EMPTY
from resonate.protocol.validation import DELAY, TARGET

State = Mapping[str, Promise]
StateProperty = Callable[[State, int], bool]

STATE_PROPERTIES: dict[str, StateProperty] = {}


def check_state(state: State, now: int) -> None:
    """Raise AssertionError with the name of the first property that ``state`` violates."""
    for name, holds in STATE_PROPERTIES.items():
        if not holds(state, now):
            raise AssertionError(f"{name} does not hold at {now} of {state}")


def _state(holds: StateProperty) -> StateProperty:
    STATE_PROPERTIES[holds.__name__] = holds
    return holds


def _promise(holds: Callable[[Promise], bool]) -> StateProperty:
    """Make a property of each promise one of the state."""

    @wraps(holds)
    def everywhere(state: State, _now: int) -> bool:
        return all(holds(promise) for promise in state.values())

    return _state(everywhere)


def _task(holds: Callable[[Task], bool]) -> StateProperty:
    """Make a property of each task one of the state."""

    @wraps(holds)
    def everywhere(state: State, _now: int) -> bool:
        return all(each.task is None or holds(each.task) for each in state.values())

    return _state(everywhere)


# --- promises -------------------------------------------------------------------------------------


@_promise
def well_formed_promise_created_at_lte_timeout_at(promise: Promise) -> bool:
    """A promise is not created after its deadline."""
    return promise.created_at <= promise.timeout_at


@_promise
def well_formed_promise_pending_created_before_deadline(promise: Promise) -> bool:
    """A pending promise was created before its deadline."""
    return promise.state != "pending" or promise.created_at < promise.timeout_at


@_promise
def well_formed_promise_settled_at_lte_timeout_at(promise: Promise) -> bool:
    """Nothing settles after the deadline."""
    return promise.settled_at is None or promise.settled_at <= promise.timeout_at


@_promise
def well_formed_promise_created_at_lte_settled_at(promise: Promise) -> bool:
    """Nothing settles before it is created."""
    return promise.settled_at is None or promise.created_at <= promise.settled_at


@_promise
def well_formed_promise_settled_at_iff_not_pending(promise: Promise) -> bool:
    """The instant of settlement is there exactly when the promise is settled."""
    return (promise.settled_at is None) == (promise.state == "pending")


@_promise
def well_formed_promise_pending_has_no_value(promise: Promise) -> bool:
    """A pending promise has an empty value."""
    return promise.state != "pending" or promise.value == EMPTY


@_promise
def well_formed_promise_deadline_verdict_matches_timer_tag(promise: Promise) -> bool:
    """The deadline resolves timers and rejects everything else."""
    verdict = "resolved" if is_timer(promise) else "rejected_timedout"
    return promise.settled_at != promise.timeout_at or promise.state == verdict


@_promise
def well_formed_promise_deadline_settlement_has_no_value(promise: Promise) -> bool:
    """The deadline gives no value."""
    return promise.settled_at != promise.timeout_at or promise.value == EMPTY


@_promise
def well_formed_promise_timedout_is_server_owned(promise: Promise) -> bool:
    """Only the deadline times a promise out."""
    return promise.state != "rejected_timedout" or promise.settled_at == promise.timeout_at


@_promise
def well_formed_promise_callbacks_unique(promise: Promise) -> bool:
    """Callbacks are a set."""
    return len(set(promise.callbacks)) == len(promise.callbacks)


@_promise
def well_formed_promise_listeners_unique(promise: Promise) -> bool:
    """Listeners are a set."""
    return len(set(promise.listeners)) == len(promise.listeners)


@_promise
def well_formed_promise_awaiter_is_not_self(promise: Promise) -> bool:
    """No promise awaits itself."""
    return promise.id not in promise.callbacks


@_state
def well_formed_promise_created_at_lte_now(state: State, now: int) -> bool:
    """Nothing was created in the future."""
    return all(promise.created_at <= now for promise in state.values())


@_state
def well_formed_promise_settled_at_lte_now(state: State, now: int) -> bool:
    """Nothing was settled in the future."""
    return all(each.settled_at is None or each.settled_at <= now for each in state.values())


@_state
def well_formed_store_promise_ids_unique(state: State, _now: int) -> bool:
    """There is one promise an id: each is stored under its own."""
    return all(promise.id == promise_id for promise_id, promise in state.items())


@_state
def consistent_callback_awaiter_is_targeted(state: State, _now: int) -> bool:
    """Every awaiter exists and has a target."""
    return all(
        awaiter in state and has_target(state[awaiter])
        for promise in state.values()
        for awaiter in promise.callbacks
    )


@_promise
def consistent_listener_addresses_deliverable(promise: Promise) -> bool:
    """Every listener's address is valid."""
    return all(parse_address(address) is not None for address in promise.listeners)


# --- tasks ----------------------------------------------------------------------------------------


@_task
def well_formed_task_acquired_iff_has_pid(task: Task) -> bool:
    """A holder is there exactly while acquired."""
    return (task.state == "acquired") == (task.pid is not None)


@_task
def well_formed_task_acquired_iff_has_ttl(task: Task) -> bool:
    """A ttl is there exactly while acquired."""
    return (task.state == "acquired") == (task.ttl is not None)


@_task
def well_formed_task_acquired_iff_has_expires_at(task: Task) -> bool:
    """The end of a lease is there exactly while acquired."""
    return (task.state == "acquired") == (task.expires_at is not None)


@_task
def well_formed_task_pending_iff_has_retry_at(task: Task) -> bool:
    """The next dispatch is there exactly while pending."""
    return (task.state == "pending") == (task.retry_at is not None)


def _is_bare(task: Task) -> bool:
    return (task.pid, task.ttl, task.expires_at, task.retry_at) == (None, None, None, None)


@_task
def well_formed_task_fulfilled_is_cleared(task: Task) -> bool:
    """A fulfilled task has no lease, no timer, no resumes."""
    return task.state != "fulfilled" or (_is_bare(task) and not task.resumes)


@_task
def well_formed_task_suspended_is_cleared(task: Task) -> bool:
    """A suspended task has no lease and no timer."""
    return task.state != "suspended" or _is_bare(task)


@_task
def well_formed_task_halted_is_cleared(task: Task) -> bool:
    """A halted task has no lease and no timer."""
    return task.state != "halted" or _is_bare(task)


@_task
def well_formed_task_suspended_has_no_resumes(task: Task) -> bool:
    """What would be a resume wakes a suspended task."""
    return task.state != "suspended" or not task.resumes


@_task
def well_formed_task_resumes_unique(task: Task) -> bool:
    """Resumes are a set."""
    return len(set(task.resumes)) == len(task.resumes)


@_task
def well_formed_task_acquired_version_positive(task: Task) -> bool:
    """To acquire raises the version."""
    return task.state != "acquired" or task.version >= 1


@_state
def well_formed_store_task_ids_unique(state: State, _now: int) -> bool:
    """There is one task an id: that of the promise stored under it."""
    return all(each.task is None or each.id == promise_id for promise_id, each in state.items())


@_promise
def consistent_task_iff_targeted_promise(promise: Promise) -> bool:
    """A task exists exactly when its promise has a target."""
    return (promise.task is not None) == has_target(promise)


@_promise
def consistent_settled_promise_has_fulfilled_task(promise: Promise) -> bool:
    """The task of a settled promise is fulfilled."""
    task = promise.task
    return promise.state == "pending" or task is None or task.state == "fulfilled"


@_promise
def consistent_settled_task_promise_settled(promise: Promise) -> bool:
    """The promise of a fulfilled task is settled."""
    task = promise.task
    return task is None or task.state != "fulfilled" or promise.state != "pending"


@_state
def consistent_suspended_task_holds_rung(state: State, now: int) -> bool:
    """A suspended task whose promise is alive will be woken: something calls it back."""
    awaiters = {awaiter for promise in state.values() for awaiter in promise.callbacks}
    return all(
        promise.id in awaiters
        for promise in state.values()
        if promise.task is not None
        and promise.task.state == "suspended"
        and project(promise, now).state == "pending"
    )


# --- gaps of the specification that our door checks close -----------------------------------------


@_task
def well_formed_task_ttl_positive(task: Task) -> bool:
    """A lease lasts."""
    return task.ttl is None or task.ttl > 0


@_promise
def well_formed_promise_target_is_nonempty(promise: Promise) -> bool:
    """A target says where to."""
    return promise.tags.get(TARGET) != ""


@_promise
def well_formed_promise_delay_before_deadline(promise: Promise) -> bool:
    """A delayed task can start before its deadline."""
    delay = promise.tags.get(DELAY)
    if delay is None:
        return True
    digits = delay.lstrip("0") or "0"
    return len(digits) <= 19 and int(digits) < promise.timeout_at
