"""``human.py ask``: a workflow that waits for two answers; ``human.py answer ID YES|NO``."""

from __future__ import annotations

import sys

from common import play

from resonate.error import ApplicationError
from resonate.types import Value


async def order(ctx):
    first = ctx.promise()
    print("asks", await first.id(), flush=True)
    answer = await first
    second = ctx.promise()
    print("then asks", await second.id(), flush=True)
    try:
        return [answer, await second]
    except ApplicationError as error:
        return [answer, f"refused: {error}"]


async def ask(resonate):
    resonate.register(order)
    return await resonate.run("order-1", order).result()


async def answer(resonate):
    id, text = sys.argv[2:]
    if text == "NO":
        settled = await resonate.promises.reject(id, Value(data=ApplicationError("too dear")))
    else:
        settled = await resonate.promises.resolve(id, Value(data={"said": text}))
    return settled.state


play({"ask": ask, "answer": answer}[sys.argv[1]])
