"""Short ways to ask for debug operations, and for others at an instant of one's choice."""

from __future__ import annotations

from resonate.protocol import requests as rq
from resonate.protocol.envelope import Rules
from tests.engine.cluster import FAR, HEAD

DEBUG = {"rules": Rules(debug=True)}
STRICT = {"rules": Rules(debug=True, strict=True)}


def at(instant):
    return rq.Head("1", rq.VERSION, debug_time=instant)


async def do(server, operation):
    await server.right(operation(HEAD, rq.NoData()))


async def tick(server, instant):
    assert await server.right(rq.DebugTick(HEAD, rq.TickData(instant))) == []


async def snap(server):
    return await server.right(rq.DebugSnap(HEAD, rq.NoData()))


def make(promise_id, timeout_at=FAR, *, now=0, **tags):
    tags = {f"resonate:{name}": text for name, text in tags.items()}
    return rq.PromiseCreate(at(now), rq.PromiseCreateData(promise_id, timeout_at, None, tags))


def settle(promise_id, now=0):
    return rq.PromiseSettle(at(now), rq.PromiseSettleData(promise_id, "resolved"))
