"""Divergence: code that asks for other steps than those that are recorded.

Rules:
- A step that is asked for again has to be the recorded one: kind and function are compared.
- A function that ends in a replay has to have asked for everything that is recorded of it. Its
  local steps came with the lease. Calls of others did not: they are looked for, the first thousand
  of them and all that are pending.
- Canceled steps may be left out, as a first run that gave up waiting for them may have done;
  detached ones are nobody's to wait for; a retry has other steps each time.
- Whatever is found, nothing is settled: the task goes back, and the log has both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from resonate.protocol import requests as rq
from resonate.protocol.limits import SEARCH_LIMIT_MAX
from resonate.protocol.records import PromiseRecord
from resonate.protocol.validation import PARENT
from resonate.sdk.errors import DivergenceError
from resonate.sdk.sender import Item
from resonate.sdk.steps import DETACHED, RETRY, STEP, Plan


def divergence(
    task_id: str, step_id: str, recorded: str | None, plan: Plan
) -> DivergenceError | None:
    """Return the error if what is recorded is another step; what no function made may be any."""
    if recorded is None or recorded == plan.label:
        return None
    return DivergenceError(task_id, step_id, recorded, plan.label)


def unasked(function: str, known: Iterable[PromiseRecord]) -> str | None:
    """Return the first of the known steps of a function, none of which it has asked for."""
    return min((each.id for each in known if _is_step_of(function, each)), default=None)


def searches(head: Callable[[], rq.Head], task_id: str) -> list[rq.Request]:
    """Return the requests whose answers ``left_out`` reads."""
    mine = f"{task_id}."
    return [
        rq.PromiseSearch(head(), data)
        for data in (
            rq.PromiseSearchData(state="pending", id_prefix=mine),
            rq.PromiseSearchData(limit=SEARCH_LIMIT_MAX, id_prefix=mine),
        )
    ]


def left_out(task_id: str, asked: Container[str], item: Item) -> str | None:
    """Return a step that was found for a task, and that its function has not asked for."""
    answers = [] if item.error is not None else item.answers
    found = (
        each
        for answer in answers
        if answer.status == 200
        for each in answer.data.promises
        if each.id not in asked
        and _is_step_of(task_id, each)
        and DETACHED not in each.tags
        and each.state != "rejected_canceled"
    )
    return next((each.id for each in found), None)


def text(function: str, step_id: str) -> str:
    """Say that a function has ended without a step that is recorded."""
    return (
        f"function {function} ended without asking for the recorded step {step_id}:"
        " the code has changed in a way that its history does not allow"
    )


def _is_step_of(function: str, record: PromiseRecord) -> bool:
    return record.tags.get(PARENT) == function and record.tags.get(STEP, RETRY) != RETRY
