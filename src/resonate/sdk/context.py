"""The context: the first argument of every registered function, and of every local step.

One class for generators (``yield``), coroutines (``await``) and plain functions (``.result()``).
Each operation takes the next number of the function for its id, so a function must make the same
operations in the same order when it is replayed.
"""

from __future__ import annotations

import hashlib
import logging
import random
import sys
import time
import uuid
from collections.abc import Callable, Coroutine, Generator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

from msgspec import Struct

from resonate.sdk import checks
from resonate.sdk.errors import FunctionNotFoundError
from resonate.sdk.function import Registrable
from resonate.sdk.operations import Operation, OperationOptions, Promise, Ready, Request
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
    """What a running function can know, use, and ask for durably."""

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

        A line is logged once: a replay is silent about what was done before.
        """
        fields = {"promise_id": self._info.id, "attempt": self._info.attempt}
        return _Logger(_logger, fields, self._attempt)

    @property
    def cancelled(self) -> bool:
        """Tell whether nothing that the function still does counts: canceled, or the lease lost."""
        return self._attempt is not None and self._attempt.gone is not None

    @property
    def random(self) -> Random:
        """Return a source of random numbers that are the same in every replay."""
        return Random(self._running())

    @property
    def time(self) -> Time:
        """Return a clock whose readings are recorded."""
        return Time(self)

    def uuid(self) -> Ready[uuid.UUID]:
        """Return a UUID that is the same in every replay and different everywhere else."""
        attempt = self._running()
        number = attempt.next_id()
        return Ready(number, uuid.UUID(bytes=_seed(attempt, number)[:16], version=4))

    def get_dependency(self, key: str | type[R], default: Any = None) -> Any:
        """Return what ``set_dependency`` stored, else ``default``.

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
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[R]: ...
    @overload
    def run(
        self,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[R]: ...
    @overload
    def run(
        self, func: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Operation[R]: ...
    def run(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Operation[Any]:
        """Run a function here and record its result; its value is the result.

        The function is any function whose first parameter is a context; it need not be registered.
        After a crash it is run again, unless its result was recorded.
        """
        return self._local(func, args, kwargs, handle=False)

    lfc = run

    @overload
    def begin_run(
        self,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[Promise[R]]: ...
    @overload
    def begin_run(
        self,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[Promise[R]]: ...
    @overload
    def begin_run(
        self, func: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Operation[Promise[R]]: ...
    def begin_run(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Operation[Any]:
        """Begin to run a function here; its value is a Promise, at once."""
        return self._local(func, args, kwargs, handle=True)

    lfi = begin_run

    # --- calls to workers -------------------------------------------------------------------------

    @overload
    def rpc(self, func: str, *args: Any, **kwargs: Any) -> Operation[Any]: ...
    @overload
    def rpc(
        self,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[R]: ...
    @overload
    def rpc(
        self,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[R]: ...
    @overload
    def rpc(
        self, func: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Operation[R]: ...
    def rpc(self, func: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Operation[Any]:
        """Call a function on any member of the target group; its value is the result.

        ``func`` is a name, which needs no registration here, or a registered function.
        Raises FunctionNotFoundError for a function object that is not registered.
        """
        return self._remote("rpc", func, args, kwargs, handle=False)

    rfc = rpc

    @overload
    def begin_rpc(self, func: str, *args: Any, **kwargs: Any) -> Operation[Promise[Any]]: ...
    @overload
    def begin_rpc(
        self,
        func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[Promise[R]]: ...
    @overload
    def begin_rpc(
        self,
        func: Callable[Concatenate[Any, P], Generator[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Operation[Promise[R]]: ...
    @overload
    def begin_rpc(
        self, func: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Operation[Promise[R]]: ...
    def begin_rpc(
        self, func: Callable[..., Any] | str, *args: Any, **kwargs: Any
    ) -> Operation[Any]:
        """Begin a call to any member of the target group; its value is a Promise, at once."""
        return self._remote("rpc", func, args, kwargs, handle=True)

    rfi = begin_rpc

    def detached(
        self, func: Callable[..., Any] | str, *args: Any, **kwargs: Any
    ) -> Operation[Promise[Any]]:
        """Begin a call that outlives this function: nobody waits for it, unless you do."""
        return self._remote("detached", func, args, kwargs, handle=True)

    # --- time and people --------------------------------------------------------------------------

    def sleep(self, secs: float | timedelta) -> Operation[None]:
        """Wait for ``secs`` seconds, or a timedelta, durably: it takes no slot and no thread.

        Raises TypeError for anything else, ValueError for less than nothing.
        """
        seconds = secs.total_seconds() if isinstance(secs, timedelta) else secs
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"secs must be `float`, got {type(secs).__name__}")
        if not seconds >= 0:
            raise ValueError("secs must be greater than or equal to zero")
        options = OperationOptions(timeout=float(seconds))
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
        - ``timeout``: seconds until its deadline, one year by default.
        - ``data``: what whoever settles it finds as its param.
        - ``tags``: stored with it.
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
        name = getattr(func, "__qualname__", type(func).__name__)
        request = Request("run", name, func, 1, args, kwargs, handle=handle, typed_by=func)
        return Operation(attempt, attempt.next_id(), request, _NONE)

    def _remote(
        self, kind: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, handle: bool
    ) -> Operation[Any]:
        attempt = self._running()
        registry = attempt.workflow.host.registry
        if isinstance(func, str):
            checks.check_text("func", func)
            entry = registry.find(func)
            name, version, typed_by = func, entry.version if entry is not None else 1, None
        else:
            entry = registry.of(func.func if isinstance(func, Registrable) else func)
            if entry is None:
                raise FunctionNotFoundError(getattr(func, "__name__", repr(func)))
            name, version, typed_by = entry.name, entry.version, entry.func
            check_arguments(entry.func, args, kwargs)
        request = Request(kind, name, None, version, args, kwargs, handle=handle, typed_by=typed_by)
        return Operation(attempt, attempt.next_id(), request, _NONE)


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds the fields; silent in a replay."""

    def __init__(
        self, logger: logging.Logger, fields: dict[str, Any], attempt: Attempt | None
    ) -> None:
        super().__init__(logger, fields)
        self._attempt = attempt

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a line, unless an earlier run of the function has."""
        if self._attempt is None:
            super().log(level, msg, *args, **kwargs)
        elif self.isEnabledFor(level):
            text, options = self.process(msg, kwargs)
            record = self._record(level, text, args, **options)
            self._attempt.journal.log(self.logger, record)

    def _record(
        self,
        level: int,
        msg: object,
        args: tuple[object, ...],
        *,
        exc_info: Any = None,
        extra: Any = None,
        stack_info: bool = False,
        stacklevel: int = 1,
    ) -> logging.LogRecord:
        file, line, function, stack = self.logger.findCaller(stack_info, stacklevel + 2)
        if isinstance(exc_info, BaseException):
            exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
        elif exc_info and not isinstance(exc_info, tuple):
            exc_info = sys.exc_info()
        return self.logger.makeRecord(
            self.logger.name, level, file, line, msg, args, exc_info, function, extra, stack
        )


class Random:
    """Random numbers: each call takes a number of the function, which it depends on."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def _next(self, name: str, *args: Any, **kwargs: Any) -> Ready[Any]:
        number = self._attempt.next_id()
        source = random.Random(_seed(self._attempt, number))  # noqa: S311  # no secret
        return Ready(number, getattr(source, name)(*args, **kwargs))

    def random(self) -> Ready[float]:
        """Return a number from 0 to below 1."""
        return self._next("random")

    def randint(self, a: int, b: int) -> Ready[int]:
        """Return an integer from ``a`` to ``b``, both included."""
        return self._next("randint", a, b)

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> Ready[int]:
        """Return an element of the range."""
        return self._next("randrange", start, stop, step)

    def getrandbits(self, k: int) -> Ready[int]:
        """Return an integer of ``k`` random bits."""
        return self._next("getrandbits", k)

    def choice(self, seq: Any) -> Ready[Any]:
        """Return an element of a sequence that is not empty."""
        return self._next("choice", seq)

    def triangular(self, low: float = 0.0, high: float = 1.0, mode: float | None = None) -> Any:
        """Return a number of the triangular distribution."""
        return self._next("triangular", low, high, mode)

    def betavariate(self, alpha: float, beta: float) -> Ready[float]:
        """Return a number of the beta distribution."""
        return self._next("betavariate", alpha, beta)

    def expovariate(self, lambd: float = 1.0) -> Ready[float]:
        """Return a number of the exponential distribution."""
        return self._next("expovariate", lambd)


class Time:
    """A clock: each reading is a recorded step."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def time(self) -> Operation[float]:
        """Return the time, seconds since the epoch."""
        return self._context.run(_now)

    def strftime(self, format: str) -> Operation[str]:  # noqa: A002  # its name in time
        """Return the local time in that format."""
        return self._context.run(_formatted, format)


def _now(ctx: Context) -> float:
    return ctx._running().workflow.host.machine.time()  # noqa: SLF001  # of this module


def _formatted(ctx: Context, form: str) -> str:
    return time.strftime(form, time.localtime(_now(ctx)))


def _seed(attempt: Attempt, number: str) -> bytes:
    promise = attempt.workflow.promise
    return hashlib.sha256(f"{promise.id}\0{promise.created_at}\0{number}".encode()).digest()
