"""Threads and loops: for user code, and apart from it for network and heartbeats.

Rules:
- A thread for every function that runs at the same time, reused when it is done. How many that are
  is bounded by the worker's slots, not here: work whose lease was lost still occupies its thread.
- Daemon threads: a program may end while a function blocks; the server notices and gives the work
  to another worker.
- What is posted to a loop is run, or ``post`` says that it will not be: nothing is lost in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sys
import threading
from collections.abc import Callable

from resonate.sdk.lanes import in_body

_IDLE_SECONDS = 30.0
_CANCEL_SECONDS = 1.0  # for what still runs on a loop that ends
_JOIN_SECONDS = 2.0  # longer than that only a loop lives on which user code blocks
_ASYNC = "resonate-async"
_here = threading.local()
log = logging.getLogger("resonate.worker")


def in_function() -> bool:
    """Tell whether the caller is a blocking function of a worker: it has lent us its slot."""
    return getattr(_here, "in_function", False)


def in_async_function() -> bool:
    """Tell whether the caller is an async function, or on their loop, which must not block."""
    return threading.current_thread().name == _ASYNC or in_body()


def tell(loop: asyncio.AbstractEventLoop, act: Callable[..., object], *args: object) -> None:
    """Have ``act`` called on a loop, from any thread; not when it has ended: nobody waits there."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(act, *args)


class Pool:
    """Runs blocking functions, each on a thread of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._started = 0
        self._closed = False

    def run(self, job: Callable[[], None]) -> None:
        """Run ``job`` now; it must not raise. Raises RuntimeError when no thread can be had."""
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
                self._jobs.put(job)
                return
            self._started += 1
            number = self._started
        threading.Thread(
            target=self._work, args=(job,), name=f"{self._name}-{number}", daemon=True
        ).start()

    def close(self) -> None:
        """End every thread: the idle ones now, the others after their job."""
        with self._lock:
            self._closed = True
            for _ in range(self._idle):
                self._jobs.put(None)
            self._idle = 0

    def _work(self, job: Callable[[], None]) -> None:
        _here.in_function = True
        job()
        del job  # an idle thread keeps no arguments alive
        while (found := self._next()) is not None:
            found()
            del found

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._closed:
                return None
            self._idle += 1
        while True:
            try:
                return self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._idle > 0:
                        self._idle -= 1
                        return None


def network_loop() -> asyncio.AbstractEventLoop:
    """Return a loop for the network: uvloop's, where there is one."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415  # not made for Windows

    return uvloop.new_event_loop()


def async_thread(
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> LoopThread:
    """Return the thread of async functions."""
    return LoopThread(_ASYNC, factory)


class LoopThread:
    """An event loop on a daemon thread of its own, started when it is first needed."""

    def __init__(self, name: str, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._name = name
        self._factory = factory
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._sealed = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, running."""
        with self._lock:
            return self._started()

    def post(self, act: Callable[..., object], *args: object) -> bool:
        """Have ``act`` called on the loop, from any thread; False once it is sealed."""
        with self._lock:
            if self._sealed:
                return False
            self._started().call_soon_threadsafe(act, *args)
            return True

    def seal(self) -> None:
        """Take nothing posted any more."""
        with self._lock:
            self._sealed = True

    def stop(self) -> None:
        """End the loop, cancel what runs on it, wait for its thread, unless called on it."""
        self.seal()
        with self._lock:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def _started(self) -> asyncio.AbstractEventLoop:
        assert not (self._sealed and self._loop is None), "a stopped loop is not used any more"
        if self._loop is None:
            self._loop = self._factory()
            self._thread = threading.Thread(
                target=_run, args=(self._loop,), name=self._name, daemon=True
            )
            self._thread.start()
        return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        while not _ran_to_its_stop(loop):
            pass
        loop.run_until_complete(_cancel_all())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _ran_to_its_stop(loop: asyncio.AbstractEventLoop) -> bool:
    """Run the loop; False when user code broke out of it, by a task or callback of its own."""
    try:
        loop.run_forever()
    except (SystemExit, KeyboardInterrupt):
        log.exception("a task or callback asked to exit: only functions may, and reject by it")
        return False
    return True


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
    await asyncio.get_running_loop().shutdown_asyncgens()
