"""Encoders: what is done to the bytes of a value before they are stored, and undone after.

An encoder gets the JSON of a value, or what the encoder before it made of that, and returns bytes;
these are stored, in base64. Caller and worker must have the same. None is stored as no data at all
and meets no encoder.

Rules:
- What ``decode`` is given was stored by somebody: it is checked and bounded.
- Whatever an encoder raises is an EncodingError or a DecodingError with that as its cause.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from resonate.sdk.errors import DecodingError, EncodingError

_MARK = b"\x00z1"  # no JSON begins with it
_DECODED_BYTES_MAX = 67_108_864


class Encoder(Protocol):
    """Makes other bytes of bytes, and the same bytes of those again. Called on any thread."""

    def encode(self, data: bytes) -> bytes:
        """Return what is stored for ``data``, the JSON of a value: bytes, at least one.

        Raises whatever it likes: who gave the value gets an EncodingError with that as its cause;
        so does one that returns no bytes.
        """
        ...

    def decode(self, data: bytes) -> bytes:
        """Return what ``encode`` was given, as bytes, for ``data``, what it made of that.

        Raises whatever it likes: who wants the value gets a DecodingError with that as its cause.
        """
        ...


class Compression:
    """Compresses values with zlib.

    - ``minimum``: a value of fewer bytes stays as it is, and so does one where nothing is gained;
      1024 by default.
    - ``level``: that of zlib, from 1 (fast) to 9 (small); 6 by default.
    - ``maximum``: bytes that a value may have before it is compressed, and when it is decompressed;
      67,108,864 (64 MiB) by default.

    Both kinds are read, so it can be switched on while uncompressed values are stored. Raises
    ValueError for a ``level`` that zlib does not have, and a ``maximum`` below 1.
    """

    def __init__(
        self, minimum: int = 1_024, *, level: int = 6, maximum: int = _DECODED_BYTES_MAX
    ) -> None:
        if not 1 <= level <= 9:
            raise ValueError("level must be between 1 and 9")
        if maximum < 1:
            raise ValueError("maximum must be greater than zero")
        self._minimum = minimum
        self._level = level
        self._maximum = maximum

    def __repr__(self) -> str:
        return f"Compression({self._minimum}, level={self._level}, maximum={self._maximum})"

    def encode(self, data: bytes) -> bytes:
        """Return the bytes, compressed if they are many; ValueError if more than ``maximum``."""
        if len(data) > self._maximum:
            raise ValueError(f"{len(data)} bytes are more than the {self._maximum} allowed")
        marked = data.startswith(_MARK)  # another encoder's; left alone it would be decompressed
        if len(data) < self._minimum and not marked:
            return data
        made = _MARK + zlib.compress(data, self._level)
        return made if marked or len(made) < len(data) else data

    def decode(self, data: bytes) -> bytes:
        """Return the bytes, decompressed if they were compressed.

        Raises ValueError when that would be more than ``maximum``, and when the end is missing or
        something follows it; ``zlib.error`` for what is no compressed data.
        """
        if not data.startswith(_MARK):
            return data
        inflate = zlib.decompressobj()
        found = inflate.decompress(data[len(_MARK) :], self._maximum + 1)
        if len(found) > self._maximum:
            raise ValueError(f"it has more than the {self._maximum} bytes allowed, decompressed")
        if not inflate.eof:
            raise ValueError("the compressed data ends too early")
        if inflate.unused_data:
            raise ValueError("something follows the compressed data")
        return found


class Chain:
    """Several encoders, one after the other: the first gets the JSON.

    ``Chain(Compression(), Encryption(…))`` compresses, then encrypts. Without encoders it leaves
    everything as it is. Raises what one of them raises, and the others are not asked then.
    """

    def __init__(self, *encoders: Encoder) -> None:
        self._encoders = encoders

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self._encoders))})"

    def encode(self, data: bytes) -> bytes:
        """Return what the last encoder makes of it."""
        for each in self._encoders:
            data = each.encode(data)
        return data

    def decode(self, data: bytes) -> bytes:
        """Return what the first encoder was given."""
        for each in reversed(self._encoders):
            data = each.decode(data)
        return data


def apply(encoder: Encoder, data: bytes, where: str) -> bytes:
    """Return the bytes to store; raises EncodingError, which calls the value ``where``."""
    try:
        made = encoder.encode(data)
    except Exception as error:
        raise EncodingError(f"{where} cannot be written: {_told(encoder, error)}") from error
    if not isinstance(made, bytes) or not made:  # nothing at all would be read as None
        raise EncodingError(f"{where} cannot be written: {_name(encoder)} returned no bytes")
    return made


def undo(encoder: Encoder, data: bytes, where: str) -> bytes:
    """Return the bytes that were stored; raises DecodingError, which calls the value ``where``."""
    try:
        made = encoder.decode(data)
    except Exception as error:
        raise DecodingError(f"{where} cannot be read: {_told(encoder, error)}") from error
    if not isinstance(made, bytes):
        raise DecodingError(f"{where} cannot be read: {_name(encoder)} returned no bytes")
    return made


def _name(encoder: Encoder) -> str:
    return f"the encoder {type(encoder).__qualname__}"


def _told(encoder: Encoder, error: Exception) -> str:
    return f"{_name(encoder)} raised {error!r}"
