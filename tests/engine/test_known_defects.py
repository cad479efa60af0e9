"""Defects of other servers (section 10 of the reference) that ours must not have: one test a row.

Rows that stand elsewhere, with more around them: 3 and 8 test_workflows, 4 test_giving, 5 test_push,
6 test_losing, 10 test_searches and test_preload, 11 test_workflows and test_push, 13 test_schedules,
19 test_batches and test_failing; 7, 12, 14 to 17 are about HTTP (tests/gateway), 18 about tokens.
"""

from __future__ import annotations

import pytest

from resonate.engine.clock import Clock
from resonate.protocol import requests as rq
from resonate.protocol.limits import INT64_MAX
from tests.engine.cluster import FAR, HEAD, Worker, create
from tests.engine.debugs import DEBUG, do, snap
from tests.engine.targets import pushing, target
from tests.waiting import eventually, never


async def parked(server, task_id, *awaited, version=1):
    """Make a workflow that awaits promises."""
    await server.create(task_id, "poll://any@parked")
    await server.acquire(task_id, version - 1, "holder")
    await server.suspend(task_id, version, *awaited)


async def callback(server, awaited, awaiter):
    data = rq.RegisterCallbackData(awaited, awaiter)
    return await server.right(rq.PromiseRegisterCallback(HEAD, data))


async def test_row_1_an_awaiter_past_its_own_deadline_is_not_woken(servers):
    async with servers.start() as server:
        await server.create("awaited", None)
        at = server.engine._clock.now() + 30
        await server.create("flow", timeout_at=at)
        await server.acquire("flow", 0, "w")
        await server.suspend("flow", 1, "awaited")
        server.engine._timers.stop()  # nobody writes its deadline
        await eventually(lambda: server.engine._clock.now() >= at)
        worker, offered = Worker(server, "x"), Worker(server, "y", claim=False)
        await server.settle("awaited")
        await never(lambda: worker.messages or offered.messages)
        stored = await server.stored("flow")
        assert (stored.state, stored.task.state) == ("rejected_timedout", "fulfilled")
        assert (stored.task.version, stored.task.resumes) == (1, ())


@pytest.mark.parametrize("tag", ["timer", "external", None])
async def test_row_2_every_deadline_comes_although_nobody_asks(servers, tag):
    async with servers.start() as server:
        at = server.engine._clock.now() + 60
        tags = {} if tag is None else {f"resonate:{tag}": "true"}
        await server.create("due", None, timeout_at=at, **tags)
        await parked(server, "flow", "due")
        worker = Worker(server, group="parked")
        await server.given(worker, "flow")
        assert server.engine._clock.now() >= at
        state = "resolved" if tag == "timer" else "rejected_timedout"
        assert (await server.stored("due")).state == state


async def test_row_9_nothing_works_on_a_dead_task(servers):
    async with servers.start() as server:
        at = server.engine._clock.now() + 60
        for each in ("held", "waits", "halted"):
            await server.create(each, "poll://any@dead", timeout_at=at)
        await server.acquire("held", 0, "w", ttl=60_000)
        await server.right(rq.TaskHalt(HEAD, rq.IdData("halted")))
        server.engine._timers.stop()  # nobody writes the deadlines
        await eventually(lambda: server.engine._clock.now() >= at)
        before = await server.stored("held")
        assert (await server.heartbeat("w", ("held", 1))).lost == [rq.TaskRef("held", 1)]
        assert await server.stored("held") == before
        assert (await server.ask(rq.TaskHalt(HEAD, rq.IdData("held")))).status == 409
        assert (await server.ask(rq.TaskContinue(HEAD, rq.IdData("halted")))).status == 409
        assert (await server.acquire("waits", 0, "w")).status == 409
        inner = rq.CreateAction(
            rq.PromiseCreateData("waits", FAR, None, {"resonate:target": "poll://any@dead"})
        )
        taken = await server.right(rq.TaskCreate(HEAD, rq.TaskCreateData("w", 5, inner)))
        assert (taken.task.state, taken.task.version) == ("fulfilled", 0)
        worker, offered = Worker(server, "x", "dead"), Worker(server, "y", "dead", claim=False)
        await never(lambda: worker.messages or offered.messages)


async def test_row_15_a_1_is_sunday(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.timers.TIMER_NAP_MS_MAX", 2)
    now = [1_767_571_200.0]  # Monday, 2026-01-05
    async with servers.start(clock=Clock(lambda: now[0])) as server:
        data = rq.ScheduleCreateData("s", "0 0 * * 1", "{{.timestamp}}", 10**12)
        await server.right(rq.ScheduleCreate(HEAD, data))
        now[0] += 14 * 86_400

        async def fired():
            found = await server.engine._store.snapshot()
            fired = {key for key in found if isinstance(key, str)}
            return fired == {"1768089600000", "1768694400000"}  # 2026-01-11 and 2026-01-18

        await eventually(fired)


async def test_row_20_neither_release_nor_resume_touches_the_version(servers):
    async with servers.start() as server:
        await server.create("awaited", None)
        await parked(server, "flow", "awaited")
        await server.create("released")
        await server.acquire("released", 0, "holder")
        await server.release("released", 1)
        await server.settle("awaited")
        assert [(await server.task(each)).version for each in ("flow", "released")] == [1, 1]
        woken, other = Worker(server, "x", "parked", claim=False), Worker(server, "y", claim=False)
        await eventually(
            lambda: woken.offered == [("flow", 1)] and other.offered == [("released", 1)]
        )
        assert (await server.acquire("flow", 1, "x")).data.task.version == 2


async def test_row_21_a_task_and_a_listener_of_a_like_name_do_not_meet(servers):
    async with target() as peer, pushing(servers, settings=DEBUG) as server:
        await do(server, rq.DebugStart)
        await server.create("p", None)
        await server.listen("p", peer.url)
        names = [f"p:notify:{peer.url}", f"p:{peer.url}", f"p/{peer.url}"]
        for each in names:
            await server.create(each, peer.url)
        await server.settle("p")
        messages = (await snap(server))["messages"]
        assert [each["message"]["kind"] for each in messages] == ["execute"] * 3 + ["unblock"]
        await do(server, rq.DebugStop)
        await eventually(lambda: sorted(peer.tasks) == sorted(names) and peer.told == ["p"])


@pytest.mark.parametrize("end", ["fulfilled", "halted", "awaits another"])
async def test_row_22_a_leftover_callback_stays_and_does_no_harm(servers, end):
    async with servers.start() as server:
        for each in ("first", "second"):
            await server.create(each, None)
        await parked(server, "flow", "first", "second")
        await server.settle("first")
        await server.acquire("flow", 1, "holder")
        if end == "fulfilled":
            await server.fulfill("flow", 2)
        elif end == "halted":
            await server.right(rq.TaskHalt(HEAD, rq.IdData("flow")))
        else:
            await server.create("third", None)
            await server.suspend("flow", 2, "third")
        assert (await server.stored("second")).callbacks == ("flow",)
        await server.settle("second")
        assert (await server.stored("second")).callbacks == ()
        task = await server.task("flow")
        states = {"fulfilled": "fulfilled", "halted": "halted", "awaits another": "pending"}
        assert (task.state, task.resumes) == (states[end], 0 if end == "fulfilled" else 1)
        assert server.engine.problem is None


@pytest.mark.parametrize("at", [2**53 - 1, INT64_MAX - 1, INT64_MAX])
async def test_row_23_instants_saturate(servers, at):
    async with servers.start() as server:
        worker = Worker(server, ttl=INT64_MAX)
        await server.create("far", None, timeout_at=at)
        assert (await server.get("far")).timeout_at == at
        await server.create("task", timeout_at=at)
        await server.given(worker, "task")
        assert (await server.stored("task")).task.expires_at == INT64_MAX
        assert (await server.heartbeat("w", ("task", 1))).lost is None
        await server.create("later", timeout_at=INT64_MAX, delay=at - 1)
        assert (await server.ask(create("last", timeout_at=at))).status == 200
        assert server.engine.problem is None
        await never(lambda: "later" in worker.given)


async def test_row_23_the_deadline_of_what_a_schedule_fires_saturates(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.timers.TIMER_NAP_MS_MAX", 2)
    now = [1_767_571_200.0]
    async with servers.start(clock=Clock(lambda: now[0])) as server:
        data = rq.ScheduleCreateData("s", "* * * * *", "fired", INT64_MAX)
        await server.right(rq.ScheduleCreate(HEAD, data))
        now[0] += 60

        async def fired():
            return (await server.ask(rq.PromiseGet(HEAD, rq.IdData("fired")))).status == 200

        await eventually(fired)
        assert (await server.get("fired")).timeout_at == INT64_MAX
