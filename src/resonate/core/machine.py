"""The machine: one request in, one answer out, with the changes in ``state``.

``reads`` names, before a request runs, the keys it will look at. The awaiters in the callbacks of
those objects are loaded with them by the store (they are what settling wakes); ``handle`` then
never needs anything that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from resonate.core import promises, schedules, steps, tasks
from resonate.core.objects import Branch, Key, ScheduleKey, project
from resonate.core.preload import with_branch
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.limits import STEP_OBJECTS_MAX
from resonate.protocol.validation import BRANCH

_HANDLERS: dict[type[rq.Request], Callable[[State, Any], Answer]] = {
    rq.PromiseGet: promises.get,
    rq.PromiseCreate: promises.create,
    rq.PromiseSettle: promises.settle,
    rq.PromiseRegisterCallback: promises.register_callback,
    rq.PromiseRegisterListener: promises.register_listener,
    rq.TaskGet: tasks.get,
    rq.TaskCreate: tasks.create,
    rq.TaskAcquire: tasks.acquire,
    rq.TaskHeartbeat: tasks.heartbeat,
    tasks.HeartbeatOfAll: tasks.heartbeat_all,
    rq.TaskSuspend: tasks.suspend,
    rq.TaskFulfill: tasks.fulfill,
    rq.TaskRelease: tasks.release,
    rq.TaskHalt: tasks.halt,
    rq.TaskContinue: tasks.continue_,
    rq.ScheduleGet: schedules.get,
    rq.ScheduleCreate: schedules.create,
    rq.ScheduleDelete: schedules.delete,
}


def _schedule(data: rq.IdData | rq.ScheduleCreateData) -> tuple[Key, ...]:
    return (ScheduleKey(data.id),)


def _held(data: rq.TaskHeartbeatData) -> tuple[Key, ...]:
    return tuple(ref.id for ref in data.tasks)


def _created(data: rq.TaskCreateData) -> tuple[Key, ...]:
    inner = data.action.data
    branch = (inner.tags or {}).get(BRANCH)
    return (*with_branch(inner.id), *([Branch(branch)] if branch else []))


_READS: dict[type[rq.Request], Callable[[Any], tuple[Key, ...]]] = {
    rq.PromiseRegisterCallback: lambda data: (data.awaited, data.awaiter),
    rq.PromiseRegisterListener: lambda data: (data.awaited,),
    rq.TaskCreate: _created,
    rq.TaskAcquire: lambda data: with_branch(data.id),
    rq.TaskFence: lambda data: (data.id, data.action.data.id),
    rq.TaskHeartbeat: _held,
    tasks.HeartbeatOfAll: _held,
    rq.TaskSuspend: lambda data: (
        *with_branch(data.id),
        *(action.data.awaited for action in data.actions),
    ),
    rq.ScheduleGet: _schedule,
    rq.ScheduleCreate: _schedule,
    rq.ScheduleDelete: _schedule,
}


def reads(request: rq.Request) -> tuple[Key, ...]:
    """Return the keys that ``request`` will look at."""
    find = _READS.get(type(request))
    return (request.data.id,) if find is None else find(request.data)  # type: ignore[attr-defined]


def handle(request: rq.Request, state: State) -> Answer:
    """Carry out ``request`` at ``state.now``, with the steps that its changes enable."""
    state.begin()
    if type(request) is rq.TaskFence:
        answer = tasks.fence(state, request.data, request.head.corr_id)
    else:
        answer = _HANDLERS[type(request)](state, request.data)  # type: ignore[attr-defined]
    if state.wrote:
        settle_down(state, state.touched())
    return answer


def settle_down(state: State, touched: Iterable[Key], limit: int = STEP_OBJECTS_MAX) -> None:
    """Run the drains that the last changes enable, at most ``limit`` awaiters (I3).

    Waking can time an awaiter out, which enables its own drain in turn.
    """
    todo = list(touched)
    for promise_id in todo:
        if not isinstance(promise_id, str):
            continue
        promise = state.stored(promise_id) if state.knows(promise_id) else None
        if promise is None or not promise.callbacks:
            continue
        seen = project(promise, state.now)
        if seen.state == "pending":
            continue
        if limit <= 0:
            return
        limit -= steps.drain(state, promise_id, limit)
        todo.extend(each for each in promise.callbacks if state.knows(each))


def kinds() -> set[type[rq.Request]]:
    """Return the kinds that the machine handles."""
    found: set[type[rq.Request]] = {*_HANDLERS, rq.TaskFence}
    found.discard(tasks.HeartbeatOfAll)
    return found


def step(state: State, key: Key, take: Callable[[], object]) -> None:
    """Take one internal step on an object, with the steps that its changes enable."""
    state.begin()
    take()
    settle_down(state, (key,))
