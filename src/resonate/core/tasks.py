"""Handlers of the task requests (H7 to H16).

Rules: only grant raises a version; the guard of a lease looks at state, promise and version, never
at the lease's end; fence is one step, guard and write together or neither.
"""

from __future__ import annotations

from msgspec.structs import replace

from resonate.core import promises
from resonate.core.objects import (
    Promise,
    Task,
    granted,
    has_target,
    is_external,
    parked,
    record,
    saturate,
    settled,
    task_record,
    to_pending,
    with_task,
)
from resonate.core.preload import preload
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.answers import (
    NOTHING,
    Answer,
    FenceAnswer,
    HeartbeatAnswer,
    LeaseAnswer,
    PreloadAnswer,
    PromiseAnswer,
    TaskAnswer,
    respond,
)
from resonate.protocol.records import EMPTY


class HeartbeatOfAll(rq.TaskHeartbeat, frozen=True, tag="task.heartbeat"):
    """A heartbeat with an empty list, written out by the engine: it knows who holds what."""


NOT_FOUND = Answer(404, "Task not found")
NOT_PENDING = Answer(409, "Task is not pending")
OTHER_VERSION = Answer(409, "Version mismatch")
LOST_FENCE = OTHER_VERSION
LOST_SUSPEND = Answer(409, "Task is not acquired or version mismatch")
LOST_LEASE = Answer(409, "Task version mismatch or invalid state")
NO_TASK = Answer(422, "Promise exists without a target task")
TAKEN = Answer(409, "Already exists")
AWAITED_NOT_FOUND = Answer(422, "Awaited promise not found")
NOT_DISTINCT = Answer(400, "Awaited promises must be distinct")
FULFILLED = Answer(409, "Task is fulfilled")
NOT_HALTED = Answer(409, "Task is not halted")
DONE = Answer(200, NOTHING)


def _view(state: State, task_id: str) -> tuple[Promise, Task] | None:
    promise = state.view(task_id)
    if promise is None or promise.task is None:
        return None
    return promise, promise.task


def _held(state: State, task_id: str, version: int, lost: Answer) -> tuple[Promise, Task] | Answer:
    """Guard of a lease: the task and its promise, or the answer that refuses."""
    seen = _view(state, task_id)
    if seen is None:
        return NOT_FOUND
    task = seen[1]
    if task.state != "acquired" or task.version != version:
        return lost
    return seen


def lease(state: State, promise: Promise, *, granted: bool = True) -> Answer:
    """Answer 200 with task and promise, and with what its holder need not ask for."""
    others = preload(state, promise) if granted else []
    return Answer(200, LeaseAnswer(task_record(promise), record(promise), others))


def get(state: State, data: rq.IdData) -> Answer:
    """H7 task.get."""
    seen = _view(state, data.id)
    return NOT_FOUND if seen is None else Answer(200, TaskAnswer(task_record(seen[0])))


def create(state: State, data: rq.TaskCreateData) -> Answer:
    """H8 task.create: create the promise and hold its task, or hold the task of an existing one."""
    inner = data.action.data
    if state.strict and promises.is_timer_with_target(inner.tags or {}):
        return promises.TIMER_WITH_TARGET
    promise = state.view(inner.id)
    if promise is None:
        task = granted(Task("pending", 0), data.pid, data.ttl, state.now)
        promise = promises.born(inner, state.now, task)
        state.put(promise)
        return lease(state, promise, granted=promise.state == "pending")
    if not has_target(promise) or promise.task is None:
        return NO_TASK
    if promise.task.state == "fulfilled":
        return lease(state, promise, granted=False)
    if promise.task.state != "pending":
        return TAKEN
    return _grant(state, promise, promise.task, data.pid, data.ttl)


def acquire(state: State, data: rq.TaskAcquireData) -> Answer:
    """H9 task.acquire."""
    seen = _view(state, data.id)
    if seen is None:
        return NOT_FOUND
    promise, task = seen
    if task.state != "pending":
        return NOT_PENDING
    if task.version != data.version:
        return OTHER_VERSION
    return _grant(state, promise, task, data.pid, data.ttl)


def _grant(state: State, promise: Promise, task: Task, pid: str, ttl: int) -> Answer:
    promise = with_task(promise, granted(task, pid, ttl, state.now))
    state.put(promise)
    return lease(state, promise)


def fence(state: State, data: rq.TaskFenceData, corr_id: str) -> Answer:
    """H10 task.fence: the inner answer has its own status, the outer stays 200."""
    held = _held(state, data.id, data.version, LOST_FENCE)
    if isinstance(held, Answer):
        return held
    if isinstance(data.action, rq.FenceCreate):
        kind, inner = "promise.create", promises.create(state, data.action.data)
    else:
        kind, inner = "promise.settle", promises.settle(state, data.action.data)
    return Answer(200, FenceAnswer(respond(kind, corr_id, inner), []))


def heartbeat(state: State, data: rq.TaskHeartbeatData) -> Answer:
    """H11 task.heartbeat: extend what ``pid`` still holds; unless strict, tell what it does not."""
    lost = [ref for ref in data.tasks if not _extend(state, ref, data.pid)]
    return Answer(200, HeartbeatAnswer(None if state.strict else lost or None))


def heartbeat_all(state: State, data: rq.TaskHeartbeatData) -> Answer:
    """H11 with an empty list: nothing was named that could be lost."""
    heartbeat(state, data)
    return Answer(200, HeartbeatAnswer())


def _extend(state: State, ref: rq.TaskRef, pid: str) -> bool:
    seen = _view(state, ref.id)
    if seen is None:
        return False
    promise, task = seen
    if task.state != "acquired" or task.version != ref.version or task.pid != pid:
        return False
    assert task.ttl is not None, "an acquired task has a ttl"
    expires_at = saturate(state.now + task.ttl)
    if expires_at != task.expires_at:
        state.put(with_task(promise, replace(task, expires_at=expires_at)))
    return True


def suspend(state: State, data: rq.TaskSuspendData) -> Answer:
    """H12 task.suspend: wait for the awaited promises, or go on at once when one is settled."""
    awaited = dict.fromkeys(action.data.awaited for action in data.actions)
    if state.strict and len(awaited) < len(data.actions):
        return NOT_DISTINCT
    held = _held(state, data.id, data.version, LOST_SUSPEND)
    if isinstance(held, Answer):
        return held
    promise, task = held
    seen = [state.view(each) for each in awaited]
    if any(each is None for each in seen):
        return AWAITED_NOT_FOUND
    if state.strict and not all(is_external(each) for each in seen if each is not None):
        return promises.NOT_EXTERNAL
    settled = [each for each in seen if each is not None and each.state != "pending"]
    if settled:
        if task.resumes:
            state.put(with_task(promise, replace(task, resumes=())))
        news = [] if state.strict else settled
        return Answer(300, PreloadAnswer(preload(state, promise, news)))
    for each in seen:
        assert each is not None
        promises.add_callback(state, each, data.id)
    state.put(with_task(promise, parked(task, "suspended")))
    return DONE


def fulfill(state: State, data: rq.TaskFulfillData) -> Answer:
    """H13 task.fulfill."""
    held = _held(state, data.id, data.version, LOST_LEASE)
    if isinstance(held, Answer):
        return held
    inner = data.action.data
    promise = settled(held[0], inner.state, inner.value or EMPTY, state.now)
    state.put(promise)
    return Answer(200, PromiseAnswer(record(promise)))


def release(state: State, data: rq.TaskReleaseData) -> Answer:
    """H14 task.release; ``delay`` (section 8.5, not strict) postpones the next dispatch."""
    held = _held(state, data.id, data.version, LOST_LEASE)
    if isinstance(held, Answer):
        return held
    promise, task = held
    delay = 0 if state.strict else data.delay or 0
    state.put(with_task(promise, to_pending(task, saturate(state.now + delay))))
    return DONE


def halt(state: State, data: rq.IdData) -> Answer:
    """H15 task.halt: no dispatch until continued; what wakes it meanwhile is remembered."""
    seen = _view(state, data.id)
    if seen is None:
        return NOT_FOUND
    promise, task = seen
    if task.state == "fulfilled":
        return FULFILLED
    if task.state != "halted":
        state.put(with_task(promise, parked(task, "halted", task.resumes)))
    return DONE


def continue_(state: State, data: rq.IdData) -> Answer:
    """H16 task.continue."""
    seen = _view(state, data.id)
    if seen is None:
        return NOT_FOUND
    promise, task = seen
    if task.state != "halted":
        return NOT_HALTED
    state.put(with_task(promise, to_pending(task, state.now)))
    return DONE
