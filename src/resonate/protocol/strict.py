"""Strict mode: what lenient servers let pass at the door and the specification does not.

Section 4. It is for conformance runs; published clients do not work with all of it. What is strict
about the handlers stands in ``core``, beside what it restricts.
"""

from __future__ import annotations

from typing import Any

import msgspec

from resonate.protocol import requests as rq

NOT_IMPLEMENTED = "Not implemented"
ACTION_KIND = "Invalid action kind"
_INNER = {
    "task.create": "promise.create",
    "task.fulfill": "promise.settle",
    "task.suspend": "promise.register_callback",
}
_NO_NULL = {  # by kind, what must be left out instead
    "promise.create": ("param", "tags"),
    "promise.settle": ("value",),
    "promise.search": ("tags",),
    "schedule.create": ("promiseParam", "promiseTags"),
    "schedule.search": ("tags",),
}
_ACTING = ("task.create", "task.fulfill", "task.fence")  # they have one request inside
_KNOWN = {  # by kind with extensions, what is none
    "task.release": ("id", "version"),
    "promise.search": ("state", "tags", "limit", "cursor"),
    "task.search": ("state", "limit", "cursor"),
    "schedule.search": ("tags", "limit", "cursor"),
}
_Fields = dict[str, msgspec.Raw]  # values stay as they came: what is in unknown ones is not read
_NULL = msgspec.Raw(b"null")
_fields = msgspec.json.Decoder(_Fields)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_malformed = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def plain(body: bytes) -> bytes:
    """Return the body without extensions (section 8): unknown fields, to a strict server."""
    envelope = _object(body)
    known = _KNOWN.get(_text(envelope, "kind"))
    if known is None or "data" not in envelope:
        return body
    data = _object(envelope["data"])
    kept = {name: value for name, value in data.items() if name in known}
    return msgspec.json.encode({**envelope, "data": kept}) if data else body


def shape(body: bytes) -> str | None:
    """Return what is missing, or null, that a lenient server does not miss."""
    envelope = _object(body)
    kind, data = _text(envelope, "kind"), _object(envelope.get("data", _NULL))
    for action in _actions(kind, data):
        for name in ("kind", "head"):
            if _is_null(action.get(name, _NULL)):
                return f"Invalid request: missing field `{name}`"
        inner = _INNER.get(kind) or _text(action, "kind")
        text = _null(inner, _object(action.get("data", _NULL)))
        if text is not None:
            return text
    return _null(kind, data)


def kinds(request: rq.Request) -> str | None:
    """Return why the kinds of inner requests are refused."""
    expected = _INNER.get(str(request.__struct_config__.tag))
    if expected is None:
        return None
    data: Any = request.data  # type: ignore[attr-defined]
    actions = data.actions if isinstance(request, rq.TaskSuspend) else [data.action]
    return None if all(each.kind == expected for each in actions) else ACTION_KIND


def _actions(kind: str, data: _Fields) -> list[_Fields]:
    """Return the requests inside a request."""
    if kind in _ACTING and "action" in data:
        return [_object(data["action"])]
    if kind == "task.suspend" and "actions" in data:
        try:
            return [_object(each) for each in _list.decode(data["actions"])]
        except _malformed:
            return []
    return []


def _null(kind: str, data: _Fields) -> str | None:
    for name in _NO_NULL.get(kind, ()):
        if name in data and _is_null(data[name]):
            return f"Invalid request: `{name}` of {kind} must not be null"
    return None


def _object(raw: msgspec.Raw | bytes) -> _Fields:
    """Return the fields of an object as they came; of anything else, none."""
    try:
        return _fields.decode(raw)
    except _malformed:
        return {}


def _text(fields: _Fields, name: str) -> str:
    try:
        return msgspec.json.decode(fields.get(name, _NULL), type=str)
    except _malformed:
        return ""


def _is_null(raw: msgspec.Raw) -> bool:
    return bytes(raw).strip() == b"null"
