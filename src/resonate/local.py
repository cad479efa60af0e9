"""Local mode: the SDK on an engine with a memory store, in one process, without HTTP.

The one module in which the SDK and the server meet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from resonate.core.objects import Promise, Stored, due, is_timer, project, record
from resonate.engine.clock import Clock
from resonate.engine.dispatch import Dispatch
from resonate.engine.engine import Engine
from resonate.engine.members import Terms as ServerTerms
from resonate.engine.presence import Presence
from resonate.protocol.answers import Answer
from resonate.protocol.limits import GRACE_MS
from resonate.protocol.messages import Message
from resonate.protocol.records import PromiseRecord
from resonate.protocol.requests import Request
from resonate.protocol.validation import check
from resonate.sdk.transport import Incoming, Terms, TransportError
from resonate.store.memory import MemoryStore

# Whose timers on the event loop make something go on that nothing else would. All other things that
# are due are told by ``LocalServer.instants``.
RESTING: frozenset[type] = frozenset({Dispatch, Presence})


class LocalServer:
    """A server in this process, on the event loop that first uses it.

    ``now`` returns the time in seconds since the epoch; by default it is the machine's.
    ``grace_ms`` is how long a lost connection may take to come back.
    """

    def __init__(self, now: Callable[[], float] | None = None, *, grace_ms: int = GRACE_MS) -> None:
        self._clock = Clock() if now is None else Clock(now, now)
        self._store = _Store()
        self.engine = Engine(
            self._store, clock=self._clock, server_url="http://in-process", grace_ms=grace_ms
        )
        self._started: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve, once; raises TransportError when it does not serve."""
        if self._started is None:
            self._started = asyncio.get_running_loop().create_task(self.engine.start())
        await asyncio.shield(self._started)
        if self.engine.problem is not None:
            raise TransportError(self.engine.problem)

    async def stop(self) -> None:
        """Stop; everything is forgotten."""
        if self._started is not None:
            await self.engine.stop()

    # What follows may be called by another thread while the event loop has nothing to do.

    def instants(self) -> Iterator[tuple[int, PromiseRecord | None]]:
        """Yield when something is due, in milliseconds since the epoch.

        With it the promise whose deadline it is, unless that resolves it: as a sleep's does.
        """
        now = self._clock.now()
        for stored in self._store.everything():
            instant = due(stored, now=now)
            if instant is None:
                continue
            if isinstance(stored, Promise) and instant == stored.timeout_at:
                yield instant, None if is_timer(stored) else record(stored)
            else:
                yield instant, None

    def promises(self) -> list[PromiseRecord]:
        """Return all promises as they are seen now, in the order in which they were created."""
        now = self._clock.now()
        found = [each for each in self._store.everything() if isinstance(each, Promise)]
        return [record(project(each, now)) for each in found]

    def promise(self, promise_id: str) -> PromiseRecord | None:
        """Return a promise as it is seen now."""
        found = self._store.at(promise_id)
        return None if found is None else record(project(found, self._clock.now()))


class _Store(MemoryStore):
    """A store that can be looked at."""

    def everything(self) -> list[Stored]:
        return list(self._objects.values())

    def at(self, promise_id: str) -> Promise | None:
        found = self._objects.get(promise_id)
        return found if isinstance(found, Promise) else None


class LocalTransport:
    """A transport to a server in this process.

    Without ``server`` it has one of its own, which lives and dies with it.
    """

    def __init__(self, server: LocalServer | None = None) -> None:
        self._server = server or LocalServer()
        self._owns = server is None

    async def send(self, requests: list[Request]) -> list[Answer]:
        """Give the requests to the engine, after the same door checks as over HTTP."""
        await self._server.start()
        refusals = [check(request) for request in requests]
        passed = [each for each, text in zip(requests, refusals, strict=True) if text is None]
        answers = iter(await self._submit(passed) if passed else [])
        return [next(answers) if text is None else Answer(400, text) for text in refusals]

    async def stream(
        self, terms: Terms, opened: Callable[[], None], receive: Callable[[Incoming], None]
    ) -> None:
        """Be a connection of the engine until it ends."""
        await self._server.start()
        connection = _Connection(receive)
        connections = self._server.engine.connections
        member = connections.connect(
            terms.group,
            terms.pid,
            ServerTerms(
                capacity=terms.capacity,
                claim=terms.capacity > 0,
                ttl=terms.ttl,
                presence=True,
                declared=True,
                functions=terms.functions,
            ),
            connection,
        )
        try:
            opened()
            await connection.ended.wait()
        finally:
            connections.disconnect(member)

    async def close(self) -> None:
        """Stop the engine, if it is its own."""
        if self._owns:
            await self._server.stop()

    async def _submit(self, requests: list[Request]) -> list[Answer]:
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()

        def reply(answers: list[Answer]) -> None:
            if not future.done():  # cancelled: nobody waits any more
                future.set_result(answers)

        self._server.engine.submit(requests, reply)
        return await future


class _Connection:
    """The engine's line to the SDK."""

    def __init__(self, receive: Callable[[Incoming], None]) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()

    def send(self, message: Message) -> bool:
        """Hand the message over in the next turn of the loop, as a network would."""
        if self.ended.is_set():
            return False
        self._loop.call_soon(self._receive, message.data)
        return True

    def end(self) -> None:
        """End the stream, for the engine."""
        self.ended.set()
