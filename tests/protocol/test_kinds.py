"""A kind stands in three places: a struct, a rule at the door, a handler. And some wire shapes."""

from __future__ import annotations

import json

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
    TaskAnswer,
    encode,
    respond,
)
from resonate.protocol.errors import Overloaded, ServerError, StartError, Unavailable
from resonate.protocol.records import EMPTY, PromiseRecord, TaskRecord, Value

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
}

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
TOLD_HELD = {"id": "p", "state": "acquired", "version": 3, "resumes": 2, "ttl": 60, "pid": "w"}


# --- kinds ----------------------------------------------------------------------------------------


def test_structs_rules_and_handlers_are_of_the_same_kinds():
    assert set(rq.KINDS) == KINDS
    assert set(validation.kinds()) == set(rq.KINDS.values()) == machine.kinds()


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


def test_a_batch_of_answers_is_an_array():
    both = [respond("a", "1", Answer(200, NOTHING)), respond("b", "2", Answer(404, "x"))]
    assert [each["kind"] for each in json.loads(encode(both))] == ["a", "b"]


def test_absent_fields_are_omitted_and_never_null():
    for answer in (
        PromiseAnswer(PENDING),
        TaskAnswer(TaskRecord("p", "pending", 0, 0)),
        HeartbeatAnswer(),
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
