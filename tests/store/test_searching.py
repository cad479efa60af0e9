"""Searches, pushed routes and what may be deleted, on every store."""

from __future__ import annotations

import pytest

from resonate.core.objects import Task
from resonate.protocol import requests as rq
from resonate.protocol.addresses import POLLED, any_route, function_routes
from resonate.protocol.cursors import encode_cursor
from resonate.protocol.limits import INT64_MAX, SEARCH_BYTES_MAX
from resonate.protocol.validation import BRANCH, ORIGIN, PARENT, TARGET, TIMER
from tests.store.stores import FAR, acquired, promise, put, targeted, value
from tests.store.test_keys import keep, schedule

NOW = 50
WORLD = (
    promise("a", created_at=3, tags={"k": "v", 'odd"\x00': "\u2028"}),
    promise("b", created_at=1, timeout_at=NOW),  # is over just now
    promise("c", created_at=3, timeout_at=9, tags={TIMER: "true", "k": "v"}),
    promise("d", created_at=2, state="rejected", settled_at=20, tags={PARENT: "d"}),
    promise("d.1", created_at=4, state="rejected_canceled", settled_at=30, tags={PARENT: "d"}),
    promise("é", created_at=5, state="resolved", settled_at=NOW, tags={"k": "w"}),
    promise("\U0001f600", created_at=0, timeout_at=NOW + 1),
)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ["a", "b", "c", "d", "d.1", "é", "\U0001f600"]),
        ({"limit": 9, "cursor": "c"}, ["d", "d.1", "é", "\U0001f600"]),
        ({"cursor": "cc"}, ["d", "d.1", "é", "\U0001f600"]),
        ({"state": "pending"}, ["a", "\U0001f600"]),
        ({"state": "resolved"}, ["c", "é"]),
        ({"state": "rejected"}, ["d"]),
        ({"state": "rejected_canceled"}, ["d.1"]),
        ({"state": "rejected_timedout"}, ["b"]),
        ({"tags": {"k": "v"}}, ["a", "c"]),
        ({"tags": {"k": "v", 'odd"\x00': "\u2028"}}, ["a"]),
        ({"tags": {"k": "v", "no": "v"}}, []),
        ({"id_prefix": "d"}, ["d", "d.1"]),
        ({"id_prefix": "d", "cursor": "d"}, ["d.1"]),
        ({"id_prefix": "d", "cursor": "a"}, ["d", "d.1"]),
        ({"id_prefix": "\U0001f600"}, ["\U0001f600"]),
        ({"root_only": True, "id_prefix": "d"}, ["d"]),
        ({"root_only": False, "id_prefix": "d"}, ["d", "d.1"]),
        ({"created_from": 3, "created_to": 5}, ["a", "c", "d.1"]),
        ({"settled_from": 20}, ["b", "d", "d.1", "é"]),
        ({"settled_to": 20}, ["c"]),
        ({"settled_from": 20, "settled_to": NOW}, ["d", "d.1"]),
        ({"order": "newest"}, ["é", "d.1", "a", "c", "d", "b", "\U0001f600"]),
        ({"order": "oldest"}, ["\U0001f600", "b", "d", "a", "c", "d.1", "é"]),
        ({"order": "newest", "cursor": encode_cursor(3, "a")}, ["c", "d", "b", "\U0001f600"]),
        ({"order": "oldest", "cursor": encode_cursor(3, "a")}, ["c", "d.1", "é"]),
        ({"order": "oldest", "cursor": encode_cursor(INT64_MAX, "")}, []),
        ({"order": "newest", "state": "pending", "id_prefix": "a"}, ["a"]),
    ],
    ids=repr,
)
async def test_promises_that_match_are_told_in_order(stores, query, ids):
    async with stores.open() as store:
        await put(store, *WORLD)
        await keep(store, schedule("a"))
        data = rq.PromiseSearchData(**query)
        found, more = await store.promises(data, NOW, 100)
        assert ([each.id for each in found], more) == (ids, False)
        found, more = await store.promises(data, NOW, 1)
        assert ([each.id for each in found], more) == (ids[:1], len(ids) > 1)


TREE = (
    promise("r.1", tags={ORIGIN: "r", "k": "v"}),
    promise("r.1.1", tags={ORIGIN: "r"}, state="resolved", settled_at=1),
    promise("r.2", tags={ORIGIN: "other"}),
    promise("r-", tags={ORIGIN: "r"}),
    promise("r:1", tags={ORIGIN: "r"}),
    promise("r/", tags={ORIGIN: "r"}),
    promise("rr", tags={ORIGIN: "r", "k": "v"}),
    promise("a", tags={ORIGIN: "r"}),
    promise("z.1", tags={ORIGIN: "r", "k": "v"}, state="rejected", settled_at=1),
    promise("R.3", tags={ORIGIN: "R"}),
    promise(".1", tags={ORIGIN: ""}),
    promise("1", tags={ORIGIN: ""}),
    promise("r\u00e9", tags={ORIGIN: "r\x00"}),
)


@pytest.mark.parametrize("rooted", [True, False])
@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ["a", "r", "r-", "r.1", "r.1.1", "r/", "r:1", "rr", "z.1"]),
        ({"state": "pending"}, ["a", "r", "r-", "r.1", "r/", "r:1", "rr"]),
        ({"state": "resolved"}, ["r.1.1"]),
        ({"cursor": "r"}, ["r-", "r.1", "r.1.1", "r/", "r:1", "rr", "z.1"]),
        ({"cursor": "r.1"}, ["r.1.1", "r/", "r:1", "rr", "z.1"]),
        ({"cursor": "r.9"}, ["r/", "r:1", "rr", "z.1"]),
        ({"id_prefix": "r."}, ["r.1", "r.1.1"]),
        ({"id_prefix": "r.1."}, ["r.1.1"]),
        ({"id_prefix": "z"}, ["z.1"]),
        ({"tags": {"k": "v"}}, ["r.1", "rr", "z.1"]),
        ({"order": "newest"}, ["a", "r", "r-", "r.1", "r.1.1", "r/", "r:1", "rr", "z.1"]),
        ({"tags": {ORIGIN: ""}}, [".1", "1"]),
        ({"tags": {ORIGIN: "r\x00"}}, ["r\u00e9"]),
        ({"tags": {ORIGIN: "R"}}, ["R.3"]),
        ({"tags": {ORIGIN: "nobody"}}, []),
    ],
    ids=repr,
)
async def test_a_tree_is_told_whatever_its_ids_are(stores, rooted, query, ids):
    expected = [each for each in ids if each != "r" or rooted]
    root = promise("r", tags={ORIGIN: "r"} if rooted else {})
    data = rq.PromiseSearchData(**{**query, "tags": {ORIGIN: "r", **query.get("tags", {})}})
    async with stores.open() as store:
        await put(store, root, *TREE)
        found, more = await store.promises(data, NOW, 100)
        assert ([each.id for each in found], more) == (expected, False)
        found, more = await store.promises(data, NOW, 2)
        assert ([each.id for each in found], more) == (expected[:2], len(expected) > 2)


async def test_a_page_is_bounded_by_bytes_and_has_one_object_at_least(stores):
    large = value("x" * 3_000_000)
    async with stores.open() as store:
        await put(store, *(promise(f"{number}", param=large) for number in range(9)))
        found, more = await store.promises(rq.PromiseSearchData(), NOW, 100)
        assert ([each.id for each in found], more) == (["0", "1", "2", "3", "4"], True)
        await put(store, promise("a", param=value("x" * SEARCH_BYTES_MAX)), promise("b"))
        found, more = await store.promises(rq.PromiseSearchData(cursor="9"), NOW, 100)
        assert ([each.id for each in found], more) == (["a"], True)


async def test_promises_are_counted_by_the_state_they_are_seen_in(stores):
    async with stores.open() as store:
        await put(store, *WORLD)
        everything = rq.PromiseSearchData(state="pending", cursor="x", limit=1)
        assert await store.count_promises(everything, NOW) == {
            "pending": 2,
            "resolved": 2,
            "rejected": 1,
            "rejected_canceled": 1,
            "rejected_timedout": 1,
        }
        some = rq.PromiseSearchData(tags={"k": "v"}, created_from=3)
        assert await store.count_promises(some, NOW) == {"pending": 1, "resolved": 1}


async def test_tasks_are_told_by_the_state_they_are_seen_in(stores):
    async with stores.open() as store:
        await put(
            store,
            promise("no task"),
            targeted("over", acquired("p", 99), timeout_at=NOW),
            targeted("p1"),
            targeted("p2", acquired("p", 9)),
            targeted("p3", Task("fulfilled", 1), state="resolved", settled_at=1),
        )
        for query, ids in [
            (rq.TaskSearchData(), ["over", "p1", "p2", "p3"]),
            (rq.TaskSearchData(state="fulfilled"), ["over", "p3"]),
            (rq.TaskSearchData(state="acquired"), ["p2"]),
            (rq.TaskSearchData(state="pending"), ["p1"]),
            (rq.TaskSearchData(id_prefix="p", cursor="p1"), ["p2", "p3"]),
        ]:
            found, more = await store.tasks(query, NOW, 9)
            assert ([each.id for each in found], more) == (ids, False)
        found, more = await store.tasks(rq.TaskSearchData(), NOW, 2)
        assert (len(found), more) == (2, True)
        counts = await store.count_tasks(rq.TaskSearchData(id_prefix="p"), NOW)
        assert counts == {"pending": 1, "acquired": 1, "fulfilled": 1}


async def test_schedules_are_told_by_tags_and_prefix(stores):
    async with stores.open() as store:
        await put(store, promise("s1"))
        await keep(
            store,
            schedule("s1", promise_tags={"k": "v"}),
            schedule("s2", promise_tags={"k": "w"}),
            schedule("t", promise_tags={"k": "v", "l": ""}),
        )
        for query, ids in [
            (rq.ScheduleSearchData(), ["s1", "s2", "t"]),
            (rq.ScheduleSearchData(tags={"k": "v"}), ["s1", "t"]),
            (rq.ScheduleSearchData(tags={"l": ""}), ["t"]),
            (rq.ScheduleSearchData(id_prefix="s"), ["s1", "s2"]),
            (rq.ScheduleSearchData(cursor="s1"), ["s2", "t"]),
        ]:
            found, more = await store.schedules(query, 9)
            assert ([each.id for each in found], more) == (ids, False)
        found, more = await store.schedules(rq.ScheduleSearchData(), 2)
        assert (len(found), more) == (2, True)


# --- routes ---------------------------------------------------------------------------------------


async def test_routes_are_those_of_pending_tasks_between_two_texts(stores):
    def task(name, url, **fields):
        return targeted(name, tags={TARGET: url}, route=url, **fields)

    async with stores.open() as store:
        await put(
            store,
            targeted("polled"),
            *(targeted(f"calls {each}", route=any_route("g", each)) for each in ("f", "f:2", "é")),
            targeted("calls another", route=any_route("g2", "f")),
            task("a", "http://b/2"),
            task("b", "http://b/2"),
            task("c", "https://a"),
            task("d", "http://a/1"),
            task("held", "http://held", task=acquired("p", 9)),
        )
        assert await store.routes("", POLLED, 9) == ["http://a/1", "http://b/2", "https://a"]
        assert await store.routes("", POLLED, 1) == ["http://a/1"]
        assert await store.routes("http://a/1", POLLED, 9) == ["http://b/2", "https://a"]
        mine = [any_route("g", each) for each in ("f", "f:2", "é")]
        assert await store.routes(*function_routes("g"), 9) == mine
        assert await store.routes(mine[0], function_routes("g")[1], 1) == mine[1:2]
        assert await store.routes(*function_routes("none"), 9) == []


# --- what may be deleted --------------------------------------------------------------------------


async def test_only_what_nothing_refers_to_is_expendable(stores):
    async with stores.open() as store:
        await put(
            store,
            promise("alive"),
            promise("awaits", callbacks=("awaiter",)),
            targeted("awaiter", Task("fulfilled", 1), state="resolved"),
            promise("branch", state="resolved", tags={BRANCH: "alive"}),
            promise("callback", state="resolved", callbacks=("alive",)),
            promise("dead family", state="resolved", tags={ORIGIN: "gone", PARENT: "old"}),
            promise("listener", state="resolved", listeners=("poll://any@g",)),
            promise("old", state="resolved", settled_at=5),
            promise("origin", state="resolved", tags={ORIGIN: "alive"}),
            promise("over", timeout_at=2),  # nobody has written that yet
            promise("own", state="resolved", tags={ORIGIN: "own", BRANCH: "own", PARENT: "own"}),
            promise("parent", state="resolved", tags={PARENT: "alive"}),
            promise("recent", state="resolved", settled_at=6),
        )
        assert await store.expendable("", 6, 99) == (["dead family", "old", "own"], "recent")
        assert await store.expendable("", 5, 99) == ([], "recent")
        assert await store.expendable("", FAR, 8) == (["dead family", "old"], "old")
        assert await store.expendable("old", FAR, 99) == (["own", "recent"], "recent")
        assert await store.expendable("recent", FAR, 99) == ([], None)
