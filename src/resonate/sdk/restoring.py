"""Restoring: exceptions made again from JSON, whoever wrote it. ``failures`` has the shape of ours.

Rules:
- Nothing that is read names what is imported or called: ``type`` is looked up in a table, that of
  ``exception_types``.
- What is not in the table, and what cannot be made so that it reads the same, is a RemoteError; but
  a built-in exception is one of its type, even if its text is another then.
- An exception made again has a RemoteError as its ``__cause__``, with the traceback of the other
  side; that one's ``__cause__`` is what led to it there.
- Reading never raises, whatever is in the JSON. Depth and number are bounded.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from resonate.sdk import exception_types
from resonate.sdk.errors import RemoteError
from resonate.sdk.failures import (
    DEPTH_MAX,
    INNER_MESSAGE_MAX,
    MESSAGE_MAX,
    NAME_MAX,
    NOTES_MAX,
    TEXT_HERE,
    text_of,
)

_NODES_MAX = 200  # that are read: more than are written, each group may end with what was left out


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
            made = _again(message, ours)
        found = remote if made is None else made
        for note in _notes_of(ours):
            found.add_note(note)
        if made is not None:
            made.__cause__ = remote
            if (text := text_of(made, MESSAGE_MAX)) != message:
                vars(remote)[TEXT_HERE] = text
        return found

    def _inner(self, node: Any, depth: int) -> Exception | None:
        """Make what led to an exception, or what a group holds."""
        if node is None or depth >= DEPTH_MAX or self._nodes >= _NODES_MAX:
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


def _again(message: str, ours: dict[str, Any]) -> Exception | None:
    """Return an exception of the same type and text, when the type is known."""
    cls, arguments = exception_types.named(_string(ours.get("type")) or ""), ours.get("args")
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
    readable = [each for each in found if text_of(each, NAME_MAX)]
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
    text = text_of(made, MESSAGE_MAX)
    return text == message or (len(message) >= INNER_MESSAGE_MAX and text.startswith(message))


def _name_of(stored: dict[str, Any]) -> str:
    return (_string(stored.get("name")) or "Error")[:NAME_MAX]


def _message_of(stored: dict[str, Any]) -> str:
    for key in ("message", "__error__"):
        if isinstance(stored.get(key), str):
            return str(stored[key])
    return _as_json(stored)


def _module(type_name: str | None, name: str) -> str | None:
    """Return where a class is defined, from the whole of its name."""
    if type_name is None or not type_name.endswith(f".{name}"):
        return None
    return type_name[: -len(name) - 1][:NAME_MAX]


def _notes_of(ours: dict[str, Any]) -> list[str]:
    notes = ours.get("notes")
    if not isinstance(notes, list):
        return []
    return [each for each in notes[:NOTES_MAX] if isinstance(each, str)]


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _as_json(stored: Any) -> str:
    try:
        return json.dumps(stored, ensure_ascii=False)
    except (ValueError, RecursionError):  # an endless integer; nested too deeply
        return "(a value that cannot be shown)"
