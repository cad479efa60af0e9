"""Cycles: requests under way on a connection, one after the other.

Rules:
- A cycle has the attributes that uvicorn looks at in its own cycles, and is queued with them.
- It is carried out once: when it is whole and its turn has come. It is answered once.
- A body that is too large is refused as soon as that is known. What follows of it is read and
  thrown away, so that the answer reaches a client that is still sending; then comes the end.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from resonate.gateway.exchange import exchange, refuse
from resonate.protocol.envelope import Refusal
from resonate.protocol.limits import BODY_BYTES_MAX

if TYPE_CHECKING:
    from resonate.gateway.hot import HotProtocol

_TOO_LARGE = Refusal(413, "Request body too large")
log = logging.getLogger("resonate.gateway")


class _NoEvent:
    """Stands for the event that uvicorn's own cycles wait for."""

    def set(self) -> None:
        """Nobody waits."""


class Cycle:
    """A request that is answered before ASGI."""

    message_event = _NoEvent()

    __slots__ = (
        "disconnected",
        "keep_alive",
        "more_body",
        "protocol",
        "response_complete",
        "response_started",
        "started",
    )

    def __init__(self, protocol: HotProtocol, *, keep_alive: bool = False) -> None:
        self.protocol = protocol
        self.keep_alive = keep_alive
        self.more_body = True
        self.started = False
        self.disconnected = False
        self.response_started = False
        self.response_complete = False

    def start(self) -> None:
        """Begin: it is this request's turn."""
        self.started = True
        if not self.more_body:
            self.carry_out()

    def feed(self, part: bytes) -> None:
        """Take in a part of the body: nobody asked for one."""

    def complete(self) -> None:
        """Carry it out, as it is whole now, or when its turn comes."""
        self.more_body = False
        if self.started:
            self.carry_out()

    def carry_out(self) -> None:
        """Do what is asked; called once."""
        raise NotImplementedError


class Post(Cycle):
    """One ``POST /``."""

    __slots__ = ("body", "expect_continue", "measured", "refusal")

    def __init__(self, protocol: HotProtocol, *, keep_alive: bool) -> None:
        super().__init__(protocol, keep_alive=keep_alive)
        self.body: bytes | bytearray = b""
        self.expect_continue = False
        self.measured = False
        self.refusal: Refusal | None = None

    def start(self) -> None:
        """Begin: it is this request's turn."""
        self.started = True
        if self.refusal is not None:
            refuse(self.refusal, self.send)
        elif not self.more_body:
            self.carry_out()
        elif self.expect_continue:
            self.protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def feed(self, part: bytes) -> None:
        """Take in a part of the body."""
        size = len(self.body) + len(part)
        if self.refusal is not None:
            return
        if size > BODY_BYTES_MAX:
            self.refuse(_TOO_LARGE)
        elif not self.body:
            self.body = part
        else:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += part

    def complete(self) -> None:
        """Carry it out, as the body is whole now, or when its turn comes."""
        self.more_body = False
        if self.response_complete:
            self.protocol.transport.close()
        elif self.started and self.refusal is None:
            self.carry_out()

    def measure(self, announced: int) -> None:
        """Look at the length that is announced, once: no need to wait for too much."""
        self.measured = True
        if announced > BODY_BYTES_MAX:
            self.refuse(_TOO_LARGE)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with ``refusal`` when it is this request's turn, and close the connection."""
        if self.refusal is None:
            self.refusal = refusal
            self.keep_alive = False
            self.protocol.last = True
            self.body = b""
            if self.started:
                refuse(refusal, self.send)

    def carry_out(self) -> None:
        """Have it answered; what goes wrong here is a defect of the server."""
        body, self.body = bytes(self.body), b""
        try:
            exchange(self.protocol.gateway.engine, body, self.send)
        except Exception as error:
            log.exception("a request could not be carried out")
            if not self.response_started:
                text = f"Internal error: {type(error).__name__}: {error}"
                refuse(Refusal(500, text), self.send)

    def send(self, status: int, body: bytes) -> None:
        """Write the answer; the next request of the connection may start."""
        self.response_started = True
        self.protocol.answer(self, status, body)


class Farewell(Cycle):
    """The end of a connection: an answer in plain text, and nothing after it."""

    __slots__ = ("_status", "_text")

    def __init__(self, protocol: HotProtocol, status: int, text: str) -> None:
        super().__init__(protocol)
        self.more_body = False
        self._status = status
        self._text = text

    def carry_out(self) -> None:
        """Say it and close."""
        self.protocol.say(self, self._status, self._text)
