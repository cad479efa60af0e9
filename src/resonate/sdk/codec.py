"""Values on the wire: strict JSON, in base64, readable by SDKs of other languages.

Rules:
- Never pickle. What JSON does not have is refused with the place in the value, not bent; only a
  tuple becomes a list, and a subclass of str, int, float, list or dict what it is a subclass of.
- None is written as no data at all.
- An error is written in the one shape that all published SDKs read; ours adds under the key
  ``resonate`` the traceback, and what it takes to raise the same built-in exception again.
"""

from __future__ import annotations

import base64
import binascii
import builtins
import json
import math
import traceback
from typing import Any

from resonate.protocol.records import EMPTY, PromiseRecord, Value
from resonate.sdk.errors import (
    DecodingError,
    EncodingError,
    RemoteError,
    ResonateCanceledError,
    ResonateTimedoutError,
)

_TRACEBACK_MAX = 32_000
_MESSAGE_MAX = 100_000
_STOPS = (StopIteration, StopAsyncIteration)  # raised out of a coroutine they mean something else
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode


def encode(value: Any, where: str = "value") -> Value:
    """Return ``value`` as it is stored; raises EncodingError, which calls the value ``where``."""
    if value is None:
        return EMPTY
    return Value(data=base64.b64encode(_json(value, where)).decode("ascii"))


def encode_call(name: str, version: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
    """Return the param of a call; raises EncodingError."""
    text = b'{"func":%b,"args":%b,"kwargs":%b,"version":%d}' % (
        _json(name, "the function's name"),
        _json(args, "args"),
        _json(kwargs, "kwargs"),
        version,
    )
    return Value(data=base64.b64encode(text).decode("ascii"))


def decode(value: Value, promise_id: str) -> Any:
    """Return what was stored; raises DecodingError."""
    if not value.data:
        return None
    try:
        return json.loads(base64.b64decode(value.data, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise DecodingError(f"the value of promise {promise_id} cannot be read: {error}") from error


def _json(value: Any, where: str) -> bytes:
    try:
        _check(value, where)
        return _encode(value).encode()
    except RecursionError:
        raise EncodingError(f"{where} is nested too deeply, or contains itself") from None
    except ValueError as error:  # an int with more digits than Python is willing to print
        raise EncodingError(f"{where} cannot be written: {error}") from None


def _check(value: Any, where: str) -> None:
    kind = type(value)
    if value is None or kind in (bool, int):
        return
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise EncodingError(f"{where} is {float(value)}, which JSON does not have")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise EncodingError(f"{where} has the key {key!r}: keys must be strings")
            place = f"{where}[{key!r}]"
            _check_text(key, place)
            _check(item, place)
    elif not isinstance(value, int):
        raise EncodingError(f"{where} is of type {kind.__qualname__}, which JSON does not have")


def _check_text(text: str, where: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise EncodingError(f"{where} is no valid Unicode: it has half a surrogate") from None


# --- errors ---------------------------------------------------------------------------------------


def encode_error(error: BaseException) -> Value:
    """Return an exception as it is stored; never raises."""
    message = _text(error)
    cls = type(error)
    ours: dict[str, Any] = {"traceback": _traceback(error)}
    if cls.__module__ == "builtins":
        ours["builtin"] = _arguments(error)
    return encode(
        {
            "__type": "error",
            "name": _clean(cls.__qualname__),
            "message": message,
            "__error__": message,
            "resonate": ours,
        }
    )


def _text(error: BaseException) -> str:
    try:
        return _clean(str(error))[:_MESSAGE_MAX]
    except BaseException as failure:  # noqa: BLE001  # user code: __str__ may raise anything
        return f"(its text cannot be had: {type(failure).__qualname__})"


def _traceback(error: BaseException) -> str:
    try:
        return _clean("".join(traceback.format_exception(error)))[-_TRACEBACK_MAX:]
    except BaseException as failure:  # noqa: BLE001  # it looks at attributes that may be user code
        return f"(its traceback cannot be had: {type(failure).__qualname__})"


def _arguments(error: BaseException) -> list[Any] | None:
    """Return the arguments of an exception when they are plain and small."""
    plain = all(each is None or type(each) in (str, int, float, bool) for each in error.args)
    if not plain:
        return None
    try:
        return list(error.args) if len(_json(error.args, "args")) <= _MESSAGE_MAX else None
    except EncodingError:
        return None


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def decode_error(value: Value, promise_id: str) -> BaseException:
    """Return the exception to raise for a rejected promise, whoever wrote it."""
    try:
        stored = decode(value, promise_id)
    except DecodingError as error:
        return RemoteError("Rejected", f"with a value that is no JSON ({error})")
    if not isinstance(stored, dict):
        return RemoteError("Rejected", json.dumps(stored, ensure_ascii=False))
    text = stored.get("message", stored.get("__error__"))
    message = text if isinstance(text, str) else json.dumps(stored, ensure_ascii=False)
    name = str(stored.get("name") or "Error")
    ours = stored.get("resonate")
    trace = ours.get("traceback") if isinstance(ours, dict) else stored.get("stack")
    remote = RemoteError(name, message, trace if isinstance(trace, str) else None)
    if isinstance(ours, dict) and "builtin" in ours:
        same = _builtin(name, message, ours["builtin"])
        if same is not None:
            same.__cause__ = remote
            return same
    return remote


def _builtin(name: str, message: str, arguments: Any) -> Exception | None:
    """Return a built-in exception of that name and text."""
    cls = getattr(builtins, name, None)
    if not (isinstance(cls, type) and issubclass(cls, Exception)) or issubclass(cls, _STOPS):
        return None
    candidates = [arguments, [message]] if isinstance(arguments, list) else [[message]]
    for each in candidates:
        try:
            made: Exception = cls(*each)
            if str(made) == message:
                return made
        except Exception:  # noqa: BLE001, S112  # it takes other arguments
            continue
    return None


def outcome(promise: PromiseRecord) -> Any:
    """Return the value of a settled promise, or raise what it stands for."""
    match promise.state:
        case "resolved":
            return decode(promise.value, promise.id)
        case "rejected":
            raise decode_error(promise.value, promise.id)
        case "rejected_canceled":
            raise ResonateCanceledError(promise.id)
        case "rejected_timedout":
            raise ResonateTimedoutError(promise.id, promise.timeout_at / 1000)
        case _:
            raise AssertionError(f"promise {promise.id} is not settled")
