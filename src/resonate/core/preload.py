"""Preload: what a holder is told together with its task, so that it need not ask (section 5.1).

All promises of the same ``resonate:branch``, ordered by id: the local steps of a workflow. A part
of them is as right as the whole, because a client asks for what it misses; so it is bounded.

Where a suspension is answered with 300, the awaited promises that are settled come first (ours,
not in strict mode): whoever waits for a thousand learns of those that have ended in one answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from resonate.core.objects import BranchOf, Key, Promise, record, size
from resonate.core.state import State
from resonate.protocol.limits import PRELOAD_BYTES_MAX, PRELOAD_RECORDS_MAX
from resonate.protocol.records import PromiseRecord
from resonate.protocol.validation import BRANCH


def with_branch(promise_id: str) -> tuple[Key, ...]:
    """Return what ``preload`` reads for a promise."""
    return (promise_id, BranchOf(promise_id))


def preload(state: State, promise: Promise, news: Sequence[Promise] = ()) -> list[PromiseRecord]:
    """Return ``news``, and the other promises of the branch of ``promise``, as seen now.

    News are settled promises that were awaited. One of them is told whatever its size: so a holder
    gets on, and asks again for what did not fit.
    """
    found = {each.id: record(each) for each in news[:1]}
    room = PRELOAD_BYTES_MAX - sum(map(size, news[:1]))
    for other in chain(news[1:], _others(state, promise)):
        if other.id in found:
            continue
        room -= size(other)
        if room < 0 or len(found) >= PRELOAD_RECORDS_MAX:
            break
        found[other.id] = record(other)
    return list(found.values())


def _others(state: State, promise: Promise) -> Iterator[Promise]:
    branch = promise.tags.get(BRANCH)
    if not branch:
        return
    for promise_id in state.branch_of(promise):
        other = state.view(promise_id)
        # Of an undone step, or deleted and maybe created again elsewhere, it is none.
        if other is not None and other.tags.get(BRANCH) == branch:
            yield other
