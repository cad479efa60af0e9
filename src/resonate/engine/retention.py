"""Retention: deleting promises that have been settled for long, off unless it is asked for.

Rules:
- A promise goes when it was settled longer ago than ``keep_ms`` and nothing refers to it any more
  (``Store.expendable``). A deleted id is unknown: to create it again starts a new execution.
- A walk over all promises, a page at a time, off the event loop; each page's deletions are a batch,
  and the next page waits until it is durable. Between two walks it rests.
- A walk that the store breaks off is over; the next one comes when the store works again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from resonate.core import steps
from resonate.engine.batches import Batch, Step
from resonate.engine.clock import Clock
from resonate.protocol.errors import Unavailable
from resonate.protocol.limits import RETENTION_PAGE, RETENTION_REST_SECONDS
from resonate.store.contract import Store


class Retention:
    """Walks while ``serving`` says so.

    ``run`` decides and commits a batch; ``failed`` is told that the store failed.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        keep_ms: int,
        *,
        run: Callable[[Batch], Awaitable[None]],
        failed: Callable[[Unavailable], None],
        serving: Callable[[], bool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._keep_ms = keep_ms
        self._run = run
        self._failed = failed
        self._serving = serving

    async def run(self, stopping: asyncio.Event) -> None:
        """Walk, rest, and walk again until ``stopping``."""
        while not stopping.is_set():
            try:
                await self.walk(stopping)
            except Unavailable as error:
                self._failed(error)
            try:
                await asyncio.wait_for(stopping.wait(), RETENTION_REST_SECONDS)
            except TimeoutError:
                continue

    async def walk(self, stopping: asyncio.Event) -> int:
        """Delete what may be deleted now; return how many promises that were."""
        before = self._clock.now() - self._keep_ms
        deleted = 0
        after: str | None = ""
        while after is not None and self._serving() and not stopping.is_set():
            found, after = await self._store.expendable(after, before, RETENTION_PAGE)
            if found and self._serving():
                await self._run(Batch([], [Step(each, steps.expire) for each in found]))
                deleted += len(found)
            await asyncio.sleep(0)  # a store in memory does not wait for anything
        return deleted
