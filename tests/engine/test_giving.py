"""Giving tasks to members: at once, to the least loaded, never to a full one. On every store."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from resonate.protocol.addresses import uni_route
from tests.engine.cluster import ANY, Worker, create
from tests.waiting import eventually, never


async def test_a_task_that_waits_is_given_within_milliseconds_of_joining(servers):
    async with servers.start() as server:
        await server.create("a")
        started = time.monotonic()
        worker = Worker(server)
        await eventually(lambda: worker.given)
        assert worker.given == ["a"]
        assert time.monotonic() - started < 0.5  # a few ms; the machine may be busy


async def test_a_claimed_task_comes_with_lease_and_promise(servers):
    async with servers.start() as server:
        worker = Worker(server, "w", ttl=70_000)
        await server.create("a")
        await eventually(lambda: worker.given)
        (message,) = worker.messages
        assert message.head == {"serverUrl": "http://localhost:8001"}
        task, promise = message.data.task, message.data.promise
        assert (task.id, task.state, task.version, task.pid, task.ttl) == (
            ("a", "acquired", 1, "w", 70_000)
        )
        assert promise == await server.get("a")
        assert await server.task("a") == task


async def test_a_task_is_claimed_in_the_commit_that_creates_it(servers):
    async with servers.start() as server:
        worker = Worker(server)
        await server.create("warm up")
        await eventually(lambda: worker.given)
        written = []
        transact = server.engine._store.transact

        def spy(reads, decide):
            def spied(objects):
                changed = decide(objects)
                written.extend((each, objects[each].task.state) for each in changed)
                return changed

            return transact(reads, spied)

        server.engine._store.transact = spy
        await server.create("a")
        assert written == [("a", "acquired")]
        assert worker.given == ["warm up", "a"]


async def test_tasks_spread_over_the_least_loaded_members(servers):
    async with servers.start() as server:
        workers = [Worker(server, each) for each in ("x", "y", "z")]
        await server.submit(*(create(str(number)) for number in range(12)))
        await eventually(lambda: sum(len(each.given) for each in workers) == 12)
        assert [len(each.given) for each in workers] == [4, 4, 4]
        # one of them gets free: it is next
        for each in list(workers[1].given)[:2]:
            await server.fulfill(each, 1)
        await server.submit(create("m"), create("n"))
        await eventually(lambda: len(workers[1].given) == 6)


async def test_a_full_member_gets_nothing_until_a_slot_is_free(servers):
    async with servers.start() as server:
        worker = Worker(server, capacity=2)
        for each in "abcd":
            await server.create(each)
        await server.given(worker, "a", "b")
        await never(lambda: len(worker.given) > 2)
        await server.fulfill("a", 1)
        await server.given(worker, "a", "b", "c")
        await server.settle("b")  # a slot is free, whoever settled
        await server.given(worker, "a", "b", "c", "d")


async def test_a_member_without_capacity_only_listens(servers):
    async with servers.start() as server:
        listener = Worker(server, "l", capacity=0)
        await server.create("a")
        await never(lambda: listener.given)
        worker = Worker(server, "w")
        await server.given(worker, "a")
        listener.leave()
        await server.create("b")
        await server.given(worker, "a", "b")
        assert listener.given == []


async def test_tasks_are_given_oldest_first(servers):
    async with servers.start() as server:
        for number in range(30):
            await server.create(f"{(number * 7) % 30:02}")
            if number % 10 == 0:
                await asyncio.sleep(0.002)
        worker = Worker(server, capacity=1)
        order = []
        while len(order) < 30:
            await eventually(lambda: len(worker.given) > len(order))
            order.append(worker.given[-1])
            await server.fulfill(order[-1], 1)
        created = [(await server.get(each)).created_at for each in order]
        assert created == sorted(created)


async def test_groups_do_not_share_tasks(servers):
    async with servers.start() as server:
        one, other = Worker(server, "w", "g"), Worker(server, "w", "h")
        await server.create("a", "poll://any@g")
        await server.create("b", "poll://any@h")
        await server.given(one, "a")
        await server.given(other, "b")


@pytest.mark.parametrize("name", ["päron", "a b%", "g/\u2028"])
async def test_names_may_be_odd(servers, name):
    from urllib.parse import quote

    async with servers.start() as server:
        worker = Worker(server, name, name)
        await server.create("a", f"poll://any@{quote(name, safe='')}")
        await server.create("b", f"poll://uni@{quote(name, safe='')}/{quote(name, safe='')}")
        await server.given(worker, "a", "b")


async def test_a_uni_task_goes_to_its_member_only(servers):
    async with servers.start() as server:
        other = Worker(server, "other")
        await server.create("a", "poll://uni@g/w")
        await never(lambda: other.given)
        worker = Worker(server, "w")
        await server.given(worker, "a")
        worker.leave()
        await server.create("b", "poll://uni@g/w")
        await never(lambda: other.given)


async def test_a_uni_task_does_not_stand_behind_the_backlog_of_the_group(servers):
    async with servers.start() as server:
        worker = Worker(server, "w", capacity=1)
        for number in range(5):
            await server.create(str(number))
        await server.create("mine", "poll://uni@g/w")
        await eventually(lambda: worker.given)
        own = server.engine._dispatch._queues.get(uni_route("g", "w"))
        await eventually(lambda: own.tasks)  # it was read
        await server.fulfill(worker.given[0], 1)
        await eventually(lambda: len(worker.given) == 2)
        assert worker.given[1] == "mine"


async def test_an_any_task_with_a_name_prefers_that_member(servers):
    async with servers.start() as server:
        first, second = Worker(server, "x", capacity=2), Worker(server, "y", capacity=2)
        for number in range(3):
            await server.create(str(number), "poll://any@g/y")
        await server.given(second, "0", "1")
        await server.given(first, "2")  # the named one is full
        await server.create("a", "poll://any@g/nobody")
        await eventually(lambda: "a" in first.given)


async def test_a_new_member_gets_what_waits_and_the_old_keep_theirs(servers):
    async with servers.start() as server:
        old = Worker(server, "x", capacity=2)
        for number in range(6):
            await server.create(str(number))
        await server.given(old, "0", "1")
        new = Worker(server, "y", capacity=3)
        await server.given(new, "2", "3", "4")
        assert len(old.given) == 2


async def test_capacity_holds_over_restarts_of_the_connection(servers):
    """What a process holds counts also when it comes back."""
    async with servers.start() as server:
        worker = Worker(server, "w", capacity=2)
        for each in "abc":
            await server.create(each)
        await server.given(worker, "a", "b")
        worker.leave()
        again = Worker(server, "w", capacity=2)
        await never(lambda: "c" in again.given)
        await server.fulfill("a", 1)
        await eventually(lambda: "c" in again.given)


async def test_a_paused_member_gets_nothing_until_it_resumes(servers):
    async with servers.start() as server:
        slow, other = Worker(server, "x"), Worker(server, "y", capacity=1)
        server.engine.connections.pause(slow.member)
        await server.create("a")
        await server.create("b")
        await server.given(other, "a")
        await never(lambda: slow.given)
        server.engine.connections.resume(slow.member)
        await server.given(slow, "b")


@pytest.mark.parametrize("claim", [True, False])
async def test_a_connection_that_does_not_take_the_message_gives_the_task_back(servers, claim):
    async with servers.start() as server:
        broken = Worker(server, "x", accepts=False, claim=claim)
        await server.create("a")
        await eventually(lambda: broken.member.paused and not broken.member.load)
        await never(lambda: broken.member.load)  # it is not tried over and over
        assert (await server.task("a")).version == (1 if claim else 0)
        worker = Worker(server, "y")
        await server.given(worker, "a")
        assert (await server.task("a")).pid == "y"
        server.engine.connections.resume(broken.member)  # it was only slow
        broken.accepts = True
        await server.create("b")
        await server.given(broken, "b")


async def test_ten_thousand_calls_at_once_all_run(servers):
    async with servers.start() as server:
        workers = [Worker(server, each, capacity=10_000) for each in ("x", "y")]
        calls = [server.submit(create(str(number), ANY)) for number in range(10_000)]
        answers = await asyncio.gather(*calls)
        assert Counter(answer.status for (answer,) in answers) == {200: 10_000}
        await eventually(lambda: sum(len(each.given) for each in workers) == 10_000, 20)
        assert [len(each.given) for each in workers] == [5_000, 5_000]
        assert len({*workers[0].given, *workers[1].given}) == 10_000
