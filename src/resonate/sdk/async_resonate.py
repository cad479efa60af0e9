"""The public class for programs on asyncio: what ``Resonate`` does, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, overload

from resonate.sdk.async_function import AsyncFunction
from resonate.sdk.async_handle import AsyncHandle
from resonate.sdk.async_promises import AsyncPromises
from resonate.sdk.async_schedules import AsyncSchedule, AsyncSchedules, to_await
from resonate.sdk.async_shared import AsyncShared
from resonate.sdk.base import Base
from resonate.sdk.calls import Begun
from resonate.sdk.options import check_timeout
from resonate.sdk.pool import tell
from resonate.sdk.retries import RetryPolicy, RetryPolicyMaker
from resonate.sdk.scheduling import schedule
from resonate.sdk.signals import signals

P = ParamSpec("P")
R = TypeVar("R")


class AsyncResonate(Base[AsyncShared]):
    """A ``Resonate`` for an event loop: the same names, and what would block is awaited.

    The arguments are those of ``Resonate``. It may be made anywhere, and belongs to the event loop
    of its first use until ``stop``; on another one it raises RuntimeError. Several may share a
    loop. It is used in coroutines only, not from other threads.

    ``async def`` functions of the worker run on that loop, along with the program, and may use its
    sessions and pools. Plain functions and generators run on threads. Requests and heartbeats have
    a thread of their own: a loop that is busy loses no lease.

    ``async with AsyncResonate(...) as resonate:`` stops at its end, with the default timeout, and
    does not start by itself: a client works only after ``start``, ``run`` or ``begin_run``.
    """

    _kind = AsyncShared

    @property
    def promises(self) -> AsyncPromises:
        """Return the client of promises: read, create, settle and find them."""
        return AsyncPromises(self._shared)

    @property
    def schedules(self) -> AsyncSchedules:
        """Return the client of schedules: read, create, delete and find them."""
        return AsyncSchedules(self._shared)

    # --- setting up -------------------------------------------------------------------------------

    @overload
    def register(
        self,
        func: Callable[Concatenate[Any, P], R],
        /,
        *,
        name: str | None = None,
        version: int = 1,
        retry_policy: RetryPolicy | RetryPolicyMaker | None = None,
        non_retryable_exceptions: tuple[type[BaseException], ...] = (),
        executor: Literal["process"] | None = None,
    ) -> AsyncFunction[P, R]: ...
    @overload
    def register(
        self,
        func: None = None,
        /,
        *,
        name: str | None = None,
        version: int = 1,
        retry_policy: RetryPolicy | RetryPolicyMaker | None = None,
        non_retryable_exceptions: tuple[type[BaseException], ...] = (),
        executor: Literal["process"] | None = None,
    ) -> Callable[[Callable[Concatenate[Any, P], R]], AsyncFunction[P, R]]: ...
    def register(
        self,
        func: Callable[Concatenate[Any, P], R] | None = None,
        /,
        *,
        name: str | None = None,
        version: int = 1,
        retry_policy: RetryPolicy | RetryPolicyMaker | None = None,
        non_retryable_exceptions: tuple[type[BaseException], ...] = (),
        executor: Literal["process"] | None = None,
    ) -> AsyncFunction[P, R] | Callable[[Callable[Concatenate[Any, P], R]], AsyncFunction[P, R]]:
        """Make a function known under ``name`` (its own by default) and ``version`` (from 1).

        See ``Resonate.register``; what it returns has calls to be awaited.
        """

        def registered(func: Callable[Concatenate[Any, P], R]) -> AsyncFunction[P, R]:
            entry = self._enter(
                func, name, version, retry_policy, non_retryable_exceptions, executor
            )
            return AsyncFunction(self, entry)

        return registered if func is None else registered(func)

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to work: from now on this process takes tasks of its group. Returns at once.

        ``async def`` functions run on the event loop that runs now, the others on threads. Raises
        RuntimeError when none runs, or another than that of the first use.
        """
        self._shared.bind(working=True)
        self._shared.client.start()

    async def stop(self, timeout: float = 30.0) -> None:
        """Stop: take nothing new, let running functions finish for ``timeout`` seconds.

        The event loop goes on meanwhile. What did not finish is released, another worker has it at
        once; its ``async def`` functions are cancelled. Zero waits for nothing, and infinity
        without end. Called again meanwhile, the shorter time counts. May be used again, also on
        another event loop; what is in memory only (``local``) is forgotten. When this is cancelled,
        the stopping goes on.

        Raises TypeError or ValueError, and stops nothing, when ``timeout`` is no number of seconds;
        RuntimeError on another event loop than that of the first use. What the server does not
        answer is logged, and no error.
        """
        check_timeout(timeout)
        await self._shared.stop_without_blocking(timeout)

    async def run_until_signal(self, timeout: float = 30.0) -> None:
        """Work until SIGINT or SIGTERM, then ``stop(timeout)``. Call it on the main thread.

        A second signal ends the patience: what still runs is released at once, as with ``stop(0)``,
        and this returns as it would have. Further ones change nothing. The handlers of before are
        back when it returns.

        Raises TypeError or ValueError as ``stop``; RuntimeError on another event loop than that of
        the first use, and on another thread than the main one, before anything has begun.
        """
        check_timeout(timeout)
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        with signals(lambda: tell(loop, ended.set), lambda: self._shared.stop(0)):
            self.start()
            await ended.wait()
            await self.stop(timeout)

    async def __aenter__(self) -> Self:
        """Belong to the event loop that runs. Does not start to work: ``start`` does."""
        self._shared.bind()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # --- calling ----------------------------------------------------------------------------------

    @overload
    async def run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    async def run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    async def run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    async def run(self, id: str, func: str, /, *args: Any, **kwargs: Any) -> Any: ...
    async def run(
        self, id: str, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> Any:
        """Run a registered function in this process, durably, and return its result.

        The same as ``await (await begin_run(...))``. Inside an ``async def`` function of a worker
        it uses the slot of that function, which waits for it. Raises what ``begin_run`` raises, and
        what the call ended with, as ``AsyncHandle.result``.
        """
        return await (await self.begin_run(id, func, *args, **kwargs))

    @overload
    async def begin_run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncHandle[R]: ...
    @overload
    async def begin_run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncHandle[R]: ...
    @overload
    async def begin_run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncHandle[R]: ...
    @overload
    async def begin_run(
        self, id: str, func: str, /, *args: Any, **kwargs: Any
    ) -> AsyncHandle[Any]: ...
    async def begin_run(
        self, id: str, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> AsyncHandle[Any]:
        """Begin to run a registered function in this process; return once the call is durable.

        If this process dies, another worker of the target has it. With an ``id`` that exists,
        nothing new is run: the handle is that of the first call. Starts the worker. ``id`` is a
        text of up to 4096 bytes; ``func`` a registered function, or the name of one.

        Raises FunctionNotFoundError for a function that is not registered here,
        VersionNotFoundError when the version that ``options`` say is not; ArgumentsError for
        arguments that the function does not take, EncodingError for some that are no JSON,
        ValueTooLargeError for more than 3.75 MiB of them, in base64; TypeError and ValueError for
        an ``id`` or ``func`` that is neither; RuntimeError on another event loop than that of the
        first use. All these before anything is made.

        Raises ResonateStoreError when the server refuses (``code`` is its status) or does not
        answer within the client's ``patience`` (``code`` 0), ResonateShutdownError when the client
        is stopped before it answers. A client that was stopped connects anew. When this is
        cancelled, the call may have been made, and goes on: ``get(id)`` tells.
        """
        self._shared.bind(working=True)
        return await self._begun(self._calls.begin_run(id, func, args, kwargs))

    @overload
    async def rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    async def rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    async def rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    async def rpc(self, id: str, func: str, /, *args: Any, **kwargs: Any) -> Any: ...
    async def rpc(
        self, id: str, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> Any:
        """Call a function on any member of the target group and return its result.

        The same as ``await (await begin_rpc(...))``, with one round trip less: raises what
        ``begin_rpc`` raises, and what the call ended with, as ``AsyncHandle.result``. When this is
        cancelled, the call goes on: ``get(id)`` has it.
        """
        return await (await self._begun(self._calls.rpc(id, func, args, kwargs)))

    @overload
    async def begin_rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncHandle[R]: ...
    @overload
    async def begin_rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncHandle[R]: ...
    @overload
    async def begin_rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncHandle[R]: ...
    @overload
    async def begin_rpc(
        self, id: str, func: str, /, *args: Any, **kwargs: Any
    ) -> AsyncHandle[Any]: ...
    async def begin_rpc(
        self, id: str, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> AsyncHandle[Any]:
        """Call a function on any member of the target group; return once the call is durable.

        The handle may be dropped and the process may end. ``func`` is a name, which needs no
        registration here, or a registered function. With an ``id`` that exists, nothing new is
        executed: the handle is that of the first call.

        Raises FunctionNotFoundError for a function object that is not registered, ArgumentsError
        for arguments that it does not take; those of a name are looked at by the worker, and the
        call ends with that error. EncodingError, ValueTooLargeError, TypeError, ValueError,
        RuntimeError, ResonateStoreError and ResonateShutdownError as ``begin_run``. A name or
        version that no worker has is no error: the call waits for one, until its deadline.
        """
        return await self._begun(self._calls.begin_rpc(id, func, args, kwargs))

    async def get(self, id: str) -> AsyncHandle[Any]:
        """Return the handle of an existing call, or of any other promise.

        Its result is what was stored, as JSON has it: no annotation is known here.

        Raises ResonateStoreError, ``code`` 404, when there is none; TypeError and ValueError for an
        ``id`` that is no text, or empty; RuntimeError, ResonateStoreError and ResonateShutdownError
        as ``begin_run``.
        """
        return await self._begun(self._calls.get(id))

    @overload
    async def schedule(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Any],
        cron: str,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncSchedule: ...
    @overload
    async def schedule(
        self, id: str, func: str, cron: str, *args: Any, **kwargs: Any
    ) -> AsyncSchedule: ...
    async def schedule(
        self, id: str, func: Callable[..., Any] | str, cron: str, *args: Any, **kwargs: Any
    ) -> AsyncSchedule:
        """Call a function on the target group at every occurrence of ``cron``, in UTC.

        Returns the schedule, and raises what is wrong with it, as ``Resonate.schedule``; and
        RuntimeError on another event loop than that of the first use.
        """
        shared, options = self._shared, self._calls.options
        exchange = schedule(shared, options, id, func, cron, args, kwargs)
        return to_await(shared, await shared.carry_out(exchange))

    async def _begun(self, call: Begun) -> AsyncHandle[Any]:
        shared = self._shared
        return AsyncHandle(await shared.carry_out(call), shared)
