"""Searches: the tree of a workflow by its origin, page by page, by state; schedules by tag."""

from __future__ import annotations

from common import play

from resonate.types import Value


async def order(ctx):
    await ctx.run(pay)
    await ctx.rpc("ship")


async def pay(_):
    return "paid"


async def ship(_):
    return "shipped"


async def main(resonate):
    resonate.register(order)
    resonate.register(ship)
    await resonate.run("order-1", order).result()
    await resonate.promises.create("free-1", 1 << 50, Value(), {"color": "red"})
    tree, cursor = [], None
    while True:
        page = await resonate.promises.search(None, {"resonate:origin": "order-1"}, 2, cursor)
        tree.append([each.id for each in page.promises])
        cursor = page.cursor
        if cursor is None:
            break
    pending = await resonate.promises.search("pending", {"color": "red"}, None, None)
    for name, tag in (("one", "a"), ("two", "b")):
        tags = {"resonate:target": "poll://any@nobody", "letter": tag}
        await resonate.schedules.create(name, "0 0 1 1 *", "{{.id}}", 1000, Value(), tags)
    schedules = await resonate.schedules.search({"letter": "b"}, None, None)
    return {
        "tree": tree,
        "pending": [each.id for each in pending.promises],
        "schedules": [each.id for each in schedules.schedules],
    }


play(main)
