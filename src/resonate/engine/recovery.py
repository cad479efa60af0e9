"""Recovery: after the store failed, try again and again until it works, then serve again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from resonate.protocol.errors import Unavailable
from resonate.store.contract import Store

_SECONDS = (0.25, 5.0)
log = logging.getLogger("resonate.engine")


class Recovery:
    """``build`` builds the indexes from the store and begins to serve; ``forget`` drops them."""

    def __init__(
        self,
        store: Store,
        build: Callable[[], Awaitable[None]],
        forget: Callable[[], None],
        stopping: asyncio.Event,
    ) -> None:
        self._store = store
        self._build = build
        self._forget = forget
        self._stopping = stopping

    async def run(self, still_failing: Callable[[str], None]) -> None:
        """Return when the engine serves, or is to stop; ``still_failing`` is told what hinders."""
        wait, longest = _SECONDS
        while not await self._is_stopping(wait):
            try:
                await self._store.recover()
                await self._build()
            except Unavailable as error:
                problem = str(error)
            except Exception as error:
                log.exception("recovery failed unexpectedly")
                problem = f"recovery failed ({error})"
            else:
                log.info("serving again")
                return
            self._forget()
            still_failing(problem)
            wait = min(wait * 2, longest)

    async def _is_stopping(self, seconds: float) -> bool:
        """Wait a little; tell whether the server is to stop."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True
