"""The context: the first argument of every registered function."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

_logger = logging.getLogger("resonate.function")


class Info(Struct, frozen=True):
    """Facts about the execution.

    - ``id``: of the promise.
    - ``attempt``: from 1.
    - ``tags``: of the promise.
    - ``timeout``: the deadline, seconds since the epoch.
    - ``version``: of the function.
    """

    id: str
    attempt: int
    tags: dict[str, str]
    timeout: float
    version: int


class Context:
    """What a running function can know and use."""

    def __init__(self, info: Info, dependencies: Mapping[str, Any]) -> None:
        self._info = info
        self._dependencies = dependencies

    def __repr__(self) -> str:
        return f"Context(id={self._info.id!r})"

    @property
    def id(self) -> str:
        """Return the id of the promise that this execution will settle."""
        return self._info.id

    @property
    def info(self) -> Info:
        """Return facts about the execution."""
        return self._info

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Return a logger that adds ``promise_id`` and ``attempt`` to every record."""
        fields = {"promise_id": self._info.id, "attempt": self._info.attempt}
        return logging.LoggerAdapter(_logger, fields)

    def get_dependency(self, key: str, default: Any = None) -> Any:
        """Return what ``set_dependency`` stored under ``key``, else ``default``.

        Raises TypeError when ``key`` is no string.
        """
        if not isinstance(key, str):
            raise TypeError(f"key must be `str`, got {type(key).__name__}")
        return self._dependencies.get(key, default)
