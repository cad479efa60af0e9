"""Objects, states and steps of which the examples that properties refuse are made."""

from __future__ import annotations

from msgspec.structs import replace

from resonate.core.objects import Promise, Schedule, Task
from resonate.protocol.records import EMPTY, Value
from tests.core.world import ANY, DEADLINE, NOW

VALUE = Value(data="x")
TARGET = {"resonate:target": ANY}
TIMER = {"resonate:timer": "true"}

plain = Promise("p", "pending", EMPTY, EMPTY, {}, DEADLINE, NOW)
resolved = replace(plain, state="resolved", settled_at=NOW)
late = replace(plain, state="rejected_timedout", settled_at=DEADLINE)
pending = Task("pending", 1, retry_at=NOW)
acquired = Task("acquired", 1, "w", 5, NOW + 5)
suspended = Task("suspended", 1)
halted = Task("halted", 1)
fulfilled = Task("fulfilled", 1)
TASKS = [pending, acquired, suspended, halted, fulfilled]

# Every second; at NOW its occurrence of that instant is due.
schedule = Schedule("s", "* * * * * *", "{{.id}}.{{.timestamp}}", 100, EMPTY, {}, 0, NOW)
fired = replace(schedule, last_run_at=NOW, next_run_at=NOW + 1_000)
occurrence = Promise(
    f"s.{NOW}", "pending", EMPTY, EMPTY, {"resonate:schedule": "s"}, NOW + 100, NOW
)


def tasked(task, promise=plain, promise_id="p"):
    """Return a promise with a target and that task."""
    return replace(promise, id=promise_id, tags={**promise.tags, **TARGET}, route=ANY, task=task)


def state(*stored):
    """Return the objects of a state."""
    return {each.key if isinstance(each, Schedule) else each.id: each for each in stored}


def one(promise=plain, **fields):
    """Return a state of one promise."""
    return state(replace(promise, **fields))


def task(base, **fields):
    """Return a state of one task."""
    return state(tasked(replace(base, **fields)))


def planned(base=schedule, **fields):
    """Return a state of one schedule."""
    return state(replace(base, **fields))


def move(old, new, **fields):
    """Return a step in which the task of p becomes another one."""
    return state(tasked(old)), state(tasked(replace(new, **fields)))


def becomes(old, new=None, **fields):
    """Return a step in which p becomes another promise."""
    return state(old), one(new or old, **fields)


def born(promise=plain, **fields):
    """Return a step that creates a promise."""
    return {}, one(promise, **fields)


def born_with(base, promise=plain, **fields):
    """Return a step that creates p with a task."""
    return {}, state(tasked(replace(base, **fields), promise))


def fires(promise=occurrence, before=schedule, after=fired, **fields):
    """Return a step in which a schedule fires."""
    return state(before), state(after, replace(promise, **fields))


awaited = replace(plain, callbacks=("t",), listeners=(ANY,))
drained = replace(resolved, callbacks=())
sleeper = tasked(suspended, promise_id="t")
waker = state(replace(resolved, callbacks=("t",)), sleeper)
