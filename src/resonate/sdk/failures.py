"""Exceptions as JSON, and exceptions made again from JSON, whoever wrote it.

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
- Nothing that is read names what is imported or called: ``type`` is looked up in a table, that of
  ``exception_types``.
- What is not in the table, and what cannot be made so that it reads the same, is a RemoteError; but
  a built-in exception is one of its type, even if its text is another then.
- An exception made again has a RemoteError as its ``__cause__``, with the traceback of the other
  side; that one's ``__cause__`` is what led to it there.
- An exception that goes through several processes is written as it first was.
- Neither way raises, whatever is in the exception or the JSON. Depth, number and sizes are bounded.
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
_MESSAGE_MAX = 100_000
_INNER_TRACEBACK_MAX = 4_000  # the same of what led to it, and of what a group holds
_INNER_MESSAGE_MAX = 10_000
_NAME_MAX = 1_000
_NOTES_MAX = 32
_DEPTH_MAX = 16  # of causes and groups in each other
_NODES_MAX = 100  # of all exceptions that are written with one
_READ_NODES_MAX = 200  # and read: each group may end with how many were left out
_ARGS_DEPTH_MAX = 20
_TEXT_HERE = "_text_here"  # kept in a RemoteError: the text of what was made of it, if another


# --- writing --------------------------------------------------------------------------------------


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
        "message": _text(error, _INNER_MESSAGE_MAX),
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
        message_max = _INNER_MESSAGE_MAX if depth else _MESSAGE_MAX
        node = _brief(error)
        node["message"] = _text(twin or error, message_max)
        node["traceback"] = _trace(error, twin, depth)
        arguments = _arguments(error, message_max)
        if arguments is not None:
            node["args"] = arguments
            if twin is not None and _TEXT_HERE in vars(twin):
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
        return not known and depth < _DEPTH_MAX and len(self._seen) < _NODES_MAX


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
        and vars(before).get(_TEXT_HERE, before.message) == _text(error, _MESSAGE_MAX)
    )


def _class_name(error: BaseException) -> str:
    if isinstance(error, RemoteError):
        return _clean(error.type, _NAME_MAX)
    return _clean(type(error).__qualname__, _NAME_MAX)


def _type_name(error: BaseException) -> str:
    cls = type(error)
    if isinstance(error, RemoteError):
        where = error.module
        return _clean(f"{where}.{error.type}" if where else error.type, _NAME_MAX)
    return _clean(exception_types.name_of(cls), _NAME_MAX)


def _text(error: BaseException, length: int) -> str:
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
        lines = [f"{remote.traceback}\n"] if isinstance(remote, RemoteError) else []
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
        notes = list(getattr(error, "__notes__", ()))[:_NOTES_MAX]
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
    return _clean(repr(value), _INNER_MESSAGE_MAX), None


def _group_message(group: BaseExceptionGroup[BaseException]) -> str:
    try:
        return _clean(group.message, _MESSAGE_MAX)
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


# --- reading --------------------------------------------------------------------------------------


def restore(stored: Any) -> Exception:
    """Return the exception that a rejected value stands for; never raises."""
    if not isinstance(stored, dict):
        return RemoteError("Rejected", _as_json(stored))
    return _Reader().outermost(stored)


class _Reader:
    """Makes one exception, with those that it leads to."""

    def __init__(self) -> None:
        self._nodes = 0

    def outermost(self, stored: dict[str, Any], depth: int = 0) -> Exception:
        """Make an exception of the shape that all SDKs share."""
        ours = stored.get("resonate")
        if isinstance(ours, dict):
            return self._make(stored, ours, depth)
        if stored.get("__type") == "aggregate_error":
            return self._make(stored, {"errors": stored.get("errors")}, depth)
        return self._make(stored, {}, depth)

    def _make(self, stored: dict[str, Any], ours: dict[str, Any], depth: int) -> Exception:
        self._nodes += 1
        name, message = _name_of(stored), _message_of(stored)
        trace = _string(ours.get("traceback")) or _string(stored.get("stack"))
        type_name = _string(ours.get("type"))
        remote = RemoteError(name, message, trace, _module(type_name, name))
        remote.__cause__ = self._inner(ours.get("cause"), depth)
        made = self._group(type_name, message, ours, depth)
        if made is None:
            made = _again(name, message, ours)
        found = remote if made is None else made
        for note in _notes_of(ours):
            found.add_note(note)
        if made is not None:
            made.__cause__ = remote
            if (text := _text(made, _MESSAGE_MAX)) != message:
                vars(remote)[_TEXT_HERE] = text
        return found

    def _inner(self, node: Any, depth: int) -> Exception | None:
        """Make what led to an exception, or what a group holds."""
        if node is None or depth >= _DEPTH_MAX or self._nodes >= _READ_NODES_MAX:
            return None
        if not isinstance(node, dict):
            self._nodes += 1
            return RemoteError("Error", node if isinstance(node, str) else _as_json(node))
        if "__type" in node or "resonate" in node:
            return self.outermost(node, depth + 1)
        return self._make(node, node, depth + 1)

    def _group(
        self, type_name: str | None, message: str, ours: dict[str, Any], depth: int
    ) -> Exception | None:
        nodes = ours.get("errors")
        if not isinstance(nodes, list):
            return None
        members = [made for each in nodes if (made := self._inner(each, depth)) is not None]
        if not members:
            return None
        arguments = ours.get("args")
        text = arguments[0] if isinstance(arguments, list) and arguments else message
        cls = exception_types.named(type_name or "") or ExceptionGroup
        try:
            group = (cls if issubclass(cls, ExceptionGroup) else ExceptionGroup)(text, members)
            return group if isinstance(group, ExceptionGroup) else None
        except Exception:  # noqa: BLE001  # text is none, or a registered group takes something else
            return ExceptionGroup(message, members)


def _again(name: str, message: str, ours: dict[str, Any]) -> Exception | None:
    """Return an exception of the same type and text, when the type is known."""
    cls, arguments = exception_types.named(_string(ours.get("type")) or ""), ours.get("args")
    if cls is None and "builtin" in ours:  # what earlier versions of this package wrote
        cls, arguments = exception_types.named(f"builtins.{name}"), ours["builtin"]
    if cls is None or cls is RemoteError or issubclass(cls, BaseExceptionGroup):
        return None
    given = _given(arguments, ours.get("kinds"))
    if not exception_types.is_builtin(cls):
        made = (_made(cls, each) for each in [*given, [message]])
        return next((each for each in made if each is not None and _reads(each, message)), None)
    return _builtin_again(cls, given, message, near="kinds" in ours)


def _builtin_again(
    cls: type[Exception], given: list[list[Any]], message: str, *, near: bool
) -> Exception | None:
    """Return a built-in exception, whose arguments may be others than they were: ``near`` ones.

    Of one argument the text counts; where there are several each may, as the errno of an OSError.
    """
    if near and given and len(given[0]) > 1 and (made := _made(cls, given[0])) is not None:
        return made
    found = [made for each in [*given, [message]] if (made := _made(cls, each)) is not None]
    same = [each for each in found if _reads(each, message)]
    readable = [each for each in found if _text(each, _NAME_MAX)]
    return next(iter(same or readable), None) or _unicode_error(cls, message)


def _made(cls: type[Exception], arguments: list[Any]) -> Exception | None:
    try:
        made = cls(*arguments)
        if not isinstance(made, cls) or not _is_sound(made):
            return None
        if exception_types.is_builtin(cls):
            str(made)  # it may be nested too deeply
    except Exception:  # noqa: BLE001  # it takes other arguments
        return None
    return made


def _is_sound(made: Exception) -> bool:
    """Tell whether it is safe to ask for its text: Python may read before what it was given."""
    if not isinstance(made, UnicodeDecodeError | UnicodeEncodeError | UnicodeTranslateError):
        return True
    start, end = made.args[-3:-1]
    return bool(0 <= start <= end)


def _given(arguments: Any, kinds: Any) -> list[list[Any]]:
    """Return the arguments of an exception, if it has some."""
    if not isinstance(arguments, list):
        return []
    kinds = kinds if isinstance(kinds, dict) else {}
    try:
        return [[_as_kind(each, kinds.get(str(at))) for at, each in enumerate(arguments)]]
    except (TypeError, ValueError):  # of another kind than it is said
        return []


def _as_kind(value: Any, kind: Any) -> Any:
    if kind == "bytes":
        return base64.b64decode(value, validate=True)
    return tuple(value) if kind == "tuple" else value


def _unicode_error(cls: type[Exception], message: str) -> Exception | None:
    """Return such an exception whose arguments are not known: it takes exactly its own."""
    if cls is UnicodeDecodeError:
        return UnicodeDecodeError("unknown", b"", 0, 1, message)
    if cls is UnicodeEncodeError:
        return UnicodeEncodeError("unknown", "", 0, 1, message)
    if cls is UnicodeTranslateError:
        return UnicodeTranslateError("", 0, 1, message)
    return None


def _reads(made: Exception, message: str) -> bool:
    """Tell whether the exception has this text, which may have been cut off."""
    text = _text(made, _MESSAGE_MAX)
    return text == message or (len(message) >= _INNER_MESSAGE_MAX and text.startswith(message))


def _name_of(stored: dict[str, Any]) -> str:
    return (_string(stored.get("name")) or "Error")[:_NAME_MAX]


def _message_of(stored: dict[str, Any]) -> str:
    for key in ("message", "__error__"):
        if isinstance(stored.get(key), str):
            return str(stored[key])
    return _as_json(stored)


def _module(type_name: str | None, name: str) -> str | None:
    """Return where a class is defined, from the whole of its name."""
    if type_name is None or not type_name.endswith(f".{name}"):
        return None
    return type_name[: -len(name) - 1][:_NAME_MAX]


def _notes_of(ours: dict[str, Any]) -> list[str]:
    notes = ours.get("notes")
    if not isinstance(notes, list):
        return []
    return [each for each in notes[:_NOTES_MAX] if isinstance(each, str)]


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _as_json(stored: Any) -> str:
    try:
        return json.dumps(stored, ensure_ascii=False)
    except (ValueError, RecursionError):  # an endless integer; nested too deeply
        return "(a value that cannot be shown)"
