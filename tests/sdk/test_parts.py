"""Parts by themselves, where the whole cannot bring about what is to be seen."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from resonate.errors import ResonateShutdownError, ResonateStoreError
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.records import EMPTY, PromiseRecord
from resonate.sdk.http import _read_events
from resonate.sdk.listeners import Listeners
from resonate.sdk.pool import LoopThread, Pool, in_function, network_loop
from resonate.sdk.sender import Item, Sender
from resonate.sdk.transport import TransportError
from tests.processes.children import until
from tests.waiting import eventually

HEAD = rq.Head("1", rq.VERSION)


def get(id="p"):
    return rq.PromiseGet(HEAD, rq.IdData(id))


class Wire:
    """A transport whose every send is answered, or fails, as the test says."""

    def __init__(self):
        self.sent = []
        self.script = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, requests):
        self.sent.append([each.data.id for each in requests])
        await self.gate.wait()
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        return [Answer(step or 200, each.data.id) for each in requests]


def item(done, *ids, patience=None):
    return Item([get(id) for id in ids], done, patience)


async def test_a_sender_keeps_the_order_and_sends_together_what_came_meanwhile():
    wire, done = Wire(), []
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    wire.gate.clear()
    for id in "abcd":
        sender.put(item(done.append, id))
        await asyncio.sleep(0)
    wire.gate.set()
    await sender.idle()
    assert wire.sent == [["a"], ["b", "c", "d"]]
    assert [each.answers[0].data for each in done] == ["a", "b", "c", "d"]


async def test_a_sender_sends_again_what_failed_before_all_others():
    wire, done = Wire(), []
    wire.script = [TransportError("broken"), 503, 200]
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(done.append, "a", "b"))
    sender.put(item(done.append, "c"))
    await sender.idle()
    assert wire.sent == [["a", "b", "c"]] * 3
    assert [each.repeated for each in done] == [True, True]
    assert [each.error for each in done] == [None, None]


async def test_a_sender_sends_again_only_who_was_turned_away():
    class Half(Wire):
        async def send(self, requests):
            self.sent.append([each.data.id for each in requests])
            busy = len(self.sent) == 1
            return [Answer(503 if busy and each.data.id == "b" else 200, "") for each in requests]

    wire, done = Half(), []
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    for ids in ("a", "bc", "d"):
        sender.put(item(done.append, *ids))
    await sender.idle()
    assert wire.sent == [["a", "b", "c", "d"], ["b", "c"]]
    assert [each.requests[0].data.id for each in done] == ["a", "d", "b"]


async def test_patience_ends_although_the_server_says_nothing():
    wire, done = Wire(), []
    wire.gate.clear()
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(done.append, "a", patience=0.02))
    sender.put(item(done.append, "b"))
    await eventually(lambda: done)
    assert isinstance(done[0].error, ResonateStoreError)
    assert str(done[0].error) == "here does not answer (no answer so far): is the server running?"
    wire.gate.set()
    await sender.idle()
    assert [each.requests[0].data.id for each in done] == ["a", "b"]


async def test_what_nobody_waits_for_is_not_sent_again_and_not_kept():
    wire, done = Wire(), []
    wire.script = [TransportError("gone")] * 8
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    for number in range(100):
        sender.put(item(done.append, str(number), patience=0.03))
    await eventually(lambda: len(done) == 100)
    assert "gone" in str(done[0].error)
    await sender.idle()
    assert len(done) == 100
    assert not sender._queue


async def test_a_request_that_cannot_be_written_fails_and_the_next_is_sent():
    wire, done = Wire(), []
    wire.script = [UnicodeEncodeError("utf-8", "\ud800", 0, 1, "half"), 200]
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(done.append, "a"))
    await sender.idle()
    sender.put(item(done.append, "b"))
    await sender.idle()
    assert isinstance(done[0].error, ResonateStoreError)
    assert done[1].error is None


async def test_who_cannot_take_an_answer_does_not_keep_others_from_theirs(caplog):
    wire, done = Wire(), []

    def fail(item):
        raise RuntimeError("mistake")

    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(fail, "a"))
    sender.put(item(done.append, "b"))
    await sender.idle()
    assert len(done) == 1
    assert "an answer could not be taken in" in caplog.text


async def test_a_closed_sender_fails_everything_at_once():
    wire, done = Wire(), []
    wire.gate.clear()
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(done.append, "a"))
    await asyncio.sleep(0)
    sender.put(item(done.append, "b"))
    sender.put_threadsafe(item(done.append, "c"))
    await sender.close()
    sender.put(item(done.append, "d"))
    sender.put_threadsafe(item(done.append, "e"))
    assert len(done) == 5
    assert all(isinstance(each.error, ResonateShutdownError) for each in done)


async def test_a_pause_ends_when_the_server_is_seen():
    wire, done = Wire(), []
    wire.script = [TransportError("gone")] * 7
    loop = asyncio.get_running_loop()
    sender = Sender(wire, loop, "here")
    sender.put(item(done.append, "a"))
    while wire.script:
        await asyncio.sleep(0.001)
        sender.retry_now()
    before = loop.time()
    sender.retry_now()
    await sender.idle()
    assert loop.time() - before < 0.45
    assert len(done) == 1


# --- listeners ------------------------------------------------------------------------------------


async def test_a_listener_that_is_being_asked_for_is_not_asked_for_again():
    put = []
    make = lambda data: rq.PromiseRegisterListener(HEAD, data)  # noqa: E731
    listeners = Listeners(put.append, make, "poll://uni@g/p", asyncio.get_running_loop())
    from concurrent.futures import Future

    first, second = Future(), Future()
    listeners.subscribe("a", first)
    listeners.subscribe("a", second)
    for _ in range(10):
        listeners.register_all()
    assert len(put) == 1
    put[0].error = ResonateStoreError("nobody there")
    put[0].done(put[0])
    listeners.register_all()
    assert len(put) == 2
    listeners.settle(PromiseRecord("a", "resolved", EMPTY, EMPTY, {}, 1, 0, 1))
    assert first.result(0).id == second.result(0).id == "a"
    listeners.close()


# --- threads --------------------------------------------------------------------------------------


def test_a_pool_reuses_idle_threads_and_makes_more_when_all_are_busy():
    pool, seen, gate = Pool("test"), [], threading.Event()

    def note():
        seen.append((threading.get_ident(), in_function()))

    for number in range(10):
        pool.run(note)
        until(lambda n=number: len(seen) == n + 1 and pool._idle == 1)
    assert len(set(seen)) == 1
    assert seen[0][1]
    assert not in_function()
    for _ in range(5):
        pool.run(gate.wait)
    assert pool._started == 5
    gate.set()
    until(lambda: pool._idle == 5)
    pool.close()
    until(lambda: not [each for each in threading.enumerate() if each.name.startswith("test-")])


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, network_loop])
def test_what_is_posted_is_run_or_refused(factory):
    for _ in range(20):
        thread, ran, refused = LoopThread("test-loop", factory), [], []
        assert thread.loop

        def post(thread=thread, ran=ran, refused=refused):
            for number in range(200):
                if not thread.post(ran.append, number):
                    refused.append(number)

        posters = [threading.Thread(target=post) for _ in range(3)]
        for poster in posters:
            poster.start()
        thread.stop()
        for poster in posters:
            poster.join()
        assert len(ran) + len(refused) == 600


def test_a_loop_that_stops_cancels_what_runs_on_it():
    thread, ended = LoopThread("test-loop", asyncio.new_event_loop), []

    async def forever():
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(threading.current_thread().name)

    thread.post(lambda: asyncio.get_running_loop().create_task(forever()))
    time.sleep(0.02)
    thread.stop()
    thread.stop()
    assert ended == ["test-loop"]


# --- reading a stream -----------------------------------------------------------------------------


class Content:
    def __init__(self, *chunks):
        self.chunks = chunks

    async def iter_any(self):
        for chunk in self.chunks:
            yield chunk


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
async def test_events_are_read_however_they_are_cut(size):
    one = b'data: {"kind":"execute","head":{},"data":{"task":{"id":"%s","version":1}}}\n\n'
    text = (
        b": connected\n\n" + one % b"a" + b": \n\n" + b"event: x\n" + one % b"\\u00f6" + one % b"c"
    )
    found = []
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    await _read_events(Content(*chunks), found.append)
    assert [each.task.id for each in found] == ["a", "ö", "c"]
