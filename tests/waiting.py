"""Waiting for something in a test: with a deadline, never by sleeping blindly."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any


async def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Return what ``condition`` (it may be a coroutine function) returns, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := await _value(condition())):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        await asyncio.sleep(0.001)
    return found


async def never(condition: Callable[[], object], seconds: float = 0.05) -> None:
    """Hold that ``condition`` stays untrue for a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert not (found := condition()), found
        await asyncio.sleep(0.001)


async def _value(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found
