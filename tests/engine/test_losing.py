"""Leases that end: silence, lost connections, releases. On every store."""

from __future__ import annotations

import asyncio

import pytest

from resonate.protocol import requests as rq
from tests.engine.cluster import ANY, HEAD, Worker
from tests.waiting import eventually, never


async def test_a_lease_that_runs_out_goes_to_another_member(servers):
    async with servers.start() as server:
        silent = Worker(server, "x", ttl=50)
        await server.create("a")
        await server.given(silent, "a")
        other = Worker(server, "y")
        await server.given(other, "a")
        task = await server.task("a")
        assert (task.pid, task.version, task.state) == ("y", 2, "acquired")


async def test_a_suspect_member_gets_nothing_until_it_shows_life(servers):
    async with servers.start() as server:
        silent = Worker(server, "x", ttl=30)
        await server.create("a")
        await eventually(lambda: silent.member.suspect)
        await server.create("b")
        await never(lambda: len(silent.given) > 1)
        await server.heartbeat("x")
        await eventually(lambda: len(silent.given) >= 3)
        assert sorted(silent.given[:3]) == ["a", "a", "b"]


async def test_who_still_works_on_what_it_lost_is_alive(servers):
    """It may hold nothing else, and so send no heartbeats."""
    async with servers.start() as server:
        silent = Worker(server, "x", ttl=30)
        await server.create("a")
        await eventually(lambda: silent.member.suspect)
        other = Worker(server, "y", ttl=60_000)
        await server.given(other, "a")
        inner = rq.SettleAction(rq.PromiseSettleData("a", "resolved"))
        late, right = (
            rq.TaskFulfill(HEAD, rq.TaskFulfillData("a", version, inner)) for version in (1, 2)
        )
        await server.right(rq.TaskHeartbeat(HEAD, rq.TaskHeartbeatData("y", [])))
        assert silent.member.suspect
        assert (await server.ask(late)).status == 409
        assert not silent.member.suspect
        silent.member.suspect = True
        await server.right(right)  # of the holder of now
        assert silent.member.suspect


async def test_heartbeats_keep_a_lease(servers):
    async with servers.start() as server:
        worker, other = Worker(server, "x", ttl=300), Worker(server, "y", capacity=0)
        await server.create("a")
        await server.given(worker, "a")
        for _ in range(10):
            await asyncio.sleep(0.04)
            assert (await server.heartbeat("x", ("a", 1))).lost is None
        assert (await server.task("a")).version == 1
        assert not other.given


async def test_an_empty_heartbeat_keeps_every_lease_of_the_pid(servers):
    async with servers.start() as server:
        worker = Worker(server, "x", ttl=300)
        await server.create("a")
        await server.create("b")
        await server.given(worker, "a", "b")
        for _ in range(10):
            await asyncio.sleep(0.04)
            assert (await server.heartbeat("x")).lost is None
        assert [(await server.task(each)).version for each in "ab"] == [1, 1]


async def test_a_heartbeat_is_told_what_is_lost(servers):
    async with servers.start() as server:
        worker = Worker(server, "x")
        await server.create("a")
        await server.given(worker, "a")
        answer = await server.heartbeat("x", ("a", 1), ("a", 0), ("b", 1))
        assert answer.lost == [rq.TaskRef("a", 0), rq.TaskRef("b", 1)]


# --- presence -------------------------------------------------------------------------------------


async def test_what_a_lost_process_held_is_given_elsewhere_after_the_grace(servers):
    async with servers.start(grace_ms=40) as server:
        lost, other = Worker(server, "x", presence=True), Worker(server, "y", capacity=1)
        await server.create("a", "poll://any@g/x")
        await server.given(lost, "a")
        loop = asyncio.get_running_loop()
        left = loop.time()
        lost.leave()
        await server.given(other, "a")
        assert loop.time() - left > 0.039
        assert (await server.task("a")).pid == "y"


async def test_who_comes_back_within_the_grace_keeps_everything(servers):
    async with servers.start(grace_ms=60) as server:
        worker, other = Worker(server, "x", presence=True), Worker(server, "y")
        await server.create("a", "poll://any@g/x")
        await server.given(worker, "a")
        worker.leave()
        Worker(server, "x", presence=True)
        await never(lambda: other.given, 0.15)
        assert (await server.task("a")).version == 1


@pytest.mark.parametrize("sign", ["heartbeat", "acquire", "create"])
async def test_any_request_of_the_pid_starts_the_grace_anew(memory, sign):
    async with memory.start(grace_ms=250) as server:
        worker, other = Worker(server, "x", presence=True), Worker(server, "y")
        await server.create("a", "poll://any@g/x")
        await server.given(worker, "a")
        worker.leave()
        for number in range(8):
            await asyncio.sleep(0.05)
            if sign == "heartbeat":
                await server.heartbeat("x")
            elif sign == "acquire":
                await server.acquire("nothing", 0, "x")
            else:
                data = rq.PromiseCreateData(f"own{number}", 10**15, None, {"resonate:target": ANY})
                await server.ask(
                    rq.TaskCreate(HEAD, rq.TaskCreateData("x", 60_000, rq.CreateAction(data)))
                )
        assert not other.given
        await eventually(lambda: "a" in other.given)  # it falls silent


async def test_without_presence_a_lost_connection_keeps_its_leases(servers):
    async with servers.start(grace_ms=10) as server:
        lost, other = Worker(server, "x"), Worker(server, "y")
        await server.create("a", "poll://any@g/x")
        await server.given(lost, "a")
        lost.leave()
        await never(lambda: other.given, 0.08)


async def test_the_last_connection_of_a_process_counts(servers):
    """A process may be connected to several groups."""
    async with servers.start(grace_ms=20) as server:
        one, two = Worker(server, "x", presence=True), Worker(server, "x", "h", presence=True)
        other = Worker(server, "y")
        await server.create("a", "poll://any@g/x")
        await server.given(one, "a")
        one.leave()
        await never(lambda: other.given, 0.06)
        two.leave()
        await server.given(other, "a")


async def test_a_new_connection_takes_the_place_of_the_old_one(servers):
    async with servers.start(grace_ms=20) as server:
        old = Worker(server, "x", presence=True)
        await server.create("a")
        await server.given(old, "a")
        new = Worker(server, "x", presence=True)
        assert old.ended == 1
        assert not old.member.open
        await server.create("b")
        await eventually(lambda: "b" in new.given)
        old.leave()  # told late: changes nothing
        await server.create("c")
        await eventually(lambda: "c" in new.given)
        assert (await server.task("a")).version == 1  # it keeps what the process held


async def test_offers_of_a_lost_connection_go_elsewhere_at_once(servers):
    async with servers.start() as server:
        lost = Worker(server, "x", claim=False)
        await server.create("a")
        await server.given(lost, "a")
        other = Worker(server, "y", claim=False)
        lost.leave()
        await server.given(other, "a")


async def test_a_member_whose_stream_the_server_ended_is_waited_for(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.dispatch.RECYCLE_HOLD_MS", 60)
    async with servers.start() as server:
        worker, other = Worker(server, "x"), Worker(server, "y")
        worker.leave(recycled=True)
        await server.create("a", "poll://any@g/x")
        await server.create("b")  # does not stand behind it
        await server.given(other, "b")
        again = Worker(server, "x")
        await server.given(again, "a")
        again.leave(recycled=True)
        await server.create("c", "poll://any@g/x")
        await server.given(other, "b", "c")  # it did not come back


# --- release --------------------------------------------------------------------------------------


async def test_a_released_task_goes_to_another_member_at_once(servers):
    async with servers.start() as server:
        first, second = Worker(server, "x"), Worker(server, "y", capacity=1)
        await server.create("a", "poll://any@g/x")
        await server.given(first, "a")
        await server.release("a", 1)
        await server.given(second, "a")


async def test_further_releases_wait_longer_and_longer(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.hints.RELEASE_BACKOFF_MS", (0, 40, 80, 10_000))
    async with servers.start() as server:
        worker = Worker(server, "x")
        loop = asyncio.get_running_loop()
        await server.create("a")
        rests = []
        for number in range(3):
            await eventually(lambda number=number: len(worker.given) == number + 1)
            released = loop.time()
            await server.release("a", worker.version("a"))
            await eventually(lambda number=number: len(worker.given) == number + 2)
            rests.append(loop.time() - released)
        assert rests[0] < rests[2]
        assert rests[1] > 0.039
        assert rests[2] > 0.079
        await server.release("a", worker.version("a"))
        await never(lambda: len(worker.given) > 4, 0.1)


async def test_a_task_that_rests_does_not_hold_up_the_others(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.hints.RELEASE_BACKOFF_MS", (0, 10_000))
    async with servers.start() as server:
        worker = Worker(server, "x", capacity=1)
        await server.create("a")
        for version in (1, 2):
            await eventually(lambda version=version: len(worker.given) == version)
            await server.release("a", version)
        await server.create("b")
        await eventually(lambda: worker.given[-1] == "b")


async def rested(server, pid):
    """Return when a worker gave a task back for the second time, and left."""
    worker = Worker(server, pid)
    await server.create("a")
    for version in (1, 2):
        await eventually(lambda version=version: len(worker.given) == version)
        released = asyncio.get_running_loop().time()
        await server.release("a", version)
    worker.leave()
    return released


async def test_a_task_that_rests_goes_to_a_new_member_at_once(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.hints.RELEASE_BACKOFF_MS", (0, 60_000))
    async with servers.start() as server:
        await rested(server, "x")
        await server.given(Worker(server, "y"), "a")


async def test_a_new_life_of_who_gave_a_task_back_is_asked_again_at_once(servers, monkeypatch):
    """The new process may have the function that the old one had not."""
    monkeypatch.setattr("resonate.engine.hints.RELEASE_BACKOFF_MS", (0, 60_000))
    async with servers.start() as server:
        await rested(server, "x")
        await server.given(Worker(server, "x"), "a")


async def test_a_new_member_of_another_group_rouses_nothing(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.hints.RELEASE_BACKOFF_MS", (0, 60_000))
    async with servers.start() as server:
        worker = Worker(server, "x")
        await server.create("a")
        for version in (1, 2):
            await eventually(lambda version=version: len(worker.given) == version)
            await server.release("a", version)
        Worker(server, "x", group="other")
        await never(lambda: len(worker.given) > 2, 0.1)


async def test_a_task_goes_round_to_everybody_once_before_it_rests(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.hints.RELEASE_BACKOFF_MS", (60_000,))
    async with servers.start() as server:
        workers = [Worker(server, pid) for pid in "wxyz"]
        await server.create("a")
        for version in range(1, 5):
            await eventually(lambda: sum(len(each.given) for each in workers) == version)  # noqa: B023
            await server.release("a", version)
        assert [each.given for each in workers] == [["a"]] * 4
        await never(lambda: sum(len(each.given) for each in workers) > 4, 0.1)


async def test_a_task_waits_for_who_has_not_refused_it_and_has_no_room(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.hints.RELEASE_BACKOFF_MS", (0, 60_000))
    async with servers.start() as server:
        busy = Worker(server, "busy", capacity=1)
        await server.create("work")
        await server.given(busy, "work")
        other = Worker(server, "x")
        await server.create("a")
        await server.given(other, "a")
        await server.release("a", 1)
        await never(lambda: len(other.given) > 1 or len(busy.given) > 1, 0.1)
        await server.fulfill("work", 1)
        await server.given(busy, "work", "a")


async def test_many_that_everybody_refused_do_not_hide_one_that_waits(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.hints.RELEASE_BACKOFF_MS", (60_000,))
    many = [f"n{number}" for number in range(200)]
    async with servers.start() as server:
        other, busy = Worker(server, "x", capacity=300), Worker(server, "busy", capacity=300)
        for task_id in many:
            await server.create(task_id)
        await eventually(lambda: len(other.given) + len(busy.given) == len(many))
        for task_id in many:
            await server.release(task_id, 1)
        await eventually(lambda: len(other.given) + len(busy.given) == 2 * len(many))
        for task_id in many:
            await server.release(task_id, 2)
        for number in range(300):
            await server.create(f"work{number}", "poll://uni@g/busy")
        await eventually(lambda: "work299" in busy.given)
        await server.create("a")
        await eventually(lambda: "a" in other.given)
        await server.release("a", 1)
        await server.fulfill("work0", 1)
        await eventually(lambda: "a" in busy.given)


async def test_a_pid_that_is_no_member_and_refuses_does_not_spin(servers, monkeypatch):
    """Who acquires under another name than that of its stream is not known to have refused."""
    monkeypatch.setattr("resonate.engine.hints.RELEASE_BACKOFF_MS", (60_000,))
    async with servers.start() as server:
        worker = Worker(server, "x", claim=False)
        await server.create("a")
        for version in (1, 2):
            await eventually(lambda version=version: len(worker.given) == version)
            await server.acquire("a", version - 1, "foreign")
            await server.release("a", version)
        await never(lambda: len(worker.given) > 2, 0.1)


async def test_a_delayed_release_waits_for_its_delay(servers):
    async with servers.start() as server:
        worker = Worker(server, "x")
        await server.create("a")
        await server.given(worker, "a")
        await server.release("a", 1, 60)
        await never(lambda: len(worker.given) > 1, 0.04)
        await eventually(lambda: len(worker.given) == 2)
