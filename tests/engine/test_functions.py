"""Calls that tell their function: they go to who can run it, and wait while nobody can."""

from __future__ import annotations

import logging

import pytest

from resonate.protocol.addresses import any_route, function_key
from resonate.protocol.validation import FUNC, VERSION
from tests.engine.cluster import ANY, Worker
from tests.waiting import eventually, never


def knows(server, pid, *functions, **terms):
    return Worker(server, pid, functions=frozenset(functions), **terms)


async def call(server, task_id, func, target=ANY, version=None):
    tags = {FUNC: func} if version is None else {FUNC: func, VERSION: version}
    await server.create(task_id, target, **tags)


@pytest.fixture
def few(monkeypatch):
    """Groups with three queues of functions in memory, and looks for more in quick succession."""
    for module in ("queues", "engine"):
        monkeypatch.setattr(f"resonate.engine.{module}.FUNCTION_QUEUES_MAX", 3)
    monkeypatch.setattr("resonate.engine.dispatch._FIND_SECONDS", 0.01)


async def test_a_call_goes_to_who_has_its_function_and_to_nobody_else(servers):
    async with servers.start() as server:
        others = [knows(server, pid, "g") for pid in "abc"]
        worker = knows(server, "w", "f", "g", capacity=50)
        for number in range(30):
            await call(server, f"t{number}", "f")
        await server.given(worker, *(f"t{number}" for number in range(30)))
        assert not any(each.given for each in others)


async def test_versions_are_functions_of_their_own(servers):
    async with servers.start() as server:
        old, new = knows(server, "old", "f"), knows(server, "new", function_key("f", "2"))
        await call(server, "a", "f")
        await call(server, "b", "f", version="1")
        await call(server, "c", "f", version="2")
        await server.given(old, "a", "b")
        await server.given(new, "c")


async def test_who_told_nothing_may_be_asked_for_anything(servers):
    async with servers.start() as server:
        worker = Worker(server)
        await call(server, "a", "f")
        await server.create("b")
        await server.given(worker, "a", "b")


async def test_a_call_that_tells_no_function_goes_to_anybody(servers):
    async with servers.start() as server:
        worker = knows(server, "w")
        await server.create("a")
        await server.given(worker, "a")


async def test_calls_nobody_can_run_wait_and_hold_up_no_others(servers, caplog):
    async with servers.start() as server:
        worker = knows(server, "w", "f", capacity=1)
        with caplog.at_level(logging.WARNING, "resonate.engine"):
            for number in range(20):
                await call(server, f"n{number}", "new")
            await call(server, "a", "f")
            await server.given(worker, "a")
        assert [each.getMessage() for each in caplog.records] == [
            "no worker of group g has function new: calls wait for one that has"
        ]
        assert (await server.task("n0")).version == 0  # nobody was asked
        newcomer = knows(server, "x", "new", capacity=50)
        await server.given(newcomer, *(f"n{number}" for number in range(20)))


async def test_what_waited_before_a_start_is_found(servers):
    async with servers.start() as server:
        await call(server, "a", "f")
        await call(server, "b", "g", version="7")
        await call(server, "c", "h")
    async with servers.start() as server:
        if await server.engine._store.snapshot():  # in memory nothing outlives the server
            await server.given(knows(server, "w", "f", function_key("g", "7")), "a", "b")
            await server.given(Worker(server), "c")


async def test_what_a_member_learns_it_is_given_when_it_comes_anew(servers):
    async with servers.start() as server:
        worker = knows(server, "w", "f")
        await call(server, "a", "g")
        await never(lambda: worker.given, 0.05)
        await server.given(knows(server, "w", "f", "g"), "a")
        assert worker.ended == 1


async def test_the_oldest_call_of_all_functions_is_next(servers):
    async with servers.start() as server:
        worker = knows(server, "w", "f", "g", capacity=1)
        await server.create("running")
        await server.given(worker, "running")
        functions = ["f", "g", None, "g", "f", None, "f"]
        for number, func in enumerate(functions):
            if func is None:
                await server.create(f"t{number}")
            else:
                await call(server, f"t{number}", func)
        await server.fulfill("running", 1)
        for number in range(len(functions)):
            await eventually(lambda number=number: worker.given[-1] == f"t{number}")
            await server.fulfill(f"t{number}", 1)


async def test_a_function_whose_members_are_full_holds_up_no_other(servers):
    async with servers.start() as server:
        full, free = knows(server, "full", "f", capacity=1), knows(server, "free", "g")
        for number in range(5):
            await call(server, f"f{number}", "f")
        await call(server, "g", "g")
        await server.given(free, "g")
        for number in range(5):
            await eventually(lambda number=number: len(full.given) == number + 1)
            await server.fulfill(full.given[-1], 1)


async def test_the_named_member_is_passed_over_when_it_has_not_the_function(servers):
    async with servers.start() as server:
        named, other = knows(server, "x", "g"), knows(server, "y", "f")
        await call(server, "a", "f", f"{ANY}/x")
        await server.given(other, "a")
        await call(server, "b", "f", "poll://uni@g/x")  # nobody else may have it
        await server.given(named, "b")


async def test_an_offer_left_unanswered_goes_only_to_who_can_run_it(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.offers.OFFER_MS", 20)
    async with servers.start() as server:
        deaf = knows(server, "x", "f", claim=False)
        unable = knows(server, "y", "g", claim=False)
        await call(server, "a", "f")
        await server.given(deaf, "a")
        await never(lambda: unable.given, 0.1)
        await server.given(knows(server, "z", "f", claim=False), "a")


async def test_a_queue_goes_with_the_last_who_can_run_its_function(memory):
    async with memory.start() as server:
        queues = server.engine._dispatch._queues
        one, two = knows(server, "x", "f"), knows(server, "y", "f")
        knows(server, "z", "g")
        await call(server, "a", "f")
        await eventually(lambda: one.given or two.given)
        route = any_route("g", "f")
        one.leave()
        assert queues.get(route) is not None
        two.leave()
        assert queues.get(route) is None
        await call(server, "b", "f")
        await server.given(knows(server, "w", "f"), "b")


async def test_more_functions_than_are_kept_in_memory_all_get_their_turn(servers, few):
    async with servers.start() as server:
        for number in range(20):
            await call(server, f"t{number}", f"f{number}")
        worker = Worker(server, capacity=1)
        for number in range(20):
            await eventually(lambda number=number: len(worker.given) == number + 1)
            if number == 5:
                await call(server, "late", "a")  # before all others in the order of routes
            await server.fulfill(worker.given[-1], 1)
        await eventually(lambda: len(set(worker.given)) == 21)


async def test_functions_whose_calls_are_delayed_do_not_keep_others_out(memory, few):
    async with memory.start() as server:
        later = server.engine._clock.now() + 3_600_000
        for number in range(9):
            await server.create(f"d{number}", delay=later, **{FUNC: f"a{number}"})
        for number in range(4):
            await call(server, f"t{number}", f"z{number}")
        worker = Worker(server)
        await server.given(worker, *(f"t{number}" for number in range(4)))


async def test_functions_nobody_has_do_not_keep_others_out(servers, few):
    async with servers.start() as server:
        for number in range(7):
            await call(server, f"u{number}", f"a{number}")
        await call(server, "t", "z")
        await server.given(knows(server, "w", "z"), "t")


async def test_functions_whose_members_are_full_do_not_keep_others_out(servers, few):
    async with servers.start() as server:
        full = knows(server, "full", *(f"a{number}" for number in range(7)), capacity=1)
        await server.create("work", f"{ANY}/full")
        await server.given(full, "work")
        for number in range(7):
            await call(server, f"t{number}", f"a{number}")
        free = knows(server, "free", "z")
        await call(server, "z", "z")
        await server.given(free, "z")
        for number in range(7):
            await server.fulfill(full.given[-1], 1)
            await eventually(lambda number=number: len(full.given) == number + 2)


async def test_when_those_who_kept_others_out_leave_there_is_room(servers, few):
    async with servers.start() as server:
        crowd = knows(server, "x", *"abc", capacity=1)
        for number, each in enumerate("abcabc"):
            await call(server, f"t{number}", each)
        free = knows(server, "y", "z")
        crowd.leave()
        await call(server, "z", "z")
        await server.given(free, "z")


async def test_a_function_that_comes_before_all_others_is_found_after_them(servers, few):
    async with servers.start() as server:
        for number in range(4):
            await call(server, f"t{number}", f"f{number}")
        worker = Worker(server, capacity=1)
        await eventually(lambda: worker.given)
        await call(server, "late", "a")
        await server.settle("t3")
        for _ in range(3):
            before = len(worker.given)
            await server.fulfill(worker.given[-1], 1)
            await eventually(lambda before=before: len(worker.given) > before)
        assert set(worker.given) == {"t0", "t1", "t2", "late"}


async def test_a_task_whose_offer_ends_is_given_though_its_queue_was_closed(servers, few):
    async with servers.start() as server:
        offered = knows(server, "x", "f0", claim=False)
        await call(server, "t0", "f0")
        await server.given(offered, "t0")
        other = Worker(server, capacity=50)
        for number in range(1, 5):
            await call(server, f"t{number}", f"f{number}")
        await server.given(other, *(f"t{number}" for number in range(1, 5)))
        offered.leave()
        await server.given(other, *(f"t{number}" for number in range(5)))


async def test_a_look_for_functions_that_a_failure_overtakes_is_nothing(memory):
    """What it made would wait for ever for what the failed store was asked."""
    async with memory.start() as server:
        knows(server, "w", "f")
        dispatch, route = server.engine._dispatch, any_route("g", "f")
        _, epoch = dispatch.look_from("g")
        dispatch.clear()
        assert not dispatch.found("g", "", [route], epoch)
        assert dispatch._queues.get(route) is None
        _, epoch = dispatch.look_from("g")
        assert dispatch.found("g", "", [route], epoch)
        assert dispatch._queues.get(route) is not None


async def test_that_nobody_has_a_function_any_more_is_told(memory, caplog):
    async with memory.start() as server:
        only = knows(server, "x", "f", "g", "h", capacity=1)
        await call(server, "h", "h")
        await server.given(only, "h")
        knows(server, "y", "h")
        await call(server, "f", "f")
        await call(server, "g", "g")
        await call(server, "f again", "f")
        with caplog.at_level(logging.WARNING, "resonate.engine"):
            only.leave()
        assert [each.getMessage() for each in caplog.records] == [
            "no worker of group g has function f and 1 others: calls wait for one that has"
        ]
