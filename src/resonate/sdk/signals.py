"""Signals: SIGINT and SIGTERM, told to a thread of their own while a program works until one comes.

Rules:
- The main thread may be busy, and what interrupts it must not wait for any lock. So a thread hears
  of signals by the wakeup file descriptor, to which their numbers are written at once: handlers in
  Python run on the main thread only, and not while it waits for a lock when the system delivers the
  signal to another one.
- What had the file descriptor before goes on to be told.
- A process that is forked meanwhile has the signals as they were before: what is sent to it is not
  meant for its parent, and what it lives on for keeps its parent from nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_OVER = b"\0"  # no signal
_MAIN_THREAD = (
    "run_until_signal works on the main thread only, which is told of signals: call it there, or"
    " start() here, and stop() when it is time"
)


@contextlib.contextmanager
def signals(
    first: Callable[[], object], second: Callable[[], object]
) -> Iterator[threading.Thread]:
    """Have the first SIGINT or SIGTERM call ``first``, the next one ``second``, while this lasts.

    Both are called on the thread that is yielded. Raises RuntimeError on another thread than the
    main one.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(_MAIN_THREAD)
    watch = _Watch([first, second])
    _watches.append(watch)
    watch.begin()
    try:
        yield watch.thread
    finally:
        _watches.remove(watch)
        watch.end()


class _Watch:
    """Two sockets, the thread that reads one, and what there was before."""

    def __init__(self, acts: list[Callable[[], object]]) -> None:
        self._acts = acts
        self._came, self._told = socket.socketpair()
        self._told.setblocking(False)
        self._before = -1
        self._set = False
        self._handlers: dict[signal.Signals, Any] = {}
        self.thread = threading.Thread(target=self._watch, name="resonate-signals", daemon=True)

    def begin(self) -> None:
        """Be told from now on."""
        self._before = signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        self._set = True
        self.thread.start()
        for number in _NUMBERS:
            self._handlers[number] = signal.getsignal(number)
            signal.signal(number, self._handle)

    def end(self) -> None:
        """Be told no more; the thread ends when it has done what was told before."""
        self._restore()
        self._told.send(_OVER)
        self._told.close()

    def forked(self) -> None:
        """Let go of it, in a process that was forked."""
        self._restore()
        self._told.close()
        self._came.close()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            if handler is not None:  # it was not set by Python
                signal.signal(number, handler)
        if not self._set:
            return  # in a fork, before it was
        present = signal.set_wakeup_fd(self._before)
        if present not in (-1, self._told.fileno()):  # somebody has taken it over since
            signal.set_wakeup_fd(present)

    def _watch(self) -> None:
        with self._came:
            while (number := self._came.recv(1)) != _OVER:
                if self._before != -1:  # somebody's, say of an event loop with other signals
                    with contextlib.suppress(BlockingIOError):  # it has more than it reads
                        os.write(self._before, number)
                if self._acts and number[0] in _NUMBERS:
                    self._acts.pop(0)()

    def _handle(self, number: int, _frame: object) -> None:
        present = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(present, warn_on_full_buffer=False)
        if present != self._told.fileno():  # somebody has taken it over since
            self._told.send(bytes([number]))


def _before_fork() -> None:
    """Have no signal come to the child before it is its own."""
    if _watches:
        _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)


def _after_fork() -> None:
    mask = vars(_forking).pop("mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child() -> None:
    try:
        while _watches:
            _watches.pop().forked()
    finally:
        _after_fork()


_watches: list[_Watch] = []
_forking = threading.local()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
