"""Properties of the outbox, of a state and of a step.

The server keeps no outbox: the rows are the messages that the objects are (``messages``), and so
carry what the objects have. What is left of each property is told at it: that the objects are such
that reading them as rows gives what the specification's outbox would hold.
"""

from __future__ import annotations

from resonate.core.objects import record
from resonate.core.properties.checks import Snapshot, StepTaken, of_state, of_step
from resonate.core.properties.messages import Execute, Unblock, execute_key, unblock_key
from resonate.protocol.addresses import parse_address, route_of
from resonate.protocol.validation import FUNC, TARGET, VERSION


def _goes_to_its_target(state: Snapshot, row: Execute) -> bool:
    """Tell whether the task waits in the queue that the target of its promise names."""
    promise = state.promises.get(row.task_id)
    if promise is None:
        return False
    tags = promise.tags
    route = route_of(tags.get(TARGET, ""), tags.get(FUNC), tags.get(VERSION))
    return route is not None and route == row.queue


def _tells_what_is_stored(state: Snapshot, row: Unblock) -> bool:
    """Tell whether the row carries the record of the promise stored under its id, settled."""
    stored = state.promises.get(row.promise_id)
    if stored is None or stored.settled_at is None:
        return False
    # A clock that was stepped back while no server ran may say less than the creation does.
    latest = max(state.now, stored.created_at)
    return stored.settled_at <= latest and record(row.promise) == record(stored)


# --- in a state -----------------------------------------------------------------------------------


@of_state
def well_formed_store_outbox_keys_unique(state: Snapshot) -> bool:
    """There is one row a key: no task is offered under two ids, no address listens twice."""
    keys = [execute_key(each) for each in state.executes]
    keys += [unblock_key(each) for each in state.unblocks]
    return len(set(keys)) == len(keys)


@of_state
def consistent_outbox_execute_names_existing_task(state: Snapshot) -> bool:
    """An execute row names a task: it leads back to the object that it is."""
    found = (state.promises.get(each.task_id) for each in state.executes)
    return all(promise is not None and promise.task is not None for promise in found)


@of_state
def consistent_outbox_never_ahead(state: Snapshot) -> bool:
    """No row is ahead of its task: the task that the id leads to has at least its version."""
    for row in state.executes:
        promise = state.promises.get(row.task_id)
        task = None if promise is None else promise.task
        if task is not None and row.version > task.version:
            return False
    return True


@of_state
def consistent_outbox_execute_address_is_target_tag(state: Snapshot) -> bool:
    """An execute row goes to the target: the route, by which it is found, is the target's."""
    return all(_goes_to_its_target(state, row) for row in state.executes)


@of_state
def consistent_outbox_unblock_names_settled_promise(state: Snapshot) -> bool:
    """An unblock row names and carries a settled promise, complete with its instant."""
    return all(_tells_what_is_stored(state, row) for row in state.unblocks)


@of_state
def consistent_outbox_unblock_address_deliverable(state: Snapshot) -> bool:
    """An unblock row goes to a valid address."""
    return all(parse_address(row.address) is not None for row in state.unblocks)


# --- around a step --------------------------------------------------------------------------------


@of_step
def monotone_outbox_keys_never_disappear(step: StepTaken) -> bool:
    """A row goes away only as section 6.5 has it.

    An execute row stays until its task leaves pending. Of unblock rows at most one goes in a step,
    delivered or superseded, and leaves its promise settled as it is.
    """
    after = {execute_key(each) for each in step.after.executes}
    gone = [row.task_id for row in step.before.executes if execute_key(row) not in after]
    promises = step.after.promises
    if not all(_has_left_pending(step, task_id) for task_id in gone):
        return False
    left = {unblock_key(each) for each in step.after.unblocks}
    told = [row for row in step.before.unblocks if unblock_key(row) not in left]
    return len(told) <= 1 and all(
        row.promise_id in promises and record(promises[row.promise_id]) == record(row.promise)
        for row in told
    )


def _has_left_pending(step: StepTaken, task_id: str) -> bool:
    promise = step.after.promises.get(task_id)
    task = None if promise is None else promise.task
    return task is not None and task.state != "pending"


@of_step
def consistent_new_execute_matches_task_and_target(step: StepTaken) -> bool:
    """A new execute row has the version that its task had before, or 0, and the task's target.

    No step that lets a task be dispatched issues a version: only granting a lease does.
    """
    old = set(step.before.executes)
    for row in step.after.executes:
        if row in old:
            continue
        promise = step.before.promises.get(row.task_id)
        task = None if promise is None else promise.task
        if row.version != (0 if task is None else task.version):
            return False
        if not _goes_to_its_target(step.after, row):
            return False
    return True


def _new_unblocks(step: StepTaken) -> list[Unblock]:
    old = {unblock_key(each) for each in step.before.unblocks}
    return [row for row in step.after.unblocks if unblock_key(row) not in old]


@of_step
def consistent_new_unblock_carries_stored_record(step: StepTaken) -> bool:
    """A new unblock row carries the settlement that is stored."""
    return all(_tells_what_is_stored(step.after, row) for row in _new_unblocks(step))


@of_step
def consistent_new_unblock_discharges_its_listener(step: StepTaken) -> bool:
    """A new unblock row is the end of a listener, which was there before: settling turns it so.

    A listener of a settled promise is a row already, and none can be added to it.
    """
    for row in _new_unblocks(step):
        promise = step.before.promises.get(row.promise_id)
        if promise is None or row.address not in promise.listeners:
            return False
    return True
