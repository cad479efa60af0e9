"""A schedule that fires every second: created, read, fired twice, deleted."""

from __future__ import annotations

import asyncio
import time

from common import play

from resonate.error import ServerError

fired = []
twice = asyncio.Event()


async def tick(ctx, word):
    fired.append(ctx.info.id)
    if len(fired) == 2:
        twice.set()
    return f"{word} {len(fired)}"


async def main(resonate):
    resonate.register(tick)
    schedule = await resonate.schedule("every-second", "* * * * * *", "tick", args=("tick",))
    record = await resonate.schedules.get("every-second")
    await twice.wait()
    values = [await (await resonate.get(id)).result() for id in fired[:2]]
    await schedule.delete()
    deleted_ms = time.time() * 1000
    await asyncio.sleep(1.5)  # for what must not come any more
    return {
        "cron": record.cron,
        "values": values,
        "ids": fired,
        "deleted_ms": deleted_ms,
        "gone": await status(resonate.schedules.get("every-second")),
    }


async def status(request):
    try:
        await request
    except ServerError as error:
        return error.code
    return 200


play(main)
