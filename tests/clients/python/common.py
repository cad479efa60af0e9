"""What the programs share. They run with the official SDK 0.8.1 or 0.7.4, never with ours.

Where the server is, they learn as its users' programs do: from ``RESONATE_URL``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys

from resonate.resonate import Resonate
from resonate.retry import Never

logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")


def play(main, **settings):
    """Run ``main(resonate)``; print what it returns."""
    print("result", json.dumps(asyncio.run(_play(main, settings))), flush=True)


async def _play(main, settings):
    resonate = Resonate(**{"retry_policy": Never(), **settings})
    await asyncio.sleep(0)  # 0.7.4 takes its network for stopped until the loop has turned once
    try:
        return await main(resonate)
    finally:
        await resonate.stop()


def serve(*functions, **settings):
    """Work until killed."""

    async def main(resonate):
        for function in functions:
            resonate.register(function)
        await asyncio.Event().wait()

    play(main, **settings)
