"""Checks 9 to 12 of section 1.4: the rules R1 to R27 of section 2.5, limits, and strict door rules.

Written from the table of section 2.5, kind by kind. Field rules are collected and joined; every later
check answers with its first failing text. Rules of our own (not in the reference) are marked so.
"""

from __future__ import annotations

import re
from typing import Any

from resonate.protocol.addresses import parse_address
from resonate.protocol.cron import next_cron, parse_cron
from resonate.protocol.limits import (
    DELAY_MS_MAX,
    ID_BYTES_MAX,
    INT64_MAX,
    SEARCH_LIMIT_MAX,
    TAGS_BYTES_MAX,
    TAGS_MAX,
)
from tests.model.cursors import read_cursor
from tests.model.door import Refused, promise_create, promise_settle

TARGET, TIMER, DELAY = "resonate:target", "resonate:timer", "resonate:delay"
TIMER_TARGET = "A resonate:timer promise must not have a resonate:target tag"
INNER_KINDS = {
    "task.create": "promise.create",
    "task.fulfill": "promise.settle",
    "task.suspend": "promise.register_callback",
}


def check_rules(kind: str, data: dict[str, Any], now: int, *, strict: bool) -> None:
    """Raise Refused with what checks 9 to 12 say."""
    failing = list(dict.fromkeys(field_rules(kind, data, strict)))
    if failing:
        raise Refused("; ".join(failing))
    for text in cross_rules(kind, data, now, strict):
        raise Refused(text)
    if strict:
        strict_rules(kind, data)


# ------------------------------------------------------------------------- check 9: field rules


def field_rules(kind: str, data: dict[str, Any], strict: bool):
    """Yield the texts of the failing field rules, in field order."""
    match kind:
        case "promise.get":
            yield from r1(data)
        case "promise.create":
            yield from r1(data)
            yield from r2(data)
        case "promise.settle":
            yield from r1(data)
        case "promise.register_callback":
            yield from r6(data)
            yield from r7(data)
        case "promise.register_listener":
            yield from r6(data)
            if data["address"] == "":
                yield "Address is required"  # R9
        case "promise.search" | "task.search" | "schedule.search":
            if data.get("limit", 1) < 1:
                yield "Limit must be a positive integer"  # R11
        case "task.get" | "task.halt" | "task.continue":
            yield from r13(data)
        case "task.create":
            inner = data["action"]["data"]
            yield from r14(data)
            yield from r15(data)
            yield from r1(inner)
            yield from r2(inner)
            yield from r3(inner)
            yield from r4(inner)
        case "task.acquire":
            yield from r13(data)
            yield from r17(data)
            yield from r14(data)
            yield from r15(data)
        case "task.release":
            yield from r13(data)
            yield from r17(data)
            if data.get("delay", 0) < 0:
                yield "Delay must be a non-negative integer"  # section 8.5
        case "task.fulfill":
            yield from r13(data)
            yield from r17(data)
            yield from r1(data["action"]["data"])
        case "task.suspend":
            inner = [each["data"] for each in data["actions"]]
            yield from r13(data)
            yield from r17(data)
            if not inner:
                yield "Actions array cannot be empty"  # R19
            for rule in (r6, r7, r8):
                for each in inner:
                    yield from rule(each)
        case "task.fence":
            yield from r13(data)
            yield from r17(data)
        case "task.heartbeat":
            yield from r14(data)
        case "schedule.get" | "schedule.delete":
            yield from r23(data)
        case "schedule.create":
            yield from r23(data)
            if data["cron"] == "":
                yield "Cron expression is required"  # R24
            if data["promiseId"] == "":
                yield "Promise ID template is required"  # R25
            if data["promiseTimeout"] < 0:
                yield "Promise timeout must be a non-negative integer"  # R26


def r1(data: dict[str, Any]):
    if data["id"] == "":
        yield "Promise ID is required"


def r2(data: dict[str, Any]):
    if data["timeoutAt"] < 0:
        yield "TimeoutAt must be a non-negative integer"


def r3(data: dict[str, Any]):
    if "\0" in data["id"]:
        yield "Promise ID must not contain null bytes"


def r4(data: dict[str, Any]):
    first = list(delay_shape(data["tags"]))
    if first:
        yield from first
    elif DELAY in data["tags"] and delay_of(data["tags"]) >= data["timeoutAt"]:
        yield "resonate:delay must be less than timeoutAt"


def delay_of(tags: dict[str, str]) -> int:
    """Return the instant before which a task is not dispatched; it saturates like all instants."""
    digits = tags.get(DELAY, "0").lstrip("0") or "0"
    return INT64_MAX if len(digits) > 19 else min(int(digits), INT64_MAX)


def delay_shape(tags: dict[str, str]):
    """The first half of R4."""
    if DELAY in tags and not re.fullmatch("[0-9]+", tags[DELAY]):
        yield "resonate:delay must be a non-negative integer"


def r5(tags: dict[str, str]):
    if TARGET in tags and parse_address(tags[TARGET]) is None:
        yield "Invalid resonate:target address"


def r6(data: dict[str, Any]):
    if data["awaited"] == "":
        yield "Awaited promise ID is required"


def r7(data: dict[str, Any]):
    if data["awaiter"] == "":
        yield "Awaiter promise ID is required"


def r8(data: dict[str, Any]):
    if data["awaited"] == data["awaiter"]:
        yield "Awaited and awaiter must be different promises"


def r13(data: dict[str, Any]):
    if data["id"] == "":
        yield "Task ID is required"


def r14(data: dict[str, Any]):
    if data["pid"] == "":
        yield "Process ID is required"


def r15(data: dict[str, Any]):
    if data["ttl"] < 1:
        yield "TTL must be a positive integer"


def r17(data: dict[str, Any]):
    if data["version"] < 0:
        yield "Version must be a non-negative integer"


def r23(data: dict[str, Any]):
    if data["id"] == "":
        yield "Schedule ID is required"


# --------------------------------------------------------- checks 10 and 11: first failing text


def cross_rules(kind: str, data: dict[str, Any], now: int, strict: bool):
    """Yield the texts of the failing rules that look at more than one field, or behind a field."""
    match kind:
        case "promise.create":
            yield from r3(data)
            yield from r4(data)
            yield from r5(data["tags"])
            yield from tags_limits(data["tags"])
            yield from too_long(data["id"])
        case "promise.register_callback":
            yield from r8(data)
            yield from too_long(data["awaited"], data["awaiter"])
        case "promise.register_listener":
            if parse_address(data["address"]) is None:
                yield "Invalid listener address"  # R10
            yield from too_long(data["awaited"], data["address"])  # addresses, too: ours
        case "promise.search" | "task.search" | "schedule.search":
            yield from search_rules(data)
        case "task.create":
            inner = data["action"]["data"]
            if TARGET not in inner["tags"]:
                yield "Action must have a resonate:target tag"  # R16
            yield from r5(inner["tags"])
            yield from tags_limits(inner["tags"])
            yield from too_long(inner["id"], data["pid"])
        case "task.acquire":
            yield from too_long(data["id"], data["pid"])
        case "task.release":
            if data.get("delay", 0) > DELAY_MS_MAX:
                yield f"Delay must not exceed {DELAY_MS_MAX}"  # section 8.5
            yield from too_long(data["id"])
        case "task.fulfill":
            if data["action"]["data"]["id"] != data["id"]:
                yield "Action ID must match the task ID"  # R18
            yield from too_long(data["id"])
        case "task.suspend":
            inner = [each["data"] for each in data["actions"]]
            if any(each["awaiter"] != data["id"] for each in inner):
                yield "All action awaiter IDs must match the task ID"  # R20
            yield from too_long(data["id"], *(each["awaited"] for each in inner))
        case "task.fence":
            yield from fence_rules(data, strict)
        case "task.heartbeat":
            yield from too_long(data["pid"], *(each["id"] for each in data["tasks"]))
        case "schedule.create":
            yield from schedule_rules(data, now)
        case "debug.start" | "debug.stop" | "debug.reset" | "debug.snap" | "debug.tick":
            return
        case _:  # promise.get, promise.settle, task.get, task.halt, task.continue, schedule.…
            yield from too_long(data["id"])


def fence_rules(data: dict[str, Any], strict: bool):
    kind, inner = data["action"]["kind"], data["action"]["data"]
    if isinstance(inner, dict) and inner.get("id") == data["id"]:
        yield "Action ID must not equal the task ID"  # R21
    if kind not in ("promise.create", "promise.settle"):
        yield "Invalid fence action kind"  # R22
        return
    read = promise_create if kind == "promise.create" else promise_settle
    try:
        inner = data["action"]["data"] = read(strict)(inner)
    except Refused:
        raise Refused("Invalid action data: *") from None
    if kind == "promise.create":
        failing = [*r1(inner), *r2(inner)]
        if failing:
            yield "; ".join(failing)
        yield from r3(inner)
        yield from r4(inner)
        yield from r5(inner["tags"])
        yield from tags_limits(inner["tags"])
    else:
        yield from r1(inner)
    yield from too_long(data["id"], inner["id"])


def schedule_rules(data: dict[str, Any], now: int):
    if "\0" in data["id"]:
        yield "Schedule ID must not contain null bytes"  # ours
    if "\0" in data["promiseId"]:
        yield "Promise ID must not contain null bytes"  # ours
    yield from delay_shape(data["promiseTags"])
    yield from r5(data["promiseTags"])
    yield from tags_limits(data["promiseTags"])
    longest = expand(data["promiseId"], data["id"], INT64_MAX)
    yield from too_long(data["id"], data["promiseId"], longest)
    cron = parse_cron(data["cron"])
    if cron is None or next_cron(cron, now) is None:
        yield "Invalid cron expression"  # R27


def search_rules(data: dict[str, Any]):
    if data.get("limit", 1) > SEARCH_LIMIT_MAX:
        yield "Invalid 'limit' — must be between 1 and 1000"  # R12
    order = data.get("order", "id")
    if order not in ("id", "newest", "oldest"):
        yield "Invalid 'order' — must be one of id, newest, oldest"
    if order != "id" and "cursor" in data and read_cursor(data["cursor"]) is None:
        yield "Invalid cursor"


def tags_limits(tags: dict[str, str]):
    if len(tags) > TAGS_MAX:
        yield "Invalid request: too many tags"  # ours
    if sum(size(name) + size(text) for name, text in tags.items()) > TAGS_BYTES_MAX:
        yield "Invalid request: tags too large"  # ours


def too_long(*ids: str):
    if any(size(each) > ID_BYTES_MAX for each in ids):
        yield "Invalid request: id too long"


def size(text: str) -> int:
    return len(text.encode())


def expand(template: str, schedule_id: str, instant: int) -> str:
    """Section 5.3: every ``{{.id}}``, then every ``{{.timestamp}}``."""
    return template.replace("{{.id}}", schedule_id).replace("{{.timestamp}}", str(instant))


# ------------------------------------------------------------------ check 12: strict door rules


def strict_rules(kind: str, data: dict[str, Any]) -> None:
    """Rows 8, 10 and 1 of section 4; the others are shapes (9, 11) or in the handlers."""
    if kind in ("promise.search", "task.search", "schedule.search"):
        raise Refused("Not implemented", 501)
    if kind in INNER_KINDS:
        actions = data["actions"] if kind == "task.suspend" else [data["action"]]
        if any(each["kind"] != INNER_KINDS[kind] for each in actions):
            raise Refused("Invalid action kind")
