"""The machine that a process of a test runs on: its time is virtual, its threads take turns."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from resonate.local import RESTING
from resonate.sdk.machine import Machine
from resonate.sdk.pool import LoopThread, Pool, async_thread
from resonate.sdk.workflow import Workflow
from resonate.testing import loops
from resonate.testing.loops import VirtualLoop
from resonate.testing.rules import Rules
from resonate.testing.stage import Stage

_WANTED = RESTING | {Workflow}


class Machines:
    """All machines of a harness: one network, one clock, and a machine for every process."""

    def __init__(self, stage: Stage, rules: Rules) -> None:
        self.stage = stage
        self.rules = rules
        self._loops: list[VirtualLoop] = []
        self.network = LoopThread(
            "resonate-network", functools.partial(self.loop, None, "the network", _WANTED)
        )

    def loop(
        self, process: object, name: str, wanted: frozenset[type] | None = None
    ) -> asyncio.AbstractEventLoop:
        """Return a new loop of a process."""
        loop = VirtualLoop(self.stage, self.stage.runner(process, name, loop=True), wanted)
        self._loops.append(loop)
        return loop

    def timers(self) -> Iterable[int]:
        """Yield when loops of living processes have something to do, in milliseconds."""
        for loop in self._loops:
            if not loop.dead and (instant := loop.next_timer()) is not None:
                yield instant


class VirtualMachine(Machine):
    """The machine of one process, which is named by ``process``."""

    def __init__(self, machines: Machines, process: object) -> None:
        self._machines = machines
        self._stage = machines.stage
        self._process = process

    def time(self) -> float:
        """Return the virtual time, seconds since the epoch."""
        return self._stage.seconds()

    def network(self) -> LoopThread:
        """Return the thread of the network, which all processes share."""
        return loops.Shared(self._machines.network)

    def functions(self) -> LoopThread:
        """Return the thread of the process's async functions."""
        return async_thread(
            functools.partial(self._machines.loop, self._process, "async functions")
        )

    def pool(self) -> Pool:
        """Return the threads of the process's other functions."""
        return _TurnPool(self._stage, self._process)

    def event(self) -> threading.Event:
        """Return what a function's thread waits for."""
        return self._stage.event()

    def future(self) -> Future[Any]:
        """Return what a caller's thread waits for."""
        return self._stage.future()

    def function(self, func: Callable[..., Any], id: str, attempt: int) -> Callable[..., Any]:
        """Return what the test wants called in place of the function."""
        return self._machines.rules.function(func, id, attempt)


class _TurnPool(Pool):
    """Threads that take turns."""

    def __init__(self, stage: Stage, process: object) -> None:
        super().__init__("resonate-function")
        self._stage = stage
        self._process = process

    def run(self, job: Callable[[], None]) -> None:
        """Run a job when it is its turn."""
        runner = self._stage.runner(self._process, "a function on a thread")
        self._stage.want(runner)
        super().run(functools.partial(self._stage.act, runner, job))
