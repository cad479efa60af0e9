"""Properties of a step: settlement, and what it does to tasks and to those who wait.

``consistent_suspension_registers_callback`` and ``preserved_no_dead_dispatch`` are false as the
specification states them; they stand here in the weaker form that section 9.2 gives.
"""

from __future__ import annotations

from collections import Counter

from resonate.core.objects import Promise, project
from resonate.core.properties.checks import StepTaken, of_changed_promise, of_step, timed_out


@of_changed_promise
def consistent_promise_settlement_stamp(old: Promise, new: Promise, now: int) -> bool:
    """A client settles now and before the deadline, or the deadline settles with its verdict.

    Where the clock was stepped back behind its creation, a promise is settled at that instant.
    """
    if new.state == old.state or timed_out(new, now):
        return True
    return new.settled_at == max(now, old.created_at) < new.timeout_at


@of_changed_promise
def preserved_timedout_is_server_owned(old: Promise, new: Promise, now: int) -> bool:
    """Only the deadline times a promise out."""
    by_client = {old.state, "resolved", "rejected", "rejected_canceled"}
    return new.state in by_client or timed_out(new, now)


@of_changed_promise
def consistent_settlement_fulfils_task(old: Promise, new: Promise, _now: int) -> bool:
    """Settlement fulfils the task in the same step."""
    return new.state == old.state or new.task is None or new.task.state == "fulfilled"


@of_step
def consistent_task_fulfilment_needs_settlement(step: StepTaken) -> bool:
    """A task becomes fulfilled only with its promise."""
    return all(
        old.state == "pending" != new.state
        for old, new in step.changed
        if _is_fulfilled(new) and not _is_fulfilled(old)
    )


def _is_fulfilled(promise: Promise) -> bool:
    return promise.task is not None and promise.task.state == "fulfilled"


@of_changed_promise
def consistent_obligation_discharge_requires_settled(old: Promise, new: Promise, _now: int) -> bool:
    """Callbacks and listeners are removed only from a settled promise."""
    removed = set(old.callbacks) - set(new.callbacks) or set(old.listeners) - set(new.listeners)
    return not removed or new.state != "pending"


@of_step
def consistent_callback_consumption_resumes_awaiter(step: StepTaken) -> bool:
    """A consumed callback is in the resumes of its awaiter, unless that is fulfilled."""
    after = step.after.promises
    return all(_has_resumed(after.get(awaiter), awaited) for awaited, awaiter in step.consumed())


def _has_resumed(awaiter: Promise | None, awaited: str) -> bool:
    task = None if awaiter is None else awaiter.task
    return task is not None and (task.state == "fulfilled" or awaited in task.resumes)


@of_step
def consistent_listener_consumption_enqueues_unblock(step: StepTaken) -> bool:
    """Each listener of a promise that settles becomes exactly one unblock message.

    But where a deadline is written by delivering the first of them, or by an answer that takes its
    place, that one is consumed with its message at once.
    """
    return all(
        _becomes_messages(old, new, step)
        for old, new in step.changed
        if old.state == "pending" != new.state
    )


def _becomes_messages(old: Promise, new: Promise, step: StepTaken) -> bool:
    rows = Counter(row.address for row in step.after.unblocks if row.promise_id == new.id)
    counts = [rows[address] for address in set(old.listeners)]
    at_once_max = 1 if timed_out(new, step.now) else 0
    return set(counts) <= {0, 1} and counts.count(0) <= at_once_max


@of_step
def consistent_wake_follows_callback_consumption(step: StepTaken) -> bool:
    """A suspended task becomes pending only by a callback that is consumed."""
    woken = {awaiter for _, awaiter in step.consumed()}
    return all(
        promise.id in woken
        for promise, old, new in step.changed_tasks
        if (old.state, new.state) == ("suspended", "pending")
    )


@of_step
def consistent_suspension_registers_callback(step: StepTaken) -> bool:
    """A task that has just been suspended is called back by some pending promise."""
    return all(
        any(
            promise.id in each.callbacks and project(each, step.now).state == "pending"
            for each in step.after.promises.values()
        )
        for promise, old, new in step.changed_tasks
        if new.state == "suspended" != old.state
    )


@of_step
def consistent_task_birth_couples_promise_birth(step: StepTaken) -> bool:
    """A task is born with its promise, at version 0, or at least 1 when acquired."""
    if any(old.task is None and new.task is not None for old, new in step.changed):
        return False
    return all(
        (new.task.version >= 1) == (new.task.state == "acquired")
        for new in step.newborn
        if new.task is not None
    )


@of_step
def preserved_no_dead_dispatch(step: StepTaken) -> bool:
    """No step makes the task of a dead promise pending.

    A schedule does, that fires an occurrence past its own deadline: it is exempt, and the commit
    that it is part of settles what was born so (``core.steps.fire``).
    """
    entering = [new for old, new in step.changed if _waits(new) and not _waits(old)]
    entering += [new for new in step.newborn if _waits(new) and not step.is_fired(new)]
    return all(project(new, step.now).state == "pending" for new in entering)


def _waits(promise: Promise) -> bool:
    return promise.task is not None and promise.task.state == "pending"


@of_step
def preserved_execute_only_for_live_task(step: StepTaken) -> bool:
    """A new execute message names a task whose promise is alive."""
    old = set(step.before.executes)
    found = (step.after.promises.get(row.task_id) for row in step.after.executes if row not in old)
    return all(each is not None and project(each, step.now).state == "pending" for each in found)
