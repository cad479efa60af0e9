"""Handles: what a caller holds of a call that is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from resonate.protocol.records import PromiseRecord
from resonate.sdk.codec import outcome
from resonate.sdk.encoders import Encoder
from resonate.sdk.exchanges import waiter
from resonate.sdk.options import patience
from resonate.sdk.pool import in_async_function
from resonate.sdk.signatures import return_type

T = TypeVar("T")


class Handle(Generic[T]):
    """A call by its id. May be dropped: the call goes on without it.

    ``subscribe`` returns the future of the settled promise. It is called when somebody first wants
    to know, so a handle that is dropped costs nothing.
    """

    def __init__(
        self,
        promise_id: str,
        subscribe: Callable[[str], Future[PromiseRecord]],
        cancel: Callable[[str], bool],
        func: Callable[..., Any] | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self._id = promise_id
        self._subscribe = subscribe
        self._cancel = cancel
        self._func = func
        self._encoder = encoder
        self._future: Future[PromiseRecord] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"Handle(id={self._id!r})"

    @property
    def id(self) -> str:
        """Return the id of the promise."""
        return self._id

    def done(self) -> bool:
        """Tell whether the result is known here; does not wait."""
        return self._settled().done()

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result and return it, or raise what the call ended with.

        ``timeout`` is in seconds; when it passes, TimeoutError is raised and ``result`` may be
        called again. None, the default, waits for ever, and so does infinity. Raises the function's
        own exception when it is a built-in one, else RemoteError; ResonateCanceledError,
        ResonateTimedoutError, DecodingError; TypeError and ValueError for a wrong ``timeout``.

        In an ``async def`` function of a worker use ``await handle``: RuntimeError is raised where
        waiting would block all of them.
        """
        seconds = patience(timeout)
        settled = self._settled()
        if in_async_function() and not settled.done():
            raise RuntimeError("result() would block every async function: use `await handle`")
        return self._value(settled.result(seconds))

    def cancel(self) -> bool:
        """Cancel the call, and every call and step that it waits for; tell whether it was pending.

        Whoever waits for it gets ResonateCanceledError. The function that runs is reached with its
        next operation or the worker's next heartbeat: ``ctx.cancelled`` is true then, operations
        raise LeaseLostError, async functions get CancelledError. Detached calls go on.

        Raises ResonateStoreError when the server refuses or does not answer in time.
        """
        return self._cancel(self._id)

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait().__await__()

    async def _wait(self) -> T:
        settled = self._settled()
        if not settled.done():
            await asyncio.shield(self._until(settled))
        return self._value(settled.result())

    def _until(self, settled: Future[PromiseRecord]) -> asyncio.Future[None]:
        """Return what to await; one for all that wait on a loop, and give up, and wait again."""
        found = self._waiter
        if found is None or found.get_loop() is not asyncio.get_running_loop():
            found = self._waiter = waiter(settled)
        return found

    def _value(self, promise: PromiseRecord) -> T:
        kind = Any if self._func is None else return_type(self._func)
        value: T = outcome(promise, encoder=self._encoder, type=kind)
        return value

    def _settled(self) -> Future[PromiseRecord]:
        if self._future is None:
            self._future = self._subscribe(self._id)
        return self._future
