"""Queues: oldest first, bounded, with the store behind them; nothing is lost on the way."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from msgspec.structs import replace

from resonate.engine import queues
from resonate.engine.members import Group, Member, Terms
from resonate.engine.queues import Queue, Queues, Waiting
from resonate.protocol.addresses import any_route, uni_route
from resonate.store.contract import Ready
from tests.engine.cluster import Worker, create
from tests.waiting import eventually


@pytest.fixture
def small(monkeypatch):
    """Queues that keep ten tasks."""
    for module in ("queues", "engine"):
        monkeypatch.setattr(f"resonate.engine.{module}.QUEUE_TASKS_MAX", 10)


class Backlog:
    """A queue above a list of ready tasks that stands for the store."""

    def __init__(self):
        self.queue = Queue("r", "g", None)
        self.ready = []
        self.taken = []

    def arrive(self, task_id, at, *, told=True):
        self.ready.append((at, task_id))
        if told:
            self.queue.add(Waiting(task_id, 0, at))

    def begin(self):
        if self.queue.low:
            self.queue.begin_reading()
            beyond = [each for each in sorted(self.ready) if each > self.queue.cursor]
            return beyond[: queues.QUEUE_TASKS_MAX]
        return None

    def finish(self, found):
        if found is not None:
            fresh = [Waiting(name, 0, at) for at, name in found if name not in self.queue.tasks]
            fresh = [each for each in fresh if each.id not in self.taken]
            last = Ready(found[-1][1], 0, found[-1][0], "") if found else None
            whole = len(found) < queues.QUEUE_TASKS_MAX
            self.queue.finish_reading(fresh, last, whole=whole)

    def read(self):
        self.finish(self.begin())

    def take(self):
        if self.queue.tasks:
            task_id = next(iter(self.queue.tasks))
            self.queue.drop(task_id)
            self.taken.append(task_id)
            self.ready = [each for each in self.ready if each[1] != task_id]


@pytest.fixture
def backlog(small):
    return Backlog()


def test_a_new_queue_reads_the_store_first(backlog):
    for number in range(3):
        backlog.arrive(f"old{number}", number, told=False)
    assert backlog.queue.low
    backlog.read()
    assert list(backlog.queue.tasks) == ["old0", "old1", "old2"]
    assert not backlog.queue.more
    backlog.arrive("new", 9)
    assert list(backlog.queue.tasks) == ["old0", "old1", "old2", "new"]


def test_a_full_queue_leaves_new_tasks_to_the_store(backlog):
    backlog.read()
    for number in range(25):
        backlog.arrive(f"{number:02}", number)
    assert len(backlog.queue.tasks) == 10
    assert backlog.queue.more
    while backlog.ready:
        backlog.take()
        backlog.read()
    assert backlog.taken == [f"{number:02}" for number in range(25)]
    assert not backlog.queue.more


def test_what_arrives_while_reading_comes_after_what_was_read(backlog):
    backlog.arrive("old", 1, told=False)
    found = backlog.begin()
    backlog.arrive("new", 2)
    assert not backlog.queue.tasks
    backlog.finish(found)
    assert list(backlog.queue.tasks) == ["old", "new"]
    assert not backlog.queue.more  # reading came to an end though something arrived


def test_what_is_left_to_the_store_with_an_earlier_key_is_read_too(backlog):
    """Instants repeat, so that a later task can sort before what was already read."""
    backlog.read()
    for number in range(10):
        backlog.arrive(f"m{number}", 5)
    backlog.arrive("a", 5)  # the same instant, a smaller id
    backlog.arrive("b", 3)  # an earlier instant: it has rested
    for _ in range(30):
        backlog.take()
        backlog.read()
    assert sorted(backlog.taken) == ["a", "b", *(f"m{number}" for number in range(10))]


def test_a_task_that_waits_again_comes_first(backlog):
    backlog.read()
    backlog.arrive("a", 1)
    backlog.arrive("b", 2)
    waiting = backlog.queue.tasks["b"]
    backlog.queue.drop("b")
    backlog.queue.again(waiting)
    assert list(backlog.queue.tasks) == ["b", "a"]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_every_task_is_taken_once(backlog, seed):
    rng = random.Random(seed)
    now, found = 0, None
    every = []
    for number in range(300):
        for _ in range(rng.choice([0, 0, 1, 2, 6])):
            now += rng.choice([0, 0, 1])
            task_id = f"{rng.randrange(10**6)}-{number}-{len(every)}"
            every.append(task_id)
            backlog.arrive(task_id, max(0, now - rng.choice([0, 0, 0, 3])))
        if found is None:
            found = backlog.begin()
        elif rng.random() < 0.5:
            backlog.finish(found)
            found = None
        for _ in range(rng.choice([0, 1, 2])):
            backlog.take()
        assert len(backlog.queue.tasks) <= 30
    while backlog.ready:
        left = len(backlog.ready)
        if found is not None:
            backlog.finish(found)
        found = backlog.begin()
        backlog.take()
        assert found is not None or len(backlog.ready) < left, "stuck"
    assert sorted(backlog.taken) == sorted(every)


# --- the queues of everybody ----------------------------------------------------------------------


def member(pid, group="g"):
    return Member(group, pid, Terms(), None)


def test_a_queue_exists_while_somebody_takes_from_it():
    read, looked = [], []
    all_queues = Queues(read.append, looked.append, None)
    group, one, two = Group("g"), member("x"), member("y")
    all_queues.opened(one)
    all_queues.opened(two)
    assert looked == ["g"]
    assert [each.route for each in read] == [
        any_route("g"),
        uni_route("g", "x"),
        uni_route("g", "y"),
    ]
    shared = all_queues.get(any_route("g"))
    all_queues.closed(one, group)
    assert all_queues.get(any_route("g")) is shared
    assert all_queues.get(uni_route("g", "x")) is None
    all_queues.closed(two, None)
    assert all_queues.get(any_route("g")) is None
    assert list(all_queues.dirty()) == []


def test_queues_of_one_member_are_looked_through_first():
    all_queues = Queues(lambda queue: None, lambda group: None, None)
    all_queues.opened(member("x"))
    list(all_queues.dirty())
    all_queues.touch(any_route("g"))
    all_queues.touch(uni_route("g", "x"))
    assert [each.pid for each in all_queues.dirty()] == ["x", None]
    assert list(all_queues.dirty()) == []


# --- through the engine ---------------------------------------------------------------------------


async def test_a_backlog_larger_than_the_queue_is_given_completely(servers, small):
    async with servers.start() as server:
        worker = Worker(server, "w", capacity=3)
        for number in range(60):
            await server.create(str(number))
        done = 0
        while done < 60:
            await eventually(lambda done=done: len(worker.given) > done)
            await server.fulfill(worker.given[done], 1)
            done += 1
        assert sorted(worker.given, key=int) == [str(number) for number in range(60)]


async def test_a_backlog_that_is_settled_away_does_not_stop_the_queue(servers, small):
    async with servers.start() as server:
        worker = Worker(server, "w", capacity=1)
        await server.create("first")
        await server.given(worker, "first")
        await server.submit(*(create(str(number)) for number in range(40)))
        for number in range(10):  # all that the queue has
            await server.settle(str(number))
        await server.fulfill("first", 1)
        await eventually(lambda: len(worker.given) == 2)


async def test_a_backlog_that_is_not_in_the_cache_is_given_completely(cold):
    async with cold.start() as server:
        for number in range(20):
            await server.create(str(number))
        worker = Worker(server, "w", capacity=1)
        for done in range(20):
            await eventually(lambda done=done: len(worker.given) > done)
            await server.fulfill(worker.given[done], 1)


async def test_what_a_scan_tells_is_only_a_hint(cold):
    """Tasks may have changed between the scan and the decision."""
    async with cold.start() as server:
        await server.create("gone")
        await server.settle("gone")
        await server.create("newer")
        await server.acquire("newer", 0, "x")
        await server.release("newer", 1)
        for number in range(3):
            await server.create(f"fine{number}")
        ready = server.engine._store.ready

        async def stale(*arguments):
            found = [replace(each, version=0) for each in await ready(*arguments)]
            return found and [Ready("gone", 0, 0, "poll://any@g"), *found]

        server.engine._store.ready = stale
        worker = Worker(server, "w", capacity=1)
        for done in range(4):
            await eventually(lambda done=done: len(worker.given) > done)
            await server.fulfill(worker.given[done], worker.version(worker.given[done]))
        assert sorted(worker.given) == ["fine0", "fine1", "fine2", "newer"]
        assert worker.version("newer") == 2


async def test_a_queue_opened_under_load_settles_down(servers):
    """New tasks are claimed in their own commit again, though some arrived while it was read."""
    async with servers.start() as server:
        stop = asyncio.Event()

        async def load(name):
            while not stop.is_set():
                await server.create(f"{name}-{next(numbers)}")

        numbers = itertools.count()
        loading = [asyncio.ensure_future(load(name)) for name in "abcd"]
        await server.create("a")
        Worker(server, "w", capacity=10_000)
        queue = await eventually(lambda: server.engine._dispatch._queues.get(any_route("g")))
        await eventually(lambda: not queue.more and not queue.reading)
        stop.set()
        await asyncio.gather(*loading)
