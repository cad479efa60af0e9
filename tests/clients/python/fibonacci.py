"""``fibonacci.py call N`` and ``fibonacci.py worker``: recursion in which every call is remote."""

from __future__ import annotations

import sys

from common import play, serve


async def fibonacci(ctx, n):
    if n < 2:
        print("leaf", ctx.info.id, flush=True)
        return n
    left = ctx.rpc(fibonacci, n - 1)
    right = ctx.rpc(fibonacci, n - 2)
    return await left + await right


async def main(resonate):
    anyone = resonate.options(target="fibonacci")
    return await anyone.rpc("fibonacci-1", "fibonacci", int(sys.argv[2])).result()


if sys.argv[1] == "worker":
    serve(fibonacci, group="fibonacci")
play(main, group="caller")
