"""Values on the wire: strict JSON, in base64, readable by SDKs of other languages.

``values`` says what JSON is made of which value, ``failures`` what of which exception,
``restoring`` which exception of that, ``encoders`` what may be done to the bytes in between.

Rules:
- Never pickle. What JSON does not have is refused with the place in the value, not bent.
- None is written as no data at all.
- An error is written in the one shape that all published SDKs read.
- With an encoder everything but None goes through it, both ways: what it cannot decode is not read.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from resonate.protocol.limits import BODY_BYTES_MAX
from resonate.protocol.records import EMPTY, PromiseRecord, Value
from resonate.protocol.validation import FUNC, VERSION
from resonate.sdk import failures, restoring, values
from resonate.sdk.encoders import Encoder, apply, undo
from resonate.sdk.errors import (
    DecodingError,
    EncodingError,
    NotStartedError,
    RemoteError,
    ResonateCanceledError,
    ResonateTimedoutError,
    ValueTooLargeError,
)

NEVER_STARTED = {"resonate:started": "never"}  # set here, on a timed-out record, see explaining
LIMIT = BODY_BYTES_MAX - 256 * 1024  # of a value: room for what stands around it in a request


def encode(
    value: Any,
    where: str = "value",
    *,
    encoder: Encoder | None = None,
    limit: int | None = None,
) -> Value:
    """Return ``value`` as it is stored; raises EncodingError, which calls the value ``where``.

    Its text may have ``limit`` bytes, in base64; else ValueTooLargeError is raised.
    """
    if value is None:
        return EMPTY
    return _stored(_json(value, where), where, encoder, limit)


def encode_call(
    name: str,
    version: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    encoder: Encoder | None = None,
    limit: int | None = None,
) -> Value:
    """Return the param of a call; raises EncodingError."""
    text = b'{"func":%b,"args":%b,"kwargs":%b,"version":%d}' % (
        _json(name, "the function's name"),
        _json(args, "args"),
        _json(kwargs, "kwargs"),
        version,
    )
    return _stored(text, f"the call of {name}", encoder, limit)


def decode(
    value: Value,
    promise_id: str,
    *,
    encoder: Encoder | None = None,
    type: Any = Any,  # noqa: A002  # what the caller expects it to be
) -> Any:
    """Return what was stored, as ``type``; raises DecodingError.

    ``type`` is an annotation; Any leaves what was stored as JSON has it.
    """
    stored = _loaded(value, f"the value of promise {promise_id}", encoder)
    if type is Any:
        return stored
    return values.convert(stored, type, f"the value of promise {promise_id}")


def encode_error(
    error: BaseException, *, encoder: Encoder | None = None, limit: int | None = None
) -> Value:
    """Return an exception as it is stored; never raises.

    One that is too large is written without what led to it, and with the beginning of its message.
    """
    try:
        return encode(failures.describe(error), encoder=encoder, limit=limit)
    except ValueTooLargeError:
        pass
    except EncodingError as failure:
        return _unencoded(failure)
    try:
        return encode(failures.describe(error, brief=True), encoder=encoder)
    except EncodingError as failure:
        return _unencoded(failure)


def _unencoded(failure: EncodingError) -> Value:
    """Return what is stored for an error that the encoder refused."""
    # Without the encoder there is nothing that may be told but that it failed.
    cause = type(failure.__cause__).__qualname__
    reason = EncodingError(f"an error could not be written: its encoder raised {cause}")
    return encode(failures.describe(reason, brief=True))


def decode_error(value: Value, promise_id: str, *, encoder: Encoder | None = None) -> BaseException:
    """Return the exception to raise for a rejected promise, whoever wrote it."""
    try:
        stored = _loaded(value, f"the value of promise {promise_id}", encoder)
    except DecodingError as error:
        remote = RemoteError("Rejected", f"with a value that is no JSON ({error})")
        remote.__cause__ = error
        return remote
    return restoring.restore(stored)


def outcome(
    promise: PromiseRecord,
    *,
    encoder: Encoder | None = None,
    type: Any = Any,  # noqa: A002  # what the caller expects it to be
) -> Any:
    """Return the value of a settled promise, as ``type``, or raise what it stands for."""
    match promise.state:
        case "resolved":
            return decode(promise.value, promise.id, encoder=encoder, type=type)
        case "rejected":
            raise decode_error(promise.value, promise.id, encoder=encoder)
        case "rejected_canceled":
            raise ResonateCanceledError(promise.id)
        case "rejected_timedout":
            if promise.value.headers == NEVER_STARTED:
                raise NotStartedError(promise.id, promise.timeout_at / 1000, _called(promise.tags))
            raise ResonateTimedoutError(promise.id, promise.timeout_at / 1000)
        case _:
            raise AssertionError(f"promise {promise.id} is not settled")


def _called(tags: dict[str, str]) -> str | None:
    name, version = tags.get(FUNC), tags.get(VERSION)
    return f"{name} version {version}" if name is not None and version is not None else name


def _json(value: Any, where: str) -> bytes:
    made = values.plain(value, where)
    try:
        return values.dump(made).encode()
    except RecursionError:
        raise EncodingError(f"{where} is nested too deeply, or contains itself") from None
    except ValueError as error:  # an int with more digits than Python is willing to print
        raise EncodingError(f"{where} cannot be written: {error}") from None


def _stored(data: bytes, where: str, encoder: Encoder | None, limit: int | None) -> Value:
    if encoder is not None:
        data = apply(encoder, data, where)
    size = (len(data) + 2) // 3 * 4
    if limit is not None and size > limit:
        raise ValueTooLargeError(where, size, limit)
    return Value(data=base64.b64encode(data).decode("ascii"))


def _loaded(value: Value, where: str, encoder: Encoder | None) -> Any:
    if not value.data:
        return None
    try:
        data = base64.b64decode(value.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DecodingError(f"{where} cannot be read: {error}") from error
    if encoder is not None:
        data = undo(encoder, data, where)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DecodingError(f"{where} cannot be read: {error}") from error
