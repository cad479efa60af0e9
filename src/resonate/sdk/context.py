"""The context: the first argument of every registered function, and of every local step.

One class for generators (``yield``), coroutines (``await``) and plain functions (``.result()``).
Each operation takes the next number of the function for its id, so a function must make the same
operations in the same order when it is replayed.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Coroutine, Generator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

from msgspec import Struct

from resonate.protocol.limits import INT64_MAX
from resonate.sdk.function import Registrable
from resonate.sdk.logger import Logger
from resonate.sdk.operations import Operation, OperationOptions, Promise, Ready, Request
from resonate.sdk.replayed import Random, Time, next_uuid
from resonate.sdk.signatures import check_arguments

if TYPE_CHECKING:
    from resonate.sdk.attempt import Attempt

P = ParamSpec("P")
R = TypeVar("R")
_logger = logging.getLogger("resonate.function")
_NONE = OperationOptions()


class Info(Struct, frozen=True):
    """Facts about the execution.

    - ``id``: of the promise.
    - ``attempt``: from 1; a restart after a crash is no new attempt.
    - ``tags``: of the promise.
    - ``timeout``: the deadline, seconds since the epoch.
    - ``version``: of the function.
    - ``parent``: id of the function that waits for this one in the same execution, if any.
    - ``root``: id of the call at the top of the tree.
    """

    id: str
    attempt: int
    tags: dict[str, str]
    timeout: float
    version: int
    parent: str | None = None
    root: str = ""

    @property
    def deadline(self) -> float:
        """Return the deadline, seconds since the epoch."""
        return self.timeout


class Context:
    """What a running function can know, use, and ask for durably.

    What is asked for is an Operation: ``yield``, ``await`` or ``.result()`` carries it out. Once
    the function has returned, whatever asks for something raises RuntimeError; so does all of that
    in a function with ``executor="process"``, whose context has facts only.
    """

    def __init__(
        self, info: Info, dependencies: Mapping[str, Any], attempt: Attempt | None = None
    ) -> None:
        self._info = info
        self._dependencies = dependencies
        self._attempt = attempt

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
        """Return a logger that adds ``promise_id`` and ``attempt`` to every record.

        A line is logged once: a replay is silent about what was done before. It adapts the logger
        "resonate.function" of ``logging``, whose level and handlers count.
        """
        fields = {"promise_id": self._info.id, "attempt": self._info.attempt}
        return Logger(_logger, fields, self._attempt)

    @property
    def cancelled(self) -> bool:
        """Tell whether nothing that the function still does counts: canceled, or the lease lost."""
        return self._attempt is not None and self._attempt.gone is not None

    @property
    def random(self) -> Random:
        """Return a source of random numbers that are the same in every replay.

        Its methods are named as in ``random``, and each gives a value to ``yield``, ``await`` or
        ask for its ``result()``. They are no secret: who knows the promise can find them out.
        They raise RuntimeError once the function has returned, and what ``random`` raises.
        """
        return Random(self._running())

    @property
    def time(self) -> Time:
        """Return a clock whose readings are recorded, and the same in every replay.

        ``time()`` is seconds since the epoch, ``strftime(format)`` local time as a text. Each is a
        step of its own, as ``run``, and raises as that does.
        """
        return Time(self)

    def uuid(self) -> Ready[uuid.UUID]:
        """Return a UUID that is the same in every replay and different everywhere else.

        Its value, a ``uuid.UUID`` of version 4, is had by ``yield``, ``await`` or ``result()``.
        Raises RuntimeError once the function has returned.
        """
        return next_uuid(self._running())

    def get_dependency(self, key: str | type[R], default: Any = None) -> Any:
        """Return what ``set_dependency`` stored, else ``default``, which is None unless given.

        ``key`` is the name it was stored under, or a class: the one dependency that is an instance
        of it. Raises TypeError when ``key`` is neither, LookupError when several are.
        """
        if isinstance(key, type):
            found = [each for each in self._dependencies.values() if isinstance(each, key)]
            if len(found) > 1:
                raise LookupError(f"several dependencies are a {key.__name__}: ask by name")
            return found[0] if found else default
        if not isinstance(key, str):
            raise TypeError(f"key must be `str`, got {type(key).__name__}")
        return self._dependencies.get(key, default)

    # --- local steps ------------------------------------------------------------------------------

    @overload
    def run(
        self,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[R]: ...
    @overload
    def run(
        self,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[R]: ...
    @overload
    def run(
        self, func: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Operation[R]: ...
    def run(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Operation[Any]:
        """Run a function here and record its result; its value is the result.

        The function is any function whose first parameter is a context; it need not be registered.
        After a crash it is run again, unless its result was recorded. It gets the arguments as they
        are; its result has to be JSON. When it raises, it is tried again if ``options``, else
        ``register``, gave it a retry policy.

        Raises TypeError for what cannot be called, RuntimeError once this function has returned.
        The value raises what the function raised, as ``Handle.result`` does: as RemoteError, though
        it was raised here, when it is no built-in exception and not registered. TypeError for
        arguments that the function does not take, EncodingError and ValueTooLargeError for a result
        that cannot be recorded, DecodingError for one that its annotation does not allow;
        ResonateTimedoutError and ResonateCanceledError.
        """
        return self._local(func, args, kwargs, handle=False)

    lfc = run

    @overload
    def begin_run(
        self,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[Promise[R]]: ...
    @overload
    def begin_run(
        self,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[Promise[R]]: ...
    @overload
    def begin_run(
        self, func: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Operation[Promise[R]]: ...
    def begin_run(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Operation[Any]:
        """Begin to run a function here; its value is a Promise, at once.

        The Promise has the result, or raises, as the value of ``run``. Waited for or not, this
        function ends when that one has. Raises as ``run``.
        """
        return self._local(func, args, kwargs, handle=True)

    lfi = begin_run

    # --- calls to workers -------------------------------------------------------------------------

    @overload
    def rpc(self, func: str, /, *args: Any, **kwargs: Any) -> Operation[Any]: ...
    @overload
    def rpc(
        self,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[R]: ...
    @overload
    def rpc(
        self,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[R]: ...
    @overload
    def rpc(
        self, func: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Operation[R]: ...
    def rpc(self, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Operation[Any]:
        """Call a function on any member of the target group; its value is the result.

        ``func`` is a name, which needs no registration here, or a registered function. Arguments
        and result are JSON.

        Raises FunctionNotFoundError for a function object that is not registered, ArgumentsError
        for arguments that it does not take, TypeError and ValueError for a ``func`` that is
        neither, RuntimeError once this function has returned.

        The value raises EncodingError for arguments that are no JSON, ValueTooLargeError for more
        than 3.75 MiB of them, in base64, and what the call ended with, as ``Handle.result``:
        RemoteError, ResonateCanceledError, ResonateTimedoutError, DecodingError, or the function's
        own exception. ArgumentsError, too, when a name was given: the worker looks at those. A name
        or version that no worker has is no error: the call waits for one, until its deadline.
        """
        return self._remote("rpc", func, args, kwargs, handle=False)

    rfc = rpc

    @overload
    def begin_rpc(self, func: str, /, *args: Any, **kwargs: Any) -> Operation[Promise[Any]]: ...
    @overload
    def begin_rpc(
        self,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[Promise[R]]: ...
    @overload
    def begin_rpc(
        self,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[Promise[R]]: ...
    @overload
    def begin_rpc(
        self, func: Callable[Concatenate[Any, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Operation[Promise[R]]: ...
    def begin_rpc(
        self, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> Operation[Any]:
        """Begin a call to any member of the target group; its value is a Promise, at once.

        ``func`` is as in ``rpc``, and so is what is raised when the operation is made. The value
        raises EncodingError and ValueTooLargeError; the Promise has the result, or raises what the
        call ended with. Waited for or not, this function ends when the call has.
        """
        return self._remote("rpc", func, args, kwargs, handle=True)

    rfi = begin_rpc

    def detached(
        self, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> Operation[Promise[Any]]:
        """Begin a call that outlives this function: nobody waits for it, unless you do.

        Its value is a Promise, at once; all as ``begin_rpc``, but that this function may end, fail
        or be canceled before the call has ended. Its deadline, one year from now by default, may be
        later than that of this function.
        """
        return self._remote("detached", func, args, kwargs, handle=True)

    # --- time and people --------------------------------------------------------------------------

    def sleep(self, secs: float | timedelta) -> Operation[None]:
        """Wait for ``secs`` seconds, or a timedelta, durably: it takes no slot and no thread.

        ``secs`` is an int or a float, infinity, too; the wait ends with the deadline of this
        function at the latest. The value is None.

        Raises TypeError for anything else, ValueError for less than nothing, and NaN; RuntimeError
        once the function has returned.
        """
        seconds = secs.total_seconds() if isinstance(secs, timedelta) else secs
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"secs must be `float`, got {type(secs).__name__}")
        if not seconds >= 0:
            raise ValueError("secs must be greater than or equal to zero")
        options = OperationOptions(timeout=float(min(seconds, INT64_MAX)))
        attempt = self._running()
        return Operation(attempt, attempt.next_id(), Request("sleep"), options)

    def promise(
        self,
        *,
        id: str | None = None,
        timeout: float | None = None,
        data: Any = None,
        tags: dict[str, str] | None = None,
    ) -> Operation[Promise[Any]]:
        """Make a promise for somebody outside to settle, by its id; its value is the Promise.

        - ``id``: by default the next one of this function.
        - ``timeout``: seconds until its deadline, one year by default; never later than that of
          this function.
        - ``data``: what whoever settles it finds as its param: JSON, nothing by default.
        - ``tags``: stored with it, texts by name; none by default.

        Raises TypeError and ValueError with the name of what is wrong, RuntimeError once the
        function has returned. The value raises EncodingError for ``data`` that is no JSON,
        ValueTooLargeError for more than 3.75 MiB of it, in base64. The Promise raises RemoteError,
        or the exception that was stored, when it is rejected; ResonateCanceledError,
        ResonateTimedoutError, DecodingError.
        """
        attempt = self._running()
        request = Request("promise", data=data, handle=True)
        operation: Operation[Promise[Any]] = Operation(
            attempt, attempt.next_id(), request, OperationOptions()
        )
        return operation.options(id=id, timeout=timeout, tags=tags)

    # --- how they are made ------------------------------------------------------------------------

    def _running(self) -> Attempt:
        if self._attempt is None:
            raise RuntimeError("this context belongs to no execution: it has facts only")
        return self._attempt

    def _local(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, handle: bool
    ) -> Operation[Any]:
        if isinstance(func, Registrable):
            func = func.func
        if not callable(func):
            raise TypeError(f"func must be `Callable`, got {type(func).__name__}")
        attempt = self._running()
        check_arguments(func, args, kwargs)
        name = getattr(func, "__qualname__", type(func).__name__)
        request = Request("run", name, func, 1, args, kwargs, handle=handle, typed_by=func)
        return Operation(attempt, attempt.next_id(), request, _NONE)

    def _remote(
        self, kind: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, handle: bool
    ) -> Operation[Any]:
        attempt = self._running()
        callee = attempt.workflow.host.registry.callee(func)
        callee.check_arguments(args, kwargs)
        name, version, typed_by = callee.name, callee.version, callee.func
        request = Request(kind, name, None, version, args, kwargs, handle=handle, typed_by=typed_by)
        return Operation(attempt, attempt.next_id(), request, _NONE)
