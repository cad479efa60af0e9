"""Properties of a state: tasks, and what binds them to their promises."""

from __future__ import annotations

from resonate.core.objects import Promise, Task, has_target, project
from resonate.core.properties.checks import Snapshot, of_promise, of_state, of_task


@of_task
def well_formed_task_acquired_iff_has_pid(task: Task) -> bool:
    """A holder is there exactly while acquired."""
    return (task.state == "acquired") == (task.pid is not None)


@of_task
def well_formed_task_acquired_iff_has_ttl(task: Task) -> bool:
    """A ttl is there exactly while acquired."""
    return (task.state == "acquired") == (task.ttl is not None)


@of_task
def well_formed_task_acquired_iff_has_expires_at(task: Task) -> bool:
    """The end of a lease is there exactly while acquired."""
    return (task.state == "acquired") == (task.expires_at is not None)


@of_task
def well_formed_task_pending_iff_has_retry_at(task: Task) -> bool:
    """The next dispatch is there exactly while pending."""
    return (task.state == "pending") == (task.retry_at is not None)


def _is_bare(task: Task) -> bool:
    return (task.pid, task.ttl, task.expires_at, task.retry_at) == (None, None, None, None)


@of_task
def well_formed_task_fulfilled_is_cleared(task: Task) -> bool:
    """A fulfilled task has no lease, no timer, no resumes."""
    return task.state != "fulfilled" or (_is_bare(task) and not task.resumes)


@of_task
def well_formed_task_suspended_is_cleared(task: Task) -> bool:
    """A suspended task has no lease and no timer."""
    return task.state != "suspended" or _is_bare(task)


@of_task
def well_formed_task_halted_is_cleared(task: Task) -> bool:
    """A halted task has no lease and no timer."""
    return task.state != "halted" or _is_bare(task)


@of_task
def well_formed_task_suspended_has_no_resumes(task: Task) -> bool:
    """What would be a resume wakes a suspended task."""
    return task.state != "suspended" or not task.resumes


@of_task
def well_formed_task_resumes_unique(task: Task) -> bool:
    """Resumes are a set."""
    return len(set(task.resumes)) == len(task.resumes)


@of_task
def well_formed_task_acquired_version_positive(task: Task) -> bool:
    """To acquire raises the version."""
    return task.state != "acquired" or task.version >= 1


@of_state
def well_formed_store_task_ids_unique(state: Snapshot) -> bool:
    """There is one task an id: that of the promise stored under it."""
    return all(each.task is None or each.id == key for key, each in state.promises.items())


@of_promise
def consistent_task_iff_targeted_promise(promise: Promise) -> bool:
    """A task exists exactly when its promise has a target."""
    return (promise.task is not None) == has_target(promise)


@of_promise
def consistent_settled_promise_has_fulfilled_task(promise: Promise) -> bool:
    """The task of a settled promise is fulfilled."""
    task = promise.task
    return promise.state == "pending" or task is None or task.state == "fulfilled"


@of_promise
def consistent_settled_task_promise_settled(promise: Promise) -> bool:
    """The promise of a fulfilled task is settled."""
    task = promise.task
    return task is None or task.state != "fulfilled" or promise.state != "pending"


@of_state
def consistent_suspended_task_holds_rung(state: Snapshot) -> bool:
    """A suspended task whose promise is alive will be woken: something calls it back."""
    awaiters = {awaiter for promise in state.promises.values() for awaiter in promise.callbacks}
    return all(
        promise.id in awaiters
        for promise in state.promises.values()
        if promise.task is not None
        and promise.task.state == "suspended"
        and project(promise, state.now).state == "pending"
    )


# --- a gap of the specification that our door checks close ----------------------------------------


@of_task
def well_formed_task_ttl_positive(task: Task) -> bool:
    """A lease lasts."""
    return task.ttl is None or task.ttl > 0
