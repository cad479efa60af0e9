"""Objects, as stored, and how they look at an instant: promises with their tasks, and schedules.

Rules:
- One object a key. A promise's key is its id, a schedule's is ``ScheduleKey`` of its id, so that
  the two never meet. ``BranchOf`` a promise is the key of the ids that share its branch.
- A task exists exactly when its promise has a ``resonate:target`` tag.
- Objects never change: a step makes new ones. A batch that is being written and one that is being
  decided can therefore share them.
- TIMEOUT ALWAYS WINS: every read, answer and guard looks at ``project(promise, now)``.
- The order of fields is the order of columns in ``store/sqlite``; a test holds that.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from resonate.protocol.cron import NEVER
from resonate.protocol.limits import INT64_MAX
from resonate.protocol.records import (
    EMPTY,
    PromiseRecord,
    PromiseState,
    ScheduleRecord,
    TaskRecord,
    TaskState,
    Value,
)
from resonate.protocol.records import size as record_size
from resonate.protocol.validation import EXTERNAL, TARGET, TIMER


class Task(Struct, frozen=True, array_like=True, gc=False):
    """A task. The lease fields are set exactly while acquired, ``retry_at`` while pending."""

    state: TaskState
    version: int
    pid: str | None = None
    ttl: int | None = None
    expires_at: int | None = None
    retry_at: int | None = None
    resumes: tuple[str, ...] = ()


class Promise(Struct, frozen=True, array_like=True, gc=False):
    """A promise with what hangs on it.

    ``callbacks`` are ids of awaiters, ``listeners`` addresses, both ordered sets. ``route`` is the
    queue its task waits in, None without a task.
    """

    id: str
    state: PromiseState
    param: Value
    value: Value
    tags: dict[str, str]
    timeout_at: int
    created_at: int
    settled_at: int | None = None
    callbacks: tuple[str, ...] = ()
    listeners: tuple[str, ...] = ()
    route: str | None = None
    task: Task | None = None


class Schedule(Struct, frozen=True, array_like=True, gc=False):
    """A schedule; ``next_run_at`` is NEVER when no occurrence is left."""

    id: str
    cron: str
    promise_id: str
    promise_timeout: int
    promise_param: Value
    promise_tags: dict[str, str]
    created_at: int
    next_run_at: int
    last_run_at: int | None = None

    @property
    def key(self) -> ScheduleKey:
        """Return the key it is stored under."""
        return ScheduleKey(self.id)


class ScheduleKey(Struct, frozen=True, gc=False):
    """The key of a schedule."""

    id: str


class BranchOf(Struct, frozen=True, gc=False):
    """The key of the ids, ascending, that have the ``resonate:branch`` tag of a promise."""

    promise_id: str


class Branch(Struct, frozen=True, gc=False):
    """The key of the ids, ascending, that have a ``resonate:branch`` tag of that value."""

    name: str


Key = str | ScheduleKey | BranchOf | Branch
Stored = Promise | Schedule


def saturate(instant: int) -> int:
    """Keep a sum of instants and durations within int64."""
    return min(instant, INT64_MAX)


def is_timer(promise: Promise) -> bool:
    """Tell whether the promise resolves, instead of being rejected, at its deadline."""
    return promise.tags.get(TIMER) == "true"


def is_external(promise: Promise) -> bool:
    """Tell whether something outside of the process that created it can settle the promise."""
    return promise.tags.get(EXTERNAL) == "true" or has_target(promise) or is_timer(promise)


def project(promise: Promise, now: int) -> Promise:
    """Return the promise and its task as they are seen at ``now``."""
    if promise.state != "pending" or promise.timeout_at > now:
        return promise
    verdict: PromiseState = "resolved" if is_timer(promise) else "rejected_timedout"
    return settled(promise, verdict, EMPTY, promise.timeout_at)


def settled(promise: Promise, state: PromiseState, value: Value, at: int) -> Promise:
    """Return the promise settled ``at`` an instant, its task fulfilled with it.

    Never before it was created: a clock that was stepped back while no server ran may say so.
    """
    at = max(at, promise.created_at)
    task = promise.task
    if task is not None:
        task = fulfilled(task)
    return replace(promise, state=state, value=value, settled_at=at, task=task)


def fulfilled(task: Task) -> Task:
    """Return the task in its final state; only the version stays."""
    return task if task.state == "fulfilled" else Task("fulfilled", task.version)


def granted(task: Task, pid: str, ttl: int, now: int) -> Task:
    """Return the task held by ``pid``: the one transition that raises the version."""
    return Task("acquired", task.version + 1, pid, ttl, saturate(now + ttl))


def to_pending(task: Task, retry_at: int, resumes: tuple[str, ...] | None = None) -> Task:
    """Return the task waiting for dispatch from ``retry_at`` on; the version stays."""
    kept = task.resumes if resumes is None else resumes
    return Task("pending", task.version, retry_at=retry_at, resumes=kept)


def parked(task: Task, state: TaskState, resumes: tuple[str, ...] = ()) -> Task:
    """Return the task suspended or halted: no lease, no timer, same version."""
    return Task(state, task.version, resumes=resumes)


def with_task(promise: Promise, task: Task) -> Promise:
    """Return the promise with another task."""
    return replace(promise, task=task)


def has_target(promise: Promise) -> bool:
    """Tell whether the promise has a task."""
    return TARGET in promise.tags


def due(promise: Stored, *, now: int) -> int | None:
    """Return the next instant at which the server has to look at the object by itself.

    That is the deadline, the end of the lease, or the start of a delayed task, whichever comes
    first; of a schedule the next occurrence; None when nothing is left to happen by time.
    """
    if not isinstance(promise, Promise):
        return None if promise.next_run_at >= NEVER else promise.next_run_at
    if promise.state != "pending":
        return None
    task = promise.task
    if task is None:
        return promise.timeout_at
    if task.expires_at is not None:
        return min(promise.timeout_at, task.expires_at)
    if task.retry_at is not None and task.retry_at > now:
        return min(promise.timeout_at, task.retry_at)
    return promise.timeout_at


def is_ready(promise: Promise, now: int) -> bool:
    """Tell whether the task may be dispatched at ``now``. A timer's task never is."""
    task = promise.task
    return (
        task is not None
        and task.state == "pending"
        and task.retry_at is not None
        and task.retry_at <= now
        and promise.timeout_at > now
        and not is_timer(promise)
    )


def size(promise: Promise) -> int:
    """Return about how many bytes are told of the promise."""
    return record_size(record(promise))


def record(promise: Promise) -> PromiseRecord:
    """Return what is told of the promise; callbacks and listeners are never part of it."""
    return PromiseRecord(
        promise.id,
        promise.state,
        promise.param,
        promise.value,
        promise.tags,
        promise.timeout_at,
        promise.created_at,
        promise.settled_at,
    )


def task_record(promise: Promise) -> TaskRecord:
    """Return what is told of the promise's task."""
    task = promise.task
    assert task is not None, "asked for the task of a promise without a target"
    return TaskRecord(promise.id, task.state, task.version, len(task.resumes), task.ttl, task.pid)


def schedule_record(schedule: Schedule) -> ScheduleRecord:
    """Return what is told of the schedule."""
    return ScheduleRecord(
        schedule.id,
        schedule.cron,
        schedule.promise_id,
        schedule.promise_timeout,
        schedule.promise_param,
        schedule.promise_tags,
        schedule.created_at,
        schedule.next_run_at,
        schedule.last_run_at,
    )
