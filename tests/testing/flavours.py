"""One workflow in three flavours: local steps, calls, a sleep, side by side, and a person."""

from __future__ import annotations

import asyncio

DAYS = 86_400.0


def charge(ctx, amount):
    return note(ctx, "charge", amount * 2)


def pack(ctx, item):
    return note(ctx, "pack", f"packed {item}")


async def ship(ctx, what):
    return note(ctx, "ship", f"shipped {what}")


def note(ctx, name, value):
    """Keep what others would see of a function, if the test looks at that."""
    seen = ctx.get_dependency("seen")
    if seen is not None:
        seen.append(name)
    return value


def generator(ctx, amount):
    paid = yield ctx.run(charge, amount)
    yield ctx.sleep(30 * DAYS)
    one = yield ctx.begin_run(pack, "one")
    two = yield ctx.begin_rpc("ship", "two")
    packed = yield one
    shipped = yield two
    approval = yield ctx.promise(timeout=10 * DAYS)
    answer = yield approval
    drawn = yield ctx.random.randint(1, 1_000)
    return [paid, packed, shipped, answer, drawn, (yield ctx.time.time())]


async def coroutine(ctx, amount):
    paid = await ctx.run(charge, amount)
    await ctx.sleep(30 * DAYS)
    one = await ctx.begin_run(pack, "one")
    two = await ctx.begin_rpc("ship", "two")
    packed, shipped = await asyncio.gather(one, two)
    approval = await ctx.promise(timeout=10 * DAYS)
    answer = await approval
    drawn = await ctx.random.randint(1, 1_000)
    return [paid, packed, shipped, answer, drawn, await ctx.time.time()]


def plain(ctx, amount):
    paid = ctx.run(charge, amount).result()
    ctx.sleep(30 * DAYS).result()
    one = ctx.begin_run(pack, "one").result()
    two = ctx.begin_rpc("ship", "two").result()
    packed = one.result()
    shipped = two.result()
    approval = ctx.promise(timeout=10 * DAYS).result()
    answer = approval.result()
    drawn = ctx.random.randint(1, 1_000).result()
    return [paid, packed, shipped, answer, drawn, ctx.time.time().result()]


FLAVOURS = {each.__name__: each for each in (generator, coroutine, plain)}
LABELS = [
    "run charge",
    "sleep",
    "run pack",
    "rpc ship",
    "promise",
    "run _now",
]
