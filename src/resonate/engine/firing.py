"""Firing: what is done when an instant has come.

Rules:
- Every step looks again whether its condition holds: late, early and twice are all the same.
- The promises of a schedule have to be loaded before it fires, and which they are is only known
  once the schedule is: the first step looks at the schedule, a second one fires it. What does not
  fit into one step is due still, and so comes up again at once.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable

from resonate.core import schedules, steps
from resonate.core.objects import Key, Schedule, ScheduleKey
from resonate.core.state import State
from resonate.engine.batches import Step, nothing
from resonate.engine.clock import Clock
from resonate.engine.dispatch import Dispatch
from resonate.engine.members import Directory
from resonate.protocol.limits import OCCURRENCES_MAX

log = logging.getLogger("resonate.engine")


class Firing:
    """Turns keys whose instant has come into steps. ``push`` takes a step."""

    def __init__(
        self,
        clock: Clock,
        directory: Directory,
        dispatch: Dispatch,
        push: Callable[[Step], None],
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._dispatch = dispatch
        self._push = push
        self._lapsed: Counter[str] = Counter()

    def fire(self, keys: list[Key]) -> None:
        """Have these objects looked at."""
        for key in keys:
            if isinstance(key, ScheduleKey):
                self._push(Step(key, nothing, self._fire_schedule))
            else:
                self._push(Step(key, self._advance))

    def _fire_schedule(self, schedule: Schedule | None) -> None:
        step = None if schedule is None else fire_schedule(schedule, self._clock.now())
        if step is not None:
            self._push(step)

    def _advance(self, state: State, promise_id: str) -> None:
        before = state.stored(promise_id)
        steps.advance(state, promise_id)
        after = state.stored(promise_id)
        if before is None or after is before or before.task is None:
            return
        pid = before.task.pid
        if pid is not None and after is not None and after.state == "pending":
            self._lease_ran_out(promise_id, pid, before.task.version)

    def _lease_ran_out(self, promise_id: str, pid: str, version: int) -> None:
        self._lapsed[pid] += 1
        self._dispatch.lost(promise_id, pid, version)
        for member in self._directory.by_pid(pid):
            member.suspect = True
            self._directory.place(member)

    def report(self) -> None:
        """Say once a batch whose leases ran out."""
        for pid, count in self._lapsed.items():
            log.warning("%s was silent: its leases on %d tasks ran out", pid, count)
        self._lapsed.clear()


def fire_schedule(schedule: Schedule, now: int) -> Step | None:
    """Return the step that fires a schedule, with the promises of its next occurrences."""
    due = schedules.occurrences(schedule, now, OCCURRENCES_MAX)
    if not due:
        return None
    ids = [promise_id for _, promise_id in due]
    return Step(schedule.key, functools.partial(_fire, limit=len(due)), also=ids)


def _fire(state: State, key: ScheduleKey, *, limit: int) -> None:
    steps.fire(state, key.id, limit)
