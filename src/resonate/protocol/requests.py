"""Requests: one struct for each kind, decoded straight from bytes by the tag ``kind``.

A struct holds the shape only; what its fields may contain is in ``validation``. Optional fields
accept null as absent. A new kind needs a struct here, a rule in ``validation`` and a handler in
``core``; tests hold the three together.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from resonate.protocol.records import Int64, PromiseState, SettleState, TaskState, Value

VERSION = "2026-04-01"


class Head(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Head of a request: ``corr_id`` is echoed in the answer, ``version`` is the protocol's.

    ``debug_time`` replaces the clock where debug operations are enabled, and is ignored elsewhere.
    """

    corr_id: str
    version: str
    auth: str | None = None
    debug_time: Any = field(default=None, name="resonate:debug_time")


# --- data of each kind ----------------------------------------------------------------------------


class IdData(Struct, frozen=True):
    """Data of the kinds that name one object and nothing else."""

    id: str


class PromiseCreateData(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Data of ``promise.create``; ``timeout_at`` is the deadline, an instant."""

    id: str
    timeout_at: Int64
    param: Value | None = None
    tags: dict[str, str] | None = None


class PromiseSettleData(Struct, frozen=True, omit_defaults=True):
    """Data of ``promise.settle``."""

    id: str
    state: SettleState
    value: Value | None = None


class RegisterCallbackData(Struct, frozen=True):
    """Data of ``promise.register_callback``."""

    awaited: str
    awaiter: str


class RegisterListenerData(Struct, frozen=True):
    """Data of ``promise.register_listener``."""

    awaited: str
    address: str


class CreateAction(Struct, frozen=True, omit_defaults=True):
    """The promise.create inside ``task.create``; its kind and head are not looked at."""

    data: PromiseCreateData
    kind: Any = None
    head: Any = None


class SettleAction(Struct, frozen=True, omit_defaults=True):
    """The promise.settle inside ``task.fulfill``; its kind and head are not looked at."""

    data: PromiseSettleData
    kind: Any = None
    head: Any = None


class CallbackAction(Struct, frozen=True, omit_defaults=True):
    """A promise.register_callback inside ``task.suspend``; its kind and head are not looked at."""

    data: RegisterCallbackData
    kind: Any = None
    head: Any = None


class FenceCreate(Struct, frozen=True, tag_field="kind", tag="promise.create", omit_defaults=True):
    """A promise.create inside ``task.fence``."""

    data: PromiseCreateData
    head: Any = None


class FenceSettle(Struct, frozen=True, tag_field="kind", tag="promise.settle", omit_defaults=True):
    """A promise.settle inside ``task.fence``."""

    data: PromiseSettleData
    head: Any = None


class TaskCreateData(Struct, frozen=True):
    """Data of ``task.create``: create a promise and hold its task at once, for ``ttl`` ms."""

    pid: str
    ttl: Int64
    action: CreateAction


class TaskAcquireData(Struct, frozen=True):
    """Data of ``task.acquire``: hold the task at ``version`` for ``ttl`` ms."""

    id: str
    version: Int64
    pid: str
    ttl: Int64


class TaskReleaseData(Struct, frozen=True, omit_defaults=True):
    """Data of ``task.release``; ``delay`` (ms, an extension) postpones the next dispatch."""

    id: str
    version: Int64
    delay: Int64 | None = None


class TaskFulfillData(Struct, frozen=True):
    """Data of ``task.fulfill``."""

    id: str
    version: Int64
    action: SettleAction


class TaskSuspendData(Struct, frozen=True):
    """Data of ``task.suspend``."""

    id: str
    version: Int64
    actions: list[CallbackAction]


class TaskFenceData(Struct, frozen=True):
    """Data of ``task.fence``."""

    id: str
    version: Int64
    action: FenceCreate | FenceSettle


class TaskRef(Struct, frozen=True):
    """A task at a version."""

    id: str
    version: Int64


class TaskHeartbeatData(Struct, frozen=True):
    """Data of ``task.heartbeat``; an empty list means every task of ``pid``."""

    pid: str
    tasks: list[TaskRef]


class PromiseSearchData(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Data of ``promise.search``: filters, all of which must match, and the page.

    What stands from ``id_prefix`` on are extensions (section 8.6).
    """

    state: PromiseState | None = None
    tags: dict[str, str] | None = None
    limit: Int64 | None = None
    cursor: str | None = None
    id_prefix: str | None = None
    root_only: bool | None = None
    created_from: Int64 | None = None
    created_to: Int64 | None = None
    settled_from: Int64 | None = None
    settled_to: Int64 | None = None
    order: str | None = None
    counts: bool | None = None


class TaskSearchData(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Data of ``task.search``; ``id_prefix`` and ``counts`` are extensions (section 8.6)."""

    state: TaskState | None = None
    limit: Int64 | None = None
    cursor: str | None = None
    id_prefix: str | None = None
    counts: bool | None = None


class ScheduleCreateData(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Data of ``schedule.create``; ``promise_id`` is a template (section 5.3)."""

    id: str
    cron: str
    promise_id: str
    promise_timeout: Int64
    promise_param: Value | None = None
    promise_tags: dict[str, str] | None = None


class ScheduleSearchData(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Data of ``schedule.search``; ``id_prefix`` is an extension (section 8.6)."""

    tags: dict[str, str] | None = None
    limit: Int64 | None = None
    cursor: str | None = None
    id_prefix: str | None = None


class NoData(Struct, frozen=True):
    """Data of the kinds that need none."""


class TickData(Struct, frozen=True):
    """Data of ``debug.tick``: the instant at which the internal steps run."""

    time: Int64


# --- the kinds ------------------------------------------------------------------------------------


class Request(Struct, frozen=True, tag_field="kind"):
    """What all requests have."""

    head: Head


class PromiseGet(Request, frozen=True, tag="promise.get"):
    """Read a promise."""

    data: IdData


class PromiseCreate(Request, frozen=True, tag="promise.create"):
    """Create a promise; with a ``resonate:target`` tag also its task."""

    data: PromiseCreateData


class PromiseSettle(Request, frozen=True, tag="promise.settle"):
    """Settle a promise; the first settlement wins."""

    data: PromiseSettleData


class PromiseRegisterCallback(Request, frozen=True, tag="promise.register_callback"):
    """Wake the awaiter's task when the awaited promise settles."""

    data: RegisterCallbackData


class PromiseRegisterListener(Request, frozen=True, tag="promise.register_listener"):
    """Send an unblock to an address when the awaited promise settles."""

    data: RegisterListenerData


class TaskGet(Request, frozen=True, tag="task.get"):
    """Read a task."""

    data: IdData


class TaskCreate(Request, frozen=True, tag="task.create"):
    """Create a promise and hold its task at once."""

    data: TaskCreateData


class TaskAcquire(Request, frozen=True, tag="task.acquire"):
    """Take the lease of a pending task."""

    data: TaskAcquireData


class TaskFence(Request, frozen=True, tag="task.fence"):
    """Create or settle another promise, only while holding the task."""

    data: TaskFenceData


class TaskHeartbeat(Request, frozen=True, tag="task.heartbeat"):
    """Extend leases."""

    data: TaskHeartbeatData


class TaskSuspend(Request, frozen=True, tag="task.suspend"):
    """Give the lease back until one of the awaited promises settles."""

    data: TaskSuspendData


class TaskFulfill(Request, frozen=True, tag="task.fulfill"):
    """Settle the promise of a held task."""

    data: TaskFulfillData


class TaskRelease(Request, frozen=True, tag="task.release"):
    """Give the lease back; the task is dispatched again."""

    data: TaskReleaseData


class TaskHalt(Request, frozen=True, tag="task.halt"):
    """Stop dispatching a task."""

    data: IdData


class TaskContinue(Request, frozen=True, tag="task.continue"):
    """Dispatch a halted task again."""

    data: IdData


class PromiseSearch(Request, frozen=True, tag="promise.search"):
    """List promises."""

    data: PromiseSearchData


class TaskSearch(Request, frozen=True, tag="task.search"):
    """List tasks."""

    data: TaskSearchData


class ScheduleGet(Request, frozen=True, tag="schedule.get"):
    """Read a schedule."""

    data: IdData


class ScheduleCreate(Request, frozen=True, tag="schedule.create"):
    """Create promises at the occurrences of a cron expression from now on."""

    data: ScheduleCreateData


class ScheduleDelete(Request, frozen=True, tag="schedule.delete"):
    """Create no more promises; those that were created stay."""

    data: IdData


class ScheduleSearch(Request, frozen=True, tag="schedule.search"):
    """List schedules."""

    data: ScheduleSearchData


class DebugStart(Request, frozen=True, tag="debug.start"):
    """Pause timers and delivery."""

    data: NoData


class DebugStop(Request, frozen=True, tag="debug.stop"):
    """Resume timers and delivery."""

    data: NoData


class DebugReset(Request, frozen=True, tag="debug.reset"):
    """Delete everything."""

    data: NoData


class DebugSnap(Request, frozen=True, tag="debug.snap"):
    """Read everything, as stored."""

    data: NoData


class DebugTick(Request, frozen=True, tag="debug.tick"):
    """Run the internal steps at an instant, until none is enabled."""

    data: TickData


AnyRequest = (
    PromiseGet
    | PromiseCreate
    | PromiseSettle
    | PromiseRegisterCallback
    | PromiseRegisterListener
    | TaskGet
    | TaskCreate
    | TaskAcquire
    | TaskFence
    | TaskHeartbeat
    | TaskSuspend
    | TaskFulfill
    | TaskRelease
    | TaskHalt
    | TaskContinue
    | PromiseSearch
    | TaskSearch
    | ScheduleGet
    | ScheduleCreate
    | ScheduleDelete
    | ScheduleSearch
)
DebugRequest = DebugStart | DebugStop | DebugReset | DebugSnap | DebugTick
Search = PromiseSearch | TaskSearch | ScheduleSearch

KINDS: dict[str, type[Request]] = {
    str(cls.__struct_config__.tag): cls for cls in AnyRequest.__args__
}
DEBUG_KINDS: dict[str, type[Request]] = {
    str(cls.__struct_config__.tag): cls for cls in DebugRequest.__args__
}
