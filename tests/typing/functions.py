"""Functions of a user: contexts, operations, promises and retry policies; see ``api.py``."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Generator
from datetime import timedelta
from typing import Any, assert_type

from resonate import Context, Function, Operation, Promise, Resonate
from resonate.encoders import Chain, Compression, Encoder
from resonate.retry_policies import Constant, Exponential, Linear, Never, RetryPolicy
from resonate.sdk.context import Info
from resonate.sdk.operations import Ready

resonate = Resonate.local(encoder=Chain(Compression()))


def plain(ctx: Context, number: int) -> float:
    return number / 2


async def waits(ctx: Context, number: int, *, times: int = 1) -> list[str]:
    return [str(number)] * times


def yields(ctx: Context, text: str) -> Generator[Any, Any, bool]:
    return bool((yield ctx.run(plain, len(text))))


# --- what a context knows ---------------------------------------------------------------------------


def facts(ctx: Context) -> None:
    assert_type(ctx.id, str)
    assert_type(ctx.info, Info)
    assert_type(ctx.info.attempt, int)
    assert_type(ctx.info.deadline, float)
    assert_type(ctx.info.parent, str | None)
    assert_type(ctx.info.tags, dict[str, str])
    assert_type(ctx.cancelled, bool)
    assert_type(ctx.logger, logging.LoggerAdapter[logging.Logger])
    ctx.get_dependency(5)  # type: ignore[arg-type]
    ctx.id = "other"  # type: ignore[misc]


# --- operations, of every kind of function ----------------------------------------------------------


def operations(ctx: Context) -> None:
    assert_type(ctx.run(plain, 1), Operation[float])
    assert_type(ctx.run(waits, 1, times=2), Operation[list[str]])
    assert_type(ctx.run(yields, "a"), Operation[bool])
    assert_type(ctx.lfc(yields, "a"), Operation[bool])
    assert_type(ctx.begin_run(plain, 1), Operation[Promise[float]])
    assert_type(ctx.begin_run(waits, 1), Operation[Promise[list[str]]])
    assert_type(ctx.begin_run(yields, "a"), Operation[Promise[bool]])
    assert_type(ctx.lfi(waits, 1), Operation[Promise[list[str]]])
    assert_type(ctx.rpc(plain, 1), Operation[float])
    assert_type(ctx.rpc(waits, 1), Operation[list[str]])
    assert_type(ctx.rpc(yields, "a"), Operation[bool])
    assert_type(ctx.rpc("yields", "a", key=1), Operation[Any])
    assert_type(ctx.rfc(plain, 1), Operation[float])
    assert_type(ctx.begin_rpc(plain, 1), Operation[Promise[float]])
    assert_type(ctx.begin_rpc(waits, 1), Operation[Promise[list[str]]])
    assert_type(ctx.begin_rpc(yields, "a"), Operation[Promise[bool]])
    assert_type(ctx.begin_rpc("yields"), Operation[Promise[Any]])
    assert_type(ctx.rfi("yields"), Operation[Promise[Any]])
    assert_type(ctx.detached(plain, 1), Operation[Promise[Any]])
    assert_type(ctx.sleep(timedelta(days=1)), Operation[None])
    assert_type(ctx.sleep(0.5), Operation[None])
    assert_type(ctx.promise(timeout=5, data={"a": 1}), Operation[Promise[Any]])
    assert_type(ctx.uuid(), Ready[uuid.UUID])
    assert_type(ctx.random.random(), Ready[float])
    assert_type(ctx.random.randint(1, 6), Ready[int])
    assert_type(ctx.time.time(), Operation[float])
    assert_type(ctx.time.strftime("%Y"), Operation[str])


def options(ctx: Context) -> None:
    found = ctx.rpc(waits, 1).options(
        id="mine",
        timeout=5,
        tags={"a": "b"},
        target="elsewhere",
        version=2,
        retry_policy=Never(),
        encoder=Compression(),
        non_retryable_exceptions=(ValueError,),
    )
    assert_type(found, Operation[list[str]])
    assert_type(found.id, str)
    ctx.run(plain, 1).options(tags=["a"])  # type: ignore[arg-type]
    ctx.run(plain, 1).options(timeout="5")  # type: ignore[arg-type]
    ctx.run(plain, 1).options(retries=1)  # type: ignore[call-arg]


def wrong(ctx: Context) -> None:
    ctx.run(plain)  # type: ignore[call-overload]
    ctx.run(plain, "1")  # type: ignore[call-overload]
    ctx.run(waits, 1, time=2)  # type: ignore[call-arg]
    ctx.run("plain", 1)  # type: ignore[call-overload]
    ctx.begin_run(yields, 1)  # type: ignore[call-overload]
    ctx.rpc(plain, "1")  # type: ignore[call-overload]
    ctx.begin_rpc(waits)  # type: ignore[call-overload]
    ctx.sleep("1")  # type: ignore[arg-type]
    ctx.promise(5)  # type: ignore[call-arg, arg-type]


# --- their values, in each form of function ---------------------------------------------------------


def in_a_plain_function(ctx: Context) -> str:
    assert_type(ctx.run(waits, 1).result(), list[str])
    promise = ctx.begin_rpc(yields, "a").result(timeout=5)
    assert_type(promise, Promise[bool])
    assert_type(promise.id, str)
    assert_type(promise.done(), bool)
    assert_type(promise.result(timeout=1.5), bool)
    assert_type(ctx.uuid().result(), uuid.UUID)
    return promise.id


async def in_a_coroutine(ctx: Context) -> float:
    assert_type(await ctx.run(plain, 1), float)
    assert_type(await ctx.rpc(waits, 1), list[str])
    promise = await ctx.begin_run(yields, "a")
    assert_type(await promise, bool)
    assert_type(await asyncio.gather(ctx.run(plain, 1), promise), tuple[float, bool])
    assert_type(await ctx.random.random(), float)
    ctx.run(plain, 1) + 1  # type: ignore[operator]
    return await ctx.time.time()


@resonate.register
def in_a_generator(ctx: Context, name: str) -> Generator[Any, Any, str]:
    found: list[str] = yield ctx.run(waits, 1)
    yield ctx.sleep(1)
    return found[0] + name


assert_type(in_a_generator.run("id", "Ada"), str)


# --- registering, with a policy ---------------------------------------------------------------------

policies: list[RetryPolicy] = [
    Never(),
    Constant(delay=1, max_retries=3),
    Linear(delay=0.5, max_delay=60, jitter=0),
    Exponential(delay=0.1, factor=2, max_retries=5, max_delay=30),
]
assert_type(policies[0].next(1), float | None)


class Mine:
    def next(self, attempt: int) -> float | None:
        return 5 if attempt < 3 else None


class NoPolicy:
    def next(self, attempt: str) -> float | None:
        return None


resonate.register(plain, retry_policy=Mine(), non_retryable_exceptions=(ValueError, TypeError))
resonate.register(plain, name="made", retry_policy=lambda _func: Never())
resonate.options(retry_policy=Exponential()).begin_rpc("id", "plain", 1)
resonate.register(plain, retry_policy=NoPolicy())  # type: ignore[call-overload]
resonate.register(plain, retry_policy=3)  # type: ignore[call-overload]
resonate.options(retry_policy="always")  # type: ignore[arg-type]
Constant(delay="1")  # type: ignore[arg-type]
Constant(retries=1)  # type: ignore[call-arg]
Never(delay=1)  # type: ignore[call-arg]


@resonate.register(retry_policy=Constant(), version=2)
async def registered(ctx: Context, numbers: list[int]) -> int:
    return sum(numbers)


assert_type(registered.run("id", [1]), int)
assert_type(registered.options(retry_policy=Never()).run("id", [1]), int)
resonate.register(plain, non_retryable_exceptions=ValueError)  # type: ignore[call-overload]

# --- encoders ---------------------------------------------------------------------------------------

encoder: Encoder = Compression()
Resonate.remote(encoder="base64")  # type: ignore[arg-type]

a_function: Function[[int], float] = resonate.register(plain, name="third")
a_wrong_one: Function[[str], float] = resonate.register(plain, name="fourth")  # type: ignore[arg-type]
