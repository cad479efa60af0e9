"""A function that is registered with an AsyncResonate, with the calls of it."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from resonate.sdk.async_handle import AsyncHandle
from resonate.sdk.function import Registrable

if TYPE_CHECKING:
    from resonate.sdk.async_resonate import AsyncResonate

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class AsyncFunction(Registrable[P, R_co]):
    """A registered function. Calling it calls the function; the other methods call it durably.

    Equal to the function it wraps, so it may stand wherever the function may.
    """

    _resonate: AsyncResonate

    @overload
    async def run(
        self: AsyncFunction[P, Coroutine[Any, Any, T]],
        id: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T: ...
    @overload
    async def run(
        self: AsyncFunction[P, Generator[Any, Any, T]],
        id: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T: ...
    @overload
    async def run(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    async def run(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the function in this process, durably, and return its result.

        The arguments, and what is raised, as in ``AsyncResonate.run``.
        """
        return await self._resonate.run(id, self.func, *args, **kwargs)

    @overload
    async def begin_run(
        self: AsyncFunction[P, Coroutine[Any, Any, T]],
        id: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncHandle[T]: ...
    @overload
    async def begin_run(
        self: AsyncFunction[P, Generator[Any, Any, T]],
        id: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncHandle[T]: ...
    @overload
    async def begin_run(
        self, id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncHandle[R_co]: ...
    async def begin_run(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> AsyncHandle[Any]:
        """Begin to run the function in this process, durably, and return its handle.

        Returns once the call is durable. The arguments, and what is raised, as in
        ``AsyncResonate.begin_run``.
        """
        return await self._resonate.begin_run(id, self.func, *args, **kwargs)

    @overload
    async def rpc(
        self: AsyncFunction[P, Coroutine[Any, Any, T]],
        id: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T: ...
    @overload
    async def rpc(
        self: AsyncFunction[P, Generator[Any, Any, T]],
        id: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T: ...
    @overload
    async def rpc(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    async def rpc(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the function on any member of the target group and return its result.

        The arguments, and what is raised, as in ``AsyncResonate.rpc``.
        """
        return await self._resonate.rpc(id, self.func, *args, **kwargs)

    @overload
    async def begin_rpc(
        self: AsyncFunction[P, Coroutine[Any, Any, T]],
        id: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncHandle[T]: ...
    @overload
    async def begin_rpc(
        self: AsyncFunction[P, Generator[Any, Any, T]],
        id: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncHandle[T]: ...
    @overload
    async def begin_rpc(
        self, id: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncHandle[R_co]: ...
    async def begin_rpc(self, id: str, /, *args: P.args, **kwargs: P.kwargs) -> AsyncHandle[Any]:
        """Begin a call of the function on any member of the target group; return its handle.

        Returns once the call is durable. The arguments, and what is raised, as in
        ``AsyncResonate.begin_rpc``.
        """
        return await self._resonate.begin_rpc(id, self.func, *args, **kwargs)
