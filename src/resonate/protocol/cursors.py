"""Cursors: where the next page of a search begins.

Pages in order of id continue behind an id. Pages in order of age continue behind an instant and an
id; such a cursor is opaque to clients. Source: protocol 2026-04-01, sections 5.2 and 8.6.
"""

from __future__ import annotations

import base64
import binascii

from resonate.protocol.limits import INT64_MAX

Age = tuple[int, str]


def encode_cursor(created_at: int, promise_id: str) -> str:
    """Return the cursor behind a promise, in order of age."""
    return base64.b64encode(f"{created_at}:{promise_id}".encode()).decode()


def decode_cursor(text: str) -> Age | None:
    """Return what ``encode_cursor`` was given, None when ``text`` cannot be read so."""
    try:
        instant, colon, promise_id = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    digits = instant.isascii() and instant.isdigit() and len(instant) <= 19
    if not (colon and digits and int(instant) <= INT64_MAX):
        return None
    return int(instant), promise_id
