"""The poster: messages to ``http://`` and ``https://`` addresses.

Any 2xx means delivered; what the answer says is not read. Redirects are not followed: the message
is for the address that was named, and nobody else.
"""

from __future__ import annotations

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

    async def post(self, url: str, message: Message) -> None:
        """Return when it was answered with 2xx; raises NotDelivered."""
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
