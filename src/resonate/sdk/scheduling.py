"""``Resonate.schedule``: a schedule whose promises are calls of a function.

Programs make their schedules whenever they start, so making one again is nothing new, and making
another under the same id is an error: the server would keep the old one and say nothing.
"""

from __future__ import annotations

import json
from typing import Any

from resonate.protocol import requests as rq
from resonate.protocol.limits import INT64_MAX
from resonate.protocol.records import Value
from resonate.protocol.validation import FUNC, VERSION
from resonate.sdk import checks, codec
from resonate.sdk.encoders import Encoder
from resonate.sdk.errors import DecodingError, ResonateStoreError
from resonate.sdk.exchanges import Exchange
from resonate.sdk.options import Options
from resonate.sdk.registry import Func
from resonate.sdk.retry_tags import policy_tag
from resonate.sdk.schedules import Schedule, create
from resonate.sdk.shared import Shared
from resonate.sdk.subclients import StoredValue, stored
from resonate.sdk.tags import call_tags

_TEMPLATE = "{{.id}}.{{.timestamp}}"
_CONFLICT = 409


def schedule(
    shared: Shared,
    options: Options,
    id: str,
    func: Func,
    cron: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Exchange[Schedule]:
    """See ``Resonate.schedule``."""
    checks.check_text("id", id)
    checks.check_text("cron", cron)
    callee = shared.registry.callee(func, options.version)
    callee.check_arguments(args, kwargs)
    encoder = options.encoder or shared.encoder
    wanted = rq.ScheduleCreateData(
        id,
        cron,
        _TEMPLATE,
        _milliseconds(options.timeout),
        codec.encode_call(
            callee.name, callee.version, args, kwargs, encoder=encoder, limit=codec.LIMIT
        ),
        {
            **(options.tags or {}),
            **policy_tag(options.retry_policy),
            **call_tags(options.target, shared.group, callee.name, callee.version),
        },
    )
    found = yield from create(shared, wanted)
    differences = _differences(found, wanted, encoder)
    if differences:
        raise ResonateStoreError(
            f"schedule {id} exists already, and is another: {'; '.join(differences)}. "
            f"To change it, delete it first: resonate.schedules.delete({id!r})",
            _CONFLICT,
        )
    return found


def _milliseconds(seconds: float) -> int:
    return INT64_MAX if seconds >= INT64_MAX / 1000 else int(seconds * 1000)


# --- what differs ---------------------------------------------------------------------------------


def _differences(
    found: Schedule, wanted: rq.ScheduleCreateData, encoder: Encoder | None
) -> list[str]:
    """Return what differs, in words: values too, but for what may be large or secret."""
    told = {
        "cron": (found.cron, wanted.cron),
        "template of ids": (found.promise_id, wanted.promise_id),
        "timeout in ms": (found.promise_timeout, wanted.promise_timeout),
    }
    words = [
        f"its {name} is {has!r}, not {new!r}" for name, (has, new) in told.items() if has != new
    ]
    assert wanted.promise_param is not None, "a call has a param"
    new_param = stored(wanted.promise_param, "the new param")
    has_call, new_call = (_call(each, encoder) for each in (found.promise_param, new_param))
    words += _differences_of_calls(has_call, new_call)
    if found.promise_param.headers:
        words.append("it has headers")
    has_tags, new_tags = found.promise_tags, wanted.promise_tags or {}
    names = sorted((has_tags.keys() | new_tags.keys()) - {FUNC, VERSION})  # told by the calls
    return words + [
        f"its tag {name} differs" for name in names if has_tags.get(name) != new_tags.get(name)
    ]


def _differences_of_calls(has: dict[str, Any] | None, new: dict[str, Any] | None) -> list[str]:
    assert new is not None, "our own param can be read"
    if has is None:
        return ["it calls no function"]
    words = [
        f"its {told} is {has[name]!r}, not {new[name]!r}"
        for name, told in (("func", "function"), ("version", "version"))
        if has[name] != new[name]
    ]
    if any(_text(has[name]) != _text(new[name]) for name in ("args", "kwargs")):
        words.append("its arguments differ")
    return words


def _call(param: StoredValue, encoder: Encoder | None) -> dict[str, Any] | None:
    """Return what a param calls; None when that is nothing a worker could read."""
    try:
        read = codec.decode(Value(data=param.encoded), "of a schedule", encoder=encoder)
    except DecodingError:
        return None
    if not isinstance(read, dict) or "func" not in read:
        return None
    return {
        "func": read["func"],
        "version": read.get("version") or 0,
        "args": read.get("args") or [],
        "kwargs": read.get("kwargs") or {},
    }


def _text(value: object) -> str:
    """Return a text by which JSON values compare: to Python, 1, 1.0 and true are the same."""
    return json.dumps(value, sort_keys=True)
