"""The machine: one request in, one answer out, with the changes in ``state``.

``reads`` names, before a request runs, the ids it will look at. The awaiters in the callbacks of
those objects are loaded with them by the store (they are what settling wakes); ``handle`` then
never needs anything that is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resonate.core import promises, steps, tasks
from resonate.core.objects import project
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.limits import STEP_OBJECTS_MAX

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
    rq.TaskSuspend: tasks.suspend,
    rq.TaskFulfill: tasks.fulfill,
    rq.TaskRelease: tasks.release,
    rq.TaskHalt: tasks.halt,
    rq.TaskContinue: tasks.continue_,
}

_READS: dict[type[rq.Request], Callable[[Any], tuple[str, ...]]] = {
    rq.PromiseRegisterCallback: lambda data: (data.awaited, data.awaiter),
    rq.PromiseRegisterListener: lambda data: (data.awaited,),
    rq.TaskCreate: lambda data: (data.action.data.id,),
    rq.TaskFence: lambda data: (data.id, data.action.data.id),
    rq.TaskHeartbeat: lambda data: tuple(ref.id for ref in data.tasks),
    rq.TaskSuspend: lambda data: (data.id, *(action.data.awaited for action in data.actions)),
}


def reads(request: rq.Request) -> tuple[str, ...]:
    """Return the ids that ``request`` will look at."""
    find = _READS.get(type(request))
    return (request.data.id,) if find is None else find(request.data)  # type: ignore[attr-defined]


def handle(request: rq.Request, state: State) -> Answer:
    """Carry out ``request`` at ``state.now``, with the steps that its changes enable."""
    state.begin()
    if isinstance(request, rq.TaskFence):
        answer = tasks.fence(state, request.data, request.head.corr_id)
    else:
        answer = _HANDLERS[type(request)](state, request.data)  # type: ignore[attr-defined]
    if state.wrote:
        settle_down(state, reads(request))
    return answer


def settle_down(state: State, touched: tuple[str, ...], limit: int = STEP_OBJECTS_MAX) -> None:
    """Run the drains that the last changes enable, at most ``limit`` awaiters (I3).

    Waking can time an awaiter out, which enables its own drain in turn.
    """
    todo = list(touched)
    for promise_id in todo:
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
    return {*_HANDLERS, rq.TaskFence}


def step(state: State, promise_id: str, take: Callable[[], object]) -> None:
    """Take one internal step on ``promise_id``, with the steps that its changes enable."""
    state.begin()
    take()
    settle_down(state, (promise_id,))
