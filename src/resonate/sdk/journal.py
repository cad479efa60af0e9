"""Journals: what a function logs, once, however often it is replayed.

A line that stands before a step was logged already when that step was recorded under an earlier
lease, or by an earlier run of this body. Whether it was is known when the server has confirmed the
step, so lines are held until then; from the first new step on nothing is held.
"""

from __future__ import annotations

import logging
import threading

from resonate.sdk.steps import Step


class Journal:
    """The lines of one attempt. ``live``: it is the first run of the body, nothing is held."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._lock = threading.Lock()
        self._begun: list[Step] = []
        self._held: list[tuple[int, logging.Logger, logging.LogRecord]] = []

    def begun(self, step: Step) -> None:
        """The body has asked for a step."""
        if not self._live:
            with self._lock:
                self._begun.append(step)
            self.sort_out()

    def log(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        """Log a line, now or as soon as it is known to be new."""
        if self._live:
            logger.handle(record)
            return
        with self._lock:
            self._held.append((len(self._begun), logger, record))
        self.sort_out()

    def end(self) -> None:
        """The body has ended, and asks for nothing more: what is held is new."""
        self.sort_out()
        with self._lock:
            held, self._held = self._held, []
            self._live = True
        for _, logger, record in held:
            logger.handle(record)

    def sort_out(self) -> None:
        """Drop or log what is known to be old or new."""
        if self._live:
            return
        new: list[tuple[int, logging.Logger, logging.LogRecord]] = []
        with self._lock:
            while self._held:
                place = self._held[0][0]
                step = self._begun[place] if place < len(self._begun) else None
                if step is None or step.old is None:
                    return
                line = self._held.pop(0)
                if not step.old:
                    new = [line, *self._held]
                    self._held, self._live = [], True
        for _, logger, record in new:
            logger.handle(record)
