"""The store fails, the server restarts or stops: nothing acknowledged is lost. On SQLite."""

from __future__ import annotations

import asyncio
import time

import apsw
import pytest

from resonate.core.objects import Task
from resonate.engine.engine import Engine
from resonate.protocol import requests as rq
from resonate.protocol.errors import StartError, Unavailable
from resonate.protocol.limits import INT64_MAX
from resonate.store.memory import MemoryStore
from tests.engine.cluster import FAR, HEAD, Gate, Server, Worker, create, read
from tests.store.faults import Disk
from tests.store.stores import promise, put, targeted
from tests.waiting import eventually, never


@pytest.fixture(autouse=True)
def quick_recovery(monkeypatch):
    monkeypatch.setattr("resonate.engine.recovery._SECONDS", (0.01, 0.05))


# --- the store fails ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError])
async def test_a_failing_disk_answers_503_to_all_and_loses_nothing(sqlite, error, caplog):
    disk = Disk()
    async with sqlite.start(vfs=disk.name) as server:
        worker = Worker(server, capacity=100)
        for number in range(5):
            await server.create(f"old{number}")
        await eventually(lambda: len(worker.given) == 5)
        disk.fail("sync", error)
        calls = [server.submit(create(f"new{number}")) for number in range(700)]
        answers = [(await call)[0] for call in calls]
        assert {answer.status for answer in answers} == {503}
        assert all(answer.data.startswith("Service unavailable: the d") for answer in answers)
        assert server.engine.problem is not None
        assert (await server.ask(read("old0"))).status == 503
        assert len(worker.given) == 5  # nothing of what was refused has left

        disk.heal()
        await eventually(lambda: server.engine.problem is None)
        assert (await server.ask(read("new0"))).status == 404
        assert [(await server.task(f"old{number}")).state for number in range(5)] == [
            "acquired"
        ] * 5
        assert worker.member.held == 5
        assert server.engine._admission.pending == 0
        await server.create("new0")
        await eventually(lambda: worker.given[-1] == "new0")


async def test_after_a_failure_the_indexes_are_built_anew(sqlite, caplog):
    disk = Disk()
    async with sqlite.start(vfs=disk.name, grace_ms=30) as server:
        now = server.engine._clock.now()
        worker = Worker(server, "x", capacity=2, ttl=600, presence=True)
        caller = Worker(server, "c", capacity=0)
        for each in "abc":
            await server.create(each)  # a and b are held, c waits
        await server.given(worker, "a", "b")
        await server.create("later", "poll://any@h", delay=now + 300)
        await server.create("dies", None, timeout_at=now + 300)
        await server.create("p", None)
        await server.listen("p", "poll://uni@g/absent")
        await server.settle("p")
        await server.listen("dies", "poll://uni@g/c")

        disk.fail("write")
        assert (await server.ask(create("x"))).status == 503
        helper = Worker(server, "h", "h")  # connects while the store is down
        disk.heal()
        await eventually(lambda: server.engine.problem is None)

        absent = Worker(server, "absent", capacity=0)
        await eventually(lambda: absent.told == ["p"])
        await eventually(lambda: helper.given == ["later"])
        await eventually(lambda: caller.told == ["dies"])
        await server.fulfill("a", 1)
        await eventually(lambda: worker.given[-1] == "c")
        worker.leave()  # presence knows who holds what
        other = Worker(server, "y")
        await server.given(other, "b", "c")


async def test_a_grace_that_ends_while_the_store_is_down_is_not_forgotten(sqlite, caplog):
    disk = Disk()
    async with sqlite.start(vfs=disk.name, grace_ms=20) as server:
        worker = Worker(server, "x", presence=True)
        await server.create("a")
        await server.given(worker, "a")
        disk.fail("write")
        assert (await server.ask(create("x"))).status == 503
        worker.leave()
        await asyncio.sleep(0.06)
        disk.heal()
        await eventually(lambda: server.engine.problem is None)
        other = Worker(server, "y")
        await server.given(other, "a")


async def test_a_failure_while_recovering_is_tried_again(sqlite, caplog):
    disk = Disk()
    async with sqlite.start(vfs=disk.name) as server:
        await server.create("a")
        held = server.engine._store.held
        failures = [Unavailable("not yet"), RuntimeError("odd")]

        async def failing(after, limit):
            if failures:
                raise failures.pop()
            return await held(after, limit)

        server.engine._store.held = failing
        disk.fail("write", times=1)
        assert (await server.ask(create("x"))).status == 503
        await eventually(lambda: server.engine.problem is None)
        assert failures == []
        worker = Worker(server)
        await server.given(worker, "a")


async def test_a_scan_that_fails_is_recovered_from(sqlite, caplog):
    async with sqlite.start() as server:
        await server.create("a")
        ready = server.engine._store.ready

        async def failing(*arguments):
            server.engine._store.ready = ready
            raise Unavailable("no")

        server.engine._store.ready = failing
        worker = Worker(server)
        await server.given(worker, "a")


async def test_faults_that_come_and_go_under_load_lose_nothing(sqlite, caplog):
    disk = Disk()
    acknowledged = set()
    async with sqlite.start(vfs=disk.name) as server:
        worker = Worker(server, capacity=10_000)

        async def one(number):
            answer = await server.ask(create(str(number)))
            assert answer.status in (200, 503)
            if answer.status == 200:
                acknowledged.add(str(number))

        for turn in range(15):
            disk.fail("sync" if turn % 2 else "write", after=turn % 4, times=1)
            await asyncio.gather(*(one(turn * 100 + number) for number in range(60)))
            disk.heal()
            await eventually(lambda: server.engine.problem is None)
        await server.create("last")
        await eventually(lambda: acknowledged <= set(worker.given))
    async with sqlite.start() as server:
        found = set(await server.engine._store.snapshot())
        assert acknowledged | {"last"} == found
        assert 0 < len(acknowledged) < 900


# --- restarts -------------------------------------------------------------------------------------


async def test_after_a_restart_a_lease_has_one_full_ttl(sqlite):
    async with sqlite.start() as server:
        await server.create("a")
        await server.create("b")
        await server.acquire("a", 0, "x", ttl=300)
        await server.acquire("b", 0, "x", ttl=300)
        await eventually(lambda: True)
    await asyncio.sleep(0.35)  # the lease ends while nobody can send heartbeats
    async with sqlite.start() as server:
        started = time.monotonic()
        assert (await server.heartbeat("x", ("b", 1))).lost is None
        other = Worker(server, "y", ttl=60_000)
        await never(lambda: other.given, 0.1)
        await eventually(lambda: "a" in other.given)
        assert time.monotonic() - started > 0.28


async def test_a_lease_of_any_length_survives_a_restart(sqlite):
    async with sqlite.start() as server:
        await server.create("a")
        await server.acquire("a", 0, "x", ttl=INT64_MAX)
    async with sqlite.start() as server:
        assert (await server.heartbeat("x", ("a", 1))).lost is None
        assert server.engine.problem is None


async def test_after_a_restart_pending_tasks_are_offered_again(sqlite):
    async with sqlite.start() as server:
        worker = Worker(server, "x", claim=False)
        await server.create("a")
        await server.given(worker, "a")
    async with sqlite.start() as server:
        worker = Worker(server, "x", claim=False)
        await server.create("b")
        await eventually(lambda: worker.offered == [("a", 0), ("b", 0)])


async def test_after_a_restart_undelivered_unblocks_are_delivered(sqlite):
    async with sqlite.start() as server:
        await server.create("a", None)
        await server.listen("a", "poll://uni@g/c")
        await server.settle("a")
    async with sqlite.start() as server:
        caller = Worker(server, "c", capacity=0)
        await eventually(lambda: caller.told == ["a"])


async def test_a_start_finishes_what_a_crash_left(sqlite):
    """A settled promise with awaiters to wake, a deadline and a delay that passed meanwhile."""
    store = sqlite._stores.make()
    await store.open()
    awaiters = [targeted(f"w{number}", Task("suspended", 1)) for number in range(2_500)]
    await put(
        store,
        promise("x", state="resolved", callbacks=tuple(each.id for each in awaiters)),
        promise("late", timeout_at=7),
        targeted("delayed", Task("pending", 0, retry_at=9)),
        *awaiters,
    )
    await store.close()
    async with sqlite.start() as server:
        worker = Worker(server, capacity=10_000)
        await eventually(lambda: len(worker.given) == 2_501)
        assert (await server.stored("x")).callbacks == ()

        async def late_is_settled():
            return (await server.stored("late")).state == "rejected_timedout"

        await eventually(late_is_settled)
        assert set(worker.given) == {"delayed", *(each.id for each in awaiters)}


async def test_what_a_member_held_counts_after_a_restart(sqlite):
    async with sqlite.start() as server:
        worker = Worker(server, "x", capacity=2)
        for each in "abc":
            await server.create(each)
        await server.given(worker, "a", "b")
    async with sqlite.start() as server:
        worker = Worker(server, "x", capacity=2)
        await never(lambda: "c" in worker.given)
        await server.fulfill("a", 1)
        await eventually(lambda: "c" in worker.given)


async def test_what_is_held_counts_before_every_lease_is_renewed(sqlite):
    """With very many leases that takes several batches."""
    store = sqlite._stores.make()
    await store.open()
    held = [targeted(f"h{number}", Task("acquired", 1, "x", 60_000, 0)) for number in range(2_500)]
    await put(store, targeted("waits"), *held)
    await store.close()
    engine = Engine(sqlite._stores.make())
    server = Server(engine)
    worker = Worker(server, "x", capacity=2_500)
    await engine.start()
    await never(lambda: "waits" in worker.given, 0.3)
    await server.fulfill("h0", 1)
    await eventually(lambda: "waits" in worker.given)
    await engine.stop()


# --- starting and stopping ------------------------------------------------------------------------


async def test_stopping_while_busy_answers_every_call(servers):
    async with servers.start() as server:
        worker = Worker(server, capacity=10_000)
        calls = [server.submit(create(str(number))) for number in range(3_000)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await server.engine.stop()
        statuses = [call.result()[0].status for call in calls]
        assert set(statuses) <= {200, 503}
        assert worker.ended == 1
        assert (await server.ask(create("x"))).data == (
            "Service unavailable: the server is shutting down"
        )
    if servers.kind == "sqlite":
        async with servers.start() as server:
            done = {str(number) for number, status in enumerate(statuses) if status == 200}
            assert set(await server.engine._store.snapshot()) == done


async def test_stopping_waits_for_commits_under_way(sqlite):
    async with sqlite.start() as server:
        gate = Gate(server)
        call = server.submit(create("a", None))
        await eventually(lambda: server.engine._store.uncommitted("a"))
        stopping = asyncio.ensure_future(server.engine.stop())
        await never(lambda: call.done() or stopping.done())
        gate.open()
        assert (await call)[0].status == 200
        await stopping


async def test_stopping_does_not_wait_for_a_broken_disk(sqlite, caplog):
    disk = Disk()
    async with sqlite.start(vfs=disk.name) as server:
        disk.fail("write")
        assert (await server.ask(create("a"))).status == 503
        await asyncio.wait_for(server.engine.stop(), 5)
        assert server.engine.problem == "the server is shutting down"


async def test_a_stop_during_recovery_does_not_begin_to_serve_again(sqlite, caplog):
    disk = Disk()
    async with sqlite.start(vfs=disk.name) as server:
        disk.fail("write", times=1)
        assert (await server.ask(create("a"))).status == 503
        recovering = asyncio.Event()
        go_on = asyncio.Event()
        recover = server.engine._store.recover

        async def slow():
            recovering.set()
            await go_on.wait()
            await recover()

        server.engine._store.recover = slow
        await asyncio.wait_for(recovering.wait(), 5)
        stopping = asyncio.ensure_future(server.engine.stop())
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait_for(stopping, 5)
        assert server.engine.problem == "the server is shutting down"
        assert (await server.ask(create("a"))).status == 503


async def test_a_store_that_cannot_be_read_stops_the_start():
    class Broken(MemoryStore):
        closed = False

        async def held(self, after, limit):
            raise Unavailable("the database is damaged")

        async def close(self):
            self.closed = True

    store = Broken()
    with pytest.raises(StartError, match="the database is damaged"):
        await Engine(store).start()
    assert store.closed


async def test_before_it_has_started_the_server_answers_503(tmp_path):
    server = Server(Engine(MemoryStore()))
    answer = await server.ask(create("a"))
    assert (answer.status, answer.data) == (503, "Service unavailable: starting")
    early = Worker(server)
    await server.engine.start()
    await server.create("a", timeout_at=FAR)
    await server.given(early, "a")
    await server.engine.stop()


async def test_requests_of_a_foreign_pid_do_not_matter(servers):
    async with servers.start() as server:
        await server.heartbeat("nobody")
        assert (await server.acquire("nothing", 0, "nobody")).status == 404
        data = rq.TaskHeartbeatData("nobody", [rq.TaskRef("a", 1)])
        answer = await server.ask(rq.TaskHeartbeat(HEAD, data))
        assert answer.data.lost == [rq.TaskRef("a", 1)]
