"""Generators: the body of an attempt that is advanced, on threads, from one ``yield`` to the next.

At most one thread advances it at a time, and none while it waits. Who advances it closes it when it
does not count any more; one that waits is closed by a job of its own.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from resonate.sdk.steps import After, Step

if TYPE_CHECKING:
    from resonate.sdk.attempt import Attempt

Send = Callable[[], Any]  # gives the generator what it waited for; returns what it yields next
log = logging.getLogger("resonate.worker")


class GeneratorBody:
    """A generator that an attempt runs."""

    def __init__(self, attempt: Attempt, body: Generator[Any, Any, Any]) -> None:
        self._attempt = attempt
        self._workflow = attempt.workflow
        self._body = body
        self._advancing = False
        self._closed = False

    def advance(self, send: Send) -> None:
        """Run it until it waits for something, ends, or does not count any more."""
        self._attempt.thread = threading.get_ident()
        with self._workflow.lock:
            self._advancing = True
        if self._waits(send):
            return  # and may be advanced by another thread already
        with self._workflow.lock:
            self._advancing = False
        if self._attempt.gone is not None:
            self._close()

    def leave(self) -> None:
        """It does not count any more."""
        with self._workflow.lock:
            if not self._advancing:
                self._workflow.jobs.run(self._close)

    def _waits(self, send: Send) -> bool:
        """Advance it; tell whether it waits for a step now."""
        while self._attempt.gone is None:
            try:
                asked = self._within(send)
            except StopIteration as stop:
                self._attempt.returned(stop.value)
                return False
            except BaseException as error:  # noqa: BLE001  # whatever user code raises
                self._attempt.raised(error)
                return False
            found = self._answer(asked)
            if found is None:
                return True
            send = found
        return False

    def _answer(self, asked: Any) -> Send | None:
        """Return how it goes on; None when it waits and is advanced later."""
        yielded = getattr(asked, "yielded", None)
        if yielded is None:
            text = f"yield an operation of the context, not {type(asked).__name__}"
            return functools.partial(self._body.throw, TypeError(text))
        try:
            outcome = self._within(yielded, self._attempt)
        except BaseException as error:  # noqa: BLE001  # of the operation: the body may catch it
            return functools.partial(self._body.throw, error)
        if not isinstance(outcome, Step):
            return functools.partial(self._body.send, outcome)
        give = functools.partial(self._give, asked)

        def settled() -> After:
            self._attempt.rise()
            return functools.partial(self._workflow.jobs.run, functools.partial(self.advance, give))

        with self._workflow.lock:
            if self._attempt.gone is not None or not self._workflow.watch(outcome, settled):
                return give
            self._advancing = False
            self._attempt.rest()
        return None

    def _give(self, asked: Any) -> Any:
        """Send the value of what was yielded, or throw its error."""
        try:
            value = asked.value()
        except BaseException as error:  # noqa: BLE001  # the body may catch it
            return self._body.throw(error)
        return self._body.send(value)

    def _within(self, act: Callable[..., Any], *args: Any) -> Any:
        span = self._attempt.span
        return act(*args) if span is None else span.within(act, *args)

    def _close(self) -> None:
        with self._workflow.lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        try:
            self._within(self._body.close)
        except BaseException:  # user code on its way out: nobody waits for it
            log.exception("a function failed while it was closed")
