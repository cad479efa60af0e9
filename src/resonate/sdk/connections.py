"""Connections to one server: kept between requests, left behind when they seem dead.

A peer can vanish without a word, its machine or what stands between. Then nothing tells that a
connection is dead, except that what is sent over it gets no answer.

Rules:
- When a request fails, takes too long or is cancelled, no connection that was kept until then is
  used again. What is under way on others may finish there.
- A request over kept connections is doubted when the head of its answer does not come for 3 s, and
  a little longer if it is large: the server is asked ``GET /`` over a new connection. Once that is
  answered, the request is given up with DeadConnectionError, to be sent again at once. While it is
  not, the server itself is in trouble, and gets nothing twice.
- The first request over new connections is never doubted but has its full time. So of a server that
  is alive and slow nothing is asked more than twice in that time.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncIterator

import aiohttp

from resonate.sdk.transport import AnswerLostError, DeadConnectionError, TransportError

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 15.0
_DOUBT_SECONDS = 3.0
_UPLOAD_BYTES_PER_SECOND = 500_000  # of a slow line: a large request is not doubted while it leaves
_CONNECTIONS_MAX = 16
_KEPT_SECONDS = 30.0
_UNREACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_BROKEN = (TimeoutError, aiohttp.ClientError, OSError)


class Connections:
    """The connections to the server at ``url``, where requests go, with ``headers`` on each."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._pool: _Pool | None = None

    async def get(self) -> tuple[int, bytes]:
        """Return status and body of what stands at the url; raises TransportError."""
        try:
            async with self._using() as pool, pool.session.get(self._url) as response:
                return response.status, await response.read()
        except _BROKEN as error:
            raise TransportError(_words(error)) from error

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """Send JSON; return status and body of the answer; raises TransportError.

        It is an AnswerLostError when the request may have reached the server.
        """
        headers = {"content-type": "application/json"}
        try:
            async with self._using() as pool:
                seconds = _DOUBT_SECONDS + len(body) / _UPLOAD_BYTES_PER_SECOND
                async with self._doubting(seconds) if pool.kept else contextlib.nullcontext():
                    response = await pool.session.post(
                        self._url, data=io.BytesIO(body), headers=headers
                    )
                async with response:
                    found = response.status, await response.read()
                pool.kept = True
                return found
        except _UNREACHED as error:
            raise TransportError(_words(error)) from error
        except _BROKEN as error:
            raise AnswerLostError(_words(error)) from error

    @contextlib.asynccontextmanager
    async def stream(
        self, url: str, params: dict[str, str], silence_seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open a stream of events; raises TransportError, also for what breaks inside."""
        timeout = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=silence_seconds)
        headers = {"accept": "text/event-stream"}
        try:
            async with (
                self._using() as pool,
                pool.session.get(url, params=params, headers=headers, timeout=timeout) as response,
            ):
                yield response
        except _BROKEN as error:
            raise TransportError(_words(error)) from error

    async def renew(self) -> None:
        """Use no connection that was kept until now."""
        pool, self._pool = self._pool, None
        if pool is not None and pool.users == 0:
            await pool.session.close()

    async def close(self) -> None:
        """Close what is left."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.session.close()

    @contextlib.asynccontextmanager
    async def _using(self) -> AsyncIterator[_Pool]:
        """Lend the pool; when what is done with it fails, nobody gets it any more."""
        pool = self._pool = self._pool or _Pool(self._headers)
        pool.users += 1
        try:
            yield pool
        except BaseException:
            if self._pool is pool:
                self._pool = None
            raise
        finally:
            pool.users -= 1
            if pool.users == 0 and self._pool is not pool:
                await pool.session.close()

    @contextlib.asynccontextmanager
    async def _doubting(self, seconds: float) -> AsyncIterator[None]:
        """Give up what is awaited inside for so long, once the server answers something else."""
        loop = asyncio.get_running_loop()
        proofs: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(None) as limit:
                timer = loop.call_later(
                    seconds, lambda: proofs.append(loop.create_task(self._prove(seconds, limit)))
                )
                try:
                    yield
                finally:
                    timer.cancel()
                    for proof in proofs:
                        proof.cancel()
                        await asyncio.wait([proof])
        except TimeoutError as error:
            if limit.expired():
                raise DeadConnectionError("the server answers, but not over this connection") from (
                    error
                )
            raise

    async def _prove(self, pause_seconds: float, limit: asyncio.Timeout) -> None:
        """Ask until the server answers; then end the time limit."""
        while not await self._answers():  # noqa: ASYNC110  # no event tells what the server does
            await asyncio.sleep(pause_seconds)
        limit.reschedule(asyncio.get_running_loop().time())

    async def _answers(self) -> bool:
        """Tell whether the server answers over a new connection."""
        await self.renew()
        try:
            status, _ = await self.get()
        except TransportError:
            return False
        return status < 500


class _Pool:
    """Connections of the same age. ``kept``: one was used before, and may have died since."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS_MAX, keepalive_timeout=_KEPT_SECONDS),
            timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS, sock_connect=_CONNECT_SECONDS),
        )
        self.users = 0
        self.kept = False


def _words(error: BaseException) -> str:
    number = error.os_error.errno if isinstance(error, aiohttp.ClientConnectorError) else None
    if number is not None and number > 0:
        return os.strerror(number)  # aiohttp's own words are about ssl, where there is none
    return str(error) or type(error).__name__
