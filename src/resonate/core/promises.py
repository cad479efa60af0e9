"""Handlers of the promise requests (H1 to H5).

A handler reads the state, puts what it changes and returns the answer. It first checks, then
writes: after the first ``put`` nothing can refuse any more.
"""

from __future__ import annotations

from msgspec.structs import replace

from resonate.core.objects import (
    Promise,
    Task,
    has_target,
    is_external,
    is_timer,
    record,
    saturate,
    settled,
)
from resonate.core.state import State
from resonate.protocol.addresses import route_of
from resonate.protocol.answers import Answer, PromiseAnswer
from resonate.protocol.limits import INT64_MAX
from resonate.protocol.records import EMPTY, PromiseState, Value
from resonate.protocol.requests import (
    IdData,
    PromiseCreateData,
    PromiseSettleData,
    RegisterCallbackData,
    RegisterListenerData,
)
from resonate.protocol.validation import DELAY, FUNC, TARGET, TIMER, VERSION

NOT_FOUND = Answer(404, "Promise not found")
AWAITED_NOT_FOUND = Answer(404, "Awaited promise not found")
AWAITER_NOT_FOUND = Answer(422, "Awaiter promise not found")
AWAITER_WITHOUT_TARGET = Answer(422, "Awaiter promise has no resonate:target tag")
NOT_EXTERNAL = Answer(422, "Awaited promise is not external")
TIMER_WITH_TARGET = Answer(400, "A resonate:timer promise must not have a resonate:target tag")


def is_timer_with_target(tags: dict[str, str]) -> bool:
    """Tell whether the tags are those of a timer that nobody could ever execute."""
    return tags.get(TIMER) == "true" and TARGET in tags


def tell(promise: Promise) -> Answer:
    """Answer 200 with the promise."""
    return Answer(200, PromiseAnswer(record(promise)))


def get(state: State, data: IdData) -> Answer:
    """H1 promise.get."""
    promise = state.view(data.id)
    return NOT_FOUND if promise is None else tell(promise)


def create(state: State, data: PromiseCreateData) -> Answer:
    """H2 promise.create: an existing promise is told as it is; nothing of it is compared."""
    if state.strict and is_timer_with_target(data.tags or {}):
        return TIMER_WITH_TARGET
    promise = state.view(data.id)
    if promise is None:
        promise = born(data, state.now)
        state.put(promise)
    return tell(promise)


def settle(state: State, data: PromiseSettleData) -> Answer:
    """H3 promise.settle: the first settlement wins, a later one is told the first."""
    promise = state.view(data.id)
    if promise is None:
        return NOT_FOUND
    if promise.state == "pending":
        promise = settled(promise, data.state, data.value or EMPTY, state.now)
        state.put(promise)
    return tell(promise)


def register_callback(state: State, data: RegisterCallbackData) -> Answer:
    """H4 promise.register_callback."""
    awaited = state.view(data.awaited)
    if awaited is None:
        return AWAITED_NOT_FOUND
    awaiter = state.view(data.awaiter)
    if awaiter is None:
        return AWAITER_NOT_FOUND
    if not has_target(awaiter):
        return AWAITER_WITHOUT_TARGET
    if state.strict and not is_external(awaited):
        return NOT_EXTERNAL
    if awaited.state == "pending" and awaiter.state == "pending":
        add_callback(state, awaited, data.awaiter)
    return tell(awaited)


def add_callback(state: State, awaited: Promise, awaiter: str) -> None:
    """Let the pending ``awaited`` wake ``awaiter``; once is enough."""
    if awaiter not in awaited.callbacks:
        state.put(replace(awaited, callbacks=(*awaited.callbacks, awaiter)))


def register_listener(state: State, data: RegisterListenerData) -> Answer:
    """H5 promise.register_listener.

    On a settled promise nothing is added; a queued unblock for the address is superseded by the
    answer (section 6.5), so the listener is taken away.
    """
    promise = state.view(data.awaited)
    if promise is None:
        return AWAITED_NOT_FOUND
    if state.strict and not is_external(promise):
        return NOT_EXTERNAL
    if promise.state == "pending":
        if data.address not in promise.listeners:
            state.put(replace(promise, listeners=(*promise.listeners, data.address)))
    elif data.address in promise.listeners:
        drop_listener(state, promise, data.address)
    return tell(promise)


def drop_listener(state: State, promise: Promise, address: str) -> None:
    """Take ``address`` off a settled promise; a settlement only projected so far is written."""
    kept = tuple(each for each in promise.listeners if each != address)
    state.put(replace(promise, listeners=kept))


def born(data: PromiseCreateData, at: int, task: Task | None = None) -> Promise:
    """Return the promise that ``data`` creates ``at`` an instant.

    With its deadline already past it is born settled. ``task`` replaces the pending task of a
    living promise (task.create).
    """
    tags = data.tags or {}
    param = data.param or EMPTY
    target = tags.get(TARGET)
    route = None if target is None else route_of(target, tags.get(FUNC), tags.get(VERSION))
    living = Promise(
        data.id, "pending", param, EMPTY, tags, data.timeout_at, at, route=route, task=task
    )
    if data.timeout_at <= at:
        return _born_settled(living)
    if route is None or task is not None:
        return living
    return replace(living, task=Task("pending", 0, retry_at=_first_retry(living, at)))


def _born_settled(promise: Promise) -> Promise:
    at = promise.timeout_at
    verdict: PromiseState = "resolved" if is_timer(promise) else "rejected_timedout"
    task = None if promise.route is None else Task("fulfilled", 0)
    return replace(promise, state=verdict, value=Value(), created_at=at, settled_at=at, task=task)


def _first_retry(promise: Promise, at: int) -> int:
    if is_timer(promise):
        return promise.timeout_at
    digits = promise.tags.get(DELAY, "").lstrip("0") or "0"  # int() refuses thousands of digits
    delay = INT64_MAX if len(digits) > 19 else saturate(int(digits))  # a schedule's has no bound
    return max(delay, at)
