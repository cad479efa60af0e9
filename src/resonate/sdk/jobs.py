"""Jobs: what runs for one task, on threads of the pool and on the loop of async functions.

A task has at most so many threads, however many steps it begins: further jobs wait for one, unless
all threads wait for these jobs.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable

_THREADS_MAX = 64  # at the same time for one task


class Jobs:
    """The jobs of a task. ``lock`` guards them.

    ``run`` puts a job on a thread, ``run_async`` calls on the loop of async functions; ``idle`` is
    called, without the lock, when nothing runs any more.
    """

    def __init__(
        self,
        lock: threading.RLock,
        run: Callable[[Callable[[], None]], None],
        run_async: Callable[..., None],
        idle: Callable[[], None],
    ) -> None:
        self._lock = lock
        self._to_thread = run
        self._to_loop = run_async
        self._idle = idle
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads = 0
        self._tasks = 0

    @property
    def waiting(self) -> int:
        """Return how many jobs wait for a thread."""
        return len(self._waiting)

    @property
    def running(self) -> bool:
        """Tell whether anything runs, or is about to."""
        return self._threads > 0 or self._tasks > 0

    def run(self, job: Callable[[], None]) -> None:
        """Run a part of a function on a thread of the pool, when there is one for it."""
        with self._lock:
            self._waiting.append(job)
            self._run_next()

    def run_async(self, act: Callable[..., object], *args: object) -> None:
        """Begin a task on the loop of async functions; ``task_done`` says when it has ended."""
        with self._lock:
            self._tasks += 1
        self._to_loop(act, *args)

    def task_done(self) -> None:
        """A task on the loop of async functions has ended."""
        with self._lock:
            self._tasks -= 1
            running = self.running
        if not running:
            self._idle()

    def run_one_more(self) -> None:
        """Run what waits for a thread although there are many: the others wait for it."""
        with self._lock:
            if self._waiting:
                self._begin()

    def _run_next(self) -> None:
        if self._waiting and self._threads < _THREADS_MAX:
            self._begin()

    def _begin(self) -> None:
        self._threads += 1
        self._to_thread(functools.partial(self._run, self._waiting.popleft()))

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        finally:
            with self._lock:
                self._threads -= 1
                self._run_next()
                running = self.running
            if not running:
                self._idle()
