"""Recent objects in memory. The writer is alone, so what is here is the truth.

Rules:
- Bounded by number and by bytes, about; the least recently used goes first.
- An object whose change is not durable yet is pinned: the database does not know it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from resonate.core.objects import Key, Promise, Stored
from resonate.protocol.records import Value

_BYTES_FIXED = 1_000  # an object with small values, roughly
_BYTES_LINK = 100  # an awaiter or a listener, roughly


def weight(stored: Stored) -> int:
    """Return about how many bytes the object takes."""
    if isinstance(stored, Promise):
        size = _BYTES_FIXED + _of_value(stored.param) + _of_value(stored.value)
        links = len(stored.callbacks) + len(stored.listeners)
        return size + _of_strings(stored.tags) + links * _BYTES_LINK
    size = _BYTES_FIXED + len(stored.promise_id) + _of_value(stored.promise_param)
    return size + _of_strings(stored.promise_tags)


def _of_value(value: Value) -> int:
    return len(value.data or "") + (_of_strings(value.headers) if value.headers else 0)


def _of_strings(strings: dict[str, str]) -> int:
    return sum(map(len, strings)) + sum(map(len, strings.values()))


class Cache:
    """Objects with their weights by key, least recently used first."""

    def __init__(self, *, objects_max: int, bytes_max: int) -> None:
        self._entries: OrderedDict[Key, tuple[Stored, int]] = OrderedDict()
        self._objects_max = objects_max
        self._bytes_max = bytes_max
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Stored | None:
        """Return the object if it is here."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Key, stored: Stored) -> None:
        """Keep the object as the newest."""
        size = weight(stored)
        old = self._entries.pop(key, None)
        self._bytes += size if old is None else size - old[1]
        self._entries[key] = stored, size

    def drop(self, key: Key) -> None:
        """Forget an object."""
        old = self._entries.pop(key, None)
        if old is not None:
            self._bytes -= old[1]

    def trim(self, pinned: Callable[[Key], bool]) -> None:
        """Drop the oldest until the bounds hold; pinned objects stay and become the newest."""
        for _ in range(len(self._entries)):
            if len(self._entries) <= self._objects_max and self._bytes <= self._bytes_max:
                return
            key = next(iter(self._entries))
            if pinned(key):
                self._entries.move_to_end(key)
            else:
                self.drop(key)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0
