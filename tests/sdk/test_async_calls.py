"""Calls of an AsyncResonate, their handles and what they do to the event loop: nothing."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from resonate import AsyncFunction, AsyncHandle, AsyncResonate, Context, Resonate
from resonate.errors import (
    ArgumentsError,
    EncodingError,
    RemoteError,
    ResonateCanceledError,
    ResonateShutdownError,
    ResonateStoreError,
)
from tests.waiting import eventually, never

KINDS = ["double", "generated", "later"]
CALLS = ["run", "rpc", "begin_run", "begin_rpc"]


@pytest.fixture(params=["local", "remote"])
def client(request):
    """Return a client that is not used yet: of a server in this process, and of a real one."""
    if request.param == "local":
        return AsyncResonate.local()
    server, group = (request.getfixturevalue(name) for name in ("server", "group"))
    return AsyncResonate.remote(server.url, group=group)


def functions(resonate):
    """Register one function of each kind."""

    @resonate.register
    def double(ctx, number, *, plus=0):
        return number * 2 + plus

    @resonate.register
    def generated(ctx, number, *, plus=0):
        twice = yield ctx.run(lambda _ctx: number * 2)
        return twice + plus

    @resonate.register
    async def later(ctx, number, *, plus=0):
        await asyncio.sleep(0)
        return await ctx.run(lambda _ctx: number * 2) + plus

    return {"double": double, "generated": generated, "later": later}


@pytest.mark.parametrize("how", CALLS)
async def test_a_call_gives_the_result_of_every_kind_of_function(client, group, how):
    async with client as resonate:
        known = functions(resonate)
        resonate.start()
        for name in KINDS:
            method = getattr(resonate, how)
            found = [
                await method(f"{group}.{name}.1", name, 2, plus=1),
                await method(f"{group}.{name}.2", known[name], 2, plus=1),
                await method(f"{group}.{name}.3", known[name].func, 2, plus=1),
                await getattr(known[name], how)(f"{group}.{name}.4", 2, plus=1),
            ]
            if how.startswith("begin"):
                assert isinstance(found[0], AsyncHandle)
                assert found[0].id == f"{group}.{name}.1"
                found = await asyncio.gather(*found)
            assert found == [5, 5, 5, 5]


async def test_values_are_read_by_the_annotations_of_the_function():
    async with AsyncResonate.local() as resonate:

        @resonate.register
        async def pair(ctx: Context, numbers: tuple[int, ...]) -> tuple[int, ...]:
            return numbers

        assert await pair.run("id", (1, 2)) == (1, 2)


async def test_a_registered_function_is_the_function_itself():
    resonate = AsyncResonate.local()

    def plain(ctx, number):
        return number

    made = resonate.register(plain, name="other", version=2)
    assert isinstance(made, AsyncFunction)
    assert repr(made) == "AsyncFunction(name='other', version=2)"
    assert made(None, 5) == 5
    assert made == plain
    assert {made: 1}[plain] == 1
    with pytest.raises(ValueError, match="already registered"):
        resonate.register(made)


async def test_functions_call_one_another_by_what_register_returned():
    async with AsyncResonate.local() as resonate:
        known = functions(resonate)

        @resonate.register
        async def outer(ctx):
            return [await ctx.rpc(known["double"], 1), await ctx.run(known["later"], 2)]

        assert await outer.run("id") == [2, 4]


async def test_options_are_those_of_every_call(group):
    async with AsyncResonate.local(group=group) as resonate:
        known = functions(resonate)
        there = resonate.options(target="elsewhere", tags={"a": "b"}, timeout=60)
        await there.begin_rpc("one", "double", 1)
        await known["double"].options(tags={"c": "d"}, target="elsewhere").begin_rpc("two", 1)
        one, two = [await resonate.promises.get(each) for each in ("one", "two")]
        assert (one.tags["a"], two.tags["c"]) == ("b", "d")
        assert one.timeout - one.created_on <= 60_000
        assert one.tags["resonate:target"] == "poll://any@elsewhere"
        assert repr(there) == repr(resonate)
        assert repr(resonate).startswith("AsyncResonate('the server in this process', group=")


# --- the same id ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [*CALLS, "get"])
async def test_an_id_that_exists_is_not_executed_again(how):
    count = []
    async with AsyncResonate.local() as resonate:

        @resonate.register
        async def once(ctx, number):
            count.append(number)
            return number

        assert await once.run("id", 1) == 1
        found = await (resonate.get("id") if how == "get" else getattr(once, how)("id", 2))
        if isinstance(found, AsyncHandle):
            assert found.done()
            found = await found
        assert (found, count) == (1, [1])


async def test_many_at_the_same_time_are_executed_once_each():
    async with AsyncResonate.local() as resonate:
        functions(resonate)
        ids = [f"{number % 50}" for number in range(200)]
        calls = [resonate.run(id, KINDS[int(id) % 3], int(id)) for id in ids]
        assert await asyncio.gather(*calls) == [int(id) * 2 for id in ids]


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", CALLS)
async def test_a_wrong_call_is_refused_as_by_a_resonate(how):
    async with AsyncResonate.local() as resonate:
        functions(resonate)
        method = getattr(resonate, how)
        with pytest.raises(TypeError, match=r"^id must be `str`, got int$"):
            await method(5, "double")
        with pytest.raises(ValueError, match=r"^function <lambda> not found in registry$"):
            await method("id", lambda ctx: 1)
        with pytest.raises(EncodingError, match=r"^args\[0\] is of type object"):
            await method("id", "double", object())
        with pytest.raises(ResonateStoreError, match="null bytes"):
            await method("a\x00b", "double", 1)
        with pytest.raises(ResonateStoreError, match="not found") as caught:
            await resonate.get("id")
        assert caught.value.code == 404


@pytest.mark.parametrize("error", [StopIteration("x"), KeyError("x"), ArithmeticError("x")])
async def test_a_handle_raises_what_the_function_raised(error):
    async with AsyncResonate.local() as resonate:

        @resonate.register
        def fail(ctx):
            raise error

        kind = RemoteError if isinstance(error, StopIteration) else type(error)
        with pytest.raises(kind):
            await fail.run("id")


async def test_wrong_arguments_are_refused_where_the_function_is_known():
    async with AsyncResonate.local() as resonate:
        known = functions(resonate)
        with pytest.raises(ArgumentsError):
            await known["double"].rpc("id", 1, 2, 3)


async def test_use_without_an_event_loop_is_refused_in_these_words():
    resonate = AsyncResonate.local()
    caught = []

    def use():
        try:
            resonate.start()
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert caught == ["an AsyncResonate is used in coroutines: no event loop runs here"]


# --- handles --------------------------------------------------------------------------------------


class Gate:
    """An async function that waits for an event of the program."""

    def __init__(self, resonate):
        self.began, self.opened = asyncio.Event(), asyncio.Event()
        self.ended = []
        resonate.register(lambda ctx: self.wait(), name="wait")  # a coroutine all the same

    async def wait(self):
        self.began.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("passed")
        return "passed"


async def test_a_handle_waits_as_long_as_wanted():
    async with AsyncResonate.local() as resonate:
        gate = Gate(resonate)
        handle = await resonate.begin_run("id", "wait")
        assert repr(handle) == "AsyncHandle(id='id')"
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await handle.result(0.01)
        assert not handle.done()
        gate.opened.set()
        assert await handle.result(5) == "passed"
        assert await handle.result(0) == "passed"
        assert await asyncio.gather(handle, handle, await resonate.get("id")) == ["passed"] * 3


@pytest.mark.parametrize("how", ["rpc", "run", "await"])
async def test_a_cancelled_caller_leaves_the_call_running(how):
    async with AsyncResonate.local() as resonate:
        gate = Gate(resonate)
        resonate.start()
        handle = await resonate.begin_rpc("id", "wait")
        waiting = handle if how == "await" else getattr(resonate, how)("id", "wait")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 0.05)
        await gate.began.wait()
        await never(lambda: gate.ended)
        gate.opened.set()
        assert await (await resonate.get("id")) == "passed"
        assert gate.ended == ["passed"]


async def test_a_run_that_is_cancelled_at_once_is_not_left_half_done():
    async with AsyncResonate.local() as resonate:
        functions(resonate)
        task = asyncio.create_task(resonate.begin_run("id", "later", 1))
        await asyncio.sleep(0)  # asked, not answered
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def made():
            try:
                return await resonate.get("id")
            except ResonateStoreError:
                return None

        assert await (await eventually(made)) == 2


async def test_asking_again_and_again_keeps_nothing():
    async with AsyncResonate.local() as resonate:
        gate = Gate(resonate)
        handle = await resonate.begin_run("id", "wait")
        for _ in range(50):
            with pytest.raises(TimeoutError):
                await handle.result(0)
        listeners = resonate._shared.client._listeners._futures
        (future,) = await eventually(lambda: listeners.get("id"))
        kept = len(handle._handle._settled()._done_callbacks) + len(future._done_callbacks)
        gate.opened.set()
        assert kept <= 3


async def test_cancel_ends_the_call_and_tells_whether_it_was_pending():
    async with AsyncResonate.local(ttl=1) as resonate:
        gate = Gate(resonate)

        @resonate.register
        async def outer(ctx):
            return await ctx.rpc("wait")

        handle = await outer.begin_run("id")
        await gate.began.wait()
        assert await handle.cancel() is True
        with pytest.raises(ResonateCanceledError):
            await handle
        assert await handle.cancel() is False
        assert await eventually(lambda: gate.ended) == ["cancelled"]


async def test_stop_wakes_who_waits():
    resonate = AsyncResonate.local()
    waiting = asyncio.create_task(resonate.options(target="nobody").rpc("id", "f"))
    await eventually(lambda: resonate._shared._client is not None)
    await eventually(lambda: resonate._shared.client._listeners._futures)
    await resonate.stop()
    with pytest.raises(ResonateShutdownError):
        await waiting


# --- the event loop -------------------------------------------------------------------------------


async def test_async_functions_run_on_the_loop_of_the_program_and_the_others_on_threads():
    async with AsyncResonate.local() as resonate:
        queue = asyncio.Queue()
        resonate.set_dependency("queue", queue)

        def plain(ctx):
            return threading.get_ident()

        @resonate.register
        async def ask(ctx):
            local = await ctx.run(local_step)
            received = await ctx.get_dependency("queue").get()
            return [threading.get_ident(), local, received]

        @resonate.register
        def generator(ctx):
            return (yield ctx.run(plain))

        async def local_step(ctx):
            assert asyncio.get_running_loop() is loop
            return threading.get_ident()

        loop, here = asyncio.get_running_loop(), threading.get_ident()
        handle = await ask.begin_run("a")
        await queue.put("news")
        assert await handle == [here, here, "news"]
        assert await generator.run("b") != here
        assert await resonate.register(plain).run("c") != here
        assert [each for each in threading.enumerate() if each.name == "resonate-async"] == []


@pytest.fixture
def watched(monkeypatch):
    """Fail every wait of the thread of the event loop for another thread."""
    here, blocked = threading.get_ident(), []
    result, wait = Future.result, threading.Event.wait

    def looked(self, *arguments):
        if threading.get_ident() == here and not self.done():
            blocked.append(self)
        return result(self, *arguments)

    def waited(self, *arguments):
        if threading.get_ident() == here and _loop_runs() and self not in starts():
            blocked.append(self)
        return wait(self, *arguments)

    def starts():
        return {each._started for each in threading.enumerate()}  # the start of a thread

    monkeypatch.setattr(Future, "result", looked)
    monkeypatch.setattr(threading.Event, "wait", waited)
    return blocked


def _loop_runs():
    return asyncio._get_running_loop() is not None


async def test_nothing_blocks_the_loop(client, group, watched):
    async with client as resonate:
        functions(resonate)
        resonate.start()
        for name in KINDS:
            for how in ("run", "rpc"):
                assert await getattr(resonate, how)(f"{group}.{name}.{how}", name, 1) == 2
            handles = [
                await resonate.begin_run(f"{group}.{name}.3", name, 1),
                await resonate.begin_rpc(f"{group}.{name}.4", name, 1),
            ]
            assert await asyncio.gather(*handles) == [2, 2]
        away = await resonate.options(target="nobody").begin_rpc(f"{group}.away", "f")
        away.done()
        assert await away.cancel() is True
        schedule = await resonate.schedule(f"{group}.s", "double", "0 0 1 1 *", 1)
        await schedule.delete()
        await resonate.promises.search(id_prefix=group)
    assert watched == []


async def test_an_async_function_must_not_block_the_loop_either(local):
    async with AsyncResonate.local() as resonate:
        known = functions(resonate)
        other = local.options(target="nobody").begin_rpc("never", "f")

        @resonate.register
        async def wrong(ctx, what):
            operation = ctx.run(known["double"], 1) if what == "operation" else other
            operation.result()

        for what in ("operation", "handle"):
            with pytest.raises(RuntimeError, match="would block every async function"):
                await wrong.run(what, what)


async def test_a_thread_of_an_async_function_may_block(local):
    async with AsyncResonate.local() as resonate:
        local.register(lambda ctx: 1, name="one")
        local.start()

        @resonate.register
        async def right(ctx):
            return await asyncio.to_thread(local.rpc, "id", "one")

        assert await right.run("id") == 1


@pytest.mark.parametrize("kind", ["async", "plain", "sync client"])
async def test_a_run_inside_a_function_uses_its_slot(kind, make):
    async with AsyncResonate.local(concurrency=1) as resonate:
        sync = make(Resonate.local(concurrency=1))
        functions(resonate)
        functions(sync)

        @resonate.register
        async def outer(ctx):
            if kind == "async":
                return await resonate.run("inner", "later", 1)
            return await (await resonate.begin_run("inner", "double", 1))

        @sync.register
        async def also(ctx):
            return await sync.begin_run("inner", "later", 1)

        if kind == "sync client":
            assert await also.begin_run("id") == 2
        else:
            assert await outer.run("id") == 2
