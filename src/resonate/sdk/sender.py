"""Requests on their way: batched, sent again while the server cannot be reached.

Rules:
- One send is under way at a time; what is put in meanwhile leaves together with the next, so the
  number of requests per send rises with the load. Order is kept.
- No answer, or 503: the same request is sent again until its patience ends. Every request of the
  protocol may be repeated; ``repeated`` tells who asks that an earlier try may have taken effect.
- There is a pause before, and each is longer than the last; none when the server was just seen:
  the connection alone was dead, or part of the batch was answered.
- A batch may be too much: its answer is lost, or one item makes it fail. Then the next batch has
  half the requests, down to a single item, so that what fails alone is the culprit, and fails
  alone. What a server answers only in part sets the size of the next. Each success adds a quarter.
- A send that takes longer than ``seconds`` is given up, and its connection with it.
- Each item is done exactly once, on the network's event loop; after ``close``, on any thread.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import deque
from collections.abc import Callable

from resonate.protocol.answers import Answer
from resonate.protocol.requests import Request
from resonate.sdk.errors import ResonateShutdownError, ResonateStoreError
from resonate.sdk.transport import (
    AnswerLostError,
    DeadConnectionError,
    Transport,
    TransportError,
)

_BATCH_MAX = 500
_PAUSE_SECONDS = (0.02, 1.0)
_BUSY = 503
log = logging.getLogger("resonate.network")

Done = Callable[["Item"], None]


class Item:
    """Requests that belong together, and what came of them: ``answers`` or ``error``.

    ``patience`` is how long (seconds) they are tried; None means as long as the client lives.
    """

    __slots__ = (
        "answers",
        "done",
        "error",
        "finished",
        "patience",
        "repeated",
        "requests",
        "timer",
    )

    def __init__(self, requests: list[Request], done: Done, patience: float | None) -> None:
        self.requests = requests
        self.done = done
        self.patience = patience
        self.timer: asyncio.TimerHandle | None = None
        self.answers: list[Answer] = []
        self.error: Exception | None = None
        self.repeated = False
        self.finished = False


class Sender:
    """Brings items to the server, on ``loop``; a ``quiet`` one leaves warnings to another.

    ``seconds`` is how long one send may take; None leaves it to the transport.
    """

    def __init__(
        self,
        transport: Transport,
        loop: asyncio.AbstractEventLoop,
        where: str,
        *,
        quiet: bool = False,
        seconds: float | None = None,
    ) -> None:
        self._seconds = seconds
        self._size = _BATCH_MAX  # requests of the next batch
        self._level = logging.DEBUG if quiet else logging.WARNING
        self._transport = transport
        self._loop = loop
        self._where = where
        self._queue: deque[Item] = deque()
        self._lock = threading.Lock()
        self._inbox: list[Item] = []
        self._sending: asyncio.Task[None] | None = None
        self._problem = "no answer so far"
        self._wake = asyncio.Event()
        self._closed = False

    def put(self, item: Item) -> None:
        """Take an item in; on the event loop."""
        if self._closed:
            _finish(item, ResonateShutdownError("the client was stopped"))
            return
        if item.patience is not None:
            item.timer = self._loop.call_later(item.patience, self._late, item)
        self._queue.append(item)
        if self._sending is None:
            self._sending = self._loop.create_task(self._send())

    def put_threadsafe(self, item: Item) -> None:
        """Take an item in; from any thread. Wakes the loop once for many."""
        with self._lock:
            if not self._closed:
                if not self._inbox:
                    self._loop.call_soon_threadsafe(self._empty_inbox)
                self._inbox.append(item)
                return
        _finish(item, ResonateShutdownError("the client was stopped"))

    def retry_now(self) -> None:
        """Do not sit out the pause: the server was seen."""
        self._wake.set()

    async def idle(self) -> None:
        """Return once nothing waits to be sent."""
        if self._sending is not None:
            await asyncio.wait([self._sending])

    async def close(self) -> None:
        """Fail what is still waiting; send nothing any more."""
        with self._lock:
            self._closed = True
        self._empty_inbox()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])
        while self._queue:
            _finish(self._queue.popleft(), ResonateShutdownError("the client was stopped"))

    def _empty_inbox(self) -> None:
        with self._lock:
            items, self._inbox = self._inbox, []
        for item in items:
            self.put(item)

    def _late(self, item: Item) -> None:
        text = f"{self._where} does not answer ({self._problem}): is the server running?"
        _finish(item, ResonateStoreError(text))

    async def _send(self) -> None:
        pause, longest = _PAUSE_SECONDS
        warned = False
        try:
            while items := self._take():
                problem = await self._try(items)
                if problem is None:
                    pause, warned = _PAUSE_SECONDS[0], False
                    continue
                self._problem = problem
                if not warned:
                    text = "%s does not answer (%s): trying again"
                    log.log(self._level, text, self._where, problem)
                    warned = True
                await self._pause(pause)
                pause = min(pause * 2, longest)
        finally:
            self._sending = None

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        jittered = seconds * random.uniform(0.5, 1.5)  # noqa: S311  # spreads load, guards nothing
        timer = self._loop.call_later(jittered, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def _take(self) -> list[Item]:
        """Return what leaves next; those whose patience has ended are dropped."""
        items: list[Item] = []
        room = self._size
        while self._queue and (not items or len(self._queue[0].requests) <= room):
            item = self._queue.popleft()
            if not item.finished:
                items.append(item)
                room -= len(item.requests)
        return items

    async def _try(self, items: list[Item]) -> str | None:
        """Send once; return what stood in the way, None when there is no reason to pause."""
        requests = [request for item in items for request in item.requests]
        try:
            async with asyncio.timeout(self._seconds):
                answers = await self._transport.send(requests)
        except DeadConnectionError as error:
            log.info("%s: sending again", error)
            self._put_back(items)
            return None
        except (AnswerLostError, TimeoutError) as error:
            self._size = max(1, len(requests) // 2)
            self._put_back(items)
            return str(error) or f"nothing within {self._seconds} s"
        except TransportError as error:
            self._put_back(items)
            return str(error)
        except asyncio.CancelledError:
            self._put_back(items)
            raise
        except Exception as error:
            if len(items) > 1:
                self._size = max(1, len(requests) // 2)
                self._put_back(items)
            else:
                log.exception("a request could not be sent, or its answer not be read")
                _finish(items[0], ResonateStoreError(f"{type(error).__name__}: {error}"))
            return None
        assert len(answers) == len(requests), "an answer for each request"
        return self._take_in(items, answers)

    def _take_in(self, items: list[Item], answers: list[Answer]) -> str | None:
        """Finish what was answered, put back what was turned away; return as ``_try``."""
        remaining = iter(answers)
        again: list[Item] = []
        answered = 0
        problem = None
        for item in items:
            item.answers = [next(remaining) for _ in item.requests]
            busy = next((each for each in item.answers if each.status == _BUSY), None)
            if busy is None:
                answered += len(item.requests)
                _finish(item)
            else:
                problem = str(busy.data)
                again.append(item)
        self._put_back(again)
        if not again:
            self._size = min(_BATCH_MAX, self._size + self._size // 4 + 1)
        elif answered > 0:
            self._size = answered
            problem = None
        return problem

    def _put_back(self, items: list[Item]) -> None:
        """Send these again, before all others; let go of what nobody waits for any more."""
        for item in items:
            item.repeated = True
        rest = [item for item in self._queue if not item.finished] if items else self._queue
        self._queue = deque([*items, *rest])


def _finish(item: Item, error: Exception | None = None) -> None:
    """Tell that an item is done, once."""
    if item.finished:
        return
    item.finished = True
    item.error = error
    if item.timer is not None:
        item.timer.cancel()
    try:
        item.done(item)
    except Exception:
        log.exception("an answer could not be taken in")
