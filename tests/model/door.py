"""The checks at the door, in the order of section 1.4, up to check 8: envelope, kind, shape.

Everything is refused by raising ``Refused``. A text that ends in ``*`` stands for any text that begins
alike: the reference leaves the detail free. What passes is returned cleaned: unknown fields dropped,
null for an optional field dropped, so that handlers see what the reference speaks of and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resonate.protocol.limits import INT64_MAX, INT64_MIN

VERSION = "2026-04-01"
DEBUG_TIME = "resonate:debug_time"
ENVELOPE = "Invalid request envelope: *"
SHAPE = "Invalid request: *"
NO_TIME = "Missing or invalid 'time' field"

KINDS = (
    *("promise.get", "promise.create", "promise.settle"),
    *("promise.register_callback", "promise.register_listener", "promise.search"),
    *("task.get", "task.create", "task.acquire", "task.release", "task.fulfill", "task.suspend"),
    *("task.fence", "task.heartbeat", "task.halt", "task.continue", "task.search"),
    *("schedule.get", "schedule.create", "schedule.delete", "schedule.search"),
)
DEBUG_KINDS = ("debug.start", "debug.stop", "debug.reset", "debug.snap", "debug.tick")
PROMISE_STATES = ("pending", "resolved", "rejected", "rejected_canceled", "rejected_timedout")
SETTLED_STATES = ("resolved", "rejected", "rejected_canceled")
TASK_STATES = ("pending", "acquired", "suspended", "halted", "fulfilled")


class Refused(Exception):
    """The answer of a check that failed."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


# ----------------------------------------------------------------------------- checks 2 to 7


def names(envelope: Any) -> tuple[str, str]:
    """Return the kind and corrId that an answer echoes, as far as they can be read."""
    kind, corr_id = "unknown", "0"
    if isinstance(envelope, dict):
        if isinstance(envelope.get("kind"), str):
            kind = envelope["kind"] or "unknown"  # an empty kind says as little as none
        head = envelope.get("head")
        if isinstance(head, dict) and isinstance(head.get("corrId"), str):
            corr_id = head["corrId"]
    return kind, corr_id


def check_envelope(envelope: Any, *, debug: bool, in_batch: bool) -> None:
    """Checks 2 to 7; authentication is off."""
    if not isinstance(envelope, dict):
        raise Refused(ENVELOPE)
    head = envelope.get("head")
    if not (isinstance(envelope.get("kind"), str) and isinstance(head, dict)):
        raise Refused(ENVELOPE)
    if not (isinstance(head.get("corrId"), str) and isinstance(head.get("version"), str)):
        raise Refused(ENVELOPE)
    if not isinstance(head.get("auth"), str | None):
        raise Refused(ENVELOPE)
    if "data" not in envelope:
        raise Refused(ENVELOPE)
    kind, version = envelope["kind"], head["version"]
    if kind == "":
        raise Refused("Missing or invalid 'kind' field — must be a non-empty string")
    if not isinstance(envelope["data"], dict):
        raise Refused("Invalid 'data' field — must be an object")
    if version != VERSION:
        supported = f'supported versions: ["{VERSION}"]'
        raise Refused(f"Unsupported protocol version '{version}', {supported}")
    if kind.startswith("debug."):
        if in_batch:
            raise Refused(f"Not allowed in a batch: {kind}")
        if not debug:
            raise Refused("Debug operations are disabled", 403)
    if kind not in KINDS and kind not in DEBUG_KINDS:
        raise Refused(f"Unknown operation: {kind}")


# ---------------------------------------------------------------------------- check 8: shapes

Reader = Callable[[Any], Any]  # returns the cleaned value, or raises Refused


def is_integer(found: Any) -> bool:
    """A JSON integer in int64: 1.0, "1" and true are none."""
    return type(found) is int and INT64_MIN <= found <= INT64_MAX


def _need(ok: bool) -> None:
    if not ok:
        raise Refused(SHAPE)


def string(found: Any) -> str:
    _need(isinstance(found, str))
    return str(found)


def integer(found: Any) -> int:
    _need(is_integer(found))
    return int(found)


def boolean(found: Any) -> bool:
    _need(isinstance(found, bool))
    return bool(found)


def anything(found: Any) -> Any:
    return found


def one_of(*allowed: str) -> Reader:
    def read(found: Any) -> Any:
        _need(isinstance(found, str) and found in allowed)
        return found

    return read


def strings(found: Any) -> dict[str, str]:
    _need(isinstance(found, dict) and all(isinstance(each, str) for each in found.values()))
    return dict(found)


def listed(item: Reader) -> Reader:
    def read(found: Any) -> list[Any]:
        _need(isinstance(found, list))
        return [item(each) for each in found]

    return read


def fields(
    needed: dict[str, Reader],
    optional: dict[str, Reader] | None = None,
    defaulted: dict[str, Reader] | None = None,
    *,
    nulls: bool = True,
) -> Reader:
    """Return a reader of an object.

    ``optional`` fields stay absent when absent or null. ``defaulted`` fields become ``{}``; in strict
    mode (``nulls`` false) they must not be null (section 4, row 11).
    """

    def read(found: Any) -> dict[str, Any]:
        _need(isinstance(found, dict))
        clean = {}
        for name, reader in needed.items():
            _need(name in found)
            clean[name] = reader(found[name])
        for name, reader in (optional or {}).items():
            if found.get(name) is not None:
                clean[name] = reader(found[name])
        for name, reader in (defaulted or {}).items():
            _need(nulls or name not in found or found[name] is not None)
            clean[name] = reader(found[name] if found.get(name) is not None else {})
        return clean

    return read


read_value = fields({}, {"headers": strings, "data": string})


def promise_create(strict: bool) -> Reader:
    return fields(
        {"id": string, "timeoutAt": integer},
        None,
        {"param": read_value, "tags": strings},
        nulls=not strict,
    )


def promise_settle(strict: bool) -> Reader:
    state = one_of(*SETTLED_STATES)
    return fields({"id": string, "state": state}, None, {"value": read_value}, nulls=not strict)


def register_callback(strict: bool) -> Reader:
    return fields({"awaited": string, "awaiter": string})


def action(data: Reader, strict: bool) -> Reader:
    """A nested request: its kind and head may be missing, but not in strict mode (row 9)."""

    def read(found: Any) -> dict[str, Any]:
        _need(isinstance(found, dict) and "data" in found)
        if strict:
            _need(found.get("kind") is not None and found.get("head") is not None)
        return {"kind": found.get("kind"), "data": data(found["data"])}

    return read


DEFAULTED = {"promise.create": ("param", "tags"), "promise.settle": ("value",)}


def _need_no_null(kind: str, data: Any) -> None:
    """Row 11 names its text, so it is not left to R22."""
    for name in DEFAULTED.get(kind, ()):
        _need(not isinstance(data, dict) or name not in data or data[name] is not None)


def fence_action(strict: bool) -> Reader:
    """The action of a fence: what its data looks like is looked at later (R22)."""

    def read(found: Any) -> dict[str, Any]:
        _need(isinstance(found, dict) and isinstance(found.get("kind"), str) and "data" in found)
        if strict:
            _need(found.get("head") is not None)
            _need_no_null(found["kind"], found["data"])
        return {"kind": found["kind"], "data": found["data"]}

    return read


def _search(filters: dict[str, Reader], extensions: dict[str, Reader], strict: bool) -> Reader:
    page = {"limit": integer, "cursor": string}
    tags = {"tags": filters.pop("tags")} if strict and "tags" in filters else {}
    return fields({}, {**filters, **page, **({} if strict else extensions)}, tags, nulls=not strict)


def shape_of(kind: str, strict: bool) -> Reader:
    """Return the reader of the data of a kind."""
    named = fields({"id": string})
    ref = {"id": string, "version": integer}
    prefix = {"idPrefix": string}
    counts = {"counts": boolean}
    bounds = ("createdFrom", "createdTo", "settledFrom", "settledTo")
    match kind:
        case "promise.create":
            return promise_create(strict)
        case "promise.settle":
            return promise_settle(strict)
        case "promise.register_callback":
            return register_callback(strict)
        case "promise.register_listener":
            return fields({"awaited": string, "address": string})
        case "promise.search":
            extensions = {**prefix, "rootOnly": boolean, "order": string, **counts}
            extensions |= dict.fromkeys(bounds, integer)
            return _search({"state": one_of(*PROMISE_STATES), "tags": strings}, extensions, strict)
        case "task.create":
            inner = action(promise_create(strict), strict)
            return fields({"pid": string, "ttl": integer, "action": inner})
        case "task.acquire":
            return fields({**ref, "pid": string, "ttl": integer})
        case "task.release":
            return fields(ref, {} if strict else {"delay": integer})
        case "task.fulfill":
            return fields({**ref, "action": action(promise_settle(strict), strict)})
        case "task.suspend":
            inner = action(register_callback(strict), strict)
            return fields({**ref, "actions": listed(inner)})
        case "task.fence":
            return fields({**ref, "action": fence_action(strict)})
        case "task.heartbeat":
            return fields({"pid": string, "tasks": listed(fields(ref))})
        case "task.search":
            return _search({"state": one_of(*TASK_STATES)}, {**prefix, **counts}, strict)
        case "schedule.create":
            return fields(
                {"id": string, "cron": string, "promiseId": string, "promiseTimeout": integer},
                None,
                {"promiseParam": read_value, "promiseTags": strings},
                nulls=not strict,
            )
        case "schedule.search":
            return _search({"tags": strings}, prefix, strict)
        case "debug.tick":
            return fields({"time": integer})
        case "debug.start" | "debug.stop" | "debug.reset" | "debug.snap":
            return fields({})
        case _:  # promise.get, task.get, task.halt, task.continue, schedule.get, schedule.delete
            return named


def check_shape(kind: str, data: Any, *, strict: bool) -> dict[str, Any]:
    """Check 8: return the cleaned data."""
    try:
        return shape_of(kind, strict)(data)
    except Refused:
        if kind == "debug.tick":
            raise Refused(NO_TIME) from None
        raise


def check_debug_time(envelope: dict[str, Any], data: dict[str, Any], now: int) -> int:
    """Return the instant of a request where debug operations are on (section 5.4).

    That a bad one is an invalid envelope, looked at last, is our choice: the reference has no word.
    """
    instant = envelope["head"].get(DEBUG_TIME)
    if instant is not None and not (is_integer(instant) and instant >= 0):
        raise Refused(ENVELOPE)
    if envelope["kind"] == "debug.tick":
        if instant is not None and instant != data["time"]:
            raise Refused("resonate:debug_time must equal data.time")
        return int(data["time"])
    return now if instant is None else int(instant)
