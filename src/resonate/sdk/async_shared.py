"""What an AsyncResonate and its copies with other options have in common.

Rules:
- It belongs to the event loop of its first use, until ``stop``, or until that loop is closed.
- What waits, waits in tasks of that loop, and never blocks it. Requests, heartbeats and the stream
  are on the network's thread, as always.
- A loop that ends without ``stop`` ends its worker: what ran on it goes back to the server. A
  client that is no worker goes on, on the next loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from resonate.sdk.async_loop import CallersMachine
from resonate.sdk.client import Client
from resonate.sdk.exchanges import Exchange, awaited, waiter
from resonate.sdk.shared import Shared
from resonate.sdk.transport import Transport

T = TypeVar("T")
_NO_LOOP = "an AsyncResonate is used in coroutines: no event loop runs here"
_ANOTHER_LOOP = (
    "this AsyncResonate belongs to another event loop, that of its first use: "
    "make one for each loop, or `await stop()` there before"
)


class AsyncShared(Shared):
    """One process in one group, on one event loop. The arguments are those of ``Shared``."""

    def __init__(self, connect: Callable[[], Transport], **arguments: Any) -> None:
        self._home = CallersMachine(self._loop_ended)
        super().__init__(connect, **arguments, machine=self._home)

    def bind(self, *, working: bool = False) -> None:
        """Belong to the event loop that runs; ``working``: as a worker.

        Raises RuntimeError when it belongs to another one, or when there is none.
        """
        self._notice_fork()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(_NO_LOOP) from None
        if self._home.loop is not loop:
            self._move(loop)
        if working:
            self._home.work()

    async def carry_out(self, exchange: Exchange[T]) -> T:
        """Return what comes of an exchange."""
        self.bind()
        return await awaited(exchange)

    async def stop_without_blocking(self, seconds: float) -> None:
        """As ``stop``."""
        self.bind()
        if self._client is not None:
            stopped: Future[None] = Future()
            threading.Thread(
                target=self._stop, args=(seconds, stopped), name="resonate-stop", daemon=True
            ).start()
            await waiter(stopped)
        if self._client is None:  # and nobody has used it meanwhile
            await self._home.leave()

    def _stop(self, seconds: float, stopped: Future[None]) -> None:
        try:
            self.stop(seconds)
        finally:
            stopped.set_result(None)

    def _move(self, loop: asyncio.AbstractEventLoop) -> None:
        before = self._home.loop
        if before is not None and not before.is_closed():
            raise RuntimeError(_ANOTHER_LOOP)
        if self._home.working:
            self._loop_ended()
            self._begin_anew()
            self._home.forget()
        self._home.loop = loop

    def _loop_ended(self) -> None:
        """Stop what worked on a loop that has ended; the program does not end before."""
        client = self._client
        if client is not None:
            threading.Thread(target=self._end, args=(client,), name="resonate-stop").start()

    def _end(self, client: Client) -> None:
        client.stop(0)
        with self._lock:
            if self._client is client:
                self._client = None

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            self._home.forget()
        super()._notice_fork()
