"""Records: what the server tells about promises, tasks and schedules.

Field names on the wire are camelCase; absent optional fields are omitted, never null.
Instants are integer milliseconds since the Unix epoch (UTC), durations integer milliseconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from resonate.protocol.limits import INT64_MAX, INT64_MIN

Int64 = Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX)]

PromiseState = Literal["pending", "resolved", "rejected", "rejected_canceled", "rejected_timedout"]
SettleState = Literal["resolved", "rejected", "rejected_canceled"]
TaskState = Literal["pending", "acquired", "suspended", "halted", "fulfilled"]


class Value(Struct, frozen=True, omit_defaults=True):
    """A payload, opaque to the server: ``headers`` and ``data`` come back byte for byte."""

    headers: dict[str, str] | None = None
    data: str | None = None


EMPTY = Value()


class PromiseRecord(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A durable promise as seen at one instant, its deadline applied."""

    id: str
    state: PromiseState
    param: Value
    value: Value
    tags: dict[str, str]
    timeout_at: int
    created_at: int
    settled_at: int | None = None


class TaskRecord(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A task as seen through its promise; ``ttl`` and ``pid`` only while acquired.

    ``resumes`` counts the settled promises that tried to wake it; ``version`` fences its writes.
    """

    id: str
    state: TaskState
    version: int
    resumes: int
    ttl: int | None = None
    pid: str | None = None


class ScheduleRecord(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A schedule: at every occurrence of ``cron`` a promise is created.

    ``promise_id`` is a template; each promise gets ``promise_timeout`` ms from its occurrence on.
    """

    id: str
    cron: str
    promise_id: str
    promise_timeout: int
    promise_param: Value
    promise_tags: dict[str, str]
    created_at: int
    next_run_at: int
    last_run_at: int | None = None


def size(record: PromiseRecord | TaskRecord | ScheduleRecord) -> int:
    """Return about how many bytes the record has."""
    found = len(record.id)
    if isinstance(record, PromiseRecord):
        return found + _of_strings(record.tags) + _of_value(record.param) + _of_value(record.value)
    if isinstance(record, ScheduleRecord):
        found += len(record.cron) + len(record.promise_id)
        return found + _of_strings(record.promise_tags) + _of_value(record.promise_param)
    return found + len(record.pid or "")


def _of_value(value: Value) -> int:
    return len(value.data or "") + _of_strings(value.headers or {})


def _of_strings(strings: dict[str, str]) -> int:
    return sum(map(len, strings)) + sum(map(len, strings.values()))
