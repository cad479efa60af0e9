"""``stop``: what it waits for, what it hands back, what it leaves behind (nothing)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import signal
import threading
import time
import weakref

import pytest

from resonate import AsyncResonate, Resonate
from resonate.errors import RemoteError, ResonateShutdownError
from resonate.sdk import client, pool
from tests.processes.children import until
from tests.sdk.proxy import HANG, LOSE_ANSWER, only


def threads():
    return [each.name for each in threading.enumerate() if each.name.startswith("resonate")]


class Work:
    """A function that tells when it has begun and ends when it may."""

    def __init__(self):
        self.started = threading.Event()
        self.go = threading.Event()

    def __call__(self, _ctx):
        self.started.set()
        self.go.wait(10)
        return "worked"


@pytest.fixture
def work():
    found = Work()
    yield found
    found.go.set()


def registered(resonate, work, name="work"):
    resonate.register(lambda ctx: work(ctx), name=name)  # noqa: PLW0108  # it is no function
    return resonate


def test_stop_of_what_was_never_used_does_nothing():
    until(lambda: threads() == [])
    Resonate.local().stop()
    assert threads() == []


@pytest.mark.parametrize("error", [None, LookupError("in the block")], ids=["well", "raised"])
def test_a_with_block_ends_with_stop(error):
    until(lambda: threads() == [])
    expected = contextlib.nullcontext() if error is None else pytest.raises(LookupError)
    with expected, Resonate.local() as resonate:
        resonate.register(lambda ctx: "worked", name="work")
        resonate.start()
        assert resonate.rpc("id", "work") == "worked"
        if error is not None:
            raise error
    until(lambda: threads() == [])


@pytest.mark.parametrize("kind", ["def", "async def", "both"])
def test_stop_leaves_no_thread_behind(kind):
    resonate = Resonate.local()
    if kind != "async def":
        resonate.register(lambda ctx: 1, name="f")
        resonate.run("a", "f")
    if kind != "def":

        @resonate.register
        async def g(ctx):
            await asyncio.sleep(0)

        g.run("b")
    assert threads() != []
    resonate.stop()
    until(lambda: threads() == [])
    resonate.stop()


def test_stop_of_a_client_of_a_server_leaves_nothing_behind(remote, group):
    before = threading.active_count()
    resonate = remote()
    resonate.register(lambda ctx: 1, name="f")
    resonate.start()
    for number in range(50):
        assert resonate.rpc(f"{group}{number}", "f") == 1
    resonate.stop()
    until(lambda: threading.active_count() == before)


def test_a_client_can_be_thrown_away_after_stop():
    resonate = Resonate.local()
    resonate.register(lambda ctx: 1, name="f")
    resonate.run("a", "f")
    resonate.stop()
    gone = weakref.ref(resonate._shared)
    del resonate
    until(lambda: gc.collect() >= 0 and gone() is None)


@pytest.mark.parametrize("kind", ["remote", "local"])
def test_a_client_that_is_dropped_is_stopped(server, group, kind):
    until(lambda: threads() == [])

    def use():
        resonate = Resonate.local() if kind == "local" else Resonate.remote(server.url, group=group)
        resonate.promises.create(f"{group}-dropped", 2**50)

    for _ in range(10):
        use()
    until(lambda: gc.collect() >= 0 and threads() == [])


def test_a_client_that_was_stopped_is_forgotten():
    resonate = Resonate.local()
    clients = []
    for number in range(3):
        resonate.promises.create(f"p{number}", 2**50)
        clients.append(weakref.ref(resonate._shared.client))
        resonate.stop()
    until(lambda: gc.collect() >= 0 and [each() for each in clients] == [None] * 3)


def test_a_handle_keeps_the_client_that_it_came_from(server, group):
    handle = Resonate.remote(server.url, group=group).begin_rpc(f"{group}-kept", "f")
    gc.collect()
    with Resonate.remote(server.url, group=group) as worker:
        worker.register(lambda ctx: "kept", name="f")
        worker.start()
        assert handle.result(10) == "kept"


def test_a_worker_that_is_dropped_works_on(server, group, make):
    def begin():
        resonate = Resonate.remote(server.url, group=group)
        resonate.register(lambda ctx: "working", name="f")
        resonate.start()
        return resonate._shared.client

    client = begin()
    gc.collect()
    with Resonate.remote(server.url, group=f"{group}-c") as caller:
        assert caller.options(target=group).rpc(f"{group}-1", "f") == "working"
    client.stop(0)


def test_memory_does_not_grow_with_calls(local):
    local.register(lambda ctx: 1, name="f")
    local.start()

    def calls(name):
        for number in range(200):
            local.rpc(f"{name}{number}", "f")
            local.begin_run(f"{name}.{number}", "f")
        until(lambda: not local._shared.client._worker._held)
        gc.collect()
        modules = [str(type(each).__module__) for each in gc.get_objects()]
        return sum(module.startswith("resonate.sdk") for module in modules)

    first = calls("a")
    assert calls("b") <= first + 20
    ours = local._shared.client
    assert ours._listeners._futures == {}
    assert ours._worker._settling._retries == {}
    assert len(ours._worker._suspensions) == 0


def test_stop_waits_for_what_runs(local, work):
    handle = registered(local, work).begin_run("id", "work")
    handle.done()
    assert work.started.wait(5)
    threading.Timer(0.2, work.go.set).start()
    before = time.monotonic()
    local.stop(5)
    assert 0.15 < time.monotonic() - before < 5
    assert handle.result(0) == "worked"


def test_stop_releases_what_does_not_end_in_time(remote, group, work, caplog):
    first = registered(remote(), work)
    first.start()
    handle = first.begin_rpc(group, "work")
    assert not handle.done()
    assert work.started.wait(5)
    second = remote()
    second.register(lambda ctx: "second", name="work")
    second.start()
    before = time.monotonic()
    first.stop(0.1)
    assert time.monotonic() - before < 4
    assert second.get(group).result(4) == "second"
    assert any("releasing 1 executions" in each for each in caplog.messages)
    with pytest.raises(ResonateShutdownError):
        handle.result(1)


def test_stop_cancels_async_functions_that_do_not_end_in_time(local):
    started, cancelled = threading.Event(), []

    @local.register
    async def forever(ctx):
        started.set()
        try:
            await asyncio.sleep(1000)
        finally:
            cancelled.append(ctx.id)

    forever.begin_run("id")
    assert started.wait(5)
    local.stop(0)
    assert cancelled == ["id"]
    until(lambda: threads() == [])


def test_stop_hands_back_what_has_not_started(remote, group, work):
    first = registered(remote(concurrency=1), work)
    first.begin_run(group + "1", "work")
    waiting = [first.begin_run(f"{group}w{number}", "work") for number in range(3)]
    assert work.started.wait(5)
    second = remote()
    second.register(lambda ctx: "second", name="work")
    second.start()
    stopping = threading.Thread(target=first.stop)
    stopping.start()
    assert [second.get(handle.id).result(2) for handle in waiting] == ["second"] * 3
    assert stopping.is_alive()
    work.go.set()
    stopping.join(5)
    assert second.get(group + "1").result(2) == "worked"


def test_nothing_is_handed_back_before_the_server_knows_who_leaves(
    remote, group, work, proxy, monkeypatch
):
    """It would come here again."""
    monkeypatch.setattr(client, "_KNOWN_SECONDS", 10)
    worker = registered(remote(proxy.url, concurrency=1), work)
    worker.start()
    until(lambda: proxy.polls)
    worker.begin_run(group + "1", "work")
    worker.begin_run(group + "2", "work")
    assert work.started.wait(5)
    known = []

    def rule(envelopes):
        if any(each["kind"] == "task.release" for each in envelopes):
            known.append("capacity=0" in proxy.polls[-1])

    proxy.rule, proxy.held, asked = rule, {"GET"}, proxy.asked
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    until(lambda: proxy.asked > asked)
    assert len(worker._shared.client._worker._waiting) == 1
    proxy.held = set()
    until(lambda: known)
    work.go.set()
    stopping.join(5)
    assert known == [True]


def test_nothing_new_is_taken_while_stopping(remote, group, work):
    worker = registered(remote(), work)
    taken = []
    worker.register(lambda ctx: taken.append(ctx.id), name="other")
    worker.start()
    worker.begin_rpc(group, "work")
    assert work.started.wait(5)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    until(lambda: worker._shared.client._worker._draining)
    caller = remote(group=group + "c").options(target=group)
    handle = caller.begin_rpc(group + "2", "other")
    with pytest.raises(TimeoutError):
        handle.result(0.3)
    work.go.set()
    stopping.join(5)
    assert taken == []
    worker.start()
    assert handle.result(5) is None
    assert taken == [group + "2"]


def test_a_function_may_make_calls_while_its_worker_stops(remote, group, work):
    helper = remote(group=group + "h")
    helper.register(lambda ctx: "helped", name="help")
    helper.start()
    worker = remote()

    @worker.register
    def call(ctx):
        work(ctx)
        return worker.options(target=group + "h").rpc(f"{group}.1", "help")

    worker.start()
    worker.begin_rpc(group, "call")
    assert work.started.wait(5)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    until(lambda: worker._shared.client._worker._draining)
    work.go.set()
    stopping.join(5)
    assert helper.get(group).result(1) == "helped"


def test_a_run_of_a_worker_that_stops_is_left_to_others(remote, group, work):
    worker, other = remote(), remote()
    for each in (worker, other):
        each.register(lambda ctx, pid=each.pid: pid, name="who")

    @worker.register
    def outer(ctx):
        work(ctx)
        return worker.run(f"{group}.1", "who")

    worker.begin_run(group, outer)
    assert work.started.wait(5)
    other.start()
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    until(lambda: worker._shared.client._worker._draining)
    work.go.set()
    stopping.join(10)
    assert other.get(group).result(4) == other.pid


def test_start_after_stop_works_again(remote, group):
    worker = remote()
    worker.register(lambda ctx: "done", name="f")
    for number in range(3):
        worker.start()
        worker.start()
        assert worker.rpc(f"{group}{number}", "f") == "done"
        worker.stop()
        worker.stop()


def test_a_handle_of_before_works_after_stop(remote, group):
    worker = remote()
    worker.register(lambda ctx: "done", name="f")
    handle = worker.begin_rpc(group, "f")
    worker.stop()
    worker.start()
    assert handle.result(5) == "done"


def test_a_second_stop_that_is_less_patient_wins(local, work):
    registered(local, work).begin_run("id", "work")
    assert work.started.wait(5)
    first = threading.Thread(target=local.stop, args=(30,))
    first.start()
    until(lambda: local._shared.client._worker._draining)
    before = time.monotonic()
    local.stop(0.1)
    first.join(2)
    assert not first.is_alive()
    assert time.monotonic() - before < 4


def test_a_function_may_stop_its_own_client(local):
    @local.register
    def stop(ctx):
        local.stop(0.2)
        return "stopped"

    handle = stop.begin_run("id")
    with pytest.raises(ResonateShutdownError):
        handle.result(5)


def test_functions_that_end_after_the_stop_do_no_harm(make, work):
    resonate = registered(make(Resonate.local()), work)
    resonate.begin_run("id", "work")
    assert work.started.wait(5)
    resonate.stop(0)
    work.go.set()
    until(lambda: threads() == [])


def test_an_async_function_that_blocks_its_loop_does_not_block_the_stop(local, work, monkeypatch):
    monkeypatch.setattr(pool, "_JOIN_SECONDS", 0.3)

    @local.register
    async def wrong(ctx):
        work(ctx)

    wrong.begin_run("id")
    assert work.started.wait(5)
    before = time.monotonic()
    local.stop(0)
    assert time.monotonic() - before < 4
    work.go.set()
    until(lambda: threads() == [])


def test_calls_that_race_with_stop_end_one_way_or_the_other(remote, group):
    resonate = remote()
    resonate.register(lambda ctx: 1, name="f")
    resonate.start()
    over = threading.Event()
    unexpected = []

    def call(thread):
        number = 0
        while not over.is_set():
            number += 1
            try:
                assert resonate.rpc(f"{group}.{thread}.{number}", "f") == 1
            except ResonateShutdownError:
                pass
            except BaseException as error:  # noqa: BLE001  # shown by the test
                unexpected.append(error)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for _ in range(5):
        resonate.start()
        time.sleep(0.03)
        resonate.stop()
    resonate.start()
    over.set()
    for caller in callers:
        caller.join(10)
        assert not caller.is_alive()
    assert unexpected == []


# --- how long -------------------------------------------------------------------------------------

ENDLESS = [math.inf, 1e300, threading.TIMEOUT_MAX, 10**400]
WRONG = [
    (None, TypeError, "timeout must be `float`, got NoneType"),
    ("5", TypeError, "timeout must be `float`, got str"),
    (True, TypeError, "timeout must be `float`, got bool"),
    (math.nan, ValueError, "timeout must be greater than or equal to zero"),
    (-1, ValueError, "timeout must be greater than or equal to zero"),
]


@pytest.mark.parametrize("timeout", ENDLESS)
def test_stop_may_wait_without_end(local, work, timeout, caplog):
    handle = registered(local, work).begin_run("id", "work")
    handle.done()
    assert work.started.wait(5)
    threading.Timer(0.3, work.go.set).start()
    local.stop(timeout)
    assert handle.result(0) == "worked"
    assert caplog.messages == []


def test_a_stop_without_end_is_ended_by_one_that_is_less_patient(local, work):
    registered(local, work).begin_run("id", "work")
    assert work.started.wait(5)
    first = threading.Thread(target=local.stop, args=(math.inf,))
    first.start()
    until(lambda: local._shared.client._worker._draining)
    local.stop(0)
    first.join(4)
    assert not first.is_alive()


@pytest.mark.parametrize(("timeout", "error", "text"), WRONG)
def test_a_wrong_timeout_is_refused_before_anything_happens(local, timeout, error, text, caplog):
    local.register(lambda ctx: 1, name="f")
    local.run("id", "f")
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    for call in (local.stop, local.run_until_signal):
        with pytest.raises(error) as caught:
            call(timeout)
        assert str(caught.value) == text
    assert local.get("id").result(1) == 1
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert caplog.messages == []


@pytest.mark.parametrize("timeout", ENDLESS)
def test_a_result_may_be_waited_for_without_end(local, work, timeout):
    handle = registered(local, work).begin_run("id", "work")
    assert work.started.wait(5)
    threading.Timer(0.1, work.go.set).start()
    assert handle.result(timeout) == "worked"


# --- signals --------------------------------------------------------------------------------------


def test_the_handlers_of_before_are_back_after_the_stop(local, work):
    registered(local, work).begin_run("id", "work")
    assert work.started.wait(5)
    came = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    mine = {number: lambda number, _frame: came.append(number) for number in before}

    def send():
        until(lambda: signal.getsignal(signal.SIGTERM) is not mine[signal.SIGTERM])
        for number in before:
            os.kill(os.getpid(), number)
            until(lambda: local._shared.client._worker._draining)

    try:
        for number, handler in mine.items():
            signal.signal(number, handler)
        sender = threading.Thread(target=send)
        sender.start()
        started = time.monotonic()
        local.run_until_signal()
        assert time.monotonic() - started < 5
        sender.join(5)
        assert {number: signal.getsignal(number) for number in before} == mine
        assert came == []
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: came == [signal.SIGTERM])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    work.go.set()
    until(lambda: threads() == [])


@pytest.mark.parametrize("kind", [Resonate, AsyncResonate])
def test_signals_on_another_thread_are_refused_with_what_to_do(kind):
    resonate, raised = kind.local(), []

    def work_there():
        try:
            if kind is Resonate:
                resonate.run_until_signal()
            else:
                asyncio.run(resonate.run_until_signal())
        except RuntimeError as error:
            raised.append(str(error))

    other = threading.Thread(target=work_there)
    other.start()
    other.join(5)
    (text,) = raised
    assert text == (
        "run_until_signal works on the main thread only, which is told of signals: call it there,"
        " or start() here, and stop() when it is time"
    )
    assert resonate._shared._client is None


# --- without the server ---------------------------------------------------------------------------


def test_stop_does_not_hang_while_the_server_is_gone(children, make, work, monkeypatch):
    monkeypatch.setattr(client, "_KNOWN_SECONDS", 0.3)
    monkeypatch.setattr(client, "_GOODBYE_SECONDS", 0.3)
    server = children.server(durable=False)
    resonate = registered(make(Resonate.remote(server.url)), work)
    handle = resonate.begin_run("id", "work")
    waiting = resonate.options(target="nobody").begin_rpc("other", "f")
    assert not handle.done()
    assert not waiting.done()
    assert work.started.wait(5)
    server.kill()
    work.go.set()
    before = time.monotonic()
    resonate.stop(0.5)
    assert time.monotonic() - before < 4
    for each in (handle, waiting):
        with pytest.raises(ResonateShutdownError):
            each.result(1)
    until(lambda: threads() == [])


def test_stop_does_not_hang_while_the_server_does_not_answer(
    remote, group, proxy, work, monkeypatch
):
    monkeypatch.setattr(client, "_KNOWN_SECONDS", 0.3)
    monkeypatch.setattr(client, "_GOODBYE_SECONDS", 0.3)
    resonate = registered(remote(proxy.url), work)
    resonate.begin_run(group, "work")
    assert work.started.wait(5)
    proxy.rule = only("task.fulfill", HANG)
    work.go.set()
    before = time.monotonic()
    resonate.stop(0.3)
    assert time.monotonic() - before < 4


def test_a_function_that_has_ended_is_not_released_again(remote, group, proxy, caplog):
    worker = remote(proxy.url)
    worker.register(lambda ctx: "done", name="f")
    worker.start()
    proxy.rule = only("task.fulfill", LOSE_ANSWER)
    assert worker.rpc(group, "f") == "done"
    proxy.rule = None
    worker.stop(0)
    assert [each for each in caplog.messages if "releasing" in each] == []
    assert proxy.kinds["task.release"] == 0


def test_an_error_of_a_function_is_delivered_during_the_stop(local, work):
    @local.register
    def fail(ctx):
        work(ctx)
        raise LookupError("late")

    handle = fail.begin_run("id")
    handle.done()
    assert work.started.wait(5)
    threading.Timer(0.1, work.go.set).start()
    local.stop(5)
    with pytest.raises((LookupError, RemoteError), match="late"):
        handle.result(1)


def test_a_signal_that_another_thread_gets_ends_the_work(local):
    """The system chooses the thread; the main one waits for a lock, and nothing interrupts that."""

    def kill():
        until(lambda: local._shared.client._working)
        time.sleep(0.1)  # it waits by now: nothing tells so
        for _ in range(2):
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    killing = threading.Thread(target=kill)
    killing.start()
    local.run_until_signal(math.inf)
    killing.join()
    assert signal.set_wakeup_fd(-1) == -1
