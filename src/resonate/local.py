"""Local mode: the SDK on an engine with a memory store, in one process, without HTTP.

The one module in which the SDK and the server meet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from resonate.engine.engine import Engine
from resonate.engine.members import Terms as ServerTerms
from resonate.protocol.answers import Answer
from resonate.protocol.messages import Message
from resonate.protocol.requests import Request
from resonate.protocol.validation import check
from resonate.sdk.transport import Incoming, Terms, TransportError
from resonate.store.memory import MemoryStore


class LocalTransport:
    """A transport to a server that lives and dies with it."""

    def __init__(self) -> None:
        self._engine = Engine(MemoryStore(), server_url="http://in-process")
        self._started: asyncio.Task[None] | None = None

    async def send(self, requests: list[Request]) -> list[Answer]:
        """Give the requests to the engine, after the same door checks as over HTTP."""
        await self._start()
        refusals = [check(request) for request in requests]
        passed = [each for each, text in zip(requests, refusals, strict=True) if text is None]
        answers = iter(await self._submit(passed) if passed else [])
        return [next(answers) if text is None else Answer(400, text) for text in refusals]

    async def stream(
        self, terms: Terms, opened: Callable[[], None], receive: Callable[[Incoming], None]
    ) -> None:
        """Be a connection of the engine until it ends."""
        await self._start()
        connection = _Connection(receive)
        member = self._engine.connections.connect(
            terms.group,
            terms.pid,
            ServerTerms(
                capacity=terms.capacity,
                claim=terms.capacity > 0,
                ttl=terms.ttl,
                presence=True,
                declared=True,
            ),
            connection,
        )
        try:
            opened()
            await connection.ended.wait()
        finally:
            self._engine.connections.disconnect(member)

    async def close(self) -> None:
        """Stop the engine; everything is forgotten."""
        if self._started is not None:
            await self._engine.stop()

    async def _submit(self, requests: list[Request]) -> list[Answer]:
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()

        def reply(answers: list[Answer]) -> None:
            if not future.done():  # cancelled: nobody waits any more
                future.set_result(answers)

        self._engine.submit(requests, reply)
        return await future

    async def _start(self) -> None:
        if self._started is None:
            self._started = asyncio.get_running_loop().create_task(self._engine.start())
        await asyncio.shield(self._started)
        if self._engine.problem is not None:
            raise TransportError(self._engine.problem)


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
