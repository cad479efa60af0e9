"""Handles of an AsyncResonate: what a caller holds of a call that is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Generic, TypeVar

from resonate.sdk.async_shared import AsyncShared
from resonate.sdk.cancelling import cancel
from resonate.sdk.handle import Handle
from resonate.sdk.options import patience

T = TypeVar("T")


class AsyncHandle(Generic[T]):
    """A call by its id; ``await handle`` is its result. May be dropped: the call goes on.

    Whoever awaits it may be cancelled, by ``asyncio.timeout`` or otherwise: that ends the waiting
    and not the call. To end the call, ``await handle.cancel()``.
    """

    def __init__(self, handle: Handle[T], shared: AsyncShared) -> None:
        self._handle = handle
        self._shared = shared

    def __repr__(self) -> str:
        return f"AsyncHandle(id={self.id!r})"

    @property
    def id(self) -> str:
        """Return the id of the promise."""
        return self._handle.id

    def done(self) -> bool:
        """Tell whether the result is known here; does not wait."""
        self._shared.bind()
        return self._handle.done()

    async def result(self, timeout: float | None = None) -> T:
        """Return the result, or raise what the call ended with: as ``await handle``.

        ``timeout`` is in seconds; when it passes, TimeoutError is raised, the call goes on, and
        ``result`` may be called again. None, the default, waits for ever, and so does infinity;
        zero and less do not wait. The result is read as the function's annotation says, if the
        function is known here.

        Raises the function's own exception when it is a built-in one, one of ``resonate.errors``,
        or known by ``register_exception``, else RemoteError; ResonateCanceledError when the call
        was canceled, ResonateTimedoutError when its deadline passed (NotStartedError when no worker
        had begun with it), DecodingError when the result cannot be read, or is not what the
        annotation says.

        Raises ResonateShutdownError, from then on, when this client was stopped meanwhile: the call
        goes on, ``get`` its id. ResonateStoreError when the server refuses to tell, with ``code``
        404 when the promise is gone; a server that does not answer is waited for. RuntimeError on
        another event loop than that of the first use; TypeError and ValueError for a ``timeout``
        that is no number.
        """
        self._shared.bind()
        async with asyncio.timeout(patience(timeout)):
            return await self._handle

    async def cancel(self) -> bool:
        """Cancel the call, and every call and step that it waits for; tell whether it was pending.

        See ``Handle.cancel``. Raises ResonateStoreError when the server refuses or does not answer
        in time.
        """
        self._shared.bind()
        client = self._shared.client
        return await self._shared.carry_out(cancel(client.ask, client.head, self.id))

    def __await__(self) -> Generator[None, None, T]:
        return self.result().__await__()
