"""A kind stands in three places: a struct, a rule at the door, a handler. And some wire shapes."""

from __future__ import annotations

import json

import msgspec
import pytest

from resonate.core import machine
from resonate.protocol import requests as rq
from resonate.protocol import validation
from resonate.protocol.answers import (
    NOTHING,
    Answer,
    FenceAnswer,
    HeartbeatAnswer,
    LeaseAnswer,
    PreloadAnswer,
    PromiseAnswer,
    PromisesAnswer,
    ScheduleAnswer,
    SchedulesAnswer,
    TaskAnswer,
    TasksAnswer,
    encode,
    respond,
    size,
)
from resonate.protocol.errors import Overloaded, ServerError, StartError, Unavailable
from resonate.protocol.records import EMPTY, PromiseRecord, ScheduleRecord, TaskRecord, Value

KINDS = {
    "promise.get",
    "promise.create",
    "promise.settle",
    "promise.register_callback",
    "promise.register_listener",
    "task.get",
    "task.create",
    "task.acquire",
    "task.fence",
    "task.heartbeat",
    "task.suspend",
    "task.fulfill",
    "task.release",
    "task.halt",
    "task.continue",
    "schedule.get",
    "schedule.create",
    "schedule.delete",
}
SEARCHES = {"promise.search", "task.search", "schedule.search"}
DEBUG_KINDS = {"debug.start", "debug.stop", "debug.reset", "debug.snap", "debug.tick"}

PENDING = PromiseRecord("p", "pending", EMPTY, EMPTY, {}, 9, 1)
SETTLED = PromiseRecord("p", "resolved", Value({"h": "1"}), Value(data="x"), {"a": "b"}, 9, 1, 5)
TOLD_PENDING = {
    "id": "p",
    "state": "pending",
    "param": {},
    "value": {},
    "tags": {},
    "timeoutAt": 9,
    "createdAt": 1,
}
TOLD_SETTLED = {
    "id": "p",
    "state": "resolved",
    "param": {"headers": {"h": "1"}},
    "value": {"data": "x"},
    "tags": {"a": "b"},
    "timeoutAt": 9,
    "createdAt": 1,
    "settledAt": 5,
}
HELD = TaskRecord("p", "acquired", 3, 2, 60, "w")
PLANNED = ScheduleRecord("s", "* * * * *", "{{.id}}", 60, EMPTY, {}, 1, 9)
TOLD_PLANNED = {
    "id": "s",
    "cron": "* * * * *",
    "promiseId": "{{.id}}",
    "promiseTimeout": 60,
    "promiseParam": {},
    "promiseTags": {},
    "createdAt": 1,
    "nextRunAt": 9,
}
FIRED = ScheduleRecord("s", "* * * * *", "x", 0, Value(data="x"), {"a": "b"}, 1, 9, 5)
TOLD_FIRED = {
    **TOLD_PLANNED,
    "promiseId": "x",
    "promiseTimeout": 0,
    "promiseParam": {"data": "x"},
    "promiseTags": {"a": "b"},
    "lastRunAt": 5,
}
TOLD_HELD = {"id": "p", "state": "acquired", "version": 3, "resumes": 2, "ttl": 60, "pid": "w"}


# --- kinds ----------------------------------------------------------------------------------------


def test_structs_rules_and_handlers_are_of_the_same_kinds():
    assert set(rq.KINDS) == KINDS | SEARCHES
    assert set(validation.kinds()) == set(rq.KINDS.values())
    assert machine.kinds() == {rq.KINDS[kind] for kind in KINDS}


def test_a_search_has_no_handler_in_the_machine_and_a_debug_kind_no_rule():
    assert {rq.KINDS[kind] for kind in SEARCHES} == set(rq.Search.__args__)
    assert set(rq.DEBUG_KINDS) == DEBUG_KINDS
    assert not set(rq.DEBUG_KINDS.values()) & (set(validation.kinds()) | machine.kinds())


# --- answers --------------------------------------------------------------------------------------


def told(data, status=200):
    response = json.loads(encode(respond("some.kind", "c", Answer(status, data))))
    assert response["kind"] == "some.kind"
    assert response["head"] == {"corrId": "c", "status": status, "version": "2026-04-01"}
    return response["data"]


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (NOTHING, {}),
        ("Promise not found", "Promise not found"),
        (PromiseAnswer(PENDING), {"promise": TOLD_PENDING}),
        (PromiseAnswer(SETTLED), {"promise": TOLD_SETTLED}),
        (TaskAnswer(HELD), {"task": TOLD_HELD}),
        (
            LeaseAnswer(HELD, PENDING, [SETTLED]),
            {"task": TOLD_HELD, "promise": TOLD_PENDING, "preload": [TOLD_SETTLED]},
        ),
        (PreloadAnswer([]), {"preload": []}),
        (PromisesAnswer([]), {"promises": []}),
        (PromisesAnswer([PENDING], "p"), {"promises": [TOLD_PENDING], "cursor": "p"}),
        (PromisesAnswer([], None, {"pending": 0}), {"promises": [], "counts": {"pending": 0}}),
        (TasksAnswer([]), {"tasks": []}),
        (TasksAnswer([HELD], "p", {}), {"tasks": [TOLD_HELD], "cursor": "p", "counts": {}}),
        (ScheduleAnswer(PLANNED), {"schedule": TOLD_PLANNED}),
        (ScheduleAnswer(FIRED), {"schedule": TOLD_FIRED}),
        (SchedulesAnswer([]), {"schedules": []}),
        (SchedulesAnswer([PLANNED], "s"), {"schedules": [TOLD_PLANNED], "cursor": "s"}),
        (HeartbeatAnswer(), {}),
        (HeartbeatAnswer([rq.TaskRef("a", 3)]), {"lost": [{"id": "a", "version": 3}]}),
        (
            FenceAnswer(respond("promise.settle", "c", Answer(404, "Promise not found")), []),
            {
                "action": {
                    "kind": "promise.settle",
                    "head": {"corrId": "c", "status": 404, "version": "2026-04-01"},
                    "data": "Promise not found",
                },
                "preload": [],
            },
        ),
    ],
)
def test_an_answer_on_the_wire(data, wire):
    assert told(data) == wire


LARGE = PromiseRecord("12", "resolved", Value({"h": "45"}, "678"), EMPTY, {"t": "ag"}, 9, 1, 5)


@pytest.mark.parametrize(
    ("data", "bytes_"),
    [
        (PromiseAnswer(LARGE), 11),
        (PromiseAnswer(PENDING), 1),
        (PromiseAnswer(msgspec.structs.replace(LARGE, value=Value({"h": ""}, "xx"))), 14),
        (LeaseAnswer(HELD, LARGE, [LARGE, LARGE]), 33),
        (PreloadAnswer([LARGE, LARGE]), 22),
        (FenceAnswer(respond("promise.create", "c", Answer(200, PromiseAnswer(LARGE))), []), 11),
        (FenceAnswer(respond("promise.settle", "c", Answer(404, "Promise not found")), []), 0),
        (TaskAnswer(HELD), 0),
        (NOTHING, 0),
        ("Promise not found", 0),
    ],
)
def test_the_size_of_an_answer_is_that_of_its_promises_headers_and_all(data, bytes_):
    assert size(Answer(200, data)) == bytes_


def test_a_batch_of_answers_is_an_array():
    both = [respond("a", "1", Answer(200, NOTHING)), respond("b", "2", Answer(404, "x"))]
    assert [each["kind"] for each in json.loads(encode(both))] == ["a", "b"]


def test_absent_fields_are_omitted_and_never_null():
    for answer in (
        PromiseAnswer(PENDING),
        TaskAnswer(TaskRecord("p", "pending", 0, 0)),
        HeartbeatAnswer(),
        ScheduleAnswer(PLANNED),
        PromisesAnswer([PENDING]),
        TasksAnswer([]),
        SchedulesAnswer([PLANNED]),
    ):
        assert b"null" not in encode(respond("k", "c", Answer(200, answer)))


@pytest.mark.parametrize(
    "value",
    [Value(), Value({}), Value(data=""), Value({"h": ""}, '\u2028\x7f\U0001f600\x00"\\/')],
)
def test_a_value_comes_back_as_it_went_in(value):
    wire = json.loads(encode(respond("k", "c", Answer(200, value))))["data"]
    assert wire.get("data") == value.data
    assert wire.get("headers", {}) == (value.headers or {})


# --- records: the properties of section 9.2 that are about what is told ---------------------------


def test_well_formed_promise_record_hides_callbacks_and_listeners():
    assert set(TOLD_SETTLED) == {
        "id",
        "state",
        "param",
        "value",
        "tags",
        "timeoutAt",
        "createdAt",
        "settledAt",
    }
    assert told(PromiseAnswer(SETTLED))["promise"] == TOLD_SETTLED


def test_well_formed_task_record_hides_deadlines_and_resumes_is_a_count():
    assert set(told(TaskAnswer(HELD))["task"]) == {
        "id",
        "state",
        "version",
        "resumes",
        "ttl",
        "pid",
    }
    assert told(TaskAnswer(TaskRecord("p", "pending", 0, 0)))["task"]["resumes"] == 0


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ServerError("m"), 500, "Internal error: m"),
        (Unavailable("m"), 503, "Service unavailable: m"),
        (Overloaded("m"), 503, "Service unavailable: m"),
        (StartError("m"), 500, "Internal error: m"),
    ],
)
def test_an_error_knows_its_status_and_its_text(error, status, text):
    assert (error.status, error.text()) == (status, text)
    assert isinstance(error, ServerError)
