"""Listening: what a workflow hears of besides the news that a new lease brings.

Rules:
- What it awaits, or asked about, while something else in it runs on and the lease is kept.
- The steps whose functions run here, when they take long or have a deadline of their own: somebody
  may cancel one, or its deadline pass. What is short is not worth a request.
- The end of its own promise, while it is suspended and functions may go on: coroutines do, with
  what is not the server's. It may be canceled, or executed to its end elsewhere.

The lock of the workflow guards it, and is held when a method is called.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from resonate.sdk.steps import Step

if TYPE_CHECKING:
    from resonate.sdk.workflow import Workflow

_SECONDS = 0.1  # that something else runs on while a step of others is awaited
_LONG_SECONDS = 1.0  # that a function of this process takes


class Listening:
    """Listens for one workflow."""

    __slots__ = ("_heard", "_later", "_own", "_soon", "_workflow")

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._soon = False
        self._later = False
        self._own = False
        self._heard: set[str] = set()

    def to_the_end(self) -> None:
        """Let go of everything here when the promise itself ends; asked for once."""
        if not self._own:
            self._own = True
            self._workflow.host.listen(self._workflow.id, lambda _record: self._ended())

    def to_steps(self) -> None:
        """Hear of steps, unless that has become needless in a moment."""
        workflow = self._workflow
        if not workflow.lease.held:
            return
        if not (workflow.awaited or workflow.running or workflow.watched):
            return
        if not self._soon:
            self._soon = True
            workflow.host.later(_SECONDS, self._listen_soon)
        if not self._later and workflow.running:
            self._later = True
            known = frozenset(workflow.running)
            workflow.host.later(_LONG_SECONDS, functools.partial(self._listen_later, known))

    def _ended(self) -> None:
        if self._workflow.resting:
            self._workflow.lose()

    def _listen_soon(self) -> None:
        workflow = self._workflow
        with workflow.lock:
            self._soon = False
            own = [each for each in workflow.running.values() if self._has_deadline(each)]
            others = [*workflow.awaited.values(), *workflow.watched.values()]
            self._listen([*own, *(each for each in others if each.plan.call is None)])

    def _listen_later(self, known: frozenset[str]) -> None:
        workflow = self._workflow
        with workflow.lock:
            self._later = False
            self._listen(each for each in workflow.running.values() if each.id in known)
            if not workflow.over and not workflow.running.keys() <= self._heard:
                self.to_steps()

    def _listen(self, steps: Iterable[Step]) -> None:
        workflow = self._workflow
        if workflow.over or not workflow.lease.held or not workflow.busy:
            return
        for step in steps:
            if step.id not in self._heard:
                self._heard.add(step.id)
                workflow.host.listen(step.id, functools.partial(workflow.told, step))

    def _has_deadline(self, step: Step) -> bool:
        return step.plan.timeout_at < self._workflow.promise.timeout_at
