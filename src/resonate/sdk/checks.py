"""Checks of what users pass in. The words are those of the published SDK, where it has some."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def check_text(name: str, value: object) -> None:
    """Raise unless ``value`` is a text with something in it."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be `str`, got {type(value).__name__}")
    check_filled(name, value)


def check_text_or_none(name: str, value: object) -> None:
    """Raise unless ``value`` is None or a text with something in it."""
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name} must be `str | None`, got {type(value).__name__}")
    check_filled(name, value)


def check_filled(name: str, value: str) -> None:
    """Raise ValueError for the empty text, and for one that cannot be sent."""
    if not value:
        raise ValueError(f"{name} must not be empty")
    check_unicode(name, value)


def check_unicode(name: str, value: str) -> None:
    """Raise ValueError for a text that cannot be sent."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} is no valid Unicode: it has half a surrogate") from None


def check_number(name: str, value: object) -> None:
    """Raise unless ``value`` is a positive whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be `int`, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be greater than zero")


def check_seconds(name: str, value: object) -> None:
    """Raise unless ``value`` is a number of seconds."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be `float`, got {type(value).__name__}")
    if not value > 0:
        raise ValueError(f"{name} must be greater than zero")


def check_kind(name: str, value: object, kind: type) -> None:
    """Raise unless ``value`` is None or of this kind."""
    if not (value is None or isinstance(value, kind)):
        raise TypeError(f"{name} must be `{kind.__name__} | None`, got {type(value).__name__}")


def check_auth(auth: object) -> None:
    """Raise unless ``auth`` is None or (user, password)."""
    if auth is not None and not (
        isinstance(auth, tuple) and len(auth) == 2 and all(isinstance(each, str) for each in auth)
    ):
        raise TypeError(f"auth must be `tuple[str, str] | None`, got {type(auth).__name__}")


def check_url(url: str) -> None:
    """Raise unless this can be the URL of a server."""
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"url must begin with http:// or https://, got {url!r}")
    problem = ""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # a port out of range, brackets that do not match
        named, problem = False, f": {error}"
    if not named:
        raise ValueError(f"url must have a host, and a port that exists, got {url!r}{problem}")


def set_log_level(level: object) -> None:
    """Set the level of our loggers, unless it is None."""
    if level is None:
        return
    if isinstance(level, bool) or not isinstance(level, int | str):
        raise TypeError(f"log_level must be an int or a str, got {type(level).__name__}")
    if isinstance(level, str) and level.upper() not in _LEVELS:
        raise ValueError(f"string log_level must be one of {_LEVELS}, got {level!r}")
    logging.getLogger("resonate").setLevel(level.upper() if isinstance(level, str) else level)


def check_dependencies(dependencies: object) -> None:
    """Raise unless ``dependencies`` is None or objects by name."""
    check_kind("dependencies", dependencies, Mapping)
