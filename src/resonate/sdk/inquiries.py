"""Inquiries: what the server is asked when a step has ended, before its function is told.

Rules:
- A call that timed out: whether anybody had started with it.
- A step that was canceled, and not by this workflow: whether a function that waits for it was
  canceled itself, or has ended otherwise. Who cancels begins at the top, so such a function is not
  told of its steps as if it were to go on.

The lock of the workflow guards it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.records import PromiseRecord
from resonate.protocol.validation import PARENT
from resonate.sdk.explaining import explanation, is_unexplained
from resonate.sdk.steps import After, Step, carry_out, is_abandoned

if TYPE_CHECKING:
    from resonate.sdk.workflow import Workflow

Told = Callable[[list[Answer]], None]


class Inquiries:
    """The inquiries of one workflow."""

    __slots__ = ("_about", "_workflow")

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._about: dict[str, None] = {}

    def __contains__(self, step_id: object) -> bool:
        """Tell whether a step has ended, and the server was asked about it."""
        return step_id in self._about

    def begin(self, step: Step, record: PromiseRecord) -> bool:
        """Ask about a step that ended so, if that is needed; with the lock held."""
        if step.id in self._about:
            return True
        head = self._workflow.host.head
        if is_unexplained(record):
            get = rq.TaskGet(head(), rq.IdData(step.id))
            self._ask(step, [get], functools.partial(self._explained, step, record))
        elif record.state == "rejected_canceled" and not step.canceled and not is_abandoned(record):
            above = [rq.PromiseGet(head(), rq.IdData(each)) for each in self._above(step)]
            self._ask(step, above, functools.partial(self._canceled, step, record))
        else:
            return False
        return True

    def _ask(self, step: Step, requests: Sequence[rq.Request], told: Told) -> None:
        self._about[step.id] = None
        self._workflow.lease.ask(requests, told)

    def _explained(self, step: Step, record: PromiseRecord, answers: list[Answer]) -> None:
        self._take_over([(step, explanation(record, answers[0]))])

    def _above(self, step: Step) -> list[str]:
        """Return the ids of the functions that wait for a step, up to that of the task."""
        found = []
        frame = self._workflow.frame(step.plan.tags[PARENT])
        while frame is not None:
            found.append(frame.id)
            frame = frame.parent
        return found

    def _canceled(self, step: Step, record: PromiseRecord, answers: list[Answer]) -> None:
        above = [each.data.promise for each in answers if each.status == 200]
        ended = [each for each in reversed(above) if each.state != "pending"]
        if any(each.id == self._workflow.id for each in ended):
            self._workflow.lose()
            return
        steps = [(self._workflow.step(each.id), each) for each in ended]
        self._take_over([*steps, (step, record)])

    def _take_over(self, ended: Sequence[tuple[Step, PromiseRecord]]) -> None:
        """Have the workflow take over how steps ended, the outermost first."""
        after: list[After] = []
        with self._workflow.lock:
            for step, record in ended:
                if not step.settled:
                    after += self._workflow.take_over(step, record)
        carry_out(after)
