"""Programs of our SDK to be measured: ``sdk_ours work URL GROUP``, or ``call`` with more.

``sdk_ours call URL GROUP FUNCTION CALLERS SECONDS`` calls from that many threads, a coroutine from
that many tasks, and prints how many calls it made, and in how many seconds. The functions are
written in all three flavours; ``sdk_official.py`` has the same program for the official SDK.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from typing import Any

from benchmarks.calls import repeat
from resonate import AsyncResonate, Context, Resonate


def leaf_plain(_ctx: Context, number: int) -> int:
    """Return at once."""
    return number


def leaf_generator(_ctx: Context, number: int) -> Any:
    """Return at once, as a generator."""
    return number
    yield


async def leaf_coroutine(_ctx: Context, number: int) -> int:
    """Return at once, as a coroutine."""
    return number


def sequential_plain(ctx: Context, count: int) -> None:
    """Run steps one after the other."""
    for number in range(count):
        ctx.run(leaf_plain, number).result()


def sequential_generator(ctx: Context, count: int) -> Any:
    """Run steps one after the other."""
    for number in range(count):
        yield ctx.run(leaf_plain, number)


async def sequential_coroutine(ctx: Context, count: int) -> None:
    """Run steps one after the other."""
    for number in range(count):
        await ctx.run(leaf_coroutine, number)


def concurrent_plain(ctx: Context, count: int) -> None:
    """Run steps at the same time."""
    for promise in [ctx.begin_run(leaf_plain, number).result() for number in range(count)]:
        promise.result()


def concurrent_generator(ctx: Context, count: int) -> Any:
    """Run steps at the same time."""
    promises = []
    for number in range(count):
        promise = yield ctx.begin_run(leaf_plain, number)
        promises.append(promise)
    for promise in promises:
        yield promise


async def concurrent_coroutine(ctx: Context, count: int) -> None:
    """Run steps at the same time."""
    await asyncio.gather(*[ctx.run(leaf_coroutine, number) for number in range(count)])


def fan_plain(ctx: Context, count: int) -> int:
    """Call children and add up what they return."""
    promises = [ctx.begin_rpc("leaf_plain", number).result() for number in range(count)]
    return sum(promise.result() for promise in promises)


def fan_generator(ctx: Context, count: int) -> Any:
    """Call children and add up what they return."""
    promises = []
    for number in range(count):
        promise = yield ctx.begin_rpc("leaf_generator", number)
        promises.append(promise)
    total = 0
    for promise in promises:
        total += yield promise
    return total


async def fan_coroutine(ctx: Context, count: int) -> int:
    """Call children and add up what they return."""
    return sum(await asyncio.gather(*[ctx.rpc("leaf_coroutine", n) for n in range(count)]))


def wait_plain(ctx: Context, count: int) -> float:
    """Run steps, then wait to be told when it was told; return how long ago that was (ms)."""
    sequential_plain(ctx, count)
    return ago(ctx.promise().result().result())


def wait_generator(ctx: Context, count: int) -> Any:
    """Run steps, then wait to be told when it was told; return how long ago that was (ms)."""
    yield from sequential_generator(ctx, count)
    return ago((yield (yield ctx.promise())))


async def wait_coroutine(ctx: Context, count: int) -> float:
    """Run steps, then wait to be told when it was told; return how long ago that was (ms)."""
    await sequential_coroutine(ctx, count)
    return ago(await (await ctx.promise()))


def ago(began: int) -> float:
    """Return how many milliseconds ago an instant of this machine's monotonic clock was."""
    return (time.monotonic_ns() - began) / 1e6


FUNCTIONS = (
    *(leaf_plain, leaf_generator, leaf_coroutine),
    *(sequential_plain, sequential_generator, sequential_coroutine),
    *(concurrent_plain, concurrent_generator, concurrent_coroutine),
    *(fan_plain, fan_generator, fan_coroutine),
    *(wait_plain, wait_generator, wait_coroutine),
)


def work(url: str, group: str) -> None:
    """Work until standard input ends; a line on standard output says that it began."""
    resonate = Resonate(url, group=group)
    for function in FUNCTIONS:
        resonate.register(function)
    resonate.start()
    print("started", flush=True)
    sys.stdin.read()


def call(url: str, group: str, name: str, callers: str, seconds: str) -> None:
    """Call for some time."""
    if name == "leaf_coroutine":
        done, elapsed = asyncio.run(from_tasks(url, group, int(callers), float(seconds)))
    else:
        done, elapsed = from_threads(url, group, name, int(callers), float(seconds))
    print(done, elapsed, flush=True)


def from_threads(
    url: str, group: str, name: str, callers: int, seconds: float
) -> tuple[int, float]:
    """Return how many calls threads made, and the seconds that they took for it."""
    there = Resonate(url, group="caller").options(target=group)
    there.rpc(str(uuid.uuid4()), name, 0)
    done: list[int] = []

    def once() -> None:
        done.append(there.rpc(str(uuid.uuid4()), name, 1))

    elapsed = repeat(once, callers, seconds)
    there.stop(0)
    return sum(done), elapsed


async def from_tasks(url: str, group: str, callers: int, seconds: float) -> tuple[int, float]:
    """Return how many calls tasks made, and the seconds that they took for it."""
    async with AsyncResonate(url, group="caller") as resonate:
        there = resonate.options(target=group)
        await there.rpc(str(uuid.uuid4()), "leaf_coroutine", 0)
        done: list[int] = []
        began = time.perf_counter()

        async def calls() -> None:
            while time.perf_counter() - began < seconds:
                done.append(await there.rpc(str(uuid.uuid4()), "leaf_coroutine", 1))

        await asyncio.gather(*[calls() for _ in range(callers)])
        return sum(done), time.perf_counter() - began


if __name__ == "__main__":
    (call if sys.argv[1] == "call" else work)(*sys.argv[2:])
