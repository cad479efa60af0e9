"""What a strict server refuses at the door and a lenient one does not: section 4, rows 8 to 11."""

from __future__ import annotations

import pytest

from resonate.protocol.envelope import LENIENT, Rules, read
from tests.protocol.bodies import (
    ANY,
    GONE,
    SEARCHES,
    STRICT,
    VALID,
    body,
    changed,
    inner,
    promise,
    refusal,
    send,
)

ACTING = ("task.create", "task.fulfill", "task.fence")
KIND = "Invalid action kind"


def lenient(kind, data):
    """Hold that a lenient server takes it."""
    assert not isinstance(send(kind, data, LENIENT), str)


@pytest.mark.parametrize("kind", [kind for kind in VALID if kind not in SEARCHES])
def test_a_strict_server_reads_what_is_whole_as_a_lenient_one_does(kind):
    found = send(kind, VALID[kind], STRICT)
    if kind == "task.release":
        assert found.data.delay is None
    else:
        assert found == send(kind, VALID[kind])


# --- row 8 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [STRICT, Rules(strict=True, debug=True)])
@pytest.mark.parametrize("kind", SEARCHES)
def test_row_8_searches_are_not_implemented(kind, rules):
    lenient(kind, VALID[kind])
    for data in (VALID[kind], {}):
        found = refusal(read(body(kind, data), rules))
        assert found == (501, "Not implemented", kind, "c")


@pytest.mark.parametrize("kind", SEARCHES)
def test_row_8_stands_behind_the_rules_of_fields(kind):
    assert send(kind, {"limit": 0}, STRICT) == "Limit must be a positive integer"
    assert send(kind, {"limit": 1_001}, STRICT).startswith("Invalid 'limit'")


# --- row 9 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*ACTING, "task.suspend"])
@pytest.mark.parametrize("field", ["kind", "head"])
@pytest.mark.parametrize("value", [GONE, None])
def test_row_9_an_action_has_a_kind_and_a_head(kind, field, value):
    place = "actions__0__" if kind == "task.suspend" else "action__"
    data = changed(kind, **{place + field: value})
    if (kind, field) == ("task.fence", "kind"):
        assert send(kind, data, STRICT).startswith("Invalid request: ")  # in both modes
        return
    lenient(kind, data)
    assert send(kind, data, STRICT) == f"Invalid request: missing field `{field}`"


def test_row_9_every_action_of_a_suspension_is_looked_at():
    actions = [inner(awaited="a", awaiter="t"), {"data": {"awaited": "b", "awaiter": "t"}}]
    data = changed("task.suspend", actions=actions)
    lenient("task.suspend", data)
    assert send("task.suspend", data, STRICT) == "Invalid request: missing field `kind`"


def test_row_9_comes_before_the_rules_of_fields():
    data = changed("task.create", pid="", action__head=GONE)
    assert send("task.create", data, STRICT) == "Invalid request: missing field `head`"


@pytest.mark.parametrize("data", [[], {}, {"id": 5}, {"id": "c"}])
def test_row_9_and_11_come_before_the_shape_of_what_is_in_an_action(data):
    for kind in ("task.create", "task.fence"):
        sent = changed(kind, action__head=None, action__data=data)
        assert send(kind, sent, STRICT) == "Invalid request: missing field `head`"
    sent = changed("task.fence", action__data={"id": 5, "tags": None})
    text = "Invalid request: `tags` of promise.create must not be null"
    assert send("task.fence", sent, STRICT) == text
    assert send("task.fence", sent).startswith("Invalid action data: ")


# --- row 10 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["task.create", "task.fulfill", "task.suspend"])
@pytest.mark.parametrize("wrong", ["", "nope", "promise.get", "task.fence", 5, {"a": 1}])
def test_row_10_an_action_has_the_kind_that_is_expected_there(kind, wrong):
    place = "actions__0__" if kind == "task.suspend" else "action__"
    data = changed(kind, **{place + "kind": wrong})
    lenient(kind, data)
    assert send(kind, data, STRICT) == KIND


def test_row_10_every_action_of_a_suspension_is_looked_at():
    actions = [inner(awaited="a", awaiter="t"), inner("promise.get", awaited="b", awaiter="t")]
    assert send("task.suspend", changed("task.suspend", actions=actions), STRICT) == KIND


def test_row_10_stands_behind_the_rules_of_fields():
    data = changed("task.fulfill", version=-1, action__kind="promise.create")
    assert send("task.fulfill", data, STRICT) == "Version must be a non-negative integer"


# --- row 11 ---------------------------------------------------------------------------------------

NULLS = [
    ("promise.create", "param"),
    ("promise.create", "tags"),
    ("promise.settle", "value"),
    ("schedule.create", "promiseParam"),
    ("schedule.create", "promiseTags"),
    ("promise.search", "tags"),
    ("schedule.search", "tags"),
    ("task.create", "action__data__param"),
    ("task.fulfill", "action__data__value"),
    ("task.fence", "action__data__param"),
    ("task.fence", "action__data__tags"),
]


@pytest.mark.parametrize(("kind", "field"), NULLS)
def test_row_11_what_is_left_out_is_not_null(kind, field):
    data = changed(kind, **{field: None})
    lenient(kind, data)
    name = field.split("__")[-1]
    text = send(kind, data, STRICT)
    assert text.startswith(f"Invalid request: `{name}` of ")
    assert text.endswith(" must not be null")


def test_row_11_for_a_promise_that_a_task_is_created_with():
    tags = {"resonate:target": ANY}
    data = changed("task.create", action__data=promise(tags=tags, param=None))
    text = "Invalid request: `param` of promise.create must not be null"
    assert send("task.create", data, STRICT) == text


def test_row_11_looks_at_the_fields_that_are_expected_there_whatever_the_kind_says():
    data = changed("task.fulfill", action__kind="nope", action__data__value=None)
    text = "Invalid request: `value` of promise.settle must not be null"
    assert send("task.fulfill", data, STRICT) == text


def test_row_11_for_a_settlement_in_a_fence():
    action = inner("promise.settle", id="c", state="resolved", value=None)
    data = changed("task.fence", action=action)
    lenient("task.fence", data)
    text = "Invalid request: `value` of promise.settle must not be null"
    assert send("task.fence", data, STRICT) == text


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("promise.create", {"param": {"headers": None, "data": None}}),
        ("promise.create", {"param": GONE, "tags": GONE}),
        ("promise.settle", {"value": GONE}),
        ("schedule.create", {"promiseParam": GONE, "promiseTags": GONE}),
        ("task.release", {"delay": None}),
        # in other kinds they are unknown fields
        ("promise.get", {"tags": None, "param": None, "action": None, "actions": 5}),
        ("promise.create", {"value": None, "promiseTags": None, "action": "x"}),
        ("promise.settle", {"param": None, "tags": None}),
        ("task.acquire", {"action": {"data": {}}, "actions": [{}]}),
        ("task.fulfill", {"action__data__param": None, "value": None}),
        ("task.suspend", {"actions__0__data__tags": None, "action": 7}),
    ],
)
def test_row_11_null_elsewhere_is_as_in_lenient_mode(kind, changes):
    lenient(kind, changed(kind, **changes))
    assert not isinstance(send(kind, changed(kind, **changes), STRICT), str)


@pytest.mark.parametrize(
    "odd", [b"1e400", b"[" * 900 + b"]" * 900, b'"\xff"', b'{"":1e400}', b" null "]
)
@pytest.mark.parametrize("field", [b"x", b"tags", b"action", b"actions"])
def test_what_an_unknown_field_holds_does_not_matter(field, odd):
    sent = body("promise.get", {"id": "p", "FIELD": 0})
    sent = sent.replace(b'"FIELD": 0', b'"' + field + b'":' + odd)
    assert read(sent, STRICT) == read(sent) == read(body("promise.get", {"id": "p"}))


# --- extensions are off ---------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [-1, 5, 86_400_001])
def test_a_delay_is_an_unknown_field_of_a_release(delay):
    found = send("task.release", changed("task.release", delay=delay), STRICT)
    assert found.data.delay is None


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("promise.search", {"order": "sideways"}),
        ("promise.search", {"order": "newest", "cursor": "?"}),
        ("promise.search", {"idPrefix": "x", "createdFrom": 5, "counts": True}),
        ("task.search", {"idPrefix": "x", "counts": True}),
        ("schedule.search", {"idPrefix": "x"}),
    ],
)
def test_extensions_of_searches_are_unknown_fields(kind, data):
    assert refusal(read(body(kind, data), STRICT))[:2] == (501, "Not implemented")
