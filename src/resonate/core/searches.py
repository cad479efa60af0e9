"""Searches: which objects match, and in which order they are told (sections 5.2 and 8.6).

Everything is looked at through the deadline: a promise past it never counts as pending. The stores
answer with these rules, or, where they have an index to ask, with the same in their own words; the
tests of the stores hold them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from resonate.core.objects import Promise, Schedule, project
from resonate.protocol import requests as rq
from resonate.protocol.cursors import decode_cursor
from resonate.protocol.limits import INT64_MAX, INT64_MIN
from resonate.protocol.validation import PARENT

PROMISE_STATES = ("pending", "resolved", "rejected", "rejected_canceled", "rejected_timedout")
TASK_STATES = ("pending", "acquired", "suspended", "halted", "fulfilled")


def promises(found: Iterable[Promise], query: rq.PromiseSearchData, now: int) -> list[Promise]:
    """Return the promises behind the cursor that match, in order."""
    order = query.order or "id"
    matching = [
        each
        for each in found
        if matches(each, query, now)
        and query.state in (None, project(each, now).state)
        and is_behind(each, order, query.cursor)
    ]
    return sorted(matching, key=_KEYS[order])


def tasks(found: Iterable[Promise], query: rq.TaskSearchData, now: int) -> list[Promise]:
    """Return the promises behind the cursor whose tasks match, in order of id."""
    matching = [
        each
        for each in found
        if each.task is not None
        and each.id.startswith(query.id_prefix or "")
        and query.state in (None, task_state(each, now))
        and is_behind(each, "id", query.cursor)
    ]
    return sorted(matching, key=_KEYS["id"])


def schedules(found: Iterable[Schedule], query: rq.ScheduleSearchData) -> list[Schedule]:
    """Return the schedules behind the cursor that match, in order of id."""
    matching = [
        each
        for each in found
        if each.id.startswith(query.id_prefix or "")
        and _has(each.promise_tags, query.tags)
        and each.id > (query.cursor or "")
    ]
    return sorted(matching, key=lambda each: each.id)


def matches(promise: Promise, query: rq.PromiseSearchData, now: int) -> bool:
    """Tell whether all filters but the state match."""
    settled_at = project(promise, now).settled_at
    return (
        promise.id.startswith(query.id_prefix or "")
        and _has(promise.tags, query.tags)
        and (not query.root_only or promise.tags.get(PARENT, promise.id) == promise.id)
        and _within(promise.created_at, query.created_from, query.created_to)
        and (
            _within(settled_at, query.settled_from, query.settled_to)
            if settled_at is not None
            else query.settled_from is None and query.settled_to is None
        )
    )


def is_behind(promise: Promise, order: str, cursor: str | None) -> bool:
    """Tell whether the promise comes behind the cursor."""
    if cursor is None:
        return True
    if order == "id":
        return promise.id > cursor
    age = decode_cursor(cursor)
    assert age is not None, "a cursor is read before it is used"
    if promise.created_at == age[0]:
        return promise.id > age[1]
    return (promise.created_at > age[0]) == (order == "oldest")


def task_state(promise: Promise, now: int) -> str:
    """Return the state of the task as seen at ``now``."""
    task = project(promise, now).task
    assert task is not None, "asked for the task of a promise without a target"
    return task.state


def age_bounds(query: rq.PromiseSearchData) -> tuple[int, str]:
    """Return the instant and id that an order of age begins behind."""
    age = None if query.cursor is None else decode_cursor(query.cursor)
    return age or ((INT64_MAX if query.order == "newest" else INT64_MIN), "")


def id_bounds(prefix: str | None, cursor: str | None) -> tuple[str, str | None]:
    """Return where ids begin (that one included) and end (that one not; None: nowhere).

    No id has a NUL, so that the first one behind an id begins there with a NUL added to it.
    """
    low = max(prefix or "", "" if cursor is None else cursor + "\x00")
    return low, None if not prefix else _behind_prefix(prefix)


def _behind_prefix(prefix: str) -> str | None:
    """Return the first text that comes after all that begin with ``prefix``."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:  # no characters
        following = 0xE000
    return kept[:-1] + chr(following)


def _within(instant: int, start: int | None, end: int | None) -> bool:
    return (start is None or start <= instant) and (end is None or instant < end)


def _has(tags: dict[str, str], wanted: dict[str, str] | None) -> bool:
    return not wanted or wanted.items() <= tags.items()


_KEYS: dict[str, Callable[[Promise], Any]] = {
    "id": lambda promise: promise.id,
    "newest": lambda promise: (-promise.created_at, promise.id),
    "oldest": lambda promise: (promise.created_at, promise.id),
}
