"""The exceptions that arrive as themselves: a table by name.

It holds the built-in exceptions, those of this package, and what ``register_exception`` entered.
"""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable
from typing import TypeVar, overload

from resonate.sdk import errors
from resonate.sdk.errors import ResonateError

_STOPS = (StopIteration, StopAsyncIteration)  # raised out of a coroutine they mean something else

E = TypeVar("E", bound=type[Exception])


def _builtin_types() -> dict[str, type[Exception]]:
    found = {}
    for name, cls in vars(builtins).items():
        if isinstance(cls, type) and issubclass(cls, Exception) and not issubclass(cls, _STOPS):
            found[f"builtins.{name}"] = cls
    return found


def _own_types() -> dict[str, type[Exception]]:
    # Named after the public module: where they are defined may change, what is stored may not.
    return {
        f"resonate.errors.{name}": cls
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, ResonateError)
    }


_types: dict[str, type[Exception]] = _builtin_types() | _own_types()
_names: dict[type[BaseException], str] = {cls: name for name, cls in _own_types().items()}
_lock = threading.Lock()


@overload
def register_exception(cls: E, *, name: str | None = None) -> E: ...
@overload
def register_exception(cls: None = None, *, name: str | None = None) -> Callable[[E], E]: ...
def register_exception(cls: E | None = None, *, name: str | None = None) -> E | Callable[[E], E]:
    """Let an exception of yours arrive as itself: at callers that registered it, too.

    Also as a decorator, ``@register_exception`` or ``@register_exception(name=…)``. It is known
    under its module and name, unless ``name`` says another one. It is made again from its ``args``
    (or from what its ``__reduce__`` says), if these are plain JSON. Raises TypeError for what is no
    exception class.
    """
    if cls is None:
        return lambda cls: register_exception(cls, name=name)
    if not (isinstance(cls, type) and issubclass(cls, Exception)) or issubclass(cls, _STOPS):
        raise TypeError(f"cls must be a subclass of Exception, got {cls!r}")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be `str | None`, got {type(name).__name__}")
    with _lock:
        known_as = name or _full_name(cls)
        _types[known_as] = cls
        _names[cls] = known_as
    return cls


def named(name: str) -> type[Exception] | None:
    """Return the exception that is known under that name."""
    return _types.get(name)


def is_builtin(cls: type[BaseException]) -> bool:
    """Tell whether it is a built-in exception that arrives as itself."""
    return cls.__module__ == "builtins" and _types.get(f"builtins.{cls.__qualname__}") is cls


def name_of(cls: type[BaseException]) -> str:
    """Return the name of an exception, whether it is in the table or not."""
    return _names.get(cls) or _full_name(cls)


def _full_name(cls: type[BaseException]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
