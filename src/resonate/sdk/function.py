"""A registered function, with the calls of ``Resonate`` on it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from resonate.sdk.encoders import Encoder
from resonate.sdk.handle import Handle
from resonate.sdk.registry import Registered
from resonate.sdk.retries import RetryPolicy

if TYPE_CHECKING:
    from resonate.sdk.context import Context
    from resonate.sdk.resonate import Resonate

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Registrable(Generic[P, R_co]):
    """What stands for a function that is registered: equal to it, and called as it is called."""

    def __init__(self, resonate: Any, entry: Registered) -> None:
        self._resonate = resonate
        self._entry = entry
        self.func: Callable[Concatenate[Context, P], R_co] = entry.func
        functools.update_wrapper(self, entry.func)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, version={self.version})"

    @property
    def name(self) -> str:
        """Return the name it is registered under."""
        return self._entry.name

    @property
    def version(self) -> int:
        """Return the version it is registered under."""
        return self._entry.version

    def __call__(self, ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, here and now."""
        return self.func(ctx, *args, **kwargs)

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
        """Return a copy whose calls have these options; see ``Resonate.options``.

        None, the default of each, keeps the present value. Raises TypeError and ValueError with the
        name of the wrong option.
        """
        resonate = self._resonate.options(
            tags=tags,
            target=target,
            timeout=timeout,
            version=version,
            retry_policy=retry_policy,
            encoder=encoder,
        )
        return type(self)(resonate, self._entry)

    def __eq__(self, other: object) -> bool:
        return self.func == (other.func if isinstance(other, Registrable) else other)

    def __hash__(self) -> int:
        return hash(self.func)


class Function(Registrable[P, R_co]):
    """A registered function. Calling it calls the function; the other methods call it durably.

    Equal to the function it wraps, so it may stand wherever the function may.
    """

    _resonate: Resonate

    @overload
    def run(
        self: Function[P, Coroutine[Any, Any, T]], id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def run(
        self: Function[P, Generator[Any, Any, T]], id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def run(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def run(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the function in this process, durably, and return its result.

        The arguments, and what is raised, as in ``Resonate.run``.
        """
        return self._resonate.run(id, self.func, *args, **kwargs)

    @overload
    def begin_run(
        self: Function[P, Coroutine[Any, Any, T]], id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[T]: ...
    @overload
    def begin_run(
        self: Function[P, Generator[Any, Any, T]], id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[T]: ...
    @overload
    def begin_run(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R_co]: ...
    def begin_run(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Handle[Any]:
        """Begin to run the function in this process, durably, and return its handle.

        Returns once the call is durable. The arguments, and what is raised, as in
        ``Resonate.begin_run``.
        """
        return self._resonate.begin_run(id, self.func, *args, **kwargs)

    @overload
    def rpc(
        self: Function[P, Coroutine[Any, Any, T]], id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def rpc(
        self: Function[P, Generator[Any, Any, T]], id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def rpc(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def rpc(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function on any member of the target group and return its result.

        The arguments, and what is raised, as in ``Resonate.rpc``.
        """
        return self._resonate.rpc(id, self.func, *args, **kwargs)

    @overload
    def begin_rpc(
        self: Function[P, Coroutine[Any, Any, T]], id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[T]: ...
    @overload
    def begin_rpc(
        self: Function[P, Generator[Any, Any, T]], id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> Handle[T]: ...
    @overload
    def begin_rpc(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R_co]: ...
    def begin_rpc(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Handle[Any]:
        """Begin a call of the function on any member of the target group; return its handle.

        Returns once the call is durable. The arguments, and what is raised, as in
        ``Resonate.begin_rpc``.
        """
        return self._resonate.begin_rpc(id, self.func, *args, **kwargs)
