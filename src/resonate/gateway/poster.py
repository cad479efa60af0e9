"""The poster: messages to ``http://`` and ``https://`` addresses.

Rules:
- Any 2xx means delivered; what the answer says is not read. Redirects are not followed: the message
  is for the address that was named, and nobody else.
- So many POSTs are under way at a time, to all addresses together; the others wait. A message is
  encoded when it is its turn, and its time begins then: waiting costs neither memory nor an address
  its good name.
"""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec

from resonate.engine.push import NotDelivered
from resonate.protocol.limits import (
    PUSH_CONNECT_SECONDS_MAX,
    PUSH_CONNECTIONS_MAX,
    PUSH_SECONDS_MAX,
)
from resonate.protocol.messages import Message

_HEADERS = {"content-type": "application/json", "user-agent": "resonate-py"}


class HttpPoster:
    """Posts over kept connections; makes them with the first message."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._encoder = msgspec.json.Encoder()
        self._room = asyncio.Semaphore(PUSH_CONNECTIONS_MAX)

    async def post(self, url: str, message: Message) -> None:
        """Return when it was answered with 2xx; raises NotDelivered."""
        async with self._room:
            await self._post(url, message)

    async def _post(self, url: str, message: Message) -> None:
        body = self._encoder.encode(message)
        try:
            async with self._open().post(
                url, data=body, headers=_HEADERS, allow_redirects=False
            ) as response:
                status = response.status
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotDelivered(str(error) or type(error).__name__) from error
        if not 200 <= status < 300:
            raise NotDelivered(f"answered {status}")

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=PUSH_CONNECTIONS_MAX),
                timeout=aiohttp.ClientTimeout(
                    total=PUSH_SECONDS_MAX, sock_connect=PUSH_CONNECT_SECONDS_MAX
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session
