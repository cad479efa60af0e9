"""The board: what is known about every call and worker. No I/O, no clock.

Instants are seconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

MIDDLE_SECONDS = 2.0  # a call is in the middle when it has run, and has to run, this long


class Event(Struct, frozen=True):
    """One line of a worker: a function started or finished, for the call ``id``."""

    kind: Literal["started", "finished"]
    id: str
    at: float


class Execution(Struct):
    """One run of the function for a call."""

    worker: str
    started: float
    finished: float | None = None


class Call(Struct):
    """One call: ``cost`` seconds of work. ``done`` once the caller has its result."""

    number: int
    id: str
    cost: float
    executions: list[Execution] = field(default_factory=list)
    done: bool = False

    @property
    def name(self) -> str:
        """Return how the call is named to the user."""
        return f"call {self.number}"

    @property
    def worker(self) -> str | None:
        """Return the worker that began it last."""
        return self.executions[-1].worker if self.executions else None


class Recovery(Struct, frozen=True):
    """A call that the killed worker had begun: how far it was, and who has it since when."""

    call: Call
    lost_after: float
    worker: str
    delay: float


class Board:
    """Calls and workers. ``slots`` is how many calls a worker runs at the same time."""

    def __init__(self, calls: list[Call], workers: list[str], slots: int) -> None:
        self.calls = calls
        self.workers = workers
        self.slots = slots
        self.killed: str | None = None
        self.killed_at = 0.0
        self._calls = {call.id: call for call in calls}

    def note(self, worker: str, event: Event) -> Call | None:
        """Take note of what a worker said; return the call it was about, if it is one of ours."""
        call = self._calls.get(event.id)
        if call is None:
            return None
        if event.kind == "started":
            call.executions.append(Execution(worker, event.at))
        else:
            for execution in call.executions:
                if execution.worker == worker:
                    execution.finished = event.at
        return call

    def kill(self, worker: str, at: float) -> None:
        """Take note that a worker was killed."""
        self.killed, self.killed_at = worker, at

    @property
    def completed(self) -> bool:
        """Tell whether the caller has every result."""
        return all(call.done for call in self.calls)

    def held(self, worker: str) -> list[Call]:
        """Return the calls that a worker has begun and whose results are not there yet."""
        return [call for call in self.calls if not call.done and call.worker == worker]

    def finished(self, worker: str) -> list[Call]:
        """Return the calls that a worker brought to their end."""
        return [call for call in self.calls if call.done and call.worker == worker]

    def victim(self, now: float) -> str | None:
        """Return the worker to kill now, or None while it is too early.

        It is in the middle of all it has, nothing waits for a worker, and the others have room for
        what it will lose: so what is measured then is the recovery, and not a queue.
        """
        if not all(call.executions for call in self.calls):
            return None
        fit = [worker for worker in self.workers if self._is_fit(worker, now)]
        return max(fit, key=lambda worker: len(self.held(worker)), default=None)

    def recoveries(self) -> list[Recovery]:
        """Return the calls that the killed worker had begun and others have begun since."""
        found = []
        for call in self.calls:
            for before, after in zip(call.executions, call.executions[1:], strict=False):
                if before.worker == self.killed:
                    lost_after = self.killed_at - before.started
                    delay = after.started - self.killed_at
                    found.append(Recovery(call, lost_after, after.worker, delay))
        return found

    def _is_fit(self, worker: str, now: float) -> bool:
        held = self.held(worker)
        others = [each for each in self.workers if each != worker]
        room = sum(self.slots - len(self.held(other)) for other in others)
        return 0 < len(held) <= room and all(_in_the_middle(call, now) for call in held)


def _in_the_middle(call: Call, now: float) -> bool:
    elapsed = now - call.executions[-1].started
    return MIDDLE_SECONDS <= elapsed <= call.cost - MIDDLE_SECONDS
