"""The same workflow in three flavours, and a worker that dies after its n-th recorded write.

As a program: ``flavours.py URL FOLDER GROUP WRITES`` kills itself, with SIGKILL, once the server
has confirmed that many writes. Local steps leave a line in ``FOLDER/<id of the workflow>``.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
from pathlib import Path

from resonate import Resonate
from resonate.sdk.lease import Lease

FAN = 50
EFFECTS = {"reserve 1", "charge 5", "ship 7", "left 3", "right 4", "mail 9"}


def effect(ctx, name, value):
    """Do something that others see; once if it can be."""
    folder = Path(ctx.get_dependency("folder"))
    with (folder / ctx.info.root).open("a") as file:
        file.write(f"{name} {value}\n")
    return value + 1


def square(ctx, number):
    return number * number


def generator(ctx):
    reserved = yield ctx.run(effect, "reserve", 1)
    doubled = yield ctx.rpc("square", reserved)
    yield ctx.sleep(0.05)
    charged = yield ctx.run(effect, "charge", doubled + 1)
    answer = yield (yield ctx.promise(id=f"{ctx.id}-human"))
    left = yield ctx.begin_run(effect, "left", 3)
    right = yield ctx.begin_run(effect, "right", 4)
    promises = []
    for number in range(FAN):
        promises.append((yield ctx.begin_rpc("square", number)))
    shipped = yield ctx.run(effect, "ship", charged + 1)
    squares = []
    for promise in promises:
        squares.append((yield promise))
    both = [(yield left), (yield right)]
    yield ctx.sleep(0.05)
    drawn = yield ctx.random.randint(1, 6)
    mailed = yield ctx.run(effect, "mail", 9)
    return [reserved, doubled, charged, answer, shipped, sum(squares), both, drawn, mailed]


async def coroutine(ctx):
    reserved = await ctx.run(effect, "reserve", 1)
    doubled = await ctx.rpc("square", reserved)
    await ctx.sleep(0.05)
    charged = await ctx.run(effect, "charge", doubled + 1)
    answer = await (await ctx.promise(id=f"{ctx.id}-human"))
    left = await ctx.begin_run(effect, "left", 3)
    right = await ctx.begin_run(effect, "right", 4)
    *squares, shipped = await asyncio.gather(
        *[ctx.rpc("square", number) for number in range(FAN)], ctx.run(effect, "ship", charged + 1)
    )
    both = await asyncio.gather(left, right)
    await ctx.sleep(0.05)
    drawn = await ctx.random.randint(1, 6)
    mailed = await ctx.run(effect, "mail", 9)
    return [reserved, doubled, charged, answer, shipped, sum(squares), both, drawn, mailed]


def plain(ctx):
    reserved = ctx.run(effect, "reserve", 1).result()
    doubled = ctx.rpc("square", reserved).result()
    ctx.sleep(0.05).result()
    charged = ctx.run(effect, "charge", doubled + 1).result()
    answer = ctx.promise(id=f"{ctx.id}-human").result().result()
    left = ctx.begin_run(effect, "left", 3).result()
    right = ctx.begin_run(effect, "right", 4).result()
    promises = [ctx.begin_rpc("square", number).result() for number in range(FAN)]
    shipped = ctx.run(effect, "ship", charged + 1).result()
    squares = [promise.result() for promise in promises]
    both = [left.result(), right.result()]
    ctx.sleep(0.05).result()
    drawn = ctx.random.randint(1, 6).result()
    mailed = ctx.run(effect, "mail", 9).result()
    return [reserved, doubled, charged, answer, shipped, sum(squares), both, drawn, mailed]


# --- many -----------------------------------------------------------------------------------------


def fan_generator(ctx, number):
    promises = []
    for each in range(number):
        promises.append((yield ctx.begin_rpc("square", each)))
    total = 0
    for promise in promises:
        total += yield promise
    return total


async def fan_coroutine(ctx, number):
    return sum(await asyncio.gather(*[ctx.rpc("square", each) for each in range(number)]))


def fan_plain(ctx, number):
    promises = [ctx.begin_rpc("square", each).result() for each in range(number)]
    return sum(promise.result() for promise in promises)


def wait_generator(ctx):
    return (yield (yield ctx.promise()))


async def wait_coroutine(ctx):
    return await (await ctx.promise())


def wait_plain(ctx):
    return ctx.promise().result().result()


def census(ctx):
    """Tell what the worker uses: memory in MiB, slots, suspended workflows, threads."""
    worker = ctx._attempt.workflow.host._worker
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * resource.getpagesize() / 2**20
    return [memory, worker._running - 1, len(worker._suspensions), threading.active_count()]


FANS = (fan_generator, fan_coroutine, fan_plain)
WAITS = (wait_generator, wait_coroutine, wait_plain)
FLAVOURS = {each.__name__: each for each in (generator, coroutine, plain)}
EXPECTED = [2, 4, 6, "yes", 8, sum(n * n for n in range(FAN)), [4, 5], 10]


def worker(url, folder, group):
    resonate = Resonate.remote(url, group=group, ttl=5, dependencies={"folder": str(folder)})
    for each in (*FLAVOURS.values(), *FANS, *WAITS, square, census):
        resonate.register(each)
    return resonate


def die_after(writes, group):
    """Kill this process once the workflow named like the group has had that many writes."""
    written, lock = Lease._written, threading.Lock()
    left = writes

    def counted(self, action, done, item):
        nonlocal left
        if self.execution.id == group and item.error is None and item.answers[0].status == 200:
            with lock:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        written(self, action, done, item)

    Lease._written = counted


if __name__ == "__main__":
    url, folder, group, writes = sys.argv[1:]
    die_after(int(writes), group)
    resonate = worker(url, folder, group)
    resonate.start()
    print("ready", flush=True)
    resonate.run_until_signal(timeout=5)
