"""Answers: what each request kind is answered with, and the envelope around it.

The HTTP status of a single answer equals ``head.status``. An answer other than 200 and 300 carries
its text as a bare string. Absent optional fields are omitted.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from resonate.protocol.records import PromiseRecord, ScheduleRecord, TaskRecord
from resonate.protocol.records import size as record_size
from resonate.protocol.requests import VERSION, TaskRef


class ResponseHead(Struct, frozen=True, rename="camel"):
    """Head of a response."""

    corr_id: str
    status: int
    version: str = VERSION


class Response(Struct, frozen=True):
    """The envelope of a response; ``data`` is one of the structs below, or a text."""

    kind: str
    head: ResponseHead
    data: Any


class RawResponse(Struct, frozen=True):
    """A response as a client first reads it, its data not yet decoded."""

    kind: str
    head: ResponseHead
    data: msgspec.Raw


class Nothing(Struct, frozen=True):
    """``{}``: the request was carried out and there is nothing to tell."""


class PromiseAnswer(Struct, frozen=True):
    """Answer of the promise kinds and of ``task.fulfill``."""

    promise: PromiseRecord


class TaskAnswer(Struct, frozen=True):
    """Answer of ``task.get``."""

    task: TaskRecord


class LeaseAnswer(Struct, frozen=True):
    """Answer of ``task.acquire`` and ``task.create``, and the data of a claimed execute."""

    task: TaskRecord
    promise: PromiseRecord
    preload: list[PromiseRecord]


class FenceAnswer(Struct, frozen=True):
    """Answer of ``task.fence``: the inner envelope."""

    action: Response
    preload: list[PromiseRecord]


class PreloadAnswer(Struct, frozen=True):
    """Answer 300 of ``task.suspend``: something awaited is settled already."""

    preload: list[PromiseRecord]


class HeartbeatAnswer(Struct, frozen=True, omit_defaults=True):
    """Answer of ``task.heartbeat``: the refs that were not renewed, if any."""

    lost: list[TaskRef] | None = None


class PromisesAnswer(Struct, frozen=True, omit_defaults=True):
    """Answer of ``promise.search``: a page; ``cursor`` continues it, and is not on the last one."""

    promises: list[PromiseRecord]
    cursor: str | None = None
    counts: dict[str, int] | None = None


class TasksAnswer(Struct, frozen=True, omit_defaults=True):
    """Answer of ``task.search``."""

    tasks: list[TaskRecord]
    cursor: str | None = None
    counts: dict[str, int] | None = None


class ScheduleAnswer(Struct, frozen=True):
    """Answer of ``schedule.get`` and ``schedule.create``."""

    schedule: ScheduleRecord


class SchedulesAnswer(Struct, frozen=True, omit_defaults=True):
    """Answer of ``schedule.search``."""

    schedules: list[ScheduleRecord]
    cursor: str | None = None


NOTHING = Nothing()


class Answer(Struct, frozen=True):
    """A status and its data, before they are put into an envelope."""

    status: int
    data: Any


_encoder = msgspec.json.Encoder()


def size(answer: Answer) -> int:
    """Return about how many bytes of records the answer holds."""
    data = answer.data
    if isinstance(data, FenceAnswer):
        data = data.action.data
    found = 0
    for several in ("preload", "promises", "tasks", "schedules"):
        found += sum(map(record_size, getattr(data, several, ())))
    for one in ("promise", "schedule"):
        if hasattr(data, one):
            found += record_size(getattr(data, one))
    return found


def respond(kind: str, corr_id: str, answer: Answer) -> Response:
    """Wrap ``answer`` in the envelope that answers request ``corr_id``."""
    return Response(kind, ResponseHead(corr_id, answer.status), answer.data)


def encode(response: Response | list[Response]) -> bytes:
    """Encode one response, or those of a batch, as JSON."""
    return _encoder.encode(response)
