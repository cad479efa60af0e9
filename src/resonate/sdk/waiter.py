"""Threads that wait for a step.

A function rests while the thread that it was called on waits: what its other threads do cannot be
seen. Its threads are let go when the task is suspended, or when all threads of the task wait and
others are needed: the function is replayed, on another thread, when there is something new for it.
A thread that has a time to wait for keeps the function where it is: nobody else would tell it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from resonate.sdk.steps import After

if TYPE_CHECKING:
    from resonate.sdk.attempt import Attempt


class Unwound(SystemExit):  # no error; and a thread that ends by a SystemExit says nothing
    """The task is suspended: this thread is let go. Not to be caught."""


class Waiter:
    """A thread that waits for a step. The lock of the workflow guards it.

    ``main`` tells whether it is the thread that the function was called on.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._workflow = attempt.workflow
        self._wake = attempt.workflow.host.machine.event()
        self.main = attempt.thread == threading.get_ident()
        self._given_up = False

    def enter(self, *, patient: bool) -> None:
        """Begin to wait; with the lock held. One that is not ``patient`` is not let go."""
        self._attempt.waiters[self] = None
        if patient:
            self._workflow.patient[self] = None
        self._attempt.rest_if_waiting()

    def _leave(self) -> None:
        self._attempt.waiters.pop(self, None)
        self._workflow.patient.pop(self, None)

    def wait(self, timeout: float | None) -> None:
        """Wait; raises TimeoutError, and what the attempt raises once it does not count."""
        self._wake.wait(timeout)
        with self._workflow.lock:
            self._leave()
            if self._attempt.gone is not None:
                raise self._attempt.gone
            if not self._wake.is_set():
                self._given_up = self._attempt.timed_out = True
                self._attempt.rise()
                raise TimeoutError("the step was not settled in time")

    def settled(self) -> After | None:
        """The step is settled: wake the thread, or replay its function if it was let go."""
        self._leave()
        if self._given_up:
            return None
        if isinstance(self._attempt.gone, Unwound):
            self._attempt.frame.replay(self._attempt)
            return None
        self._attempt.rise()
        return self._wake.set

    def let_go(self) -> bool:
        """Take the threads of its function off, if all may be; with the lock held."""
        waiters = self._attempt.waiters
        return (
            any(each.main for each in waiters)
            and all(each in self._workflow.patient for each in waiters)
            and self._attempt.unwind()
        )

    def end(self) -> None:
        """Wake the thread: what it waits for does not count any more."""
        self._wake.set()
