"""The public class: register functions, start a worker, call by id on any member of a group."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, overload

from resonate.sdk.base import Base
from resonate.sdk.exchanges import blocking
from resonate.sdk.function import Function
from resonate.sdk.handle import Handle
from resonate.sdk.options import check_timeout
from resonate.sdk.promises import Promises
from resonate.sdk.retries import RetryPolicy, RetryPolicyMaker
from resonate.sdk.schedules import Schedule, Schedules
from resonate.sdk.scheduling import schedule
from resonate.sdk.shared import Shared
from resonate.sdk.signals import signals

P = ParamSpec("P")
R = TypeVar("R")


class Resonate(Base[Shared]):
    """A client of a Resonate server, and a worker once it is started.

    All arguments but ``url`` are keywords:

    - ``url``: of the server. Without it, ``RESONATE_URL`` decides; without that, everything runs
      inside this process and is forgotten with ``stop`` (see ``local``).
    - ``group``: the group this process belongs to, "default" by default.
    - ``pid``: names this process; must be unique. By default host, process id and a random part.
    - ``ttl``: seconds a lease lives without a heartbeat, 10 by default.
    - ``concurrency``: how many functions run at the same time, 32 by default. ``workers`` is its
      older name.
    - ``dependencies``: objects that functions get by ``ctx.get_dependency(name)``.
    - ``registry``: a ``resonate.registry.Registry`` to share functions with other clients.
    - ``token`` or ``auth`` (user, password): credentials; by default ``RESONATE_TOKEN``, or
      ``RESONATE_USERNAME`` and ``RESONATE_PASSWORD``.
    - ``encoder``: what all arguments and results go through, see ``resonate.encoders``; every
      process of the group, and every caller, needs the same.
    - ``patience``: seconds a call waits for a server that does not answer, 30 by default.
    - ``log_level``: level of the logger "resonate"; left alone by default.

    Connects nothing until it is used. Safe to use from any thread. ``with`` ends with ``stop()``.
    """

    _kind = Shared

    @property
    def promises(self) -> Promises:
        """Return the client of promises: read, create, settle and find them."""
        return Promises(self._shared)

    @property
    def schedules(self) -> Schedules:
        """Return the client of schedules: read, create, delete and find them."""
        return Schedules(self._shared)

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
    ) -> Function[P, R]: ...

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
    ) -> Callable[[Callable[Concatenate[Any, P], R]], Function[P, R]]: ...

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
    ) -> Function[P, R] | Callable[[Callable[Concatenate[Any, P], R]], Function[P, R]]:
        """Make a function known under ``name`` (its own by default) and ``version`` (from 1).

        Use it as a decorator, bare or with arguments, or call it with the function. The function's
        first parameter is a Context. It may be a plain function, a generator or ``async def``.

        - ``retry_policy``: whether and when it is tried again when it raises, unless a call says
          otherwise; by default never. See ``resonate.retry_policies``.
        - ``non_retryable_exceptions``: classes of exceptions after which it is not.
        - ``executor``: "process" runs it in a process of its own, for functions that compute. It is
          a plain function of a module that can be imported, and its context has facts only.

        Raises TypeError or ValueError for what cannot be registered,
        ValueError for what is registered already.
        """
        if func is None:
            return lambda func: self.register(
                func,
                name=name,
                version=version,
                retry_policy=retry_policy,
                non_retryable_exceptions=non_retryable_exceptions,
                executor=executor,
            )
        entry = self._enter(func, name, version, retry_policy, non_retryable_exceptions, executor)
        return Function(self, entry)

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to work: from now on this process takes tasks of its group. Returns at once."""
        self._shared.client.start()

    def stop(self, timeout: float = 30.0) -> None:
        """Stop: take nothing new, let running functions finish for ``timeout`` seconds.

        What did not finish is released, another worker has it at once. Zero waits for nothing, and
        infinity without end. Called again meanwhile, from another thread, the shorter time counts.
        May be started again; what is in memory only (``local``) is forgotten.

        Raises TypeError or ValueError, and stops nothing, when ``timeout`` is no number of seconds.
        What the server does not answer is logged, and no error.
        """
        check_timeout(timeout)
        self._shared.stop(timeout)

    def __enter__(self) -> Self:
        """Stop when the block ends, whatever ends it. Does not start to work: ``start`` does."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def run_until_signal(self, timeout: float = 30.0) -> None:
        """Work until SIGINT or SIGTERM, then ``stop(timeout)``. Call it on the main thread.

        A second signal ends the patience: what still runs is released at once, as with ``stop(0)``,
        and this returns as it would have. Further ones change nothing. The handlers of before are
        back when it returns.

        Raises TypeError or ValueError as ``stop``, RuntimeError on another thread than the main
        one, before anything has begun.
        """
        check_timeout(timeout)
        ended = threading.Event()
        with signals(ended.set, lambda: self.stop(0)) as watching:
            self.start()
            ended.wait()
            self.stop(timeout)
        watching.join()

    # --- calling ----------------------------------------------------------------------------------

    @overload
    def run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def run(
        self, id: str, func: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @overload
    def run(self, id: str, func: str, /, *args: Any, **kwargs: Any) -> Any: ...
    def run(self, id: str, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Any:
        """Run a registered function in this process, durably, and return its result.

        The same as ``begin_run(...).result()``: raises what ``begin_run`` raises, and what the call
        ended with, as ``Handle.result``.
        """
        return blocking(self._calls.begin_run(id, func, args, kwargs)).result()

    @overload
    def begin_run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Handle[R]: ...
    @overload
    def begin_run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Handle[R]: ...
    @overload
    def begin_run(
        self, id: str, func: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[R]: ...
    @overload
    def begin_run(self, id: str, func: str, /, *args: Any, **kwargs: Any) -> Handle[Any]: ...
    def begin_run(
        self, id: str, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> Handle[Any]:
        """Begin to run a registered function in this process; return at once.

        The call is durable when this returns. If this process dies, another worker of the target
        has it. With an ``id`` that exists, nothing new is run: the handle is that of the first
        call. Starts the worker. ``id`` is a text of up to 4096 bytes; ``func`` a registered
        function, or the name of one.

        Raises FunctionNotFoundError for a function that is not registered here,
        VersionNotFoundError when the version that ``options`` say is not; ArgumentsError for
        arguments that the function does not take, EncodingError for some that are no JSON,
        ValueTooLargeError for more than 3.75 MiB of them, in base64; TypeError and ValueError for
        an ``id`` or ``func`` that is neither. All these before anything is made.

        Raises ResonateStoreError when the server refuses (``code`` is its status) or does not
        answer within the client's ``patience`` (``code`` 0), ResonateShutdownError when the client
        is stopped before it answers. A client that was stopped connects anew.
        """
        return blocking(self._calls.begin_run(id, func, args, kwargs))

    @overload
    def rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def rpc(
        self, id: str, func: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @overload
    def rpc(self, id: str, func: str, /, *args: Any, **kwargs: Any) -> Any: ...
    def rpc(self, id: str, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function on any member of the target group and return its result.

        The same as ``begin_rpc(...).result()``, with one round trip less: raises what ``begin_rpc``
        raises, and what the call ended with, as ``Handle.result``.
        """
        return blocking(self._calls.rpc(id, func, args, kwargs)).result()

    @overload
    def begin_rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Handle[R]: ...
    @overload
    def begin_rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Handle[R]: ...
    @overload
    def begin_rpc(
        self, id: str, func: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[R]: ...
    @overload
    def begin_rpc(self, id: str, func: str, /, *args: Any, **kwargs: Any) -> Handle[Any]: ...
    def begin_rpc(
        self, id: str, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> Handle[Any]:
        """Call a function on any member of the target group; return at once.

        The call is durable when this returns; the handle may be dropped and the process may end.
        ``func`` is a name, which needs no registration here, or a registered function. With an
        ``id`` that exists, nothing new is executed: the handle is that of the first call.

        Raises FunctionNotFoundError for a function object that is not registered, ArgumentsError
        for arguments that it does not take; those of a name are looked at by the worker, and the
        call ends with that error. EncodingError, ValueTooLargeError, TypeError, ValueError,
        ResonateStoreError and ResonateShutdownError as ``begin_run``. A name or version that no
        worker has is no error: the call waits for one, until its deadline.
        """
        return blocking(self._calls.begin_rpc(id, func, args, kwargs))

    def get(self, id: str) -> Handle[Any]:
        """Return the handle of an existing call, or of any other promise.

        Its result is what was stored, as JSON has it: no annotation is known here.

        Raises ResonateStoreError, ``code`` 404, when there is none; TypeError and ValueError for an
        ``id`` that is no text, or empty; ResonateStoreError and ResonateShutdownError as
        ``begin_run``.
        """
        return blocking(self._calls.get(id))

    @overload
    def schedule(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Any],
        cron: str,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Schedule: ...
    @overload
    def schedule(self, id: str, func: str, cron: str, *args: Any, **kwargs: Any) -> Schedule: ...
    def schedule(
        self, id: str, func: Callable[..., Any] | str, cron: str, *args: Any, **kwargs: Any
    ) -> Schedule:
        """Call a function on the target group at every occurrence of ``cron``, in UTC.

        ``id`` names the schedule; ``{id}.{instant in milliseconds}`` is the id of each call, which
        has the options of this Resonate, its deadline ``timeout`` after the occurrence. ``func`` is
        a name or a registered function. The server keeps the schedule: this process may end.

        A schedule that exists is returned when it is the same. Raises ResonateStoreError, ``code``
        409, when it is another, and says what differs: delete it first. ``code`` 400: the cron
        expression is wrong. TypeError and ValueError for a ``cron`` that is no text, or empty. The
        rest as ``begin_rpc``: FunctionNotFoundError, ArgumentsError, EncodingError,
        ValueTooLargeError, TypeError, ValueError, ResonateStoreError, ResonateShutdownError.
        """
        options = self._calls.options
        return blocking(schedule(self._shared, options, id, func, cron, args, kwargs))
