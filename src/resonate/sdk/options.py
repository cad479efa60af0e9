"""Options of calls: immutable, merged from left to right."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from resonate.protocol.limits import INT64_MAX
from resonate.sdk.checks import check_unicode

_YEAR_SECONDS = 31_536_000.0
_SPECIAL = re.compile(r"[/?#@:%\x00-\x1f\x7f-\x9f]")


class Options(Struct, frozen=True):
    """What a call may say beyond its function and arguments.

    - ``target``: a group, or an address (``poll://any@group``); None means the client's own group.
    - ``timeout``: seconds until the deadline of the promise; one year by default.
    - ``version``: of the function; 0 means the highest registered one.
    - ``tags``: stored with the promise; replace those set before.
    """

    tags: dict[str, str] | None = None
    target: str | None = None
    timeout: float = _YEAR_SECONDS
    version: int = 0

    def merged(
        self,
        *,
        tags: dict[str, str] | None = None,
        target: str | None = None,
        timeout: float | None = None,
        version: int | None = None,
    ) -> Options:
        """Return options with the given ones replaced; None keeps the present value.

        Raises TypeError and ValueError with the name of the wrong option.
        """
        _check("tags", tags, dict)
        _check("target", target, str)
        _check("timeout", timeout, float)
        _check("version", version, int)
        if target is not None:
            check_unicode("target", target)
        if version is not None and version < 0:
            raise ValueError("version must be greater than or equal to zero")
        if timeout is not None and not timeout >= 0:
            raise ValueError("timeout must be greater than or equal to zero")
        given = {
            "tags": None if tags is None else _checked_tags(tags),
            "target": target,
            "timeout": timeout,
            "version": version,
        }
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def deadline(self) -> int:
        """Return the deadline of a promise that is made now, in milliseconds since the epoch."""
        now = time.time()
        if self.timeout > INT64_MAX / 1000 - now - 1:
            return INT64_MAX
        return int((now + self.timeout) * 1000)


def _check(name: str, value: Any, kind: type) -> None:
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return
    raise TypeError(f"{name} must be `{kind.__name__}`, got {type(value).__name__}")


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    for pair in tags.items():
        for text in pair:
            if not isinstance(text, str):
                raise TypeError(f"tags must map `str` to `str`, got {type(text).__name__}")
            check_unicode("tags", text)
    return dict(tags)


def address_of(target: str) -> str:
    """Return the address that a target names: a bare name means any member of that group."""
    return target if "://" in target else f"poll://any@{target}"


def address_of_group(group: str) -> str:
    """Return the address of any member of a group, whatever characters its name has."""
    return f"poll://any@{quoted(group)}"


def quoted(name: str) -> str:
    """Return the name of a group or process as it is written in an address."""
    return _SPECIAL.sub(lambda match: quote(match.group(), safe=""), name)
