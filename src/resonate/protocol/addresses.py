"""Addresses: where a task may run and where an unblock goes.

==============================  =================================================================
``poll://any@{group}``          one connection of the group
``poll://any@{group}/{id}``     that connection if it can take the message, else any of the group
``poll://uni@{group}/{id}``     exactly that connection
``http://…``, ``https://…``     HTTP POST
==============================  =================================================================

``%XX`` in group and id is decoded before comparing, here and in the path of ``GET /poll``.
Source: protocol 2026-04-01, section 6.1.

Tasks for any member of a group that say which function they call wait in a queue of that function,
so that those nobody can run stand before no others (extension, docs/reference/http-api.md).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

_POLL = re.compile(
    r"poll://(?P<cast>any|uni)@(?P<group>[^/?#@:\x00-\x1f\x7f-\x9f]+)(?:/(?P<id>.*))?", re.DOTALL
)
POLLED = "poll://"  # routes that begin so are polled; those of HTTP addresses come before it
_ANY = POLLED + "any@"
_FUNCTION = "#"  # between the route of a group and a function; a quoted name has none
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_REMEMBERED_CHARACTERS_MAX = 256  # the cache keeps texts that were refused, too: they must be short


class Address(Struct, frozen=True):
    """A parsed address. ``route`` is the canonical name of the queue its tasks wait in."""

    cast: Literal["any", "uni", "http"]
    route: str
    group: str = ""
    id: str | None = None


def parse_address(text: str) -> Address | None:
    """Return the address that ``text`` names, or None when it is not a valid one."""
    return _remembered(text) if len(text) <= _REMEMBERED_CHARACTERS_MAX else _parse(text)


def _parse(text: str) -> Address | None:
    scheme = _SCHEME.match(text)
    if scheme is None:
        return None
    rest = text[scheme.end() :]
    name = scheme.group()[:-3].lower()
    if name == "poll":
        return _parse_poll("poll://" + rest)
    if name in ("http", "https"):
        return _parse_http(text)
    return None


_remembered = lru_cache(maxsize=4096)(_parse)


def _parse_poll(text: str) -> Address | None:
    match = _POLL.fullmatch(text)
    if match is None:
        return None
    group = unquote(match["group"])
    member = unquote(match["id"]) if match["id"] else None
    if match["cast"] == "any":
        return Address(cast="any", route=any_route(group), group=group, id=member)
    if member is None:
        return None
    return Address(cast="uni", route=uni_route(group, member), group=group, id=member)


def _parse_http(text: str) -> Address | None:
    try:
        host = urlsplit(text).hostname
    except ValueError:
        return None
    if not host or any(character <= " " or character == "\x7f" for character in text):
        return None
    return Address(cast="http", route=text)


def any_route(group: str, function: str | None = None) -> str:
    """Name the queue of tasks for any member of ``group``: those of one function, or of none."""
    route = f"poll://any@{quote(group, safe='')}"
    return route if function is None else f"{route}{_FUNCTION}{function}"


def function_key(name: str, version: str = "1") -> str:
    """Return how a function of a version is named in routes, and in what a worker declares."""
    key = quote(name, safe="")
    return key if version == "1" else f"{key}:{quote(version, safe='')}"


def route_of(target: str, name: str | None, version: str | None) -> str | None:
    """Name the queue of a task: by its target and the function it calls, where it tells that.

    None for a target that is no address.
    """
    address = parse_address(target)
    if address is None:
        return None
    if not name or address.cast != "any":
        return address.route
    return f"{address.route}{_FUNCTION}{function_key(name, version or '1')}"


def has_function(route: str) -> bool:
    """Tell whether a route says which function its tasks call."""
    return _FUNCTION in route and route.startswith(_ANY)


def function_of(route: str) -> str | None:
    """Return the key of the function that the tasks of a route call; None where it tells none."""
    return route.partition(_FUNCTION)[2] if has_function(route) else None


def function_routes(group: str) -> tuple[str, str]:
    """Return two texts between which all routes of the functions of ``group`` lie."""
    route = any_route(group)
    return route + _FUNCTION, route + chr(ord(_FUNCTION) + 1)


def uni_route(group: str, member: str) -> str:
    """Name the queue of tasks for exactly ``member`` of ``group``."""
    return f"poll://uni@{quote(group, safe='')}/{quote(member, safe='')}"


def push_group(url: str) -> str:
    """Name the group of an HTTP address. No connection can be of it: its name begins with a NUL."""
    return "\x00" + url


def is_pushed(route: str) -> bool:
    """Tell whether the tasks of a route are pushed over HTTP: no connection asks for them."""
    return not route.startswith(POLLED)
