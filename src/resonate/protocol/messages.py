"""Messages: what the server sends to a connection without being asked.

On an event stream each message is one line of ASCII: published clients throw away a chunk that
ends inside a UTF-8 sequence and split lines at exotic separators. Source: sections 6.2 and 6.3.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.records import PromiseRecord
from resonate.protocol.requests import TaskRef


class ExecuteData(Struct, frozen=True):
    """An offer: acquire this task if you want it."""

    task: TaskRef


class UnblockData(Struct, frozen=True):
    """A promise you listen for is settled."""

    promise: PromiseRecord


class Message(Struct, frozen=True):
    """``execute`` or ``unblock``; ``head`` is always an object."""

    kind: str
    head: dict[str, str]
    data: Any


_encoder = msgspec.json.Encoder()
_NOT_PLAIN = re.compile("[^\x00-\x7e]")


def execute(server_url: str, data: ExecuteData | LeaseAnswer) -> Message:
    """Offer a task, or hand over one that was acquired for the connection."""
    return Message("execute", {"serverUrl": server_url}, data)


def unblock(promise: PromiseRecord) -> Message:
    """Tell a listener that ``promise`` is settled."""
    return Message("unblock", {}, UnblockData(promise))


def encode_event(message: Message) -> bytes:
    """Encode ``message`` as one server-sent event, in ASCII."""
    return b"data: " + encode_ascii(message) + b"\n\n"


def encode_ascii(message: Message) -> bytes:
    r"""Encode ``message`` as JSON with everything above U+007E as ``\uXXXX``."""
    body = _encoder.encode(message)
    if body.isascii() and b"\x7f" not in body:
        return body
    return _NOT_PLAIN.sub(_escape, body.decode()).encode("ascii")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
