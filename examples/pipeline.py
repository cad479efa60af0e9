"""A pipeline in `async def`: extract, transform side by side, load; each stage is a durable step.

    python examples/pipeline.py

Kill it between two stages, and what was extracted is not extracted again (RESONATE_URL, and the
same id).
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from resonate import Context, Resonate

resonate = Resonate(group="pipeline")


@dataclass
class Reading:
    place: str
    celsius: float


async def extract(_: Context, day: str) -> list[Reading]:
    await asyncio.sleep(0.01)  # a database, an API
    print(f"extracting {day}")
    return [Reading("Oslo", 4.5), Reading("Rome", 18.0), Reading("Cairo", 25.5)]


async def transform(_: Context, reading: Reading) -> str:
    await asyncio.sleep(0.01)
    return f"{reading.place} {reading.celsius * 9 / 5 + 32:.0f} °F"


def load(_: Context, day: str, lines: list[str]) -> int:  # a plain function runs on a thread
    print(f"{day}: {', '.join(lines)}")
    return len(lines)


@resonate.register
async def pipeline(ctx: Context, day: str) -> int:
    readings = await ctx.run(extract, day)
    lines = await asyncio.gather(*[ctx.run(transform, reading) for reading in readings])
    return await ctx.run(load, day, lines)


def main(day="2026-07-01"):
    print(pipeline.run(f"pipeline-{day}", day), "loaded")
    resonate.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
