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
    """A call by its id. May be dropped, which costs nothing: the call goes on without it.

    ``result`` waits for what comes of the call, on a thread; ``await handle`` does on an event
    loop. Both may be used any number of times. The server is asked when somebody first wants to
    know.
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
        self._subscribe = subscribe  # the future of the settled promise; when somebody first asks
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
        called again. None, the default, waits for ever, and so does infinity; zero and less do not
        wait. The result is read as the function's annotation says, if the function is known here.

        Raises the function's own exception when it is a built-in one, one of ``resonate.errors``,
        or known by ``register_exception``, else RemoteError; ResonateCanceledError when the call
        was canceled, ResonateTimedoutError when its deadline passed (NotStartedError when no worker
        had begun with it), DecodingError when the result cannot be read, or is not what the
        annotation says.

        Raises ResonateShutdownError, from then on, when this client was stopped meanwhile: the call
        goes on, ``get`` its id. ResonateStoreError when the server refuses to tell, with ``code``
        404 when the promise is gone; a server that does not answer is waited for. TypeError and
        ValueError for a ``timeout`` that is no number.

        In an ``async def`` function of a worker use ``await handle``: RuntimeError is raised where
        waiting would block all of them.
        """
        seconds = patience(timeout)
        settled = self._settled()
        if in_async_function() and not settled.done():
            raise RuntimeError("result() would block every async function: use `await handle`")
        try:
            promise = settled.result(seconds)
        except TimeoutError:
            raise TimeoutError(f"promise {self._id} was not settled within {seconds} s") from None
        return self._value(promise)

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
