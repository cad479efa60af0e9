"""Functions by their signatures: whether arguments fit, and what annotations make of them.

Rules:
- What is known of a function is found out once, and kept as long as the function.
- Whether arguments fit is said by the function itself; how they are read is said by the innermost
  one that it wraps, if the arguments fit that as well.
- Each annotation is resolved by itself: one that cannot be leaves the others as they are.
- A function without annotations costs a look into a table.
"""

from __future__ import annotations

import inspect
import reprlib
import types
import typing
from collections import abc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from resonate.sdk.errors import ArgumentsError, DecodingError
from resonate.sdk.values import Read, read_as, reader

_GIVEN_MAX = 200  # characters of what was given, in a message


class _Reader(NamedTuple):
    """How to read what is given for one parameter."""

    name: str
    hint: Any
    read: Read
    optional: bool  # `x: int = None` was good Python for long

    def __call__(self, value: Any, place: str) -> Any:
        if value is None and self.optional:
            return None
        return read_as(self.read, value, self.hint, place)


class _Plan:
    """What is known of a function: whether arguments fit, and how to read them."""

    def __init__(self, func: Callable[..., Any]) -> None:
        hints = _hints(func)
        self.returns = _returned(hints.get("return", Any))
        self.signature = _signature(func, wrapped=False)
        self.inner = _signature(func, wrapped=True) if hasattr(func, "__wrapped__") else None
        self._set_number()
        self._set_readers(hints)

    def _set_number(self) -> None:
        """Find out how many arguments without names are surely right; none: -1 at most."""
        parameters = [] if self.signature is None else list(self.signature.parameters.values())
        simple = all(each.kind in _BY_PLACE for each in parameters)
        self.least = sum(each.default is each.empty for each in parameters[1:])
        self.most = len(parameters) - 1 if simple else -1

    def _set_readers(self, hints: dict[str, Any]) -> None:
        self.placed: list[_Reader | None] = []
        self.named: dict[str, _Reader] = {}
        self.rest: _Reader | None = None
        self.others: _Reader | None = None
        signature = self.inner or self.signature
        for each in [] if signature is None else list(signature.parameters.values())[1:]:
            hint = hints.get(each.name, Any)
            read = None if hint is Any else reader(hint)
            made = read and _Reader(each.name, hint, read, each.default is None)
            if each.kind is each.VAR_POSITIONAL:
                self.rest = made
            elif each.kind is each.VAR_KEYWORD:
                self.others = made
            else:
                if each.kind in _BY_PLACE:
                    self.placed.append(made)
                if made is not None and each.kind is not each.POSITIONAL_ONLY:
                    self.named[each.name] = made
        self.reads = bool(any(self.placed) or self.named or self.rest or self.others)

    def read_args(self, args: Sequence[Any]) -> list[Any]:
        found = []
        for index, value in enumerate(args):
            placed = index < len(self.placed)
            how = self.placed[index] if placed else self.rest
            if how is None:
                found.append(value)
            else:
                place = how.name if placed else f"{how.name}[{index - len(self.placed)}]"
                found.append(how(value, place))
        return found

    def read_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for name, value in kwargs.items():
            how = self.named.get(name, self.others)
            found[name] = value if how is None else how(value, name)
        return found


_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_plans: WeakKeyDictionary[Callable[..., Any], _Plan] = WeakKeyDictionary()


def return_type(func: Callable[..., Any]) -> Any:
    """Return what a function says it returns, Any when it does not say.

    Of a generator and a coroutine this is what they return in the end.
    """
    return _plan(func).returns


def arguments(
    func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Return the decoded arguments of a call, without the context, as the annotations say.

    Raises ArgumentsError when they do not fit.
    """
    plan = _plan(func)
    _fit(plan, func, args, kwargs)
    if not plan.reads or not _reach_the_inner(plan, args, kwargs):
        return args, kwargs
    try:
        return plan.read_args(args), plan.read_kwargs(kwargs)
    except DecodingError as error:
        raise _wrong(func, plan, args, kwargs, str(error)) from error


def takes_context(func: Callable[..., Any]) -> bool:
    """Tell whether the function takes an argument without a name; true when that is not known."""
    signature = _plan(func).signature
    kinds = (*_BY_PLACE, inspect.Parameter.VAR_POSITIONAL)
    return signature is None or any(each.kind in kinds for each in signature.parameters.values())


def check_arguments(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise ArgumentsError unless the function takes that many arguments, of those names."""
    _fit(_plan(func), func, args, kwargs)


def _fit(
    plan: _Plan, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> None:
    if plan.signature is not None and (kwargs or not plan.least <= len(args) <= plan.most):
        try:
            plan.signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise _wrong(func, plan, args, kwargs, str(error)) from None


def _reach_the_inner(plan: _Plan, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Tell whether a function that wraps another seems to hand on what it is given."""
    if plan.inner is None:
        return True
    try:
        plan.inner.bind(None, *args, **kwargs)
    except TypeError:  # it gives the inner one something of its own
        return False
    return True


class _Bare:
    """An annotation in a signature that is shown: a text without quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 80


def _wrong(
    func: Callable[..., Any],
    plan: _Plan,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    problem: str,
) -> ArgumentsError:
    given = [_repr.repr(each) for each in args]
    given += [f"{key}={_repr.repr(each)}" for key, each in kwargs.items()]
    text = ", ".join(given)
    text = text if len(text) <= _GIVEN_MAX else f"{text[:_GIVEN_MAX]}…"
    name = getattr(func, "__qualname__", None) or repr(func)
    return ArgumentsError(name, _shown(plan.inner or plan.signature), f"({text})", problem)


def _shown(signature: inspect.Signature | None) -> str:
    """Return the signature as it is called: without the context."""
    if signature is None:
        return "(…)"
    parameters = []
    for each in list(signature.parameters.values())[1:]:
        bare = isinstance(each.annotation, str)
        parameters.append(each.replace(annotation=_Bare(each.annotation)) if bare else each)
    returns = signature.return_annotation
    returns = _Bare(returns) if isinstance(returns, str) else returns
    return str(signature.replace(parameters=parameters, return_annotation=returns))


def _plan(func: Callable[..., Any]) -> _Plan:
    try:
        found = _plans.get(func)
        if found is None:
            found = _plans[func] = _Plan(func)
    except TypeError:  # it cannot be hashed, or referred to weakly
        return _Plan(func)
    return found


def _signature(func: Callable[..., Any], *, wrapped: bool) -> inspect.Signature | None:
    try:
        return inspect.signature(func, follow_wrapped=wrapped)
    except (TypeError, ValueError, NameError):  # written in C, or annotated as only 3.14 can
        return None


def _hints(func: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function that can be resolved."""
    try:
        bare = inspect.unwrap(func)
        annotations = inspect.get_annotations(bare)
    except (TypeError, ValueError, NameError):  # no function; Python 3.14 resolves names only here
        return {}
    names = getattr(bare, "__globals__", {})
    hints: dict[str, Any] = {}
    for name, annotation in annotations.items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints |= typing.get_type_hints(holder, names, _outer(bare), include_extras=True)
        except Exception:  # noqa: BLE001, S112  # a name under TYPE_CHECKING; no type at all
            continue
    return hints


def _outer(func: Callable[..., Any]) -> dict[str, Any]:
    """Return what a function sees of the functions around it, as far as it uses it."""
    found = {}
    code, cells = getattr(func, "__code__", None), getattr(func, "__closure__", None) or ()
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # it has no value yet
            continue
    return found


def _returned(annotation: Any) -> Any:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (abc.Generator, abc.Coroutine):
        return inner[2] if len(inner) == 3 else Any
    if origin is abc.Awaitable:
        return inner[0] if inner else Any
    if annotation in _STEPS or origin in _STEPS:
        return Any
    return annotation


_STEPS = (
    abc.Generator,
    abc.Coroutine,
    abc.Awaitable,
    abc.Iterator,
    abc.Iterable,
    abc.AsyncGenerator,
    abc.AsyncIterator,
    abc.AsyncIterable,
)
