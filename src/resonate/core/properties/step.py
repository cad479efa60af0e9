"""Properties of a step: the stored objects before and after it, and its instant.

This file has what they are made of; they stand in ``promise_steps`` and ``task_steps``. An object
that a step did not touch is the same object before and after, and is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps

from resonate.core.objects import Promise, Task, is_timer

State = Mapping[str, Promise]
StepProperty = Callable[[State, State, int], bool]

STEP_PROPERTIES: dict[str, StepProperty] = {}
INTERNAL_PROPERTIES: dict[str, StepProperty] = {}


def check_step(before: State, after: State, now: int, *, internal: bool = False) -> None:
    """Raise AssertionError with the name of the first property that the step violates."""
    _check(STEP_PROPERTIES, before, after, now)
    if internal:
        _check(INTERNAL_PROPERTIES, before, after, now)


def _check(properties: Mapping[str, StepProperty], before: State, after: State, now: int) -> None:
    for name, holds in properties.items():
        if not holds(before, after, now):
            raise AssertionError(f"{name} does not hold at {now} from {before} to {after}")


# --- what makes a property ------------------------------------------------------------------------


def every_step(holds: StepProperty) -> StepProperty:
    """Register a property of a step."""
    STEP_PROPERTIES[holds.__name__] = holds
    return holds


def internal_step(holds: StepProperty) -> StepProperty:
    """Register a property of a step that the server takes by itself."""
    INTERNAL_PROPERTIES[holds.__name__] = holds
    return holds


def every_promise(holds: Callable[[Promise, Promise, int], bool]) -> StepProperty:
    """Make a property of each promise that was there before one of the step."""

    @wraps(holds)
    def everywhere(before: State, after: State, now: int) -> bool:
        return all(holds(old, new, now) for old, new in changed(before, after))

    return every_step(everywhere)


def every_task(holds: Callable[[Task, Task, int], bool]) -> StepProperty:
    """Make a property of each task that was there before one of the step."""

    @wraps(holds)
    def everywhere(before: State, after: State, now: int) -> bool:
        return all(holds(old, new, now) for _, old, new in changed_tasks(before, after))

    return every_step(everywhere)


def every_newborn(holds: Callable[[Promise, int], bool]) -> StepProperty:
    """Make a property of each new promise one of the step."""

    @wraps(holds)
    def everywhere(before: State, after: State, now: int) -> bool:
        return all(holds(new, now) for name, new in after.items() if name not in before)

    return every_step(everywhere)


# --- what properties are made of ------------------------------------------------------------------


def changed(before: State, after: State) -> Iterator[tuple[Promise, Promise]]:
    """Yield the promises that were there before and are other ones now."""
    for name, old in before.items():
        new = after.get(name)
        if new is not None and new is not old:
            yield old, new


def changed_tasks(before: State, after: State) -> Iterator[tuple[Promise, Task, Task]]:
    """Yield the changed promises with their tasks, the old and the new one."""
    for old, new in changed(before, after):
        if old.task is not None and new.task is not None:
            yield new, old.task, new.task


def consumed(before: State, after: State) -> Iterator[tuple[str, str]]:
    """Yield awaited and awaiter of each callback that is gone."""
    for old, new in changed(before, after):
        for awaiter in set(old.callbacks) - set(new.callbacks):
            yield new.id, awaiter


def timed_out(promise: Promise, now: int) -> bool:
    """Tell whether the deadline settled the promise: at its instant, with its verdict."""
    verdict = "resolved" if is_timer(promise) else "rejected_timedout"
    return promise.state == verdict and promise.settled_at == promise.timeout_at <= now
