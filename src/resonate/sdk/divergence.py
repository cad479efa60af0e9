"""Divergence: code that asks for other steps than those that are recorded.

Rules:
- A step that is asked for again has to be the recorded one: kind and function are compared, and
  the id where one was given. That is noticed before anything is made or run: each step with an id
  of its own has its place in the order of calls as a tag.
- A function that ends in a replay has to have asked for everything that is recorded of its present
  attempt. Its local steps came with the lease. Calls of others did not: they are looked for, by the
  ids that they have by the order of calls; the first thousand of them and all that are pending.
- Canceled steps may be left out, as a first run that gave up waiting for them may have done;
  detached ones are nobody's to wait for.
- Whatever is found, nothing is settled: the task goes back, and the log has both sides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping

from resonate.protocol import requests as rq
from resonate.protocol.limits import SEARCH_LIMIT_MAX
from resonate.protocol.records import PromiseRecord
from resonate.protocol.validation import PARENT
from resonate.sdk.errors import DivergenceError
from resonate.sdk.sender import Item
from resonate.sdk.steps import ATTEMPT, DETACHED, PLACE, RETRY, STEP, Plan

_AGAIN = re.compile(r"~\d+$")  # of a step that is made again in a later attempt


class Places:
    """Which steps are recorded at which places of their functions, by attempt."""

    __slots__ = ("_records",)

    def __init__(self, known: Iterable[PromiseRecord]) -> None:
        self._records: dict[tuple[str, str], PromiseRecord] = {}
        for each in known:
            self.add(each)

    def add(self, record: PromiseRecord) -> None:
        """Take note of a recorded step."""
        if record.tags.get(STEP, RETRY) != RETRY:
            self._records[place(record.id, record.tags), _attempt(record.tags)] = record

    def divergence(self, task_id: str, step_id: str, plan: Plan) -> DivergenceError | None:
        """Return the error if a step of another id, or another step, is recorded in this place."""
        where = place(step_id, plan.tags)
        record = self._records.get((where, _attempt(plan.tags)))
        if record is None or record.id == step_id:
            return None
        recorded = f"{record.tags[STEP]} with id {record.id}"
        return DivergenceError(task_id, where, recorded, f"{plan.label} with id {step_id}")


def place(step_id: str, tags: Mapping[str, str]) -> str:
    """Return the place of a step in the order of calls: its id, unless it was given one."""
    return tags.get(PLACE) or _AGAIN.sub("", step_id)


def divergence(
    task_id: str, step_id: str, recorded: str | None, plan: Plan
) -> DivergenceError | None:
    """Return the error if what is recorded is another step; what no function made may be any."""
    if recorded is None or recorded == plan.label:
        return None
    return DivergenceError(task_id, step_id, recorded, plan.label)


def unasked(function: str, attempt: int, known: Iterable[PromiseRecord]) -> PromiseRecord | None:
    """Return the first of the known steps of a function, none of which it has asked for."""
    left = (each for each in known if _is_step_of(function, attempt, each))
    return min(left, key=lambda each: each.id, default=None)


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


def left_out(task_id: str, attempt: int, asked: Container[str], item: Item) -> PromiseRecord | None:
    """Return a step that was found for a task, and that its function has not asked for."""
    answers = [] if item.error is not None else item.answers
    found = (
        each
        for answer in answers
        if answer.status == 200
        for each in answer.data.promises
        if each.id not in asked
        and _is_step_of(task_id, attempt, each)
        and DETACHED not in each.tags
        and each.state != "rejected_canceled"
    )
    return next(found, None)


def text(function: str, ended: str, left: PromiseRecord) -> str:
    """Say that a function has ended, ``resolved`` or ``rejected``, without a recorded step."""
    how = "returned" if ended == "resolved" else "raised"
    return (
        f"function {function} {how} without asking for step {left.id}, which is recorded as"
        f" `{left.tags[STEP]}`: the code has changed in a way that its history does not allow"
    )


def _is_step_of(function: str, attempt: int, record: PromiseRecord) -> bool:
    return (
        record.tags.get(PARENT) == function
        and record.tags.get(STEP, RETRY) != RETRY
        and _attempt(record.tags) == str(attempt)
    )


def _attempt(tags: Mapping[str, str]) -> str:
    return tags.get(ATTEMPT, "1")
