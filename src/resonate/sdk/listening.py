"""Listening: what a workflow hears of besides the news that a new lease brings.

Rules:
- What it awaits, while something else in it runs on and the lease is kept.
- The end of its own promise, while it is suspended and functions may go on: coroutines do, with
  what is not the server's. It may be canceled, or executed to its end elsewhere.

The lock of the workflow guards it, and is held when a method is called.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resonate.sdk.workflow import Workflow

_SECONDS = 0.1  # that something else runs on while a step of others is awaited


class Listening:
    """Listens for one workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._soon = False
        self._own = False

    def to_the_end(self) -> None:
        """Let go of everything here when the promise itself ends; asked for once."""
        if not self._own:
            self._own = True
            self._workflow.host.listen(self._workflow.id, lambda _record: self._ended())

    def to_others(self) -> None:
        """Hear of what is awaited, unless that has become needless in a moment."""
        if not self._soon and self._workflow.awaited and self._workflow.lease.held:
            self._soon = True
            self._workflow.host.later(_SECONDS, self._listen)

    def _ended(self) -> None:
        if self._workflow.resting:
            self._workflow.lose()

    def _listen(self) -> None:
        workflow = self._workflow
        with workflow.lock:
            self._soon = False
            if workflow.over or not workflow.lease.held or not workflow.busy:
                return
            awaited = [each for each in workflow.awaited.values() if each.plan.call is None]
        for step in awaited:
            workflow.host.listen(step.id, functools.partial(workflow.told, step))
