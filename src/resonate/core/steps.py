"""What the server does by itself (I1 to I4, and ours); I6 stands with the schedules.

Every step checks its own condition again, so taking it late, early or twice is harmless.
A step that would need an object which is not loaded leaves that part; whoever asks
``unfinished`` takes it up in a later batch.
"""

from __future__ import annotations

from msgspec.structs import replace

from resonate.core import schedules
from resonate.core.objects import Promise, is_external, project, saturate, to_pending, with_task
from resonate.core.promises import drop_listener
from resonate.core.state import State
from resonate.core.tasks import release
from resonate.protocol.requests import TaskReleaseData


def fire(state: State, schedule_id: str, limit: int) -> None:
    """Fire a schedule (I6); what comes too late for its own deadline is timed out at once (I1)."""
    for promise_id in schedules.fire(state, schedule_id, limit):
        advance(state, promise_id)


def advance(state: State, promise_id: str) -> None:
    """Write what time alone has brought about: the deadline (I1), the end of the lease (I4).

    In strict mode the deadline of an internal promise is never written: it shows by projection.
    """
    stored = state.stored(promise_id)
    if stored is None or stored.state != "pending":
        return
    if state.strict and not is_external(stored):
        return
    seen = project(stored, state.now)
    if seen is not stored:
        state.put(seen)
        return
    task = stored.task
    if task is not None and task.expires_at is not None and task.expires_at <= state.now:
        state.put(with_task(stored, to_pending(task, state.now)))


def drain(state: State, promise_id: str, limit: int) -> int:
    """Wake who awaits the settled promise (I3), at most ``limit`` awaiters; return how many.

    Awaiters that are not loaded stay in ``callbacks``.
    """
    promise = state.view(promise_id)
    if promise is None or promise.state == "pending" or not promise.callbacks:
        return 0
    known = [each for each in promise.callbacks if state.knows(each)][:limit]
    if not known:
        return 0
    gone = set(known)
    kept = tuple(each for each in promise.callbacks if each not in gone)
    state.put(replace(promise, callbacks=kept))
    for awaiter in known:
        _wake(state, awaiter, promise_id)
    return len(known)


def _wake(state: State, awaiter: str, awaited: str) -> None:
    stored = state.stored(awaiter)
    if stored is None or stored.task is None:
        return
    seen = project(stored, state.now)
    if seen is not stored:
        state.put(seen)  # its own deadline owns it: no wake, no message (C6)
        return
    task = stored.task
    if task.state == "suspended":
        state.put(with_task(stored, to_pending(task, state.now, (awaited,))))
    elif task.state != "fulfilled" and awaited not in task.resumes:
        state.put(with_task(stored, replace(task, resumes=(*task.resumes, awaited))))


def discharge(state: State, promise_id: str, address: str) -> None:
    """Forget a listener whose unblock was delivered or given up (I2)."""
    promise = state.view(promise_id)
    if promise is not None and promise.state != "pending" and address in promise.listeners:
        drop_listener(state, promise, address)


def expire(state: State, promise_id: str) -> None:
    """Delete a settled promise of which nobody has to hear any more (retention)."""
    promise = state.stored(promise_id)
    if promise is None or promise.state == "pending" or promise.callbacks or promise.listeners:
        return
    state.delete(promise_id)


def release_lost(state: State, promise_id: str, version: int, pid: str) -> bool:
    """Release a lease on behalf of a holder that is gone; tell whether it still held it."""
    promise = state.view(promise_id)
    if promise is None or promise.task is None or promise.task.pid != pid:
        return False
    return release(state, TaskReleaseData(promise_id, version)).status == 200


def renew(state: State, promise_id: str) -> None:
    """Give a lease one full ttl from now: after a start nobody could have sent a heartbeat."""
    promise = state.view(promise_id)
    if promise is None or promise.task is None or promise.task.ttl is None:
        return
    expires_at = saturate(state.now + promise.task.ttl)
    state.put(with_task(promise, replace(promise.task, expires_at=expires_at)))


def is_unfinished(promise: Promise) -> bool:
    """Tell whether somebody still has to be woken by the settled promise."""
    return promise.state != "pending" and bool(promise.callbacks)
