"""An event loop on which time passes only when there is nothing else to do, and who runs on it.

Rules:
- Nothing sleeps: when all that can run has run, time jumps to the next timer. What is given to a
  thread runs at once, here, and is told after a little time. So the same input gives the same run.
- Everything belongs to a process: what is scheduled while a process runs is the process's. Of a
  process that was killed nothing runs any more; what a frozen one would do happens when it thaws.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections.abc import Callable, Coroutine
from typing import Any

_current: contextvars.ContextVar[Process] = contextvars.ContextVar("process")
_THREAD_SECONDS = 0.0005  # until what a thread has done is told


class Process:
    """Something that can be killed and frozen."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.frozen = False
        self.backlog: list[Callable[[], None]] = []
        self.context = contextvars.copy_context()
        self.context.run(_current.set, self)

    def kill(self) -> None:
        """End it: from here on nothing of it happens."""
        self.dead = True
        self.backlog.clear()


class Deadlock(Exception):
    """Somebody waits, and nothing will ever happen."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. ``now`` is the time in seconds since it began."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.set_exception_handler(lambda _loop, _context: None)  # tasks of the dead are left alone

    def time(self) -> float:
        """Return the virtual time."""
        return self.now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        """Schedule, as a part of the process that does so."""
        return super().call_soon(_guarded(callback, context), *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        """Schedule, as a part of the process that does so."""
        return super().call_at(when, _guarded(callback, context), *args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        """There is one thread."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, _executor: Any, func: Any, *args: Any) -> Any:
        """Do it now, and tell it after a little time."""
        future = self.create_future()
        try:
            result, error = func(*args), None
        except Exception as raised:  # noqa: BLE001  # whatever it is, who waits is told
            result, error = None, raised
        self.call_later(_THREAD_SECONDS, _settle, future, result, error)
        return future

    def spawn(self, process: Process, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as a part of a process."""
        return self.create_task(coroutine, context=process.context.copy())

    def run_as(self, process: Process, act: Callable[..., Any], *args: Any) -> Any:
        """Call something as a part of a process, now."""
        return process.context.copy().run(act, *args)

    def after(self, seconds: float, process: Process, act: Callable[..., Any], *args: Any) -> Any:
        """Call something as a part of a process, later."""
        return self.call_later(seconds, act, *args, context=process.context.copy())

    def thaw(self, process: Process) -> None:
        """Let a frozen process do what it would have done."""
        process.frozen = False
        backlog, process.backlog = process.backlog, []
        for act in backlog:
            self.after(0, process, act)

    def _run_once(self) -> None:  # the one place in which asyncio lets time pass
        while self._scheduled and self._scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
        if not self._ready and not self._stopping:
            if not self._scheduled:
                raise Deadlock
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


class _NoSelect:
    """Never waits: there is nothing outside."""

    def select(self, _timeout: float | None) -> list[Any]:
        return []


def make() -> VirtualLoop:
    """Return a loop; close it with ``close``."""
    loop = VirtualLoop()
    selector = loop._selector
    selector.select = _NoSelect().select
    return loop


def _guarded(callback: Any, context: contextvars.Context | None) -> Any:
    process = _current.get(None) if context is None else context.get(_current)
    if process is None:
        return callback

    def run(*args: Any) -> None:
        if process.dead:
            return
        if process.frozen:
            process.backlog.append(lambda: callback(*args))
        else:
            callback(*args)

    return run


def _settle(future: Any, result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
