"""Preload: what a holder is told together with its task, so that it need not ask (section 5.1).

All promises of the same ``resonate:branch``, ordered by id: the local steps of a workflow. A part
of them is as right as the whole, because a client asks for what it misses; so it is bounded.
"""

from __future__ import annotations

from resonate.core.objects import BranchOf, Key, Promise, record, size
from resonate.core.state import State
from resonate.protocol.limits import PRELOAD_BYTES_MAX, PRELOAD_RECORDS_MAX
from resonate.protocol.records import PromiseRecord
from resonate.protocol.validation import BRANCH


def with_branch(promise_id: str) -> tuple[Key, ...]:
    """Return what ``preload`` reads for a promise."""
    return (promise_id, BranchOf(promise_id))


def preload(state: State, promise: Promise) -> list[PromiseRecord]:
    """Return the other promises of the branch of ``promise``, as seen now."""
    branch = promise.tags.get(BRANCH)
    if not branch:
        return []
    found: list[PromiseRecord] = []
    room = PRELOAD_BYTES_MAX
    for promise_id in state.branch_of(promise):
        other = state.view(promise_id)
        if other is None or other.tags.get(BRANCH) != branch:
            continue  # of an undone step, or deleted, and maybe created again elsewhere
        room -= size(other)
        if room < 0 or len(found) >= PRELOAD_RECORDS_MAX:
            break
        found.append(record(other))
    return found
