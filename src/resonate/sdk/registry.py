"""The functions that are known here, by name and version, and what a call of one names."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from resonate.protocol.addresses import function_key
from resonate.sdk.checks import check_filled, check_text
from resonate.sdk.errors import FunctionNotFoundError, VersionNotFoundError
from resonate.sdk.retries import RetryPolicy, RetryPolicyMaker, check_non_retryable, resolve
from resonate.sdk.signatures import check_arguments, takes_context

Func = Callable[..., Any] | str  # how a call says what it calls
Executor = Literal["process"] | None


class Registered(Struct, frozen=True):
    """A function under its name and version; ``process``: it runs in a process of its own."""

    name: str
    version: int
    func: Callable[..., Any]
    retry_policy: RetryPolicy | None = None
    non_retryable: tuple[type[BaseException], ...] = ()
    process: bool = False


class Callee(Struct, frozen=True):
    """A function as a call names it; ``func`` is None where nothing but its name was given."""

    name: str
    version: int
    func: Callable[..., Any] | None = None

    def check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise ArgumentsError for what the function does not take, if that can be told here."""
        if self.func is not None:
            check_arguments(self.func, args, kwargs)


class Registry:
    """Functions by name and version; safe to use from any thread.

    Give one to several clients, ``Resonate(registry=…)``: what is registered with one of them, all
    can run. Its methods are the clients' to call.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[str, dict[int, Registered]] = {}
        self._functions: dict[Callable[..., Any], Registered] = {}
        self._watchers: dict[Callable[[], object], None] = {}

    def __len__(self) -> int:
        return len(self._functions)

    def add(
        self,
        func: Callable[..., Any],
        name: str | None,
        version: int,
        *,
        retry_policy: RetryPolicy | RetryPolicyMaker | None = None,
        non_retryable: tuple[type[BaseException], ...] = (),
        executor: Executor = None,
    ) -> Registered:
        """Enter a function; raises TypeError or ValueError for what cannot be one."""
        name = _checked(func, name, version)
        check_non_retryable(non_retryable)
        _check_executor(executor, func)
        policy = None if retry_policy is None else resolve(retry_policy, func)
        with self._lock:
            versions = self._names.setdefault(name, {})
            if version in versions:
                raise ValueError(f"function {name} already registered")
            if func in self._functions:
                known = self._functions[func]
                error = ValueError(f"function {name} already registered")
                error.add_note(f"It is registered as {known.name}, version {known.version}.")
                raise error
            process = executor == "process"
            entry = Registered(name, version, func, policy, non_retryable, process)
            versions[version] = self._functions[func] = entry
            watchers = list(self._watchers)
        for told in watchers:
            told()
        return entry

    def watch(self, told: Callable[[], object]) -> Callable[[], object]:
        """Call ``told`` whenever a function is entered, until what is returned is called."""
        with self._lock:
            self._watchers[told] = None
        return functools.partial(self._watchers.pop, told, None)

    def keys(self) -> frozenset[str] | None:
        """Return the keys of all functions, as the server is told of them; None: any may be."""
        with self._lock:
            return frozenset(
                function_key(name, str(version))
                for name, versions in self._names.items()
                for version in versions
            )

    def find(self, name: str, version: int = 0) -> Registered | None:
        """Return the function of that name and version; version 0 means the highest."""
        with self._lock:
            versions = self._names.get(name, {})
            if version == 0:
                return versions[max(versions)] if versions else None
            return versions.get(version)

    def of(self, func: Callable[..., Any]) -> Registered | None:
        """Return the entry of a function object, or of what ``register`` made of it."""
        return self._functions.get(func)

    # --- what is called ---------------------------------------------------------------------------

    def callee(self, func: Func, version: int = 0) -> Callee:
        """Return what is called, wherever that is; a name need not be known here.

        ``version`` 0 means that of a function object, and with a name the highest that is known,
        else 1. Raises TypeError and ValueError for what is neither, FunctionNotFoundError for an
        object that is not registered.
        """
        if isinstance(func, str):
            check_text("func", func)
            entry = self.find(func, version)
            return Callee(func, version or (entry.version if entry else 1))
        if not callable(func):
            raise TypeError(f"func must be `Callable | str`, got {type(func).__name__}")
        entry = self.of(func)
        if entry is None:
            raise FunctionNotFoundError(getattr(func, "__name__", repr(func)))
        if version in (0, entry.version):
            return Callee(entry.name, entry.version, entry.func)
        other = self.find(entry.name, version)
        return Callee(entry.name, version, None if other is None else other.func)

    def callee_here(self, func: Func, version: int = 0) -> Callee:
        """Return what is called in this process; raises as ``callee``, and for unknown names."""
        callee = self.callee(func, version)
        entry = self.find(callee.name, version if isinstance(func, str) else callee.version)
        if entry is None:
            raise self._unknown(callee.name, version)
        return Callee(entry.name, entry.version, entry.func)

    def _unknown(self, name: str, version: int) -> FunctionNotFoundError:
        with self._lock:
            known = sorted(self._names.get(name, {}))
        if version and known:
            return VersionNotFoundError(name, version, known)
        return FunctionNotFoundError(name, version)


def _checked(func: Callable[..., Any], name: str | None, version: int) -> str:
    if not callable(func):
        raise TypeError("func must be Callable")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be `str | None`, got {type(name).__name__}")
    if not isinstance(version, int) or isinstance(version, bool):
        raise TypeError(f"version must be `int`, got {type(version).__name__}")
    if version < 1:
        raise ValueError("provided version must be greater than zero")
    if not inspect.isfunction(func):
        raise ValueError("provided callable must be a function")
    if inspect.isasyncgenfunction(func):
        raise TypeError("async generator functions cannot be registered: use `async def`")
    if not takes_context(func):
        raise ValueError(f"function {func.__qualname__} must take a context first: def f(ctx, …)")
    if name is None and func.__name__ == "<lambda>":
        raise ValueError("name required when registering a lambda function")
    if name is not None:
        check_filled("name", name)
    return name or func.__name__


def _check_executor(executor: Any, func: Callable[..., Any]) -> None:
    if executor is not None and executor != "process":
        raise ValueError(f"executor must be None or 'process', got {executor!r}")
    if executor == "process":
        _check_process(func)


def _check_process(func: Callable[..., Any]) -> None:
    """Raise TypeError or ValueError for a function that no child could find or run."""
    name = func.__qualname__
    if inspect.iscoroutinefunction(func) or inspect.isgeneratorfunction(func):
        raise TypeError(
            f"function {name} cannot run in a process: there it could not wait for anything. Give"
            ' executor="process" to a plain function, and call that from this one by ctx.run'
        )
    if func.__module__ == "__main__":
        raise ValueError(
            f"function {name} is defined in the program itself, which a process does not import:"
            " put it in a module of its own, and import that from the program"
        )
    if "<" in name:
        raise ValueError(
            f"function {name} cannot be imported by its name, as a process has to: define it with"
            " `def` at the top of a module (and use functools.wraps in what decorates it)"
        )
