"""``groups.py front`` and ``groups.py back``: nested steps in two groups that call each other."""

from __future__ import annotations

import sys

from common import play, serve


async def order(ctx, item):
    label = await ctx.run(describe, item)
    return await ctx.options(target="back").rpc("produce", label)


async def describe(ctx, item):
    return "one " + await ctx.run(shout, item)


async def shout(_, item):
    return item.upper()


async def sign(ctx, text):
    return await ctx.run(write, f"{text}, signed")


async def produce(ctx, label):
    made = await ctx.run(make, label)
    return await ctx.options(target="front").rpc("sign", made)


async def make(ctx, label):
    return await ctx.run(write, f"made {label}")


async def write(_, text):
    return text


async def main(resonate):
    resonate.register(order)
    resonate.register(sign)
    return await resonate.run("order-1", order, "chair").result()


if sys.argv[1] == "back":
    serve(produce, group="back")
play(main, group="front")
