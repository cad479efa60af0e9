"""The trace: every request and its answer as one JSON line, in the order in which they took effect.

``{"kind", "now", "req": <data>, "res": <envelope>}``. For outside checkers, and for finding out
what happened. A batch keeps its place from when it is decided; it is written once it is durable,
and one that failed is left out, because nothing of it took effect. So is what is refused at the
door.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from resonate.engine.batches import Call
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer, respond
from resonate.protocol.errors import StartError

log = logging.getLogger("resonate.engine")


class _Line(Struct):
    kind: str
    now: int
    req: Any
    res: Any


class Place:
    """The lines of one batch: not known yet, or to be written."""

    __slots__ = ("done", "lines")

    def __init__(self) -> None:
        self.lines: list[_Line] = []
        self.done = False

    def add(self, call: Call) -> None:
        """Take note of the answers of a call."""
        for request, answer in zip(call.requests, call.answers, strict=True):
            self.note(request, answer, call.now or 0)

    def note(self, request: rq.Request, answer: Answer, now: int) -> None:
        """Take note of one answer."""
        kind = str(request.__struct_config__.tag)
        data: Any = request.data  # type: ignore[attr-defined]
        response = respond(kind, request.head.corr_id, answer)
        self.lines.append(_Line(kind, now, data, response))


class Trace:
    """Appends to a file; flushed with every batch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._places: deque[Place] = deque()
        self._encoder = msgspec.json.Encoder()

    def open(self) -> None:
        """Open the file; raises StartError."""
        try:
            self._file = self._path.open("ab")
        except OSError as error:
            raise StartError(f"{self._path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Write what is complete and close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def place(self) -> Place:
        """Keep the place of a batch that is being decided."""
        place = Place()
        self._places.append(place)
        return place

    def done(self, place: Place, *, failed: bool = False) -> None:
        """Write the batch, as soon as those decided before it are written."""
        place.done = True
        if failed:
            place.lines.clear()
        while self._places and self._places[0].done:
            self._write(self._places.popleft().lines)

    def _write(self, lines: list[_Line]) -> None:
        if self._file is None or not lines:
            return
        try:
            self._file.write(b"".join(self._encoder.encode(line) + b"\n" for line in lines))
            self._file.flush()
        except OSError as error:
            log.warning("the trace ends here: %s: %s", self._path, error.strerror)
            with contextlib.suppress(OSError):  # what it holds unwritten is of no use
                self._file.close()
            self._file = None
