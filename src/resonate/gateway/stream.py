"""One event stream: ``GET /poll/{group}/{id}``, a worker's or a caller's line to the server.

Rules (section 6.3):
- LF only; one event a write; ASCII; a comment after 15 s of silence.
- A stream of a client that declares none of our parameters is ended cleanly before it is 300 s old,
  because the published clients die of older ones.
- A client that does not read is given nothing more, not even comments.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from resonate.engine.members import Member, Terms
from resonate.gateway.cycles import Cycle
from resonate.protocol.addresses import function_key
from resonate.protocol.limits import (
    CAPACITY_MAX,
    CONNECTIONS_MAX,
    INT64_MAX,
    KEEPALIVE_SECONDS,
    RECYCLE_SECONDS,
)
from resonate.protocol.messages import Message, encode_event

if TYPE_CHECKING:
    from resonate.gateway.hot import HotProtocol

_PREFIX = "/poll/"
_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: text/event-stream\r\n"
    b"cache-control: no-cache\r\n"
    b"connection: close\r\n"
)


class Poll(Struct, frozen=True):
    """What a poll request asks for."""

    group: str
    pid: str
    terms: Terms


class BadParameter(ValueError):
    """A query parameter has a value that it cannot have; the message is its name."""


def parse_poll(path: bytes, query: bytes) -> Poll | None:
    """Return the poll that a URL asks for, None when it is no poll; raises BadParameter.

    The path is split first and decoded then, so names with a slash in them can be addressed.
    """
    raw = path.decode("ascii")
    if not raw.startswith(_PREFIX):
        return None
    group, _, pid = raw[len(_PREFIX) :].partition("/")
    if not group or not pid or group.startswith("%00"):  # such groups are our own: HTTP addresses
        return None
    parameters = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True))
    return Poll(unquote(group), unquote(pid), _terms(parameters))


def _terms(query: dict[str, str]) -> Terms:
    declared = bool(query.keys() & {"capacity", "claim", "presence", "functions"})
    claim = _flag(query, "claim")
    if claim and "ttl" not in query:
        raise BadParameter("ttl")
    ttl = _number(query, "ttl", least=1, most=INT64_MAX, default=0)
    capacity = _number(
        query, "capacity", least=0, most=CAPACITY_MAX, default=1 if claim else Terms().capacity
    )
    return Terms(
        capacity=capacity,
        claim=claim,
        ttl=ttl,
        presence=_flag(query, "presence"),
        declared=declared,
        functions=_functions(query["functions"]) if "functions" in query else None,
    )


@lru_cache(maxsize=64)  # the workers of a program say the same, and share what is made of it
def _functions(text: str) -> frozenset[str]:
    """Return the keys of functions: names, each with its version behind a colon unless that is 1.

    Both are percent-encoded, as a comma, a colon or a percent sign may be in them.
    """
    pairs = [each.partition(":") for each in text.split(",") if each]
    if not all(name for name, _, _ in pairs):
        raise BadParameter("functions")
    return frozenset(function_key(unquote(name), unquote(last) or "1") for name, _, last in pairs)


def _flag(query: dict[str, str], name: str) -> bool:
    value = query.get(name, "0")
    if value not in ("0", "1"):
        raise BadParameter(name)
    return value == "1"


def _number(query: dict[str, str], name: str, *, least: int, most: int, default: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 19):
        raise BadParameter(name)
    if not least <= int(value) <= most:
        raise BadParameter(name)
    return int(value)


class Stream(Cycle):
    """The open response, and the connection that the engine knows."""

    def __init__(self, protocol: HotProtocol, poll: Poll, *, chunked: bool) -> None:
        super().__init__(protocol)
        self._poll = poll
        self._chunked = chunked
        self._loop = protocol.loop
        self._silent_since = 0.0
        self._member: Member | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def carry_out(self) -> None:
        """Send the head, and be a member of the group from now on."""
        protocol = self.protocol
        if len(protocol.gateway.streams) >= CONNECTIONS_MAX:
            protocol.say(self, 503, "Poll registration at capacity")
        elif self.disconnected:
            protocol.say(self, 503, "The server is shutting down")
        else:
            self._open()

    def _open(self) -> None:
        protocol, poll = self.protocol, self._poll
        self.response_started = True
        protocol.gateway.streams.add(self)
        head = _HEAD + (b"transfer-encoding: chunked\r\n\r\n" if self._chunked else b"\r\n")
        protocol.transport.write(head + self._chunk(b": connected\n\n"))
        self._silent_since = self._loop.time()
        self._wait("silence", KEEPALIVE_SECONDS, self._keep_alive)
        if not poll.terms.declared:
            age = random.uniform(*RECYCLE_SECONDS)  # noqa: S311  # spreads load, guards nothing
            self._wait("age", age, self._recycle)
        self._member = protocol.gateway.engine.connections.connect(
            poll.group, poll.pid, poll.terms, self
        )

    def send(self, message: Message) -> bool:
        """Write one event; False when the connection is gone."""
        transport = self.protocol.transport
        if self.response_complete or transport.is_closing():
            return False
        transport.write(self._chunk(encode_event(message)))
        self._silent_since = self._loop.time()
        return True

    def end(self) -> None:
        """End the stream cleanly and leave the group."""
        self._end(recycled=False)

    def lost(self) -> None:
        """Leave the group: the connection is gone."""
        self.protocol.gateway.streams.discard(self)
        self._leave(recycled=False)

    def pause(self) -> None:
        """Take nothing more: the client does not read."""
        if self._member is not None and self._member.open:
            self.protocol.gateway.engine.connections.pause(self._member)

    def resume(self) -> None:
        """Go on: the client has read."""
        if self._member is not None and self._member.open:
            self.protocol.gateway.engine.connections.resume(self._member)

    def _recycle(self) -> None:
        self._end(recycled=True)

    def _end(self, *, recycled: bool) -> None:
        if self.response_complete:
            return
        transport = self.protocol.transport
        if not transport.is_closing():
            if self._chunked:
                transport.write(b"0\r\n\r\n")
            transport.close()
        self._leave(recycled=recycled)

    def _leave(self, *, recycled: bool) -> None:
        self.response_complete = True
        for timer in self._timers.values():
            timer.cancel()
        if self._member is not None:
            self.protocol.gateway.engine.connections.disconnect(self._member, recycled=recycled)

    def _keep_alive(self) -> None:
        protocol = self.protocol
        silent = self._loop.time() - self._silent_since
        if silent >= KEEPALIVE_SECONDS:
            if not protocol.flow.write_paused and not protocol.transport.is_closing():
                protocol.transport.write(self._chunk(b": \n\n"))
            self._silent_since = self._loop.time()
            silent = 0.0
        self._wait("silence", KEEPALIVE_SECONDS - silent, self._keep_alive)

    def _wait(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._timers[name] = self._loop.call_later(seconds, then)

    def _chunk(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
