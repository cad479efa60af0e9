"""Processes: where functions run that compute, so that they hold nothing up in this one.

A function that holds the GIL, in Python or in C, shares this process with the heartbeats; one that
was registered with ``executor="process"`` runs in a child of it, on another core. ``process_child``
is the program of a child, and says what both sides have in common.

Rules:
- A child is a new interpreter (never a fork: this process has threads). It imports the module of
  the function by its name, and not the program, which might start another worker.
- There are as many children as processors, at most one for each slot of the worker. A child is
  started when a function finds none idle, and kept until the worker stops.
- What nobody needs any more is not waited for: the child that runs it is killed.
- A child that dies rejects its function with ProcessDiedError, or has it tried again, as its retry
  policy says. One that died idle is replaced, and nobody hears of it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from resonate.sdk import restoring
from resonate.sdk.context import Info
from resonate.sdk.errors import (
    EncodingError,
    LeaseLostError,
    ProcessDiedError,
    RemoteError,
    ResonateShutdownError,
)
from resonate.sdk.process_child import (
    BEGUN,
    FUNCTIONS,
    LOG,
    VALUE,
    Job,
    detach,
    find,
    pickled,
    read,
    write,
)
from resonate.sdk.steps import Call

_BOOT = (
    "import os, sys; sys.path[:] = sys.argv[1].split(os.pathsep);"
    " from resonate.sdk.process_child import work; work()"
)
_REAP_SECONDS = 2.0
Outcome = Callable[[], Any]
log = logging.getLogger("resonate.worker")


class NoProcessError(Exception):
    """The machine has no process for a function: another worker may."""


class Processes:
    """The children of one worker, which has ``capacity`` slots. Safe to use from any thread."""

    def __init__(self, capacity: int) -> None:
        self._limit = min(_processors(), capacity)
        self._changed = threading.Condition()
        self._idle: list[_Child] = []
        self._busy: set[Run] = set()
        self._closed = False

    def call(self, call: Call, info: Info) -> Run:
        """Return a call of a function in a child, to be carried out by its ``result``.

        Raises ValueError for a function that a child would not find.
        """
        func = call.func
        levels = (logging.getLogger().level, logging.getLogger(FUNCTIONS).getEffectiveLevel())
        where = _name(func)
        return Run(self, Job(*where, call.args, call.kwargs, call.read, info, levels))

    def close(self) -> None:
        """Kill all children; what waits for one gets ResonateShutdownError."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
            self._changed.notify_all()
        for run in busy:
            run.cancel()
        for child in idle:
            child.end()

    def enter(self, run: Run) -> _Child | None:
        """Wait until a run may have a child; None when it is to start one."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or run.cancelled or len(self._busy) < self._limit
            )
            if self._closed:
                raise ResonateShutdownError("the worker was stopped")
            if run.cancelled:
                raise LeaseLostError(run.job.info.id)
            self._busy.add(run)
            return self._idle.pop() if self._idle else None

    def leave(self, run: Run, child: _Child | None) -> None:
        """Take back what a run had: a child that can run another function, or none."""
        with self._changed:
            self._busy.discard(run)
            if child is not None and not self._closed:
                self._idle.append(child)
                child = None
            self._changed.notify_all()
        if child is not None:
            child.end()

    def wake(self) -> None:
        """Have those that wait look again."""
        with self._changed:
            self._changed.notify_all()


class Run:
    """One call of a function in a child."""

    def __init__(self, processes: Processes, job: Job) -> None:
        self.job = job
        self.cancelled = False
        self._processes = processes
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def cancel(self) -> None:
        """Kill the child that runs it; one that waits for a child never runs."""
        with self._lock:
            self.cancelled = True
            if self._child is not None:
                self._child.process.kill()
        self._processes.wake()

    def result(self) -> Any:
        """Carry it out: wait on this thread, return what the function returns.

        Raises what the function raises, EncodingError for what cannot cross, ProcessDiedError,
        LeaseLostError when it was cancelled, NoProcessError.
        """
        data = pickled(self.job, f"the arguments of {self.job.qualname}")
        outcome: Outcome | None = None
        while outcome is None:
            outcome = self._try(data)
        return outcome()

    def _try(self, data: bytes) -> Outcome | None:
        """Return how it ended; None when an idle child had died before it could begin."""
        idle = self._processes.enter(self)
        child = idle or self._started()
        begun, outcome = False, None
        try:
            self._use(child)
            begun, outcome = self._converse(child, data)
        finally:
            self._done_with(child, well=outcome is not None)
        if outcome is not None:
            return outcome
        if self.cancelled:
            raise LeaseLostError(self.job.info.id)
        if idle is not None and not begun:
            return None
        raise ProcessDiedError(self.job.qualname, child.process.returncode or 0)

    def _started(self) -> _Child:
        try:
            return _Child()
        except OSError as error:
            self._processes.leave(self, None)
            raise NoProcessError(f"no process can be started: {error}") from error

    def _use(self, child: _Child) -> None:
        with self._lock:
            self._child = child
            if self.cancelled:
                child.process.kill()

    def _done_with(self, child: _Child, *, well: bool) -> None:
        with self._lock:
            self._child = None  # nobody kills it from now on
            well = well and not self.cancelled
        if not well:
            child.end()
        self._processes.leave(self, child if well else None)

    def _converse(self, child: _Child, data: bytes) -> tuple[bool, Outcome | None]:
        """Return whether the function was begun, and how it ended; None: its child has died."""
        begun = False
        try:
            child.tell(data)
            while True:
                kind, told = child.hear()
                if kind == LOG:
                    _log(told)
                elif kind == BEGUN:
                    begun = True
                elif kind == VALUE:
                    return begun, functools.partial(_loaded, told, self.job.qualname)
                else:
                    return begun, functools.partial(_fail, *told)
        except (EOFError, OSError):
            return begun, None


class _Child:
    """One process that runs functions, one after the other."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(  # noqa: S603  # this interpreter, with our own program
            [sys.executable, "-P", "-c", _BOOT, os.pathsep.join(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdin is not None, "it was asked for"
        assert self.process.stdout is not None, "and so was this"
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        _children.add(self)

    def tell(self, data: bytes) -> None:
        """Give it a job."""
        write(self._stdin, data)

    def hear(self) -> tuple[int, Any]:
        """Return what it says next. Raises EOFError when it says nothing more."""
        found: tuple[int, Any] = pickle.loads(read(self._stdout))  # noqa: S301  # our own child
        return found

    def forget(self) -> None:
        """Let go of it, in a process that was forked: it has to end with the worker."""
        detach(self._stdin.fileno())

    def end(self) -> None:
        """Kill it, and leave nothing of it."""
        self.process.kill()
        for stream in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):  # of what was written and is not read any more
                stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_REAP_SECONDS)


def _name(func: Callable[..., Any]) -> tuple[str, str]:
    """Return module and name of a function, by which a child is sure to find this very one."""
    module, name = func.__module__, func.__qualname__
    try:
        found = find(module, name)
    except (ImportError, AttributeError):
        found = None
    if found is not func:
        raise ValueError(
            f"{name} in the module {module} is not the function that was registered, so a process"
            " would not find that: give it a name of its own there, also each of its versions, and"
            " let @resonate.register be the outermost decorator"
        )
    return module, name


def _processors() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _log(data: bytes) -> None:
    try:
        record: logging.LogRecord = pickle.loads(data)  # noqa: S301  # our own child
    except Exception:
        log.exception("a line that a function logged in its process cannot be read here")
        return
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _loaded(data: bytes, name: str) -> Any:
    try:
        return pickle.loads(data)  # noqa: S301  # our own child
    except Exception as error:
        raise EncodingError(f"the result of {name} cannot come back: {error}") from error


def _fail(described: dict[str, Any], data: bytes | None) -> NoReturn:
    """Raise what a function raised there, with the traceback of there."""
    restored = restoring.restore(described)
    error = _made_again(data)
    if error is None or isinstance(error, RemoteError):
        raise restored
    error.__cause__ = restored if isinstance(restored, RemoteError) else restored.__cause__
    raise error


def _made_again(data: bytes | None) -> BaseException | None:
    try:
        error = None if data is None else pickle.loads(data)  # noqa: S301  # our own child
    except Exception:  # noqa: BLE001  # what could be made there cannot be made here: it is described
        return None
    return error if isinstance(error, BaseException) else None


def _forked() -> None:
    for child in list(_children):
        child.forget()


_children: weakref.WeakSet[_Child] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
