"""The fast way and the slow one agree: bodies are held against a second reading, in plain Python.

The second reading takes JSON from the standard library and the shapes of section 2.5 from a table;
it knows nothing of msgspec. What it accepts must be read or refused by a rule of a field; what it
refuses must be refused by the same check.
"""

from __future__ import annotations

import copy
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resonate.protocol import requests as rq
from resonate.protocol import validation
from resonate.protocol.envelope import Refusal, read, read_batch
from tests.protocol.bodies import HEAD, VALID, changed

bounded = settings(max_examples=300, deadline=None)


# --- the second reading ---------------------------------------------------------------------------


def text(value: Any) -> bool:
    return isinstance(value, str)


def integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def anything(_value: Any) -> bool:
    return True


class optional:  # noqa: N801 - stands beside the other shapes
    def __init__(self, shape: Any) -> None:
        self.shape = shape

    def __call__(self, value: Any) -> bool:
        return value is None or self.shape(value)


def mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(text(each) for each in value.values())


def array(shape: Any) -> Any:
    return lambda value: isinstance(value, list) and all(shape(each) for each in value)


def fields(value: Any, /, **shapes: Any) -> bool:
    """Tell whether an object has the fields."""
    return isinstance(value, dict) and all(
        shape(value[name]) if name in value else isinstance(shape, optional)
        for name, shape in shapes.items()
    )


def shaped(**shapes: Any) -> Any:
    return partial(fields, **shapes)


VALUE = optional(shaped(headers=optional(mapping), data=optional(text)))
PROMISE = shaped(id=text, timeoutAt=integer, param=VALUE, tags=optional(mapping))
SETTLE = shaped(
    id=text, state=lambda value: value in ("resolved", "rejected", "rejected_canceled"), value=VALUE
)
CALLBACK = shaped(awaited=text, awaiter=text)
SHAPES = {
    **dict.fromkeys(("promise.get", "task.get", "task.halt", "task.continue"), shaped(id=text)),
    "promise.create": PROMISE,
    "promise.settle": SETTLE,
    "promise.register_callback": CALLBACK,
    "promise.register_listener": shaped(awaited=text, address=text),
    "task.create": shaped(pid=text, ttl=integer, action=shaped(data=PROMISE)),
    "task.acquire": shaped(id=text, version=integer, pid=text, ttl=integer),
    "task.release": shaped(id=text, version=integer, delay=optional(integer)),
    "task.fulfill": shaped(id=text, version=integer, action=shaped(data=SETTLE)),
    "task.suspend": shaped(id=text, version=integer, actions=array(shaped(data=CALLBACK))),
    "task.heartbeat": shaped(pid=text, tasks=array(shaped(id=text, version=integer))),
    "task.fence": shaped(id=text, version=integer, action=shaped(kind=text, data=anything)),
}
FIELDS = {each for each in vars(validation).values() if isinstance(each, str)}


def expected(envelope: Any) -> str | None:
    """Return how the refusal begins, or None when only the rules of fields are left."""
    broken = "Invalid request envelope: "
    if not fields(envelope, kind=text, head=anything, data=anything):
        return broken
    head, kind, data = envelope["head"], envelope["kind"], envelope["data"]
    if not fields(head, corrId=text, version=text, auth=optional(text)):
        return broken
    if kind == "":
        return "Missing or invalid 'kind' field"
    if not isinstance(data, dict):
        return "Invalid 'data' field"
    if head["version"] != "2026-04-01":
        return "Unsupported protocol version"
    if kind.startswith("debug."):
        return "Debug operations are disabled"
    if kind not in SHAPES:
        return "Unknown operation: "
    if not SHAPES[kind](data):
        return "Invalid request: "
    return expected_of_fence(data) if kind == "task.fence" else None


def expected_of_fence(data: dict[str, Any]) -> str | None:
    """Return how the refusal of a fence begins: its own rules come before its action's shape."""
    action = data["action"]
    named = isinstance(action["data"], dict) and action["data"].get("id") == data["id"]
    if data["id"] == "" or data["version"] < 0 or named:
        return None
    if action["kind"] not in {"promise.create", "promise.settle"}:
        return "Invalid fence action kind"
    shape = PROMISE if action["kind"] == "promise.create" else SETTLE
    return None if shape(action["data"]) else "Invalid action data: "


def agree(envelope: Any) -> None:
    found = read(json.dumps(envelope).encode())
    begins = expected(envelope)
    if begins is None:
        if isinstance(found, Refusal):
            assert set(found.text.split("; ")) <= FIELDS
        else:
            assert type(found) is rq.KINDS[envelope["kind"]]
    else:
        assert isinstance(found, Refusal), f"accepted, but: {begins}"
        assert found.text.startswith(begins)
    if isinstance(found, Refusal):
        told = envelope if isinstance(envelope, dict) else {}
        head = told.get("head")
        corr_id = head.get("corrId") if isinstance(head, dict) else None
        assert found.kind == (
            told["kind"] if text(told.get("kind")) and told["kind"] else "unknown"
        )
        assert found.corr_id == (corr_id if text(corr_id) else "0")


# --- bodies with a few things wrong ---------------------------------------------------------------

ODD = [
    None,
    True,
    False,
    0,
    1,
    -1,
    1.0,
    1e3,
    1.5,
    2**63 - 1,
    2**63,
    -(2**63),
    -(2**63) - 1,
    2**64,
    "",
    "1",
    "t",
    "p",
    "\x00",
    "\U0001f600",
    [],
    [None],
    {},
    {"id": "t"},
    {"a": 1},
    "promise.settle",
    "resolved",
    "2026-04-01",
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the ways to everything inside."""
    found = [path] if path else []
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, each in items:
        found += places(each, (*path, name))
    return found


def spoil(draw: Any, envelope: Any) -> Any:
    """Replace, remove or add something somewhere."""
    path = draw(st.sampled_from(places(envelope)))
    place = envelope
    for name in path[:-1]:
        place = place[name]
    how = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
    odd = copy.deepcopy(draw(st.sampled_from(ODD)))
    if how == "replace":
        place[path[-1]] = odd
    elif how == "remove":
        del place[path[-1]]
    elif isinstance(place, dict):
        place[draw(st.sampled_from(["x", "kind", "id", "delay", "auth"]))] = odd
    else:
        place.append(odd)
    return envelope


@bounded
@given(
    data=st.data(),
    kind=st.sampled_from([*VALID, "debug.tick", "nope"]),
    faults=st.sampled_from([0, 1, 1, 2, 3]),
)
def test_a_body_is_refused_exactly_when_the_second_reading_refuses_it(data, kind, faults):
    envelope = {"kind": kind, "head": dict(HEAD), "data": changed(kind) if kind in VALID else {}}
    for _ in range(faults):
        if places(envelope):
            spoil(data.draw, envelope)
    agree(envelope)


@pytest.mark.parametrize("kind", VALID)
def test_every_odd_value_in_every_place_is_read_alike(kind):
    whole = {"kind": kind, "head": HEAD, "data": VALID[kind]}
    for path in places(whole):
        for odd in ODD:
            envelope = json.loads(json.dumps(whole))
            place = envelope
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = odd
            agree(envelope)
        del place[path[-1]]
        agree(envelope)


@bounded
@given(
    st.recursive(
        st.sampled_from([None, True, 1, 1.5, "", "kind"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["kind", "head", "data", "id"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_json_is_read_alike(value):
    agree(value)


@bounded
@given(data=st.data(), kind=st.sampled_from(list(VALID)))
def test_broken_bytes_are_refused_and_never_raise(data, kind):
    body = json.dumps({"kind": kind, "head": HEAD, "data": VALID[kind]}).encode()
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, len(body)))
    broken = body[:start] + data.draw(st.binary(max_size=4)) + body[end:]
    found = read(broken)
    if isinstance(found, Refusal):
        assert found.status == 400
        assert found.text
    else:
        assert type(found) in rq.KINDS.values()
    assert isinstance(read_batch(b"[" + broken + b"]"), Refusal | list)
