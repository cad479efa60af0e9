"""Offers and hints: an unanswered offer goes elsewhere, past holders teach about the next."""

from __future__ import annotations

import itertools
import time

import pytest

from resonate.core.objects import Task
from resonate.engine.clock import Clock
from resonate.engine.hints import Hint, Hints
from resonate.engine.members import Group, Member, Terms
from resonate.protocol import requests as rq
from resonate.protocol.addresses import any_route
from resonate.protocol.limits import RELEASE_BACKOFF_MS
from tests.engine.cluster import HEAD, Worker
from tests.store.stores import acquired, targeted
from tests.waiting import eventually, never


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Offers that go elsewhere after 30 ms."""
    monkeypatch.setattr("resonate.engine.offers.OFFER_MS", 30)
    monkeypatch.setattr("resonate.engine.offers.OFFER_REPEAT_MS", (100, 150))


def offering(server, pid, **terms):
    return Worker(server, pid, claim=False, **terms)


async def test_an_offer_names_task_and_version_and_changes_nothing(servers):
    async with servers.start() as server:
        worker = offering(server, "x")
        await server.create("a")
        await eventually(lambda: worker.offered == [("a", 0)])
        assert (await server.task("a")).state == "pending"


async def test_an_offer_uses_a_slot_until_it_is_acquired_and_done(memory):
    async with memory.start() as server:
        worker = offering(server, "x", capacity=1)
        await server.create("a")
        await server.create("b")
        await server.given(worker, "a")
        assert (await server.acquire("a", 0, "x")).status == 200
        assert (worker.member.held, dict(worker.member.offers)) == (1, {})
        await never(lambda: len(worker.given) > 1, 0.02)
        await server.fulfill("a", 1)
        await eventually(lambda: worker.offered == [("a", 0), ("b", 0)])


async def test_an_offer_ends_when_another_acquires_the_task(memory):
    async with memory.start() as server:
        worker = offering(server, "x", capacity=1)
        await server.create("a")
        await server.create("b")
        await server.given(worker, "a")
        await server.acquire("a", 0, "foreign")
        await eventually(lambda: worker.given == ["a", "b"])


@pytest.mark.parametrize("end", ["settle", "halt"])
async def test_an_offer_ends_with_its_task(memory, end):
    async with memory.start() as server:
        worker = offering(server, "x", capacity=1)
        await server.create("a")
        await server.create("b")
        await server.given(worker, "a")
        if end == "settle":
            await server.settle("a")
        else:
            await server.right(rq.TaskHalt(HEAD, rq.IdData("a")))
        await eventually(lambda: worker.given == ["a", "b"])


async def test_an_unanswered_offer_goes_to_another_member(servers):
    async with servers.start() as server:
        mute, other = offering(server, "x"), offering(server, "y")
        await server.create("a", "poll://any@g/x")
        await server.given(mute, "a")
        await server.given(other, "a")
        assert dict(mute.member.offers) == {}
        assert (await server.acquire("a", 0, "y")).status == 200
        await never(lambda: len(mute.given) + len(other.given) > 2, 0.15)


async def test_who_left_an_offer_unanswered_comes_last_until_it_acquires(memory):
    async with memory.start() as server:
        mute, other = offering(server, "x"), offering(server, "y", capacity=4)
        await server.create("a", "poll://any@g/x")
        await server.given(other, "a")
        for each in "bcd":
            await server.create(each)
        await server.given(other, "a", "b", "c", "d")
        assert mute.given == ["a"]
        assert (await server.acquire("a", 0, "x")).status == 200  # late, but alive
        assert mute.member.unanswered == 0
        await server.create("e")
        await eventually(lambda: mute.given == ["a", "e"])


async def test_who_heartbeats_but_answers_no_offer_has_its_stream_ended(memory):
    async with memory.start() as server:
        deaf = offering(server, "x")
        await server.heartbeat("x")
        for each in "abc":
            await server.create(each)
        await eventually(lambda: deaf.member.unanswered == 3)
        assert deaf.ended == 0  # silent, but its lease or its socket will tell
        await server.heartbeat("x")
        assert deaf.ended == 1
        assert not deaf.member.open
        again = offering(server, "x")
        await server.given(again, "a", "b", "c")
        for each in "abc":
            await server.acquire(each, 0, "x")
        await server.heartbeat("x")
        assert again.ended == 0


async def test_with_nobody_else_an_offer_stands_and_is_repeated_ever_more_rarely(memory):
    async with memory.start() as server:
        worker = offering(server, "x")
        await server.create("a")
        await eventually(lambda: len(worker.given) == 4)
        waits = [after - before for before, after in itertools.pairwise(worker.times)]
        assert waits[0] > 0.08
        assert all(wait > 0.12 for wait in waits[1:])  # 200 ms, if 150 were not the longest
        assert sum(waits) < 2
        assert worker.member.load == 1


async def test_a_new_member_gets_what_others_leave_unanswered(memory):
    async with memory.start() as server:
        mute = offering(server, "x")
        await server.create("a")
        await server.create("b", "poll://uni@g/x")
        await eventually(lambda: mute.member.unanswered == 2)
        other = offering(server, "y")
        await server.given(other, "a")  # at once, not when it would be repeated
        assert list(mute.member.offers) == ["b"]  # nobody else may have it


async def test_a_member_that_gets_free_gets_what_others_leave_unanswered(memory):
    async with memory.start() as server:
        mute, busy = offering(server, "x"), offering(server, "y", capacity=1)
        await server.create("load", "poll://any@g/y")
        assert (await server.acquire("load", 0, "y")).status == 200
        await server.create("a")
        await server.create("b")
        await eventually(lambda: mute.member.unanswered == 2)
        await server.fulfill("load", 1)
        await eventually(lambda: busy.given == ["load", "a"])
        assert list(mute.member.offers) == ["b"]  # one slot, one task


async def test_an_offer_to_a_uni_address_never_goes_elsewhere(memory):
    async with memory.start() as server:
        mute, other = offering(server, "x"), offering(server, "y")
        await server.create("a", "poll://uni@g/x")
        await eventually(lambda: mute.given == ["a", "a"])  # repeated
        assert other.given == []


async def test_a_resumed_task_is_offered_with_its_version(memory):
    async with memory.start() as server:
        worker = offering(server, "x")
        await server.create("p", None)
        await server.create("a")
        await server.given(worker, "a")
        await server.acquire("a", 0, "x")
        await server.suspend("a", 1, "p")
        await server.settle("p")
        await eventually(lambda: worker.offered == [("a", 0), ("a", 1)])


async def test_a_task_that_changes_while_it_is_offered_is_offered_anew(memory):
    async with memory.start() as server:
        worker = offering(server, "x")
        await server.create("a")
        await server.given(worker, "a")
        await server.acquire("a", 0, "foreign")
        await server.release("a", 1)
        await eventually(lambda: worker.offered == [("a", 0), ("a", 1)])
        assert worker.member.offers == {"a": 1}


# --- hints ----------------------------------------------------------------------------------------


def parked(pid):
    return targeted("a", acquired(pid, 9)), targeted("a", Task("suspended", 1))


def group_of(*pids):
    group = Group("g")
    for pid in pids:
        group.add(Member("g", pid, Terms(), None))
    return group


ALONE = group_of("x")


def release(hints, task_id, pid="x", group=ALONE, now=1_000):
    return hints.released(task_id, pid, any_route("g"), group, now)


def test_the_first_release_of_who_is_alone_rests_not_at_all_and_further_ones_longer():
    hints = Hints()
    rests = [release(hints, "a") for _ in range(8)]
    assert rests == [*RELEASE_BACKOFF_MS, RELEASE_BACKOFF_MS[-1], RELEASE_BACKOFF_MS[-1]]
    assert hints.rests("a", 1_000) == RELEASE_BACKOFF_MS[-1]
    assert hints.rests("a", 1_000 + RELEASE_BACKOFF_MS[-1]) == 0
    assert hints.get("a").avoid == {"x"}
    assert release(hints, "b") == 0


def test_everybody_is_asked_once_before_a_task_rests():
    hints, group = Hints(), group_of("x", "y", "z")
    assert [release(hints, "a", pid, group) for pid in "xyz"] == [0, 0, RELEASE_BACKOFF_MS[0]]
    assert hints.get("a").avoid == {"x", "y", "z"}
    assert release(hints, "a", "x", group) == RELEASE_BACKOFF_MS[1]


def test_who_refuses_for_the_second_time_makes_it_rest():
    hints, group = Hints(), group_of("x", "y")
    assert [release(hints, "a", "x", group) for _ in range(2)] == [0, RELEASE_BACKOFF_MS[1]]


def test_after_eight_that_refused_a_task_rests_before_the_next():
    pids = [f"w{number}" for number in range(20)]
    hints, group = Hints(), group_of(*pids)
    rests = [release(hints, "a", pid, group) for pid in pids[:10]]
    assert rests == [0] * 8 + [*RELEASE_BACKOFF_MS[1:3]]


def test_with_room_only_where_it_was_refused_a_task_rests_until_others_have_some():
    hints, group = Hints(), group_of("x", "busy")
    busy = group.members["busy"]
    busy.held = busy.terms.capacity
    group.place(busy)
    assert release(hints, "a", "x", group) == RELEASE_BACKOFF_MS[1]
    assert hints.rouse(group.members["x"]) == []
    busy.held -= 1
    assert hints.rouse(busy) == ["a"]
    assert hints.rests("a", 1_000) == 0
    assert hints.rouse(busy) == []


def test_as_many_are_roused_as_there_is_room_for():
    hints = Hints()
    for each in "abcd":
        release(hints, each)
        release(hints, each)
    assert hints.rouse(Member("g", "y", Terms(capacity=3), None)) == ["a", "b", "c"]
    assert hints.rouse(Member("other", "y", Terms(capacity=3), None)) == []
    unable = Member("g", "y", Terms(capacity=3, functions=frozenset()), None)
    assert hints.rouse(unable) == ["d"]  # it does not tell which function it calls


def test_a_task_of_a_function_is_roused_for_who_can_run_it():
    hints = Hints()
    for _ in range(2):
        hints.released("a", "x", any_route("g", "f"), ALONE, 0)
    able, unable = (
        Member("g", "y", Terms(functions=frozenset({name})), None) for name in ("f", "other")
    )
    assert hints.rouse(unable) == []
    assert hints.rouse(able) == ["a"]


def test_the_tasks_that_rest_are_bounded_and_the_oldest_goes_first(monkeypatch):
    monkeypatch.setattr("resonate.engine.hints.RESTING_MAX", 2)
    monkeypatch.setattr("resonate.engine.hints._HINTS_MAX", 1)
    hints = Hints()
    for each in "abc":
        for _ in range(2):
            release(hints, each)
    assert [hints.rests(each, 1_000) for each in "abc"] == [0, 100, 100]
    hints.lost("z", "x", 1)
    assert [each for each in "abcz" if hints.get(each)] == ["b", "c", "z"]


def test_a_holder_that_is_lost_failed():
    hints = Hints()
    hints.lost("a", "x", 3)
    assert (hints.get("a").holder, hints.get("a").failed) == ("x", True)
    assert hints.get("a").avoid == {"x"}
    assert hints.rests("a", 0) == 0
    assert [hints.loser("a", version) for version in (2, 3, 4)] == [None, "x", None]
    release(hints, "a", "y")
    assert hints.get("a").avoid == {"x", "y"}
    assert hints.loser("a", 3) is None
    assert hints.loser("b", 3) is None


def test_a_workflow_that_parks_clears_the_past_and_names_its_holder():
    hints = Hints()
    for _ in range(2):
        release(hints, "a")
    hints.see(*parked("y"))
    assert hints.get("a") == Hint(holder="y")
    assert hints.rests("a", 1_000) == 0


def test_a_task_that_ends_leaves_no_hint():
    hints = Hints()
    for _ in range(2):
        release(hints, "a")
    before = targeted("a", acquired("x", 9))
    hints.see(before, targeted("a", Task("fulfilled", 1), state="resolved"))
    assert hints.get("a") is None


def test_hints_are_bounded_and_the_oldest_go_first(monkeypatch):
    monkeypatch.setattr("resonate.engine.hints._HINTS_MAX", 3)
    hints = Hints()
    for each in "abcde":
        hints.lost(each, "x", 1)
    assert [each for each in "abcde" if hints.get(each)] == ["c", "d", "e"]


async def test_a_rest_that_ends_early_by_the_wall_clock_is_waited_out(memory, monkeypatch):
    """The alarm runs by the monotonic clock, the rest by the wall: which may have gone slower."""
    monkeypatch.setattr("resonate.engine.hints.RELEASE_BACKOFF_MS", (0, 30))
    back = [0.0]
    async with memory.start(clock=Clock(lambda: time.time() - back[0])) as server:
        worker = Worker(server, "x")
        await server.create("a")
        for version in (1, 2):
            await eventually(lambda version=version: len(worker.given) == version)
            await server.release("a", version)
        back[0] = 0.1
        await eventually(lambda: len(worker.given) == 3)


async def test_a_member_that_heartbeats_but_answers_no_offer_has_its_stream_ended(memory):
    async with memory.start() as server:
        deaf = offering(server, "x")
        for each in "abc":
            await server.create(each)
        await eventually(lambda: deaf.member.unanswered == 3)
        assert deaf.ended == 0
        await server.right(rq.TaskHeartbeat(HEAD, rq.TaskHeartbeatData("x", [])))
        assert deaf.ended == 1
        again = offering(server, "x")
        await eventually(lambda: set(again.given) == {"a", "b", "c"})
