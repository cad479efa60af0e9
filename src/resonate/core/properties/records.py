"""Properties of what is told, and of the limits that the steps rest on.

A record is looked at as it goes over the wire, beside the promise it is told of, as seen then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from resonate.core.objects import Promise
from resonate.protocol.limits import OFFER_MS

Told = Mapping[str, Any]
RecordProperty = Callable[[Told, Promise], bool]

RECORD_PROPERTIES: dict[str, RecordProperty] = {}
CONFIG_PROPERTIES: dict[str, Callable[[int], bool]] = {}


def check_promise_record(told: Told, promise: Promise) -> None:
    """Raise AssertionError with the name of the first property that a promise record violates."""
    _check("well_formed_promise_record_", told, promise)


def check_task_record(told: Told, promise: Promise) -> None:
    """Raise AssertionError with the name of the first property that a task record violates."""
    _check("well_formed_task_record_", told, promise)


def _check(prefix: str, told: Told, promise: Promise) -> None:
    for name, holds in RECORD_PROPERTIES.items():
        if name.startswith(prefix) and not holds(told, promise):
            raise AssertionError(f"{name} does not hold: {told} is told of {promise}")


def check_config(retry_timeout: int = OFFER_MS) -> None:
    """Raise AssertionError with the name of the first property that the limits violate."""
    for name, holds in CONFIG_PROPERTIES.items():
        if not holds(retry_timeout):
            raise AssertionError(f"{name} does not hold of {retry_timeout}")


def _record(holds: RecordProperty) -> RecordProperty:
    RECORD_PROPERTIES[holds.__name__] = holds
    return holds


def _config(holds: Callable[[int], bool]) -> Callable[[int], bool]:
    CONFIG_PROPERTIES[holds.__name__] = holds
    return holds


@_record
def well_formed_promise_record_hides_callbacks(told: Told, _promise: Promise) -> bool:
    """Nobody is told who awaits a promise."""
    return "callbacks" not in told


@_record
def well_formed_promise_record_hides_listeners(told: Told, _promise: Promise) -> bool:
    """Nobody is told who listens to a promise."""
    return "listeners" not in told


@_record
def well_formed_task_record_hides_deadlines(told: Told, _promise: Promise) -> bool:
    """Nobody is told when a lease ends or when a task is dispatched."""
    return not {"expiresAt", "retryAt"} & told.keys()


@_record
def well_formed_task_record_resumes_is_a_count(told: Told, promise: Promise) -> bool:
    """Of its resumes is told how many they are, always."""
    task = promise.task
    resumes = told.get("resumes")
    return task is not None and type(resumes) is int and resumes == len(task.resumes)


@_config
def well_formed_config_retry_positive(retry_timeout: int) -> bool:
    """An offer that nobody answers is not repeated at the same instant."""
    return retry_timeout > 0
