"""Connections that die without a word, servers that are slow, and answers that are too much."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web

from resonate.errors import ResonateStoreError
from resonate.sdk.connections import Connections
from resonate.sdk.transport import AnswerLostError, TransportError
from tests.processes.children import free_port, until
from tests.sdk.proxy import HANG, LOSE_ANSWER, LOSE_REQUEST, SWALLOW_ANSWER, only
from tests.sdk.relay import Relay
from tests.waiting import eventually

DOUBT_SECONDS = 0.3
GET = b'{"kind":"promise.get","head":{"corrId":"1","version":"2026-04-01"},"data":{"id":"none"}}'


def bad_gateway():
    return web.Response(status=502, text="nobody behind")


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Doubt sooner, so that nobody waits for the tests."""
    monkeypatch.setattr("resonate.sdk.connections._DOUBT_SECONDS", DOUBT_SECONDS)


@pytest.fixture
def relay(server, make):
    return make(Relay(server.url))


@pytest.fixture
def client(remote, proxy, group):
    """Return a client with a stream and a kept connection to the proxy."""
    found = remote(proxy.url, patience=8)
    found.register(lambda ctx: ctx.id, name="f")
    found.start()
    until(lambda: proxy.polls)
    found.rpc(f"{group}-first", "f")
    proxy.posts.clear()
    return found


def together(count, proxy, client, group):
    """Begin calls on as many threads, all but the first in one batch; return results and errors."""
    sender = client._shared.client._sender
    proxy.held = {"POST"}
    with ThreadPoolExecutor(count) as pool:
        calls = [pool.submit(client.begin_rpc, f"{group}0", "f")]
        until(lambda: proxy.posts)  # the first is alone in its batch
        calls += [
            pool.submit(client.begin_rpc, f"{group}{number}", "f") for number in range(1, count)
        ]
        until(lambda: len(sender._queue) == count - 1)
        proxy.held = set()
    assert len(proxy.posts[1]) == count - 1
    return [call.exception() or call.result() for call in calls]


def created(proxy, id):
    """Return how often the creation of a promise came to the proxy."""
    return sum(
        each["kind"] == "promise.create" and each["data"]["id"] == id
        for post in list(proxy.posts)
        for each in post
    )


# --- connections that died ------------------------------------------------------------------------


def test_a_request_into_a_dead_connection_is_soon_sent_over_another(remote, relay, group):
    client = remote(relay.url)
    client.begin_rpc(group + "1", "f")
    relay.go_dead()
    before = time.monotonic()
    client.begin_rpc(group + "2", "f")
    assert time.monotonic() - before < 5
    assert relay.swallowed > 0


def test_a_stream_is_not_opened_over_a_dead_connection(remote, relay, group):
    worker = remote(relay.url)
    worker.register(lambda ctx: ctx.id, name="f")
    worker.begin_rpc(group + "1", "f")
    relay.go_dead()
    worker.start()
    handle = remote().begin_rpc(group + "2", "f")
    assert handle.result(5) == group + "2"


def test_a_call_whose_answer_a_dead_connection_swallows_is_executed_once(client, proxy, group):
    count = []
    client.register(lambda ctx: count.append(ctx.id), name="work")
    proxy.rule = only("task.create", SWALLOW_ANSWER, times=1)
    before = time.monotonic()
    client.run(group, "work")
    assert time.monotonic() - before < 5
    assert count == [group]
    assert proxy.kinds["task.create"] == 2


@pytest.mark.parametrize("trouble", [None, LOSE_REQUEST, bad_gateway])
def test_nothing_is_repeated_while_the_server_answers_nothing_else(client, proxy, group, trouble):
    proxy.held = {"GET", "POST"} if trouble is None else {"POST"}
    proxy.discovery = trouble
    times = proxy.asked + (1 if trouble is None else 3)
    caller = threading.Thread(target=client.begin_rpc, args=(group, "f"))
    caller.start()
    until(lambda: proxy.asked >= times)
    proxy.held.discard("POST")
    caller.join(5)
    assert not caller.is_alive()
    assert created(proxy, group) == 1


def test_what_hangs_is_repeated_once_the_server_answers_something_else(client, proxy, group):
    proxy.discovery = bad_gateway
    proxy.rule = only("promise.create", HANG, times=1)
    times = proxy.asked + 3
    caller = threading.Thread(target=client.begin_rpc, args=(group, "f"))
    caller.start()
    until(lambda: proxy.asked >= times)
    proxy.discovery = None
    caller.join(5)
    assert not caller.is_alive()
    assert created(proxy, group) == 2


def test_a_server_that_is_slow_is_asked_twice_at_the_most(client, proxy, group):
    proxy.delay = DOUBT_SECONDS * 6
    before = time.monotonic()
    client.begin_rpc(group, "f")
    assert time.monotonic() - before >= proxy.delay + DOUBT_SECONDS
    assert created(proxy, group) == 2


def test_an_answer_that_comes_late_in_time_is_taken(client, proxy, group):
    proxy.delay = DOUBT_SECONDS / 2
    client.begin_rpc(group, "f")
    assert created(proxy, group) == 1


def test_after_the_stream_broke_no_connection_from_before_is_used(client, proxy, group):
    client.rpc(group + "1", "f")
    before, polls = set(proxy.ports), len(proxy.polls)
    proxy.ports.clear()
    proxy.cut()
    until(lambda: len(proxy.polls) > polls)
    client.begin_rpc(group + "2", "f")
    assert not before & set(proxy.ports)


async def test_after_a_request_broke_no_connection_from_before_is_used(proxy):
    connections = Connections(proxy.url + "/", {})
    proxy.delay = DOUBT_SECONDS / 4
    await asyncio.gather(*(connections.post(GET) for _ in range(3)))
    before = set(proxy.ports)
    assert len(before) == 3
    proxy.delay, proxy.rule = 0, only("promise.get", LOSE_REQUEST, times=1)
    with pytest.raises(AnswerLostError):
        await connections.post(GET)
    proxy.ports.clear()
    proxy.delay = DOUBT_SECONDS / 4
    await asyncio.gather(*(connections.post(GET) for _ in range(3)))
    assert not before & set(proxy.ports)
    await connections.close()


async def test_a_request_that_breaks_breaks_no_other(proxy):
    connections = Connections(proxy.url + "/", {})
    proxy.delay = DOUBT_SECONDS / 2
    slow = asyncio.create_task(connections.post(GET))
    await eventually(lambda: proxy.posts)
    proxy.delay, proxy.rule = 0, only("promise.get", LOSE_REQUEST, times=1)
    with pytest.raises(AnswerLostError):
        await connections.post(GET)
    assert not slow.done()
    assert (await slow)[0] == 404
    await connections.close()


async def test_what_never_reached_the_server_is_not_called_a_lost_answer():
    connections = Connections(f"http://127.0.0.1:{free_port()}/", {})
    with pytest.raises(TransportError) as caught:
        await connections.post(GET)
    assert type(caught.value) is TransportError
    await connections.close()


# --- heartbeats -----------------------------------------------------------------------------------


def test_a_heartbeat_into_a_dead_connection_comes_before_the_lease_ends(
    remote, proxy, make, group, monkeypatch
):
    monkeypatch.setattr("resonate.sdk.connections._DOUBT_SECONDS", 15)
    relay, ttl = make(Relay(proxy.url)), 3
    worker, go = remote(relay.url, ttl=ttl), threading.Event()
    worker.register(lambda ctx: go.wait(20), name="wait")
    worker.start()
    worker.begin_rpc(group, "wait")
    until(lambda: proxy.kinds["task.heartbeat"] >= 1)
    relay.go_dead()
    beats = proxy.kinds["task.heartbeat"]
    until(lambda: proxy.kinds["task.heartbeat"] > beats, ttl)
    assert relay.swallowed > 0
    go.set()
    until(lambda: proxy.kinds["task.fulfill"] == 1)


def test_a_heartbeat_is_tried_three_times_within_a_lease(remote, proxy, group, monkeypatch):
    monkeypatch.setattr("resonate.sdk.connections._DOUBT_SECONDS", 15)
    ttl, held, go = 4, threading.Event(), threading.Event()
    worker = remote(proxy.url, ttl=ttl)

    @worker.register
    def work(ctx):
        held.set()
        go.wait(20)

    worker.start()
    proxy.rule = only("task.heartbeat", HANG, times=2)
    handle = worker.begin_rpc(group, "work")
    assert held.wait(5)
    asked = proxy.asked
    until(lambda: proxy.kinds["task.heartbeat"] >= 3, ttl)
    assert proxy.asked == asked + 2  # after a break it may be another server
    go.set()
    handle.result(5)


# --- answers that are too much, or cannot be read -------------------------------------------------


def test_an_answer_that_cannot_be_read_fails_its_own_call_alone(client, proxy, group):
    def spoil(requests, answers):
        for request, answer in zip(requests, answers, strict=True):
            if request["kind"] == "promise.create" and request["data"]["id"] == group + "7":
                answer["data"] = {"promise": 7}

    proxy.spoil = spoil
    found = together(12, proxy, client, group)
    error = found.pop(7)
    assert isinstance(error, ResonateStoreError)
    assert "ValidationError" in str(error)
    assert [each for each in found if isinstance(each, Exception)] == []


def test_an_answer_that_is_too_much_to_come_through_is_asked_for_in_parts(client, proxy, group):
    proxy.rule = lambda envelopes: LOSE_ANSWER if len(envelopes) > 4 else None
    found = together(24, proxy, client, group)
    assert [each for each in found if isinstance(each, Exception)] == []


def test_what_did_not_fit_into_an_answer_comes_with_the_next(client, proxy, group):
    text = "Service unavailable: the answer to this batch is too large"

    def spoil(requests, answers):
        for answer in answers[2:]:
            answer["head"]["status"], answer["data"] = 503, text

    proxy.spoil = spoil
    before = time.monotonic()
    found = together(40, proxy, client, group)
    assert time.monotonic() - before < 5
    assert [each for each in found if isinstance(each, Exception)] == []
