"""What the SDK needs of a way to the server: send requests, hold one stream of messages.

``http`` implements it over the network, ``resonate.local`` inside the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from resonate.protocol.answers import Answer, LeaseAnswer
from resonate.protocol.messages import ExecuteData, UnblockData
from resonate.protocol.requests import Request

Incoming = ExecuteData | LeaseAnswer | UnblockData


class TransportError(Exception):
    """The server cannot be reached, or the connection broke: nobody knows what it did."""


class AnswerLostError(TransportError):
    """The requests went out, and no answer came that can be read: it may be too large."""


class DeadConnectionError(TransportError):
    """The connection is dead while the server is alive: the requests can be sent again at once."""


class Terms(Struct, frozen=True):
    """What the stream declares: ``capacity`` slots (0: listens only), leases of ``ttl`` ms.

    ``functions`` are the keys (``protocol.addresses``) of those that can be run here; None: any.
    """

    group: str
    pid: str
    capacity: int
    ttl: int
    functions: frozenset[str] | None = None


class Transport(Protocol):
    """One server. All methods run on the network's event loop."""

    async def send(self, requests: list[Request]) -> list[Answer]:
        """Send requests, in order, and return their answers; raises TransportError."""

    async def stream(
        self, terms: Terms, opened: Callable[[], None], receive: Callable[[Incoming], None]
    ) -> None:
        """Hold one stream until it ends; raises TransportError when it breaks.

        ``opened`` is called once it stands, ``receive`` for every message.
        """

    async def close(self) -> None:
        """Let go of all connections."""
