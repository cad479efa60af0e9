"""The event loop of a program, as the place where the async functions of its worker run.

Rules:
- Nothing here blocks the loop or ends it. What it runs for a worker are tasks like any others.
- A task of ours waits on the loop as long as there is a worker. The end of a loop cancels all its
  tasks, and is known by that: functions that are cancelled along with ours have not ended. The
  worker is stopped, and hands them back.
- A loop that ends, or has ended, begins nothing any more: what is posted to it is dropped.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from resonate.sdk.machine import Machine
from resonate.sdk.pool import LoopThread, tell

T = TypeVar("T")
_CANCEL_SECONDS = 1.0  # for functions that were cancelled to come to their end
_GUARD = "resonate: until stop"


class CallersMachine(Machine):
    """A machine whose async functions run on ``loop``, the program's; None before its first use.

    ``ended`` is called on the loop when it ends while there is a worker.
    """

    def __init__(self, ended: Callable[[], object]) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._ended = ended
        self._guard: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle = threading.Event()
        self._idle.set()

    @property
    def working(self) -> bool:
        """Tell whether there is a worker that uses the loop."""
        return self._guard is not None

    def work(self) -> None:
        """There is a worker from now on; on the loop."""
        if self._guard is None or self._guard.done():
            assert self.loop is not None, "it is bound"
            self._guard = self.loop.create_task(_until_cancelled(), name=_GUARD)
            self._guard.add_done_callback(self._guard_done)

    async def leave(self) -> None:
        """There is no worker any more, and the next may use another loop; on the loop."""
        guard = self._guard
        self.loop = self._guard = None
        if guard is not None:
            guard.cancel()
            await asyncio.wait([guard])

    def forget(self) -> None:
        """Forget the loop and what is on it: it has ended, or belongs to another process."""
        self.loop = self._guard = None
        self._tasks = set()
        self._idle.set()

    def functions(self) -> LoopThread:
        """Return what stands for the thread of a worker's async functions."""
        return CallersLoop(self)

    def task(self, body: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return the task of an async function, on the loop that runs."""
        task = super().task(body)
        self._idle.clear()
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def ending(self) -> bool:
        """Tell whether the loop is ending, and cancels what runs on it."""
        guard = self._guard
        return guard is not None and (guard.done() or guard.cancelling() > 0)

    def join(self) -> None:
        """Wait for functions that were cancelled, on another thread than the loop's."""
        loop = self.loop
        if loop is not None and loop.is_running() and _running_loop() is not loop:
            self._idle.wait(_CANCEL_SECONDS)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._idle.set()

    def _guard_done(self, guard: asyncio.Task[None]) -> None:
        if guard is self._guard:
            self._ended()


class CallersLoop(LoopThread):
    """The program's loop, for one worker: the one on which that first has something to do."""

    def __init__(self, machine: CallersMachine) -> None:
        self._machine = machine
        self._loop = None
        self._sealed = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop."""
        if self._loop is None:
            self._loop = self._machine.loop
        assert self._loop is not None, "it is bound before there is a worker"
        return self._loop

    def post(self, act: Callable[..., object], *args: object) -> bool:
        """Have ``act`` called on the loop, from any thread; False once it is sealed."""
        if self._sealed:
            return False
        tell(self.loop, self._act, act, *args)
        return True

    def _act(self, act: Callable[..., object], *args: object) -> None:
        if not self._machine.ending():
            act(*args)

    def seal(self) -> None:
        """Take nothing posted any more."""
        self._sealed = True

    def stop(self) -> None:
        """Let go of the loop, once the functions on it that were cancelled have come to an end."""
        self.seal()
        self._machine.join()


async def _until_cancelled() -> None:
    await asyncio.get_running_loop().create_future()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
