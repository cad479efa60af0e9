"""Kills: what is written by workers, in order, and before or after which of it one dies.

A write is a step that is made, a step of a worker that ends, or the result of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.records import PromiseRecord
from resonate.sdk.steps import STEP

RESULT = "result"
_TOLD_MAX = 50


class Write(Struct, frozen=True):
    """Something that a worker records.

    - ``id``: of the workflow that does.
    - ``step``: id of the promise.
    - ``label``: what the code asked for, as "run charge"; "result" for that of the workflow.
    - ``made``: whether the step is made; else it ends.
    """

    id: str
    step: str
    label: str
    made: bool

    def __str__(self) -> str:
        return f"{self.label} ({self.step}) {'begins' if self.made else 'ends'}"

    @property
    def last(self) -> bool:
        """Tell whether the workflow writes no more about that step."""
        return not self.made or not self.label.startswith("run ")


class Kill(Struct, frozen=True):
    """A worker dies ``before`` or after a write: the n-th (from 1; 0 is the beginning), or a label.

    ``id`` is that of the workflow whose writes count; None: all do. ``optional``: it need not come.
    """

    write: int | str
    before: bool
    id: str | None
    optional: bool = False

    def __str__(self) -> str:
        rest = "" if self.id is None else f", id={self.id!r}"
        return f"kill_{'before' if self.before else 'after'}({self.write!r}{rest})"


class Kills:
    """The writes so far, and the kills that are to come. ``find`` returns a promise by its id."""

    def __init__(self, find: Callable[[str], PromiseRecord | None]) -> None:
        self.writes: list[Write] = []
        self.done: list[str] = []
        self._find = find
        self._plans: list[Kill] = []

    def plan(self, kill: Kill) -> None:
        """Kill whoever does that."""
        self._plans.append(kill)

    def write_of(self, request: rq.Request) -> Write | None:
        """Return what a request is about to record; None when that is nothing new."""
        if isinstance(request, rq.TaskFulfill):
            return Write(request.data.id, request.data.id, RESULT, made=False)
        if not isinstance(request, rq.TaskFence):
            return None
        action, workflow = request.data.action, request.data.id
        known = self._find(action.data.id)
        if isinstance(action, rq.FenceCreate):
            label = (action.data.tags or {}).get(STEP, "")
            return None if known else Write(workflow, action.data.id, label, made=True)
        if known is None or known.state != "pending":
            return None
        return Write(workflow, known.id, known.tags.get(STEP, ""), made=False)

    def cut(self, requests: list[rq.Request]) -> tuple[list[Write | None], int | None]:
        """Return what each request is about to record, and how many of them are carried out.

        None: all are, and nobody dies.
        """
        found: list[Write | None] = []
        so_far = list(self.writes)
        for number, request in enumerate(requests):
            write = self.write_of(request)
            if write is not None and self._due(write, so_far, before=True):
                return found, number
            found.append(write)
            if write is not None:
                so_far.append(write)
                if self._due(write, so_far, before=False):
                    return found, number + 1
        return found, None

    def note(self, writes: list[Write | None], answers: list[Answer]) -> None:
        """Take note of what was recorded."""
        for write, answer in zip(writes, answers, strict=False):
            if write is not None and _succeeded(answer):
                self.writes.append(write)

    def unused(self) -> list[str]:
        """Say of each kill that had to come and did not what was written instead."""
        return [
            f"{plan} never applied: {self._instead(plan)}"
            for plan in self._plans
            if not plan.optional
        ]

    def _instead(self, plan: Kill) -> str:
        writes = [each for each in self.writes if plan.id in (None, each.id)]
        if self.writes and not writes:
            found = dict.fromkeys(each.id for each in self.writes)
            return f"nothing was written by {plan.id}, but by {_listed(found)}"
        if isinstance(plan.write, str):
            return f"steps written: {_listed(dict.fromkeys(each.label for each in writes))}"
        return f"writes, {len(writes)} of them: {_listed(map(str, writes))}"

    def _due(self, write: Write, so_far: list[Write], *, before: bool) -> bool:
        for plan in self._plans:
            if plan.before == before and _meant(plan, write, so_far):
                self._plans.remove(plan)
                when = "before" if before else "after"
                self.done.append(f"{when} write {len(so_far) + before}: {write}")
                return True
        return False


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = [f"and {len(found) - _TOLD_MAX} more"] if len(found) > _TOLD_MAX else []
    return ", ".join(found[:_TOLD_MAX] + more) or "none"


def _meant(plan: Kill, write: Write, so_far: list[Write]) -> bool:
    if plan.id not in (None, write.id):
        return False
    if isinstance(plan.write, str):
        return plan.write == write.label and write.last
    return sum(plan.id in (None, each.id) for each in so_far) + plan.before >= plan.write


def _succeeded(answer: Answer) -> bool:
    if answer.status != 200:
        return False
    action: Any = getattr(answer.data, "action", None)
    return action is None or action.head.status == 200
