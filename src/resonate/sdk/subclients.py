"""What the clients of promises and of schedules have in common.

Rules:
- Each method is one request: a function makes its exchange, which is carried out by blocking a
  thread, or awaited on an event loop.
- What cannot be sent is refused here, so that it is the same error with every server. What a server
  refuses is ResonateStoreError with its text and status.
- ``data`` is a text, written in base64 and otherwise as it is: JSON, when functions are to read it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from resonate.protocol import requests as rq
from resonate.protocol.limits import INT64_MAX, INT64_MIN
from resonate.protocol.records import Value
from resonate.sdk.checks import check_unicode
from resonate.sdk.codec import LIMIT
from resonate.sdk.errors import DecodingError, ValueTooLargeError
from resonate.sdk.exchanges import Exchange, checked
from resonate.sdk.sender import Item
from resonate.sdk.shared import Shared

D = TypeVar("D")
G = TypeVar("G", bound="Page")


@dataclass(frozen=True)
class StoredValue:
    """A param or value as it is stored: ``headers``, and a text that is read as ``data``.

    ``encoded`` is that text in base64, as the server has it; None when there is none.
    """

    headers: dict[str, str]
    encoded: str | None = field(repr=False)
    what: str = field(repr=False, compare=False)

    @property
    def data(self) -> str | None:
        """Return the text, None when there is none; raises DecodingError when it is none."""
        if self.encoded is None:
            return None
        try:
            return base64.b64decode(self.encoded, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise DecodingError(f"{self.what} cannot be read: {error}") from error


def stored(value: Value, what: str) -> StoredValue:
    """Return a value as users see it; errors call it ``what``."""
    return StoredValue(dict(value.headers or {}), value.data, what)


def value_of(headers: dict[str, str] | None, data: str | None) -> Value:
    """Return headers and text as they are sent.

    Raises TypeError and ValueError for what is none, ValueTooLargeError for more than may be sent.
    """
    check_strings("headers", headers)
    if data is None:
        return Value(headers)
    if not isinstance(data, str):
        raise TypeError(
            f"data must be `str | None`, got {type(data).__name__}: "
            "it is the JSON text of a value, so write json.dumps(value)"
        )
    check_unicode("data", data)
    encoded = base64.b64encode(data.encode()).decode("ascii")
    if len(encoded) > LIMIT:
        raise ValueTooLargeError("data", len(encoded), LIMIT)
    return Value(headers, encoded)


def ask(shared: Shared, kind: Callable[[rq.Head, D], rq.Request], data: D) -> Exchange[Item]:
    """Send one request; what comes of it is its answer, whatever that is.

    Raises ResonateStoreError when there is none in time, ResonateShutdownError.
    """
    client = shared.client
    return (yield client.ask(kind(client.head(), data)))


def answered(shared: Shared, kind: Callable[[rq.Head, D], rq.Request], data: D) -> Exchange[Any]:
    """Send one request; what comes of it is the data of its answer, unless it was refused."""
    item = yield from ask(shared, kind, data)
    return checked(item.answers[0]).data


# --- pages ----------------------------------------------------------------------------------------


class Page(Protocol):
    """One page of a search; ``cursor`` asks for the next one, and is None on the last."""

    @property
    def cursor(self) -> str | None:
        """Return what the next search begins with."""


def pages(search: Callable[[str | None], G]) -> Iterator[G]:
    """Yield all pages of a search, each when it is needed; ``search`` takes a cursor."""
    cursor: str | None = None
    while True:
        page = search(cursor)
        yield page
        cursor = page.cursor
        if cursor is None:
            return


async def awaited_pages(search: Callable[[str | None], Awaitable[G]]) -> AsyncIterator[G]:
    """As ``pages``, for an event loop."""
    cursor: str | None = None
    while True:
        page = await search(cursor)
        yield page
        cursor = page.cursor
        if cursor is None:
            return


# --- checks ---------------------------------------------------------------------------------------


def check_strings(name: str, value: object) -> None:
    """Raise unless ``value`` is None or maps texts to texts."""
    if value is None:
        return
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be `dict | None`, got {type(value).__name__}")
    for pair in value.items():
        for text in pair:
            if not isinstance(text, str):
                raise TypeError(f"{name} must map `str` to `str`, got {type(text).__name__}")
            check_unicode(name, text)


def check_milliseconds(name: str, value: object) -> None:
    """Raise unless ``value`` is a whole number that the protocol can write."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be `int`, got {type(value).__name__}")
    if not INT64_MIN <= value <= INT64_MAX:
        raise ValueError(f"{name} must have 64 bits at the most")


def check_no_page(given: Mapping[str, Any]) -> None:
    """Raise TypeError for what says which page, or what to tell of it: all pages are asked for."""
    for name in ("cursor", "counts"):
        if name in given:
            raise TypeError(f"search_all takes no {name}, it goes through all pages: use search")


def check_filters(given: dict[str, Any], kinds: dict[str, type]) -> dict[str, Any]:
    """Return the filters of a search that say something; ``kinds`` has the type of each."""
    for name, value in given.items():
        if name not in kinds:
            raise TypeError(f"a search has no filter {name!r}: it has {', '.join(kinds)}")
        if value is not None:
            _check_filter(name, value, kinds[name])
    return {name: value for name, value in given.items() if value is not None}


def _check_filter(name: str, value: object, kind: type) -> None:
    if kind is dict:
        check_strings(name, value)
    elif kind is int:
        check_milliseconds(name, value)
    elif not isinstance(value, kind):
        raise TypeError(f"{name} must be `{kind.__name__}`, got {type(value).__name__}")
    elif isinstance(value, str):
        check_unicode(name, value)
