"""Searches and preload: sections 5.1, 5.2 and 8.6. Everything is projected, nothing is indexed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resonate.protocol.limits import PRELOAD_RECORDS_MAX, SCHEDULE_SEARCH_LIMIT, SEARCH_LIMIT
from tests.model.cursors import read_cursor, write_cursor
from tests.model.door import PROMISE_STATES, TASK_STATES
from tests.model.world import BRANCH, Row, World, project, task_record


def preload(world: World, promise: Row, now: int, news: Sequence[Row] = ()) -> list[Row]:
    """News, then all promises of the branch but the promise itself, up to the cap of records."""
    branch = promise["tags"].get(BRANCH)
    others = [
        project(each, now)
        for each in _by_id(world.promises.values())
        if branch and each["tags"].get(BRANCH) == branch and each["id"] != promise["id"]
    ]
    found = {each["id"]: each for each in (*news, *others)}
    return list(found.values())[:PRELOAD_RECORDS_MAX]


def search_promises(world: World, data: Row, now: int) -> Row:
    found = [project(each, now) for each in _by_id(world.promises.values())]
    found = [each for each in found if _promise_matches(each, data)]
    counts = _counts(PROMISE_STATES, found)
    if "state" in data:
        found = [each for each in found if each["state"] == data["state"]]
    order = data.get("order", "id")
    if order == "id":
        page, cursor = _page(found, data, SEARCH_LIMIT)
    else:
        page, cursor = _page_by_age(found, data, newest=order == "newest")
    return _answer("promises", page, cursor, counts if data.get("counts") else None)


def search_tasks(world: World, data: Row, now: int) -> Row:
    found = []
    for task_id in world.tasks:
        viewed = world.tview(task_id, now)
        assert viewed is not None
        found.append(task_record(task_id, viewed[0]))
    found = [each for each in _by_id(found) if each["id"].startswith(data.get("idPrefix", ""))]
    counts = _counts(TASK_STATES, found)
    if "state" in data:
        found = [each for each in found if each["state"] == data["state"]]
    page, cursor = _page(found, data, SEARCH_LIMIT)
    return _answer("tasks", page, cursor, counts if data.get("counts") else None)


def search_schedules(world: World, data: Row) -> Row:
    found = [
        each
        for each in _by_id(world.schedules.values())
        if each["id"].startswith(data.get("idPrefix", ""))
        and _has_tags(each["promiseTags"], data.get("tags", {}))
    ]
    page, cursor = _page(found, data, SCHEDULE_SEARCH_LIMIT)
    return _answer("schedules", page, cursor, None)


def _by_id(records: Any) -> list[Row]:
    return sorted(records, key=lambda each: each["id"].encode())


def _has_tags(tags: dict[str, str], wanted: dict[str, str]) -> bool:
    return all(tags.get(name) == text for name, text in wanted.items())


def _promise_matches(promise: Row, data: Row) -> bool:
    """Every filter but the state."""
    if not promise["id"].startswith(data.get("idPrefix", "")):
        return False
    if not _has_tags(promise["tags"], data.get("tags", {})):
        return False
    parent = promise["tags"].get("resonate:parent")
    if data.get("rootOnly") and parent not in (None, promise["id"]):
        return False
    if "createdFrom" in data and promise["createdAt"] < data["createdFrom"]:
        return False
    if "createdTo" in data and promise["createdAt"] >= data["createdTo"]:
        return False
    if "settledFrom" in data or "settledTo" in data:
        if promise["state"] == "pending":
            return False
        if "settledFrom" in data and promise["settledAt"] < data["settledFrom"]:
            return False
        if "settledTo" in data and promise["settledAt"] >= data["settledTo"]:
            return False
    return True


def _counts(states: tuple[str, ...], found: list[Row]) -> dict[str, int]:
    return {state: sum(each["state"] == state for each in found) for state in states}


def _page(found: list[Row], data: Row, default: int) -> tuple[list[Row], str | None]:
    if "cursor" in data:
        after = data["cursor"].encode()
        found = [each for each in found if each["id"].encode() > after]
    limit = data.get("limit", default)
    page = found[:limit]
    return page, page[-1]["id"] if len(found) > limit else None


def _page_by_age(found: list[Row], data: Row, *, newest: bool) -> tuple[list[Row], str | None]:
    def age(created_at: int, promise_id: str) -> tuple[int, bytes]:
        return (-created_at if newest else created_at), promise_id.encode()

    found = sorted(found, key=lambda each: age(each["createdAt"], each["id"]))
    if "cursor" in data:
        position = read_cursor(data["cursor"])
        assert position is not None
        found = [each for each in found if age(each["createdAt"], each["id"]) > age(*position)]
    limit = data.get("limit", SEARCH_LIMIT)
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return page, write_cursor(last["createdAt"], last["id"]) if last else None


def _answer(name: str, page: list[Row], cursor: str | None, counts: Row | None) -> Row:
    answer: Row = {name: [dict(each) for each in page]}
    if cursor is not None:
        answer["cursor"] = cursor
    if counts is not None:
        answer["counts"] = counts
    return answer
