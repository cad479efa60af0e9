"""A workflow that begins something and ends without waiting for it."""

from __future__ import annotations

import asyncio

from common import play

ended = asyncio.Event()


async def order(ctx):
    return await ctx.detached("audit", "order")


async def audit(_, what):
    await ended.wait()
    return f"audited {what}"


async def main(resonate):
    resonate.register(order)
    resonate.register(audit)
    id = await resonate.run("order-1", order).result()
    handle = await resonate.get(id)
    before = handle.done()
    ended.set()
    return [id, before, await handle.result()]


play(main)
