"""How a Resonate is made and what it has, whether its calls block or are awaited."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

from resonate.sdk import checks
from resonate.sdk.calls import Calls
from resonate.sdk.encoders import Encoder
from resonate.sdk.function import Registrable
from resonate.sdk.options import Options, check_encoder
from resonate.sdk.registry import Executor, Registered, Registry
from resonate.sdk.retries import RetryPolicy, RetryPolicyMaker
from resonate.sdk.shared import LOCAL, Shared
from resonate.sdk.transport import Transport
from resonate.sdk.where import remote, url_of

S = TypeVar("S", bound=Shared)
_CONCURRENCY = 32
_PATIENCE_SECONDS = 30.0


class Base(Generic[S]):
    """What ``Resonate`` and ``AsyncResonate`` have in common. The arguments are ``Resonate``'s.

    ``_kind`` makes what an object and its copies with other options share.
    """

    _kind: ClassVar[Callable[..., Any]]
    _shared: S
    _calls: Calls

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
            connect, where = _local, LOCAL
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
    ) -> Self:
        """Return a client of a server.

        The server is ``url``, else ``host`` and ``store_port``, else ``RESONATE_URL``, else
        ``RESONATE_HOST`` and ``RESONATE_PORT``, else http://localhost:8001. The event stream uses
        the same port unless ``message_source_port`` names another. The rest as in the constructor.
        """
        checks.check_text_or_none("url", url)
        checks.check_text_or_none("host", host)
        found = url or url_of(host, store_port)
        poll = None if message_source_port is None else url_of(host, message_source_port)
        made = object.__new__(cls)
        made._set_up(
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
        return made

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
    ) -> Self:
        """Return a client with a server of its own, inside this process, in memory.

        The same rules as with a real server; everything is forgotten with ``stop``, results as well
        as what has not run yet, and when the process ends.
        """
        made = object.__new__(cls)
        made._set_up(
            _local,
            LOCAL,
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
        return made

    def __repr__(self) -> str:
        shared = self._shared
        return (
            f"{type(self).__name__}({shared.where!r}, group={shared.group!r}, pid={shared.pid!r})"
        )

    @property
    def group(self) -> str:
        """Return the group this process belongs to."""
        return self._shared.group

    @property
    def pid(self) -> str:
        """Return the name of this process."""
        return self._shared.pid

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
        retry_policy: RetryPolicy | None = None,
        encoder: Encoder | None = None,
    ) -> Self:
        """Return a copy, sharing everything, whose calls have these options.

        ``target`` is a group or an address, ``timeout`` the seconds until the promise's deadline,
        ``version`` that of the function (0: the highest), ``tags`` are stored with the promise.
        ``retry_policy`` travels with the call, so it is one of ``resonate.retry_policies``: one of
        your own, and a function that makes policies, is given to ``register``. ``encoder`` replaces
        the client's for arguments and results; workers need the same. None keeps the present value.

        Raises TypeError and ValueError with the name of the wrong option.
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

    def _enter(
        self,
        func: Callable[..., Any],
        name: str | None,
        version: int,
        retry_policy: RetryPolicy | RetryPolicyMaker | None,
        non_retryable: tuple[type[BaseException], ...],
        executor: Executor,
    ) -> Registered:
        """Make a function known; see ``Resonate.register``."""
        return self._shared.registry.add(
            func.func if isinstance(func, Registrable) else func,
            name,
            version,
            retry_policy=retry_policy,
            non_retryable=non_retryable,
            executor=executor,
        )


def _local() -> Transport:
    from resonate.local import LocalTransport  # noqa: PLC0415  # the server, only when wanted

    return LocalTransport()
