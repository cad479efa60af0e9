"""From bytes to requests: the fast way for what is right, the exact refusal for what is not.

A body is decoded in one pass into the tagged union of requests. Only when that fails is the body
taken apart again to find which check refuses it first (section 1.4, checks 2 to 8); the two ways
accept the same bodies, and a test holds that.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from resonate.protocol import requests as rq
from resonate.protocol import strict, validation
from resonate.protocol.limits import BATCH_REQUESTS_MAX, INT64_MAX
from resonate.protocol.records import Int64

_one = msgspec.json.Decoder(rq.AnyRequest)
_debug = msgspec.json.Decoder(rq.AnyRequest | rq.DebugRequest)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
NO_TIME = "Missing or invalid 'time' field"
OTHER_TIME = "resonate:debug_time must equal data.time"
_malformed = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Refusal(Struct, frozen=True):
    """A request that is answered at the door, with what can be echoed of it."""

    status: int
    text: str
    kind: str = "unknown"
    corr_id: str = "0"


class Rules(Struct, frozen=True):
    """How a server reads: strictly (section 4), with debug operations or without (section 5.4)."""

    strict: bool = False
    debug: bool = False


LENIENT = Rules()


class _LooseAction(Struct, frozen=True):
    """The inner action of a fence before it is understood."""

    kind: str
    data: Any


class _LooseFence(Struct, frozen=True):
    """``task.fence`` before its inner action is understood."""

    id: str
    version: Int64
    action: _LooseAction


def read(body: bytes, rules: Rules = LENIENT, *, in_batch: bool = False) -> rq.Request | Refusal:
    """Return the request in ``body``, checked, or its refusal."""
    if rules.strict:
        body = strict.plain(body)
    try:
        request: rq.Request = (_debug if rules.debug else _one).decode(body)
    except _malformed as error:
        return explain(body, error, rules, in_batch=in_batch)
    if request.head.version != rq.VERSION:
        return _refuse(request, unsupported(request.head.version))
    if rules is not LENIENT:
        if in_batch and isinstance(request, rq.DebugRequest):
            return _refuse(request, _not_in_batch(_names(request)[0]))
        refusal = _by_rules(body, request, rules)
        if refusal is not None or isinstance(request, rq.DebugRequest):
            return refusal or request
    text = validation.check(request)
    return request if text is None else _refuse(request, text)


def _by_rules(body: bytes, request: rq.Request, rules: Rules) -> Refusal | None:
    """Look at what only some servers refuse; ``validation`` has its say before the later checks."""
    if rules.debug:
        text = _debug_time(request)
        if text is not None:
            return _refuse(request, text)
    if not rules.strict or isinstance(request, rq.DebugRequest):
        return None
    text = strict.shape(body) or validation.check(request) or strict.kinds(request)
    if text is None and isinstance(request, rq.Search):
        return Refusal(501, strict.NOT_IMPLEMENTED, *_names(request))
    return None if text is None else _refuse(request, text)


def _debug_time(request: rq.Request) -> str | None:
    instant = request.head.debug_time
    if instant is None:
        return None
    if type(instant) is not int or not 0 <= instant <= INT64_MAX:
        return "Invalid request envelope: `head.resonate:debug_time` must be an instant"
    if isinstance(request, rq.DebugTick) and request.data.time != instant:
        return OTHER_TIME
    return None


def read_batch(body: bytes, rules: Rules = LENIENT) -> list[rq.Request | Refusal] | Refusal:
    """Return the elements of a batch, each checked on its own, or the refusal of the whole."""
    try:
        raws = _raws.decode(body)
    except _malformed as error:
        return Refusal(400, f"Invalid request envelope: {_detail(error)}")
    if not raws:
        return Refusal(400, "Batch must not be empty")
    if len(raws) > BATCH_REQUESTS_MAX:
        text = f"Batch too large: {len(raws)} requests, limit {BATCH_REQUESTS_MAX}"
        return Refusal(400, text)
    return [read(bytes(raw), rules, in_batch=True) for raw in raws]


def _not_in_batch(kind: str) -> str:
    return f"Not allowed in a batch: {kind}"


def is_batch(body: bytes) -> bool:
    """Tell whether ``body`` is a JSON array."""
    return body[:1] == b"[" or body.lstrip()[:1] == b"["


def unsupported(version: str) -> str:
    """Word the refusal of another protocol version."""
    return f"Unsupported protocol version '{version}', supported versions: [\"{rq.VERSION}\"]"


def explain(
    body: bytes, error: Exception, rules: Rules = LENIENT, *, in_batch: bool = False
) -> Refusal:
    """Find the first check that refuses ``body``, which did not decode because of ``error``."""
    try:
        envelope = msgspec.json.decode(body)
    except _malformed as malformed:
        return Refusal(400, f"Invalid request envelope: {_detail(malformed)}")
    if not isinstance(envelope, dict):
        return Refusal(400, "Invalid request envelope: expected an object")
    head = envelope.get("head")
    kind = envelope.get("kind")
    corr_id = head.get("corrId") if isinstance(head, dict) else None
    echo = {
        "kind": kind if isinstance(kind, str) and kind else "unknown",
        "corr_id": corr_id if isinstance(corr_id, str) else "0",
    }
    status, text = _first_failing(body, envelope, error, rules, in_batch=in_batch)
    return Refusal(status, text, **echo)


def _first_failing(
    body: bytes, envelope: dict[str, Any], error: Exception, rules: Rules, *, in_batch: bool
) -> tuple[int, str]:
    shape = _envelope_shape(envelope)
    if shape is not None:
        return 400, f"Invalid request envelope: {shape}"
    kind, head, data = envelope["kind"], envelope["head"], envelope["data"]
    if kind == "":
        return 400, "Missing or invalid 'kind' field — must be a non-empty string"
    if not isinstance(data, dict):
        return 400, "Invalid 'data' field — must be an object"
    if head["version"] != rq.VERSION:
        return 400, unsupported(head["version"])
    if kind.startswith("debug."):
        if in_batch:
            return 400, _not_in_batch(kind)
        if not rules.debug:
            return 403, "Debug operations are disabled"
    if kind not in rq.KINDS and kind not in rq.DEBUG_KINDS:
        return 400, f"Unknown operation: {kind}"
    if kind == "debug.tick":
        return 400, NO_TIME
    text = strict.shape(body) if rules.strict else None
    if text is not None:
        return 400, text
    if kind == "task.fence":
        return 400, _fence_shape(data, error)
    return 400, f"Invalid request: {_detail(error)}"


def _envelope_shape(envelope: dict[str, Any]) -> str | None:
    for name in ("kind", "head", "data"):
        if name not in envelope:
            return f"missing field `{name}`"
    if not isinstance(envelope["kind"], str):
        return "`kind` must be a string"
    head = envelope["head"]
    if not isinstance(head, dict):
        return "`head` must be an object"
    for name in ("corrId", "version"):
        if name not in head:
            return f"missing field `head.{name}`"
        if not isinstance(head[name], str):
            return f"`head.{name}` must be a string"
    if not isinstance(head.get("auth"), str | None):
        return "`head.auth` must be a string"
    return None


def _fence_shape(data: dict[str, Any], error: Exception) -> str:
    """Word the refusal of a fence: its inner action is looked at after its own fields."""
    try:
        loose = msgspec.convert(data, _LooseFence)
    except msgspec.ValidationError as shape:
        return f"Invalid request: {_detail(shape)}"
    fields = validation.check_ref(loose.id, loose.version)
    if fields is not None:
        return fields
    inner = loose.action.data
    if isinstance(inner, dict) and inner.get("id") == loose.id:
        return validation.OWN_ACTION
    if loose.action.kind not in ("promise.create", "promise.settle"):
        return "Invalid fence action kind"
    return f"Invalid action data: {_detail(error)}"


def _refuse(request: rq.Request, text: str) -> Refusal:
    return Refusal(400, text, *_names(request))


def _names(request: rq.Request) -> tuple[str, str]:
    return str(request.__struct_config__.tag), request.head.corr_id


def _detail(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
