"""Retention: what has been settled for long goes, what somebody may still need stays."""

from __future__ import annotations

import time

import pytest

from resonate.core import steps
from resonate.core.objects import ScheduleKey, Task
from resonate.engine.batches import Step
from resonate.engine.clock import Clock
from resonate.protocol import requests as rq
from resonate.protocol.errors import Unavailable
from tests.engine.cluster import HEAD, Worker, read
from tests.engine.targets import pushing, target
from tests.store.faults import Disk
from tests.store.stores import promise, put, targeted
from tests.waiting import eventually, never

HOUR = 3_600_000


class Time:
    def __init__(self):
        self.ahead = 0.0

    def clock(self):
        return Clock(lambda: time.time() + self.ahead)


@pytest.fixture
def later(monkeypatch):
    """Walk again and again; a test lets an hour pass by setting ``ahead``."""
    monkeypatch.setattr("resonate.engine.retention.RETENTION_REST_SECONDS", 0.01)
    return Time()


def keeping(servers, later, keep_ms=HOUR, **options):
    return servers.start(clock=later.clock(), settings={"retention_ms": keep_ms}, **options)


async def walked(server, times=2):
    """Wait until it has walked over everything a few times."""
    retention, count = server.engine._retention, 0
    walk = retention.walk

    async def counted(stopping):
        nonlocal count
        found = await walk(stopping)
        count += 1
        return found

    retention.walk = counted
    await eventually(lambda: count > times)  # the first may have begun before
    retention.walk = walk


async def ids(server):
    return set(await server.engine._store.snapshot())


async def left(server, *expected):
    async def are():
        return await ids(server) == set(expected)

    await eventually(are)


async def test_what_was_settled_long_enough_ago_is_deleted(servers, later):
    async with keeping(servers, later) as server:
        await server.create("old", None)
        await server.settle("old")
        await server.create("pending", None)
        await server.create("task")
        await server.acquire("task", 0, "w")
        await server.fulfill("task", 1)
        await walked(server)
        assert await ids(server) == {"old", "pending", "task"}
        later.ahead = 3_600.5
        await server.create("new", None)
        await server.settle("new")
        await left(server, "pending", "new")
        assert (await server.ask(read("old"))).status == 404
        await server.create("old", None)  # an execution of its own
        assert (await server.get("old")).state == "pending"


async def test_without_retention_nothing_is_ever_deleted(servers, later):
    async with servers.start(clock=later.clock()) as server:
        await server.create("a", None)
        await server.settle("a")
        later.ahead = 10**9
        assert server.engine._retention is None
        assert await ids(server) == {"a"}


async def test_what_is_referred_to_stays(servers, later):
    """A listener that was not told, a waiting workflow, a step of one that runs."""
    async with keeping(servers, later) as server:
        for each in ("told", "awaited", "step", "free"):
            tags = {"resonate:origin": "flow"} if each == "step" else {}
            await server.create(each, None, **tags)
        await server.listen("told", "poll://uni@g/nobody")
        await server.create("flow", timeout_at=10**15)
        await server.acquire("flow", 0, "w")
        await server.create("other", None)
        await server.suspend("flow", 1, "awaited", "other")
        for each in ("told", "awaited", "step", "free"):
            await server.settle(each)
        later.ahead = 2 * 3_600
        await server.create("probe", None)
        await server.settle("probe")
        later.ahead = 4 * 3_600

        async def gone():
            return not {"free", "probe"} & await ids(server)

        await eventually(gone)
        assert {"told", "step", "flow", "other"} <= await ids(server)


async def test_a_settled_promise_goes_once_its_listener_was_told(servers, later):
    async with keeping(servers, later) as server:
        await server.create("a", None)
        await server.listen("a", "poll://uni@g/c")
        await server.settle("a")
        later.ahead = 2 * 3_600
        await walked(server)
        assert await ids(server) == {"a"}
        caller = Worker(server, "c", capacity=0)
        await eventually(lambda: caller.told == ["a"])
        await left(server)


async def test_schedules_stay_and_what_they_fired_goes(servers, later):
    async with keeping(servers, later) as server:
        data = rq.ScheduleCreateData("s", "0 0 1 1 *", "p{{.timestamp}}", 5)
        await server.right(rq.ScheduleCreate(HEAD, data))
        later.ahead = 366 * 86_400
        await left(server, ScheduleKey("s"))


async def test_a_walk_goes_over_all_pages(servers, later, monkeypatch):
    monkeypatch.setattr("resonate.engine.retention.RETENTION_PAGE", 7)
    store = servers._stores.make()
    await store.open()
    await put(
        store,
        *(promise(f"old{number:03}", state="resolved", settled_at=5) for number in range(100)),
        *(promise(f"keep{number:03}") for number in range(50)),
        *(targeted(f"pad{number:03}", Task("pending", 0, retry_at=0)) for number in range(20)),
    )
    if servers.kind != "memory":
        await store.close()
        store = None
    async with keeping(servers, later, store=store) as server:

        async def only_old_are_gone():
            found = await ids(server)
            return len(found) == 70 and not any(each.startswith("old") for each in found)

        await eventually(only_old_are_gone)


async def test_the_next_page_waits_until_the_last_is_durable(sqlite, later, monkeypatch):
    monkeypatch.setattr("resonate.engine.retention.RETENTION_PAGE", 10)
    store = sqlite._stores.make()
    await store.open()
    await put(store, *(promise(f"p{n:02}", state="resolved", settled_at=5) for n in range(40)))
    expendable, sizes = store.expendable, []

    async def watched(*arguments):
        sizes.append(len(await store.snapshot()))
        return await expendable(*arguments)

    await store.close()
    store.expendable = watched
    async with keeping(sqlite, later, store=store) as server:
        await left(server)
    assert sizes[:5] == [40, 30, 20, 10, 0]


@pytest.mark.parametrize("what", ["scan", "commit"])
async def test_after_the_store_failed_it_goes_on(sqlite, later, monkeypatch, caplog, what):
    monkeypatch.setattr("resonate.engine.recovery._SECONDS", (0.01, 0.02))
    disk = Disk()
    async with keeping(sqlite, later, vfs=disk.name) as server:
        for number in range(3):
            await server.create(f"p{number}", None)
            await server.settle(f"p{number}")
        store = server.engine._store
        expendable, failures = store.expendable, []

        async def failing(*arguments):
            if not failures:
                failures.append(what)
                if what == "scan":
                    raise Unavailable("the database cannot be read")
                disk.fail("write", times=1)
            return await expendable(*arguments)

        store.expendable = failing
        later.ahead = 2 * 3_600
        await eventually(lambda: failures)
        await left(server)
        await eventually(lambda: server.engine.problem is None)


async def test_stopping_ends_a_walk(sqlite, later, monkeypatch):
    monkeypatch.setattr("resonate.engine.retention.RETENTION_PAGE", 1)
    store = sqlite._stores.make()
    await store.open()
    await put(store, *(promise(f"p{n:04}", state="resolved", settled_at=5) for n in range(3_000)))
    await store.close()
    async with keeping(sqlite, later) as server:
        began = time.monotonic()
        await server.engine.stop()
        assert time.monotonic() - began < 2
    async with sqlite.start() as server:
        assert len(await ids(server)) > 100


async def test_a_promise_that_is_created_again_meanwhile_stays(sqlite, later):
    """Between the walk's look and its deletion."""
    async with keeping(sqlite, later) as server:
        await server.create("a", None)
        await server.settle("a")
        store = server.engine._store
        expendable = store.expendable

        async def slow(*arguments):
            found, after = await expendable(*arguments)
            if "a" in found:
                store.expendable = expendable
                server.engine._admission.push(Step("a", steps.expire))

                async def unknown():
                    return (await server.ask(read("a"))).status == 404

                await eventually(unknown)
                await server.create("a", None, mine="yes")
            return found, after

        store.expendable = slow
        later.ahead = 2 * 3_600
        await eventually(lambda: store.expendable is expendable)
        await never(lambda: server.engine.problem)
        assert (await server.get("a")).tags == {"mine": "yes"}


async def test_an_unblock_for_an_address_is_delivered_before_its_promise_goes(
    memory, later, monkeypatch
):
    monkeypatch.setattr("resonate.engine.push.PUSH_PAUSE_SECONDS", (0.02, 0.02))
    async with target() as caller:
        caller.status = 500
        settings = {"retention_ms": HOUR}
        async with pushing(memory, clock=later.clock(), settings=settings) as server:
            await server.create("a", None)
            await server.listen("a", caller.url)
            await server.settle("a")
            later.ahead = 2 * 3_600
            await eventually(lambda: caller.told)
            assert await ids(server) == {"a"}
            caller.status = 200
            await left(server)
