"""Threads that wait for a step.

They are let go when their task is suspended, or when all its threads wait and others are needed:
the function is replayed, on another thread, when there is something new for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resonate.sdk.steps import After

if TYPE_CHECKING:
    from resonate.sdk.attempt import Attempt


class Unwound(BaseException):  # no error: it takes a blocked function off its thread
    """The task is suspended: this thread is let go. Not to be caught."""


class Waiter:
    """A thread that waits for a step. The lock of the workflow guards it."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._wake = attempt.workflow.host.machine.event()
        self._unwound = False
        self._given_up = False

    def wait(self, timeout: float | None) -> None:
        """Wait; raises TimeoutError, and what the attempt raises once it does not count."""
        workflow, attempt = self._attempt.workflow, self._attempt
        # One that has a time to wait for keeps its thread: nobody else would tell it.
        workflow.to_unwind(self, self._let_go, patient=timeout is None)
        workflow.rest()
        if not self._wake.wait(timeout):
            with workflow.lock:
                if not self._wake.is_set():
                    self._given_up = True
                    workflow.rise()
                    workflow.to_unwind(self, None)
                    raise TimeoutError("the step was not settled in time")
        if attempt.gone is not None:
            raise attempt.gone
        workflow.to_unwind(self, None)

    def settled(self) -> After | None:
        """The step is settled: wake the thread, or replay its function if it was let go."""
        if self._given_up:
            return None
        self._attempt.workflow.rise()
        return self._attempt.unwound if self._unwound else self._wake.set

    def _let_go(self) -> None:
        with self._attempt.workflow.lock:
            self._unwound = True
            if self._attempt.gone is None:
                self._attempt.gone = Unwound()
        self._wake.set()
