"""The same history on every store gives the same answers, snapshots and scans."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resonate.protocol.addresses import any_route
from tests.store.histories import IDS, batches, carry_out, drain, reads
from tests.store.stores import STORES

ROUTE = any_route("g")


async def observe(store, now):
    """Return everything that a store tells."""
    return (
        await store.snapshot(),
        await store.due(-1, 100, 1_000),
        await store.ready(ROUTE, (-1, ""), now, 1_000),
        await store.held("", 1_000),
        await store.obligations((-1, ""), 1_000),
    )


async def live(kind, folder, history, together):
    """Live through ``history``, ``together`` batches at once; return answers and observations."""
    store = STORES[kind](folder)
    await store.open()
    try:
        answers, seen, now, waiting = [], [], 10, []
        for number, (batch, pause) in enumerate(history):
            now += pause
            decide = functools.partial(carry_out, batch, now, answers)
            waiting.append(asyncio.ensure_future(store.transact(reads(batch), decide)))
            # how far wakes reach in one batch is up to the store: the engine takes up the rest
            waiting.append(
                asyncio.ensure_future(store.transact(IDS, functools.partial(drain, now)))
            )
            if number % together == 0:
                await asyncio.gather(*waiting)
                waiting.clear()
            else:
                await asyncio.sleep(0)
            if number % 8 == 7:
                await asyncio.gather(*waiting)
                seen.append(await observe(store, now))
        await asyncio.gather(*waiting)
        seen.append(await observe(store, now))
    finally:
        await store.close()
    return answers, seen


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches, st.integers(1, 5))
def test_every_store_lives_through_a_history_alike(history, together):
    async def compare():
        lives = {}
        for kind in STORES:
            with tempfile.TemporaryDirectory() as folder:
                lives[kind] = await live(kind, Path(folder), history, together)
        return lives

    lives = asyncio.run(compare())
    for kind, lived in lives.items():
        assert lived == lives["memory"], kind
