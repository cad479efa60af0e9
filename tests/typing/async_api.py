"""A user's program on asyncio; see ``api.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, assert_type

from resonate import AsyncFunction, AsyncHandle, AsyncResonate, Context

resonate = AsyncResonate("http://localhost:8001", group="workers", ttl=10, concurrency=4)
assert_type(AsyncResonate.remote(token="secret"), AsyncResonate)
assert_type(AsyncResonate.local(dependencies={"a": 1}), AsyncResonate)
assert_type(resonate.group, str)
assert_type(resonate.pid, str)


@resonate.register
async def fetch(ctx: Context, url: str, *, times: int = 1) -> list[str]:
    await asyncio.sleep(0)
    return [url] * times


@resonate.register(name="count", version=2)
def count_letters(ctx: Context, text: str) -> int:
    return len(text)


@resonate.register
def steps(ctx: Context, text: str) -> Generator[Any, Any, bool]:
    return bool((yield ctx.rpc(fetch, text)))


def plain(ctx: Context, number: int) -> float:
    return number / 2


async def plain_async(ctx: Context, number: int) -> float:
    return number / 2


def plain_steps(ctx: Context, number: int) -> Generator[Any, Any, float]:
    yield ctx.sleep(1)
    return number / 2


half: AsyncFunction[[int], float] = resonate.register(plain)
assert_type(fetch.name, str)
assert_type(fetch.version, int)
AsyncResonate(ttl="10")  # type: ignore[arg-type]
AsyncResonate.local(token="secret")  # type: ignore[call-arg]
resonate.register("fetch")  # type: ignore[call-overload]


async def by_the_registered_function(ctx: Context) -> None:
    assert_type(await fetch(ctx, "url"), list[str])
    assert_type(count_letters(ctx, "Ada"), int)
    assert_type(await fetch.run("id", "url", times=2), list[str])
    assert_type(await fetch.rpc("id", "url"), list[str])
    assert_type(await fetch.begin_run("id", "url"), AsyncHandle[list[str]])
    assert_type(await fetch.begin_rpc("id", "url"), AsyncHandle[list[str]])
    assert_type(await count_letters.run("id", "Ada"), int)
    assert_type(await count_letters.begin_rpc("id", "Ada"), AsyncHandle[int])
    assert_type(await steps.run("id", "Ada"), bool)
    assert_type(await steps.rpc("id", "Ada"), bool)
    assert_type(await steps.begin_run("id", "Ada"), AsyncHandle[bool])
    assert_type(await steps.begin_rpc("id", "Ada"), AsyncHandle[bool])
    assert_type(await fetch.options(timeout=5).rpc("id", "url"), list[str])
    assert_type(await ctx.rpc(fetch, "url"), list[str])
    assert_type(await ctx.run(steps, "url"), bool)


async def by_the_client() -> None:
    assert_type(await resonate.run("id", fetch, "url", times=2), list[str])
    assert_type(await resonate.rpc("id", count_letters, "Ada"), int)
    assert_type(await resonate.begin_rpc("id", steps, "Ada"), AsyncHandle[bool])
    assert_type(await resonate.run("id", plain, 1), float)
    assert_type(await resonate.run("id", plain_async, 1), float)
    assert_type(await resonate.run("id", plain_steps, 1), float)
    assert_type(await resonate.rpc("id", plain, 1), float)
    assert_type(await resonate.rpc("id", plain_async, 1), float)
    assert_type(await resonate.rpc("id", plain_steps, 1), float)
    assert_type(await resonate.begin_run("id", plain, 1), AsyncHandle[float])
    assert_type(await resonate.begin_run("id", plain_async, 1), AsyncHandle[float])
    assert_type(await resonate.begin_run("id", plain_steps, 1), AsyncHandle[float])
    assert_type(await resonate.begin_rpc("id", plain, 1), AsyncHandle[float])
    assert_type(await resonate.begin_rpc("id", plain_async, 1), AsyncHandle[float])
    assert_type(await resonate.begin_rpc("id", plain_steps, 1), AsyncHandle[float])
    assert_type(await resonate.run("id", "any", 1, key=2), Any)
    assert_type(await resonate.rpc("id", "any", 1, key=2), Any)
    assert_type(await resonate.begin_run("id", "any"), AsyncHandle[Any])
    assert_type(await resonate.begin_rpc("id", "any"), AsyncHandle[Any])
    assert_type(await resonate.get("id"), AsyncHandle[Any])
    assert_type(resonate.options(target="elsewhere", timeout=1.5), AsyncResonate)


async def wrong_calls() -> None:
    await fetch.rpc("id")  # type: ignore[call-overload]
    await fetch.run("id", url=5)  # type: ignore[call-overload]
    await count_letters.rpc("id", 5)  # type: ignore[arg-type]
    await steps.rpc("id", 5)  # type: ignore[call-overload]
    await resonate.rpc("id", plain, "1")  # type: ignore[call-overload]
    await resonate.begin_rpc("id", plain_async)  # type: ignore[call-overload]
    await resonate.run("id", plain_steps, "1")  # type: ignore[call-overload]
    await resonate.begin_run(5, "any")  # type: ignore[call-overload]
    resonate.options(tags=["a"])  # type: ignore[arg-type]
    handle = await fetch.begin_rpc("id", "url")
    handle.result().sort()  # type: ignore[attr-defined]
    (await resonate.rpc("id", plain, 1)).sort()  # type: ignore[attr-defined]


async def main() -> None:
    handle = await fetch.begin_rpc("id", "url")
    assert_type(handle.id, str)
    assert_type(handle.done(), bool)
    assert_type(await handle, list[str])
    assert_type(await handle.result(), list[str])
    assert_type(await handle.result(timeout=5), list[str])
    assert_type(await handle.cancel(), bool)
    other = await resonate.begin_run("id", plain, 1)
    assert_type(await asyncio.gather(handle, other), tuple[list[str], float])
    async with asyncio.timeout(5):
        await handle
    async with AsyncResonate.local() as here:
        assert_type(here, AsyncResonate)
        here.start()
        here.set_dependency("db", object())
    await resonate.stop(timeout=5)
    await resonate.run_until_signal()


if __name__ == "__main__":
    asyncio.run(main())
