"""``ours_values.py URL GROUP``: our worker, with functions of values, and workflows that call theirs."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

from resonate import Resonate
from resonate.errors import RemoteError

url, group = sys.argv[1:]
resonate = Resonate.remote(url, group=group)


@dataclass
class Order:
    item: str
    prices: list[float]


class RefusedError(Exception):
    """One that only this process knows."""


@resonate.register
def echo(_, value: Any = None, **named: Any):
    return {"value": value, **named} if named else value


@resonate.register
def total(_, order: Order):
    return [type(order).__name__, order.item, sum(order.prices)]


@resonate.register
def refuse(_, text: str, name: str = "ValueError"):
    raise {"ValueError": ValueError, "KeyError": KeyError, "own": RefusedError}[name](text)


@resonate.register
async def linger(_):
    await asyncio.sleep(60)


@resonate.register
def generator(ctx, target, value):
    first = yield ctx.rpc("echo", value).options(target=target)
    order = Order("chair", [1.5, 2])
    left = yield ctx.begin_rpc("total", order).options(target=target)
    right = yield ctx.begin_run(echo.func, value)
    yield ctx.sleep(0.05)
    try:
        yield ctx.rpc("refuse", "no").options(target=target)
    except RemoteError as error:
        refused = error.message
    return [first, (yield left), (yield right), refused]


@resonate.register
async def coroutine(ctx, target, value):
    first = await ctx.rpc("echo", value).options(target=target)
    left = ctx.rpc("total", Order("chair", [1.5, 2])).options(target=target)
    both = await asyncio.gather(left, ctx.run(echo.func, value))
    await ctx.sleep(0.05)
    try:
        await ctx.rpc("refuse", "no").options(target=target)
    except RemoteError as error:
        refused = error.message
    return [first, *both, refused]


@resonate.register
def plain(ctx, target, value):
    first = ctx.rpc("echo", value).options(target=target).result()
    left = ctx.begin_rpc("total", Order("chair", [1.5, 2])).options(target=target).result()
    right = ctx.begin_run(echo.func, value).result()
    ctx.sleep(0.05).result()
    try:
        ctx.rpc("refuse", "no").options(target=target).result()
    except RemoteError as error:
        refused = error.message
    return [first, left.result(), right.result(), refused]


@resonate.register
async def ask(ctx):
    answer = await (await ctx.promise(id="first"))
    try:
        return [answer, await (await ctx.promise(id="second"))]
    except RemoteError as error:
        return [answer, f"refused: {error.message}"]


resonate.run_until_signal()
