"""``sdk_ours.py`` for the official SDK, whose import name is ours, too: never run with ours.

``python -P sdk_official.py work URL GROUP``, or ``call URL GROUP FUNCTION CALLERS SECONDS``, in the
environment of the official SDK. It has one flavour; its callers are tasks of one loop.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from typing import Any

from resonate.resonate import Resonate


async def leaf_coroutine(_ctx: Any, number: int) -> int:
    """Return at once."""
    return number


async def sequential_coroutine(ctx: Any, count: int) -> None:
    """Run steps one after the other."""
    for number in range(count):
        await ctx.run(leaf_coroutine, number)


async def concurrent_coroutine(ctx: Any, count: int) -> None:
    """Run steps at the same time."""
    await asyncio.gather(*[ctx.run(leaf_coroutine, number) for number in range(count)])


async def fan_coroutine(ctx: Any, count: int) -> int:
    """Call children and add up what they return."""
    return sum(await asyncio.gather(*[ctx.rpc("leaf_coroutine", n) for n in range(count)]))


async def wait_coroutine(ctx: Any, count: int) -> float:
    """Run steps, then wait to be told when it was told; return how long ago that was (ms)."""
    await sequential_coroutine(ctx, count)
    began = await ctx.promise()
    return (time.monotonic_ns() - began) / 1e6


async def work(url: str, group: str) -> None:
    """Work until standard input ends; a line on standard output says that it began."""
    resonate = Resonate(url=url, group=group)
    for function in FUNCTIONS:
        resonate.register(function)
    print("started", flush=True)
    await asyncio.to_thread(sys.stdin.read)


FUNCTIONS = (
    leaf_coroutine,
    sequential_coroutine,
    concurrent_coroutine,
    fan_coroutine,
    wait_coroutine,
)


async def call(url: str, group: str, name: str, callers: str, seconds: str) -> None:
    """Call for some time."""
    resonate = Resonate(url=url, group="caller")
    there = resonate.options(target=group)
    await there.rpc(str(uuid.uuid4()), name, 0).result()
    done: list[int] = []
    began = time.perf_counter()

    async def calls() -> None:
        while time.perf_counter() - began < float(seconds):
            done.append(await there.rpc(str(uuid.uuid4()), name, 1).result())

    await asyncio.gather(*[calls() for _ in range(int(callers))])
    print(sum(done), time.perf_counter() - began, flush=True)
    await resonate.stop()


if __name__ == "__main__":
    asyncio.run((call if sys.argv[1] == "call" else work)(*sys.argv[2:]))
