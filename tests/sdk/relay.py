"""A line of bytes between SDK and server, which can go dead without a word."""

from __future__ import annotations

import asyncio
import threading
from urllib.parse import urlsplit


class Relay:
    """Passes on what comes, in both directions, to the server at ``upstream``."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._lines: list[_Line] = []
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def swallowed(self) -> int:
        """Bytes that were sent into connections that were dead, from either side."""
        return sum(line.swallowed for line in self._lines)

    def go_dead(self) -> None:
        """Let every connection swallow what comes and never end; new ones work."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(self._go_dead, done)
        assert done.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _go_dead(self, done: threading.Event) -> None:
        for line in self._lines:
            line.dead = True
        done.set()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._over.wait()
        server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line()
        self._lines.append(line)
        host, port = self._upstream.hostname, self._upstream.port
        far_reader, far_writer = await asyncio.open_connection(host, port)
        back = asyncio.create_task(line.pass_back(far_reader, writer))
        try:
            await line.pass_on(reader, far_writer)
        finally:
            back.cancel()
            writer.close()
            far_writer.close()


class _Line:
    """One connection."""

    def __init__(self) -> None:
        self.dead = False
        self.swallowed = 0

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await _read(reader):
            if self.dead:
                self.swallowed += len(data)
            else:
                writer.write(data)

    async def pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await _read(reader):
            if self.dead:
                self.swallowed += len(data)
            else:
                writer.write(data)
        if not self.dead:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except ConnectionError:
        return b""
