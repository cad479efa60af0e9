"""One execution: what is to be called, and the calling of it, with every way it can end.

``run`` and ``run_async`` are the only places where user code runs. They never raise: whatever comes
out of a function is its outcome.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.records import PromiseRecord, SettleState, Value
from resonate.sdk import codec
from resonate.sdk.context import Context, Info
from resonate.sdk.errors import DecodingError
from resonate.sdk.registry import Registered

Ended = tuple[SettleState, Value]


class Invocation:
    """What a param says: call this function of this version with these arguments.

    Raises DecodingError for a param that says something else.
    """

    def __init__(self, promise: PromiseRecord) -> None:
        stored = codec.decode(promise.param, promise.id)
        try:
            self.name = str(stored["func"])
            self.args = list(stored.get("args") or [])
            self.kwargs = dict(stored.get("kwargs") or {})
            self.version = int(stored.get("version") or 0)
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise DecodingError(
                f"the param of promise {promise.id} is no invocation of a function: {error!r}"
            ) from error


class Execution:
    """One task that this process holds."""

    def __init__(self, lease: LeaseAnswer) -> None:
        self.id = lease.task.id
        self.version = lease.task.version
        self.promise = lease.promise
        self.key = (self.id, self.version, lease.promise.created_at)
        self.lost = False
        self.ended = False
        self.complained = False
        self.cancel: Callable[[], object] | None = None

    def lose(self) -> None:
        """Whatever comes of it is thrown away."""
        self.lost = True
        if self.cancel is not None:
            self.cancel()


class Call:
    """A function with the arguments of one execution."""

    def __init__(
        self,
        execution: Execution,
        invocation: Invocation,
        entry: Registered,
        dependencies: Mapping[str, Any],
    ) -> None:
        promise = execution.promise
        info = Info(
            id=promise.id,
            attempt=1,
            tags=promise.tags,
            timeout=promise.timeout_at / 1000,
            version=entry.version,
        )
        self._entry = entry
        self._context = Context(info, dependencies)
        self._invocation = invocation

    def run(self) -> Ended | Awaitable[Any]:
        """Call a function; one that gives a coroutine is to be awaited by ``run_async``."""
        try:
            value = self._begin()
            return value if inspect.iscoroutine(value) else ("resolved", codec.encode(value))
        except BaseException as error:  # noqa: BLE001  # whatever user code raises is its outcome
            return "rejected", codec.encode_error(error)

    async def run_async(self, begun: Awaitable[Any] | None = None) -> Ended:
        """Call and await an ``async def`` function, or await what ``run`` gave."""
        try:
            value = await (self._begin() if begun is None else begun)
            return "resolved", codec.encode(value)
        except BaseException as error:  # noqa: BLE001  # whatever user code raises is its outcome
            return "rejected", codec.encode_error(error)

    def _begin(self) -> Any:
        return self._entry.func(self._context, *self._invocation.args, **self._invocation.kwargs)


def ended(task: asyncio.Task[Ended]) -> Ended:
    """Return how an async function ended; one cancelled before its first step never began."""
    if task.cancelled():
        return "rejected", codec.encode_error(asyncio.CancelledError("cancelled before it began"))
    return task.result()
