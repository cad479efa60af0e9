"""A workflow with a local and a remote step, all in one process."""

from __future__ import annotations

from common import play


async def hello(ctx, name):
    greeting = await ctx.run(greet)
    return await ctx.rpc("join", greeting, name)


async def greet(_):
    return "hello"


async def join(_, *words):
    return ", ".join(words) + "!"


async def main(resonate):
    resonate.register(hello)
    resonate.register(join)
    first = await resonate.run("hello-1", hello, "world").result()
    again = await resonate.run("hello-1", hello, "nobody").result()
    return [first, again]


play(main)
