"""Failures: exceptions as JSON. ``restoring`` makes exceptions of it again.

Written is the one shape that all published SDKs read. Ours adds, under the key ``resonate``:

- ``type``: the class by its module and name;
- ``args``: what it takes to make it again, when that is plain JSON; of a built-in exception always,
  as near to it as JSON comes;
- ``kinds``: which of these, by their number, are a "tuple", or "bytes" in base64;
- ``traceback`` and ``notes``: texts;
- ``cause``: the exception that led to it, and so on (``__cause__``, else a ``__context__`` that is
  not suppressed);
- ``errors``: what a group holds.

Rules:
- An exception that goes through several processes is written as it first was.
- Writing never raises, whatever is in the exception. Depth, number and sizes are bounded.
"""

from __future__ import annotations

import base64
import json
import os
import traceback
from typing import Any

from resonate.sdk import exception_types, values
from resonate.sdk.errors import RemoteError

_TRACEBACK_MAX = 32_000  # characters of the outermost exception; its end is kept
MESSAGE_MAX = 100_000
_INNER_TRACEBACK_MAX = 4_000  # the same of what led to it, and of what a group holds
INNER_MESSAGE_MAX = 10_000
NAME_MAX = 1_000
NOTES_MAX = 32
DEPTH_MAX = 16  # of causes and groups in each other
_NODES_MAX = 100  # of all exceptions that are written with one
_ARGS_DEPTH_MAX = 20
TEXT_HERE = "_text_here"  # kept in a RemoteError: the text of what was made of it, if another


def describe(error: BaseException, *, brief: bool = False) -> dict[str, Any]:
    """Return an exception as plain JSON; never raises.

    ``brief`` is for those that are too large: the type, and the beginning of the message.
    """
    try:
        node = _brief(error) if brief else _Writer().node(error, 0)
    except Exception:  # noqa: BLE001  # user code: a subclass may hide or replace any attribute
        node = {"name": "Exception", "message": "(it cannot be described)"}
    name, message = node.pop("name"), node.pop("message")
    return {
        "__type": "error",
        "name": name,
        "message": message,
        "__error__": message,
        "resonate": node,
    }


def _brief(error: BaseException) -> dict[str, Any]:
    return {
        "name": _class_name(error),
        "message": text_of(error, INNER_MESSAGE_MAX),
        "type": _type_name(error),
    }


class _Writer:
    """Writes one exception, with those that it leads to."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def node(self, error: BaseException, depth: int) -> dict[str, Any]:
        self._seen.add(id(error))
        before = _before(error)
        twin = before if before is not None and _is_twin(before, error) else None
        if twin is not None:
            self._seen.add(id(twin))
            before = _before(twin)
        message_max = INNER_MESSAGE_MAX if depth else MESSAGE_MAX
        node = _brief(error)
        node["message"] = text_of(twin or error, message_max)
        node["traceback"] = _trace(error, twin, depth)
        arguments = _arguments(error, message_max)
        if arguments is not None:
            node["args"] = arguments
            if twin is not None and TEXT_HERE in vars(twin):
                node["kinds"] = {}  # they are near ones already
        elif near := _near_arguments(error, message_max):
            node["args"], node["kinds"] = near
        if notes := _notes(error):
            node["notes"] = notes
        if isinstance(error, BaseExceptionGroup):
            node["errors"] = self._members(error, depth)
        if before is not None and self._has_room(before, depth):
            node["cause"] = self.node(before, depth + 1)
        return node

    def _members(self, group: BaseExceptionGroup[BaseException], depth: int) -> list[Any]:
        found, left = [], 0
        for each in _exceptions(group):
            if self._has_room(each, depth):
                found.append(self.node(each, depth + 1))
            else:
                left += 1
        if left:
            found.append({"name": "Exception", "message": f"({left} more)"})
        return found

    def _has_room(self, error: BaseException, depth: int) -> bool:
        known = id(error) in self._seen
        return not known and depth < DEPTH_MAX and len(self._seen) < _NODES_MAX


def _before(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def _is_twin(before: BaseException, error: BaseException) -> bool:
    """Tell whether the one is what ``restore`` gave the other as its cause."""
    return (
        isinstance(before, RemoteError)
        and not isinstance(error, RemoteError)
        and error.__cause__ is before
        and before.type == _class_name(error)
        and vars(before).get(TEXT_HERE, before.message) == text_of(error, MESSAGE_MAX)
    )


def _class_name(error: BaseException) -> str:
    if isinstance(error, RemoteError):
        return _clean(error.type, NAME_MAX)
    return _clean(type(error).__qualname__, NAME_MAX)


def _type_name(error: BaseException) -> str:
    cls = type(error)
    if isinstance(error, RemoteError):
        where = error.module
        return _clean(f"{where}.{error.type}" if where else error.type, NAME_MAX)
    return _clean(exception_types.name_of(cls), NAME_MAX)


def text_of(error: BaseException, length: int) -> str:
    """Return the text of an exception, cut off; never raises."""
    try:
        text = error.message if isinstance(error, RemoteError) else str(error)
        return _clean(text, length)
    except BaseException as failure:  # noqa: BLE001  # user code: __str__ may raise anything
        return f"(its text cannot be had: {type(failure).__qualname__})"


def _trace(error: BaseException, twin: BaseException | None, depth: int) -> str:
    """Return the traceback; of the outermost exception with all that led to it, for people."""
    length = _INNER_TRACEBACK_MAX if depth else _TRACEBACK_MAX
    try:
        remote = twin or error
        told = remote.traceback if isinstance(remote, RemoteError) else None
        lines = [f"{told}\n"] if told is not None else []
        if lines and error.__traceback__ is not None:
            lines.append("\nIt came here through:\n\n")
        chain = depth == 0 and not lines
        if not lines or error.__traceback__ is not None:
            lines += traceback.format_exception(error, chain=chain)
        return _clean("".join(lines), None)[-length:]
    except BaseException as failure:  # noqa: BLE001  # it looks at attributes that may be user code
        return f"(its traceback cannot be had: {type(failure).__qualname__})"


def _notes(error: BaseException) -> list[str]:
    try:
        notes = list(getattr(error, "__notes__", ()))[:NOTES_MAX]
        return [_clean(each, _INNER_TRACEBACK_MAX) for each in notes if isinstance(each, str)]
    except BaseException:  # noqa: BLE001  # user code: anything may have been put there
        return []


def _exceptions(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    try:
        return [each for each in group.exceptions if isinstance(each, BaseException)]
    except BaseException:  # noqa: BLE001  # user code: a subclass may hide them
        return []


def _arguments(error: BaseException, length: int) -> list[Any] | None:
    """Return what the exception is made from, when that is plain JSON and small."""
    if isinstance(error, RemoteError):
        return None
    if isinstance(error, BaseExceptionGroup):
        return [_group_message(error)]
    try:
        made = error.__reduce__()
        arguments = list(made[1]) if isinstance(made, tuple) and made[0] is type(error) else None
        if arguments is None or not _is_json(arguments, _ARGS_DEPTH_MAX):
            return None
        text = json.dumps(arguments, allow_nan=False, ensure_ascii=False)
        return arguments if len(text.encode()) <= length else None
    except BaseException:  # noqa: BLE001  # user code; NaN, half a surrogate, an endless integer
        return None


def _near_arguments(error: BaseException, length: int) -> tuple[list[Any], dict[str, str]] | None:
    """Return what comes near to what a built-in exception is made from, and the kinds of it."""
    if not exception_types.is_builtin(type(error)):
        return None
    try:
        made = error.__reduce__()
        given = made[1] if isinstance(made, tuple) else error.args
        pairs = [_near_argument(each) for each in given]
        arguments = [each for each, _ in pairs]
        text = json.dumps(arguments, allow_nan=False, ensure_ascii=False)
        if len(text.encode()) > length:
            return None
        return arguments, {str(at): kind for at, (_, kind) in enumerate(pairs) if kind is not None}
    except BaseException:  # noqa: BLE001  # user code: what is in it; an endless integer
        return None


def _near_argument(value: Any) -> tuple[Any, str | None]:
    if type(value) is bytes:
        return base64.b64encode(value).decode(), "bytes"
    try:
        near = values.plain(os.fspath(value) if isinstance(value, os.PathLike) else value, "it")
        json.dumps(near, allow_nan=False)  # an endless integer has no text
        if _is_json(near, _ARGS_DEPTH_MAX):
            return near, "tuple" if type(value) is tuple else None
    except Exception:  # noqa: BLE001, S110  # JSON does not have it, or it is user code that fails
        pass
    return _clean(repr(value), INNER_MESSAGE_MAX), None


def _group_message(group: BaseExceptionGroup[BaseException]) -> str:
    try:
        return _clean(group.message, MESSAGE_MAX)
    except BaseException:  # noqa: BLE001  # user code: a subclass may hide it
        return ""


def _is_json(value: Any, depth: int) -> bool:
    kind = type(value)
    if value is None or kind in (str, int, float, bool):
        return True
    if depth == 0:
        return False
    if kind is list:
        return all(_is_json(each, depth - 1) for each in value)
    if kind is dict:
        return all(type(key) is str and _is_json(each, depth - 1) for key, each in value.items())
    return False


def _clean(text: str, length: int | None) -> str:
    return str.encode(text, "utf-8", "backslashreplace").decode()[:length]
