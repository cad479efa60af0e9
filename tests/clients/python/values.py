"""``values.py work GROUP``: functions of values and errors.

``values.py call GROUP JSON`` and ``values.py flow GROUP JSON`` make calls that JSON lists as
``[name, args, kwargs]``: the one directly, the other each from a workflow. A fourth number is how
many seconds the call has.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import timedelta

from common import play, serve


@dataclass
class Order:
    item: str
    prices: list[float]


class Trap(ValueError):
    """What unpickles it writes a file. This SDK sends errors as a pickle, too."""

    def __init__(self, text, path):
        super().__init__(text)
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


async def echo(_, value=None, **named):
    return {"value": value, **named} if named else value


async def total(_, order: Order):
    return [type(order).__name__, order.item, sum(order.prices)]


async def refuse(_, text):
    raise ValueError(text)


async def trap(_, text, path):
    raise Trap(text, path)


async def linger(_):
    await asyncio.sleep(60)


def limits(seconds):
    return {"timeout": timedelta(seconds=seconds[0])} if seconds else {}


async def flow(ctx, group, name, args, kwargs, *seconds):
    return await ctx.options(target=group, **limits(seconds)).rpc(name, *args, **kwargs)


async def outcome(call):
    try:
        return {"value": await call}
    except Exception as error:  # noqa: BLE001  # what it is read as is the question
        return {"error": type(error).__name__, "text": str(error)}


async def main(resonate):
    resonate.register(flow)
    mode, group, calls = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    found = []
    for number, (name, args, kwargs, *seconds) in enumerate(calls):
        id = f"{mode}-{number}"
        if mode == "flow":
            handle = resonate.run(id, flow, group, name, args, kwargs, *seconds)
        else:
            there = resonate.options(target=group, **limits(seconds))
            handle = there.rpc(id, name, *args, **kwargs)
        found.append(await outcome(handle.result()))
    return found


if sys.argv[1] == "work":
    serve(echo, total, refuse, trap, linger, group=sys.argv[2])
play(main, group="caller")
