"""Properties of a step: promises, their settlement, and what that does to tasks.

``consistent_suspension_registers_callback`` and ``preserved_no_dead_dispatch`` are false as the
specification states them; they stand here in the weaker form that section 9.2 gives.
"""

from __future__ import annotations

from resonate.core.objects import Promise, is_ready, project
from resonate.core.properties.step import (
    State,
    changed_tasks,
    consumed,
    every_newborn,
    every_promise,
    every_step,
    timed_out,
)
from resonate.protocol.records import EMPTY


def _birth(promise: Promise) -> tuple[object, ...]:
    """Return what is fixed when a promise is created; the route follows from the tags."""
    each = promise
    return each.id, each.param, each.tags, each.timeout_at, each.created_at, each.route


# --- promises -------------------------------------------------------------------------------------


@every_promise
def preserved_promise_birth_fields_immutable(old: Promise, new: Promise, _now: int) -> bool:
    """What a promise was created with never changes."""
    return _birth(old) == _birth(new)


@every_promise
def preserved_settled_promise_record(old: Promise, new: Promise, _now: int) -> bool:
    """A settled record never changes."""
    was = old.state, old.value, old.settled_at, _birth(old)
    return old.state == "pending" or was == (new.state, new.value, new.settled_at, _birth(new))


@every_step
def monotone_promise_set_grows(before: State, after: State, _now: int) -> bool:
    """Promises never vanish."""
    return before.keys() <= after.keys()


@every_promise
def preserved_promise_state_frozen_once_settled(old: Promise, new: Promise, _now: int) -> bool:
    """Nothing leaves a settled state."""
    return old.state in ("pending", new.state)


@every_promise
def preserved_promise_settlement_is_one_way(old: Promise, new: Promise, _now: int) -> bool:
    """Nothing becomes pending again."""
    return old.state == "pending" or new.state != "pending"


@every_promise
def consistent_promise_settled_at_moves_with_state(old: Promise, new: Promise, _now: int) -> bool:
    """The instant of settlement changes with the state, and only then."""
    return (old.settled_at != new.settled_at) == (old.state != new.state)


@every_promise
def preserved_promise_value_until_settlement(old: Promise, new: Promise, _now: int) -> bool:
    """The value changes only together with the state."""
    return old.state != new.state or old.value == new.value


@every_step
def preserved_promise_no_duplicate_ids(before: State, after: State, _now: int) -> bool:
    """No step stores an object under the id of another."""
    return all(new.id == name for name, new in after.items() if new is not before.get(name))


@every_promise
def monotone_promise_callbacks_grow_while_pending(old: Promise, new: Promise, _now: int) -> bool:
    """Callbacks of a pending promise are only added."""
    return new.state != "pending" or set(old.callbacks) <= set(new.callbacks)


@every_promise
def monotone_promise_listeners_grow_while_pending(old: Promise, new: Promise, _now: int) -> bool:
    """Listeners of a pending promise are only added."""
    return new.state != "pending" or set(old.listeners) <= set(new.listeners)


@every_promise
def monotone_promise_callbacks_shrink_once_settled(old: Promise, new: Promise, _now: int) -> bool:
    """Callbacks of a settled promise are only removed."""
    return new.state == "pending" or set(new.callbacks) <= set(old.callbacks)


@every_promise
def monotone_promise_listeners_shrink_once_settled(old: Promise, new: Promise, _now: int) -> bool:
    """Listeners of a settled promise are only removed."""
    return new.state == "pending" or set(new.listeners) <= set(old.listeners)


@every_promise
def consistent_promise_state_edge_admissible(old: Promise, new: Promise, _now: int) -> bool:
    """The only edges go from pending to a settled state."""
    return old.state in (new.state, "pending")


@every_newborn
def consistent_new_promise_born_clean(new: Promise, now: int) -> bool:
    """A promise is born pending and now, or timed out at its deadline."""
    if new.callbacks or new.listeners or new.value != EMPTY:
        return False
    if new.timeout_at > now:
        return (new.state, new.created_at, new.settled_at) == ("pending", now, None)
    return timed_out(new, now) and new.created_at == new.timeout_at


# --- settlement and coupling ----------------------------------------------------------------------


@every_promise
def consistent_promise_settlement_stamp(old: Promise, new: Promise, now: int) -> bool:
    """A client settles now and before the deadline, or the deadline settles with its verdict."""
    if new.state == old.state or timed_out(new, now):
        return True
    return new.settled_at == now < new.timeout_at


@every_promise
def preserved_timedout_is_server_owned(old: Promise, new: Promise, now: int) -> bool:
    """Only the deadline times a promise out."""
    return new.state in {old.state, "resolved", "rejected", "rejected_canceled"} or timed_out(
        new, now
    )


@every_promise
def consistent_settlement_fulfils_task(old: Promise, new: Promise, _now: int) -> bool:
    """Settlement fulfils the task in the same step."""
    return new.state == old.state or new.task is None or new.task.state == "fulfilled"


@every_step
def consistent_task_fulfilment_needs_settlement(before: State, after: State, _now: int) -> bool:
    """A task becomes fulfilled only with its promise."""
    return all(
        before[promise.id].state == "pending" != promise.state
        for promise, old, new in changed_tasks(before, after)
        if new.state == "fulfilled" != old.state
    )


@every_promise
def consistent_obligation_discharge_requires_settled(old: Promise, new: Promise, _now: int) -> bool:
    """Callbacks and listeners are removed only from a settled promise."""
    removed = set(old.callbacks) - set(new.callbacks) or set(old.listeners) - set(new.listeners)
    return not removed or new.state != "pending"


@every_step
def consistent_callback_consumption_resumes_awaiter(before: State, after: State, _now: int) -> bool:
    """A consumed callback is in the resumes of its awaiter, unless that is fulfilled."""
    return all(
        _has_resumed(after[awaiter], awaited) for awaited, awaiter in consumed(before, after)
    )


def _has_resumed(awaiter: Promise, awaited: str) -> bool:
    task = awaiter.task
    return task is not None and (task.state == "fulfilled" or awaited in task.resumes)


@every_step
def consistent_wake_follows_callback_consumption(before: State, after: State, _now: int) -> bool:
    """A suspended task becomes pending only by a callback that is consumed."""
    woken = {awaiter for _, awaiter in consumed(before, after)}
    return all(
        promise.id in woken
        for promise, old, new in changed_tasks(before, after)
        if (old.state, new.state) == ("suspended", "pending")
    )


@every_step
def consistent_suspension_registers_callback(before: State, after: State, now: int) -> bool:
    """A task that has just been suspended is called back by some pending promise."""
    return all(
        any(
            promise.id in each.callbacks and project(each, now).state == "pending"
            for each in after.values()
        )
        for promise, old, new in changed_tasks(before, after)
        if new.state == "suspended" != old.state
    )


@every_step
def consistent_task_birth_couples_promise_birth(before: State, after: State, _now: int) -> bool:
    """A task is born with its promise, at version 0, or at least 1 when acquired."""
    return all(
        name not in before and (new.task.version >= 1) == (new.task.state == "acquired")
        for name, new in after.items()
        if new.task is not None and (name not in before or before[name].task is None)
    )


@every_step
def preserved_no_dead_dispatch(before: State, after: State, now: int) -> bool:
    """No step makes the task of a dead promise pending."""
    return all(
        project(new, now).state == "pending"
        for name, new in after.items()
        if _waits(new) and not (name in before and _waits(before[name]))
    )


def _waits(promise: Promise) -> bool:
    return promise.task is not None and promise.task.state == "pending"


@every_step
def preserved_execute_only_for_live_task(_before: State, after: State, now: int) -> bool:
    """What may be dispatched is a task whose promise is alive."""
    return all(
        project(each, now).state == "pending" for each in after.values() if is_ready(each, now)
    )
