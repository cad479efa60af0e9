"""Searches: they see what was answered before, hold nobody up, are bounded, and survive failures."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

import pytest

from resonate.engine.clock import Clock
from resonate.protocol import requests as rq
from resonate.protocol.errors import Unavailable
from resonate.protocol.records import Value
from tests.engine.cluster import ANY, FAR, HEAD, Gate, Worker, create, read
from tests.waiting import eventually, never


def promises(**query):
    return rq.PromiseSearch(HEAD, rq.PromiseSearchData(**query))


def tasks(**query):
    return rq.TaskSearch(HEAD, rq.TaskSearchData(**query))


def schedules(**query):
    return rq.ScheduleSearch(HEAD, rq.ScheduleSearchData(**query))


def schedule(schedule_id, **tags):
    data = rq.ScheduleCreateData(schedule_id, "* * * * *", "{{.timestamp}}", 5, None, tags or None)
    return rq.ScheduleCreate(HEAD, data)


def settle(promise_id):
    return rq.PromiseSettle(HEAD, rq.PromiseSettleData(promise_id, "resolved"))


def ids(answer):
    data = answer.data
    found = getattr(data, "promises", None) or getattr(data, "tasks", None)
    return [each.id for each in found or getattr(data, "schedules", [])]


@contextmanager
def blocked(server):
    """Let the store's searches wait until the end of the block."""
    gate = threading.Event()
    server.engine._store._searcher._executor.submit(gate.wait)
    try:
        yield gate
    finally:
        gate.set()


async def look(server, promise_id):
    """Return the object as the engine has it, not the file."""
    found = []
    await server.engine._store.transact(
        [promise_id], lambda objects: found.append(objects[promise_id]) or ()
    )
    return found[0]


# --- what they see --------------------------------------------------------------------------------


async def test_a_search_sees_every_request_that_was_answered(servers):
    async with servers.start() as server:
        for number in range(50):
            await server.create(f"p{number:02}", None)
            answer = await server.right(promises())
            assert [each.id for each in answer.promises] == [f"p{n:02}" for n in range(number + 1)]
        await server.settle("p07")
        assert ids(await server.ask(promises(state="resolved"))) == ["p07"]


async def test_each_kind_is_paged_by_its_own_limit(servers):
    async with servers.start() as server:
        await server.submit(*(create(f"p{n:03}") for n in range(120)))
        await server.submit(*(schedule(f"s{n:02}") for n in range(12)))
        for kind, names, page in (
            (promises, [f"p{n:03}" for n in range(120)], 100),
            (tasks, [f"p{n:03}" for n in range(120)], 100),
            (schedules, [f"s{n:02}" for n in range(12)], 10),
        ):
            first = await server.ask(kind())
            assert (ids(first), first.data.cursor) == (names[:page], names[page - 1])
            second = await server.ask(kind(cursor=first.data.cursor))
            assert (ids(second), second.data.cursor) == (names[page:], None)
            assert ids(await server.ask(kind(limit=3, id_prefix=names[5][:-1]))) == names[:3]


async def test_pages_by_age_go_on_behind_an_opaque_cursor(servers):
    async with servers.start() as server:
        for number in range(5):
            await server.create(f"p{number}", None)
        for order in ("newest", "oldest"):
            found, cursor = [], None
            while True:
                answer = (await server.ask(promises(order=order, limit=2, cursor=cursor))).data
                found += answer.promises
                cursor = answer.cursor
                if cursor is None:
                    break
            ages = [each.created_at for each in found]
            assert sorted(each.id for each in found) == [f"p{n}" for n in range(5)]
            assert ages == sorted(ages, reverse=order == "newest")


async def test_counts_name_every_state(servers):
    async with servers.start() as server:
        await server.create("a")
        await server.create("b", None)
        await server.settle("b")
        answer = await server.right(promises(counts=True, limit=1))
        assert answer.counts == {
            "pending": 1,
            "resolved": 1,
            "rejected": 0,
            "rejected_canceled": 0,
            "rejected_timedout": 0,
        }
        assert (await server.right(tasks(counts=True))).counts == {
            "pending": 1,
            "acquired": 0,
            "suspended": 0,
            "halted": 0,
            "fulfilled": 0,
        }


async def test_everything_is_seen_through_the_deadline(servers, monkeypatch):
    """Row 10 of the known defects: at that instant, before anything is written."""
    monkeypatch.setattr("resonate.engine.timers.TIMER_NAP_MS_MAX", 10**9)
    now = [1_000_000.0]
    async with servers.start(clock=Clock(lambda: now[0])) as server:
        at = 1_000_001_000
        await server.create("plain", None, timeout_at=at)
        await server.create("task", timeout_at=at)
        await server.create("timer", None, timeout_at=at, **{"resonate:timer": "true"})
        await eventually(lambda: not server.engine._timers._loading)
        server.engine._timers.stop()
        now[0] = 1_000_000.999
        assert len(ids(await server.ask(promises(state="pending")))) == 3
        now[0] = 1_000_001.0
        assert ids(await server.ask(promises(state="pending"))) == []
        assert ids(await server.ask(promises(state="rejected_timedout"))) == ["plain", "task"]
        assert ids(await server.ask(promises(state="resolved"))) == ["timer"]
        assert ids(await server.ask(tasks(state="fulfilled"))) == ["task"]
        assert ids(await server.ask(promises(settled_from=at, settled_to=at + 1))) == [
            "plain",
            "task",
            "timer",
        ]
        answer = await server.right(promises(counts=True))
        assert (answer.counts["pending"], answer.counts["rejected_timedout"]) == (0, 2)
        for record in answer.promises:
            assert record == (await server.get(record.id))
            assert record.settled_at == at
        assert {each.state for each in (await server.engine._store.snapshot()).values()} == {
            "pending"
        }


# --- among other requests -------------------------------------------------------------------------


async def test_in_a_batch_a_search_stands_between_the_writes(servers):
    async with servers.start() as server:
        answers = await server.submit(
            promises(),
            create("a", None),
            create("b", None),
            promises(),
            settle("a"),
            read("a"),
            promises(state="pending"),
            tasks(),
            create("c"),
            tasks(),
        )
        assert {answer.status for answer in answers} == {200}
        assert ids(answers[0]) == []
        assert ids(answers[3]) == ["a", "b"]
        assert answers[5].data.promise.state == "resolved"
        assert ids(answers[6]) == ["b"]
        assert (ids(answers[7]), ids(answers[9])) == ([], ["c"])


async def test_what_stands_before_a_search_is_durable_first(sqlite):
    async with sqlite.start() as server:
        gate = Gate(server)
        call = server.submit(create("a", None), promises())
        other = server.submit(promises())
        await eventually(lambda: server.engine._store.uncommitted("a"))
        late = server.submit(promises())
        await never(lambda: call.done() or late.done())
        gate.open()
        answers = await call
        assert ids(answers[1]) == ["a"]
        assert ids((await late)[0]) == ["a"]
        assert ids((await other)[0]) in ([], ["a"])


async def test_a_search_holds_nobody_up(sqlite):
    async with sqlite.start() as server:
        hold = asyncio.Event()
        found = server.engine._store.promises

        async def slow(*arguments):
            await hold.wait()
            return await found(*arguments)

        server.engine._store.promises = slow
        searching = server.submit(promises())
        for number in range(20):
            await server.create(str(number), None)
        assert not searching.done()
        hold.set()
        assert len(ids((await searching)[0])) == 20


async def test_a_search_that_takes_long_holds_up_no_worker_and_no_timer(sqlite):
    async with sqlite.start() as server:
        await server.create("a")
        await server.create("dies", None, timeout_at=server.engine._clock.now() + 30)
        with blocked(server) as blocking:
            searching = [server.submit(promises(counts=True)) for _ in range(3)]
            worker = Worker(server)  # what waits for it is read from the store
            await server.given(worker, "a")

            async def dead():
                return (await look(server, "dies")).state == "rejected_timedout"

            await eventually(dead)
            assert not any(call.done() for call in searching)
            assert not blocking.is_set()
        assert [ids((await call)[0]) for call in searching] == [["a", "dies"]] * 3


async def test_a_search_needs_nothing_that_the_server_itself_may_have_to_wait_for(sqlite):
    async with sqlite.start() as server:
        await server.create("a")
        gate = threading.Event()
        server.engine._store._scanner._executor.submit(gate.wait)
        try:
            assert (await server.right(promises(counts=True))).counts["pending"] == 1
            assert (await server.right(tasks(counts=True))).counts["pending"] == 1
            store = server.engine._store
            assert set(await asyncio.wait_for(store.snapshot(), 5)) == {"a"}
            assert await asyncio.wait_for(store.expendable("", 5, 5), 5) == ([], "a")
        finally:
            gate.set()


async def test_stopping_waits_for_the_search_under_way_and_no_other(sqlite):
    async with sqlite.start() as server:
        await server.create("a", None)
        with blocked(server):
            calls = [server.submit(promises()) for _ in range(30)]
            await never(lambda: any(call.done() for call in calls))
            stopping = asyncio.ensure_future(server.engine.stop())
            await never(stopping.done)
        await stopping
        assert [call.result()[0].status for call in calls] == [200] + [503] * 29


async def test_a_failing_element_does_not_stop_the_others(servers):
    async with servers.start() as server:
        answers = await server.submit(
            read("x"), promises(), settle("x"), create("x", None), tasks()
        )
        assert [answer.status for answer in answers] == [404, 200, 404, 200, 200]


# --- bounds ---------------------------------------------------------------------------------------


async def test_past_the_bound_of_waiting_searches_the_answer_is_503_at_once(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.alone.SEARCHES_MAX", 3)
    async with servers.start() as server:
        calls = [server.submit(promises()) for _ in range(5)]
        assert [call.done() for call in calls] == [False] * 3 + [True] * 2
        (answer,) = calls[-1].result()
        text = "Service unavailable: too many searches are waiting, try again in a second"
        assert (answer.status, answer.data) == (503, text)
        assert [(await call)[0].status for call in calls[:3]] == [200] * 3
        assert (await server.ask(promises())).status == 200  # there is room again
        refused = [server.submit(create("no", None), promises()) for _ in range(4)][-1]
        assert [answer.status for answer in await refused] == [503, 503]


async def test_what_comes_behind_too_large_an_answer_is_not_carried_out(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.alone.ANSWER_BYTES_MAX", 25_000)
    async with servers.start() as server:
        large = rq.PromiseCreateData("large", FAR, Value(None, "x" * 10_000), {})
        await server.right(rq.PromiseCreate(HEAD, large))
        answers = await server.submit(*[promises()] * 6, create("no", None), read("large"))
        assert [answer.status for answer in answers] == [200] * 3 + [503] * 5
        assert answers[-1].data == "Service unavailable: the answer to this batch is too large"
        assert (await server.ask(read("no"))).status == 404
        answers = await server.submit(*[read("large"), tasks()] * 6)
        assert [answer.status for answer in answers] == [200] * 5 + [503] * 7


@pytest.mark.parametrize("kind", [tasks, schedules])
async def test_pages_of_tasks_and_schedules_count_too(servers, monkeypatch, kind):
    monkeypatch.setattr("resonate.engine.alone.ANSWER_BYTES_MAX", 5_000)
    async with servers.start() as server:
        await server.create("x" * 2_000, ANY)
        await server.right(schedule("s", large="x" * 2_000))
        answers = await server.submit(*[kind()] * 5)
        assert [answer.status for answer in answers] == [200] * 3 + [503] * 2


# --- failures -------------------------------------------------------------------------------------


async def test_a_store_that_fails_during_a_search_is_recovered_from(sqlite, monkeypatch, caplog):
    monkeypatch.setattr("resonate.engine.recovery._SECONDS", (0.01, 0.05))
    async with sqlite.start() as server:
        found = server.engine._store.promises

        async def failing(*arguments):
            server.engine._store.promises = found
            raise Unavailable("the database cannot be read")

        server.engine._store.promises = failing
        answers = await server.submit(create("a", None), promises(), create("b", None))
        text = "Service unavailable: the database cannot be read"
        assert [answer.status for answer in answers] == [200, 503, 503]
        assert (answers[1].data, answers[2].data) == (text, text)
        assert server.engine.problem is not None
        assert (await server.ask(promises())).status == 503
        await eventually(lambda: server.engine.problem is None)
        assert ids(await server.ask(promises())) == ["a"]
        assert server.engine._alone._waiting == 0


async def test_a_search_that_fails_unexpectedly_is_answered_500(sqlite, monkeypatch, caplog):
    monkeypatch.setattr("resonate.engine.recovery._SECONDS", (0.01, 0.05))
    async with sqlite.start() as server:

        async def broken(*arguments):
            del server.engine._store.promises
            raise ZeroDivisionError("odd")

        server.engine._store.promises = broken
        answers = await server.submit(read("x"), promises(), create("b", None))
        assert [answer.status for answer in answers] == [404, 500, 500]
        assert answers[1].data == "Internal error: ZeroDivisionError: odd"
        await eventually(lambda: server.engine.problem is None)
        assert ids(await server.ask(promises())) == []


async def test_stopping_answers_what_is_searched(sqlite):
    async with sqlite.start() as server:
        await server.create("a", None)
        calls = [server.submit(promises(), create("b", None)) for _ in range(20)]
        await asyncio.sleep(0)
        await server.engine.stop()
        assert all(call.done() for call in calls)
        assert {answer.status for call in calls for answer in call.result()} <= {200, 503}
        assert (await server.ask(promises())).status == 503
