"""Calls and handles, against the server in this process."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from resonate import AsyncResonate, Context, Handle, Resonate
from resonate.errors import (
    EncodingError,
    RemoteError,
    ResonateShutdownError,
    ResonateStoreError,
    ResonateTimedoutError,
)
from tests.processes.children import until


@pytest.fixture
def worker(local):
    """Return a started client with one function of each kind."""

    @local.register
    def double(ctx, number, *, plus=0):
        return number * 2 + plus

    @local.register
    async def later(ctx, number, *, plus=0):
        await asyncio.sleep(0)
        return number * 2 + plus

    local.start()
    return local


@pytest.mark.parametrize("name", ["double", "later"])
@pytest.mark.parametrize("how", ["run", "rpc", "begin_run", "begin_rpc"])
def test_a_call_by_name_gives_the_result(worker, name, how):
    found = getattr(worker, how)("id", name, 2, plus=1)
    if how.startswith("begin"):
        assert isinstance(found, Handle)
        assert (found.id, repr(found)) == ("id", "Handle(id='id')")
        found = found.result(5)
    assert found == 5


@pytest.mark.parametrize("how", ["run", "rpc", "begin_run", "begin_rpc"])
def test_a_call_by_function_gives_the_result(worker, how):
    @worker.register
    def triple(ctx, number):
        return number * 3

    for id, call in (("a", getattr(triple, how)), ("b", None)):
        found = call(id, 2) if call else getattr(worker, how)(id, triple.func, 2)
        assert (found.result(5) if how.startswith("begin") else found) == 6


@pytest.mark.parametrize(
    "value", [None, 0, "", [], {}, {"a": [1, 2.5, None, True, "ö"]}, "x" * 10**6]
)
def test_values_go_both_ways(worker, value):
    @worker.register
    def echo(ctx, *args, **kwargs):
        return [list(args), kwargs]

    assert echo.rpc("a", value, 1, key=value) == [[value, 1], {"key": value}]


def test_what_the_context_tells(worker):
    @worker.register(version=3)
    def tell(ctx):
        assert isinstance(ctx, Context)
        assert repr(ctx) == "Context(id='the id')"
        return [ctx.id, ctx.info.id, ctx.info.version, ctx.info.attempt]

    assert tell.rpc("the id") == ["the id", "the id", 3, 1]


def test_the_logger_of_the_context_adds_its_fields(worker, caplog):
    @worker.register
    def say(ctx):
        ctx.logger.warning("hello %s", "there")

    say.rpc("id")
    (record,) = [each for each in caplog.records if each.name == "resonate.function"]
    assert (record.getMessage(), record.promise_id, record.attempt) == ("hello there", "id", 1)


def test_dependencies_are_given_at_construction_or_later(make):
    resonate = make(Resonate.local(dependencies={"a": 1}))

    @resonate.register
    def ask(ctx):
        with pytest.raises(TypeError, match=r"^key must be `str`, got int$"):
            ctx.get_dependency(5)
        return [ctx.get_dependency("a"), ctx.get_dependency("b"), ctx.get_dependency("c", 3)]

    assert ask.run("first") == [1, None, 3]
    resonate.set_dependency("b", 2)
    resonate.options(timeout=5).set_dependency("c", 4)
    assert ask.run("second") == [1, 2, 4]
    with pytest.raises(TypeError, match=r"^name must be `str`, got int$"):
        resonate.set_dependency(5, 1)


# --- the same id ----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["run", "rpc"])
@pytest.mark.parametrize("second", ["run", "rpc", "begin_run", "begin_rpc", "get"])
def test_an_id_that_exists_is_not_executed_again(worker, first, second):
    count = []

    @worker.register
    def once(ctx, number):
        count.append(number)
        return number

    assert getattr(once, first)("id", 1) == 1
    found = worker.get("id") if second == "get" else getattr(once, second)("id", 2)
    if isinstance(found, Handle):
        assert found.done()
        found = found.result(5)
    assert (found, count) == (1, [1])


def test_the_same_id_from_many_threads_is_executed_once(worker):
    count, found = [], []

    @worker.register
    def once(ctx, number):
        count.append(number)
        time.sleep(0.05)
        return number

    calls = [once.run, once.rpc] * 10
    threads = [
        threading.Thread(target=lambda call=call, n=n: found.append(call("id", n)))
        for n, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(count) == 1
    assert found == count * 20


def test_a_run_takes_over_a_call_that_nobody_has_begun(worker):
    @worker.register
    def g(ctx, text):
        return text

    worker.options(target="elsewhere").begin_rpc("id", "g", "the first call's")
    assert worker.run("id", "double", 1) == "the first call's"


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["run", "begin_run", "rpc", "begin_rpc"])
@pytest.mark.parametrize(
    ("id", "func", "error", "text"),
    [
        (5, "double", TypeError, "id must be `str`, got int"),
        ("", "double", ValueError, "id must not be empty"),
        ("\ud800", "double", ValueError, "id is no valid Unicode: it has half a surrogate"),
        ("id", 5, TypeError, "func must be `Callable | str`, got int"),
        ("id", None, TypeError, "func must be `Callable | str`, got NoneType"),
        ("id", lambda ctx: 1, ValueError, "function <lambda> not found in registry"),
    ],
)
def test_a_wrong_call_is_refused_in_these_words(worker, how, id, func, error, text):
    with pytest.raises(error) as caught:
        getattr(worker, how)(id, func)
    assert str(caught.value) == text


def test_run_needs_a_function_that_is_known_here(worker):
    with pytest.raises(ValueError, match=r"^function nobody not found in registry$"):
        worker.run("a", "nobody")
    with pytest.raises(
        ValueError, match=r"^function double version 2 not found in registry, which has 1$"
    ):
        worker.options(version=2).run("a", "double")


def test_get_of_what_does_not_exist_is_refused(worker):
    with pytest.raises(ResonateStoreError, match="not found") as caught:
        worker.get("nothing")
    assert caught.value.code == 404


@pytest.mark.parametrize(
    ("id", "options", "text"),
    [
        ("a\x00b", {}, "null bytes"),
        ("x" * 5000, {}, "id too long"),
        ("a", {"target": "poll://nonsense"}, "Invalid resonate:target address"),
        ("a", {"tags": {"resonate:delay": "soon"}}, "resonate:delay"),
        ("a", {"tags": {"x": "y" * 70_000}}, "tags too large"),
    ],
)
@pytest.mark.parametrize("how", ["run", "begin_run", "rpc", "begin_rpc"])
def test_what_the_server_refuses_is_raised_where_it_was_asked(worker, how, id, options, text):
    with pytest.raises(ResonateStoreError, match=text) as caught:
        getattr(worker.options(**options), how)(id, "double", 1)
    assert caught.value.code == 400


@pytest.mark.parametrize("how", ["run", "begin_run", "rpc", "begin_rpc"])
def test_arguments_that_are_no_json_are_refused_before_anything_happens(worker, how):
    with pytest.raises(EncodingError, match=r"^args\[0\]\['k'\] is of type object"):
        getattr(worker, how)("id", "double", {"k": object()})
    with pytest.raises(ResonateStoreError):
        worker.get("id")


# --- handles --------------------------------------------------------------------------------------


@pytest.fixture
def gate(worker):
    """Return a gate at which the function ``wait`` waits."""
    opened = threading.Event()

    @worker.register
    def wait(ctx):
        opened.wait(10)
        return "passed"

    yield opened
    opened.set()


def test_result_with_a_timeout_may_be_called_again(worker, gate):
    handle = worker.begin_rpc("id", "wait")
    before = time.monotonic()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            handle.result(0.05)
    assert 0.09 <= time.monotonic() - before < 5
    assert not handle.done()
    gate.set()
    assert handle.result(5) == "passed"
    assert handle.result(0) == "passed"
    assert handle.done()


def test_done_asks_by_itself(worker, gate):
    handle = worker.begin_rpc("id", "wait")
    assert handle.done() is False
    gate.set()
    assert until(handle.done)


def test_many_handles_of_one_id_all_get_the_result(worker, gate):
    handles = [worker.begin_rpc("id", "wait"), *(worker.get("id") for _ in range(5))]
    assert [handle.done() for handle in handles] == [False] * 6
    gate.set()
    assert [handle.result(5) for handle in handles] == ["passed"] * 6


def test_a_handle_can_be_awaited_in_any_loop(worker, gate):
    handle = worker.begin_rpc("id", "wait")

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_awaited(handle), 0.05)
        gate.set()
        return await asyncio.gather(handle, handle, worker.get("id"))

    assert asyncio.run(main()) == ["passed"] * 3
    assert asyncio.run(_awaited(handle)) == "passed"


async def _awaited(handle):
    return await handle


def test_a_loop_that_ended_while_it_awaited_is_no_trouble(worker, gate, caplog):
    handle = worker.begin_rpc("id", "wait")

    async def main():
        asyncio.get_running_loop().create_task(_awaited(handle))
        await asyncio.sleep(0.05)

    asyncio.run(main())
    gate.set()
    assert handle.result(5) == "passed"
    assert caplog.records == []


@pytest.mark.parametrize("error", [StopIteration("x"), StopAsyncIteration("x"), ValueError("x")])
def test_an_awaited_handle_raises_what_the_function_raised(worker, error):
    @worker.register
    def fail(ctx):
        raise error

    handle = fail.begin_rpc("id")
    expected = type(error) if isinstance(error, ValueError) else RemoteError
    with pytest.raises(expected):
        asyncio.run(_awaited(handle))


def test_waiting_in_an_async_function_is_refused_where_it_would_block_all(worker):
    @worker.register
    async def wrong(ctx):
        return worker.begin_rpc("inner", "later", 1).result()

    @worker.register
    async def right(ctx):
        handle = worker.begin_rpc("inner", "later", 1)
        awaited = await handle
        return [awaited, handle.result()]

    with pytest.raises(RuntimeError, match="use `await handle`"):
        wrong.rpc("a")
    assert right.rpc("b") == [2, 2]


def test_functions_may_call_functions(worker):
    @worker.register
    def outer(ctx, number):
        return [
            worker.run(f"{ctx.id}.1", "double", number),
            worker.rpc(f"{ctx.id}.2", "later", number),
        ]

    assert outer.rpc("id", 3) == [6, 6]


def test_a_deadline_that_passes_raises_its_own_error(worker, gate):
    before = time.time()
    handle = worker.options(timeout=0.1).begin_rpc("id", "wait")
    with pytest.raises(ResonateTimedoutError, match="promise id was not settled") as caught:
        handle.result(5)
    assert caught.value.promise_id == "id"
    assert before + 0.1 <= caught.value.timeout + 0.002
    assert time.time() - before < 4


def test_stop_wakes_who_waits(worker, gate):
    caught = []

    def wait():
        try:
            worker.options(target="nobody").rpc("id", "f")
        except ResonateShutdownError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: worker._shared.client._listeners._futures)
    worker.stop()
    thread.join(5)
    assert len(caught) == 1


def test_local_clients_are_apart_from_one_another(make):
    one, two = (make(Resonate.local()) for _ in range(2))
    one.register(lambda ctx: 1, name="f")
    two.register(lambda ctx: 2, name="f")
    assert (one.run("id", "f"), two.run("id", "f")) == (1, 2)


def test_local_groups_are_apart_from_one_another(make):
    resonate = make(Resonate.local(group="mine"))
    resonate.register(lambda ctx: 1, name="f")
    resonate.start()
    handle = resonate.options(target="other").begin_rpc("id", "f")
    with pytest.raises(TimeoutError):
        handle.result(0.1)
    assert resonate.rpc("here", "f") == 1


def test_fifty_threads_of_twenty_calls(worker):
    failures = []

    def call(thread):
        for number in range(20):
            how = worker.rpc if number % 2 else worker.run
            name = "later" if number % 3 else "double"
            found = how(f"{thread}.{number}", name, number)
            if found != number * 2:
                failures.append((thread, number, found))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_a_call_is_logged_at_no_level_that_is_seen_by_default(worker, caplog):
    with caplog.at_level(logging.INFO):
        worker.rpc("id", "double", 1)
    assert [each for each in caplog.records if each.name.startswith("resonate")] == []


# --- names of parameters --------------------------------------------------------------------------


def test_parameters_may_have_any_name(make):
    local = make(Resonate.local())
    names = {"id": 1, "func": 2, "name": 3, "self": 4, "args": 5}

    @local.register
    def takes(ctx, **given):
        return given

    @local.register
    def body(ctx):
        there = yield ctx.rpc("takes", **names)
        begun = yield ctx.begin_rpc(takes, **names)
        run = yield ctx.begin_run(takes, **names)
        detached = yield ctx.detached("takes", **names)
        return [
            there,
            (yield begun),
            (yield run),
            (yield detached),
            (yield ctx.run(takes, **names)),
        ]

    local.start()
    assert takes.run("1", **names) == names
    assert takes.begin_rpc("2", **names).result(10) == names
    assert local.rpc("3", "takes", **names) == names
    assert local.begin_run("4", takes, **names).result(10) == names
    assert local.rpc("5", "body") == [names] * 5


def test_parameters_of_an_async_call_may_have_any_name():
    names = {"id": 1, "func": 2, "name": 3, "self": 4, "args": 5}

    async def main():
        async with AsyncResonate.local() as local:

            @local.register
            async def takes(ctx, **given):
                return given

            local.start()
            assert await takes.rpc("1", **names) == names
            assert await local.run("2", takes, **names) == names
            assert await (await local.begin_rpc("3", "takes", **names)) == names

    asyncio.run(main())


def test_a_call_that_nobody_can_take_in_this_process_is_told_once(make, caplog):
    local = make(Resonate.local())
    local.register(lambda ctx: 1, name="f")
    for number in range(2):
        local.begin_rpc(f"id{number}", "f")
    local.options(target="others").begin_rpc("elsewhere", "f")
    told = [each.getMessage() for each in caplog.records if each.name == "resonate.network"]
    assert told == ["call id0 waits until this process works: start() has it do so"]
    local.start()
    assert local.rpc("id1", "f") == 1
