"""What a worker does with every way a function can end, with its slots and with its leases."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import threading
import time

import pytest

from resonate import Resonate
from resonate.errors import (
    DecodingError,
    EncodingError,
    RemoteError,
    ResonateCanceledError,
    ResonateError,
    ResonateShutdownError,
    ResonateStoreError,
    ValueTooLargeError,
)
from resonate.protocol import requests as rq
from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.records import Value
from tests.processes.children import until
from tests.sdk.proxy import HANG, only


def ask(resonate, *requests):
    """Send requests of the protocol; return the answers."""
    client = resonate._shared.client
    made = [kind(client.head(), data) for kind, data in requests]
    return client.ask(*made).result(10).answers


def create(resonate, id, param, group=None):
    """Create a promise for the group with this text as its param."""
    data = rq.PromiseCreateData(
        id,
        2**62,
        Value(data=base64.b64encode(param.encode()).decode()),
        {"resonate:target": f"poll://any@{group or resonate.group}"},
    )
    (answer,) = ask(resonate, (rq.PromiseCreate, data))
    assert answer.status == 200
    return resonate.get(id)


# --- the end of a function ------------------------------------------------------------------------

ERRORS = [
    (ValueError("text"), ValueError),
    (KeyError("key"), KeyError),
    (SystemExit(3), RemoteError),
    (KeyboardInterrupt(), RemoteError),
    (GeneratorExit(), RemoteError),
    (asyncio.CancelledError("by itself"), RemoteError),
    (StopIteration(1), RuntimeError),  # what Python itself makes of it in an async function
    (BaseException("bare"), RemoteError),
]


@pytest.mark.parametrize(("error", "raised"), ERRORS)
@pytest.mark.parametrize("how", ["run", "rpc"])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_whatever_a_function_raises_rejects_its_promise_and_ends_no_thread(
    local, error, raised, how, kind
):
    if kind == "def":

        def fail(ctx):
            raise error
    else:

        async def fail(ctx):
            raise error

    if isinstance(error, StopIteration) and kind == "def":
        raised = RemoteError
    local.register(fail)
    local.register(lambda ctx: threading.current_thread().name, name="alive")
    local.start()
    with pytest.raises(raised) as caught:
        getattr(local, how)("id", "fail")
    cause = caught.value if raised is RemoteError else caught.value.__cause__
    if raised is not RuntimeError:
        assert cause.type == type(error).__name__
        assert cause.message == str(error)
        assert "in fail" in cause.traceback
    assert local.rpc("after", "alive") == "resonate-function-1"


def test_a_value_that_is_no_json_rejects_with_its_place(local):
    @local.register
    def f(ctx):
        return {"a": [1, object()]}

    @local.register
    async def g(ctx):
        return {"a": [1, object()]}

    for function in (f, g):
        with pytest.raises(EncodingError) as caught:
            function.run(function.name)
        assert str(caught.value) == "value['a'][1] is of type object, which JSON does not have"


@pytest.mark.parametrize(
    "param",
    ["no json", "5", "[]", "{}", '"f"', '{"func": "f", "args": 5}', '{"func": "f", "kwargs": [5]}',
     '{"func": "f", "version": "x"}', '{"func": "f", "version": Infinity}', "[" * 100_000],
)  # fmt: skip
def test_a_param_that_is_no_call_rejects_and_does_no_harm(local, param):
    local.register(lambda ctx: "f", name="f")
    local.start()
    with pytest.raises(DecodingError, match="promise bad"):
        create(local, "bad", param).result(5)
    assert local.rpc("good", "f") == "f"


@pytest.mark.parametrize(
    "param",
    ['{"func": "f"}', '{"func": "f", "args": null, "kwargs": null, "version": null}',
     '{"func": "f", "args": [], "version": 0, "other": 1}', '{"func": "f", "version": "1"}'],
)  # fmt: skip
def test_a_param_of_other_sdks_is_understood(local, param):
    local.register(lambda ctx: "f", name="f")
    local.start()
    assert create(local, "id", param).result(5) == "f"


def test_wrong_arguments_reject_with_a_type_error(local):
    local.register(lambda ctx, a: a, name="f")
    with pytest.raises(TypeError, match=r"was called with .*: missing a required argument: 'a'"):
        local.run("id", "f")


def test_a_function_that_returns_a_coroutine_is_awaited(local):
    async def inner(ctx, number):
        await asyncio.sleep(0)
        if number < 0:
            raise ValueError("negative")
        return number * 2

    @local.register
    @functools.wraps(inner)
    def outer(ctx, number):
        return inner(ctx, number)

    assert outer.run("id", 4) == 8
    with pytest.raises(ValueError, match="negative"):
        outer.rpc("other", -1)


def test_a_promise_canceled_meanwhile_is_canceled_for_its_caller(local):
    started = threading.Event()

    @local.register
    async def forever(ctx):
        started.set()
        await asyncio.sleep(1000)

    handle = forever.begin_run("id")
    assert started.wait(5)
    settle = rq.PromiseSettleData("id", "rejected_canceled")
    ask(local, (rq.PromiseSettle, settle))
    with pytest.raises(ResonateCanceledError, match="promise id was canceled") as caught:
        handle.result(5)
    assert caught.value.promise_id == "id"


# --- whose thread it is ---------------------------------------------------------------------------


def test_no_user_code_runs_on_the_threads_of_the_network(local):
    seen = []

    class Error(Exception):
        def __str__(self):
            seen.append(threading.current_thread().name)
            return "text"

    @local.register
    def f(ctx):
        seen.append(threading.current_thread().name)
        raise Error

    @local.register
    async def g(ctx):
        seen.append(threading.current_thread().name)
        raise Error

    for function in (f, g):
        with pytest.raises(RemoteError):
            function.rpc(function.name) if local.start() else function.run(function.name)
    assert len(seen) >= 4
    assert {name.rstrip("0123456789") for name in seen} == {"resonate-function-", "resonate-async"}


def test_async_functions_share_a_loop_and_run_side_by_side(local):
    barrier = []

    @local.register
    async def meet(ctx):
        barrier.append(asyncio.get_running_loop())
        while len(barrier) < 10:  # noqa: ASYNC110  # all of them at once, or never
            await asyncio.sleep(0.001)

    handles = [meet.begin_run(f"{number}") for number in range(10)]
    for handle in handles:
        handle.result(5)
    assert len(set(barrier)) == 1


# --- unknown functions ----------------------------------------------------------------------------


def test_nobody_is_asked_for_a_function_that_nobody_told_of(remote, proxy, group, caplog):
    worker = remote(proxy.url)
    worker.register(lambda ctx: "known", name="known")
    worker.start()
    handles = [worker.begin_rpc(f"unknown{each}{group}", "unknown") for each in range(100)]
    assert worker.rpc("known" + group, "known") == "known"
    assert proxy.kinds["task.release"] == 0
    assert not any(handle.done() for handle in handles)
    worker.register(lambda ctx: "now", name="unknown")  # told without a restart
    assert [handle.result(5) for handle in handles] == ["now"] * 100


def test_functions_registered_one_after_another_are_all_told(remote, proxy, group):
    worker = remote(proxy.url)
    worker.start()
    handles = [worker.begin_rpc(f"{each}{group}", f"f{each}") for each in range(50)]
    for each in range(50):
        worker.register(lambda ctx, each=each: each, name=f"f{each}")
    assert [handle.result(5) for handle in handles] == list(range(50))
    until(lambda: proxy.polls[-1].count("f") >= 50)
    assert len(proxy.polls) <= 52


@pytest.mark.parametrize("status", [400, 414, 431])
def test_functions_that_do_not_fit_into_a_url_are_not_told(remote, proxy, group, status):
    """Something between may take shorter URLs than the server does."""

    proxy.longest, proxy.too_long = 300, status
    worker = remote(proxy.url)
    for each in range(100):
        worker.register(lambda ctx, each=each: each, name=f"function-{each}")
    worker.start()
    assert worker.rpc(group, "function-7") == 7
    assert ["functions" in each for each in proxy.polls] == [True, False]


def test_thousands_of_functions_are_not_told(remote, proxy, group):
    worker = remote(proxy.url)
    for each in range(3000):
        worker.register(lambda ctx, each=each: each, name=f"function-{each}")
    worker.start()
    assert worker.rpc(group, "function-7") == 7
    assert "functions" not in proxy.polls[0]


@pytest.mark.parametrize("name", ["a,b:c%2C d#é/", "f:2", "%", "100%25", "#", "\u2028"])
def test_whatever_a_function_is_called_it_is_found(remote, group, name):
    worker, other = remote(), remote()
    for version in (1, 2):
        worker.register(lambda ctx, v=version: v, name=name, version=version)
    for each in (worker, other):
        each.start()
    calls = [other.options(version=v).begin_rpc(f"{group}{v}", name) for v in (1, 2)]
    assert [call.result(5) for call in calls] == [1, 2]


def test_an_unknown_function_of_an_untold_call_is_released_and_does_not_spin(
    remote, proxy, group, caplog
):
    """Callers of other SDKs do not say which function they call."""
    worker = remote(proxy.url)
    worker.register(lambda ctx: "known", name="known")
    worker.start()
    handle = create(worker, "unknown" + group, '{"func":"unknown","args":[],"version":1}')
    time.sleep(2)
    assert 1 <= proxy.kinds["task.release"] <= 6
    assert worker.rpc("known" + group, "known") == "known"
    warnings = [each for each in caplog.messages if "is not registered here" in each]
    assert warnings == [
        "function unknown version 1 is not registered here: leaving it to other workers"
    ]
    assert not handle.done()


def test_an_unknown_function_waits_for_a_worker_that_knows_it(remote, group):
    old = remote()
    old.start()
    handle = old.begin_rpc(group, "f")
    time.sleep(0.2)
    new = remote()
    new.register(lambda ctx: "new", name="f")
    new.start()
    assert handle.result(5) == "new"


def test_calls_of_other_sdks_find_the_member_that_has_their_function(remote, group):
    lacking = [remote() for _ in range(3)]
    for each in lacking:
        each.start()
    new = remote()
    new.register(lambda ctx: "new", name="f")
    new.start()
    handles = [create(new, f"{group}{each}", '{"func":"f","version":1}') for each in range(30)]
    assert [handle.result(5) for handle in handles] == ["new"] * 30


def test_a_worker_that_does_not_know_a_version_leaves_it_to_others(remote, group):
    workers = [remote() for _ in range(2)]
    for version, worker in enumerate(workers, start=1):
        worker.register(lambda ctx, v=version: v, name="f", version=version)
        worker.start()
    for number in range(10):
        for version in (1, 2):
            caller = workers[0].options(version=version)
            assert caller.rpc(f"{group}.{number}.{version}", "f") == version


# --- slots ----------------------------------------------------------------------------------------


class Gauge:
    """Counts how many are inside."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = self.total = 0

    def __enter__(self):
        with self.lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self.lock:
            self.now -= 1


def test_never_more_functions_run_than_there_are_slots(remote, group):
    gauges = []
    for _ in range(2):
        gauge = Gauge()
        worker = remote(concurrency=3)

        def work(ctx, gauge=gauge):
            with gauge:
                time.sleep(0.02)

        async def work_async(ctx, gauge=gauge):
            with gauge:
                await asyncio.sleep(0.02)

        worker.register(work)
        worker.register(work_async)
        worker.start()
        gauges.append(gauge)
    caller = remote(group=group + "c").options(target=group)
    names = ["work", "work_async"]
    handles = [caller.begin_rpc(f"{group}{n}", names[n % 2]) for n in range(40)]
    for handle in handles:
        handle.result(10)
    assert [gauge.most for gauge in gauges] == [3, 3]
    assert min(gauge.total for gauge in gauges) >= 15


def test_runs_wait_for_a_slot_too(make):
    resonate = make(Resonate.local(workers=2))
    gauge = Gauge()

    @resonate.register
    def work(ctx):
        with gauge:
            time.sleep(0.02)

    handles = [work.begin_run(f"{number}") for number in range(10)]
    for handle in handles:
        handle.result(5)
    assert gauge.most == 2


def test_a_run_inside_a_function_uses_the_slot_of_that_function(make):
    resonate = make(Resonate.local(concurrency=1))

    @resonate.register
    def outer(ctx, depth):
        return depth if depth == 5 else resonate.run(f"{ctx.id}.1", "outer", depth + 1)

    assert resonate.begin_run("id", "outer", 0).result(5) == 5


def test_a_busy_worker_leaves_work_to_others(remote, group):
    busy, idle = remote(concurrency=1), remote(concurrency=1)
    blocked, entered = threading.Event(), threading.Event()

    def work(ctx, block):
        if block:
            entered.set()
            blocked.wait(10)
        return threading.get_ident()

    try:
        busy.register(work)
        busy.start()
        busy.begin_rpc(group, "work", True)
        assert entered.wait(5)
        idle.register(work)
        idle.start()
        handles = [idle.begin_rpc(f"{group}{n}", "work", False) for n in range(5)]
        for handle in handles:
            handle.result(5)
    finally:
        blocked.set()


# --- leases ---------------------------------------------------------------------------------------


def test_a_function_that_blocks_keeps_its_lease(remote, group):
    count = []
    workers = [remote(ttl=1) for _ in range(2)]
    for worker in workers:

        def block(ctx):
            count.append(ctx.id)
            time.sleep(1.6)
            return "done"

        worker.register(block)
        worker.start()
        pulse = worker._shared.client._worker._pulse
        until(lambda p=pulse: p._lively_until)
        pulse._lively_until = 0.0
        until(lambda p=pulse: p._timer is None)  # the beats after a connection are over
    assert workers[0].begin_rpc(group, "block").result(6) == "done"
    assert count == [group]


def steal(resonate, id):
    """Take the lease of a task away from its holder."""
    (got,) = ask(resonate, (rq.TaskGet, rq.IdData(id)))
    version = got.data.task.version
    (released,) = ask(resonate, (rq.TaskRelease, rq.TaskReleaseData(id, version, 60_000)))
    assert released.status == 200
    (acquired,) = ask(resonate, (rq.TaskAcquire, rq.TaskAcquireData(id, version, "thief", 60_000)))
    assert acquired.status == 200
    return acquired.data.task.version


def settle_stolen(resonate, id, version):
    action = rq.SettleAction(rq.PromiseSettleData(id, "resolved", Value(data="IjIi")))
    (answer,) = ask(resonate, (rq.TaskFulfill, rq.TaskFulfillData(id, version, action)))
    assert answer.status == 200


def test_a_lost_lease_cancels_an_async_function_and_throws_its_result_away(make, caplog):
    resonate = make(Resonate.local(ttl=1))
    started, cancelled = threading.Event(), threading.Event()

    @resonate.register
    async def forever(ctx):
        started.set()
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.set()
        return "too late"

    handle = forever.begin_run("id")
    assert started.wait(5)
    version = steal(resonate, "id")
    assert cancelled.wait(2)
    settle_stolen(resonate, "id", version)
    assert handle.result(5) == "2"
    assert any("the lease of id was lost" in each for each in caplog.messages)
    assert resonate.run("other", resonate.register(lambda ctx: 1, name="f")) == 1


def test_a_lost_lease_throws_the_result_of_a_blocking_function_away(make, caplog):
    resonate = make(Resonate.local(ttl=1))
    started, go = threading.Event(), threading.Event()

    @resonate.register
    def block(ctx):
        started.set()
        go.wait(10)
        return "too late"

    handle = block.begin_run("id")
    assert started.wait(5)
    version = steal(resonate, "id")
    until(lambda: any("the lease of id was lost" in each for each in caplog.messages))
    go.set()
    until(lambda: any("result of id is thrown away" in each for each in caplog.messages))
    settle_stolen(resonate, "id", version)
    assert handle.result(5) == "2"


def test_a_result_that_comes_before_the_loss_is_noticed_is_refused(make, caplog):
    resonate = make(Resonate.local(ttl=60))
    started, go = threading.Event(), threading.Event()

    @resonate.register
    def block(ctx):
        started.set()
        go.wait(10)
        return "too late"

    handle = block.begin_run("id")
    assert started.wait(5)
    version = steal(resonate, "id")
    go.set()
    until(lambda: any("the result of id was refused" in each for each in caplog.messages))
    settle_stolen(resonate, "id", version)
    assert handle.result(5) == "2"


def test_slots_of_lost_functions_are_not_given_out_twice(remote, group, caplog):
    stuck, other = remote(ttl=1, concurrency=1), remote(ttl=1, concurrency=1)
    started, go = threading.Event(), threading.Event()

    @stuck.register
    def block(ctx):
        started.set()
        go.wait(20)

    gauge = Gauge()
    for worker in (stuck, other):

        def count(ctx, worker=worker):
            with gauge:
                return worker.pid

        worker.register(count)
    try:
        stuck.start()
        stuck.begin_rpc(group, "block")
        assert started.wait(5)
        steal(stuck, group)
        until(lambda: any("was lost" in each for each in caplog.messages))
        other.start()
        found = [other.begin_rpc(f"{group}{n}", "count") for n in range(10)]
        assert {handle.result(10) for handle in found} == {other.pid}
    finally:
        go.set()


def test_a_machine_without_threads_leaves_the_work_to_others(local, monkeypatch, caplog):
    fails = [1, 1]

    def start(self):
        if self.name.startswith("resonate-function") and fails:
            fails.pop()
            raise RuntimeError("can't start new thread")
        begin(self)

    begin = threading.Thread.start
    local.register(lambda ctx: 1, name="f")
    local.start()
    monkeypatch.setattr(threading.Thread, "start", start)
    assert local.rpc("id", "f") == 1
    assert fails == []
    assert [each for each in caplog.messages if "cannot run id" in each] == [
        "cannot run id: leaving it to other workers"
    ] * 2


def test_heartbeats_do_not_wait_for_what_the_server_is_slow_with(remote, proxy, group):
    worker, count = remote(proxy.url, ttl=1), []

    @worker.register
    def work(ctx):
        count.append(ctx.id)
        time.sleep(2)
        return "done"

    worker.start()
    handle = worker.begin_rpc(group, "work")
    until(lambda: count)
    proxy.rule = only("promise.create", HANG)
    slow = threading.Thread(target=_quietly, args=(worker.begin_rpc, group + "slow", "work"))
    slow.start()
    until(lambda: proxy.kinds["promise.create"] == 2)
    time.sleep(1.5)
    (got,) = remote()._shared.client.ask(
        rq.TaskGet(rq.Head("1", rq.VERSION), rq.IdData(group))
    ).result(5).answers  # fmt: skip
    assert (got.data.task.state, got.data.task.version) == ("acquired", 1)
    worker.stop(0)
    slow.join(10)
    assert not handle.done()


def _quietly(act, *arguments):
    with contextlib.suppress(ResonateShutdownError):
        act(*arguments)


def test_a_value_too_large_is_refused_early_with_the_limit(remote, group):
    worker = remote()
    worker.register(lambda ctx, *text: "x" * 5_000_000, name="large")
    worker.start()
    with pytest.raises(ValueTooLargeError, match="6666672 bytes in base64, more than the 3932160"):
        worker.rpc(group, "large")
    with pytest.raises(ValueTooLargeError, match="more than the 3932160 allowed"):
        worker.rpc(group + "2", "large", "x" * 5_000_000)


def test_a_result_too_large_for_the_server_rejects_with_its_words(remote, group, monkeypatch):
    monkeypatch.setattr("resonate.sdk.codec.LIMIT", 10_000_000)
    worker = remote()
    worker.register(lambda ctx: "x" * 5_000_000, name="large")
    worker.start()
    with pytest.raises(ResonateError, match=r"the server refused the result .* 413"):
        worker.rpc(group, "large")
    with pytest.raises(ResonateStoreError, match="too large") as caught:
        worker.rpc(group + "2", "large", "x" * 5_000_000)
    assert caught.value.code == 413


def test_large_values_at_the_same_time_are_not_refused_together(remote, group):
    worker = remote()
    worker.register(lambda ctx, text: len(text), name="size")
    worker.start()
    text = "x" * 1_000_000
    failures, threads = [], []

    def call(number):
        try:
            assert worker.rpc(f"{group}{number}", "size", text) == 1_000_000
        except BaseException as error:
            failures.append(error)
            raise

    for number in range(12):
        threads.append(threading.Thread(target=call, args=(number,)))
        threads[-1].start()
    for thread in threads:
        thread.join(20)
    assert failures == []


def test_a_lease_that_is_told_again_is_executed_once(local):
    count, go = [], threading.Event()

    @local.register
    def work(ctx):
        count.append(ctx.id)
        go.wait(10)
        return "done"

    handle = work.begin_run("id")
    assert not handle.done()
    until(lambda: count)
    client = local._shared.client
    (execution,) = client._worker._held.values()
    (task,) = ask(local, (rq.TaskGet, rq.IdData("id")))
    lease = LeaseAnswer(task.data.task, execution.promise, [])
    client._thread.post(client._worker.take, lease)  # while it runs
    go.set()
    assert handle.result(5) == "done"
    client._thread.post(client._worker.take, lease)  # when it is over
    local.run("other", work)
    assert count == ["id", "other"]
