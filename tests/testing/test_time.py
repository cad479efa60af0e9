"""Time is virtual: it stands while anything runs, and jumps when the test waits."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from resonate.errors import ResonateTimedoutError
from resonate.retry_policies import Constant
from resonate.testing import Harness, StuckError
from tests.testing.flavours import DAYS, LABELS

QUICK = 5.0  # real seconds, in which no test may really sleep


@pytest.fixture(autouse=True)
def began():
    began = time.monotonic()
    yield began
    assert time.monotonic() - began < QUICK


def test_a_long_sleep_takes_no_real_time(harness, order):
    start = harness.now
    handle = harness.begin("o", order, 5)
    assert harness.now == start
    assert not handle.done()
    harness.advance(30 * DAYS)
    assert harness.now == start + 30 * DAYS
    (approval,) = harness.waiting()
    harness.resolve(approval, "yes")
    *found, drawn, at = handle.result()
    assert found == [10, "packed one", "shipped two", "yes"]
    assert 1 <= drawn <= 1_000
    assert at == start + 30 * DAYS
    assert [each.label for each in harness.steps("o")] == LABELS


def test_waiting_for_a_result_lets_time_pass_to_a_timeout_that_somebody_chose(harness, order):
    start = harness.now
    with pytest.raises(ResonateTimedoutError):
        harness.begin("o", order, 5).result()
    assert harness.now == start + 40 * DAYS


@pytest.mark.parametrize("flavour", ["generator", "coroutine", "plain"])
def test_retries_wait_in_virtual_time(harness, flavour):
    tries = []

    def shaky(ctx):
        tries.append((ctx.info.attempt, harness.now))
        if len(tries) < 4:
            raise ValueError("not yet")
        return "at last"

    policy = Constant(delay=3600, max_retries=5, jitter=0)

    def generator(ctx):
        return (yield ctx.run(shaky).options(retry_policy=policy))

    async def coroutine(ctx):
        return await ctx.run(shaky).options(retry_policy=policy)

    def plain(ctx):
        return ctx.run(shaky).options(retry_policy=policy).result()

    start = harness.now
    harness.register({"generator": generator, "coroutine": coroutine, "plain": plain}[flavour])
    assert harness.run("o", flavour) == "at last"
    assert tries == [(n, start + (n - 1) * 3600) for n in (1, 2, 3, 4)]
    (step,) = harness.steps("o")
    assert (step.value, step.attempts) == ("at last", 4)


def test_the_deadline_of_a_call_is_in_virtual_time(harness):
    def waits(ctx):
        yield (yield ctx.promise())

    harness.register(waits)
    with pytest.raises(ResonateTimedoutError):
        harness.resonate.options(timeout=3 * DAYS).begin_rpc("w", waits).result()
    assert harness.now == datetime(2026, 1, 4, tzinfo=UTC).timestamp()


def test_a_wait_with_a_timeout_ends_in_virtual_time(harness):
    def sleeps(ctx):
        yield ctx.sleep(100)
        return "awake"

    harness.register(sleeps)
    start = harness.now
    handle = harness.begin("s", sleeps)
    with pytest.raises(TimeoutError):
        handle.result(60)
    assert harness.now == start + 60
    assert handle.result(60) == "awake"
    assert harness.now == start + 100


def test_a_function_that_waits_for_a_handle_does_so_in_virtual_time(harness):
    def sleeps(ctx):
        yield ctx.sleep(600)
        return "awake"

    def waits(ctx):
        handle = harness.resonate.begin_rpc("other", sleeps)
        try:
            handle.result(90)
        except TimeoutError:
            return harness.now, handle.result(), harness.now

    harness.register(sleeps)
    harness.register(waits)
    start = harness.now
    assert harness.run("w", waits) == [start + 90, "awake", start + 600]


async def test_a_test_may_await_a_handle(harness):
    def sleeps(ctx):
        yield ctx.sleep(600)
        return "awake"

    harness.register(sleeps)
    assert await harness.begin("s", sleeps) == "awake"


def test_asyncio_has_virtual_time_and_keeps_its_lease(harness):
    async def naps(ctx):
        await asyncio.sleep(7 * DAYS)
        try:
            async with asyncio.timeout(60):
                await ctx.sleep(DAYS)
        except TimeoutError:
            return await ctx.run(lambda ctx: "kept")

    harness.register(naps)
    start = harness.now
    assert harness.run("n", naps) == "kept"
    assert harness.now == start + 7 * DAYS + 60
    assert [each.state for each in harness.steps("n")] == ["rejected_canceled", "resolved"]


def test_an_executor_is_waited_for(harness):
    async def computes(ctx):
        return await asyncio.to_thread(lambda: (time.sleep(0.02), harness.now)[1])

    harness.register(computes)
    assert harness.run("c", computes) == harness.now


def test_a_function_that_blocks_holds_time_but_not_others(harness):
    there = threading.Event()

    def blocks(ctx):
        there.wait(10)
        return harness.now

    def other(ctx):
        there.set()
        yield ctx.sleep(5)

    harness.register(blocks)
    harness.register(other)
    start = harness.now
    handle = harness.begin("blocks", blocks)
    harness.begin("other", other)
    assert handle.result() == start


def test_a_function_that_blocks_for_ever_is_told():
    there = threading.Event()

    def blocks(ctx):
        there.wait(10)

    with Harness(patience=0.4) as harness:
        harness.register(blocks)
        with pytest.raises(StuckError, match="a function on a thread"):
            harness.run("blocks", blocks)
        there.set()


def test_advance_goes_through_all_that_is_due(harness):
    seen = []

    def ticks(ctx):
        for _ in range(3):
            yield ctx.sleep(10)
            seen.append((yield ctx.time.time()))

    harness.register(ticks)
    start = harness.now
    harness.begin("t", ticks)
    harness.advance(25)
    assert seen == [start + 10, start + 20]
    assert harness.now == start + 25
    harness.advance(timedelta(minutes=1))
    assert seen == [start + 10, start + 20, start + 30]
    with pytest.raises(ValueError, match="seconds"):
        harness.advance(-1)


def test_schedules_fire_in_virtual_time(harness):
    def nightly(ctx):
        return harness.now

    harness.register(nightly)
    harness.resonate.schedule("nightly", nightly, "30 4 * * *")
    harness.advance(3 * DAYS)
    found = list(harness.resonate.promises.search_all(tags={"resonate:schedule": "nightly"}))
    assert [each.value.data for each in found] == [
        f"{datetime(2026, 1, day, 4, 30, tzinfo=UTC).timestamp()}" for day in (1, 2, 3)
    ]


def test_many_sleeps_and_many_steps_are_quick(harness):
    def leaf(ctx, number):
        return number

    def many(ctx):
        total = 0
        for number in range(100):
            yield ctx.sleep(3600)
            total += yield ctx.run(leaf, number)
        return total

    harness.register(many)
    assert harness.run("m", many) == 4950


def test_the_start_can_be_chosen():
    def year(ctx):
        return (yield ctx.time.strftime("%Y"))

    with Harness(start=datetime(1999, 6, 1, tzinfo=UTC)) as harness:
        harness.register(year)
        assert harness.run("y", year) == "1999"


def test_a_loop_that_only_looks_at_the_time_is_noticed(harness):
    async def polls(ctx):
        while True:  # noqa: ASYNC110  # that is what it is about
            await asyncio.sleep(1)

    harness.register(polls)
    with pytest.raises(StuckError, match="polls"):
        harness.run("p", polls)


# --- going on for long ----------------------------------------------------------------------------


async def ticks(ctx, number):
    for _ in range(number):
        await asyncio.sleep(1)
    return number


def test_timers_of_a_function_may_go_on_for_long():
    with Harness() as harness:
        harness.register(ticks)
        assert harness.run("id", ticks, 2_000) == 2_000


def test_a_function_that_looks_now_and_then_sees_that_a_call_has_ended():
    async def watches(ctx):
        promise = await ctx.begin_rpc("sleeps")
        looks = 0
        while not promise.done():
            looks += 1
            await asyncio.sleep(60)
        return [looks, await promise]

    def sleeps(ctx):
        yield ctx.sleep(10 * 3600)
        return "slept"

    with Harness() as harness:
        harness.register(watches)
        harness.register(sleeps)
        looks, value = harness.run("id", watches)
        assert value == "slept"
        assert 600 <= looks <= 602


def test_what_goes_on_without_end_is_stuck_when_the_patience_ends():
    def never(ctx):
        raise OSError("again")

    with Harness(patience=0.5) as harness:
        harness.register(never, retry_policy=Constant(delay=1, jitter=0))
        with pytest.raises(StuckError, match=r"for 0.5 real seconds time was moved, by .* so far"):
            harness.run("id", never)
