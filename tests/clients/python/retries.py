"""A function that fails twice: run, called remotely, as a step, and without retries."""

from __future__ import annotations

from collections import Counter

from common import play

from resonate.retry import Constant, Never

PATIENT = Constant(max_retries=5, delay=0)
attempts = Counter()


async def flaky(_, key):
    attempts[key] += 1
    if attempts[key] < 3:
        raise ValueError(f"attempt {attempts[key]}")
    return f"{key}: {attempts[key]}"


async def order(ctx, key, patient):
    policy = PATIENT if patient else Never()
    try:
        return await ctx.options(retry_policy=policy).run(flaky, key)
    except ValueError as error:
        return f"{key}: {error}"


async def main(resonate):
    resonate.register(flaky, retry_policy=PATIENT)
    resonate.register(order)
    return [
        await resonate.run("flaky-1", flaky, "run").result(),
        await resonate.rpc("flaky-2", "flaky", "rpc").result(),
        await resonate.run("order-1", order, "step", True).result(),
        await resonate.run("order-2", order, "never", False).result(),
    ]


play(main)
