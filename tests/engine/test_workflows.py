"""Workflows that park and wake, tasks that start later, unblocks. On every store."""

from __future__ import annotations

from resonate.protocol import requests as rq
from resonate.protocol.limits import STEP_OBJECTS_MAX
from tests.engine.cluster import HEAD, Worker, create
from tests.waiting import eventually, never


def now(server):
    return server.engine._clock.now()


async def park(server, worker, workflow, *awaited):
    """Have the worker run ``workflow`` up to where it awaits the promises."""
    await server.create(workflow)
    await eventually(lambda: workflow in worker.given)
    await server.suspend(workflow, worker.version(workflow), *awaited)


# --- waking ---------------------------------------------------------------------------------------


async def test_a_settled_promise_wakes_every_awaiter(servers):
    async with servers.start() as server:
        worker = Worker(server)
        await server.create("x", None)
        await park(server, worker, "one", "x")
        await park(server, worker, "two", "x")
        await server.settle("x")
        await eventually(lambda: len(worker.given) == 4)
        assert sorted(worker.given[2:]) == ["one", "two"]
        assert [worker.version(each) for each in ("one", "two")] == [2, 2]


async def test_a_workflow_is_woken_and_claimed_in_the_commit_that_settles(servers):
    async with servers.start() as server:
        worker = Worker(server)
        await server.create("x", None)
        await park(server, worker, "w", "x")
        commits = []
        transact = server.engine._store.transact
        server.engine._store.transact = lambda reads, decide: transact(
            reads, lambda objects: commits.append(set(decide(objects))) or commits[-1]
        )
        await server.settle("x")
        assert {"x", "w"} in commits
        assert worker.given == ["w", "w"]
        assert (await server.task("w")).version == 2


async def test_a_workflow_wakes_on_the_member_that_parked_it(servers):
    async with servers.start() as server:
        workers = {each: Worker(server, each) for each in "xyz"}
        await server.create("p", None)
        await server.create("w", "poll://any@g")
        (holder,) = await eventually(lambda: [each for each in workers.values() if each.given])
        await server.suspend("w", 1, "p")
        for number in range(2):  # the others are less loaded now
            await server.create(f"load{number}", f"poll://any@g/{holder.pid}")
        await server.settle("p")
        await eventually(lambda: holder.given.count("w") == 2)


async def test_a_workflow_whose_last_holder_is_full_or_gone_wakes_elsewhere(servers):
    async with servers.start() as server:
        first = Worker(server, "x", capacity=1)
        await server.create("p", None)
        await server.create("q", None)
        await park(server, first, "w", "p")
        await park(server, first, "v", "q")
        other = Worker(server, "y")
        await server.create("load", "poll://any@g/x")
        await eventually(lambda: "load" in first.given)
        await server.settle("p")
        await eventually(lambda: "w" in other.given)
        first.leave()
        await server.settle("q")
        await eventually(lambda: "v" in other.given)


async def test_a_deadline_wakes_awaiters_at_its_instant(servers):
    async with servers.start() as server:
        worker = Worker(server)
        at = now(server) + 60
        await server.create("sleep", None, timeout_at=at, **{"resonate:timer": "true"})
        await park(server, worker, "w", "sleep")
        await eventually(lambda: len(worker.given) == 2)
        assert at <= now(server) < at + 1_000
        assert (await server.get("sleep")).state == "resolved"


async def test_very_many_awaiters_are_woken_over_several_batches(servers):
    count = 2 * STEP_OBJECTS_MAX + 10
    async with servers.start() as server:
        ids = [f"w{number}" for number in range(count)]
        await server.create("x", None)
        await server.submit(*map(create, ids))
        registers = [
            rq.PromiseRegisterCallback(HEAD, rq.RegisterCallbackData("x", each)) for each in ids
        ]
        await server.submit(*registers)
        acquires = [rq.TaskAcquire(HEAD, rq.TaskAcquireData(each, 0, "p", 60_000)) for each in ids]
        await server.submit(*acquires)
        suspends = [
            rq.TaskSuspend(
                HEAD,
                rq.TaskSuspendData(
                    each, 1, [rq.CallbackAction(rq.RegisterCallbackData("x", each))]
                ),
            )
            for each in ids
        ]
        answers = await server.submit(*suspends)
        assert {answer.status for answer in answers} == {200}
        await server.settle("x")
        worker = Worker(server, capacity=10_000)
        await eventually(lambda: len(worker.given) == count, 10)
        assert set(worker.given) == set(ids)
        assert (await server.stored("x")).callbacks == ()


# --- delays ---------------------------------------------------------------------------------------


async def test_a_delayed_task_starts_at_its_instant(servers):
    async with servers.start() as server:
        worker = Worker(server)
        at = now(server) + 80
        await server.create("later", delay=at)
        await server.create("now")
        await server.given(worker, "now")
        await server.given(worker, "now", "later")
        assert at <= now(server) < at + 1_000


async def test_a_delayed_task_waits_for_a_member_after_its_instant(servers):
    async with servers.start() as server:
        at = now(server) + 30
        await server.create("later", delay=at)
        early = Worker(server, "early")
        await eventually(lambda: early.given)
        assert now(server) >= at
        early.leave()
        at = now(server) + 30
        await server.create("again", delay=at)
        await eventually(lambda: now(server) > at + 20)
        worker = Worker(server, "w")
        await server.given(worker, "again")


async def test_a_timer_with_a_target_is_never_given(servers):
    async with servers.start() as server:
        worker = Worker(server)
        at = now(server) + 40
        await server.create("sleep", timeout_at=at, **{"resonate:timer": "true"})
        await eventually(lambda: now(server) > at + 20)
        assert (await server.task("sleep")).state == "fulfilled"
        assert worker.given == []


async def test_a_promise_that_dies_waiting_is_not_given(servers):
    async with servers.start() as server:
        at = now(server) + 30
        await server.create("a", timeout_at=at)
        await eventually(lambda: now(server) > at)
        worker = Worker(server)
        await server.create("b")
        await server.given(worker, "b")
        assert (await server.get("a")).state == "rejected_timedout"


async def test_a_halted_task_is_given_when_continued(servers):
    async with servers.start() as server:
        await server.create("a")
        await server.right(rq.TaskHalt(HEAD, rq.IdData("a")))
        worker = Worker(server)
        await server.create("b")
        await server.given(worker, "b")
        await server.right(rq.TaskContinue(HEAD, rq.IdData("a")))
        await server.given(worker, "a", "b")


# --- unblocks -------------------------------------------------------------------------------------


async def listeners(server, promise_id):
    return (await server.stored(promise_id)).listeners


async def test_a_listener_is_told_and_then_taken_off(servers):
    async with servers.start() as server:
        caller = Worker(server, "c", capacity=0)
        await server.create("a", None)
        await server.listen("a", "poll://uni@g/c")
        await server.settle("a")
        await eventually(lambda: caller.told)
        (message,) = caller.messages
        assert message.head == {}
        assert message.data.promise == await server.get("a")
        await until_told(server, "a")
        assert caller.told == ["a"]


async def until_told(server, promise_id):
    async def told():
        return not await listeners(server, promise_id)

    await eventually(told)


async def test_an_unblock_waits_for_its_connection(servers):
    async with servers.start() as server:
        other = Worker(server, "other", capacity=0)
        await server.create("a", None)
        await server.listen("a", "poll://uni@g/c")
        await server.listen("a", "poll://any@h")
        await server.settle("a")
        await never(lambda: other.told)
        assert await listeners(server, "a") == ("poll://uni@g/c", "poll://any@h")
        caller, any_of_h = Worker(server, "c", capacity=0), Worker(server, "?", "h")
        await eventually(lambda: caller.told == any_of_h.told == ["a"])
        await until_told(server, "a")
        caller.leave()
        again = Worker(server, "c", capacity=0)
        await never(lambda: again.told)


async def test_an_unblock_that_the_connection_does_not_take_is_kept(servers):
    async with servers.start() as server:
        broken = Worker(server, "c", capacity=0, accepts=False)
        await server.create("a", None)
        await server.listen("a", "poll://uni@g/c")
        await server.settle("a")
        await eventually(lambda: broken.member.paused)
        broken.leave()
        caller = Worker(server, "c", capacity=0)
        await eventually(lambda: caller.told == ["a"])


async def test_a_paused_connection_is_told_when_it_resumes(servers):
    async with servers.start() as server:
        caller = Worker(server, "c", capacity=0)
        server.engine.connections.pause(caller.member)
        await server.create("a", None)
        await server.listen("a", "poll://uni@g/c")
        await server.settle("a")
        await never(lambda: caller.told)
        server.engine.connections.resume(caller.member)
        await eventually(lambda: caller.told == ["a"])


async def test_registering_again_supersedes_a_waiting_unblock(servers):
    async with servers.start() as server:
        await server.create("a", None)
        await server.listen("a", "poll://uni@g/c")
        await server.settle("a")
        assert (await server.listen("a", "poll://uni@g/c")).promise.state == "resolved"
        caller = Worker(server, "c", capacity=0)
        await never(lambda: caller.told)
        assert len(server.engine._delivery.unblocks) == 0


async def test_an_unblock_prefers_the_named_connection_of_an_any_address(servers):
    async with servers.start() as server:
        other, caller = Worker(server, "o", capacity=0), Worker(server, "c", capacity=0)
        for promise_id, address in [("a", "poll://any@g/c"), ("b", "poll://any@g/gone")]:
            await server.create(promise_id, None)
            await server.listen(promise_id, address)
            await server.settle(promise_id)
        await eventually(lambda: caller.told == ["a"])
        await eventually(lambda: sorted(caller.told + other.told) == ["a", "b"])


async def test_a_deadline_tells_its_listeners(servers):
    async with servers.start() as server:
        caller = Worker(server, "c", capacity=0)
        await server.create("a", None, timeout_at=now(server) + 40)
        await server.listen("a", "poll://uni@g/c")
        await eventually(lambda: caller.told == ["a"])
        assert caller.messages[0].data.promise.state == "rejected_timedout"


async def test_an_unblock_nobody_fetches_is_dropped_after_a_day(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.unblocks.UNBLOCK_MS_MAX", 1)
    monkeypatch.setattr("resonate.engine.delivery._OVERDUE_SECONDS", 0.01)
    async with servers.start() as server:
        await server.create("a", None)
        await server.listen("a", "poll://uni@g/c")
        await server.settle("a")
        await eventually(lambda: len(server.engine._delivery.unblocks) == 0)
        await until_told(server, "a")
