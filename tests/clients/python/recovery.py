"""``recovery.py worker GROUP LOG [DEATH]`` and ``recovery.py call GROUP...``, one order for each.

A step writes its name into LOG each time it is executed. Who comes to the point DEATH kills itself
there, as kill -9 does. The lease is short, since others wait for its end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from common import play, serve


def point(name):
    if name in sys.argv[4:]:
        os.kill(os.getpid(), signal.SIGKILL)


def count(step):
    with Path(sys.argv[3]).open("a") as log:
        log.write(f"{step}\n")
    point(f"in {step}")
    return step


async def order(ctx):
    point("in order")
    done = [await ctx.run(reserve)]
    point("after reserve")
    done.append(await ctx.run(pack))
    point("after pack")
    done.append(await ctx.rpc("ship"))
    point("after ship")
    await ctx.sleep(timedelta(milliseconds=100))
    point("after sleep")
    done.append(await ctx.run(notify))
    point("after notify")
    return done


async def reserve(_):
    return count("reserve")


async def pack(ctx):
    box = await ctx.run(fill)
    point("after fill")
    return f"packed {box}"


async def fill(_):
    return count("fill")


async def ship(ctx):
    return await ctx.run(load)


async def load(_):
    return count("load")


async def notify(_):
    return count("notify")


async def main(resonate):
    handles = [
        resonate.options(target=group).rpc(f"order-{group}", "order") for group in sys.argv[2:]
    ]
    return await asyncio.gather(*(handle.result() for handle in handles))


if sys.argv[1] == "worker":
    serve(order, ship, group=sys.argv[2], ttl=timedelta(seconds=5))
play(main, group="caller")
