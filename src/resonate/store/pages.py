"""Pages: the first of what a search finds, bounded by number and by bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from resonate.protocol.limits import SEARCH_BYTES_MAX

T = TypeVar("T")
Page = tuple[list[T], bool]
"""What was found, and whether there is more."""


def page(found: Iterable[tuple[T, int]], limit: int) -> Page[T]:
    """Take from ``found``, objects with their sizes, until ``limit`` or the bytes are reached.

    What does not fit is not looked at further, and one object always fits.
    """
    taken: list[T] = []
    room = SEARCH_BYTES_MAX
    for each, size in found:
        if taken and (len(taken) >= limit or room < size):
            return taken, True
        taken.append(each)
        room -= size
    return taken, False
