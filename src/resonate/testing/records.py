"""What is recorded, as a test looks at it; and what a workflow waits for that never comes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from resonate.protocol.records import PromiseRecord, PromiseState
from resonate.protocol.validation import ORIGIN, PARENT, TARGET
from resonate.sdk import codec
from resonate.sdk.encoders import Encoder
from resonate.sdk.execution import Invocation
from resonate.sdk.options import YEAR_SECONDS
from resonate.sdk.registry import Registry
from resonate.sdk.steps import RETRY, STEP

_YEAR_MS = int(YEAR_SECONDS * 1000)
_LOGGED_MAX = 5
_TOLD_MAX = 20


class RecordedStep(Struct, frozen=True):
    """A step of a function, as it is recorded.

    - ``id``: of its promise.
    - ``label``: what the code asked for: "run charge", "rpc ship", "detached mail", "sleep" or
      "promise".
    - ``state``: "pending", "resolved", "rejected", "rejected_canceled" or "rejected_timedout".
    - ``value``: its result; the exception that waiting for it raises; None while it is pending.
    - ``attempts``: how often a function was tried, so far; 0 for sleeps and promises.
    """

    id: str
    label: str
    state: PromiseState
    value: Any
    attempts: int


def steps(
    promises: list[PromiseRecord], function_id: str, encoder: Encoder | None
) -> list[RecordedStep]:
    """Return the steps of the function of a promise, in the order in which they were made."""
    known = {each.id for each in promises}
    return [
        RecordedStep(
            each.id,
            each.tags[STEP],
            each.state,
            _value(each, encoder),
            _attempts(each, known) if " " in each.tags[STEP] else 0,
        )
        for each in promises
        if each.tags.get(PARENT) == function_id and each.tags.get(STEP, RETRY) != RETRY
    ]


def _value(promise: PromiseRecord, encoder: Encoder | None) -> Any:
    if promise.state == "pending":
        return None
    try:
        return codec.outcome(promise, encoder=encoder)
    except Exception as error:  # noqa: BLE001  # it is the value
        return error


def _attempts(promise: PromiseRecord, known: set[str]) -> int:
    number = 1
    while f"{promise.id}.retry.{number}" in known:
        number += 1
    return number


def unsettled(promises: list[PromiseRecord]) -> list[str]:
    """Return the ids of promises that somebody outside has to settle."""
    return [
        each.id
        for each in promises
        if each.state == "pending" and (each.tags.get(STEP) == "promise" or not each.tags)
    ]


def chosen(deadlines: Iterable[PromiseRecord]) -> Iterable[int]:
    """Yield those of the deadlines (milliseconds) that somebody chose: time may move to them.

    Those by default are far away, and nothing but a way to end what nobody waits for any more.
    """
    found = list(deadlines)
    by_default = {each.timeout_at for each in found if _is_default(each)}
    return (each.timeout_at for each in found if each.timeout_at not in by_default)


def _is_default(promise: PromiseRecord) -> bool:
    return -1 <= promise.created_at + _YEAR_MS - promise.timeout_at <= 1


# --- what is waited for ---------------------------------------------------------------------------


class Explanation:
    """Says why nothing happens. ``groups`` have a worker; ``logged`` is what went wrong so far."""

    def __init__(
        self,
        promises: list[PromiseRecord],
        *,
        registry: Registry,
        groups: Iterable[str],
        encoder: Encoder | None,
        logged: list[str],
    ) -> None:
        self._promises = promises
        self._pending = [each for each in promises if each.state == "pending"]
        self._registry = registry
        self._groups = set(groups)
        self._encoder = encoder
        self._logged = logged

    def text(self, id: str | None, reason: str) -> str:
        """Return what the promise waits for; None: what all do. ``reason``: why nobody does."""
        if id is not None and all(each.id != id for each in self._promises):
            return f"there is no promise {id}"
        lines = [f"{reason}, and {id or 'what the test waits for'} waits"]
        found = [each for each in self._leaves(id) if each.tags]
        lines += [f"- {self._leaf(each)}" for each in found[:_TOLD_MAX]]
        if len(found) > _TOLD_MAX:
            lines.append(f"- and for {len(found) - _TOLD_MAX} more")
        if id is not None and not found:
            lines.append(f"- for promise {id}: harness.resolve({id!r}, …) settles it")
        lines += [f"logged: {each}" for each in self._logged[-_LOGGED_MAX:]]
        return "\n".join(lines)

    def _leaves(self, id: str | None) -> list[PromiseRecord]:
        """Return what is pending, and waits for nothing that is recorded."""
        wanted = next((each for each in self._promises if each.id == id), None)
        root = None if wanted is None else wanted.tags.get(ORIGIN)
        among = [each for each in self._pending if root in (None, each.tags.get(ORIGIN))]
        parents = {each.tags.get(PARENT) for each in among if each.tags.get(PARENT) != each.id}
        return [each for each in among if each.id not in parents]

    def _leaf(self, promise: PromiseRecord) -> str:
        label = promise.tags.get(STEP, "call")
        if label == "promise":
            return f"for promise {promise.id}: harness.resolve({promise.id!r}, …) settles it"
        if TARGET in promise.tags:
            return self._call(promise, label)
        return f"for {label} ({promise.id})"

    def _call(self, promise: PromiseRecord, label: str) -> str:
        target = promise.tags[TARGET]
        group = target.rpartition("@")[2].partition("/")[0]
        if group not in self._groups:
            text = f"no worker has the target {target}: Harness(groups=[{group!r}]) makes one"
            return f"for {label} ({promise.id}): {text}"
        try:
            invocation = Invocation(promise, self._encoder)
        except Exception as error:  # noqa: BLE001  # said to the user
            return f"for {label} ({promise.id}): {error}"
        name = invocation.name
        if self._registry.find(name, invocation.version) is None:
            text = f"function {name} version {invocation.version} is not registered"
            return f"for {label} ({promise.id}): {text}"
        return f"for {name} ({promise.id}), which waits for something that is not durable"
