"""The way to the server: broken, slow, restarted, without our extensions."""

from __future__ import annotations

import re
import socket
import threading
import time

import pytest
from aiohttp import web

from resonate import Resonate
from resonate.errors import ResonateStoreError
from tests.processes.children import free_port, until
from tests.sdk.proxy import GARBAGE, HANG, LOSE_ANSWER, LOSE_REQUEST, only


@pytest.fixture
def worker(remote, proxy):
    """Return a started worker whose every request the proxy sees."""
    found = remote(proxy.url)
    found.count = []

    @found.register
    def work(ctx, seconds=0.0):
        found.count.append(ctx.id)
        time.sleep(seconds)
        return ctx.id

    found.start()
    until(lambda: proxy.polls)
    return found


# --- a server that cannot be reached --------------------------------------------------------------


@pytest.mark.parametrize("how", ["run", "rpc", "begin_rpc", "get"])
def test_a_server_that_is_not_there_is_named_after_patience(make, how):
    url = f"http://127.0.0.1:{free_port()}"
    resonate = make(Resonate.remote(url, patience=0.3))
    resonate.register(lambda ctx: 1, name="f")
    before = time.monotonic()
    with pytest.raises(ResonateStoreError, match=re.escape(url)) as caught:
        getattr(resonate, how)(*(("id",) if how == "get" else ("id", "f")))
    assert 0.29 <= time.monotonic() - before < 5
    assert "is the server running?" in str(caught.value)
    assert caught.value.code == 0


def test_a_server_that_accepts_and_says_nothing_is_named_after_patience(make):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        resonate = make(Resonate.remote(url, patience=0.3))
        before = time.monotonic()
        with pytest.raises(ResonateStoreError, match=re.escape(url)):
            resonate.begin_rpc("id", "f")
        assert 0.29 <= time.monotonic() - before < 5


def test_a_call_waits_for_a_server_that_is_late(children, make):
    port = free_port()
    resonate = make(Resonate.remote(f"http://127.0.0.1:{port}"))
    resonate.register(lambda ctx: "done", name="f")
    found = []
    caller = threading.Thread(target=lambda: found.append(resonate.run("id", "f")))
    caller.start()
    time.sleep(0.3)
    children.server(durable=False, port=port)
    caller.join(10)
    assert found == ["done"]


def test_a_server_that_refuses_the_credentials_is_quoted(remote, proxy, group):
    proxy.rule = lambda envelopes: (401, "Unauthorized")
    with pytest.raises(ResonateStoreError, match="Unauthorized") as caught:
        remote(proxy.url).begin_rpc(group, "f")
    assert caught.value.code == 401


def test_something_else_at_that_address_is_quoted(remote, proxy, group):
    proxy.rule = lambda envelopes: GARBAGE
    with pytest.raises(ResonateStoreError, match="502: <html>Bad gateway"):
        remote(proxy.url, patience=0.2).begin_rpc(group, "f")


def test_a_proxy_without_a_server_behind_it_does_not_pass_for_a_server(remote, proxy, group):
    proxy.discovery = lambda: web.Response(status=502, text="Bad gateway")
    client = remote(proxy.url, patience=5)
    threading.Timer(0.2, setattr, (proxy, "discovery", None)).start()
    handle = client.begin_rpc(group, "f")
    assert not handle.done()
    assert client._shared.client._transport._extensions.batch > 1


# --- requests and answers that get lost -----------------------------------------------------------


@pytest.mark.parametrize("fault", [LOSE_REQUEST, LOSE_ANSWER, GARBAGE, (503, "busy")])
@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("run", "task.create"),
        ("rpc", "promise.create"),
        ("run", "task.fulfill"),
        ("rpc", "task.fulfill"),
    ],
)
def test_whatever_gets_lost_is_sent_again_and_executed_once(worker, proxy, group, fault, how, kind):
    proxy.rule = only(kind, fault, times=3)
    assert getattr(worker, how)(group, "work") == group
    assert worker.count == [group]
    until(lambda: proxy.kinds[kind] >= 2)


@pytest.mark.parametrize("how", ["run", "rpc"])
def test_an_answer_lost_on_the_first_request_is_no_other_call(remote, proxy, group, how):
    first, second = remote(proxy.url), remote()
    for resonate in (first, second):
        resonate.register(lambda ctx, pid=resonate.pid: pid, name="f")
    proxy.rule = only("task.create" if how == "run" else "promise.create", LOSE_ANSWER, times=2)
    first.start()
    assert getattr(first, how)(group, "f") == first.pid


def test_a_server_that_is_busy_does_not_end_a_listener(worker, proxy, group):
    proxy.rule = only("promise.register_listener", (503, "busy"), times=3)
    handle = worker.begin_rpc(group, "work", 0.2)
    assert handle.result(5) == group


def test_a_result_is_kept_while_the_server_has_a_problem_of_its_own(
    worker, proxy, group, caplog, monkeypatch
):
    monkeypatch.setattr("resonate.sdk.settling._AGAIN_SECONDS", 0.1)
    proxy.rule = only("task.fulfill", (500, "Internal error"), times=1)
    assert worker.rpc(group, "work") == group
    assert worker.count == [group]
    assert any("is not taken, trying again: 500 Internal error" in each for each in caplog.messages)


def test_a_request_the_server_hangs_on_does_not_hold_its_caller_longer_than_patience(
    remote, proxy, group
):
    client = remote(proxy.url, patience=0.3)
    proxy.rule = only("promise.create", HANG)
    before = time.monotonic()
    with pytest.raises(ResonateStoreError, match="does not answer"):
        client.begin_rpc(group, "f")
    assert time.monotonic() - before < 5


# --- the stream -----------------------------------------------------------------------------------


def test_a_stream_that_breaks_comes_back_and_nothing_is_lost(remote, proxy, group):
    worker, count = remote(proxy.url, ttl=1), []

    @worker.register
    def work(ctx, seconds):
        count.append(ctx.id)
        time.sleep(seconds)

    worker.start()
    handles = []
    for number in range(20):
        handles.append(worker.begin_rpc(f"{group}{number}", "work", 0.05))
        if number % 5 == 0:
            proxy.cut()
    for handle in handles:
        handle.result(10)
    assert sorted(count) == sorted(handle.id for handle in handles)
    assert len(proxy.polls) >= 2


def test_a_result_whose_message_got_lost_comes_with_the_next_stream(worker, proxy, group):
    caller = Resonate.remote(proxy.url, group=group)
    try:
        go = threading.Event()
        worker.register(lambda ctx: go.wait(10), name="wait")
        handle = caller.begin_rpc(group, "wait")
        assert not handle.done()
        until(lambda: len(proxy.polls) == 3 and proxy.kinds["promise.register_listener"])
        client = caller._shared.client  # whose stream is open, and which asks for nothing any more
        until(lambda: client._open and not client._listeners._asking)
        proxy.swallow = True
        go.set()
        until(lambda: proxy.events and proxy.events[-1]["kind"] == "unblock")
        with pytest.raises(TimeoutError):
            handle.result(0.1)
        proxy.swallow = False
        proxy.cut()
        assert handle.result(5) is True
    finally:
        caller.stop()


def test_a_worker_declares_itself_and_a_caller_only_listens(worker, proxy, group):
    (poll,) = proxy.polls
    assert poll.startswith(f"/poll/{group}/{worker.pid}?")
    assert set(poll.partition("?")[2].split("&")) == {
        "capacity=32", "claim=1", "ttl=10000", "presence=1", "functions=work",
    }  # fmt: skip
    caller = Resonate.remote(proxy.url, group=group)
    try:
        assert caller.rpc(group, "work") == group
    finally:
        caller.stop()
    assert proxy.polls[-1] == f"/poll/{group}/{caller.pid}?capacity=0&presence=1"
    assert worker.count == [group]


def test_calls_made_together_leave_together(worker, proxy, group):
    proxy.rule = lambda envelopes: time.sleep(0.05)
    threads = [
        threading.Thread(target=worker.begin_rpc, args=(f"{group}{n}", "work")) for n in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    creates = [sum(each["kind"] == "promise.create" for each in post) for post in proxy.posts]
    assert sum(creates) == 50
    assert max(creates) > 10


def test_unknown_messages_and_nonsense_are_passed_over():
    from resonate.sdk.http import _message

    for body in (
        b"", b"nonsense", b"5", b"[]", b'{"kind":"new","head":{},"data":{}}', b"\xff",
        b'{"kind":"execute","data":{}}', b'{"kind":"unblock","data":{"promise":null}}',
        b'{"kind":"execute","data":{"task":{"id":5,"version":1}}}', b'{"kind":5,"data":{}}',
    ):  # fmt: skip
        assert _message(body) is None
    found = _message(
        b'{"kind":"execute","head":{"serverUrl":"x"},"data":{"task":{"id":"a","version":1,"n":1},"n":1}}'
    )
    assert (found.task.id, found.task.version) == ("a", 1)


# --- a server without our extensions --------------------------------------------------------------


def test_a_server_without_extensions_is_served_with_plain_requests(remote, plain, group):
    worker = remote(plain.url, concurrency=2)
    inside, most = [], []

    @worker.register
    def work(ctx, seconds):
        inside.append(ctx.id)
        most.append(len(inside))
        time.sleep(seconds)
        inside.remove(ctx.id)
        return ctx.id

    worker.start()
    handles = [worker.begin_rpc(f"{group}{number}", "work", 0.03) for number in range(12)]
    assert [handle.result(10) for handle in handles] == [handle.id for handle in handles]
    assert max(most) == 2
    assert worker.run(group, "work", 0) == group
    assert max(len(post) for post in plain.posts) == 1
    assert "?" not in "".join(plain.polls)
    assert plain.kinds["task.acquire"] >= 12
    assert plain.kinds["task.fulfill"] == 13
    assert {
        each["data"]["task"].get("state") for each in plain.events if each["kind"] == "execute"
    } == {None}


def test_offers_that_find_no_slot_are_taken_when_one_is_free(remote, plain, group):
    worker = remote(plain.url, concurrency=1)
    go = threading.Event()
    worker.register(lambda ctx: go.wait(10), name="block")
    worker.register(lambda ctx: ctx.id, name="f")
    worker.start()
    first = worker.begin_rpc(group, "block")
    until(lambda: plain.kinds["task.acquire"] == 1)
    others = [worker.begin_rpc(f"{group}{number}", "f") for number in range(5)]
    unknown = worker.begin_rpc(group + "u", "unknown")
    until(lambda: len([each for each in plain.events if each["kind"] == "execute"]) == 7)
    assert plain.kinds["task.acquire"] == 1
    go.set()
    assert first.result(5) is True
    assert [handle.result(5) for handle in others] == [handle.id for handle in others]
    until(lambda: plain.kinds["task.release"] >= 1)
    assert worker.rpc(group + "after", "f") == group + "after"
    assert not unknown.done()


def test_a_server_that_is_exchanged_is_asked_again_what_it_can(remote, proxy, group):
    worker = remote(proxy.url)
    worker.register(lambda ctx: ctx.id, name="f")
    worker.start()
    assert worker.rpc(group + "1", "f") == group + "1"
    proxy.plain = True
    proxy.cut()
    until(lambda: proxy.polls[-1].endswith(worker.pid))
    assert worker.rpc(group + "2", "f") == group + "2"
    proxy.plain = False
    proxy.cut()
    until(lambda: "claim=1" in proxy.polls[-1])
    assert worker.rpc(group + "3", "f") == group + "3"


# --- a server that restarts -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_calls_that_run_while_the_server_restarts_are_completed(children, make, how):
    server = children.server()
    worker, caller = (make(Resonate.remote(server.url, group=name)) for name in ("w", "c"))
    count, go = [], threading.Event()

    @worker.register
    def work(ctx):
        count.append(ctx.id)
        go.wait(20)
        return ctx.id

    @worker.register
    def short(ctx):
        return ctx.id

    worker.start()
    before = [caller.options(target="w").begin_rpc(f"before{n}", "work") for n in range(5)]
    assert [handle.done() for handle in before] == [False] * 5
    until(lambda: len(count) == 5)
    getattr(server, how)()
    go.set()  # results come while nobody is there to take them
    during = []
    calls = threading.Thread(
        target=lambda: during.append(caller.options(target="w").rpc("during", "short"))
    )
    calls.start()
    server.start()
    assert [handle.result(10) for handle in before] == [handle.id for handle in before]
    calls.join(10)
    assert during == ["during"]
    assert caller.options(target="w").rpc("after", "short") == "after"
    assert sorted(count) == [f"before{n}" for n in range(5)]
