"""Who waits for which promise: from ``subscribe`` to the settled record.

Rules:
- A listener is registered once for each promise, however many wait for it.
- Registered again whenever the stream has been away, and now and then: an unblock that got lost
  makes a result late by that, never for ever. Never asked for twice at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future

from resonate.protocol.answers import Answer, PromiseAnswer
from resonate.protocol.records import PromiseRecord
from resonate.protocol.requests import (
    PromiseRegisterListener,
    RegisterListenerData,
)
from resonate.sdk.errors import ResonateShutdownError, ResonateStoreError
from resonate.sdk.sender import Item

_REFRESH_SECONDS = 30.0
_PASSING = (401, 403, 429)  # refusals that say nothing about the promise; and all from 500
log = logging.getLogger("resonate.network")


class Listeners:
    """Futures of settled promises by id; on the network's event loop."""

    def __init__(
        self,
        put: Callable[[Item], None],
        make: Callable[[RegisterListenerData], PromiseRegisterListener],
        address: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._put = put
        self._make = make
        self._address = address
        self._loop = loop
        self._futures: dict[str, list[Future[PromiseRecord]]] = {}
        self._asking: set[str] = set()
        self._refresh: asyncio.TimerHandle | None = None

    def subscribe(self, promise_id: str, future: Future[PromiseRecord]) -> None:
        """Settle ``future`` with the record of the promise once it is settled."""
        if self._expect(promise_id, future):
            self._register(promise_id)

    def expect(self, promise_id: str, future: Future[PromiseRecord]) -> PromiseRegisterListener:
        """As ``subscribe``; the caller sends the request returned, and calls ``registered``."""
        self._expect(promise_id, future)
        return self._request(promise_id)

    def registered(self, promise_id: str, answer: Answer) -> None:
        """Take in the answer to a registration."""
        if answer.status == 200:
            data: PromiseAnswer = answer.data
            if data.promise.state != "pending":
                self.settle(data.promise)
        elif answer.status in _PASSING or answer.status >= 500:
            log.warning("cannot listen for %s: %s %s", promise_id, answer.status, answer.data)
        else:
            for future in self._futures.pop(promise_id, ()):
                future.set_exception(ResonateStoreError(str(answer.data), answer.status))

    def forget(self, promise_id: str, future: Future[PromiseRecord]) -> None:
        """Nobody waits for this future any more."""
        futures = self._futures.get(promise_id, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._futures.pop(promise_id, None)

    def settle(self, promise: PromiseRecord) -> None:
        """Tell everybody who waits for this promise."""
        for future in self._futures.pop(promise.id, ()):
            future.set_result(promise)

    def register_all(self) -> None:
        """Ask for everything still waited for: the stream was away."""
        for promise_id in self._futures:
            if promise_id not in self._asking:
                self._register(promise_id)

    def close(self) -> None:
        """Tell everybody that nothing will be told any more."""
        if self._refresh is not None:
            self._refresh.cancel()
        found, self._futures = self._futures, {}
        for futures in found.values():
            for future in futures:
                future.set_exception(ResonateShutdownError("the client was stopped"))

    def _expect(self, promise_id: str, future: Future[PromiseRecord]) -> bool:
        """Take the future in; tell whether it is the first for its promise."""
        if self._refresh is None:
            self._refresh = self._loop.call_later(_REFRESH_SECONDS, self._again)
        known = self._futures.setdefault(promise_id, [])
        known.append(future)
        return len(known) == 1

    def _again(self) -> None:
        self._refresh = None
        if self._futures:
            self.register_all()
            self._refresh = self._loop.call_later(_REFRESH_SECONDS, self._again)

    def _request(self, promise_id: str) -> PromiseRegisterListener:
        return self._make(RegisterListenerData(promise_id, self._address))

    def _register(self, promise_id: str) -> None:
        self._asking.add(promise_id)

        def done(item: Item) -> None:
            self._asking.discard(promise_id)
            if item.error is None:
                self.registered(promise_id, item.answers[0])

        self._put(Item([self._request(promise_id)], done, None))
