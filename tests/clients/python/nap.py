"""``nap.py worker`` and ``nap.py call``: a workflow that sleeps for two seconds."""

from __future__ import annotations

import sys
from datetime import timedelta

from common import play, serve


async def nap(ctx):
    await ctx.sleep(timedelta(seconds=2))
    return "slept"


async def main(resonate):
    return await resonate.options(target="sleepers").rpc("nap-1", "nap").result()


if sys.argv[1] == "worker":
    serve(nap, group="sleepers")
play(main, group="caller")
