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
from resonate.protocol.envelope import LENIENT, Refusal, Rules, read, read_batch
from tests.protocol.bodies import ALL_RULES, DEBUG_VALID, HEAD, VALID, changed

TIME = "resonate:debug_time"

bounded = settings(max_examples=300, deadline=None)


# --- the second reading ---------------------------------------------------------------------------


def text(value: Any) -> bool:
    return isinstance(value, str)


def integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def boolean(value: Any) -> bool:
    return isinstance(value, bool)


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


def one_of(*texts: str) -> Any:
    return lambda value: isinstance(value, str) and value in texts


VALUE = optional(shaped(headers=optional(mapping), data=optional(text)))
PROMISE = shaped(id=text, timeoutAt=integer, param=VALUE, tags=optional(mapping))
SETTLED = ("resolved", "rejected", "rejected_canceled")
SETTLE = shaped(id=text, state=one_of(*SETTLED), value=VALUE)
CALLBACK = shaped(awaited=text, awaiter=text)
PAGE = {"limit": optional(integer), "cursor": optional(text), "idPrefix": optional(text)}
BOUNDS = ("createdFrom", "createdTo", "settledFrom", "settledTo")
SHAPES = {
    **dict.fromkeys(("promise.get", "task.get", "task.halt", "task.continue"), shaped(id=text)),
    "promise.create": PROMISE,
    "promise.settle": SETTLE,
    "promise.register_callback": CALLBACK,
    "promise.register_listener": shaped(awaited=text, address=text),
    "promise.search": shaped(
        state=optional(one_of("pending", "rejected_timedout", *SETTLED)),
        tags=optional(mapping),
        rootOnly=optional(boolean),
        order=optional(text),
        counts=optional(boolean),
        **PAGE,
        **dict.fromkeys(BOUNDS, optional(integer)),
    ),
    "task.create": shaped(pid=text, ttl=integer, action=shaped(data=PROMISE)),
    "task.acquire": shaped(id=text, version=integer, pid=text, ttl=integer),
    "task.release": shaped(id=text, version=integer, delay=optional(integer)),
    "task.fulfill": shaped(id=text, version=integer, action=shaped(data=SETTLE)),
    "task.suspend": shaped(id=text, version=integer, actions=array(shaped(data=CALLBACK))),
    "task.heartbeat": shaped(pid=text, tasks=array(shaped(id=text, version=integer))),
    "task.fence": shaped(id=text, version=integer, action=shaped(kind=text, data=anything)),
    "task.search": shaped(
        state=optional(one_of("pending", "acquired", "suspended", "halted", "fulfilled")),
        counts=optional(boolean),
        **PAGE,
    ),
    **dict.fromkeys(("schedule.get", "schedule.delete"), shaped(id=text)),
    "schedule.create": shaped(
        id=text,
        cron=text,
        promiseId=text,
        promiseTimeout=integer,
        promiseParam=VALUE,
        promiseTags=optional(mapping),
    ),
    "schedule.search": shaped(tags=optional(mapping), **PAGE),
    **dict.fromkeys(("debug.start", "debug.stop", "debug.reset", "debug.snap"), shaped()),
    "debug.tick": shaped(time=integer),
}
FIELDS = {each for each in vars(validation).values() if isinstance(each, str)}
INNER = {
    "task.create": "promise.create",
    "task.fulfill": "promise.settle",
    "task.suspend": "promise.register_callback",
}
KNOWN = {  # to a strict server; it takes extensions for unknown fields
    "task.release": {"id", "version"},
    "promise.search": {"state", "tags", "limit", "cursor"},
    "task.search": {"state", "limit", "cursor"},
    "schedule.search": {"tags", "limit", "cursor"},
}
NO_NULL = {
    "promise.create": ("param", "tags"),
    "promise.settle": ("value",),
    "promise.search": ("tags",),
    "schedule.create": ("promiseParam", "promiseTags"),
    "schedule.search": ("tags",),
}


def expected(envelope: Any, rules: Rules) -> str | None:
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
    if kind.startswith("debug.") and not rules.debug:
        return "Debug operations are disabled"
    if kind not in SHAPES:
        return "Unknown operation: "
    if rules.strict:
        known = KNOWN.get(kind, data.keys())
        data = {name: each for name, each in data.items() if name in known}
    if not SHAPES[kind](data):
        return "Missing or invalid 'time'" if kind == "debug.tick" else "Invalid request: "
    if kind == "task.fence" and not fence_shape(data["action"]):
        refused = expected_if_strict(kind, data) if rules.strict else None
        return refused or expected_of_fence(data)
    refused = expected_of_time(head.get(TIME), kind, data) if rules.debug else None
    return expected_if_strict(kind, data) if refused is None and rules.strict else refused


def fence_shape(action: dict[str, Any]) -> bool:
    shape = {"promise.create": PROMISE, "promise.settle": SETTLE}.get(action["kind"])
    return shape is not None and shape(action["data"])


def expected_of_fence(data: dict[str, Any]) -> str | None:
    """Return how the refusal of a fence begins: its own rules come before its action's shape."""
    action = data["action"]
    named = isinstance(action["data"], dict) and action["data"].get("id") == data["id"]
    if data["id"] == "" or data["version"] < 0 or named:
        return None
    if action["kind"] not in {"promise.create", "promise.settle"}:
        return "Invalid fence action kind"
    return "Invalid action data: "


def expected_of_time(instant: Any, kind: str, data: dict[str, Any]) -> str | None:
    """Return how the refusal of an instant begins that debugging is given."""
    if instant is None:
        return None
    if not integer(instant) or instant < 0:
        return "Invalid request envelope: "
    if kind == "debug.tick" and instant != data["time"]:
        return "resonate:debug_time must equal data.time"
    return None


def expected_if_strict(kind: str, data: dict[str, Any]) -> str | None:
    """Return how the refusal of a strict server begins that speaks of a shape."""
    found = [(kind, data)]
    actions = data["actions"] if kind == "task.suspend" else [data.get("action")]
    for action in actions if kind in {*INNER, "task.fence"} else ():
        if action.get("kind") is None or action.get("head") is None:
            return "Invalid request: "
        if isinstance(action["data"], dict):
            found.append((INNER.get(kind, action["kind"]), action["data"]))
    for named, each in found:
        if any(name in each and each[name] is None for name in NO_NULL.get(named, ())):
            return "Invalid request: "
    return None


def expected_kinds(kind: str, data: dict[str, Any]) -> str | None:
    """Return what a strict server says where fields are in order."""
    if kind.endswith(".search"):
        return "Not implemented"
    actions = data["actions"] if kind == "task.suspend" else [data.get("action")]
    wrong = kind in INNER and any(each["kind"] != INNER[kind] for each in actions)
    return "Invalid action kind" if wrong else None


def agree(envelope: Any, rules: Rules = LENIENT) -> None:
    found = read(json.dumps(envelope).encode(), rules)
    begins = expected(envelope, rules)
    if begins is not None:
        assert isinstance(found, Refusal), f"accepted, but: {begins}"
        assert found.text.startswith(begins)
    elif not (isinstance(found, Refusal) and set(found.text.split("; ")) <= FIELDS):
        kind, data = envelope["kind"], envelope["data"]
        text_of_strict = expected_kinds(kind, data) if rules.strict else None
        if text_of_strict is None:
            assert type(found) is {**rq.KINDS, **rq.DEBUG_KINDS}[kind]
        else:
            assert isinstance(found, Refusal)
            assert found.text == text_of_strict
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
    kind=st.sampled_from([*VALID, *DEBUG_VALID, "debug.nope", "nope"]),
    faults=st.sampled_from([0, 1, 1, 2, 3]),
    rules=st.sampled_from(ALL_RULES),
)
def test_a_body_is_refused_exactly_when_the_second_reading_refuses_it(data, kind, faults, rules):
    head = dict(HEAD)
    if data.draw(st.sampled_from([False, False, True])):
        head[TIME] = data.draw(st.sampled_from([5, 6, -1, 2**63, "5", 5.0, None]))
    fields = changed(kind) if kind in VALID else dict(DEBUG_VALID.get(kind, {}))
    envelope = {"kind": kind, "head": head, "data": fields}
    for _ in range(faults):
        if places(envelope):
            spoil(data.draw, envelope)
    agree(envelope, rules)


@pytest.mark.parametrize("kind", [*VALID, *DEBUG_VALID])
def test_every_odd_value_in_every_place_is_read_alike(kind):
    whole = {"kind": kind, "head": HEAD, "data": {**VALID, **DEBUG_VALID}[kind]}
    for rules in ALL_RULES:
        agree(whole, rules)
        for path in places(whole):
            for odd in ODD:
                envelope = json.loads(json.dumps(whole))
                place = envelope
                for name in path[:-1]:
                    place = place[name]
                place[path[-1]] = odd
                agree(envelope, rules)
            del place[path[-1]]
            agree(envelope, rules)


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
@given(data=st.data(), kind=st.sampled_from(list(VALID)), rules=st.sampled_from(ALL_RULES))
def test_broken_bytes_are_refused_and_never_raise(data, kind, rules):
    body = json.dumps({"kind": kind, "head": HEAD, "data": VALID[kind]}).encode()
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, len(body)))
    broken = body[:start] + data.draw(st.binary(max_size=4)) + body[end:]
    found = read(broken, rules)
    if isinstance(found, Refusal):
        assert found.status == (501 if found.text == "Not implemented" else 400)
        assert found.text
    else:
        assert type(found) in rq.KINDS.values()
    assert isinstance(read_batch(b"[" + broken + b"]", rules), Refusal | list)
