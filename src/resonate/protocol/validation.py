"""Door checks: what the fields of a request may contain. Every 400 about a field comes from here.

``check`` returns the text of the refusal, or None. Its order is the protocol's (section 1.4):
field rules first, all failing ones in field order joined by ``"; "``; then cross-field rules, the
first failing one; then addresses and limits. Rule numbers (R1 …) are those of section 2.5.
A new request kind needs a rule here; a test holds that none is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from resonate.protocol import requests as rq
from resonate.protocol.addresses import parse_address
from resonate.protocol.cron import parse_cron
from resonate.protocol.cursors import decode_cursor
from resonate.protocol.limits import (
    DELAY_MS_MAX,
    ID_BYTES_MAX,
    INT64_MAX,
    SEARCH_LIMIT_MAX,
    TAGS_BYTES_MAX,
    TAGS_MAX,
)
from resonate.protocol.templates import expand

TARGET = "resonate:target"
TIMER = "resonate:timer"
EXTERNAL = "resonate:external"
DELAY = "resonate:delay"
BRANCH = "resonate:branch"
PARENT = "resonate:parent"
ORIGIN = "resonate:origin"
PREFIX = "resonate:prefix"
SCHEDULE = "resonate:schedule"
FUNC = "resonate:func"  # ours: the name of the function that a task calls
VERSION = "resonate:version"  # ours: its version, 1 where there is no such tag

PROMISE_ID = "Promise ID is required"
TIMEOUT = "TimeoutAt must be a non-negative integer"
NUL = "Promise ID must not contain null bytes"
DELAY_SHAPE = "resonate:delay must be a non-negative integer"
DELAY_LATE = "resonate:delay must be less than timeoutAt"
TARGET_ADDRESS = "Invalid resonate:target address"
AWAITED = "Awaited promise ID is required"
AWAITER = "Awaiter promise ID is required"
SELF = "Awaited and awaiter must be different promises"
ADDRESS = "Address is required"
LISTENER_ADDRESS = "Invalid listener address"
TASK_ID = "Task ID is required"
PID = "Process ID is required"
TTL = "TTL must be a positive integer"
NO_TARGET = "Action must have a resonate:target tag"
TASK_VERSION = "Version must be a non-negative integer"
OTHER_ACTION = "Action ID must match the task ID"
NO_ACTIONS = "Actions array cannot be empty"
OTHER_AWAITER = "All action awaiter IDs must match the task ID"
OWN_ACTION = "Action ID must not equal the task ID"
RELEASE_DELAY = "Delay must be a non-negative integer"
RELEASE_DELAY_LONG = f"Delay must not exceed {DELAY_MS_MAX}"
ID_LONG = "Invalid request: id too long"
TAGS_MANY = "Invalid request: too many tags"
TAGS_LARGE = "Invalid request: tags too large"
SCHEDULE_ID = "Schedule ID is required"
SCHEDULE_NUL = "Schedule ID must not contain null bytes"
CRON = "Cron expression is required"
CRON_INVALID = "Invalid cron expression"
TEMPLATE = "Promise ID template is required"
PROMISE_TIMEOUT = "Promise timeout must be a non-negative integer"
LIMIT = "Limit must be a positive integer"
LIMIT_RANGE = f"Invalid 'limit' — must be between 1 and {SEARCH_LIMIT_MAX}"
ORDERS = ("id", "newest", "oldest")
ORDER = f"Invalid 'order' — must be one of {', '.join(ORDERS)}"
CURSOR = "Invalid cursor"


def check(request: rq.Request) -> str | None:
    """Return why ``request`` is refused, or None when its fields are in order."""
    return _CHECKS[type(request)](request.data)  # type: ignore[attr-defined]


def kinds() -> Iterable[type[rq.Request]]:
    """Return the kinds that have a rule."""
    return _CHECKS.keys()


def _joined(*failing: str | None) -> str | None:
    texts = dict.fromkeys(text for text in failing if text)
    return "; ".join(texts) if texts else None


def _long(*ids: str) -> str | None:
    for text in ids:
        if len(text) * 4 > ID_BYTES_MAX and len(text.encode()) > ID_BYTES_MAX:
            return ID_LONG
    return None


# --- promises -------------------------------------------------------------------------------------


def _promise_id(data: rq.IdData) -> str | None:
    return (None if data.id else PROMISE_ID) or _long(data.id)


def _create_fields(data: rq.PromiseCreateData) -> str | None:
    if data.id and data.timeout_at >= 0:
        return None
    return _joined(None if data.id else PROMISE_ID, TIMEOUT if data.timeout_at < 0 else None)


def _create_cross(data: rq.PromiseCreateData) -> str | None:
    return _nul(data) or _delay(data)


def _nul(data: rq.PromiseCreateData) -> str | None:
    return NUL if "\x00" in data.id else None


def _delay(data: rq.PromiseCreateData) -> str | None:
    delay = data.tags.get(DELAY) if data.tags else None
    if delay is None:
        return None
    if not _is_number(delay):
        return DELAY_SHAPE
    digits = delay.lstrip("0") or "0"
    if len(digits) > 19 or int(digits) >= data.timeout_at:  # 19 digits hold every int64
        return DELAY_LATE
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _create_limits(data: rq.PromiseCreateData) -> str | None:
    return (_tags(data.tags) if data.tags else None) or _long(data.id)


def _tags(tags: dict[str, str] | None) -> str | None:
    if not tags:
        return None
    target = tags.get(TARGET)
    if target is not None and parse_address(target) is None:
        return TARGET_ADDRESS
    if len(tags) > TAGS_MAX:
        return TAGS_MANY
    return TAGS_LARGE if _too_large(tags) else None


def _too_large(tags: dict[str, str]) -> bool:
    characters = sum(map(len, tags)) + sum(map(len, tags.values()))
    if characters * 4 <= TAGS_BYTES_MAX:
        return False
    size = sum(len(key.encode()) + len(value.encode()) for key, value in tags.items())
    return size > TAGS_BYTES_MAX


def _promise_create(data: rq.PromiseCreateData) -> str | None:
    return _create_fields(data) or _create_cross(data) or _create_limits(data)


def _promise_settle(data: rq.PromiseSettleData) -> str | None:
    return (None if data.id else PROMISE_ID) or _long(data.id)


def _callback_fields(data: rq.RegisterCallbackData) -> str | None:
    if data.awaited and data.awaiter:
        return None
    return _joined(None if data.awaited else AWAITED, None if data.awaiter else AWAITER)


def _register_callback(data: rq.RegisterCallbackData) -> str | None:
    return (
        _callback_fields(data)
        or (SELF if data.awaited == data.awaiter else None)
        or _long(data.awaited, data.awaiter)
    )


def _register_listener(data: rq.RegisterListenerData) -> str | None:
    if not (data.awaited and data.address):
        return _joined(None if data.awaited else AWAITED, None if data.address else ADDRESS)
    if parse_address(data.address) is None:
        return LISTENER_ADDRESS
    return _long(data.awaited, data.address)


# --- tasks ----------------------------------------------------------------------------------------


def _task_id(data: rq.IdData) -> str | None:
    return (None if data.id else TASK_ID) or _long(data.id)


def check_ref(task: str, version: int) -> str | None:
    """R13 and R17, shared by all kinds that name a task at a version."""
    if task and version >= 0:
        return None
    return _joined(None if task else TASK_ID, TASK_VERSION if version < 0 else None)


def _lease_fields(pid: str, ttl: int) -> str | None:
    return _joined(None if pid else PID, TTL if ttl < 1 else None)


def _task_create(data: rq.TaskCreateData) -> str | None:
    inner = data.action.data
    return (
        _joined(
            _lease_fields(data.pid, data.ttl), _create_fields(inner), _nul(inner), _delay(inner)
        )
        or (None if inner.tags and TARGET in inner.tags else NO_TARGET)
        or _create_limits(inner)
        or _long(data.pid)
    )


def _task_acquire(data: rq.TaskAcquireData) -> str | None:
    fields = _joined(check_ref(data.id, data.version), _lease_fields(data.pid, data.ttl))
    return fields or _long(data.id, data.pid)


def _task_release(data: rq.TaskReleaseData) -> str | None:
    delay = data.delay or 0
    return (
        _joined(check_ref(data.id, data.version), RELEASE_DELAY if delay < 0 else None)
        or (RELEASE_DELAY_LONG if delay > DELAY_MS_MAX else None)
        or _long(data.id)
    )


def _task_fulfill(data: rq.TaskFulfillData) -> str | None:
    inner = data.action.data
    return (
        _joined(check_ref(data.id, data.version), None if inner.id else PROMISE_ID)
        or (OTHER_ACTION if inner.id != data.id else None)
        or _long(data.id)
    )


def _task_suspend(data: rq.TaskSuspendData) -> str | None:
    actions = [action.data for action in data.actions]
    return (
        _joined(
            check_ref(data.id, data.version),
            None if actions else NO_ACTIONS,
            *(None if action.awaited else AWAITED for action in actions),
            *(None if action.awaiter else AWAITER for action in actions),
            *(SELF for action in actions if action.awaited == action.awaiter),
        )
        or (OTHER_AWAITER if any(action.awaiter != data.id for action in actions) else None)
        or _long(data.id, *(action.awaited for action in actions))
    )


def _task_fence(data: rq.TaskFenceData) -> str | None:
    action = data.action
    return (
        check_ref(data.id, data.version)
        or (OWN_ACTION if action.data.id == data.id else None)
        or (
            _promise_create(action.data)
            if isinstance(action, rq.FenceCreate)
            else _promise_settle(action.data)
        )
        or _long(data.id)
    )


def _task_heartbeat(data: rq.TaskHeartbeatData) -> str | None:
    return (None if data.pid else PID) or _long(data.pid, *(ref.id for ref in data.tasks))


# --- schedules ------------------------------------------------------------------------------------


def _schedule_id(data: rq.IdData) -> str | None:
    return (None if data.id else SCHEDULE_ID) or _long(data.id)


def _schedule_create(data: rq.ScheduleCreateData) -> str | None:
    return (
        _joined(
            None if data.id else SCHEDULE_ID,
            None if data.cron else CRON,
            None if data.promise_id else TEMPLATE,
            PROMISE_TIMEOUT if data.promise_timeout < 0 else None,
        )
        or (SCHEDULE_NUL if "\x00" in data.id else None)
        or (NUL if "\x00" in data.promise_id else None)
        or _schedule_delay(data.promise_tags)
        or _tags(data.promise_tags)
        or _long(data.id, data.promise_id)  # before it is expanded: that can be 500 times as long
        or _long(expand(data.promise_id, data.id, INT64_MAX))
        or (None if parse_cron(data.cron) else CRON_INVALID)
    )


def _schedule_delay(tags: dict[str, str] | None) -> str | None:
    delay = tags.get(DELAY) if tags else None
    return None if delay is None or _is_number(delay) else DELAY_SHAPE


# --- searches -------------------------------------------------------------------------------------


def _page(limit: int | None) -> str | None:
    if limit is None:
        return None
    return LIMIT if limit < 1 else LIMIT_RANGE if limit > SEARCH_LIMIT_MAX else None


def _promise_search(data: rq.PromiseSearchData) -> str | None:
    text = _page(data.limit)
    if text is not None:
        return text
    order = "id" if data.order is None else data.order
    if order not in ORDERS:
        return ORDER
    if order != "id" and data.cursor is not None and decode_cursor(data.cursor) is None:
        return CURSOR
    return None


def _other_search(data: rq.TaskSearchData | rq.ScheduleSearchData) -> str | None:
    return _page(data.limit)


_CHECKS: dict[type[rq.Request], Callable[[Any], str | None]] = {
    rq.PromiseGet: _promise_id,
    rq.PromiseCreate: _promise_create,
    rq.PromiseSettle: _promise_settle,
    rq.PromiseRegisterCallback: _register_callback,
    rq.PromiseRegisterListener: _register_listener,
    rq.TaskGet: _task_id,
    rq.TaskCreate: _task_create,
    rq.TaskAcquire: _task_acquire,
    rq.TaskRelease: _task_release,
    rq.TaskFulfill: _task_fulfill,
    rq.TaskSuspend: _task_suspend,
    rq.TaskFence: _task_fence,
    rq.TaskHeartbeat: _task_heartbeat,
    rq.TaskHalt: _task_id,
    rq.TaskContinue: _task_id,
    rq.PromiseSearch: _promise_search,
    rq.TaskSearch: _other_search,
    rq.ScheduleGet: _schedule_id,
    rq.ScheduleCreate: _schedule_create,
    rq.ScheduleDelete: _schedule_id,
    rq.ScheduleSearch: _other_search,
}
