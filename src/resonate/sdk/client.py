"""The network side of one Resonate: a thread with an event loop, and all that runs on it.

Rules:
- The thread starts with the first use. User code never runs on it, so nothing a function does can
  starve the heartbeats.
- Heartbeats have a line of their own to the server: no large value holds them up. A send of theirs
  has a quarter of the ttl. The first beat leaves when a third of it is over: with two dead
  connections in its way, the third try still comes in time.
- One event stream at the most. Without a worker it only listens (capacity 0), so a caller is never
  taken for a worker. A new stream with other terms replaces the old one at the server.
- The stream comes back by itself: at once after a clean end, with growing pauses while the server
  is away. Nothing that comes in over it can end the thread.
- While it stops, calls still work: functions that run to their end may make some. After that
  everything raises ResonateShutdownError.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from resonate.protocol import requests as rq
from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.messages import ExecuteData, UnblockData
from resonate.protocol.records import PromiseRecord
from resonate.sdk import living
from resonate.sdk.encoders import Encoder
from resonate.sdk.errors import ResonateShutdownError
from resonate.sdk.exchanges import into
from resonate.sdk.host import Host
from resonate.sdk.listeners import Listeners
from resonate.sdk.machine import Machine
from resonate.sdk.options import quoted
from resonate.sdk.pool import in_async_function, in_function
from resonate.sdk.registry import Registry
from resonate.sdk.sender import Item, Sender
from resonate.sdk.transport import Incoming, Terms, Transport, TransportError
from resonate.sdk.worker import Worker

_PAUSE_SECONDS = (0.05, 1.0)
_BEAT_TTLS = 0.25  # that the send of a heartbeat may take
_KNOWN_SECONDS = 1.0  # for the server to learn that this worker takes nothing more
_GOODBYE_SECONDS = 2.0  # for what was released last to reach the server
_CLOSE_SECONDS = 5.0  # for connections to close
log = logging.getLogger("resonate.network")


class Client:
    """Requests, listeners, the stream and the worker of one pid.

    ``patience`` is how long (seconds) a call waits for a server that does not answer.
    """

    def __init__(
        self,
        connect: Callable[[], Transport],
        *,
        where: str,
        group: str,
        pid: str,
        ttl: int,
        capacity: int,
        patience: float,
        token: str | None,
        registry: Registry,
        dependencies: Mapping[str, Any],
        encoder: Encoder | None = None,
        machine: Machine,
    ) -> None:
        self.group = group
        self.pid = pid
        self._ttl = ttl
        self._capacity = capacity
        self._patience = patience
        self._token = token
        self._numbers = itertools.count(1)
        self._transport = connect()
        self._machine = machine
        self._thread = machine.network()
        loop = self._loop = self._thread.loop
        self._sender = Sender(self._transport, loop, where)
        seconds = ttl / 1000 * _BEAT_TTLS
        self._pulse = Sender(self._transport, loop, where, quiet=True, seconds=seconds)
        self._listeners = Listeners(
            self._sender.put,
            lambda data: rq.PromiseRegisterListener(self.head(), data),
            f"poll://uni@{quoted(group)}/{quoted(pid)}",
            loop,
        )
        self._host = Host(
            pid=pid,
            ttl=ttl,
            capacity=capacity,
            group=group,
            registry=registry,
            dependencies=dependencies,
            encoder=encoder,
            machine=machine,
            head=self.head,
            put=self._sender.put_threadsafe,
            listen=self._hear,
            post=self._thread.post,
        )
        self._worker = Worker(
            self._host,
            put=self._sender.put,
            beat=self._pulse.put,
            settled=self._listeners.settle,
        )
        self._where = where
        self._registry = registry
        self._unwatch = registry.watch(lambda: self._thread.post(self._declare))
        self._started = False
        self._working = False
        self._terms: Terms | None = None
        self._open = False  # the stream
        self._streams: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self._ending: Future[None] | None = None

    @property
    def working(self) -> bool:
        """Tell whether it is a worker, or about to be one."""
        return self._started

    def head(self) -> rq.Head:
        """Return the head of a new request."""
        return rq.Head(str(next(self._numbers)), rq.VERSION, self._token)

    # --- from any thread --------------------------------------------------------------------------

    def future(self) -> Future[Any]:
        """Return a future for which threads can wait."""
        return self._machine.future()

    def ask(self, *requests: rq.Request) -> Future[Item]:
        """Send requests together; the future has the item with their answers, or an error."""
        asked: Future[Item] = self._machine.future()
        self._sender.put_threadsafe(Item(list(requests), into(asked), self._patience))
        return asked

    def ask_and_subscribe(
        self, create: rq.PromiseCreate
    ) -> tuple[Future[Item], Future[PromiseRecord]]:
        """Create a promise and listen for it in one go: as ``ask``, as ``subscribe``."""
        asked: Future[Item] = self._machine.future()
        settled: Future[PromiseRecord] = self._machine.future()
        self._post(self._ask_and_subscribe, create, asked, settled)
        return asked, settled

    def subscribe(self, promise_id: str) -> Future[PromiseRecord]:
        """Return the future of the settled promise."""
        settled: Future[PromiseRecord] = self._machine.future()
        self._post(self._subscribe, promise_id, settled)
        return settled

    def start(self) -> None:
        """Be a worker of the group from now on."""
        self._started = True
        self._post(self._work)

    def take(self, lease: LeaseAnswer) -> None:
        """Execute a task that was acquired by a call of this process."""
        self._post(self._worker.take_own, lease, in_function() or in_async_function())

    def stop(self, drain_seconds: float) -> None:
        """Drain the worker, close all connections, end the thread.

        Called again meanwhile, it waits for the same end, which the shorter time brings about. The
        time may be infinite.
        """
        with self._lock:
            if self._ending is None:
                self._ending = asyncio.run_coroutine_threadsafe(self._stop(), self._loop)
            ending = self._ending
        if drain_seconds > threading.TIMEOUT_MAX:  # no thread can wait so long
            drain_seconds = math.inf
        self._thread.post(self._worker.drain_for, drain_seconds)
        seconds = drain_seconds + _KNOWN_SECONDS + _GOODBYE_SECONDS + _CLOSE_SECONDS
        try:
            ending.result(None if seconds > threading.TIMEOUT_MAX else seconds)
        except Exception:
            log.exception("the client did not stop as it should: leaving it behind")
        self._thread.stop()
        self._host.join()
        living.forget(self)

    def _post(self, act: Callable[..., object], *args: object) -> None:
        if not self._thread.post(act, *args):
            raise ResonateShutdownError("the client was stopped")

    # --- on the loop ------------------------------------------------------------------------------

    def _work(self) -> None:
        if not self._working:
            self._working = True
            self._open_stream(self._capacity)

    def _subscribe(self, promise_id: str, settled: Future[PromiseRecord]) -> None:
        self._listen()
        self._listeners.subscribe(promise_id, settled)

    def _hear(self, promise_id: str, told: Callable[[PromiseRecord], None]) -> None:
        """Have a function of this process told when a promise is settled."""
        settled: Future[PromiseRecord] = Future()
        settled.add_done_callback(lambda done: None if done.exception() else told(done.result()))
        self._subscribe(promise_id, settled)

    def _ask_and_subscribe(
        self, create: rq.PromiseCreate, asked: Future[Item], settled: Future[PromiseRecord]
    ) -> None:
        self._listen()
        promise_id = create.data.id
        listen = self._listeners.expect(promise_id, settled)
        tell = into(asked)

        def done(item: Item) -> None:
            if item.error is not None or item.answers[0].status != 200:
                self._listeners.forget(promise_id, settled)
                tell(item)
            else:
                tell(item)
                self._listeners.registered(promise_id, item.answers[1])

        self._sender.put(Item([create, listen], done, self._patience))

    def _listen(self) -> None:
        if self._terms is None:
            self._open_stream(0)

    def _open_stream(self, capacity: int) -> asyncio.Event:
        """Hold a stream on these terms from now on; the event says that it is open."""
        functions = self._registry.keys() if capacity > 0 else None
        terms = self._terms = Terms(self.group, self.pid, capacity, self._ttl, functions)
        known = asyncio.Event()
        task = self._loop.create_task(self._hold(terms, known))
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)
        return known

    def _declare(self) -> None:
        """Tell the server of functions that were registered since it was told."""
        terms = self._terms
        if terms is None or terms.capacity == 0 or not self._open:
            return  # it is told when the stream opens
        if terms.functions != self._registry.keys():
            self._open_stream(terms.capacity)

    async def _hold(self, terms: Terms, known: asyncio.Event) -> None:
        """Hold the stream, again and again, until other terms replace these."""
        pause, longest = _PAUSE_SECONDS
        warned = False
        since: float | None = None

        def opened() -> None:
            nonlocal since, warned
            since, warned = self._loop.time(), False
            known.set()
            self._open = True
            self._sender.retry_now()
            self._listeners.register_all()
            if terms.capacity > 0:
                self._worker.connected()
            self._declare()

        while self._terms is terms:
            since = None
            problem = await self._stream(terms, opened)
            if self._terms is not terms:
                return
            self._open = False
            if problem is not None and not warned:
                log.warning("the stream from %s broke (%s): reconnecting", self._where, problem)
                warned = True
            if since is not None and self._loop.time() - since > longest:
                pause = _PAUSE_SECONDS[0]
            await asyncio.sleep(pause * random.uniform(0.2, 1.0))  # noqa: S311  # jitter
            pause = min(pause * 2, longest)

    async def _stream(self, terms: Terms, opened: Callable[[], None]) -> str | None:
        """Hold the stream once; return what ended it, None when the server did so cleanly."""
        try:
            await self._transport.stream(terms, opened, self._receive)
        except TransportError as error:
            return str(error)
        except Exception as error:
            log.exception("the stream could not be held")
            return type(error).__name__
        return None

    def _receive(self, message: Incoming) -> None:
        try:
            if isinstance(message, UnblockData):
                self._listeners.settle(message.promise)
            elif isinstance(message, ExecuteData):
                if self._working:
                    self._worker.offered(message.task)
            else:
                self._worker.take(message)
        except Exception:
            log.exception("a message could not be taken in")

    async def _stop(self) -> None:
        self._unwatch()
        if self._working:
            self._worker.begin_drain()
            member, known = self._open, self._open_stream(0)
            if member:  # what is given back before the server knows of it could come here again
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(known.wait(), _KNOWN_SECONDS)
            self._worker.hand_back()
            await self._worker.drained()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._sender.idle(), _GOODBYE_SECONDS)
        self._thread.seal()
        await asyncio.sleep(0)  # what was posted before is done now
        self._terms = None
        for task in list(self._streams):
            task.cancel()
        if self._streams:
            await asyncio.wait(self._streams)
        self._worker.close()
        self._listeners.close()
        await self._pulse.close()
        await self._sender.close()
        await self._transport.close()
