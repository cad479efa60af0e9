"""``debug.snap`` and ``debug.reset``: everything as stored, and nothing any more."""

from __future__ import annotations

import asyncio

import pytest

from resonate.protocol import requests as rq
from resonate.protocol.limits import OFFER_MS
from resonate.protocol.records import Value
from tests.engine.cluster import HEAD, Worker, create, read
from tests.engine.debugs import DEBUG, at, do, make, settle, snap, tick
from tests.waiting import eventually, never


@pytest.fixture
def debug(servers):
    return lambda **options: servers.start(settings=DEBUG, **options)


async def test_a_snapshot_shows_what_is_stored_and_what_waits_to_be_delivered(debug):
    async with debug() as server:
        await do(server, rq.DebugStart)
        for request in (
            make("wf", 5_000, target="poll://any@default"),
            make("wf:1", 9_000),
            make("told", 9_000),
            make("later", 9_000, target="poll://any@default", delay="3000"),
            rq.PromiseRegisterListener(at(0), rq.RegisterListenerData("told", "poll://uni@d/p")),
            rq.PromiseRegisterListener(at(0), rq.RegisterListenerData("wf", "poll://uni@d/p")),
            rq.TaskAcquire(at(0), rq.TaskAcquireData("wf", 0, "w", 2_500)),
            rq.PromiseRegisterCallback(at(0), rq.RegisterCallbackData("wf:1", "wf")),
            settle("told", 10),
        ):
            await server.right(request)
        found = await snap(server)
        assert [each.id for each in found["promises"]] == ["later", "told", "wf", "wf:1"]
        assert found["promises"][1].value == Value()
        assert found["promiseTimeouts"] == [
            {"id": "later", "timeout": 9_000},
            {"id": "wf", "timeout": 5_000},
            {"id": "wf:1", "timeout": 9_000},
        ]
        assert found["callbacks"] == [{"awaiter": "wf", "awaited": "wf:1"}]
        assert found["listeners"] == [{"id": "wf", "address": "poll://uni@d/p"}]
        assert [(each.id, each.state) for each in found["tasks"]] == [
            ("later", "pending"),
            ("wf", "acquired"),
        ]
        assert found["taskTimeouts"] == [
            {"id": "later", "type": 0, "timeout": 3_000},
            {"id": "wf", "type": 1, "timeout": 2_500},
        ]
        assert [each["message"]["kind"] for each in found["messages"]] == ["unblock"]
        await tick(server, 3_000)  # the lease ends, and both tasks are posted
        messages = (await snap(server))["messages"]
        assert messages[:2] == [
            {
                "address": "poll://any@default",
                "message": {"kind": "execute", "head": {}, "data": {"task": task}},
            }
            for task in ({"id": "later", "version": 0}, {"id": "wf", "version": 1})
        ]
        assert messages[2]["message"]["data"]["promise"]["id"] == "told"


async def test_a_snapshot_is_not_projected(debug):
    async with debug() as server:
        await do(server, rq.DebugStart)
        await server.right(make("a", 5))
        found = await server.right(rq.DebugSnap(at(10), rq.NoData()))
        assert [each.state for each in found["promises"]] == ["pending"]


async def test_a_reset_deletes_everything_and_the_server_goes_on(debug):
    async with debug() as server:
        worker, caller = Worker(server, capacity=2), Worker(server, "c", capacity=0)
        for each in "abc":
            await server.create(each)
        await server.given(worker, "a", "b")
        await server.listen("a", "poll://uni@g/absent")
        await server.right(rq.ScheduleCreate(HEAD, rq.ScheduleCreateData("s", "* * * * *", "x", 5)))
        await do(server, rq.DebugReset)
        assert await server.engine._store.snapshot() == {}
        assert (await server.ask(read("a"))).status == 404
        assert (worker.member.held, worker.member.load) == (0, 0)
        assert len(server.engine._delivery.unblocks) == 0
        for each in "abd":
            await server.create(each)
        await eventually(lambda: len(worker.given) == 4)
        await server.create("p", None)
        await server.listen("p", "poll://uni@g/c")
        await server.settle("p")
        await eventually(lambda: caller.told == ["p"])


async def test_a_reset_forgets_when_tasks_were_posted(debug):
    async with debug() as server:
        await do(server, rq.DebugStart)
        for _ in range(2):
            await server.right(make("a", target="poll://any@g"))
            timeouts = (await snap(server))["taskTimeouts"]
            assert timeouts == [{"id": "a", "type": 0, "timeout": OFFER_MS}]
            await tick(server, 10_000)
            assert (await snap(server))["taskTimeouts"][0]["timeout"] == 10_000 + OFFER_MS
            await do(server, rq.DebugReset)


async def test_a_reset_while_time_stands_still_leaves_it_so(debug):
    async with debug() as server:
        worker = Worker(server)
        await do(server, rq.DebugStart)
        await server.create("a")
        await do(server, rq.DebugReset)
        await server.create("b")
        await never(lambda: worker.messages)
        assert (await snap(server))["messages"] != []
        await do(server, rq.DebugStop)
        await eventually(lambda: worker.given == ["b"])


async def test_a_reset_among_requests_leaves_no_trace_of_what_was(sqlite):
    """Whatever is answered afterwards is what is stored."""
    async with sqlite.start(settings=DEBUG) as server:
        for turn in range(10):
            calls = [server.submit(create(f"{turn}.{n}", None)) for n in range(30)]
            reset = server.submit(rq.DebugReset(HEAD, rq.NoData()))
            for number in range(30):
                await asyncio.sleep(0)
                calls.append(server.submit(read(f"{turn}.{number}")))
                calls.append(server.submit(create(f"{turn}.{number}", None)))
            await asyncio.gather(*calls, reset)
            stored = await server.engine._store.snapshot()
            for number in range(30):
                name = f"{turn}.{number}"
                assert ((await server.ask(read(name))).status == 200) == (name in stored)
