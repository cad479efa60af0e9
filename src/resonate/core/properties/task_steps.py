"""Properties of a step: tasks, their leases and their dispatch."""

from __future__ import annotations

from resonate.core.objects import Promise, Task, is_timer, saturate
from resonate.core.properties.checks import StepTaken, of_changed_task, of_step
from resonate.protocol.limits import DELAY_MS_MAX, INT64_MAX
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


def edge(old: Task, new: Task) -> tuple[str, str]:
    """Return the change of state."""
    return old.state, new.state


def _lease(task: Task) -> tuple[str | None, int | None, int | None]:
    return task.pid, task.ttl, task.expires_at


def _expiry(task: Task, now: int) -> int | None:
    return None if task.ttl is None else saturate(now + task.ttl)


@of_step
def monotone_task_set_grows(step: StepTaken) -> bool:
    """Tasks never vanish."""
    after = step.after.promises
    return all(
        key in after and after[key].task is not None
        for key, old in step.before.promises.items()
        if old.task is not None
    )


@of_changed_task
def monotone_task_version_increases_only_on_acquisition(old: Task, new: Task, _now: int) -> bool:
    """The version rises by one from pending to acquired, and never else."""
    return new.version - old.version == (edge(old, new) == ("pending", "acquired"))


@of_changed_task
def preserved_fulfilled_task(old: Task, new: Task, _now: int) -> bool:
    """A fulfilled task is final."""
    return old.state != "fulfilled" or new == old


@of_changed_task
def consistent_task_state_edge_admissible(old: Task, new: Task, _now: int) -> bool:
    """Only the edges of section 3.6 occur."""
    return new.state == old.state or edge(old, new) in EDGES


@of_changed_task
def preserved_task_acquisition_only_from_pending(old: Task, new: Task, _now: int) -> bool:
    """A lease starts only from pending, or at birth."""
    return new.state != "acquired" or old.state in {"acquired", "pending"}


@of_changed_task
def preserved_task_suspension_only_from_acquired(old: Task, new: Task, _now: int) -> bool:
    """Only a holder suspends."""
    return new.state != "suspended" or old.state in {"suspended", "acquired"}


@of_changed_task
def preserved_task_halted_only_reenters_via_pending(old: Task, new: Task, _now: int) -> bool:
    """From halted there is only pending, or fulfilled."""
    return old.state != "halted" or new.state in {"halted", "pending", "fulfilled"}


@of_step
def consistent_task_birth_state(step: StepTaken) -> bool:
    """A task is born pending, acquired or fulfilled, with exactly the fields of that state.

    It is born now; what a schedule fires, at its occurrence, and nobody holds it.
    """
    return all(
        new.task is None or _is_born_right(new, new.task, step.birth(new)) for new in step.newborn
    ) and not any(
        new.task is not None and new.task.state == "acquired" and step.is_fired(new)
        for new in step.newborn
    )


def _is_born_right(new: Promise, task: Task, at: int) -> bool:
    if task.state == "acquired":
        return task == Task("acquired", 1, task.pid, task.ttl, _expiry(task, at))
    if task.state == "pending":
        return task == Task("pending", 0, retry_at=_first_retry(new, at))
    return task == Task("fulfilled", 0)


def _first_retry(promise: Promise, at: int) -> int:
    if is_timer(promise):
        return promise.timeout_at
    digits = promise.tags.get(DELAY, "").lstrip("0") or "0"
    return INT64_MAX if len(digits) > 19 else max(saturate(int(digits)), at)


@of_changed_task
def consistent_task_lease_released_atomically(old: Task, new: Task, _now: int) -> bool:
    """Who leaves acquired loses the whole lease, and keeps the version."""
    if old.state != "acquired" or new.state == "acquired":
        return True
    return _lease(new) == (None, None, None) and new.version == old.version


@of_changed_task
def preserved_task_lease_holder_stable(old: Task, new: Task, _now: int) -> bool:
    """A lease stays with its holder, and its ttl, as long as it has its version."""
    if edge(old, new) != ("acquired", "acquired") or old.version != new.version:
        return True
    return (old.pid, old.ttl) == (new.pid, new.ttl)


@of_changed_task
def consistent_task_lease_fields_move_together(old: Task, new: Task, _now: int) -> bool:
    """The three fields of a lease appear together and vanish together."""
    pairs = zip(_lease(old), _lease(new), strict=True)
    return len({(was is None, now is None) for was, now in pairs}) == 1


@of_changed_task
def monotone_task_resumes_grow_or_clear(old: Task, new: Task, _now: int) -> bool:
    """Resumes only grow, or become empty."""
    return not new.resumes or set(old.resumes) <= set(new.resumes)


@of_changed_task
def consistent_task_resumes_cleared_only_on_dispatch_or_park(
    old: Task, new: Task, _now: int
) -> bool:
    """Resumes are emptied only where the task ends up acquired, suspended or fulfilled."""
    cleared = bool(old.resumes) and not new.resumes
    return not cleared or new.state in {"acquired", "suspended", "fulfilled"}


@of_changed_task
def consistent_task_acquisition_is_atomic(old: Task, new: Task, now: int) -> bool:
    """A grant sets all its fields at once."""
    if new.state != "acquired" or old.state == "acquired":
        return True
    if new.pid is None or new.ttl is None:
        return False
    return new == Task("acquired", old.version + 1, new.pid, new.ttl, _expiry(new, now))


@of_changed_task
def consistent_task_lease_deadline_is_now_plus_ttl(old: Task, new: Task, now: int) -> bool:
    """A lease ends one ttl from now, or when it did before."""
    return new.expires_at is None or new.expires_at in {old.expires_at, _expiry(new, now)}


@of_step
def consistent_task_pending_entry_arms_retry(step: StepTaken) -> bool:
    """A task that becomes pending is dispatched now.

    Its holder may ask for a delay (8.5), which strict servers do not know.
    """
    return all(
        _is_armed(old, new, step)
        for _, old, new in step.changed_tasks
        if new.state == "pending" != old.state
    )


def _is_armed(old: Task, new: Task, step: StepTaken) -> bool:
    may_wait = old.state == "acquired" and not step.strict
    latest = saturate(step.now + DELAY_MS_MAX) if may_wait else step.now
    return new.retry_at is not None and step.now <= new.retry_at <= latest


@of_changed_task
def consistent_task_retry_rearm_only_when_due(old: Task, new: Task, now: int) -> bool:
    """The next dispatch of a pending task moves only when it is due."""
    if edge(old, new) != ("pending", "pending") or old.retry_at == new.retry_at:
        return True
    return old.retry_at is not None and old.retry_at <= now


@of_changed_task
def monotone_task_retry_rearm_advances(old: Task, new: Task, now: int) -> bool:
    """The next dispatch of a pending task moves only to an instant after now."""
    if edge(old, new) != ("pending", "pending") or old.retry_at == new.retry_at:
        return True
    return new.retry_at is not None and new.retry_at > now


@of_changed_task
def consistent_task_wake_records_resume(old: Task, new: Task, now: int) -> bool:
    """A woken task knows by whom, is dispatched now and keeps its version."""
    if edge(old, new) != ("suspended", "pending"):
        return True
    return bool(new.resumes) and new.retry_at == now and new.version == old.version
