"""Bodies of requests, valid ones of every kind and changed copies of them."""

from __future__ import annotations

import copy
import json
from typing import Any

from resonate.protocol import requests as rq
from resonate.protocol.envelope import LENIENT, Refusal, Rules, read

ANY = "poll://any@g"
HEAD = {"corrId": "c", "version": "2026-04-01"}
STRICT = Rules(strict=True)
DEBUG = Rules(debug=True)
ALL_RULES = (LENIENT, STRICT, DEBUG, Rules(strict=True, debug=True))
SEARCHES = ("promise.search", "task.search", "schedule.search")


def promise(**fields: Any) -> dict[str, Any]:
    """Return the data of a promise.create."""
    return {"id": "p", "timeoutAt": 100, "param": {}, "tags": {}, **fields}


def inner(kind: str = "promise.register_callback", /, **data: Any) -> dict[str, Any]:
    """Return a request inside a request, with what a client would send besides its data."""
    return {"kind": kind, "head": {"corrId": "i"}, "data": data}


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
        "action": inner("promise.create", **promise(tags={"resonate:target": ANY})),
    },
    "task.acquire": {"id": "t", "version": 0, "pid": "w", "ttl": 1},
    "task.fence": {
        "id": "t",
        "version": 0,
        "action": {"kind": "promise.create", "head": {}, "data": promise()},
    },
    "task.heartbeat": {"pid": "w", "tasks": [{"id": "t", "version": 0}]},
    "task.suspend": {"id": "t", "version": 0, "actions": [inner(awaited="a", awaiter="t")]},
    "task.fulfill": {
        "id": "t",
        "version": 0,
        "action": inner("promise.settle", id="t", state="resolved", value={}),
    },
    "task.release": {"id": "t", "version": 0, "delay": 0},
    "task.halt": {"id": "t"},
    "task.continue": {"id": "t"},
    "promise.search": {"state": "pending", "tags": {}, "limit": 1, "cursor": "p"},
    "task.search": {"state": "pending", "limit": 1, "cursor": "t"},
    "schedule.get": {"id": "s"},
    "schedule.create": {
        "id": "s",
        "cron": "* * * * *",
        "promiseId": "{{.id}}.{{.timestamp}}",
        "promiseTimeout": 100,
        "promiseParam": {},
        "promiseTags": {},
    },
    "schedule.delete": {"id": "s"},
    "schedule.search": {"tags": {}, "limit": 1, "cursor": "s"},
}

DEBUG_VALID: dict[str, dict[str, Any]] = {
    **{key: {} for key in ("debug.start", "debug.stop", "debug.reset", "debug.snap")},
    "debug.tick": {"time": 5},
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
            place.pop(last, None)
        else:
            place[last] = value
    return data


def body(kind: Any, data: Any, **fields: Any) -> bytes:
    """Return the body of a request."""
    return json.dumps({"kind": kind, "head": HEAD, "data": data, **fields}).encode()


def send(kind: str, data: Any, rules: Rules = LENIENT) -> rq.Request | str:
    """Return the request, or the text of its refusal with 400."""
    request = read(body(kind, data), rules)
    if isinstance(request, Refusal):
        assert (request.status, request.kind, request.corr_id) == (400, kind, "c")
        return request.text
    assert type(request) is rq.KINDS[kind]
    return request


def refusal(found: Any) -> tuple[int, str, str, str]:
    """Return what a refusal says: status, text, kind and corrId."""
    assert isinstance(found, Refusal), found
    return found.status, found.text, found.kind, found.corr_id
