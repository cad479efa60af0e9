"""How an AsyncResonate begins and ends, and what happens when its event loop ends before it."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from resonate import AsyncResonate
from resonate.errors import LeaseLostError
from resonate.protocol import requests as rq
from resonate.sdk.pool import network_loop
from tests.processes.children import until
from tests.waiting import eventually


def threads():
    return [each.name for each in threading.enumerate() if each.name.startswith("resonate")]


def kill_this_thread(number):
    """Have a signal delivered to this thread, as the system may do with any."""
    signal.pthread_kill(threading.get_ident(), number)


def working(resonate):
    client = resonate._shared._client
    return client is not None and client._working


@pytest.fixture
def worker(server, group):
    """Return a maker of clients in the group of the test."""
    return lambda **more: AsyncResonate.remote(server.url, group=group, **more)


# --- beginning ------------------------------------------------------------------------------------


async def test_a_client_becomes_no_worker_by_itself(worker):
    async with worker() as client:
        client.register(lambda ctx: 1, name="f")
        handle = await client.begin_rpc(f"{client.group}.1", "f")
        assert not handle.done()
        assert not working(client)
        client.start()
        assert await handle == 1
        assert working(client)


async def test_several_share_a_loop(worker):
    here = asyncio.get_running_loop()
    async with AsyncResonate.local() as one, AsyncResonate.local() as two, worker() as three:
        for number, resonate in enumerate((one, two, three)):

            @resonate.register(name="f")
            async def answer(ctx, number=number):
                assert asyncio.get_running_loop() is here
                return number

        calls = [each.run(f"{three.group}.id", "f") for each in (one, two, three)]
        assert await asyncio.gather(*calls) == [0, 1, 2]


def test_one_may_be_made_before_there_is_a_loop():
    resonate = AsyncResonate.local(group="mine", pid="me")

    @resonate.register
    async def f(ctx):
        return 1

    async def main():
        async with resonate:
            return await f.run("id")

    assert asyncio.run(main()) == 1
    assert (resonate.group, resonate.pid) == ("mine", "me")


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, network_loop])
def test_every_loop_will_do(factory):
    async def main():
        async with AsyncResonate.local() as resonate:

            @resonate.register
            async def f(ctx):
                await ctx.sleep(0.001)
                return await ctx.run(lambda _ctx: 1)

            return await asyncio.gather(*(f.run(str(number)) for number in range(20)))

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(main()) == [1] * 20


# --- heartbeats -----------------------------------------------------------------------------------


async def test_a_loop_that_is_blocked_keeps_its_leases(worker, monkeypatch):
    async with worker(ttl=1) as resonate:
        count = []

        @resonate.register
        async def block(ctx):
            count.append(1)
            until(lambda: len(beats) > 1)  # on the loop of the program
            return "kept"

        beats = spied(resonate, monkeypatch)
        assert await block.run(f"{resonate.group}.1") == "kept"
        assert count == [1]


def spied(resonate, monkeypatch):
    """Return a list that gets all heartbeats that are answered."""
    resonate._shared.bind()
    transport, beats = resonate._shared.client._transport, []
    send = transport.send

    async def sent(requests):
        answers = await send(requests)
        beats.extend(each for each in requests if isinstance(each, rq.TaskHeartbeat))
        return answers

    monkeypatch.setattr(transport, "send", sent)
    return beats


# --- stopping -------------------------------------------------------------------------------------


async def test_stop_of_what_was_never_used_does_nothing():
    await eventually(lambda: threads() == [])
    resonate = AsyncResonate.local()
    await resonate.stop()
    async with resonate:
        pass
    assert threads() == []


async def test_stop_leaves_nothing_behind():
    async with AsyncResonate.local() as resonate:
        resonate.register(lambda ctx: 1, name="f")

        @resonate.register
        async def g(ctx):
            return 1

        assert await resonate.run("a", "f") + await g.run("b") == 2
        assert threads() != []
    await eventually(lambda: threads() == [])
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_stop_waits_for_what_runs_while_the_loop_goes_on(kind):
    resonate = AsyncResonate.local()
    began, opened, plain = asyncio.Event(), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @resonate.register(name="plain")
    def blocking(ctx):
        loop.call_soon_threadsafe(began.set)
        plain.wait(10)
        return "worked"

    @resonate.register(name="async")
    async def waiting(ctx):
        began.set()
        await opened.wait()
        return "worked"

    handle = await resonate.begin_run("id", kind)
    result = asyncio.ensure_future(handle)
    await began.wait()
    stopping = asyncio.create_task(resonate.stop())
    await eventually(lambda: resonate._shared.client._worker._draining)
    assert not stopping.done()
    opened.set()
    plain.set()
    await stopping
    assert await result == "worked"


async def test_stop_cancels_what_does_not_end_in_time_and_awaits_its_cleaning_up(worker):
    resonate, ended, began = worker(), [], asyncio.Event()

    @resonate.register
    async def endless(ctx):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    await endless.begin_run(f"{resonate.group}.1")
    await began.wait()
    await resonate.stop(0)
    assert ended == ["cleaned up"]
    async with worker() as other:
        other.register(endless_no_more, name="endless")
        other.start()
        assert await (await other.get(f"{resonate.group}.1")) == "elsewhere"


async def endless_no_more(ctx):
    return "elsewhere"


async def test_after_stop_it_may_be_used_again(worker):
    resonate = worker()

    @resonate.register
    async def f(ctx):
        return 1

    for number in range(2):
        assert await f.run(f"{resonate.group}.{number}") == 1
        await resonate.stop()
        assert not working(resonate)


async def test_stop_asked_for_twice_is_one():
    resonate = AsyncResonate.local()
    resonate.start()
    await asyncio.gather(*(resonate.stop() for _ in range(3)))
    await resonate.stop()


async def test_a_signal_ends_the_work():
    resonate = AsyncResonate.local()
    working_until = asyncio.create_task(resonate.run_until_signal())
    await eventually(lambda: working(resonate))
    os.kill(os.getpid(), signal.SIGTERM)
    await working_until
    assert not working(resonate)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_other_signals_of_the_loop_are_told_all_the_same(when):
    resonate, told = AsyncResonate.local(), asyncio.Event()
    loop = asyncio.get_running_loop()
    if when == "before":
        loop.add_signal_handler(signal.SIGUSR2, told.set)
    working_until = asyncio.create_task(resonate.run_until_signal())
    await eventually(lambda: working(resonate))
    if when == "meanwhile":
        loop.add_signal_handler(signal.SIGUSR2, told.set)
    try:
        async with asyncio.timeout(5):
            await asyncio.to_thread(kill_this_thread, signal.SIGUSR2)
            await told.wait()
            assert not working_until.done()
            await asyncio.to_thread(kill_this_thread, signal.SIGTERM)
            await working_until
    finally:
        loop.remove_signal_handler(signal.SIGUSR2)


async def test_a_second_signal_does_not_wait_for_functions():
    resonate, cancelled = AsyncResonate.local(), []

    @resonate.register
    async def forever(ctx):
        try:
            await asyncio.sleep(1000)
        finally:
            cancelled.append(ctx.id)

    before = signal.getsignal(signal.SIGTERM)
    working_until = asyncio.create_task(resonate.run_until_signal(math.inf))
    await forever.begin_run("id")
    os.kill(os.getpid(), signal.SIGTERM)
    await eventually(lambda: resonate._shared.client._worker._draining)
    assert not working_until.done()
    assert cancelled == []
    assert signal.getsignal(signal.SIGTERM) is not before
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await working_until
    assert cancelled == ["id"]
    assert signal.getsignal(signal.SIGTERM) is before
    assert not working(resonate)


@pytest.mark.parametrize("timeout", [math.inf, 1e300])
async def test_stop_and_result_may_wait_without_end(timeout):
    resonate = AsyncResonate.local()

    @resonate.register
    async def short(ctx):
        await asyncio.sleep(0.2)
        return "ended"

    handle = await short.begin_run("id")
    stopping = asyncio.create_task(resonate.stop(timeout))
    assert await handle.result(timeout) == "ended"
    await stopping


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(None, TypeError), ("5", TypeError), (math.nan, ValueError), (-1, ValueError)],
)
async def test_a_wrong_timeout_is_refused_before_anything_happens(timeout, error):
    async with AsyncResonate.local() as resonate:
        resonate.start()
        for call in (resonate.stop, resonate.run_until_signal):
            with pytest.raises(error, match=r"^timeout must be "):
                await call(timeout)
        await eventually(lambda: working(resonate))


# --- other event loops ----------------------------------------------------------------------------


def test_another_loop_is_refused_in_these_words():
    with asyncio.Runner() as first, asyncio.Runner() as second:
        resonate = AsyncResonate.local()
        resonate.register(lambda ctx: 1, name="f")

        async def begin():
            return await resonate.begin_run("id", "f")

        handle = first.run(begin())
        calls = [begin, handle.result, handle.cancel, resonate.stop, lambda: started(resonate)]
        for call in [*calls, lambda: resonate.promises.get("id")]:
            with pytest.raises(RuntimeError, match="belongs to another event loop") as caught:
                second.run(call())
            assert "`await stop()` there before" in str(caught.value)
        first.run(resonate.stop())
        assert second.run(awaited(resonate)) == 1
        second.run(resonate.stop())


async def started(resonate):
    resonate.start()


async def awaited(resonate, id="id"):
    return await resonate.run(id, "f")


def test_a_client_goes_on_with_the_next_loop_when_its_own_has_ended(local):
    resonate = AsyncResonate.local()

    async def create():
        return await resonate.promises.create("id", 2**60)

    async def get():
        return await resonate.promises.get("id")

    assert asyncio.run(create()) == asyncio.run(get())
    asyncio.run(resonate.stop())


# --- loops that end without stop ------------------------------------------------------------------


def ended_without_stop(resonate, name, id):
    """Run the function until it waits, then end the loop."""

    async def main():
        began = asyncio.Event()
        resonate.set_dependency("began", began)
        await resonate.begin_run(id, name)
        await began.wait()

    asyncio.run(main())


@pytest.mark.parametrize("waits_for", ["the program", "a call", "a step"])
def test_what_ran_on_a_loop_that_ended_is_given_to_others(worker, waits_for, caplog):
    """Neither is it rejected because it was cancelled, nor what it waited for."""
    resonate, id = worker(), f"{worker().group}.1"
    caught = []

    @resonate.register(name="work")
    async def first(ctx):
        ctx.get_dependency("began").set()
        try:
            if waits_for == "a call":
                return await ctx.rpc("other").options(id=f"{id}.other")
            if waits_for == "a step":
                return await ctx.run(step).options(id=f"{id}.other")
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            caught.append(error)
            raise

    async def step(ctx):
        await asyncio.Event().wait()

    ended_without_stop(resonate, "work", id)
    until(lambda: threads() == [])
    assert not working(resonate)
    assert len(caught) == 1

    async def main():
        async with worker() as other:
            other.register(lambda ctx: "elsewhere", name="other")

            @other.register
            async def work(ctx):
                if waits_for == "a call":
                    return await ctx.rpc("other").options(id=f"{id}.other")
                if waits_for == "a step":
                    return await ctx.run(elsewhere).options(id=f"{id}.other")
                return "elsewhere"

            other.start()
            return await (await other.get(id)).result(20)

    def elsewhere(ctx):
        return "elsewhere"

    elsewhere.__qualname__ = step.__qualname__  # the same step, in another version of the program
    assert asyncio.run(main()) == "elsewhere"
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


def test_a_loop_that_ends_while_it_stops_rejects_nothing(worker):
    resonate, id = worker(), f"{worker().group}.1"

    @resonate.register
    async def work(ctx):
        ctx.get_dependency("began").set()
        await asyncio.Event().wait()

    async def main():
        began = asyncio.Event()
        resonate.set_dependency("began", began)
        await work.begin_run(id)
        await began.wait()
        stopping = asyncio.create_task(resonate.stop())
        await eventually(lambda: resonate._shared.client._worker._draining)
        assert not stopping.done()

    asyncio.run(main())
    until(lambda: threads() == [])
    assert asyncio.run(state_of(worker(), id)) == "pending"


async def state_of(resonate, id):
    async with resonate:
        return (await resonate.promises.get(id)).state


def test_after_a_loop_that_ended_the_worker_may_start_on_another(worker):
    resonate = worker()
    resonate.register(lambda ctx: 1, name="f")

    @resonate.register
    async def waits(ctx):
        ctx.get_dependency("began").set()
        await asyncio.Event().wait()

    ended_without_stop(resonate, "waits", f"{resonate.group}.1")

    async def main():
        found = await resonate.run(f"{resonate.group}.2", "f")
        await resonate.stop(0)  # it may have got what waits, too
        return found

    assert asyncio.run(main()) == 1
    until(lambda: threads() == [])


def test_a_loop_that_is_closed_without_any_end_hangs_nothing(worker, caplog):
    """As programs do that run a loop by hand."""
    resonate, loop = worker(), asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # asyncio tells of the tasks that it drops
    seen = []

    @resonate.register
    async def waits(ctx):
        seen.append(ctx)
        await asyncio.Event().wait()

    async def main():
        await waits.begin_run(f"{resonate.group}.1")
        await eventually(lambda: seen)

    loop.run_until_complete(main())
    loop.close()
    before = time.monotonic()
    resonate._shared.stop(0)  # as at the exit of the program
    assert time.monotonic() - before < 2
    assert threads() == []
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []
    with pytest.raises(LeaseLostError):
        seen[0].rpc("f").result()


PROGRAM = """
import asyncio, sys
from resonate import AsyncResonate

resonate = AsyncResonate.remote(sys.argv[1], group=sys.argv[2])

@resonate.register
async def endless(ctx):
    began.set()
    await asyncio.Event().wait()

async def main():
    global began
    began = asyncio.Event()
    await endless.begin_run(sys.argv[2])
    await began.wait()
    raise ArithmeticError("the program fails")

asyncio.run(main())
"""


def test_a_program_that_fails_ends_at_once_and_gives_its_work_back(server, worker, group):
    line = [sys.executable, "-c", PROGRAM, server.url, group]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert "ArithmeticError: the program fails" in done.stderr
    assert done.stderr.count("Traceback") == 1

    async def main():
        async with worker() as other:
            other.register(endless_no_more, name="endless")
            other.start()
            return await (await other.get(group)).result(20)

    before = time.monotonic()
    assert asyncio.run(main()) == "elsewhere"
    assert time.monotonic() - before < 4  # the server waits 8 s for one that vanished


# --- in a web server ------------------------------------------------------------------------------


async def test_an_application_has_it_for_its_lifespan(worker):
    resonate = worker()

    @resonate.register
    async def greet(ctx, name):
        return f"hello {name} from {ctx.get_dependency('app').state.city}"

    async def endpoint(request):
        name = request.path_params["name"]
        return JSONResponse(await greet.rpc(f"{resonate.group}.{name}", name))

    def lifespan(app):
        resonate.set_dependency("app", app)
        app.state.city = "Berlin"
        return _started(resonate)

    app = Starlette(routes=[Route("/{name}", endpoint)], lifespan=lifespan)
    served = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    serving = asyncio.create_task(served.serve())
    await eventually(lambda: served.started)
    port = served.servers[0].sockets[0].getsockname()[1]
    assert await got(port, "/Ada") == '"hello Ada from Berlin"'
    served.should_exit = True
    await serving
    await eventually(lambda: threads() == [])


class _started:  # noqa: N801  # what @asynccontextmanager makes
    def __init__(self, resonate):
        self.resonate = resonate

    async def __aenter__(self):
        await self.resonate.__aenter__()
        self.resonate.start()

    async def __aexit__(self, *problem):
        await self.resonate.__aexit__(*problem)


async def got(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return text.partition("\r\n\r\n")[2]
