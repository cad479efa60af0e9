"""The same history on every store gives the same answers, snapshots and scans."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resonate.core import searches
from resonate.protocol import requests as rq
from resonate.protocol.addresses import any_route
from resonate.protocol.cursors import encode_cursor
from resonate.protocol.validation import BRANCH, ORIGIN, PARENT
from tests.store.histories import IDS, NOW, batches, carry_out, drain, reads
from tests.store.stores import STORES

ROUTE = any_route("g")


async def observe(store, now):
    """Return everything that a store tells."""
    return (
        await store.snapshot(),
        sorted(await store.due(-1, 10_000, 1_000), key=repr),
        await store.ready(ROUTE, (-1, ""), now, 1_000),
        await store.held("", 1_000),
        await store.obligations((-1, ""), 1_000),
        [await store.promises(query, now, 100) for query in PROMISE_QUERIES],
        [await store.count_promises(query, now) for query in PROMISE_QUERIES],
        [await store.tasks(query, now, 3) for query in TASK_QUERIES],
        [await store.count_tasks(query, now) for query in TASK_QUERIES],
        [await store.schedules(query, 100) for query in SCHEDULE_QUERIES],
        [await store.expendable(after, now, 3) for after in ("", "b")],
    )


PROMISE_QUERIES = [
    rq.PromiseSearchData(),
    *(rq.PromiseSearchData(state=state) for state in searches.PROMISE_STATES),
    rq.PromiseSearchData(tags={BRANCH: "a"}, order="newest"),
    rq.PromiseSearchData(tags={ORIGIN: "a"}),
    rq.PromiseSearchData(tags={ORIGIN: "a", PARENT: "b"}, state="pending", cursor="a"),
    rq.PromiseSearchData(tags={"odd\x00": "\u2028", PARENT: "b"}),
    rq.PromiseSearchData(root_only=True, cursor="b"),
    rq.PromiseSearchData(order="newest", cursor=encode_cursor(NOW + 2, "b"), counts=True),
    rq.PromiseSearchData(order="oldest", cursor=encode_cursor(NOW, "c"), state="pending"),
    rq.PromiseSearchData(created_from=NOW + 1, created_to=NOW + 9, id_prefix="a"),
    rq.PromiseSearchData(settled_from=NOW + 1),
    rq.PromiseSearchData(settled_to=NOW + 20, order="newest"),
]
TASK_QUERIES = [
    rq.TaskSearchData(),
    *(rq.TaskSearchData(state=state) for state in searches.TASK_STATES),
    rq.TaskSearchData(id_prefix="é", cursor="a"),
]
SCHEDULE_QUERIES = [
    rq.ScheduleSearchData(),
    rq.ScheduleSearchData(tags={BRANCH: "b"}),
    rq.ScheduleSearchData(cursor="a", id_prefix="s"),
]


async def live(kind, folder, history, together):
    """Live through ``history``, ``together`` batches at once; return answers and observations."""
    store = STORES[kind](folder)
    await store.open()
    try:
        answers, seen, now, waiting = [], [], NOW, []
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
