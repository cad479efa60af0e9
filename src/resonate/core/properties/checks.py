"""What properties are made of: objects taken apart once, the registries, and the checks.

The properties themselves stand beside this file, by what they are of. An object that a step did not
touch is the same object before and after, and is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, wraps

from resonate.core.objects import Key, Promise, Schedule, ScheduleKey, Stored, Task, is_timer
from resonate.core.properties.messages import Execute, Unblock, executes, unblocks
from resonate.protocol.templates import expand
from resonate.protocol.validation import SCHEDULE

Objects = Mapping[Key, Stored]


class Snapshot:
    """The stored objects at an instant, taken apart."""

    def __init__(self, objects: Objects, now: int) -> None:
        self.objects = objects
        self.now = now
        self.promises: dict[Key, Promise] = {}
        self.schedules: dict[Key, Schedule] = {}
        for key, stored in objects.items():
            if isinstance(stored, Promise):
                self.promises[key] = stored
            else:
                self.schedules[key] = stored

    @cached_property
    def executes(self) -> list[Execute]:
        """The tasks that wait to be dispatched."""
        return executes(self.promises.values(), self.now)

    @cached_property
    def unblocks(self) -> list[Unblock]:
        """The settlements that somebody has to hear of."""
        return unblocks(self.promises.values())


class StepTaken:
    """A step: the objects before and after it, at its instant."""

    def __init__(self, before: Objects, after: Objects, now: int, *, strict: bool = False) -> None:
        self.before = Snapshot(before, now)
        self.after = Snapshot(after, now)
        self.now = now
        self.strict = strict

    @cached_property
    def changed(self) -> list[tuple[Promise, Promise]]:
        """The promises that were there before and are other ones now."""
        old = self.before.promises
        return [
            (old[key], new)
            for key, new in self.after.promises.items()
            if key in old and old[key] is not new
        ]

    @cached_property
    def changed_tasks(self) -> list[tuple[Promise, Task, Task]]:
        """The changed promises with their tasks, the old and the new one."""
        return [
            (new, old.task, new.task)
            for old, new in self.changed
            if old.task is not None and new.task is not None
        ]

    @cached_property
    def newborn(self) -> list[Promise]:
        """The promises that were not there before."""
        return [new for key, new in self.after.promises.items() if key not in self.before.promises]

    def consumed(self) -> Iterator[tuple[str, str]]:
        """Yield awaited and awaiter of each callback that is gone."""
        for old, new in self.changed:
            for awaiter in set(old.callbacks) - set(new.callbacks):
                yield new.id, awaiter

    def is_fired(self, promise: Promise) -> bool:
        """Tell whether a schedule gave birth to the promise in this step (I6)."""
        key = ScheduleKey(promise.tags.get(SCHEDULE, ""))
        old, new = self.before.schedules.get(key), self.after.schedules.get(key)
        if old is None or new is None or new.last_run_at is None:
            return False
        at = promise.created_at
        return (
            old.next_run_at <= at <= min(new.last_run_at, self.now)
            and expand(new.promise_id, new.id, at) == promise.id
        )

    def birth(self, promise: Promise) -> int:
        """Return the instant at which a new promise is born: now, or its own occurrence."""
        return promise.created_at if self.is_fired(promise) else self.now


def timed_out(promise: Promise, now: int) -> bool:
    """Tell whether the deadline settled the promise: at its instant, with its verdict."""
    verdict = "resolved" if is_timer(promise) else "rejected_timedout"
    return promise.state == verdict and promise.settled_at == promise.timeout_at <= now


StateProperty = Callable[[Snapshot], bool]
StepProperty = Callable[[StepTaken], bool]

STATE_PROPERTIES: dict[str, StateProperty] = {}
STRICT_PROPERTIES: set[str] = set()
STEP_PROPERTIES: dict[str, StepProperty] = {}
INTERNAL_PROPERTIES: dict[str, StepProperty] = {}


def check_state(state: Objects, now: int, *, strict: bool = False) -> None:
    """Raise AssertionError with the name of the first property that ``state`` violates."""
    snapshot = Snapshot(state, now)
    for name, holds in STATE_PROPERTIES.items():
        if (strict or name not in STRICT_PROPERTIES) and not holds(snapshot):
            raise AssertionError(f"{name} does not hold at {now} of {dict(state)}")


def check_step(
    before: Objects, after: Objects, now: int, *, internal: bool = False, strict: bool = False
) -> None:
    """Raise AssertionError with the name of the first property that the step violates."""
    step = StepTaken(before, after, now, strict=strict)
    properties = {**STEP_PROPERTIES, **(INTERNAL_PROPERTIES if internal else {})}
    for name, holds in properties.items():
        if not holds(step):
            raise AssertionError(f"{name} does not hold at {now} from {before} to {after}")


# --- what makes a property ------------------------------------------------------------------------


def of_state(holds: StateProperty) -> StateProperty:
    """Register a property of a state."""
    STATE_PROPERTIES[holds.__name__] = holds
    return holds


def of_promise(holds: Callable[[Promise], bool]) -> StateProperty:
    """Make a property of each promise one of the state."""

    @wraps(holds)
    def everywhere(state: Snapshot) -> bool:
        return all(holds(promise) for promise in state.promises.values())

    return of_state(everywhere)


def of_task(holds: Callable[[Task], bool]) -> StateProperty:
    """Make a property of each task one of the state."""

    @wraps(holds)
    def everywhere(state: Snapshot) -> bool:
        return all(each.task is None or holds(each.task) for each in state.promises.values())

    return of_state(everywhere)


def of_schedule(holds: Callable[[Schedule], bool]) -> StateProperty:
    """Make a property of each schedule one of the state."""

    @wraps(holds)
    def everywhere(state: Snapshot) -> bool:
        return all(holds(schedule) for schedule in state.schedules.values())

    return of_state(everywhere)


def strict_only(holds: StateProperty) -> StateProperty:
    """Let a property of a state hold in strict mode only."""
    STRICT_PROPERTIES.add(holds.__name__)
    return holds


def of_step(holds: StepProperty) -> StepProperty:
    """Register a property of a step."""
    STEP_PROPERTIES[holds.__name__] = holds
    return holds


def of_internal_step(holds: StepProperty) -> StepProperty:
    """Register a property of a step that the server takes by itself."""
    INTERNAL_PROPERTIES[holds.__name__] = holds
    return holds


def of_changed_promise(holds: Callable[[Promise, Promise, int], bool]) -> StepProperty:
    """Make a property of each promise that became another one of the step."""

    @wraps(holds)
    def everywhere(step: StepTaken) -> bool:
        return all(holds(old, new, step.now) for old, new in step.changed)

    return of_step(everywhere)


def of_changed_task(holds: Callable[[Task, Task, int], bool]) -> StepProperty:
    """Make a property of each task that became another one of the step."""

    @wraps(holds)
    def everywhere(step: StepTaken) -> bool:
        return all(holds(old, new, step.now) for _, old, new in step.changed_tasks)

    return of_step(everywhere)
