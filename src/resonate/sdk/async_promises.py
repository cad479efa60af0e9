"""The client of durable promises, for an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

from resonate.sdk import promises
from resonate.sdk.async_shared import AsyncShared
from resonate.sdk.promises import DurablePromise, Headers, PromiseFilters, PromisePage
from resonate.sdk.subclients import awaited_pages, check_no_page


class AsyncPromises:
    """See ``AsyncResonate.promises``: the methods of ``Promises``, to be awaited.

    All raise ResonateStoreError when the server refuses (``code`` is its status) or does not answer
    in time (``code`` 0), TypeError and ValueError for arguments that cannot be,
    ValueTooLargeError for more data than may be sent.
    """

    def __init__(self, shared: AsyncShared) -> None:
        self._shared = shared

    async def get(self, id: str) -> DurablePromise:
        """Return the promise; raises ResonateStoreError, ``code`` 404, when there is none."""
        return await self._shared.carry_out(promises.get(self._shared, id))

    async def create(
        self,
        id: str,
        timeout_ms: int,
        *,
        headers: Headers = None,
        data: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> DurablePromise:
        """Create a promise, and return it; one that exists is returned as it is.

        ``timeout_ms`` is the deadline, milliseconds since the epoch; ``headers`` and ``data`` (a
        text) are its param. With the tag ``resonate:target`` it is a call.
        """
        exchange = promises.create(self._shared, id, timeout_ms, headers, data, tags)
        return await self._shared.carry_out(exchange)

    async def resolve(
        self, id: str, *, headers: Headers = None, data: str | None = None
    ) -> DurablePromise:
        """Resolve the promise with the JSON text ``data``; see ``Promises.resolve``."""
        exchange = promises.settle(self._shared, id, "resolved", headers, data)
        return await self._shared.carry_out(exchange)

    async def reject(
        self, id: str, *, headers: Headers = None, data: str | None = None
    ) -> DurablePromise:
        """Reject the promise: a waiter raises RemoteError; see ``Promises.reject``."""
        exchange = promises.settle(self._shared, id, "rejected", headers, data)
        return await self._shared.carry_out(exchange)

    async def cancel(
        self, id: str, *, headers: Headers = None, data: str | None = None
    ) -> DurablePromise:
        """Cancel the promise: a waiter raises ResonateCanceledError; see ``Promises.cancel``."""
        exchange = promises.settle(self._shared, id, "rejected_canceled", headers, data)
        return await self._shared.carry_out(exchange)

    async def search(
        self,
        *,
        cursor: str | None = None,
        counts: bool = False,
        **filters: Unpack[PromiseFilters],
    ) -> PromisePage:
        """Return one page of the promises that match; see PromiseFilters.

        ``cursor`` is that of the page before, with the same filters. ``counts`` asks how many match
        per state, whatever ``state`` is; that looks at all of them.
        """
        given = {**filters, "cursor": cursor}
        return await self._shared.carry_out(promises.search(self._shared, given, counts=counts))

    async def search_all(self, **filters: Unpack[PromiseFilters]) -> AsyncIterator[DurablePromise]:
        """Yield all promises that match, for ``async for``, each page when it is needed.

        ``limit`` is the size of a page. What is created or settled meanwhile may or may not be
        among them.
        """
        check_no_page(filters)
        async for page in awaited_pages(lambda cursor: self.search(cursor=cursor, **filters)):
            for promise in page.promises:
                yield promise
