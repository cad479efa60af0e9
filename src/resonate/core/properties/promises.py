"""Properties of a state: promises."""

from __future__ import annotations

from resonate.core.objects import Promise, has_target, is_external, is_timer
from resonate.core.properties.checks import Snapshot, of_promise, of_state, strict_only
from resonate.protocol.addresses import parse_address
from resonate.protocol.records import EMPTY
from resonate.protocol.validation import DELAY, SCHEDULE, TARGET


@of_promise
def well_formed_promise_created_at_lte_timeout_at(promise: Promise) -> bool:
    """A promise is not created after its deadline."""
    return promise.created_at <= promise.timeout_at


@of_promise
def well_formed_promise_pending_created_before_deadline(promise: Promise) -> bool:
    """A pending promise was created before its deadline."""
    return promise.state != "pending" or promise.created_at < promise.timeout_at


@of_promise
def well_formed_promise_settled_at_lte_timeout_at(promise: Promise) -> bool:
    """Nothing settles after the deadline."""
    return promise.settled_at is None or promise.settled_at <= promise.timeout_at


@of_promise
def well_formed_promise_created_at_lte_settled_at(promise: Promise) -> bool:
    """Nothing settles before it is created."""
    return promise.settled_at is None or promise.created_at <= promise.settled_at


@of_promise
def well_formed_promise_settled_at_iff_not_pending(promise: Promise) -> bool:
    """The instant of settlement is there exactly when the promise is settled."""
    return (promise.settled_at is None) == (promise.state == "pending")


@of_promise
def well_formed_promise_pending_has_no_value(promise: Promise) -> bool:
    """A pending promise has an empty value."""
    return promise.state != "pending" or promise.value == EMPTY


@of_promise
def well_formed_promise_deadline_verdict_matches_timer_tag(promise: Promise) -> bool:
    """The deadline resolves timers and rejects everything else."""
    verdict = "resolved" if is_timer(promise) else "rejected_timedout"
    return promise.settled_at != promise.timeout_at or promise.state == verdict


@of_promise
def well_formed_promise_deadline_settlement_has_no_value(promise: Promise) -> bool:
    """The deadline gives no value."""
    return promise.settled_at != promise.timeout_at or promise.value == EMPTY


@strict_only
@of_promise
def well_formed_promise_timer_not_targeted(promise: Promise) -> bool:
    """No timer has a task: nobody could execute it."""
    return not (is_timer(promise) and has_target(promise))


@of_promise
def well_formed_promise_timedout_is_server_owned(promise: Promise) -> bool:
    """Only the deadline times a promise out."""
    return promise.state != "rejected_timedout" or promise.settled_at == promise.timeout_at


@of_promise
def well_formed_promise_callbacks_unique(promise: Promise) -> bool:
    """Callbacks are a set."""
    return len(set(promise.callbacks)) == len(promise.callbacks)


@of_promise
def well_formed_promise_listeners_unique(promise: Promise) -> bool:
    """Listeners are a set."""
    return len(set(promise.listeners)) == len(promise.listeners)


@strict_only
@of_promise
def well_formed_promise_obligations_require_external(promise: Promise) -> bool:
    """Only external promises have somebody who waits for them."""
    return is_external(promise) or not (promise.callbacks or promise.listeners)


@of_promise
def well_formed_promise_awaiter_is_not_self(promise: Promise) -> bool:
    """No promise awaits itself."""
    return promise.id not in promise.callbacks


@of_state
def well_formed_promise_created_at_lte_now(state: Snapshot) -> bool:
    """Nothing was created in the future."""
    return all(each.created_at <= state.now for each in state.promises.values())


@of_state
def well_formed_promise_settled_at_lte_now(state: Snapshot) -> bool:
    """Nothing was settled in the future."""
    return all(
        each.settled_at is None or each.settled_at <= state.now for each in state.promises.values()
    )


@of_state
def well_formed_store_promise_ids_unique(state: Snapshot) -> bool:
    """There is one promise an id: each is stored under its own."""
    return all(promise.id == key for key, promise in state.promises.items())


@of_state
def consistent_callback_awaiter_is_targeted(state: Snapshot) -> bool:
    """Every awaiter exists and has a target."""
    return all(
        awaiter in state.promises and has_target(state.promises[awaiter])
        for promise in state.promises.values()
        for awaiter in promise.callbacks
    )


@of_promise
def consistent_listener_addresses_deliverable(promise: Promise) -> bool:
    """Every listener's address is valid."""
    return all(parse_address(address) is not None for address in promise.listeners)


# --- gaps of the specification that our door checks close -----------------------------------------


@of_promise
def well_formed_promise_target_is_nonempty(promise: Promise) -> bool:
    """A target says where to."""
    return promise.tags.get(TARGET) != ""


@of_promise
def well_formed_promise_delay_before_deadline(promise: Promise) -> bool:
    """A delayed task can start before its deadline.

    Not so the promises of a schedule: its delay is one instant, and their deadlines move on.
    """
    delay = promise.tags.get(DELAY)
    if delay is None or SCHEDULE in promise.tags:
        return True
    digits = delay.lstrip("0") or "0"
    return len(digits) <= 19 and int(digits) < promise.timeout_at
