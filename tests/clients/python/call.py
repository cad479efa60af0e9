"""``call.py GROUP...``: call each group's ``add`` and ``fail``, directly and from a workflow."""

from __future__ import annotations

import sys

from common import play


async def workflow(ctx, target):
    there = ctx.options(target=target)
    value = await there.rpc("add", 2, 3)
    return [value, await text(there.rpc("fail", "no"))]


async def text(call):
    try:
        return await call
    except Exception as error:  # noqa: BLE001  # its type is not the same between all SDKs
        return f"failed: {error}"


async def main(resonate):
    resonate.register(workflow)
    return {target: await call(resonate, target) for target in sys.argv[1:]}


async def call(resonate, target):
    there = resonate.options(target=target)
    return [
        await there.rpc(f"add-{target}", "add", 2, 3).result(),
        await text(there.rpc(f"fail-{target}", "fail", "no").result()),
        *await resonate.run(f"workflow-{target}", workflow, target).result(),
    ]


play(main, group="caller")
