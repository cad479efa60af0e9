"""The door of the model: order and texts of sections 1.4 and 2.5."""

from __future__ import annotations

import json

import pytest

from resonate.protocol.limits import BODY_BYTES_MAX
from tests.model.client import FAR, TARGET, Client, action, envelope
from tests.model.model import Model

ENVELOPE = "Invalid request envelope: *"
SHAPE = "Invalid request: *"


def refused(asked: object) -> tuple[str, str, int, str]:
    """Return kind, corrId, status and text of the answer to a body."""
    status, answer = Model().body(asked if isinstance(asked, str) else json.dumps(asked), 5)
    assert status == answer["head"]["status"]
    return answer["kind"], answer["head"]["corrId"], status, answer["data"]


@pytest.mark.parametrize("body", ["", "{", "null", "5", '"x"', "NaN ,"])
def test_a_body_that_is_no_envelope_is_400(body):
    assert refused(body) == ("unknown", "0", 400, ENVELOPE)


def test_a_body_that_is_too_large_is_413():
    asked = refused(" " * (BODY_BYTES_MAX + 1))
    assert asked == ("unknown", "0", 413, "Request body too large")


def test_what_can_be_read_of_an_envelope_is_echoed():
    asked = {"kind": "promise.get", "head": {"corrId": "7"}, "data": {}}
    assert refused(asked) == ("promise.get", "7", 400, ENVELOPE)
    assert refused({**asked, "kind": 5}) == ("unknown", "7", 400, ENVELOPE)
    assert refused({"kind": "x"}) == ("x", "0", 400, ENVELOPE)


def test_the_checks_of_an_envelope_come_in_order():
    asked = {"kind": "", "head": {"corrId": "7", "version": "1"}, "data": 5}
    texts = [refused(asked)[3]]
    for name, better in (("kind", "x.y"), ("data", {}), ("head", None)):
        asked[name] = better or {"corrId": "7", "version": "2026-04-01"}
        texts.append(refused(asked)[3])
    assert texts == [
        "Missing or invalid 'kind' field — must be a non-empty string",
        "Invalid 'data' field — must be an object",
        "Unsupported protocol version '1', supported versions: [\"2026-04-01\"]",
        "Unknown operation: x.y",
    ]


def test_batches_are_refused_as_a_whole_when_empty_or_too_long():
    assert refused("[]")[3] == "Batch must not be empty"
    assert refused([0] * 1001)[3] == "Batch too large: 1001 requests, limit 1000"


def test_an_element_that_is_no_envelope_is_refused_in_its_place():
    asked = [5, envelope("promise.get", {"id": "a"})]
    status, answers = Model().body(json.dumps(asked), 5)
    found = [(each["kind"], each["head"]["status"], each["data"]) for each in answers]
    assert status == 200
    assert found == [("unknown", 400, ENVELOPE), ("promise.get", 404, "Promise not found")]


@pytest.mark.parametrize("wrong", [1.0, 1e3, "1", True, None, 2**63, -(2**63) - 1, [], {}])
def test_an_integer_is_a_json_integer_in_int64(wrong):
    assert Client().ask("promise.create", id="a", timeoutAt=wrong) == (400, SHAPE)


@pytest.mark.parametrize("strict", [False, True])
def test_null_for_an_optional_field_is_absent_in_lenient_mode_only(strict):
    client = Client(strict=strict)
    for name in ("param", "tags"):
        data = {"id": name, "timeoutAt": FAR, name: None}
        assert client.ask("promise.create", **data)[0] == (400 if strict else 200)


def test_failing_field_rules_are_joined_once_each_in_field_order():
    inner = {"id": "", "timeoutAt": -1, "tags": {"resonate:delay": "x"}}
    asked = Client().ask("task.create", pid="", ttl=0, action={"data": inner})
    assert asked[1].split("; ") == [
        "Process ID is required",
        "TTL must be a positive integer",
        "Promise ID is required",
        "TimeoutAt must be a non-negative integer",
        "resonate:delay must be a non-negative integer",
    ]
    nobody = {"data": {"awaited": "", "awaiter": ""}}
    asked = Client().ask("task.suspend", id="", version=-1, actions=[nobody, nobody])
    assert asked[1].split("; ") == [
        "Task ID is required",
        "Version must be a non-negative integer",
        "Awaited promise ID is required",
        "Awaiter promise ID is required",
        "Awaited and awaiter must be different promises",
    ]


def test_cross_field_rules_wait_for_field_rules_and_addresses_for_both():
    client = Client()
    tags = {"resonate:target": "", "resonate:delay": "9"}
    texts = []
    for promise_id, timeout_at, delay in (
        ("a\0", -1, "9"),
        ("a\0", 9, "9"),
        ("a", 9, "9"),
        ("a", 9, "8"),
    ):
        tags["resonate:delay"] = delay
        answer = client.ask("promise.create", id=promise_id, timeoutAt=timeout_at, tags=tags)
        texts.append(answer[1])
    assert texts == [
        "TimeoutAt must be a non-negative integer",
        "Promise ID must not contain null bytes",
        "resonate:delay must be less than timeoutAt",
        "Invalid resonate:target address",
    ]


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ({"kind": "x", "data": {"id": "t"}}, "Action ID must not equal the task ID"),
        ({"kind": "promise.get", "data": {}}, "Invalid fence action kind"),
        ({"kind": "promise.create", "data": {"id": "a"}}, "Invalid action data: *"),
        ({"kind": "promise.create", "data": 5}, "Invalid action data: *"),
        ({"kind": "promise.create"}, SHAPE),
        ({"data": {"id": "a", "timeoutAt": 1}}, SHAPE),
        (action("promise.create", id="", timeoutAt=1), "Promise ID is required"),
        (action("promise.settle", id="", state="resolved"), "Promise ID is required"),
    ],
)
def test_a_fence_is_checked_inside_before_its_task_is_looked_for(inner, text):
    assert Client().ask("task.fence", id="t", version=0, action=inner) == (400, text)


def test_a_promise_id_is_limited_in_bytes():
    client = Client()
    assert client.create("é" * 2048)[0] == 200
    assert client.create("é" * 2048 + "x") == (400, "Invalid request: id too long")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"cron": "0 0 * * 0"}, "Invalid cron expression"),
        ({"cron": "0 0 30 2 *"}, "Invalid cron expression"),
        ({"cron": "0 0 0 1 1 * 1970"}, "Invalid cron expression"),
        ({"cron": "", "id": ""}, "Schedule ID is required; Cron expression is required"),
        ({"id": "\0", "promiseId": "\0"}, "Schedule ID must not contain null bytes"),
        ({"promiseId": "\0"}, "Promise ID must not contain null bytes"),
        ({"promiseId": "{{.id}}" * 2, "id": "x" * 2049}, "Invalid request: id too long"),
        (
            {"promiseTags": {"resonate:delay": "-1"}},
            "resonate:delay must be a non-negative integer",
        ),
        ({"promiseTags": {"resonate:target": "x"}}, "Invalid resonate:target address"),
    ],
)
def test_a_schedule_is_checked_before_it_is_looked_for(changed, text):
    data = {"id": "s", "cron": "* * * * *", "promiseId": "p", "promiseTimeout": 1}
    assert Client(now=5).ask("schedule.create", **{**data, **changed}) == (400, text)


def test_a_tick_wants_a_time_that_agrees_with_its_head():
    model = Model()
    assert model.handle(envelope("debug.tick", {}), 5) == (400, "Missing or invalid 'time' field")
    asked = envelope("debug.tick", {"time": 6})
    asked["head"]["resonate:debug_time"] = 5
    assert model.handle(asked, 5) == (400, "resonate:debug_time must equal data.time")


def test_debug_start_and_stop_and_reset_answer_nothing():
    client = Client()
    client.create("a", TARGET)
    answers = [client.ask(f"debug.{each}") for each in ("start", "stop", "reset")]
    assert answers == [(200, {})] * 3
    assert all(found == [] for found in client.snap().values())
