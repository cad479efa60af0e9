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
from resonate.protocol import validation
from resonate.protocol.limits import BATCH_REQUESTS_MAX
from resonate.protocol.records import Int64

_one = msgspec.json.Decoder(rq.AnyRequest)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_malformed = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Refusal(Struct, frozen=True):
    """A request that is answered at the door, with what can be echoed of it."""

    status: int
    text: str
    kind: str = "unknown"
    corr_id: str = "0"


class _LooseAction(Struct, frozen=True):
    """The inner action of a fence before it is understood."""

    kind: str
    data: Any


class _LooseFence(Struct, frozen=True):
    """``task.fence`` before its inner action is understood."""

    id: str
    version: Int64
    action: _LooseAction


def read(body: bytes) -> rq.Request | Refusal:
    """Return the request in ``body``, checked, or its refusal."""
    try:
        request = _one.decode(body)
    except _malformed as error:
        return explain(body, error)
    if request.head.version != rq.VERSION:
        return _refuse(request, unsupported(request.head.version))
    text = validation.check(request)
    return request if text is None else _refuse(request, text)


def read_batch(body: bytes) -> list[rq.Request | Refusal] | Refusal:
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
    return [_in_batch(read(bytes(raw))) for raw in raws]


def _in_batch(item: rq.Request | Refusal) -> rq.Request | Refusal:
    if isinstance(item, Refusal) and item.kind.startswith("debug."):
        return Refusal(400, f"Not allowed in a batch: {item.kind}", item.kind, item.corr_id)
    return item


def is_batch(body: bytes) -> bool:
    """Tell whether ``body`` is a JSON array."""
    return body[:1] == b"[" or body.lstrip()[:1] == b"["


def unsupported(version: str) -> str:
    """Word the refusal of another protocol version."""
    return f"Unsupported protocol version '{version}', supported versions: [\"{rq.VERSION}\"]"


def explain(body: bytes, error: Exception) -> Refusal:
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
    status, text = _first_failing(envelope, error)
    return Refusal(status, text, **echo)


def _first_failing(envelope: dict[str, Any], error: Exception) -> tuple[int, str]:
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
        return 403, "Debug operations are disabled"
    if kind not in rq.KINDS:
        return 400, f"Unknown operation: {kind}"
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
    kind = str(request.__struct_config__.tag)
    return Refusal(400, text, kind, request.head.corr_id)


def _detail(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
