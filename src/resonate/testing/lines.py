"""Lines: the ways of processes to the server of a test, which can be killed.

What a killed process sends is not carried out, and it is never answered, until the harness ends:
then everything is refused, so that whatever is left of it comes to its end.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

from resonate.local import LocalServer, LocalTransport
from resonate.protocol.answers import Answer
from resonate.protocol.requests import Request
from resonate.sdk.transport import Incoming, Terms
from resonate.testing.kills import Kills

_OVER = Answer(409, "The harness has ended")


class Line:
    """The transport of a process. ``kills`` is asked about its writes, ``killed`` is told."""

    def __init__(
        self,
        server: LocalServer,
        kills: Kills | None = None,
        killed: Callable[[], None] | None = None,
    ) -> None:
        self._transport = LocalTransport(server)
        self._kills = kills
        self._killed = killed or _nothing
        self._dead = False
        self._over = asyncio.Event()
        self._streams: set[asyncio.Task[None]] = set()

    async def send(self, requests: list[Request]) -> list[Answer]:
        """Send requests, up to where the process dies."""
        writes, end = ([], None) if self._kills is None or self._dead else self._kills.cut(requests)
        if end is not None:
            self._dead = True
        elif self._dead or self._over.is_set():
            end = 0
        sent = requests[:end]
        answers = await self._transport.send(sent) if sent else []
        if self._kills is not None:
            self._kills.note(writes, answers)
        if end is None:
            return answers
        if self._dead:
            self.kill()
        await self._over.wait()
        return [_OVER] * len(requests)

    async def stream(
        self, terms: Terms, opened: Callable[[], None], receive: Callable[[Incoming], None]
    ) -> None:
        """Hold a stream, as long as the process lives."""
        if not self._dead:
            held = self._transport.stream(terms, opened, functools.partial(self._take, receive))
            stream = asyncio.get_running_loop().create_task(held)
            self._streams.add(stream)
            try:
                await asyncio.wait([stream])
            finally:
                stream.cancel()
                self._streams.discard(stream)
        if self._dead:
            await self._over.wait()

    async def close(self) -> None:
        """Nothing: the server is the harness's."""

    def kill(self) -> None:
        """Let the process be dead, on the network's loop."""
        self._dead = True
        for stream in self._streams:
            stream.cancel()
        killed, self._killed = self._killed, _nothing
        killed()

    def end(self) -> None:
        """All is over, on the network's loop."""
        self._over.set()

    def _take(self, receive: Callable[[Incoming], None], message: Incoming) -> None:
        if not self._dead:
            receive(message)


def _nothing() -> None:
    """It is told once."""
