"""Event loops on virtual time, which take turns with the other threads of the SDK.

Rules:
- A loop looks at its timers when time was moved, and lets others run between two turns of its own.
- On the network's loop most timers belong to what looks at something again and again, in case. They
  are no reason to move time: only those of the types ``wanted`` are, and asyncio's own.
- What is given to an executor counts as something that runs. So does real input (sockets) not: it
  is taken in when it comes, and time may have been moved before that.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import selectors
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple

from resonate.sdk.pool import LoopThread
from resonate.testing.stage import Runner, Stage

_Ts = TypeVarTuple("_Ts")
_SELF_PIPE = 1  # what a loop without sockets listens to
_RESOLUTION = 1e-4  # of floats that hold seconds since the epoch, and less than a millisecond
_ENDING_SECONDS = 0.02


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop of a stage. ``wanted``: whose timers move time; None: all do."""

    def __init__(self, stage: Stage, runner: Runner, wanted: frozenset[type] | None) -> None:
        self._stage = stage
        self._runner = runner
        self._wanted = wanted
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        super().__init__(_Selector(stage, runner))
        self._clock_resolution = _RESOLUTION

    def time(self) -> float:
        """Return the virtual time, seconds since the epoch."""
        return self._stage.seconds()

    @property
    def dead(self) -> bool:
        """Tell whether its process was killed."""
        return self._runner.dead

    def next_timer(self) -> int | None:
        """Return when the next timer is due, milliseconds since the epoch."""
        now = self.time()
        while self._timers:
            when, _, handle = self._timers[0]
            if when > now + _RESOLUTION and not handle.cancelled():
                return math.ceil(when * 1000 - 0.05)
            heapq.heappop(self._timers)
        return None

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer."""
        handle = super().call_at(when, callback, *args, context=context)
        if self._wanted is None or _moves(callback, self._wanted):
            heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Have something called, from any thread."""
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        self._stage.want(self._runner)
        return handle

    def run_in_executor(  # type: ignore[override]  # of its overloads
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Give something to a thread: time stands still until it is done."""
        self._stage.outside(1)
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(lambda _future: self._stage.outside(-1))
        return future


def _moves(callback: Callable[..., object], wanted: frozenset[type]) -> bool:
    owner = getattr(callback, "__self__", None)
    return owner is None or type(owner) in wanted or type(owner).__module__.startswith("asyncio")


class _Selector(selectors.DefaultSelector):
    """Waits for a turn instead of for time to pass."""

    def __init__(self, stage: Stage, runner: Runner) -> None:
        super().__init__()
        self._stage = stage
        self._runner = runner

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return real input, without waiting for it."""
        if self._stage.ended:
            return super().select(_ENDING_SECONDS if timeout is None else min(timeout, 0.02))
        if timeout is not None and timeout <= 0:
            self._stage.step(self._runner)
        else:
            sockets = len(self.get_map()) > _SELF_PIPE
            self._stage.rest(self._runner, self._has_input if sockets else None)
        return super().select(0)

    def _has_input(self) -> bool:
        return bool(super().select(0))


class Shared(LoopThread):
    """A thread of a loop that belongs to several clients: none of them ends it."""

    def __init__(self, thread: LoopThread) -> None:
        self._shared = thread
        self._closed = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, running."""
        return self._shared.loop

    def post(self, act: Callable[..., object], *args: object) -> bool:
        """Have ``act`` called on the loop; False once it is sealed."""
        return not self._closed and self._shared.post(act, *args)

    def seal(self) -> None:
        """Take nothing posted any more."""
        self._closed = True

    def stop(self) -> None:
        """Take nothing posted any more."""
        self._closed = True
