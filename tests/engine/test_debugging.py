"""Debug operations: time and delivery stand still until they are told to go on."""

from __future__ import annotations

import asyncio

import pytest

from resonate.core import steps
from resonate.core.objects import ScheduleKey
from resonate.protocol import requests as rq
from tests.engine.cluster import FAR, Worker, create
from tests.engine.debugs import DEBUG, STRICT, at, do, make, snap, tick
from tests.engine.targets import pushing, target
from tests.waiting import eventually, never


@pytest.fixture
def debug(servers):
    return lambda **options: servers.start(settings=DEBUG, **options)


# --- standing still -------------------------------------------------------------------------------


async def test_between_start_and_stop_no_timer_fires(debug):
    async with debug() as server:
        await do(server, rq.DebugStart)
        for number in range(3):
            deadline = server.engine._clock.now() + 20
            await server.create(f"p{number}", None, timeout_at=deadline)
        await server.create("lease")
        await server.acquire("lease", 0, "w", ttl=20)
        await eventually(lambda: server.engine._clock.now() > deadline + 50)
        stored = await server.engine._store.snapshot()
        assert {each.state for each in stored.values()} == {"pending"}
        assert stored["lease"].task.state == "acquired"
        assert (await server.get("p0")).state == "rejected_timedout"  # as seen, it is
        await do(server, rq.DebugStop)

        async def all_due_is_done():
            found = await server.engine._store.snapshot()
            states = [found[f"p{number}"].state for number in range(3)]
            return states == ["rejected_timedout"] * 3 and found["lease"].task.state == "pending"

        await eventually(all_due_is_done)


async def test_between_start_and_stop_nothing_is_delivered(servers):
    async with target() as peer, pushing(servers, settings=DEBUG) as server:
        early, offered = Worker(server, "x"), Worker(server, "o", "h", claim=False)
        caller = Worker(server, "c", capacity=0)
        await do(server, rq.DebugStart)
        await server.create("a")
        await server.create("b", "poll://any@h")
        await server.create("c", peer.url)
        await server.create("p", None)
        for address in ("poll://uni@g/c", "poll://uni@g/late", peer.url):
            await server.listen("p", address)
        await server.settle("p")
        late = Worker(server, "late", capacity=0)  # brings what waits for it, at other times
        server.engine.connections.pause(caller.member)
        server.engine.connections.resume(caller.member)
        everybody = [early, offered, caller, late]
        await never(lambda: any(each.messages for each in everybody) or peer.posts, 0.1)
        assert (await server.task("a")).state == "pending"
        await do(server, rq.DebugStop)
        await eventually(lambda: early.given == ["a"] and offered.given == ["b"])
        await eventually(lambda: set(caller.told) == set(late.told) == {"p"})
        await eventually(lambda: peer.tasks == ["c"] and peer.told == ["p"])


async def test_an_address_that_was_paused_is_not_tried_again_before_the_stop(memory, monkeypatch):
    monkeypatch.setattr("resonate.engine.push.PUSH_PAUSE_SECONDS", (0.03, 0.03))
    async with target() as peer, pushing(memory, settings=DEBUG) as server:
        peer.status = 500
        await server.create("p", None)
        await server.listen("p", peer.url)
        await server.settle("p")
        await eventually(lambda: peer.told)
        await do(server, rq.DebugStart)
        peer.status, count = 200, len(peer.posts)
        await never(lambda: len(peer.posts) > count, 0.1)
        await do(server, rq.DebugStop)
        await eventually(lambda: len(peer.posts) == count + 1)


async def test_starting_and_stopping_twice_is_once(debug):
    async with debug() as server:
        worker = Worker(server)
        await do(server, rq.DebugStop)  # it has not been started
        for operation in (rq.DebugStart, rq.DebugStart, rq.DebugStop, rq.DebugStop):
            await do(server, operation)
        await server.create("a")
        await server.given(worker, "a")


async def test_a_failure_while_standing_still_does_not_start_the_clock(
    servers, caplog, monkeypatch
):
    monkeypatch.setattr("resonate.engine.recovery._SECONDS", (0.01, 0.02))
    async with servers.start(settings=DEBUG) as server:
        worker = Worker(server)
        await do(server, rq.DebugStart)
        see = server.engine._holders.see

        def broken(before, after):
            server.engine._holders.see = see
            raise ValueError("oops")

        server.engine._holders.see = broken
        assert (await server.ask(create("x"))).status == 500
        await eventually(lambda: server.engine.problem is None)
        await server.create("a")
        await server.create("dies", None, timeout_at=server.engine._clock.now() + 10)
        await never(lambda: worker.messages)
        assert (await server.stored("dies")).state == "pending"
        await do(server, rq.DebugStop)
        await eventually(lambda: "a" in worker.given)


# --- tick -----------------------------------------------------------------------------------------


async def test_a_tick_takes_every_step_of_its_instant_and_none_of_a_later_one(debug):
    async with debug() as server:
        worker = Worker(server)
        await do(server, rq.DebugStart)
        cron = rq.ScheduleCreateData("s", "* * * * * *", "s{{.timestamp}}", 10**6)
        for request in (
            make("p", 5_000),
            make("awaiter", target="poll://any@g"),
            make("lease", target="poll://any@g"),
            rq.TaskAcquire(at(0), rq.TaskAcquireData("lease", 0, "w", 5_001)),
            rq.TaskAcquire(at(0), rq.TaskAcquireData("awaiter", 0, "w", 10**6)),
            rq.ScheduleCreate(at(0), cron),
        ):
            await server.right(request)
        action = rq.CallbackAction(rq.RegisterCallbackData("p", "awaiter"))
        await server.right(rq.TaskSuspend(at(0), rq.TaskSuspendData("awaiter", 1, [action])))

        await tick(server, 4_999)
        stored = await server.engine._store.snapshot()
        assert (stored["p"].state, stored["awaiter"].task.state) == ("pending", "suspended")
        assert {each for each in stored if str(each).startswith("s")} == {
            f"s{second}000" for second in (1, 2, 3, 4)
        }

        await tick(server, 5_000)
        stored = await server.engine._store.snapshot()
        assert (stored["p"].settled_at, stored["p"].callbacks) == (5_000, ())
        task = stored["awaiter"].task
        assert (task.state, task.version, task.retry_at, task.resumes) == (
            "pending",
            1,
            5_000,
            ("p",),
        )
        assert stored["lease"].task.state == "acquired"
        assert stored["s5000"].created_at == 5_000

        await tick(server, 5_001)
        assert (await server.engine._store.snapshot())["lease"].task.retry_at == 5_001
        before = await server.engine._store.snapshot()
        await tick(server, 5_001)
        assert await server.engine._store.snapshot() == before
        await never(lambda: worker.messages)


async def test_a_tick_fires_more_than_a_batch_holds(debug, monkeypatch):
    monkeypatch.setattr("resonate.engine.firing.OCCURRENCES_MAX", 7)
    async with debug() as server:
        await do(server, rq.DebugStart)
        for name in ("s", "t"):
            data = rq.ScheduleCreateData(name, "* * * * *", f"{name}{{{{.timestamp}}}}", 10**9)
            await server.right(rq.ScheduleCreate(at(0), data))
        await tick(server, 100 * 60_000)
        stored = await server.engine._store.snapshot()
        assert len(stored) == 2 + 200
        assert stored[ScheduleKey("t")].next_run_at == 101 * 60_000


async def test_a_strict_tick_leaves_the_deadline_of_an_internal_promise(servers):
    async with servers.start(settings=STRICT) as server:
        await do(server, rq.DebugStart)
        await server.right(make("internal", 5_000))
        await server.right(make("timer", 5_000, timer="true"))
        found = await snap(server)
        assert found["promiseTimeouts"] == [{"id": "timer", "timeout": 5_000}]
        await asyncio.wait_for(tick(server, 6_000), 5)
        stored = await server.engine._store.snapshot()
        assert (stored["internal"].state, stored["timer"].state) == ("pending", "resolved")
        answer = await server.right(rq.PromiseGet(at(6_000), rq.IdData("internal")))
        assert answer.promise.state == "rejected_timedout"


async def test_a_step_that_raises_does_not_make_a_tick_endless(debug, monkeypatch, caplog):
    real = steps.advance

    def advance(state, promise_id):
        real(state, promise_id)
        if promise_id == "bad":
            raise ValueError("oops")

    monkeypatch.setattr(steps, "advance", advance)
    async with debug() as server:
        await do(server, rq.DebugStart)
        await server.right(make("bad", 5))
        await server.right(make("good", 5))
        await asyncio.wait_for(tick(server, 6), 5)
        stored = await server.engine._store.snapshot()
        assert (stored["bad"].state, stored["good"].state) == ("pending", "rejected_timedout")


# --- the instant of a request ---------------------------------------------------------------------


async def test_a_request_is_decided_at_its_debug_time(debug):
    async with debug() as server:
        await do(server, rq.DebugStart)
        for instant in (7_000, 0, 3_000):  # it may go back
            answer = await server.right(make(f"p{instant}", now=instant))
            assert answer.promise.created_at == instant
        assert (await server.create("clock", None)).promise.created_at > 10**12
        calls = [server.submit(make(f"q{n}", now=n)) for n in (500, 400, 600)]  # in one batch
        assert [(await call)[0].data.promise.created_at for call in calls] == [500, 400, 600]


async def test_a_batch_has_one_time(debug):
    async with debug() as server:
        answers = await server.submit(make("a", now=5), make("b", now=9), make("c"))
        assert [answer.data.promise.created_at for answer in answers] == [5, 5, 5]


async def test_without_debug_the_debug_time_is_ignored(servers):
    async with servers.start() as server:
        answer = await server.right(make("a", now=5))
        assert answer.promise.created_at > 10**12
        search = rq.PromiseSearch(at(FAR + 1), rq.PromiseSearchData(state="pending"))
        assert len((await server.right(search)).promises) == 1


async def test_a_search_has_its_debug_time_too(debug):
    async with debug() as server:
        await do(server, rq.DebugStart)
        await server.right(make("a", 5_000))
        for now, count in ((4_999, 1), (5_000, 0)):
            search = rq.PromiseSearch(at(now), rq.PromiseSearchData(state="pending"))
            assert len((await server.right(search)).promises) == count
