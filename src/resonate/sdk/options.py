"""Options of calls: immutable, merged from left to right."""

from __future__ import annotations

import re
import threading
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from resonate.protocol.limits import INT64_MAX
from resonate.sdk.checks import check_text, check_unicode
from resonate.sdk.encoders import Encoder
from resonate.sdk.retries import check_non_retryable, check_policy
from resonate.sdk.retry_tags import check_travels

YEAR_SECONDS = 31_536_000.0
_SPECIAL = re.compile(r"[/?#@:%\x00-\x1f\x7f-\x9f]")


class Options(Struct, frozen=True):
    """What a call may say beyond its function and arguments.

    - ``target``: a group, or an address (``poll://any@group``); None means the client's own group.
    - ``timeout``: seconds until the deadline of the promise; one year by default.
    - ``version``: of the function; 0 means the highest registered one.
    - ``tags``: stored with the promise; replace those set before.
    - ``retry_policy``: whether and when the function is tried again when it raises; one of ours,
      which travels with the call.
    - ``encoder``: of arguments and results, in place of the client's.
    """

    tags: dict[str, str] | None = None
    target: str | None = None
    timeout: float = YEAR_SECONDS
    version: int = 0
    retry_policy: Any = None
    encoder: Encoder | None = None

    def merged(
        self,
        *,
        tags: dict[str, str] | None = None,
        target: str | None = None,
        timeout: float | None = None,
        version: int | None = None,
        retry_policy: Any = None,
        encoder: Encoder | None = None,
    ) -> Options:
        """Return options with the given ones replaced; None keeps the present value.

        Raises TypeError and ValueError with the name of the wrong option.
        """
        check_travels(retry_policy)
        given = checked_options(
            tags=tags,
            target=target,
            timeout=timeout,
            version=version,
            retry_policy=retry_policy,
            encoder=encoder,
        )
        return replace(self, **given)


def deadline(timeout: float, now: float) -> int:
    """Return the deadline of a promise in milliseconds since the epoch; both are in seconds."""
    return INT64_MAX if timeout > INT64_MAX / 1000 - now - 1 else int((now + timeout) * 1000)


def check_timeout(timeout: object) -> None:
    """Raise unless ``timeout`` is a number of seconds; zero and infinity are some."""
    _check_kind("timeout", timeout, float)
    if not timeout >= 0:  # type: ignore[operator]  # it is a number
        raise ValueError("timeout must be greater than or equal to zero")


def patience(timeout: object) -> float | None:
    """Return how many seconds to wait for a result, None without end; below zero is zero.

    Raises TypeError for what is no number, ValueError for NaN.
    """
    if timeout is None:
        return None
    _check_kind("timeout", timeout, float)
    seconds: float = timeout  # type: ignore[assignment]  # it is a number
    if seconds > threading.TIMEOUT_MAX:  # no thread can wait so long
        return None
    if not seconds >= 0 and not seconds < 0:
        raise ValueError("timeout must not be NaN")
    return max(seconds, 0)


def _check_kind(name: str, value: object, kind: type) -> None:
    numbers = (int, float) if kind is float else kind
    if not isinstance(value, numbers) or isinstance(value, bool):
        raise TypeError(f"{name} must be `{kind.__name__}`, got {type(value).__name__}")


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    for pair in tags.items():
        for text in pair:
            if not isinstance(text, str):
                raise TypeError(f"tags must map `str` to `str`, got {type(text).__name__}")
            check_unicode("tags", text)
    return dict(tags)


def check_encoder(encoder: object) -> None:
    """Raise TypeError unless ``encoder`` is None or has the methods of one."""
    methods = (getattr(encoder, name, None) for name in ("encode", "decode"))
    if encoder is not None and not all(map(callable, methods)):
        raise TypeError(f"encoder must be `Encoder | None`, got {type(encoder).__name__}")


def address_of(target: str) -> str:
    """Return the address that a target names: a bare name means any member of that group."""
    return target if "://" in target else f"poll://any@{target}"


def address_of_group(group: str) -> str:
    """Return the address of any member of a group, whatever characters its name has."""
    return f"poll://any@{quoted(group)}"


def quoted(name: str) -> str:
    """Return the name of a group or process as it is written in an address."""
    return _SPECIAL.sub(lambda match: quote(match.group(), safe=""), name)


def checked_options(**given: Any) -> dict[str, Any]:
    """Return those options of an operation that were given, checked; see ``Operation.options``.

    Raises TypeError and ValueError with the name of the wrong option.
    """
    found = {name: value for name, value in given.items() if value is not None}
    for name, value in found.items():
        kind = _KINDS.get(name)
        if kind is not None:
            _check_kind(name, value, kind)
    check_policy(found.get("retry_policy"))
    check_encoder(found.get("encoder"))
    check_non_retryable(found.get("non_retryable_exceptions", ()))
    for name in ("id", "target"):
        if name in found:
            check_text(name, found[name])
    if found.get("version", 0) < 0:
        raise ValueError("version must be greater than or equal to zero")
    if "timeout" in found:
        check_timeout(found["timeout"])
    if "tags" in found:
        found["tags"] = _checked_tags(found["tags"])
    return found


_KINDS: dict[str, type] = {
    "id": str,
    "timeout": float,
    "tags": dict,
    "target": str,
    "version": int,
}
