"""The public class: register functions, start a worker, call by id on any member of a group."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload

from resonate.sdk import checks
from resonate.sdk.calls import Calls
from resonate.sdk.encoders import Encoder
from resonate.sdk.exchanges import blocking
from resonate.sdk.function import Function, Registrable
from resonate.sdk.handle import Handle
from resonate.sdk.options import Options, check_encoder
from resonate.sdk.promises import Promises
from resonate.sdk.registry import Registry
from resonate.sdk.retries import RetryPolicy, RetryPolicyMaker
from resonate.sdk.schedules import Schedule, Schedules
from resonate.sdk.scheduling import schedule
from resonate.sdk.shared import Shared
from resonate.sdk.transport import Transport
from resonate.sdk.where import remote, url_of

P = ParamSpec("P")
R = TypeVar("R")
_CONCURRENCY = 32
_PATIENCE_SECONDS = 30.0
_LOCAL = "the server in this process"


class Resonate:
    """A client of a Resonate server, and a worker once it is started.

    All arguments but ``url`` are keywords:

    - ``url``: of the server. Without it, ``RESONATE_URL`` decides; without that, everything runs
      inside this process and is forgotten with it (see ``local``).
    - ``group``: the group this process belongs to, "default" by default.
    - ``pid``: names this process; must be unique. By default host, process id and a random part.
    - ``ttl``: seconds a lease lives without a heartbeat, 10 by default.
    - ``concurrency``: how many functions run at the same time, 32 by default. ``workers`` is its
      older name.
    - ``dependencies``: objects that functions get by ``ctx.get_dependency(name)``.
    - ``registry``: share the functions of another Resonate.
    - ``token`` or ``auth`` (user, password): credentials; by default ``RESONATE_TOKEN``, or
      ``RESONATE_USERNAME`` and ``RESONATE_PASSWORD``.
    - ``encoder``: what all arguments and results go through, see ``resonate.encoders``; every
      process of the group, and every caller, needs the same.
    - ``patience``: seconds a call waits for a server that does not answer, 30 by default.
    - ``log_level``: level of the logger "resonate"; left alone by default.

    Connects nothing until it is used. Safe to use from any thread.
    """

    _kind: type[Shared] = Shared

    def __init__(
        self,
        url: str | None = None,
        *,
        group: str = "default",
        pid: str | None = None,
        ttl: int = 10,
        concurrency: int = _CONCURRENCY,
        workers: int | None = None,
        dependencies: Mapping[str, Any] | None = None,
        registry: Registry | None = None,
        token: str | None = None,
        auth: tuple[str, str] | None = None,
        patience: float = _PATIENCE_SECONDS,
        log_level: int | str | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        checks.check_text_or_none("url", url)
        url = url or os.environ.get("RESONATE_URL")
        if url:
            connect, where = remote(url, None, token, auth)
        else:
            connect, where = _local, _LOCAL
        self._set_up(
            connect,
            where,
            group=group,
            pid=pid,
            ttl=ttl,
            concurrency=concurrency,
            workers=workers,
            dependencies=dependencies,
            registry=registry,
            token=token,
            patience=patience,
            log_level=log_level,
            encoder=encoder,
        )

    def _set_up(
        self,
        connect: Callable[[], Transport],
        where: str,
        *,
        group: str = "default",
        pid: str | None = None,
        ttl: int = 10,
        concurrency: int = _CONCURRENCY,
        workers: int | None = None,
        dependencies: Mapping[str, Any] | None = None,
        registry: Registry | None = None,
        token: str | None = None,
        patience: float = _PATIENCE_SECONDS,
        log_level: int | str | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        """Check all arguments, then keep them."""
        checks.check_text("group", group)
        checks.check_text_or_none("pid", pid)
        checks.check_text_or_none("token", token)
        checks.check_number("ttl", ttl)
        checks.check_number("concurrency", concurrency)
        if workers is not None:
            checks.check_number("workers", workers)
        checks.check_dependencies(dependencies)
        checks.check_kind("registry", registry, Registry)
        checks.check_seconds("patience", patience)
        check_encoder(encoder)
        checks.set_log_level(log_level)
        self._shared = self._kind(
            connect,
            where=where,
            group=group,
            pid=pid,
            ttl=ttl * 1000,
            capacity=workers or concurrency,
            patience=patience,
            token=token or os.environ.get("RESONATE_TOKEN"),
            registry=registry if registry is not None else Registry(),
            dependencies=dict(dependencies or {}),
            encoder=encoder,
        )
        self._calls = Calls(self._shared, Options())

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
        concurrency: int = _CONCURRENCY,
        workers: int | None = None,
        patience: float = _PATIENCE_SECONDS,
        encoder: Encoder | None = None,
    ) -> Resonate:
        """Return a client of a server.

        The server is ``url``, else ``host`` and ``store_port``, else ``RESONATE_URL``, else
        ``RESONATE_HOST`` and ``RESONATE_PORT``, else http://localhost:8001. The event stream uses
        the same port unless ``message_source_port`` names another. The rest as in the constructor.
        """
        checks.check_text_or_none("url", url)
        checks.check_text_or_none("host", host)
        found = url or url_of(host, store_port)
        poll = None if message_source_port is None else url_of(host, message_source_port)
        resonate = object.__new__(cls)
        resonate._set_up(
            *remote(found, poll, token, auth),
            group=group,
            pid=pid,
            ttl=ttl,
            concurrency=concurrency,
            workers=workers,
            dependencies=dependencies,
            registry=registry,
            token=token,
            patience=patience,
            log_level=log_level,
            encoder=encoder,
        )
        return resonate

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
        concurrency: int = _CONCURRENCY,
        workers: int | None = None,
        encoder: Encoder | None = None,
    ) -> Resonate:
        """Return a client with a server of its own, inside this process, in memory.

        The same rules as with a real server; everything is forgotten when the process ends.
        """
        resonate = object.__new__(cls)
        resonate._set_up(
            _local,
            _LOCAL,
            group=group,
            pid=pid,
            ttl=ttl,
            concurrency=concurrency,
            workers=workers,
            dependencies=dependencies,
            registry=registry,
            log_level=log_level,
            encoder=encoder,
        )
        return resonate

    def __repr__(self) -> str:
        shared = self._shared
        return f"Resonate({shared.where!r}, group={shared.group!r}, pid={shared.pid!r})"

    @property
    def group(self) -> str:
        """Return the group this process belongs to."""
        return self._shared.group

    @property
    def pid(self) -> str:
        """Return the name of this process."""
        return self._shared.pid

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
        if isinstance(func, Registrable):
            func = func.func
        entry = self._shared.registry.add(
            func,
            name,
            version,
            retry_policy=retry_policy,
            non_retryable=non_retryable_exceptions,
            executor=executor,
        )
        return Function(self, entry, func)

    def set_dependency(self, name: str, value: Any) -> None:
        """Make ``value`` available to all functions as ``ctx.get_dependency(name)``."""
        checks.check_text("name", name)
        self._shared.dependencies[name] = value

    def options(
        self,
        *,
        tags: dict[str, str] | None = None,
        target: str | None = None,
        timeout: float | None = None,
        version: int | None = None,
        retry_policy: RetryPolicy | RetryPolicyMaker | None = None,
        encoder: Encoder | None = None,
    ) -> Resonate:
        """Return a copy, sharing everything, whose calls have these options.

        ``target`` is a group or an address, ``timeout`` the seconds until the promise's deadline,
        ``version`` that of the function (0: the highest), ``tags`` are stored with the promise.
        ``retry_policy`` travels with the call when it is one of ``resonate.retry_policies``.
        ``encoder`` replaces the client's for arguments and results; workers need the same.
        None keeps the present value.
        """
        copy = object.__new__(type(self))
        copy._shared = self._shared
        options = self._calls.options.merged(
            tags=tags,
            target=target,
            timeout=timeout,
            version=version,
            retry_policy=retry_policy,
            encoder=encoder,
        )
        copy._calls = Calls(self._shared, options)
        return copy

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to work: from now on this process takes tasks of its group. Returns at once."""
        self._shared.client.start()

    def stop(self, timeout: float = 30.0) -> None:
        """Stop: take nothing new, let running functions finish for ``timeout`` seconds.

        What did not finish is released, another worker has it at once. May be started again.
        """
        self._shared.stop(timeout)

    def run_until_signal(self, timeout: float = 30.0) -> None:
        """Work until SIGINT or SIGTERM, then ``stop(timeout)``. Call it on the main thread."""
        ended = threading.Event()
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, lambda *_: ended.set()) for number in numbers}
        try:
            self.start()
            ended.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self.stop(timeout)

    # --- calling ----------------------------------------------------------------------------------

    @overload
    def run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def run(
        self, id: str, func: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @overload
    def run(self, id: str, func: str, *args: Any, **kwargs: Any) -> Any: ...
    def run(self, id: str, func: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        """Run a registered function in this process, durably, and return its result.

        The same as ``begin_run(...).result()``.
        """
        return blocking(self._calls.begin_run(id, func, args, kwargs)).result()

    @overload
    def begin_run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Handle[R]: ...
    @overload
    def begin_run(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Handle[R]: ...
    @overload
    def begin_run(
        self, id: str, func: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Handle[R]: ...
    @overload
    def begin_run(self, id: str, func: str, *args: Any, **kwargs: Any) -> Handle[Any]: ...
    def begin_run(
        self, id: str, func: Callable[..., Any] | str, *args: Any, **kwargs: Any
    ) -> Handle[Any]:
        """Begin to run a registered function in this process; return at once.

        The call is durable when this returns. If this process dies, another worker of the target
        has it. With an ``id`` that exists, nothing new is run: the handle is that of the first
        call. Starts the worker.

        Raises ValueError for a function that is not registered, EncodingError for arguments that
        are no JSON, ResonateStoreError when the server refuses or does not answer in time.
        """
        return blocking(self._calls.begin_run(id, func, args, kwargs))

    @overload
    def rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def rpc(
        self, id: str, func: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @overload
    def rpc(self, id: str, func: str, *args: Any, **kwargs: Any) -> Any: ...
    def rpc(self, id: str, func: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        """Call a function on any member of the target group and return its result.

        The same as ``begin_rpc(...).result()``, with one round trip less.
        """
        return blocking(self._calls.rpc(id, func, args, kwargs)).result()

    @overload
    def begin_rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Handle[R]: ...
    @overload
    def begin_rpc(
        self,
        id: str,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Handle[R]: ...
    @overload
    def begin_rpc(
        self, id: str, func: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Handle[R]: ...
    @overload
    def begin_rpc(self, id: str, func: str, *args: Any, **kwargs: Any) -> Handle[Any]: ...
    def begin_rpc(
        self, id: str, func: Callable[..., Any] | str, *args: Any, **kwargs: Any
    ) -> Handle[Any]:
        """Call a function on any member of the target group; return at once.

        The call is durable when this returns; the handle may be dropped and the process may end.
        ``func`` is a name, which needs no registration here, or a registered function. With an
        ``id`` that exists, nothing new is executed: the handle is that of the first call.

        Raises ValueError for a function object that is not registered, EncodingError for arguments
        that are no JSON, ResonateStoreError when the server refuses or does not answer in time.
        """
        return blocking(self._calls.begin_rpc(id, func, args, kwargs))

    def get(self, id: str) -> Handle[Any]:
        """Return the handle of an existing call; raises ResonateStoreError when there is none."""
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
        expression is wrong. The rest as ``begin_rpc``.
        """
        options = self._calls.options
        return blocking(schedule(self._shared, options, id, func, cron, args, kwargs))


def _local() -> Transport:
    from resonate.local import LocalTransport  # noqa: PLC0415  # the server, only when wanted

    return LocalTransport()
