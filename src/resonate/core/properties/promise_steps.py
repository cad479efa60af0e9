"""Properties of a step: promises."""

from __future__ import annotations

from resonate.core.objects import Promise
from resonate.core.properties.checks import StepTaken, of_changed_promise, of_step, timed_out
from resonate.protocol.records import EMPTY


def _birth(promise: Promise) -> tuple[object, ...]:
    """Return what is fixed when a promise is created; the route follows from the tags."""
    each = promise
    return each.id, each.param, each.tags, each.timeout_at, each.created_at, each.route


@of_changed_promise
def preserved_promise_birth_fields_immutable(old: Promise, new: Promise, _now: int) -> bool:
    """What a promise was created with never changes."""
    return _birth(old) == _birth(new)


@of_changed_promise
def preserved_settled_promise_record(old: Promise, new: Promise, _now: int) -> bool:
    """A settled record never changes."""
    was = old.state, old.value, old.settled_at, _birth(old)
    return old.state == "pending" or was == (new.state, new.value, new.settled_at, _birth(new))


@of_step
def monotone_promise_set_grows(step: StepTaken) -> bool:
    """Promises never vanish."""
    return step.before.promises.keys() <= step.after.promises.keys()


@of_changed_promise
def preserved_promise_state_frozen_once_settled(old: Promise, new: Promise, _now: int) -> bool:
    """Nothing leaves a settled state."""
    return old.state in ("pending", new.state)


@of_changed_promise
def preserved_promise_settlement_is_one_way(old: Promise, new: Promise, _now: int) -> bool:
    """Nothing becomes pending again."""
    return old.state == "pending" or new.state != "pending"


@of_changed_promise
def consistent_promise_settled_at_moves_with_state(old: Promise, new: Promise, _now: int) -> bool:
    """The instant of settlement changes with the state, and only then."""
    return (old.settled_at != new.settled_at) == (old.state != new.state)


@of_changed_promise
def preserved_promise_value_until_settlement(old: Promise, new: Promise, _now: int) -> bool:
    """The value changes only together with the state."""
    return old.state != new.state or old.value == new.value


@of_step
def preserved_promise_no_duplicate_ids(step: StepTaken) -> bool:
    """No step stores an object under the id of another."""
    before = step.before.promises
    return all(
        new.id == key for key, new in step.after.promises.items() if new is not before.get(key)
    )


@of_changed_promise
def monotone_promise_callbacks_grow_while_pending(old: Promise, new: Promise, _now: int) -> bool:
    """Callbacks of a pending promise are only added."""
    return new.state != "pending" or set(old.callbacks) <= set(new.callbacks)


@of_changed_promise
def monotone_promise_listeners_grow_while_pending(old: Promise, new: Promise, _now: int) -> bool:
    """Listeners of a pending promise are only added."""
    return new.state != "pending" or set(old.listeners) <= set(new.listeners)


@of_changed_promise
def monotone_promise_callbacks_shrink_once_settled(old: Promise, new: Promise, _now: int) -> bool:
    """Callbacks of a settled promise are only removed."""
    return new.state == "pending" or set(new.callbacks) <= set(old.callbacks)


@of_changed_promise
def monotone_promise_listeners_shrink_once_settled(old: Promise, new: Promise, _now: int) -> bool:
    """Listeners of a settled promise are only removed."""
    return new.state == "pending" or set(new.listeners) <= set(old.listeners)


@of_changed_promise
def consistent_promise_state_edge_admissible(old: Promise, new: Promise, _now: int) -> bool:
    """The only edges go from pending to a settled state."""
    return old.state in (new.state, "pending")


@of_step
def consistent_new_promise_born_clean(step: StepTaken) -> bool:
    """A promise is born pending at its birth, or timed out at its deadline.

    Its birth is now; what a schedule fires is born at its occurrence, however late that is.
    """
    return all(_is_born_clean(each, step.birth(each)) for each in step.newborn)


def _is_born_clean(new: Promise, at: int) -> bool:
    if new.callbacks or new.listeners or new.value != EMPTY:
        return False
    if new.timeout_at > at:
        return (new.state, new.created_at, new.settled_at) == ("pending", at, None)
    return timed_out(new, at) and new.created_at == new.timeout_at
