"""The trace: what took effect, in that order, one JSON line each."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path

import pytest

from resonate.engine.engine import Engine
from resonate.engine.trace import Trace
from resonate.protocol import requests as rq
from resonate.protocol.envelope import Rules
from resonate.protocol.errors import StartError, Unavailable
from resonate.store.memory import MemoryStore
from tests.engine.cluster import FAR, HEAD, Gate, Worker, create, read
from tests.store.faults import Disk
from tests.waiting import eventually

SEARCH = rq.PromiseSearch(HEAD, rq.PromiseSearchData())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace.ndjson"


def tracing(servers, path, *, rules=None, **options):
    settings = {"trace": Trace(path), **({"rules": rules} if rules else {})}
    return servers.start(settings=settings, **options)


def lines(path):
    text = path.read_bytes()
    assert text.endswith(b"\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def named(path):
    return [(each["kind"], each["req"].get("id")) for each in lines(path)]


async def test_a_line_has_the_request_its_instant_and_its_answer(servers, path):
    async with tracing(servers, path) as server:
        data = rq.PromiseCreateData("a", FAR, None, {"k": "v"})
        answer = await server.right(rq.PromiseCreate(rq.Head("x7", rq.VERSION), data))
        created_at = answer.promise.created_at
        assert lines(path) == [
            {
                "kind": "promise.create",
                "now": created_at,
                "req": {"id": "a", "timeoutAt": FAR, "tags": {"k": "v"}},
                "res": {
                    "kind": "promise.create",
                    "head": {"corrId": "x7", "status": 200, "version": "2026-04-01"},
                    "data": {
                        "promise": {
                            "id": "a",
                            "state": "pending",
                            "param": {},
                            "value": {},
                            "tags": {"k": "v"},
                            "timeoutAt": FAR,
                            "createdAt": created_at,
                        }
                    },
                },
            }
        ]
        assert (await server.ask(read("no"))).status == 404
        assert lines(path)[1]["res"]["data"] == "Promise not found"


async def test_lines_stand_in_the_order_in_which_requests_took_effect(servers, path):
    async with tracing(servers, path) as server:
        calls = []
        for number in range(400):
            if number % 4 == 2:
                calls.append(server.submit(read("0"), create(f"b{number}", None)))
            elif number % 40 == 3:
                calls.append(server.submit(SEARCH))
            else:
                calls.append(server.submit(create(f"{number}", None)))
            if number % 7 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*calls)
    known, now = set(), 0
    for each in lines(path):
        assert each["now"] >= now or each["kind"] == "promise.search"
        now = max(now, each["now"])
        if each["kind"] == "promise.create":
            known.add(each["req"]["id"])
        elif each["kind"] == "promise.get":
            assert (each["res"]["head"]["status"] == 200) == ("0" in known)
    assert len(known) == 390


async def test_a_line_is_written_once_it_is_durable_and_not_before_earlier_ones(sqlite, path):
    async with tracing(sqlite, path) as server:
        await server.create("old", None)
        gate = Gate(server)
        writing = server.submit(create("new", None))
        await eventually(lambda: server.engine._store.uncommitted("new"))
        assert (await server.ask(read("old"))).status == 200  # is answered without waiting
        assert named(path) == [("promise.create", "old")]
        gate.open()
        await writing
        await eventually(lambda: len(lines(path)) == 3)
        assert named(path)[1:] == [("promise.create", "new"), ("promise.get", "old")]


async def test_a_commit_that_failed_is_left_out(sqlite, path, monkeypatch, caplog):
    monkeypatch.setattr("resonate.engine.recovery._SECONDS", (0.01, 0.02))
    disk = Disk()
    async with tracing(sqlite, path, vfs=disk.name) as server:
        await server.create("a", None)
        disk.fail("write", times=1)
        assert (await server.ask(create("lost", None))).status == 503
        assert (await server.ask(create("refused", None))).status == 503
        disk.heal()
        await eventually(lambda: server.engine.problem is None)
        await server.create("b", None)
    assert named(path) == [("promise.create", "a"), ("promise.create", "b")]


async def test_a_search_that_failed_is_left_out(memory, path, monkeypatch, caplog):
    monkeypatch.setattr("resonate.engine.recovery._SECONDS", (0.01, 0.02))
    async with tracing(memory, path) as server:

        async def failing(*arguments):
            del server.engine._store.promises
            raise Unavailable("no")

        server.engine._store.promises = failing
        assert (await server.ask(SEARCH)).status == 503
        await eventually(lambda: server.engine.problem is None)
        assert (await server.ask(SEARCH)).status == 200
    assert [each["kind"] for each in lines(path)] == ["promise.search"]


async def test_what_is_refused_for_want_of_room_is_left_out(memory, path, monkeypatch):
    monkeypatch.setattr("resonate.engine.batches.PENDING_REQUESTS_MAX", 1)
    async with tracing(memory, path) as server:
        calls = [server.submit(create(each, None)) for each in "ab"]
        assert [(await call)[0].status for call in calls] == [200, 503]
    assert named(path) == [("promise.create", "a")]


async def test_the_instant_of_a_line_is_the_one_it_was_decided_at(memory, path):
    async with tracing(memory, path, rules=Rules(debug=True)) as server:
        await server.right(rq.DebugStart(HEAD, rq.NoData()))
        data = rq.PromiseCreateData("a", 7, None, {})
        for now in (0, 5, 9):
            at = rq.Head("1", rq.VERSION, debug_time=now)
            await server.right(rq.PromiseCreate(at, data))
            await server.right(rq.PromiseSearch(at, rq.PromiseSearchData()))
        await server.right(rq.DebugTick(HEAD, rq.TickData(20)))
        await server.right(rq.DebugSnap(rq.Head("1", rq.VERSION, debug_time=21), rq.NoData()))
    found = lines(path)
    assert [each["now"] for each in found[1:7]] == [0, 0, 5, 5, 9, 9]
    assert found[7]["kind"] == "debug.tick"
    assert (found[7]["req"], found[7]["res"]["data"]) == ({"time": 20}, [])
    assert (found[8]["kind"], found[8]["now"]) == ("debug.snap", 21)
    assert found[8]["res"]["data"]["promises"][0]["state"] == "rejected_timedout"


async def test_a_search_is_written_at_the_instant_it_asked_for(sqlite, path):
    async with tracing(sqlite, path) as server:
        found, instants = server.engine._store.promises, []

        async def slow(query, now, limit):
            instants.append(now)
            await eventually(lambda: server.engine._clock.now() > now + 5)
            return await found(query, now, limit)

        server.engine._store.promises = slow
        await server.right(SEARCH)
    assert [each["now"] for each in lines(path)] == instants


async def test_a_file_is_added_to(memory, path):
    for each in "ab":
        async with tracing(memory, path) as server:
            await server.create(each, None)
    assert named(path) == [("promise.create", "a"), ("promise.create", "b")]


async def test_texts_of_any_kind_stay_on_one_line(memory, path):
    async with tracing(memory, path) as server:
        for each in ("line\nfeed\r", "☃\u2028", "\x7f", 'quote"'):
            await server.create(each, None)
    assert [each["req"]["id"] for each in lines(path)] == [
        "line\nfeed\r",
        "☃\u2028",
        "\x7f",
        'quote"',
    ]


async def test_what_workers_do_between_is_no_line(memory, path):
    async with tracing(memory, path) as server:
        worker = Worker(server, claim=False)
        await server.create("a", timeout_at=server.engine._clock.now() + 30)
        await server.given(worker, "a")

        async def timed_out():
            return (await server.stored("a")).state == "rejected_timedout"

        await eventually(timed_out)
    assert named(path) == [("promise.create", "a")]


# --- files that cannot be written -----------------------------------------------------------------


@pytest.mark.parametrize("place", ["missing/trace", "."])
async def test_a_file_that_cannot_be_written_stops_the_start(tmp_path, place):
    class Untouched(MemoryStore):
        async def open(self):
            raise AssertionError("the store is not even opened")

    trace = Trace(tmp_path / place)
    with pytest.raises(StartError, match=r"cannot be written: (No such file|Is a directory)"):
        await Engine(Untouched(), trace=trace).start()


@pytest.mark.parametrize("where", ["open", "held"])
async def test_a_start_that_fails_otherwise_closes_the_file(path, where):
    class Broken(MemoryStore):
        async def open(self):
            if where == "open":
                raise StartError("it is not a database")

        async def held(self, after, limit):
            raise Unavailable("it is damaged")

    engine = Engine(Broken(), trace=Trace(path))
    with pytest.raises(StartError, match="it is"):
        await engine.start()
    assert engine._trace._file is None


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="the disk that is always full is Linux's"
)
async def test_a_disk_that_is_full_ends_the_trace_and_not_the_server(servers, caplog):
    async with tracing(servers, Path("/dev/full")) as server:
        for each in "abc":
            await server.create(each, None)
        assert caplog.text.count("the trace ends here: /dev/full: No space left on device") == 1
        assert server.engine.problem is None
        gc.collect()  # the file complains if it was only dropped
        assert list(server.engine._trace._places) == []
