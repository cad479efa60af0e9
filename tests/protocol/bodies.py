"""Bodies of requests, valid ones of every kind and changed copies of them."""

from __future__ import annotations

import copy
import json
from typing import Any

from resonate.protocol import requests as rq
from resonate.protocol.envelope import Refusal, read

ANY = "poll://any@g"
HEAD = {"corrId": "c", "version": "2026-04-01"}


def promise(**fields: Any) -> dict[str, Any]:
    """Return the data of a promise.create."""
    return {"id": "p", "timeoutAt": 100, "param": {}, "tags": {}, **fields}


def inner(**data: Any) -> dict[str, Any]:
    """Return a request inside a request, with what a client would send besides its data."""
    return {"kind": "ignored", "head": {"corrId": "i"}, "data": data}


VALID: dict[str, dict[str, Any]] = {
    "promise.get": {"id": "p"},
    "promise.create": promise(),
    "promise.settle": {"id": "p", "state": "resolved", "value": {}},
    "promise.register_callback": {"awaited": "a", "awaiter": "b"},
    "promise.register_listener": {"awaited": "a", "address": ANY},
    "task.get": {"id": "t"},
    "task.create": {
        "pid": "w",
        "ttl": 1,
        "action": inner(**promise(tags={"resonate:target": ANY})),
    },
    "task.acquire": {"id": "t", "version": 0, "pid": "w", "ttl": 1},
    "task.fence": {
        "id": "t",
        "version": 0,
        "action": {"kind": "promise.create", "head": {}, "data": promise()},
    },
    "task.heartbeat": {"pid": "w", "tasks": [{"id": "t", "version": 0}]},
    "task.suspend": {"id": "t", "version": 0, "actions": [inner(awaited="a", awaiter="t")]},
    "task.fulfill": {"id": "t", "version": 0, "action": inner(id="t", state="resolved", value={})},
    "task.release": {"id": "t", "version": 0, "delay": 0},
    "task.halt": {"id": "t"},
    "task.continue": {"id": "t"},
}

GONE = object()


def changed(kind: str, **changes: Any) -> dict[str, Any]:
    """Return valid data with changes; ``a__b`` is field b of field a, a number is an element."""
    data = copy.deepcopy(VALID[kind])
    for path, value in changes.items():
        *parents, last = path.split("__")
        place: Any = data
        for parent in parents:
            place = place[int(parent) if parent.isdigit() else parent]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return data


def body(kind: Any, data: Any, **fields: Any) -> bytes:
    """Return the body of a request."""
    return json.dumps({"kind": kind, "head": HEAD, "data": data, **fields}).encode()


def send(kind: str, data: Any) -> rq.Request | str:
    """Return the request, or the text of its refusal with 400."""
    request = read(body(kind, data))
    if isinstance(request, Refusal):
        assert (request.status, request.kind, request.corr_id) == (400, kind, "c")
        return request.text
    assert type(request) is rq.KINDS[kind]
    return request
