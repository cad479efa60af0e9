"""Retry policies that travel with a call: in a tag of its promise, as JSON.

Only the policies of this package do. One that a user wrote is code, and would stay in the process
that calls: it is refused there, and has its place in ``register``, where the function runs.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from resonate.sdk.registry import Registered
from resonate.sdk.retries import Constant, Exponential, Linear, Never, RetryPolicy, check_policy

RETRY_TAG = "resonate:retry"
_KINDS: dict[str, type] = {each.__name__: each for each in (Never, Constant, Linear, Exponential)}
_STAY = ("random",)  # a source of random numbers is no part of what was asked for


def check_travels(policy: object) -> None:
    """Raise TypeError unless ``policy`` is None, or one that can travel with a call."""
    check_policy(policy)
    if policy is not None and not _travels(policy):
        what = getattr(policy, "__qualname__", None) or type(policy).__qualname__
        raise TypeError(
            f"retry_policy {what} is code, and cannot travel with a call to the worker that runs"
            " it: give it to register there, or use one of resonate.retry_policies"
            f" ({', '.join(_KINDS)}) itself"
        )


def policy_tag(policy: Any) -> dict[str, str]:
    """Return the tag that has the policy; none when it is not one of ours."""
    if not _travels(policy):
        return {}
    fields = {
        each.name: getattr(policy, each.name)
        for each in dataclasses.fields(policy)
        if each.name not in _STAY
    }
    told: dict[str, Any] = {
        name: None if value == math.inf else value for name, value in fields.items()
    }
    return {RETRY_TAG: json.dumps({"kind": type(policy).__name__, **told})}


def policy_of(tags: Mapping[str, str], entry: Registered) -> RetryPolicy | None:
    """Return the policy of a call: its own, else that of the function."""
    text = tags.get(RETRY_TAG)
    if text is None:
        return entry.retry_policy
    try:
        told = json.loads(text)
        kind = _KINDS[told.pop("kind")]
        given = {name: math.inf if value is None else value for name, value in told.items()}
        policy: RetryPolicy = kind(**given)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return entry.retry_policy  # of somebody else, or of a later version
    return policy


def _travels(policy: object) -> bool:
    return type(policy) in _KINDS.values()
