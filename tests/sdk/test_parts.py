"""Parts by themselves, where the whole cannot bring about what is to be seen."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from resonate.errors import ResonateStoreError
from resonate.protocol import requests as rq
from resonate.protocol.records import EMPTY, PromiseRecord
from resonate.sdk.http import _read_events
from resonate.sdk.listeners import Listeners
from resonate.sdk.pool import LoopThread, Pool, in_function, network_loop
from tests.processes.children import until

HEAD = rq.Head("1", rq.VERSION)


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
