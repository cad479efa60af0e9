"""Batches: admission, answers and their order, what raises. Nothing leaves before its commit."""

from __future__ import annotations

import asyncio

import pytest

from resonate.core import machine
from resonate.protocol import requests as rq
from resonate.protocol.records import Value
from tests.engine.cluster import FAR, HEAD, Gate, Worker, create, read
from tests.waiting import eventually, never

# --- durable before acknowledged ------------------------------------------------------------------


async def test_no_answer_and_no_message_leaves_before_its_commit(sqlite):
    async with sqlite.start() as server:
        claiming, offered = Worker(server, "x", capacity=1), Worker(server, "y", "h", claim=False)
        caller = Worker(server, "c", capacity=0)
        await server.create("p", None)
        await server.listen("p", "poll://uni@g/c")
        await server.listen("p", "poll://uni@g/late")
        gate = Gate(server)
        calls = [
            server.submit(create("a")),
            server.submit(create("b", "poll://any@h")),
            server.submit(rq.PromiseSettle(HEAD, rq.PromiseSettleData("p", "resolved"))),
        ]
        await eventually(lambda: server.engine._store.uncommitted("p"))
        late = Worker(server, "late", capacity=0)
        everything = [claiming, offered, caller, late]
        await never(lambda: any(each.messages for each in everything))
        assert not any(call.done() for call in calls)
        gate.open()
        await eventually(lambda: all(each.messages for each in everything))
        assert (claiming.given, offered.given) == (["a"], ["b"])
        assert set(caller.told) == set(late.told) == {"p"}
        await asyncio.gather(*calls)


async def test_a_read_waits_only_when_it_saw_something_uncommitted(sqlite):
    async with sqlite.start() as server:
        await server.create("old", None)
        gate = Gate(server)
        write = server.submit(create("new", None))
        await eventually(lambda: server.engine._store.uncommitted("new"))
        assert (await server.get("old")).id == "old"
        answer = await server.ask(read("nothing"))
        assert answer.status == 404
        reading = server.submit(read("new"))
        both = [server.submit(read("old"), read("new")), server.submit(read("new"), read("old"))]
        again = server.submit(create("new", None))  # writes nothing, and tells of it
        waiting = [write, reading, *both, again]
        await never(lambda: any(each.done() for each in waiting))
        gate.open()
        for each in waiting:
            assert "new" in {answer.data.promise.id for answer in await each}


async def test_a_read_in_the_batch_that_writes_waits_for_it(sqlite):
    async with sqlite.start() as server:
        gate = Gate(server)
        calls = [server.submit(create("a", None)), server.submit(read("a"))]
        other = server.submit(read("b"))
        assert (await other)[0].status == 404
        await never(lambda: any(call.done() for call in calls))
        gate.open()
        assert [(await call)[0].data.promise.id for call in calls] == ["a", "a"]


# --- order and atomicity --------------------------------------------------------------------------


async def test_requests_of_a_call_run_in_order_and_are_answered_together(servers):
    async with servers.start() as server:
        settle = rq.PromiseSettle(HEAD, rq.PromiseSettleData("a", "resolved"))
        answers = await server.submit(read("a"), create("a", None), read("a"), settle, read("a"))
        assert [answer.status for answer in answers] == [404, 200, 200, 200, 200]
        states = [answer.data.promise.state for answer in answers[1:]]
        assert states == ["pending", "pending", "resolved", "resolved"]


async def test_a_call_of_no_requests_is_answered(servers):
    async with servers.start() as server:
        assert await server.submit() == []


async def test_calls_run_in_the_order_they_came_in(servers):
    async with servers.start() as server:
        calls = [
            server.submit(rq.PromiseCreate(HEAD, rq.PromiseCreateData("a", FAR + number)))
            for number in range(2_000)
        ]
        answers = await asyncio.gather(*calls)
        assert {answer.data.promise.timeout_at for (answer,) in answers} == {FAR}


async def test_what_came_in_together_shares_a_commit(sqlite):
    async with sqlite.start() as server:
        writer = server.engine._store._writer
        write = writer.write
        commits = []
        writer.write = lambda objects, done: commits.append(len(objects)) or write(objects, done)
        await asyncio.gather(*(server.submit(create(str(number), None)) for number in range(100)))
        assert sum(commits) == 100
        assert len(commits) <= 2


# --- admission ------------------------------------------------------------------------------------


async def test_past_the_limit_of_requests_the_answer_is_503_at_once(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.batches.PENDING_REQUESTS_MAX", 10)
    async with servers.start() as server:
        calls = [server.submit(create(str(number), None)) for number in range(13)]
        assert [call.done() for call in calls] == [False] * 10 + [True] * 3
        for call in calls[10:]:
            (answer,) = call.result()
            text = "Service unavailable: too many requests are waiting, try again in a second"
            assert (answer.status, answer.data) == (503, text)
        statuses = [(await call)[0].status for call in calls[:10]]
        assert statuses == [200] * 10
        await server.create("again", None)  # there is room again
        many = await server.submit(*(create(f"m{number}", None) for number in range(50)))
        assert {answer.status for answer in many} == {200}  # alone, a large one is let in


async def test_waiting_requests_are_bounded_by_their_size_too(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.batches.PENDING_BYTES_MAX", 1_000)
    async with servers.start() as server:
        calls = [server.submit(create(str(number), None), size=400) for number in range(4)]
        assert [call.done() for call in calls] == [False, False, True, True]
        assert [(await call)[0].status for call in calls] == [200, 200, 503, 503]
        assert [(await server.submit(create("a", None), size=900))[0].status] == [200]


async def test_many_requests_do_not_hold_the_loop(memory):
    """They are decided in several turns."""
    async with memory.start() as server:
        turns = 0
        calls = [server.submit(read(str(number))) for number in range(5_000)]
        while not all(call.done() for call in calls):
            turns += 1
            await asyncio.sleep(0)
        assert turns >= 5_000 // 512


# --- what raises ----------------------------------------------------------------------------------


@pytest.fixture
def broken_handler(monkeypatch):
    """A handler that raises after it has written."""
    handlers = dict(machine._HANDLERS)
    plain = handlers[rq.PromiseSettle]

    def settle(state, data):
        answer = plain(state, data)
        if data.id == "bad":
            raise ValueError("oops")
        return answer

    monkeypatch.setitem(machine._HANDLERS, rq.PromiseSettle, settle)


async def test_a_handler_that_raises_answers_500_and_the_others_go_on(
    servers, broken_handler, caplog
):
    async with servers.start() as server:
        await server.create("bad", None)
        await server.create("good", None)
        settles = [
            rq.PromiseSettle(HEAD, rq.PromiseSettleData(each, "resolved"))
            for each in ("bad", "good")
        ]
        calls = [server.submit(create("x", None), settles[0], create("y", None), settles[1])]
        calls += [server.submit(create("z", None))]
        first, second = await asyncio.gather(*calls)
        assert [answer.status for answer in first] == [200, 500, 200, 200]
        assert first[1].data == "Internal error: ValueError: oops"
        assert second[0].status == 200
        states = {each: (await server.get(each)).state for each in ("bad", "good", "x", "y", "z")}
        assert states == {**dict.fromkeys(("bad", "x", "y", "z"), "pending"), "good": "resolved"}
        assert (await server.stored("bad")).state == "pending"
        assert server.engine.problem is None


async def test_a_reply_that_raises_does_not_stop_the_others(servers, caplog):
    async with servers.start() as server:

        def broken(answers):
            raise OSError("the client is gone")

        server.engine.submit([create("a", None)], broken)
        server.engine.submit([read("nothing")], broken)
        other = server.submit(create("b", None))
        assert (await other)[0].status == 200
        assert (await server.get("a")).id == "a"
        assert server.engine._admission.pending == 0
        assert "could not be given" in caplog.text


async def test_a_connection_that_raises_does_not_stop_the_others(servers, caplog):
    async with servers.start() as server:
        broken, worker = Worker(server, "x", capacity=1), Worker(server, "y", "h")

        def send(message):
            raise OSError("gone")

        broken.send = send
        await server.submit(create("a"), create("b", "poll://any@h"))
        await server.given(worker, "b")
        assert server.engine.problem is None


async def test_a_step_that_raises_is_undone_and_the_others_go_on(servers, monkeypatch, caplog):
    from resonate.core import steps

    real = steps.advance

    def advance(state, promise_id):
        real(state, promise_id)
        if promise_id == "bad":
            raise ValueError("oops")

    monkeypatch.setattr(steps, "advance", advance)
    async with servers.start() as server:
        at = server.engine._clock.now() + 20
        for each in ("bad", "good"):
            await server.create(each, None, timeout_at=at)

        async def good_is_settled():
            return (await server.stored("good")).state != "pending"

        await eventually(good_is_settled)
        assert (await server.stored("bad")).state == "pending"
        assert (await server.get("bad")).state == "rejected_timedout"  # as seen, it is
        assert server.engine.problem is None
        assert caplog.text.count("a step on 'bad' failed") == 1  # it does not spin


async def test_an_internal_error_answers_500_and_the_server_recovers(servers, monkeypatch, caplog):
    monkeypatch.setattr("resonate.engine.recovery._SECONDS", (0.01, 0.05))
    async with servers.start() as server:
        worker = Worker(server)
        await server.create("a")
        await server.given(worker, "a")
        see = server.engine._holders.see

        def broken(before, after):
            server.engine._holders.see = see
            raise ValueError("oops")

        server.engine._holders.see = broken
        answer = await server.ask(create("b"))
        assert (answer.status, answer.data) == (500, "Internal error: ValueError: oops")
        assert server.engine.problem is not None
        await eventually(lambda: server.engine.problem is None)
        await server.create("b")
        await eventually(lambda: worker.given[-1] == "b")
        assert worker.member.held == 2
        assert server.engine._admission.pending == 0


# --- the size of an answer ------------------------------------------------------------------------


async def test_what_comes_behind_too_large_an_answer_is_not_carried_out(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.batches.ANSWER_BYTES_MAX", 25_000)
    async with servers.start() as server:
        data = rq.PromiseCreateData("large", FAR, Value(None, "x" * 10_000), {})
        await server.right(rq.PromiseCreate(HEAD, data))
        await server.create("p", None)
        settle = rq.PromiseSettle(HEAD, rq.PromiseSettleData("p", "resolved"))
        batch = [create("yes", None), *[read("large")] * 4, create("no", None), settle]
        answers = await server.submit(*batch)
        assert [answer.status for answer in answers] == [200] * 4 + [503] * 3
        text = "Service unavailable: the answer to this batch is too large"
        assert {answer.data for answer in answers[4:]} == {text}
        assert (await server.ask(read("yes"))).status == 200
        assert (await server.ask(read("no"))).status == 404
        assert (await server.get("p")).state == "pending"
        assert (await server.ask(read("large"))).status == 200  # alone, any answer is given


@pytest.mark.parametrize("where", ["data", "headers", "tags", "id"])
async def test_all_that_can_be_large_counts(servers, monkeypatch, where):
    monkeypatch.setattr("resonate.engine.batches.ANSWER_BYTES_MAX", 4_000)
    text = "x" * 1_500
    name = text if where == "id" else "large"
    headers = {"name": text} if where == "headers" else None
    param = Value(headers, text if where == "data" else None)
    data = rq.PromiseCreateData(name, FAR, param, {text: ""} if where == "tags" else {})
    async with servers.start() as server:
        await server.right(rq.PromiseCreate(HEAD, data))
        answers = await server.submit(*[read(name)] * 5)
        assert [answer.status for answer in answers] == [200] * 3 + [503] * 2


async def test_schedules_count(servers, monkeypatch):
    monkeypatch.setattr("resonate.engine.batches.ANSWER_BYTES_MAX", 4_000)
    data = rq.ScheduleCreateData("s", "* * * * *", "p", 5, Value(None, "x" * 1_500))
    async with servers.start() as server:
        await server.right(rq.ScheduleCreate(HEAD, data))
        answers = await server.submit(*[rq.ScheduleGet(HEAD, rq.IdData("s"))] * 5)
        assert [answer.status for answer in answers] == [200] * 3 + [503] * 2


async def test_what_is_told_with_a_lease_counts_and_what_is_refused_is_not_leased(
    servers, monkeypatch
):
    monkeypatch.setattr("resonate.engine.batches.ANSWER_BYTES_MAX", 4_000)
    async with servers.start() as server:
        names = [f"t{number}" for number in range(4)]
        for each in names:
            await server.create(each, **{"resonate:branch": "b", "large": "x" * 1_500})
        data = [rq.TaskAcquireData(each, 0, "w", 60_000) for each in names]
        answers = await server.submit(*(rq.TaskAcquire(HEAD, each) for each in data))
        assert [answer.status for answer in answers] == [200, 503, 503, 503]
        assert [(await server.task(each)).state for each in names] == ["acquired"] + ["pending"] * 3
