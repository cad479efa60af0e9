"""What durable functions may rely on, in each flavour: generators, coroutines, plain functions."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import pytest

from resonate import Resonate
from resonate.errors import (
    ArgumentsError,
    NotStartedError,
    RemoteError,
    ResonateCanceledError,
    ResonateStoreError,
    ResonateTimedoutError,
)
from resonate.retry_policies import Constant, Never
from tests.processes.children import until


def flavours(**bodies):
    """Parametrize a test with the bodies that do the same."""
    return pytest.mark.parametrize("body", bodies.values(), ids=bodies)


def call(local, body, *args, timeout=10):
    local.register(body, name="body")
    local.start()
    return local.begin_rpc("id", "body", *args).result(timeout)


def leaf(ctx, value):
    return value


def fails(ctx, text):
    raise ValueError(text)


# --- outcomes of steps ----------------------------------------------------------------------------


def gen_catches(ctx):
    try:
        yield ctx.run(fails, "no")
    except ValueError as error:
        local = str(error)
    try:
        yield ctx.rpc("fails", "far")
    except ValueError as error:
        far = str(error)
    return [local, far, (yield ctx.run(leaf, 1))]


async def co_catches(ctx):
    try:
        await ctx.run(fails, "no")
    except ValueError as error:
        local = str(error)
    try:
        await ctx.rpc("fails", "far")
    except ValueError as error:
        far = str(error)
    return [local, far, await ctx.run(leaf, 1)]


def plain_catches(ctx):
    try:
        ctx.run(fails, "no").result()
    except ValueError as error:
        local = str(error)
    try:
        ctx.rpc("fails", "far").result()
    except ValueError as error:
        far = str(error)
    return [local, far, ctx.run(leaf, 1).result()]


@flavours(generator=gen_catches, coroutine=co_catches, plain=plain_catches)
def test_errors_of_steps_can_be_caught(local, body):
    local.register(fails)
    assert call(local, body) == ["no", "far", 1]


def gen_raises(ctx):
    yield ctx.run(fails, "deep")


async def co_raises(ctx):
    await ctx.run(fails, "deep")


def plain_raises(ctx):
    ctx.run(fails, "deep").result()


@flavours(generator=gen_raises, coroutine=co_raises, plain=plain_raises)
def test_an_error_that_nobody_catches_is_the_outcome(local, body):
    with pytest.raises(ValueError, match="deep"):
        call(local, body)


# --- structured concurrency -----------------------------------------------------------------------


@flavours(
    generator=lambda ctx: (yield from _begin_and_leave(ctx)),
    plain=lambda ctx: ctx.begin_run(slow, "local").result() and ctx.rpc("leaf", 5).result(),
)
def test_a_function_ends_only_when_its_attached_children_have(local, body):
    ended = []
    local.set_dependency("ended", ended)
    local.register(leaf)
    assert call(local, body) == 5
    assert ended == ["local"]


def slow(ctx, name):
    time.sleep(0.1)
    ctx.get_dependency("ended").append(name)


def _begin_and_leave(ctx):
    yield ctx.begin_run(slow, "local")
    return (yield ctx.rpc("leaf", 5))


def test_an_error_of_a_child_that_nobody_awaits_does_not_fail_its_parent(local):
    def body(ctx):
        yield ctx.begin_run(fails, "unseen")
        return "fine"

    assert call(local, body) == "fine"


def test_a_detached_call_is_not_waited_for(local):
    go = threading.Event()
    local.register(lambda ctx: go.wait(10), name="long")

    def body(ctx):
        promise = yield ctx.detached("long")
        return promise.id

    assert call(local, body) == "id.1"
    assert local.promises.get("id.1").pending
    go.set()
    assert local.get("id.1").result(5) is True


# --- ids ------------------------------------------------------------------------------------------


def test_ids_are_given_out_in_the_order_of_calls(local):
    async def tasks(ctx, name):
        return [(await ctx.promise()).id for _ in range(2)]

    async def body(ctx):
        first = ctx.run(leaf, 1)
        second = ctx.rpc("leaf", 2)
        found = [first.id, second.id]
        await asyncio.gather(second, first)
        found += await asyncio.gather(tasks(ctx, "a"), tasks(ctx, "b"))
        async with asyncio.TaskGroup() as group:
            third = group.create_task(tasks(ctx, "c"))
        found.append(third.result())
        for promise_id in [id for each in found[2:] for id in each]:
            local.promises.resolve(promise_id)
        return [*found, ctx.run(leaf, 1).id]

    local.register(leaf)
    assert call(local, body) == [
        "id.1",
        "id.2",
        ["id.3.1", "id.3.2"],
        ["id.4.1", "id.4.2"],
        ["id.5.1", "id.5.2"],
        "id.6",
    ]


def test_options_return_a_new_operation(local):
    def body(ctx):
        first = ctx.rpc("leaf", 1)
        second = first.options(id="other", tags={"a": "b"}, timeout=5)
        assert (first.id, second.id) == ("id.1", "other")
        return (yield second)

    local.register(leaf)
    assert call(local, body) == 1
    record = local.promises.get("other")
    assert record.tags["a"] == "b"
    assert record.timeout - record.created_on <= 5_000


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": -1}, ValueError),
        ({"timeout": "1"}, TypeError),
        ({"tags": {"a": 1}}, TypeError),
        ({"id": ""}, ValueError),
        ({"version": -1}, ValueError),
        ({"retry_policy": Constant}, TypeError),
        ({"non_retryable_exceptions": [ValueError]}, TypeError),
        ({"encoder": 5}, TypeError),
    ],
)
def test_wrong_options_are_refused_where_they_are_given(local, options, error):
    def body(ctx):
        with pytest.raises(error, match=next(iter(options))):
            ctx.rpc("leaf", 1).options(**options)
        yield ctx.sleep(0)
        return "told"

    assert call(local, body) == "told"


OTHERS = {
    "run run": lambda ctx: (ctx.run(leaf, 1), ctx.run(leaf, 2)),
    "run sleep": lambda ctx: (ctx.run(leaf, 1), ctx.sleep(0)),
    "rpc sleep": lambda ctx: (ctx.rpc("leaf", 1), ctx.sleep(0)),
    "rpc promise": lambda ctx: (ctx.rpc("leaf", 1), ctx.promise()),
}


@pytest.mark.parametrize("pair", OTHERS)
def test_an_id_is_of_one_operation(local, pair):
    def body(ctx):
        for operation in OTHERS[pair](ctx):
            try:
                yield operation.options(id="own")
            except ValueError as error:
                return str(error)

    local.register(leaf)
    told = call(local, body)
    assert told.startswith(
        f"id 'own' is that of `{pair.split()[0]} leaf` already, in this function"
    )


def test_calls_to_workers_may_share_an_id(local):
    def body(ctx):
        first = yield ctx.begin_rpc("leaf", 1).options(id="own")
        second = yield ctx.begin_rpc("leaf", 2).options(id="own")
        return [(yield first), (yield second)]

    local.register(leaf)
    assert call(local, body) == [1, 1]


@pytest.mark.parametrize("kind", ["run", "sleep"])
def test_a_step_does_not_settle_what_is_somebody_elses(local, kind):
    def body(ctx):
        made = ctx.run(leaf, 1) if kind == "run" else ctx.sleep(0)
        try:
            yield made.options(id="theirs")
        except ResonateStoreError as error:
            return [error.code, "somebody else has a promise of that id" in str(error)]

    theirs = local.options(target="nobody").begin_rpc("theirs", "nothing")
    assert call(local, body) == [409, True]
    assert not theirs.done()
    assert local.promises.get("theirs").pending


@flavours(
    gen=lambda ctx: (yield ctx.promise()) and "over",
    plain=lambda ctx: ctx.promise().result() and "over",
)
def test_a_promise_that_nobody_waits_for_holds_up_no_function(local, body):
    assert call(local, body) == "over"
    assert local.promises.get("id.1").pending


def test_the_first_of_a_promise_and_a_sleep_ends_the_function(local):
    async def answer(ctx):
        return await (await ctx.promise())

    async def timer(ctx):
        await ctx.sleep(0.05)
        return "late"

    async def body(ctx):
        tasks = [asyncio.ensure_future(each(ctx)) for each in (answer, timer)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return [each.result() for each in done]

    assert call(local, body) == ["late"]


# --- sleeping and waiting -------------------------------------------------------------------------


def test_a_function_that_waits_takes_no_slot(make):
    local = make(Resonate.local(concurrency=1))

    def factorial(ctx, number):
        return 1 if number < 2 else number * (yield ctx.rpc("factorial", number - 1))

    local.register(factorial)
    local.start()
    assert local.rpc("f", "factorial", 20) == 2432902008176640000


@flavours(
    generator=lambda ctx, secs: (yield ctx.sleep(secs)),
    plain=lambda ctx, secs: ctx.sleep(secs).result(),
)
@pytest.mark.parametrize("secs", [0, 0.05, timedelta(milliseconds=50)])
def test_sleep_takes_seconds_or_a_timedelta(local, body, secs):
    before = time.monotonic()
    local.register(lambda ctx: body(ctx, secs), name="body")
    local.start()
    assert local.begin_rpc("id", "body").result(5) is None
    assert time.monotonic() - before >= (0.05 if secs else 0)


def test_a_promise_is_settled_by_somebody_outside(local):
    @dataclass
    class Answer:
        text: str

    def body(ctx):
        promise = yield ctx.promise(id="human", data={"question": "?"}, timeout=60)
        return (yield promise)

    local.register(body, name="body")
    local.start()
    handle = local.begin_rpc("id", "body")
    record = until(lambda: next(iter(local.promises.search_all(id_prefix="human")), None))
    assert record.param.data == '{"question":"?"}'
    local.promises.resolve("human", data='"yes"')
    assert handle.result(5) == "yes"


@pytest.mark.parametrize(
    ("how", "error"), [("reject", RemoteError), ("cancel", ResonateCanceledError)]
)
def test_a_promise_may_be_rejected_or_canceled(local, how, error):
    def body(ctx):
        promise = yield ctx.promise(id="human")
        yield promise

    local.register(body, name="body")
    local.start()
    handle = local.begin_rpc("id", "body")
    until(lambda: list(local.promises.search_all(id_prefix="human")))
    getattr(local.promises, how)("human")
    with pytest.raises(error):
        handle.result(5)


def test_a_promise_that_nobody_settles_in_time_is_timed_out(local):
    def body(ctx):
        promise = yield ctx.promise(timeout=0.05)
        try:
            yield promise
        except ResonateTimedoutError:
            return "late"

    assert call(local, body) == "late"


# --- asyncio --------------------------------------------------------------------------------------


def test_asyncio_timeout_ends_a_wait(local):
    async def body(ctx):
        try:
            async with asyncio.timeout(0.1):
                await ctx.rpc("nobody").options(target="nowhere")
        except TimeoutError:
            return await ctx.run(leaf, "fallback")

    assert call(local, body) == "fallback"
    assert local.promises.get("id.1").canceled


@pytest.mark.parametrize("what", ["operation", "promise"])
def test_an_await_that_is_cancelled_cancels_its_step(local, what):
    async def body(ctx):
        operation = ctx.promise()
        promise = await operation
        waited = ctx.rpc("nobody").options(target="nowhere") if what == "operation" else promise
        try:
            async with asyncio.timeout(0.05):
                await waited
        except TimeoutError:
            if what == "operation":
                local.promises.resolve(promise.id)
            return "late"

    assert call(local, body) == "late"
    assert local.promises.get("id.2" if what == "operation" else "id.1").canceled


def test_a_detached_call_outlives_the_await_of_it(local):
    async def body(ctx):
        promise = await ctx.detached("nobody").options(target="nowhere")
        try:
            async with asyncio.timeout(0.05):
                await promise
        except TimeoutError:
            return "late"

    assert call(local, body) == "late"
    assert local.promises.get("id.1").pending


def test_result_gives_up_in_time_though_the_task_is_suspended(local):
    def body(ctx):
        promise = ctx.promise(timeout=30).result()
        try:
            promise.result(timeout=0.1)
        except TimeoutError:
            local.promises.resolve(promise.id)
            return ctx.run(leaf, "late").result()

    assert call(local, body) == "late"


def test_threads_of_a_plain_function_wait_each_for_itself(local):
    """One that waits for a time keeps the function where it is; what the other waits for comes."""

    def body(ctx):
        patient, late = ctx.promise(id="patient").result(), ctx.promise(id="never").result()

        def wait():
            found.append(patient.result())
            found.append(ctx.run(leaf, "on the thread").result())

        found = []
        thread = threading.Thread(target=wait)
        thread.start()
        try:
            late.result(timeout=1)
        except TimeoutError:
            found.append("late")
        local.promises.resolve("never")
        thread.join()
        return found

    local.register(body, name="body")
    local.start()
    handle = local.begin_rpc("id", "body")
    until(lambda: len(local._shared.client._worker._suspensions) == 1)
    local.promises.resolve("patient", data='"there"')
    assert handle.result(5) == ["there", "on the thread", "late"]


def yields_beside_a_thread(ctx):
    with ThreadPoolExecutor(1) as pool:
        first = yield ctx.promise(id="a")
        beside = pool.submit(first.result)
        second = yield (yield ctx.promise(id="b"))
        return [beside.result(), second]


def waits_with_a_thread(ctx):
    with ThreadPoolExecutor(1) as pool:
        first, second = ctx.promise(id="a").result(), ctx.promise(id="b").result()
        beside = pool.submit(first.result)
        return [second.result(), beside.result()][::-1]


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("body", [yields_beside_a_thread, waits_with_a_thread])
def test_a_thread_that_waits_beside_its_function_loses_nothing(local, body, order):
    local.register(body, name="body")
    local.start()
    handle = local.begin_rpc("id", "body")
    until(lambda: len(local._shared.client._worker._suspensions) == 1)
    for id in order:
        until(lambda id=id: local.promises.search(id_prefix=id).promises)
        local.promises.resolve(id, data=f'"{id}"')
    assert handle.result(5) == ["a", "b"]


@pytest.mark.parametrize("made", ["before", "there"])
def test_an_async_function_makes_no_operations_on_threads(local, made):
    async def body(ctx):
        def block(operation):
            return (operation or ctx.run(leaf, 1)).result()

        await asyncio.to_thread(block, ctx.run(leaf, 1) if made == "before" else None)

    with pytest.raises(RuntimeError, match="made an operation on another thread"):
        call(local, body)


@pytest.mark.parametrize("seconds", [10**400, float("inf"), timedelta.max])
def test_a_sleep_beyond_all_clocks_lasts_as_long_as_its_function(local, seconds):
    def body(ctx):
        yield ctx.sleep(seconds)

    local.register(body, name="body")
    local.start()
    local.begin_rpc("id", "body")
    (sleeping,) = until(lambda: list(local.promises.search_all(id_prefix="id.")))
    assert sleeping.timeout == local.promises.get("id").timeout


def test_an_async_function_that_would_block_begins_nothing(local):
    async def body(ctx):
        try:
            ctx.sleep(10).result()
        except RuntimeError as error:
            return str(error)

    assert call(local, body).startswith("result() would block every async function")
    assert list(local.promises.search_all(id_prefix="id.")) == []


def test_more_threads_than_usual_may_wait_for_a_time(local):
    def works(ctx, number):
        return ctx.run(leaf, number).result(timeout=20)

    def body(ctx):
        return [each.result() for each in [ctx.begin_run(works, n).result() for n in range(70)]]

    assert call(local, body, timeout=15) == list(range(70))


def test_a_wait_that_timed_out_does_so_once(local):
    """The function keeps its thread: a replay would find the step settled."""

    def body(ctx):
        late = ctx.promise(id="late").result()
        try:
            found = late.result(timeout=0.1)
        except TimeoutError:
            found = ctx.run(leaf, "fallback").result()
        local.promises.resolve("late", data='"late"')
        ctx.sleep(0.3).result()
        return [found, late.result()]

    assert call(local, body) == ["fallback", "late"]


def test_what_the_server_refuses_outright_is_raised(local):
    def body(ctx):
        codes = []
        for options in [{"id": "x" * 5000}, {"id": "id"}, {"tags": {"k": "x" * 70_000}}]:
            try:
                ctx.run(leaf, 1).options(**options).result()
            except ResonateStoreError as error:
                codes.append(error.code)
        return codes

    assert call(local, body) == [400, 400, 400]


@pytest.mark.parametrize("again", [0, 0.3])
def test_what_was_cancelled_may_be_awaited_again(local, again):
    async def body(ctx):
        promise = await ctx.begin_rpc("nobody").options(target="nowhere")
        try:
            async with asyncio.timeout(0.1):
                await promise
        except TimeoutError:
            await asyncio.sleep(again)
        try:
            await promise
        except ResonateCanceledError:
            return "canceled"

    assert call(local, body) == "canceled"


def takes_in_turn(ctx, number):
    promises = [ctx.begin_rpc("leaf", each).result() for each in range(number)]
    ctx.get_dependency("ended").wait(20)
    return [each.result() for each in promises]


def yields_in_turn(ctx, number):
    promises = []
    for each in range(number):
        promises.append((yield ctx.begin_rpc("leaf", each)))
    ctx.get_dependency("ended").wait(20)
    results = []
    for each in promises:
        results.append((yield each))
    return results


@pytest.mark.parametrize("body", [takes_in_turn, yields_in_turn])
def test_results_that_are_taken_in_turn_do_not_cost_a_round_trip_each(remote, proxy, group, body):
    ended = threading.Event()
    worker = remote(proxy.url, dependencies={"ended": ended})
    worker.register(leaf)
    worker.register(body, name="body")
    worker.start()
    handle = worker.begin_rpc(group, "body", 100)
    query = {"id_prefix": f"{group}.", "state": "resolved", "limit": 1000}
    until(lambda: len(worker.promises.search(**query).promises) == 100)
    ended.set()
    assert handle.result(20) == list(range(100))
    assert proxy.kinds["task.suspend"] <= 20
    assert proxy.kinds["promise.get"] <= 200


def test_other_input_may_arrive_while_a_step_is_awaited(local):
    async def body(ctx):
        async def other():
            await asyncio.sleep(0.2)  # suspended by now
            return await ctx.run(leaf, "other")

        return await asyncio.gather(ctx.sleep(0.5), other())

    assert call(local, body) == [None, "other"]


async def sleeps(ctx):
    await asyncio.sleep(30)


def works(ctx):
    time.sleep(0.2)


def works_with_yield(ctx):
    yield ctx.run(leaf, 1)
    time.sleep(0.2)


def waits(ctx):
    return ctx.rpc("nobody").options(target="nowhere").result()


def waits_with_yield(ctx):
    yield ctx.rpc("nobody").options(target="nowhere")


async def waits_with_await(ctx):
    await ctx.rpc("nobody").options(target="nowhere")


def waits_to_try_again(ctx):
    ctx.run(fails, "no").options(retry_policy=Constant(delay=3600)).result()


async def begins_all(ctx):
    await asyncio.gather(*(ctx.run(each) for each in CANCELED[:-1]))


CANCELED = [
    *(
        sleeps,
        works,
        works_with_yield,
        waits,
        waits_with_yield,
        waits_with_await,
        waits_to_try_again,
        begins_all,
    )
]


@pytest.mark.parametrize("step", CANCELED)
def test_a_local_step_whose_await_was_cancelled_leaves_nothing_behind(local, step, caplog):
    async def body(ctx):
        try:
            async with asyncio.timeout(0.1):
                await ctx.run(step)
        except TimeoutError:
            pass
        return await (await ctx.promise(id="human"))

    local.register(body, name="body")
    local.start()
    handle = local.begin_rpc("id", "body")
    worker = local._shared.client._worker
    until(lambda: list(local.promises.search_all(id_prefix="human")))
    until(lambda: len(worker._suspensions) == 1 and worker._running == 0)
    assert list(local.promises.search_all(id_prefix="id.1", state="pending")) == []
    local.promises.resolve("human", data="5")
    assert handle.result(5) == 5
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_a_workflow_that_was_lost_while_it_was_suspended_is_not_resumed(remote, group):
    """What goes on by itself in it wanted the task back, which another worker had."""
    go = {"first": threading.Event(), "second": threading.Event()}

    def worker(name):
        async def body(ctx):
            async def beside():
                while not (name == "first" and go["beside"].is_set()):  # noqa: ASYNC110  # a thread sets it
                    await asyncio.sleep(0.01)
                await ctx.run(leaf, "beside")

            task = asyncio.create_task(beside())
            for number in range(2):
                await (await ctx.promise(id=f"{group}{number}"))
            task.cancel()
            return name

        found = remote(concurrency=1)
        found.register(body, name="body")
        found.register(lambda ctx: go[name].wait(20), name="busy")
        return found

    go["beside"] = threading.Event()
    first, second = worker("first"), worker("second")
    handle = first.begin_run(group, "body")
    ours = [each._shared.client for each in (first, second)]
    until(lambda: len(ours[0]._worker._suspensions) == 1)
    first.begin_run(group + "busy", "busy")
    until(lambda: ours[0]._worker._running == 1)
    second.start()
    first.promises.resolve(f"{group}0")
    until(lambda: ours[1]._worker is not None and len(ours[1]._worker._suspensions) == 1)
    go["beside"].set()
    until(lambda: len(ours[0]._worker._suspensions) == 0)
    second.begin_run(group + "busy too", "busy")
    until(lambda: ours[1]._worker._running == 1)
    go["first"].set()
    first.promises.resolve(f"{group}1")
    until(handle.done)
    go["second"].set()
    assert handle.result(0) in ("first", "second")


def test_an_error_in_a_task_group_cancels_the_others(local):
    async def bad(ctx):
        await ctx.run(fails, "no")

    async def body(ctx):
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(bad(ctx))
                group.create_task(_awaited(ctx.sleep(60)))
        except ExceptionGroup as errors:
            return [str(each) for each in errors.exceptions]

    assert call(local, body) == ["no"]


async def _awaited(operation):
    return await operation


def test_remote_news_reach_a_function_whose_local_step_runs_on(local):
    go = threading.Event()

    def wait(ctx):
        return go.wait(10)

    async def body(ctx):
        running = await ctx.begin_run(wait)
        await ctx.rpc("leaf", 1)
        go.set()
        return await running

    local.register(leaf)
    assert call(local, body) is True


async def awaits_what_it_began_before(ctx):
    promise = await ctx.begin_rpc("sleeps")
    other = asyncio.ensure_future(_awaited(await ctx.promise()))
    await asyncio.wait({other}, timeout=0.2)  # it is suspended meanwhile, on the other alone
    return await promise


async def ends_without_what_it_began_before(ctx):
    await ctx.begin_rpc("sleeps")
    other = asyncio.ensure_future(_awaited(await ctx.promise()))
    await asyncio.wait({other}, timeout=0.2)
    return "slept"


async def looks_at_what_it_began_before(ctx):
    promise = await ctx.begin_rpc("sleeps")
    other = asyncio.ensure_future(_awaited(await ctx.promise()))
    while not promise.done():  # noqa: ASYNC110  # that is what it is about
        await asyncio.sleep(0.05)
    assert not other.done()
    return await promise


def looks_between_sleeps(ctx):
    promise = yield ctx.begin_rpc("sleeps")
    for _ in range(100):
        if promise.done():
            return (yield promise)
        yield ctx.sleep(0.1)
    return None


@pytest.mark.parametrize(
    "body",
    [
        awaits_what_it_began_before,
        ends_without_what_it_began_before,
        looks_at_what_it_began_before,
        looks_between_sleeps,
    ],
)
def test_a_suspended_function_may_begin_to_wait_for_something_else(local, body):
    def sleeps(ctx):
        yield ctx.sleep(0.6)
        return "slept"

    local.register(sleeps)
    assert call(local, body) == "slept"


def test_a_step_that_ends_at_its_deadline_sends_nothing_back(local, caplog):
    ran = []

    def sibling(ctx):
        ran.append(ctx.id)
        time.sleep(0.3)

    def step(ctx):
        time.sleep(0.099)

    def body(ctx):
        beside = yield ctx.begin_run(sibling)
        try:
            yield ctx.run(step).options(timeout=0.1)
        except ResonateTimedoutError:
            ctx.logger.debug("late")
        yield beside

    local.register(body)
    local.start()
    handles = [local.begin_rpc(f"id{number}", "body") for number in range(60)]
    for handle in handles:
        handle.result(20)
    assert len(ran) == len(handles)
    assert "giving" not in caplog.text


# --- replay ---------------------------------------------------------------------------------------


def replayed(make, remote, group, body, monkeypatch):
    """Run a body on a worker that has nothing in memory when it resumes."""
    monkeypatch.setattr("resonate.sdk.suspensions.SUSPENSIONS_MAX", 0)
    worker = remote()
    worker.register(body, name="body")
    worker.register(leaf)
    worker.start()
    return worker.begin_rpc(group, "body").result(10)


@flavours(
    generator=lambda ctx: (yield from _counted(ctx)),
    coroutine=lambda ctx: _counted_async(ctx),  # noqa: PLW0108  # defined below
    plain=lambda ctx: [
        ctx.run(count, 1).result(),
        ctx.rpc("leaf", 2).result(),
        ctx.run(count, 3).result(),
        ctx.rpc("leaf", 4).result(),
    ],
)
def test_a_replay_runs_no_step_again(make, remote, group, body, monkeypatch):
    counts.clear()
    assert replayed(make, remote, group, body, monkeypatch) == [1, 2, 3, 4]
    assert counts == [1, 3]


counts = []


def count(ctx, number):
    counts.append(number)
    return number


def _counted(ctx):
    first = yield ctx.run(count, 1)
    second = yield ctx.rpc("leaf", 2)
    third = yield ctx.run(count, 3)
    return [first, second, third, (yield ctx.rpc("leaf", 4))]


async def _counted_async(ctx):
    first = await ctx.run(count, 1)
    second = await ctx.rpc("leaf", 2)
    third = await ctx.run(count, 3)
    return [first, second, third, await ctx.rpc("leaf", 4)]


def test_random_numbers_and_uuids_are_the_same_in_a_replay(make, remote, group, monkeypatch):
    seen = []

    def body(ctx):
        drawn = (yield ctx.random.random()), str((yield ctx.uuid()))
        seen.append((*drawn, (yield ctx.time.time())))
        yield ctx.rpc("leaf", 1)
        return "done"

    assert replayed(make, remote, group, body, monkeypatch) == "done"
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_the_logger_is_silent_in_a_replay(make, remote, group, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "resonate.function")

    def body(ctx):
        ctx.logger.info("before")
        yield ctx.rpc("leaf", 1)
        ctx.logger.info("between")
        yield ctx.rpc("leaf", 2)
        ctx.logger.info("after")

    replayed(make, remote, group, body, monkeypatch)
    told = [each.message for each in caplog.records if each.name == "resonate.function"]
    assert told == ["before", "between", "after"]
    assert {each.promise_id for each in caplog.records if each.name == "resonate.function"} == {
        group
    }


def test_code_that_asks_for_another_step_is_told_apart(make, remote, group, monkeypatch, caplog):
    monkeypatch.setattr("resonate.sdk.suspensions.SUSPENSIONS_MAX", 0)
    asked = ["first"]

    def body(ctx):
        if asked[-1] == "first":
            yield ctx.run(leaf, 1)
        else:
            yield ctx.run(count, 1)
        promise = yield ctx.promise(id=f"{group}-human")
        return (yield promise)

    worker = remote()
    worker.register(body, name="body")
    worker.start()
    handle = worker.begin_rpc(group, "body")
    until(lambda: list(worker.promises.search_all(id_prefix=f"{group}-human")))
    until(lambda: not worker._shared.client._worker._held)
    asked.append("second")
    worker.promises.resolve(f"{group}-human", data="5")
    until(lambda: any("is recorded as" in each for each in caplog.messages), 10)
    text = next(each for each in caplog.messages if "is recorded as" in each)
    assert "run leaf" in text
    assert "run count" in text
    assert worker.promises.get(group).pending
    asked.append("first")
    assert handle.result(20) == 5


@pytest.mark.parametrize("kind", ["own", "nested", "remote", "settled"])
def test_code_that_leaves_a_recorded_step_out_is_noticed(remote, group, monkeypatch, caplog, kind):
    monkeypatch.setattr("resonate.sdk.suspensions.SUSPENSIONS_MAX", 0)
    whole = [True]

    def body(ctx):
        promise = yield ctx.promise(id=f"{group}-human")
        if whole[-1] and kind in ("remote", "settled"):
            yield ctx.begin_rpc("nobody").options(target="nowhere")
        elif whole[-1]:
            yield ctx.run(leaf, 1)
        yield promise
        return "ended"

    def outer(ctx):
        return (yield ctx.run(body))

    worker = remote()
    worker.register(outer if kind == "nested" else body, name="body")
    worker.start()
    handle = worker.begin_rpc(group, "body")
    recorded = f"{group}.1.2" if kind == "nested" else f"{group}.2"
    until(lambda: list(worker.promises.search_all(id_prefix=recorded)))
    until(lambda: not worker._shared.client._worker._held)
    whole.append(False)
    if kind == "settled":
        worker.promises.resolve(recorded)
    worker.promises.resolve(f"{group}-human")
    text = f"returned without asking for step {recorded}, which is recorded as `r"
    until(lambda: any(text in each for each in caplog.messages))
    whole.append(True)
    if kind == "remote":
        worker.promises.resolve(recorded)
    assert handle.result(20) == "ended"


@pytest.mark.parametrize(("old", "new"), [("", "own"), ("own", ""), ("own", "other")])
def test_an_id_that_was_changed_is_noticed_before_anything_runs(
    remote, group, monkeypatch, caplog, old, new
):
    monkeypatch.setattr("resonate.sdk.suspensions.SUSPENSIONS_MAX", 0)
    ids, ran = [old], []

    def step(ctx):
        ran.append(ctx.id)

    def body(ctx):
        promise = yield ctx.promise(id=f"{group}-human")
        operation = ctx.run(step)
        yield operation.options(id=f"{group}-{ids[-1]}") if ids[-1] else operation
        yield promise
        return "ended"

    worker = remote()
    worker.register(body, name="body")
    worker.start()
    handle = worker.begin_rpc(group, "body")
    until(lambda: ran)
    until(lambda: not worker._shared.client._worker._held)
    ids.append(new)
    worker.promises.resolve(f"{group}-human")
    names = [f"{group}-{each}" if each else f"{group}.2" for each in (old, new)]
    text = f"with id {names[0]}`, and the code asks for `run "
    until(lambda: any(text in each and f"with id {names[1]}`" in each for each in caplog.messages))
    ids.append(old)
    assert handle.result(20) == "ended"
    assert ran == names[:1]


def test_code_that_leaves_a_step_of_its_second_attempt_out_is_noticed(
    remote, group, monkeypatch, caplog
):
    monkeypatch.setattr("resonate.sdk.suspensions.SUSPENSIONS_MAX", 0)
    whole = [True]

    def body(ctx):
        yield ctx.run(leaf, 0)
        if ctx.info.attempt == 1:
            yield ctx.run(leaf, 1)
            raise ValueError("once")
        promise = yield ctx.promise(id=f"{group}-human")
        if whole[-1]:
            yield ctx.run(leaf, 2)
        yield promise
        return "ended"

    worker = remote()
    worker.register(body, name="body", retry_policy=Constant(delay=0.01, jitter=0))
    worker.start()
    handle = worker.begin_rpc(group, "body")
    until(lambda: list(worker.promises.search_all(id_prefix=f"{group}.3")))
    until(lambda: not worker._shared.client._worker._held)
    whole.append(False)
    worker.promises.resolve(f"{group}-human")
    text = f"returned without asking for step {group}.3, which is recorded as `run leaf`"
    until(lambda: any(text in each for each in caplog.messages))
    whole.append(True)
    assert handle.result(20) == "ended"


# --- retries --------------------------------------------------------------------------------------


def test_a_step_is_tried_again(local):
    attempts = []

    def flaky(ctx):
        attempts.append(ctx.info.attempt)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return "at last"

    def body(ctx):
        policy = Constant(delay=0.01, max_retries=5)
        return (yield ctx.run(flaky).options(retry_policy=policy))

    assert call(local, body) == "at last"
    assert attempts == [1, 2, 3]


def test_a_function_is_tried_again_and_its_results_are_kept(local):
    ran, failing = [], [True]

    def step(ctx, name):
        ran.append(name)
        if name == "second" and failing:
            failing.clear()
            raise ValueError("once")
        return name

    def body(ctx):
        return [(yield ctx.run(step, "first")), (yield ctx.run(step, "second"))]

    local.register(body, name="body", retry_policy=Constant(delay=0.01, max_retries=3))
    local.start()
    assert local.begin_rpc("id", "body").result(5) == ["first", "second"]
    assert ran == ["first", "second", "second"]


def test_retries_stop_at_what_is_not_to_be_retried(local):
    attempts = []

    def body(ctx):
        attempts.append(ctx.info.attempt)
        raise KeyError("never again")

    local.register(
        body,
        name="body",
        retry_policy=Constant(delay=0.01),
        non_retryable_exceptions=(LookupError,),
    )
    local.start()
    with pytest.raises(KeyError):
        local.begin_rpc("id", "body").result(5)
    assert attempts == [1]


def test_the_policy_of_a_call_travels_with_it(remote, group):
    attempts = []
    worker, caller = remote(), remote(group=group + "c")

    def body(ctx):
        attempts.append(ctx.info.attempt)
        raise ValueError("always")

    worker.register(body, name="body", retry_policy=Never())
    worker.start()
    called = caller.options(target=group, retry_policy=Constant(delay=0.01, max_retries=2))
    with pytest.raises(ValueError, match="always"):
        called.begin_rpc(group, "body").result(5)
    assert attempts == [1, 2, 3]


def test_the_number_of_the_attempt_survives_the_worker(remote, group):
    attempts = []

    def body(ctx):
        attempts.append(ctx.info.attempt)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return "done"

    first, second = remote(), remote()
    for each in (first, second):
        each.register(body, name="body", retry_policy=Constant(delay=0.5))
    first.start()
    handle = second.begin_rpc(group, "body")
    until(lambda: list(second.promises.search_all(id_prefix=f"{group}.retry.1")))
    first.stop(0)
    second.start()
    assert handle.result(10) == "done"
    assert attempts == [1, 2, 3]


def test_a_retry_takes_no_slot_while_it_waits(make):
    local = make(Resonate.local(concurrency=1))
    failed = []

    def body(ctx):
        failed.append(ctx.info.attempt)
        if len(failed) == 1:
            raise ValueError("once")

    local.register(body, name="body", retry_policy=Constant(delay=2, jitter=0))
    local.register(leaf)
    local.start()
    local.begin_rpc("id", "body")
    until(lambda: failed)
    before = time.monotonic()
    assert local.rpc("other", "leaf", 1) == 1
    assert time.monotonic() - before < 1.5


def test_a_registered_function_brings_its_policy_along(local):
    attempts = []

    @local.register(retry_policy=Constant(delay=0.01))
    def flaky(ctx):
        attempts.append(ctx.info.attempt)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return "at last"

    def body(ctx):
        once = ctx.run(flaky).options(retry_policy=Never())
        with pytest.raises(ValueError, match="not yet"):
            yield once
        return (yield ctx.run(flaky))

    assert call(local, body) == "at last"
    assert attempts == [1, 1, 2]


# --- misuse ---------------------------------------------------------------------------------------


def test_what_is_no_operation_cannot_be_yielded(local):
    def body(ctx):
        try:
            yield 5
        except TypeError as error:
            return str(error)

    assert call(local, body) == "yield an operation of the context, not int"


def test_result_in_an_async_function_says_what_to_write(local):
    async def body(ctx):
        try:
            ctx.sleep(1).result()
        except RuntimeError as error:
            return str(error)

    assert "await" in call(local, body)


def test_a_context_is_closed_when_its_function_has_returned(local):
    kept = []

    def body(ctx):
        kept.append(ctx)
        yield ctx.sleep(0)

    call(local, body)
    with pytest.raises(Exception, match=r"closed|lost"):
        kept[0].run(leaf, 1)


def test_a_plain_function_that_catches_everything_is_replayed_all_the_same(local):
    def body(ctx):
        try:
            value = ctx.rpc("leaf", 1).result()
        except BaseException:  # noqa: BLE001  # what a careless function does
            return "swallowed"
        return value

    local.register(leaf)
    assert call(local, body) == 1


# --- dependencies and facts -----------------------------------------------------------------------


def test_dependencies_are_had_by_name_or_type(local):
    class Database:
        pass

    database = Database()
    local.set_dependency("db", database)

    def body(ctx):
        yield ctx.sleep(0)
        assert ctx.get_dependency("db") is ctx.get_dependency(Database) is database
        assert ctx.get_dependency(int) is None
        assert ctx.get_dependency("missing", 5) == 5
        return "had"

    assert call(local, body) == "had"


def test_facts_tell_parent_and_root(local):
    def child(ctx):
        return [ctx.id, ctx.info.parent, ctx.info.root, ctx.info.version, ctx.info.attempt]

    def body(ctx):
        mine = [ctx.id, ctx.info.parent, ctx.info.root]
        return mine, (yield ctx.run(child))

    assert call(local, body) == [["id", None, "id"], ["id.1", "id", "id", 1, 1]]


def test_versions_stand_side_by_side(local):
    local.register(lambda ctx: "one", name="f", version=1)
    local.register(lambda ctx: "two", name="f", version=2)

    def body(ctx):
        newest = yield ctx.rpc("f")
        return [newest, (yield ctx.rpc("f").options(version=1))]

    assert call(local, body) == ["two", "one"]


def test_values_of_steps_are_typed_by_annotations(local):
    @dataclass
    class Order:
        id: int
        total: float

    def price(ctx, order: Order) -> Order:
        assert isinstance(order, Order)
        return Order(order.id, 5.0)

    def body(ctx, order: Order) -> Order:
        found = yield ctx.run(price, order)
        assert isinstance(found, Order)
        return found

    price.__annotations__ = {"order": Order, "return": Order}
    body.__annotations__ = {"order": Order}
    assert call(local, body, Order(1, 0.0)) == {"id": 1, "total": 5.0}


# --- too late -------------------------------------------------------------------------------------


def _got_later(caller):
    until(caller.begin_rpc("id", "f").done)
    return caller.get("id").result(5)


@pytest.mark.parametrize(
    "how",
    [
        lambda caller: caller.rpc("id", "f"),
        lambda caller: caller.begin_rpc("id", "f").result(5),
        _got_later,
    ],
    ids=["rpc", "begin_rpc", "get"],
)
def test_a_call_that_nobody_started_with_in_time_says_so(local, how):
    caller = local.options(target="nobody", timeout=0.05)
    with pytest.raises(NotStartedError, match="no worker started with promise id"):
        how(caller)


def nobody_generator(ctx, target):
    try:
        yield ctx.rpc("leaf", 1).options(target=target, timeout=0.2)
    except ResonateTimedoutError as error:
        return f"{type(error).__name__} {error.promise_id}"


async def nobody_coroutine(ctx, target):
    try:
        await ctx.rpc("leaf", 1).options(target=target, timeout=0.2)
    except ResonateTimedoutError as error:
        return f"{type(error).__name__} {error.promise_id}"


def nobody_plain(ctx, target):
    try:
        ctx.rpc("leaf", 1).options(target=target, timeout=0.2).result()
    except ResonateTimedoutError as error:
        return f"{type(error).__name__} {error.promise_id}"


@pytest.mark.parametrize("target", ["nobody", "default"], ids=["no worker", "no function"])
@flavours(generator=nobody_generator, coroutine=nobody_coroutine, plain=nobody_plain)
def test_a_function_is_told_that_nobody_started_with_its_call(local, body, target):
    assert call(local, body, target) == "NotStartedError id.1"


@flavours(generator=nobody_generator, coroutine=nobody_coroutine, plain=nobody_plain)
def test_a_function_is_told_that_its_call_took_too_long(local, body):
    go = threading.Event()
    local.register(lambda ctx, _: go.wait(10), name="leaf")
    try:
        assert call(local, body, "default") == "ResonateTimedoutError id.1"
    finally:
        go.set()


def test_a_call_of_a_function_that_no_worker_has_was_not_started(local):
    local.register(lambda ctx: None, name="other")
    local.start()
    with pytest.raises(NotStartedError):
        local.options(timeout=0.1).rpc("id", "unknown")


def test_a_call_that_took_too_long_is_timed_out(local):
    go = threading.Event()
    local.register(lambda ctx: go.wait(10), name="f")
    local.start()
    with pytest.raises(ResonateTimedoutError) as caught:
        local.options(timeout=0.1).rpc("id", "f")
    go.set()
    assert type(caught.value) is ResonateTimedoutError


# --- what a caller gets wrong ---------------------------------------------------------------------


def test_arguments_are_checked_where_the_function_is_known(local):
    def takes_one(ctx, number):
        return number

    takes_one = local.register(takes_one)

    def body(ctx):
        with pytest.raises(ArgumentsError, match=r"takes_one.*missing"):
            ctx.rpc(takes_one)
        for wrong in (lambda: ctx.run(takes_one), lambda: ctx.begin_run(leaf, 1, 2)):
            with pytest.raises(ArgumentsError, match=r"missing|too many"):
                wrong()
        return (yield ctx.rpc(takes_one, 1))

    with pytest.raises(ArgumentsError, match="too many"):
        takes_one.begin_rpc("wrong", 1, 2)
    with pytest.raises(ArgumentsError, match="missing"):
        takes_one.begin_run("wrong", nobody=1)
    assert call(local, body) == 1
    assert not list(local.promises.search_all(id_prefix="wrong"))


# --- many at once ---------------------------------------------------------------------------------


def test_very_many_steps_at_once_take_few_threads(local):
    seen = []

    def step(ctx, number):
        seen.append(threading.active_count())
        return ctx.run(leaf, number).result()

    def body(ctx):
        promises = []
        for number in range(500):
            promises.append((yield ctx.begin_run(step, number)))
        total = 0
        for promise in promises:
            total += yield promise
        return total

    assert call(local, body, timeout=30) == sum(range(500))
    assert max(seen) < 200
