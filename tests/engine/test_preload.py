"""Preload: a holder is told the steps of its workflow together with the task, also when it is pushed."""

from __future__ import annotations

import pytest

from resonate.protocol import requests as rq
from tests.engine.cluster import FAR, HEAD, Worker
from tests.waiting import eventually

FLOW = {"resonate:branch": "flow"}


@pytest.fixture(params=["memory", "sqlite", "cold"])
def each(request):
    return request.getfixturevalue(request.param)


async def step(server, name, version, *, settled=True):
    """Make a local step of the workflow as its holder does."""
    data = rq.PromiseCreateData(name, FAR, None, FLOW)
    fence = rq.TaskFenceData("flow", version, rq.FenceCreate(data))
    await server.right(rq.TaskFence(HEAD, fence))
    if settled:
        settle = rq.FenceSettle(rq.PromiseSettleData(name, "resolved"))
        await server.right(rq.TaskFence(HEAD, rq.TaskFenceData("flow", version, settle)))


def last(worker):
    """Return the last lease a worker was given, as (version, the steps it was told)."""
    lease = worker.messages[-1].data
    return lease.task.version, [(one.id, one.state) for one in lease.preload]


async def test_an_acquire_tells_the_steps(each):
    async with each.start() as server:
        await server.create("flow", **FLOW)
        answer = await server.acquire("flow", 0, "x")
        assert answer.data.preload == []
        await step(server, "flow.2", 1)
        await step(server, "flow.1", 1, settled=False)
        await server.create("flow.remote", None, **{"resonate:branch": "flow.remote"})
        await server.release("flow", 1)
        answer = await server.acquire("flow", 1, "y")
        assert [one.id for one in answer.data.preload] == ["flow.1", "flow.2"]
        assert answer.data.preload[1] == await server.get("flow.2")


async def test_a_claim_tells_the_steps_whoever_gets_the_task_next(each):
    async with each.start(grace_ms=10) as server:
        first = Worker(server, "x", presence=True)
        await server.create("flow", **FLOW)
        await server.given(first, "flow")
        assert last(first) == (1, [])
        await step(server, "flow.1", 1)
        await step(server, "flow.2", 1, settled=False)
        first.leave()  # it crashes
        second = Worker(server, "y", presence=True)
        await server.given(second, "flow")
        assert last(second) == (2, [("flow.1", "resolved"), ("flow.2", "pending")])
        await step(server, "flow.3", 2)
        third = Worker(server, "z")
        second.leave()
        await server.given(third, "flow")
        assert [name for name, _ in last(third)[1]] == ["flow.1", "flow.2", "flow.3"]


async def test_after_a_restart_a_claim_tells_the_steps(sqlite):
    async with sqlite.start() as server:
        first = Worker(server, "x")
        await server.create("flow", **FLOW)
        await server.given(first, "flow")
        for number in range(5):
            await step(server, f"flow.{number}", 1)
        await server.release("flow", 1)
        await eventually(lambda: len(first.given) == 2)
    async with sqlite.start() as server:
        await server.release("flow", 2)
        second = Worker(server, "y")
        await server.given(second, "flow")
        assert [name for name, _ in last(second)[1]] == [f"flow.{number}" for number in range(5)]


async def test_what_wakes_a_workflow_is_told_with_the_next_claim(each):
    async with each.start() as server:
        worker = Worker(server)
        await server.create("flow", **FLOW)
        await server.given(worker, "flow")
        await step(server, "flow.1", 1)
        await step(server, "flow.2", 1, settled=False)
        await server.suspend("flow", 1, "flow.2")
        await server.settle("flow.2")
        await eventually(lambda: len(worker.given) == 2)
        assert last(worker) == (2, [("flow.1", "resolved"), ("flow.2", "resolved")])


async def test_steps_are_told_as_seen_at_that_instant(each):
    async with each.start() as server:
        await server.create("flow", **FLOW)
        await server.acquire("flow", 0, "x")
        now = server.engine._clock.now()
        data = rq.PromiseCreateData("flow.1", now + 20, None, {**FLOW, "resonate:timer": "true"})
        await server.right(rq.TaskFence(HEAD, rq.TaskFenceData("flow", 1, rq.FenceCreate(data))))
        server.engine._timers.stop()  # nobody writes the deadline
        await eventually(lambda: server.engine._clock.now() >= now + 20)
        await server.release("flow", 1)
        answer = await server.acquire("flow", 1, "y")
        assert answer.data.preload[0].state == "resolved"
        assert (await server.stored("flow.1")).state == "pending"


async def test_many_workflows_at_once_are_each_told_their_own(each):
    async with each.start() as server:
        names = [f"wf{number:02}" for number in range(20)]
        for name in names:
            branch = {"resonate:branch": name}
            await server.create(name, **branch)
            await server.acquire(name, 0, "x")
            for number in range(3):
                data = rq.PromiseCreateData(f"{name}.{number}", FAR, None, branch)
                fence = rq.TaskFenceData(name, 1, rq.FenceCreate(data))
                await server.right(rq.TaskFence(HEAD, fence))
            await server.release(name, 1)
        worker = Worker(server, capacity=100)
        await eventually(lambda: len(worker.messages) == 20)
        for message in worker.messages:
            name = message.data.task.id
            assert [one.id for one in message.data.preload] == [f"{name}.{n}" for n in range(3)]


async def test_a_workflow_of_very_many_steps_is_told_the_first(each, monkeypatch):
    monkeypatch.setattr("resonate.core.preload.PRELOAD_RECORDS_MAX", 10)
    monkeypatch.setattr("resonate.store.sqlite.store.PRELOAD_RECORDS_MAX", 10)
    async with each.start() as server:
        await server.create("flow", **FLOW)
        await server.acquire("flow", 0, "x")
        for number in range(25):
            await step(server, f"flow.{number:02}", 1, settled=False)
        await server.release("flow", 1)
        worker = Worker(server)
        await server.given(worker, "flow")
        assert [name for name, _ in last(worker)[1]] == [f"flow.{n:02}" for n in range(10)]
