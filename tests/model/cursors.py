"""Cursors of searches in order of age: base64 of ``<createdAt>:<id>``, as in the example of 8.6."""

from __future__ import annotations

import base64
import binascii


def write_cursor(created_at: int, promise_id: str) -> str:
    return base64.b64encode(f"{created_at}:{promise_id}".encode()).decode()


def read_cursor(text: str) -> tuple[int, str] | None:
    """Return createdAt and id, or None when ``text`` is no such cursor."""
    try:
        instant, colon, promise_id = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    if not colon or not instant.isdecimal():
        return None
    return int(instant), promise_id
