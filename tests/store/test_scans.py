"""Scans, on every store: what is due, ready, held, owed; limits and cursors."""

from __future__ import annotations

import pytest

from resonate.core.objects import Task
from resonate.protocol.addresses import uni_route
from resonate.protocol.validation import TARGET, TIMER
from resonate.store.contract import Held, Obligation, Ready
from tests.store.stores import FAR, ROUTE, acquired, promise, put, targeted

START = (-1, "")
TARGET_TEXT = "poll://any@g"


def ready_at(promise_id, retry_at, **fields):
    return targeted(promise_id, Task("pending", 0, retry_at=retry_at), **fields)


# --- due ------------------------------------------------------------------------------------------


async def test_due_tells_deadlines_leases_and_delayed_starts_in_order(stores):
    async with stores.open() as store:
        await put(
            store,
            promise("deadline", timeout_at=30),
            targeted("lease", acquired("p", 20), timeout_at=90),
            ready_at("delayed", 10, timeout_at=95),
            promise("settled", state="resolved", timeout_at=30),
            promise("far"),
        )
        assert await store.due(-1, 100, 10) == [
            (10, "delayed"),
            (20, "lease"),
            (30, "deadline"),
            (90, "lease"),
            (95, "delayed"),
        ]


async def test_due_begins_after_and_ends_with_its_bounds(stores):
    async with stores.open() as store:
        await put(store, *(promise(str(at), timeout_at=at) for at in (1, 2, 3, 4)))
        assert await store.due(1, 3, 10) == [(2, "2"), (3, "3")]
        assert await store.due(4, 4, 10) == []


async def test_due_gives_the_earliest_when_there_are_more_than_the_limit(stores):
    async with stores.open() as store:
        await put(
            store,
            *(targeted(f"l{at}", acquired("p", at)) for at in range(10, 30)),
            *(promise(f"d{at}", timeout_at=at) for at in range(5, 40)),
        )
        found = await store.due(-1, 100, 12)
        assert [at for at, _ in found] == [5, 6, 7, 8, 9, 10, 10, 11, 11, 12, 12, 13]


async def test_due_may_cut_through_one_instant_but_never_skips_an_earlier_one(stores):
    async with stores.open() as store:
        await put(
            store, promise("a", timeout_at=1), *(promise(str(n), timeout_at=2) for n in range(9))
        )
        found = await store.due(-1, 100, 4)
        assert found[0] == (1, "a")
        assert [at for at, _ in found[1:]] == [2, 2, 2]


async def test_a_task_that_was_ready_at_birth_is_not_due(stores):
    async with stores.open() as store:
        await put(store, ready_at("a", 10, created_at=10), ready_at("b", 11, created_at=10))
        assert await store.due(-1, 100, 10) == [(11, "b")]


# --- ready ----------------------------------------------------------------------------------------


async def test_ready_tells_tasks_of_one_route_by_instant_then_id(stores):
    other = {TARGET: "poll://uni@g/p"}
    async with stores.open() as store:
        await put(
            store,
            ready_at("b", 5),
            ready_at("a", 5),
            ready_at("c", 4),
            ready_at("late", 51),
            ready_at("dead", 3, timeout_at=50),
            targeted("held", acquired("p", 99)),
            targeted("parked", Task("suspended", 1)),
            targeted("uni", Task("pending", 7, retry_at=1), tags=other, route=uni_route("g", "p")),
            promise("no task"),
        )
        assert await store.ready(ROUTE, START, 50, 10) == [
            Ready("c", 0, 4, TARGET_TEXT),
            Ready("a", 0, 5, TARGET_TEXT),
            Ready("b", 0, 5, TARGET_TEXT),
        ]
        assert await store.ready(uni_route("g", "p"), START, 50, 10) == [
            Ready("uni", 7, 1, "poll://uni@g/p")
        ]
        assert await store.ready("poll://any@nobody", START, 50, 10) == []


async def test_a_timer_is_never_ready(stores):
    tags = {TARGET: TARGET_TEXT, TIMER: "true"}
    plain = {TARGET: TARGET_TEXT, TIMER: "yes"}
    async with stores.open() as store:
        await put(store, ready_at("timer", 0, tags=tags), ready_at("plain", 0, tags=plain))
        assert [each.id for each in await store.ready(ROUTE, START, 9, 9)] == ["plain"]


async def test_ready_goes_on_beyond_its_cursor(stores):
    async with stores.open() as store:
        await put(store, *(ready_at(f"{name}{at}", at) for at in (1, 2, 3) for name in "abc"))
        after, found = START, []
        while page := await store.ready(ROUTE, after, 9, 2):
            assert len(page) <= 2
            found += page
            after = (page[-1].retry_at, page[-1].id)
        assert [each.id for each in found] == ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3"]
        assert [each.id for each in await store.ready(ROUTE, (2, ""), 2, 9)] == ["a2", "b2", "c2"]


async def test_ready_tells_the_version_and_the_address_as_it_was_given(stores):
    address = "POLL://any@g/päron%20\u2028\x00'\""
    one = targeted("a", Task("pending", 3, retry_at=1, resumes=("x",)), tags={TARGET: address})
    async with stores.open() as store:
        await put(store, one)
        assert await store.ready(ROUTE, START, 9, 9) == [Ready("a", 3, 1, address)]


# --- held -----------------------------------------------------------------------------------------


async def test_held_tells_leases_by_id_in_pages(stores):
    async with stores.open() as store:
        await put(
            store,
            *(targeted(each, acquired(f"p{each}", 9, version=4)) for each in "dbca"),
            ready_at("e", 1),
            targeted("f", Task("fulfilled", 1), state="resolved"),
        )
        assert await store.held("", 2) == [Held("a", 4, "pa"), Held("b", 4, "pb")]
        assert await store.held("b", 9) == [Held("c", 4, "pc"), Held("d", 4, "pd")]
        assert await store.held("d", 9) == []


async def test_a_pid_can_be_any_text(stores):
    pid = "p'\"\x00\u2028\U0001f600\\"
    async with stores.open() as store:
        await put(store, targeted("a", acquired(pid, 9)))
        assert await store.held("", 9) == [Held("a", 1, pid)]
        assert (await store.snapshot())["a"].task.pid == pid


# --- obligations ----------------------------------------------------------------------------------


async def test_obligations_tell_settled_promises_that_somebody_waits_for(stores):
    to = ("poll://uni@g/p", "poll://any@é")
    async with stores.open() as store:
        await put(
            store,
            promise("b", state="resolved", settled_at=2, listeners=to),
            promise("a", state="rejected", settled_at=2, callbacks=("x", "y")),
            promise("c", state="rejected_timedout", settled_at=1, callbacks=("x",), listeners=to),
            promise("done", state="resolved"),
            promise("pending", listeners=to, callbacks=("x",)),
        )
        assert await store.obligations(START, 9) == [
            Obligation("c", 1, to, 1),
            Obligation("a", 2, (), 2),
            Obligation("b", 2, to, 0),
        ]
        assert await store.obligations((1, "c"), 1) == [Obligation("a", 2, (), 2)]
        assert await store.obligations((2, "b"), 9) == []


@pytest.mark.parametrize("limit", [1, 3])
async def test_scans_of_an_empty_store_are_empty(stores, limit):
    async with stores.open() as store:
        assert await store.due(-1, FAR, limit) == []
        assert await store.ready(ROUTE, START, FAR, limit) == []
        assert await store.held("", limit) == []
        assert await store.obligations(START, limit) == []
        assert await store.snapshot() == {}
