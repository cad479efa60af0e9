"""Properties of a step: tasks, their leases and their dispatch; and of internal steps only."""

from __future__ import annotations

from resonate.core.objects import Promise, Task, is_timer, saturate
from resonate.core.properties.step import (
    State,
    changed,
    changed_tasks,
    every_newborn,
    every_step,
    every_task,
    internal_step,
    timed_out,
)
from resonate.protocol.limits import DELAY_MS_MAX
from resonate.protocol.validation import DELAY

EDGES = {
    ("pending", "acquired"),
    ("pending", "halted"),
    ("pending", "fulfilled"),
    ("acquired", "pending"),
    ("acquired", "suspended"),
    ("acquired", "halted"),
    ("acquired", "fulfilled"),
    ("suspended", "pending"),
    ("suspended", "halted"),
    ("suspended", "fulfilled"),
    ("halted", "pending"),
    ("halted", "fulfilled"),
}
INTERNAL_EDGES = {
    ("acquired", "pending"),
    ("suspended", "pending"),
    *((state, "fulfilled") for state in ("pending", "acquired", "suspended", "halted")),
}


def _edge(old: Task, new: Task) -> tuple[str, str]:
    return old.state, new.state


def _lease(task: Task) -> tuple[str | None, int | None, int | None]:
    return task.pid, task.ttl, task.expires_at


def _expiry(task: Task, now: int) -> int | None:
    return None if task.ttl is None else saturate(now + task.ttl)


# --- tasks ----------------------------------------------------------------------------------------


@every_step
def monotone_task_set_grows(before: State, after: State, _now: int) -> bool:
    """Tasks never vanish."""
    return all(
        name in after and after[name].task is not None
        for name, old in before.items()
        if old.task is not None
    )


@every_task
def monotone_task_version_increases_only_on_acquisition(old: Task, new: Task, _now: int) -> bool:
    """The version rises by one from pending to acquired, and never else."""
    return new.version - old.version == (_edge(old, new) == ("pending", "acquired"))


@every_task
def preserved_fulfilled_task(old: Task, new: Task, _now: int) -> bool:
    """A fulfilled task is final."""
    return old.state != "fulfilled" or new == old


@every_task
def consistent_task_state_edge_admissible(old: Task, new: Task, _now: int) -> bool:
    """Only the edges of section 3.6 occur."""
    return new.state == old.state or _edge(old, new) in EDGES


@every_task
def preserved_task_acquisition_only_from_pending(old: Task, new: Task, _now: int) -> bool:
    """A lease starts only from pending, or at birth."""
    return new.state != "acquired" or old.state in {"acquired", "pending"}


@every_task
def preserved_task_suspension_only_from_acquired(old: Task, new: Task, _now: int) -> bool:
    """Only a holder suspends."""
    return new.state != "suspended" or old.state in {"suspended", "acquired"}


@every_task
def preserved_task_halted_only_reenters_via_pending(old: Task, new: Task, _now: int) -> bool:
    """From halted there is only pending, or fulfilled."""
    return old.state != "halted" or new.state in {"halted", "pending", "fulfilled"}


@every_newborn
def consistent_task_birth_state(new: Promise, now: int) -> bool:
    """A task is born pending, acquired or fulfilled, with exactly the fields of that state."""
    task = new.task
    if task is None:
        return True
    if task.state == "acquired":
        return task == Task("acquired", 1, task.pid, task.ttl, _expiry(task, now))
    if task.state == "pending":
        return task == Task("pending", 0, retry_at=_first_retry(new, now))
    return task == Task("fulfilled", 0)


def _first_retry(promise: Promise, now: int) -> int:
    if is_timer(promise):
        return promise.timeout_at
    return max(int(promise.tags.get(DELAY, "").lstrip("0") or "0"), now)


@every_task
def consistent_task_lease_released_atomically(old: Task, new: Task, _now: int) -> bool:
    """Who leaves acquired loses the whole lease, and keeps the version."""
    if old.state != "acquired" or new.state == "acquired":
        return True
    return _lease(new) == (None, None, None) and new.version == old.version


@every_task
def preserved_task_lease_holder_stable(old: Task, new: Task, _now: int) -> bool:
    """A lease stays with its holder, and its ttl, as long as it has its version."""
    if _edge(old, new) != ("acquired", "acquired") or old.version != new.version:
        return True
    return (old.pid, old.ttl) == (new.pid, new.ttl)


@every_task
def consistent_task_lease_fields_move_together(old: Task, new: Task, _now: int) -> bool:
    """The three fields of a lease appear together and vanish together."""
    pairs = zip(_lease(old), _lease(new), strict=True)
    return len({(was is None, now is None) for was, now in pairs}) == 1


@every_task
def monotone_task_resumes_grow_or_clear(old: Task, new: Task, _now: int) -> bool:
    """Resumes only grow, or become empty."""
    return not new.resumes or set(old.resumes) <= set(new.resumes)


@every_task
def consistent_task_resumes_cleared_only_on_dispatch_or_park(
    old: Task, new: Task, _now: int
) -> bool:
    """Resumes are emptied only where the task ends up acquired, suspended or fulfilled."""
    cleared = bool(old.resumes) and not new.resumes
    return not cleared or new.state in {"acquired", "suspended", "fulfilled"}


@every_task
def consistent_task_acquisition_is_atomic(old: Task, new: Task, now: int) -> bool:
    """A grant sets all its fields at once."""
    if new.state != "acquired" or old.state == "acquired":
        return True
    if new.pid is None or new.ttl is None:
        return False
    return new == Task("acquired", old.version + 1, new.pid, new.ttl, _expiry(new, now))


@every_task
def consistent_task_lease_deadline_is_now_plus_ttl(old: Task, new: Task, now: int) -> bool:
    """A lease ends one ttl from now, or when it did before."""
    return new.expires_at is None or new.expires_at in {old.expires_at, _expiry(new, now)}


@every_task
def consistent_task_pending_entry_arms_retry(old: Task, new: Task, now: int) -> bool:
    """A task that becomes pending is dispatched now; a holder may ask for a delay (8.5)."""
    if new.state != "pending" or old.state == "pending":
        return True
    if new.retry_at is None:
        return False
    latest = saturate(now + DELAY_MS_MAX) if old.state == "acquired" else now
    return now <= new.retry_at <= latest


@every_task
def consistent_task_retry_rearm_only_when_due(old: Task, new: Task, now: int) -> bool:
    """The next dispatch of a pending task moves only when it is due."""
    if _edge(old, new) != ("pending", "pending") or old.retry_at == new.retry_at:
        return True
    return old.retry_at is not None and old.retry_at <= now


@every_task
def monotone_task_retry_rearm_advances(old: Task, new: Task, now: int) -> bool:
    """The next dispatch of a pending task moves only to an instant after now."""
    if _edge(old, new) != ("pending", "pending") or old.retry_at == new.retry_at:
        return True
    return new.retry_at is not None and new.retry_at > now


@every_task
def consistent_task_wake_records_resume(old: Task, new: Task, now: int) -> bool:
    """A woken task knows by whom, is dispatched now and keeps its version."""
    if _edge(old, new) != ("suspended", "pending"):
        return True
    return bool(new.resumes) and new.retry_at == now and new.version == old.version


# --- internal steps only --------------------------------------------------------------------------


@internal_step
def consistent_task_state_edge_internal_admissible(before: State, after: State, _now: int) -> bool:
    """The server by itself never acquires, suspends, halts or continues."""
    return all(
        new.state == old.state or _edge(old, new) in INTERNAL_EDGES
        for _, old, new in changed_tasks(before, after)
    )


@internal_step
def consistent_promise_state_edge_internal_admissible(
    before: State, after: State, now: int
) -> bool:
    """The server by itself settles only by the deadline, and creates nothing."""
    settled = (new for old, new in changed(before, after) if new.state != old.state)
    return after.keys() <= before.keys() and all(timed_out(each, now) for each in settled)
