"""Values of Python as plain JSON, and back again by annotations.

Writing (``plain``) goes by the value alone; nobody has to say what it is:

====================================== ==============================================
None, bool, int, float, str, list, dict themselves; a subclass is written as its base
tuple, NamedTuple, set, frozenset       a list; that of a set is sorted
dataclass, Struct, attrs, pydantic      an object; a Struct as it says itself
datetime, date, time, timedelta         text of RFC 3339, of ISO 8601
UUID, Decimal                           its text
Enum whose values are all str, all int  the value
bytes, bytearray, memoryview            base64
====================================== ==============================================

Reading (``convert``) goes by the annotation: what was written comes back equal.

Rules:
- What JSON does not have and no line of the table covers is refused with its place, not bent. So
  are the other Enums, which could not be read, and objects of classes with fields of such.
- Reading is strict: a number in a text is no number. Unknown members of objects are passed over.
- An annotation that says nothing (missing, Any), that cannot be resolved (a name under
  TYPE_CHECKING), or that no line covers (a Callable, a class of another kind) leaves the JSON as it
  is, whole.
- Of the members of a union one must fit, and only one; those that JSON has itself come last.
- Nothing that is read is imported or executed, but constructors of the annotated types are called.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import functools
import json
import math
import sys
import types
import typing
import uuid
from collections.abc import Callable
from enum import Enum
from typing import Any, NoReturn, Union

import msgspec
import msgspec.inspect

from resonate.sdk.errors import DecodingError, EncodingError

Read = Callable[[Any], Any]

# The JSON text of what ``plain`` returned.
dump = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode


# --- writing --------------------------------------------------------------------------------------


class _RefusedError(Exception):
    """Something in a value cannot be written; its path grows on the way out."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path = ""


class _Foreign:
    """What msgspec does not know, within what it does."""

    def __init__(self, value: Any) -> None:
        self.value = value


_LISTS = (list, tuple)
_SCALARS = (str, float, int, dt.datetime)
# msgspec knows these, and not their subclasses, of which drivers of databases have some.
_TEXTS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (uuid.UUID, uuid.UUID.__str__),
    (decimal.Decimal, decimal.Decimal.__str__),
    (dt.date, dt.date.isoformat),
    (dt.time, dt.time.isoformat),
)
_KINDS = frozenset({float, list, tuple, dict, set, frozenset, bytes})  # need not be looked at
_PASSED = (_Foreign, dt.datetime)  # left by msgspec for ``_plain`` to look at


def plain(value: Any, where: str) -> Any:
    """Return a value as plain JSON; raises EncodingError, which calls the value ``where``."""
    try:
        return _plain(value)
    except _RefusedError as refused:
        raise EncodingError(f"{where}{refused.path} {refused.why}") from refused.__cause__
    except RecursionError:
        raise EncodingError(f"{where} is nested too deeply, or contains itself") from None


def _plain(value: Any) -> Any:
    kind: Any = type(value)
    if value is None or kind is bool or kind is int:
        return value
    if kind is str or isinstance(value, str):
        return _text(value)
    if kind not in _KINDS and (why := _why_never_read(kind)):
        raise _RefusedError(why)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _RefusedError(f"is {float.__repr__(value)}, which JSON does not have")
        return value
    if isinstance(value, _LISTS):
        return _items(value)
    if isinstance(value, dict):
        return _members(value)
    if isinstance(value, int):
        return value
    return _other(value)


@functools.lru_cache(maxsize=1_000)
def _why_never_read(cls: type) -> str | None:
    """Return why no annotation makes such an object again, when that is an Enum's fault."""
    try:
        msgspec.json.Decoder(cls, dec_hook=_construct)
    except Exception as error:  # noqa: BLE001  # it is said, or asked for again when it is read
        if issubclass(cls, Enum):
            return f"is of Enum {cls.__qualname__}, which could not be read: {error}"
        # Of what else cannot be read, the JSON is what its reader gets; see ``_made_reader``.
        if str(error).startswith("Enums must "):
            return f"is of type {cls.__qualname__}, which could not be read: {error}"
    return None


def _text(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _RefusedError("is no valid Unicode: it has half a surrogate") from None
    return text


def _items(values: list[Any] | tuple[Any, ...]) -> list[Any]:
    found = []
    try:
        for each in values:
            found.append(_plain(each))  # noqa: PERF401  # its length says where it was refused
    except _RefusedError as refused:
        refused.path = f"[{len(found)}]{refused.path}"
        raise
    return found


def _members(values: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, each in values.items():
        name = key if isinstance(key, str) else _key(key)
        try:
            if name in found:
                raise _RefusedError("is there twice: two keys have the same text")
            found[_text(name)] = _plain(each)
        except _RefusedError as refused:
            refused.path = f"[{name!r}]{refused.path}"
            raise
    return found


def _key(key: Any) -> str:
    """Return a key that is written as a text, such as a UUID."""
    try:
        text = None if isinstance(key, tuple | int | float | bytes | None) else _plain(key)
    except _RefusedError:
        text = None
    if not isinstance(text, str):
        raise _RefusedError(f"has the key {key!r}: keys must be strings")
    return text


def _other(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return _set(value)
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, dt.datetime):
        return msgspec.to_builtins(_whole_minutes(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    return _foreign(value.value) if isinstance(value, _Foreign) else _plain(_built(value))


def _foreign(value: Any) -> Any:
    if isinstance(value, _SCALARS):
        return _plain(value)
    for cls, text in _TEXTS:
        if isinstance(value, cls):
            return text(value)
    return _pydantic(value)


def _set(values: set[Any] | frozenset[Any]) -> list[Any]:
    # Sorted by what is written: the order of a set differs from process to process.
    try:
        return sorted(map(_plain, values), key=dump)
    except _RefusedError as refused:
        refused.path = f"{{…}}{refused.path}"
        raise


def _whole_minutes(value: dt.datetime) -> dt.datetime:
    """Return the same instant with an offset that RFC 3339 has; before 1970 some have seconds."""
    plain = dt.datetime.combine(dt.datetime.date(value), dt.datetime.timetz(value))
    offset = plain.utcoffset()
    if offset is None or not offset.total_seconds() % 60:
        return plain
    try:
        return plain.astimezone(dt.UTC)
    except OverflowError:
        raise _RefusedError(f"is {value}, which no UTC time says") from None


def _fields(value: Any) -> dict[str, Any]:
    # As msgspec reads them; by hand, for the place of what is refused, and the order of sets.
    found = {}
    for field in dataclasses.fields(value):
        each = getattr(value, field.name, msgspec.UNSET)
        if field.init and each is not msgspec.UNSET:
            try:
                found[field.name] = _plain(each)
            except _RefusedError as refused:
                refused.path = f".{field.name}{refused.path}"
                raise
    return found


def _built(value: Any) -> Any:
    """Return what msgspec makes of it, which may have in it what is still to be looked at."""
    if getattr(value, "__parameters__", ()):
        _look_at_fields(value)
    try:
        return msgspec.to_builtins(
            value, builtin_types=_PASSED, enc_hook=_Foreign, order="deterministic"
        )
    except RecursionError:
        raise
    except TypeError:  # a set of things that have no order
        return msgspec.to_builtins(value, builtin_types=_PASSED, enc_hook=_Foreign)
    except Exception as error:
        raise _RefusedError(f"cannot be written: {error}") from error


def _look_at_fields(value: Any) -> None:
    """Raise for what msgspec would write and not read: its class does not tell what it holds."""
    names = getattr(value, "__struct_fields__", ())
    for name in names or [each.name for each in getattr(value, "__attrs_attrs__", ())]:
        try:
            _plain(None if (each := getattr(value, name, None)) is msgspec.UNSET else each)
        except _RefusedError as refused:
            refused.path = f".{name}{refused.path}"
            raise


_BYTES = (
    " (a model has bytes that are no text: give it"
    " model_config = ConfigDict(ser_json_bytes='base64', val_json_bytes='base64'))"
)


def _pydantic(value: Any) -> Any:
    if not _is_pydantic(type(value)):
        _refuse(value)
    try:
        return _plain(value.model_dump(mode="json", by_alias=True))
    except (_RefusedError, RecursionError):
        raise
    except Exception as error:
        remedy = _BYTES if "utf-8" in str(error) else ""
        raise _RefusedError(f"cannot be written: {error}{remedy}") from error


def _refuse(value: Any) -> NoReturn:
    raise _RefusedError(f"is of type {type(value).__qualname__}, which JSON does not have")


def _is_pydantic(cls: Any) -> bool:
    module = sys.modules.get("pydantic")  # whoever has a model has imported it
    base = getattr(module, "BaseModel", None)
    return isinstance(base, type) and isinstance(cls, type) and issubclass(cls, base)


# --- reading --------------------------------------------------------------------------------------


def convert(value: Any, annotation: Any, where: str) -> Any:
    """Return decoded JSON as what the annotation says; raises DecodingError."""
    if annotation is Any:
        return value
    read = reader(annotation)
    return value if read is None else read_as(read, value, annotation, where)


def read_as(read: Read, value: Any, annotation: Any, where: str) -> Any:
    """Read with what ``reader`` returned for the annotation; raises DecodingError."""
    try:
        return read(value)
    except msgspec.ValidationError as error:
        text = str(error)
        text = text[:1].lower() + text[1:] if text[1:2].islower() else text
        raise DecodingError(f"{where} is no {_shown(annotation)}: {text}") from error
    except RecursionError as error:
        raise DecodingError(f"{where} is nested too deeply") from error
    except Exception as error:  # user code: __post_init__ and such may raise anything
        raise DecodingError(f"{where} is no {_shown(annotation)}: {error!r}") from error


def _shown(annotation: Any) -> str:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation.__qualname__
    return str(annotation).removeprefix("typing.")


def reader(annotation: Any) -> Read | None:
    """Return how to read such a value; None leaves it as it is."""
    try:
        return _cached_reader(annotation)
    except TypeError:  # it cannot be hashed: a Literal or metadata with a list in it
        return _made_reader(annotation)


def _made_reader(annotation: Any) -> Read | None:
    try:
        msgspec.json.Decoder(annotation, dec_hook=_construct)
        leaves = _unknown(msgspec.inspect.type_info(annotation))
    except Exception:  # noqa: BLE001  # a name that cannot be resolved, a type that is not known
        members = _union(annotation)
        return _one_of(members) if members else None
    if not all(map(_is_pydantic, leaves)):
        return None
    return functools.partial(msgspec.convert, type=annotation, dec_hook=_construct, str_keys=True)


_cached_reader = functools.lru_cache(maxsize=1_000, typed=True)(_made_reader)


def _construct(cls: type, value: Any) -> Any:
    if _is_pydantic(cls):
        # As JSON and not as objects: a strict model takes a datetime in a text only then.
        return typing.cast("Any", cls).model_validate_json(dump(value))
    return value  # msgspec refuses it, unless it is of that type already


def _unknown(info: msgspec.inspect.Type) -> list[Any]:
    """Return the classes that msgspec does not know, outside of the fields of those it knows."""
    if isinstance(info, msgspec.inspect.CustomType):
        return [info.cls]
    inner: list[Any] = [
        getattr(info, name, None) for name in ("type", "item_type", "key_type", "value_type")
    ]
    inner += getattr(info, "item_types", ()) or getattr(info, "types", ())
    known = [each for each in inner if isinstance(each, msgspec.inspect.Type)]
    return [cls for each in known for cls in _unknown(each)]


def _union(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return list(typing.get_args(annotation))
    return []


def _one_of(members: list[Any]) -> Read | None:
    """Read what msgspec cannot tell apart, such as a UUID or a text, by trying."""
    readers = [reader(each) for each in members]
    if None in readers:
        return None
    tried = [
        (read, member) for read, member in zip(readers, members, strict=True) if read is not None
    ]
    last = [read for read, member in tried if _is_json(member)]
    first = [read for read, member in tried if not _is_json(member)]

    def read(value: Any) -> Any:
        found = [made for each in first for made in _try(each, value)]
        found = found or [made for each in last for made in _try(each, value)][:1]
        if len(found) == 1:
            return found[0]
        raise msgspec.ValidationError("Several of these fit" if found else "None of these fits")

    return read


def _is_json(annotation: Any) -> bool:
    kind = typing.get_origin(annotation) or annotation
    return kind in (None, types.NoneType, bool, int, float, str, list, dict)


def _try(read: Read, value: Any) -> list[Any]:
    try:
        return [read(value)]
    except msgspec.ValidationError:
        return []
