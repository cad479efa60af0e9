"""The machine: what the SDK uses of the machine that it runs on, its clock and its threads.

One object, so that ``resonate.testing`` can give another: with a clock that jumps, and threads that
take turns. Nothing else in the SDK looks at the wall clock or makes a thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from resonate.sdk.pool import LoopThread, Pool, async_thread, network_loop

T = TypeVar("T")


class Machine:
    """The machine as it is."""

    def time(self) -> float:
        """Return the time, seconds since the epoch."""
        return time.time()

    def network(self) -> LoopThread:
        """Return the thread of a client's network."""
        return LoopThread("resonate-network", network_loop)

    def functions(self) -> LoopThread:
        """Return the thread of a worker's async functions."""
        return async_thread()

    def task(self, body: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return the task of an async function, on the loop that runs."""
        return asyncio.get_running_loop().create_task(body)

    def ending(self) -> bool:
        """Tell whether the loop of async functions is ending, and cancels what runs on it."""
        return False

    def pool(self) -> Pool:
        """Return the threads of a worker's other functions."""
        return Pool("resonate-function")

    def event(self) -> threading.Event:
        """Return what a function's thread waits for."""
        return threading.Event()

    def future(self) -> Future[Any]:
        """Return what a caller's thread waits for."""
        return Future()

    def function(self, func: Callable[..., Any], _id: str, _attempt: int) -> Callable[..., Any]:
        """Return what is called in place of a function, in an attempt (from 1) at a promise."""
        return func
