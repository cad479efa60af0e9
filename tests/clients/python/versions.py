"""Two versions of one name: run by object, by name, and called remotely."""

from __future__ import annotations

from common import play


async def charge(_, amount):
    return amount


async def charge_with_fee(_, amount):
    return amount + 3


async def main(resonate):
    resonate.register(charge, name="charge", version=1)
    resonate.register(charge_with_fee, name="charge", version=2)
    newer = resonate.options(version=2)
    return [
        await resonate.run("run-1", charge, 100).result(),
        await resonate.run("run-2", charge_with_fee, 100).result(),
        await resonate.rpc("rpc-1", "charge", 100).result(),
        await newer.rpc("rpc-2", "charge", 100).result(),
    ]


play(main)
