"""What an AsyncResonate has besides its calls: how it is made, how it lives and how it ends.

It stands on a Resonate that nobody sees, which checks and keeps what was given: whatever does not
wait is the same. What waits is asked of the same exchanges, and awaited.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from resonate.sdk.async_promises import AsyncPromises
from resonate.sdk.async_schedules import AsyncSchedules
from resonate.sdk.async_shared import AsyncShared
from resonate.sdk.calls import Calls
from resonate.sdk.encoders import Encoder
from resonate.sdk.registry import Executor, Registered, Registry
from resonate.sdk.resonate import Resonate
from resonate.sdk.retries import RetryPolicy, RetryPolicyMaker


class Core(Resonate):
    """What both faces have in common, of one that awaits."""

    _kind = AsyncShared

    @property
    def shared(self) -> AsyncShared:
        """Return what its copies have in common with it."""
        assert isinstance(self._shared, AsyncShared), "it is made by _kind"
        return self._shared

    @property
    def calls(self) -> Calls:
        """Return its calls, with its options."""
        return self._calls

    def entered(
        self,
        func: Callable[..., Any],
        name: str | None,
        version: int,
        retry_policy: RetryPolicy | RetryPolicyMaker | None,
        non_retryable: tuple[type[BaseException], ...],
        executor: Executor,
    ) -> Registered:
        """Make a function known; see ``Resonate.register``."""
        return self.shared.registry.add(
            func,
            name,
            version,
            retry_policy=retry_policy,
            non_retryable=non_retryable,
            executor=executor,
        )


class AsyncBase:
    """All of ``AsyncResonate`` but its calls."""

    def __init__(
        self,
        url: str | None = None,
        *,
        group: str = "default",
        pid: str | None = None,
        ttl: int = 10,
        concurrency: int = 32,
        workers: int | None = None,
        dependencies: Mapping[str, Any] | None = None,
        registry: Registry | None = None,
        token: str | None = None,
        auth: tuple[str, str] | None = None,
        patience: float = 30.0,
        log_level: int | str | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self._core = Core(
            url,
            group=group,
            pid=pid,
            ttl=ttl,
            concurrency=concurrency,
            workers=workers,
            dependencies=dependencies,
            registry=registry,
            token=token,
            auth=auth,
            patience=patience,
            log_level=log_level,
            encoder=encoder,
        )

    @classmethod
    def remote(
        cls,
        url: str | None = None,
        *,
        host: str | None = None,
        store_port: str | int | None = None,
        message_source_port: str | int | None = None,
        auth: tuple[str, str] | None = None,
        token: str | None = None,
        dependencies: Mapping[str, Any] | None = None,
        group: str = "default",
        log_level: int | str | None = None,
        pid: str | None = None,
        registry: Registry | None = None,
        ttl: int = 10,
        concurrency: int = 32,
        workers: int | None = None,
        patience: float = 30.0,
        encoder: Encoder | None = None,
    ) -> Self:
        """Return a client of a server; see ``Resonate.remote``."""
        core = Core.remote(
            url,
            host=host,
            store_port=store_port,
            message_source_port=message_source_port,
            auth=auth,
            token=token,
            dependencies=dependencies,
            group=group,
            log_level=log_level,
            pid=pid,
            registry=registry,
            ttl=ttl,
            concurrency=concurrency,
            workers=workers,
            patience=patience,
            encoder=encoder,
        )
        return cls._on(core)

    @classmethod
    def local(
        cls,
        *,
        dependencies: Mapping[str, Any] | None = None,
        group: str = "default",
        log_level: int | str | None = None,
        pid: str | None = None,
        registry: Registry | None = None,
        ttl: int = 10,
        concurrency: int = 32,
        workers: int | None = None,
        encoder: Encoder | None = None,
    ) -> Self:
        """Return a client with a server of its own, inside this process, in memory.

        The same rules as with a real server; everything is forgotten when the process ends, or with
        ``stop``.
        """
        core = Core.local(
            dependencies=dependencies,
            group=group,
            log_level=log_level,
            pid=pid,
            registry=registry,
            ttl=ttl,
            concurrency=concurrency,
            workers=workers,
            encoder=encoder,
        )
        return cls._on(core)

    @classmethod
    def _on(cls, core: Resonate) -> Self:
        assert isinstance(core, Core), "it was made by one"
        made = object.__new__(cls)
        made._core = core
        return made

    def __repr__(self) -> str:
        return f"Async{self._core!r}"

    @property
    def group(self) -> str:
        """Return the group this process belongs to."""
        return self._core.group

    @property
    def pid(self) -> str:
        """Return the name of this process."""
        return self._core.pid

    @property
    def promises(self) -> AsyncPromises:
        """Return the client of promises: read, create, settle and find them."""
        return AsyncPromises(self._core.shared)

    @property
    def schedules(self) -> AsyncSchedules:
        """Return the client of schedules: read, create, delete and find them."""
        return AsyncSchedules(self._core.shared)

    def set_dependency(self, name: str, value: Any) -> None:
        """Make ``value`` available to all functions as ``ctx.get_dependency(name)``.

        ``async def`` functions may use what belongs to the event loop: it is theirs, too.
        """
        self._core.set_dependency(name, value)

    def options(
        self,
        *,
        tags: dict[str, str] | None = None,
        target: str | None = None,
        timeout: float | None = None,
        version: int | None = None,
        retry_policy: RetryPolicy | RetryPolicyMaker | None = None,
        encoder: Encoder | None = None,
    ) -> Self:
        """Return a copy, sharing everything, whose calls have these options.

        See ``Resonate.options``. None keeps the present value.
        """
        core = self._core.options(
            tags=tags,
            target=target,
            timeout=timeout,
            version=version,
            retry_policy=retry_policy,
            encoder=encoder,
        )
        return self._on(core)

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to work: from now on this process takes tasks of its group. Returns at once.

        ``async def`` functions run on the event loop that runs now, the others on threads. Raises
        RuntimeError when none runs, or another than that of the first use.
        """
        self._core.shared.bind(working=True)
        self._core.start()

    async def stop(self, timeout: float = 30.0) -> None:
        """Stop: take nothing new, let running functions finish for ``timeout`` seconds.

        The event loop goes on meanwhile. What did not finish is released, another worker has it at
        once; its ``async def`` functions are cancelled. May be used again, also on another event
        loop. When this is cancelled, the stopping goes on. Raises RuntimeError on another event
        loop than that of the first use.
        """
        await self._core.shared.stop_without_blocking(timeout)

    async def run_until_signal(self, timeout: float = 30.0) -> None:
        """Work until SIGINT or SIGTERM, then ``stop(timeout)``. Call it on the main thread."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        numbers = (signal.SIGINT, signal.SIGTERM)

        def end(*_: object) -> None:
            loop.call_soon_threadsafe(ended.set)

        before = {number: signal.signal(number, end) for number in numbers}
        try:
            self.start()
            await ended.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        await self.stop(timeout)

    async def __aenter__(self) -> Self:
        """Belong to the event loop that runs. Does not start to work: ``start`` does."""
        self._core.shared.bind()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.stop()
