"""The stage: virtual time, and the turns in which the threads of the SDK run.

Rules:
- One thread of the SDK runs at a time: the network's loop, a loop of async functions, or the thread
  of a function. Who gets something to do is put at the end of the queue, so the same test runs the
  same way each time.
- Time stands still while anything runs. It is moved by threads of the test, when they wait for
  something and nothing runs: to the next instant at which something is due.
- A thread that runs on for long without coming back here blocks on something of its own. It is put
  aside, so that the others run; time does not move until it is back.
- Of a process that was killed no thread gets a turn any more.
- When all is over, whoever waits here goes on at once, and time is the machine's.

One lock guards everything; nothing else is called with it held but what ``instants`` reads.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

from resonate.testing.errors import HarnessError, StuckError

ASIDE_SECONDS = 0.3  # of the real clock that a thread may run on before others do
_LOOK_SECONDS = 0.05
_IN_VAIN_MAX = 3_000  # times that time is moved for timers of loops, and nothing is recorded
_here = threading.local()


class Runner:
    """A thread that runs when it is its turn.

    ``process`` is what can be killed; a ``loop`` looks at its timers whenever time was moved.
    """

    def __init__(self, stage: Stage, process: object, name: str, *, loop: bool) -> None:
        self.process = process
        self.name = name
        self.loop = loop
        self.gate = threading.Condition(stage.lock)
        self.again = False  # it got something to do while it ran
        self.dead = False
        self.alarm: int | None = None  # when it stops waiting, in milliseconds


class Stage:
    """See the rules above. Times in milliseconds since the epoch, where nothing else is said.

    ``patience`` is in real seconds. ``instants`` yields when something is due in the server: all,
    or without the deadlines that nobody chose; ``timers`` when something is on the loops.
    ``recorded`` counts writes. ``explain`` says what an id waits for.
    """

    def __init__(self, start: int, patience: float) -> None:
        self.lock = threading.Lock()
        self.now = start
        self.ended = False
        self.instants: Callable[[bool], Iterable[int]] = lambda _every: ()
        self.timers: Callable[[], Iterable[int]] = lambda: ()
        self.recorded: Callable[[], int] = lambda: 0
        self.explain: Callable[[str | None, str], str] = lambda _id, reason: reason
        self._patience = patience
        self._changed = threading.Condition(self.lock)
        self._runners: list[Runner] = []
        self._queue: dict[Runner, None] = {}
        self._holder: Runner | None = None
        self._since = 0.0
        self._aside: set[Runner] = set()
        self._outside = 0  # jobs of executors
        self._ended_at = 0.0
        self._threads: set[threading.Thread] = set()
        self._in_vain = 0
        self._seen = 0

    def seconds(self) -> float:
        """Return the time, seconds since the epoch."""
        if self.ended:  # what still comes to its end needs time that passes
            return self.now / 1000 + time.monotonic() - self._ended_at
        return self.now / 1000

    def server_seconds(self) -> float:
        """Return the time so that its milliseconds survive the way through a float."""
        return self.seconds() + 0.0005

    # --- turns ------------------------------------------------------------------------------------

    def runner(self, process: object, name: str, *, loop: bool = False) -> Runner:
        """Return a new runner."""
        runner = Runner(self, process, name, loop=loop)
        with self.lock:
            self._runners.append(runner)
        return runner

    def want(self, runner: Runner) -> None:
        """The runner has something to do. From any thread."""
        with self.lock:
            self._want(runner)

    def act(self, runner: Runner, job: Callable[[], None]) -> None:
        """Run a job on this thread when it is its turn; not, if all is over before that."""
        with self.lock:
            late = self.ended  # what is done to end things
            self._threads.add(threading.current_thread())
            self._await_turn(runner)
        _here.runner = runner
        try:
            if late or not self.ended:
                job()
        finally:
            _here.runner = None
            with self.lock:
                self._runners.remove(runner)
                self._leave(runner)

    def step(self, runner: Runner) -> None:
        """Let others run who wait; by a loop between two turns of its own."""
        _here.runner = runner
        with self.lock:
            if self._holder is runner and not self._queue:
                return
            self._leave(runner)
            self._want(runner)
            self._await_turn(runner)

    def rest(self, runner: Runner, poll: Callable[[], bool] | None) -> None:
        """Wait until there is something to do; by a loop. ``poll`` looks for real input."""
        _here.runner = runner
        with self.lock:
            if not runner.again:
                self._leave(runner)
                while self._holder is not runner and not self.ended:
                    runner.gate.wait(None if poll is None else _LOOK_SECONDS / 5)
                    if poll is not None and poll():
                        self._want(runner)
            runner.again = False

    def kill(self, process: object) -> None:
        """Nothing of a process runs any more."""
        with self.lock:
            for runner in self._runners:
                if runner.process is process:
                    runner.dead = True
                    self._queue.pop(runner, None)

    def outside(self, change: int) -> None:
        """An executor began (1) or ended (-1) a job."""
        with self.lock:
            self._outside += change
            self._changed.notify_all()

    def end(self) -> None:
        """All is over: nobody waits for a turn any more."""
        with self.lock:
            self.ended = True
            self._ended_at = time.monotonic()
            for runner in self._runners:
                runner.gate.notify_all()
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for the threads of functions to end, ``seconds`` of the real clock at the most."""
        until = time.monotonic() + seconds
        with self.lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _want(self, runner: Runner) -> None:
        if runner.dead:
            return
        if runner is self._holder or runner in self._aside:
            runner.again = True
        elif runner not in self._queue:
            self._queue[runner] = None
            self._pass_on()

    def _pass_on(self) -> None:
        if self._holder is None and self._queue:
            self._holder = next(iter(self._queue))
            del self._queue[self._holder]
            self._since = time.monotonic()
            self._holder.gate.notify_all()
        elif self._holder is None:
            self._changed.notify_all()

    def _leave(self, runner: Runner) -> None:
        self._aside.discard(runner)
        if self._holder is runner:
            self._holder = None
            self._pass_on()
        else:
            self._changed.notify_all()

    def _await_turn(self, runner: Runner) -> None:
        while self._holder is not runner and not self.ended:
            runner.gate.wait()

    def _put_aside(self) -> None:
        """Let others run, if who has the turn does not come back."""
        holder = self._holder
        if holder is not None and time.monotonic() - self._since > ASIDE_SECONDS:
            self._aside.add(holder)
            self._holder = None
            self._pass_on()

    # --- waiting ----------------------------------------------------------------------------------

    def event(self) -> TurnEvent:
        """Return an event for which functions and tests can wait."""
        return TurnEvent(self)

    def future(self) -> TurnFuture:
        """Return a future for which functions and tests can wait."""
        return TurnFuture(self)

    def wait(self, event: TurnEvent, timeout: float | None, what: str | None = None) -> bool:
        """Wait on this thread for an event, ``timeout`` virtual seconds at the most."""
        until = None if timeout is None else self.now + _milliseconds(timeout)
        runner = current()
        if runner is None:
            return self.drive(event.is_set, until, what)
        with self.lock:
            runner.alarm = until
            event.waiting.append(runner)
            try:
                return self._park(runner, event, until)
            finally:
                event.waiting.remove(runner)
                runner.alarm = None

    def _park(self, runner: Runner, event: TurnEvent, until: int | None) -> bool:
        while not event.is_set():
            if until is not None and self.now >= until:
                return False
            if self.ended:
                if not runner.gate.wait(1.0):
                    raise HarnessError("the harness has ended")
                continue
            self._leave(runner)
            self._await_turn(runner)
        return True

    def happened(self, event: TurnEvent) -> None:
        """Tell who waits for the event."""
        with self.lock:
            for runner in event.waiting:
                self._want(runner)
                runner.gate.notify_all()
            self._changed.notify_all()

    # --- moving time, by threads of the test ------------------------------------------------------

    def calm(self) -> None:
        """Wait until all has happened that can happen now. At once on a thread of the SDK."""
        if current() is None:
            self._calm(lambda: False, 0.0)

    def drive(self, done: Callable[[], bool], until: int | None, what: str | None = None) -> bool:
        """Move time until it is done, or an instant has come; tell whether it is done.

        Raises StuckError when nothing is left that could happen, or the patience ends.
        """
        began, start = time.monotonic(), self.now
        while True:
            self._calm(done, self._patience)
            with self.lock:
                if done():
                    return True
                if until is not None and self.now >= until:
                    return False
                if self._busy():
                    continue
                if self.ended:
                    raise HarnessError("the harness has ended")
                moved = self._move(until, every=False)
            if not moved:
                raise StuckError(self.explain(what, self._why_not_moved()))
            if time.monotonic() - began > self._patience:
                passed = timedelta(milliseconds=self.now - start)
                text = f"for {self._patience:g} real seconds time was moved, by {passed} so far"
                raise StuckError(self.explain(what, text))

    def advance(self, milliseconds: int) -> None:
        """Let that time pass, with all that happens in it."""
        until = self.now + milliseconds
        while True:
            self.calm()
            with self.lock:
                if self.now >= until:
                    return
                self._in_vain = 0  # the test says how long it goes on
                self._move(until, every=True)

    def _calm(self, done: Callable[[], bool], patience: float) -> None:
        """Wait until it is done, or nothing runs; without patience, or nothing but what is aside.

        Raises StuckError when the patience (seconds of the real clock) ends.
        """
        began = time.monotonic()
        with self.lock:
            while self._busy() and not done():
                self._put_aside()
                waited = time.monotonic() - began
                if self._holder is None and not self._queue and waited > ASIDE_SECONDS:
                    if not patience:
                        return
                    if waited > patience:
                        break
                self._changed.wait(_LOOK_SECONDS)
            else:
                return
            names = ", ".join(sorted(each.name for each in self._aside)) or "an executor"
        raise StuckError(f"for {patience:g} real seconds this has been running on: {names}")

    def _busy(self) -> bool:
        return not self.ended and bool(self._holder or self._queue or self._aside or self._outside)

    def _move(self, until: int | None, *, every: bool) -> bool:
        if self.ended:
            return False
        alarms = [each.alarm for each in self._runners if each.alarm and not each.dead]
        due = [each for each in (*alarms, *self.instants(every)) if each > self.now]
        if until is not None:
            due.append(until)
        instants = [*due, *(each for each in self.timers() if each > self.now)]
        if not instants or self._vain(due):
            return False
        self.now = min(instants)
        for runner in self._runners:
            if runner.loop or (runner.alarm is not None and runner.alarm <= self.now):
                self._want(runner)
        return True

    def _vain(self, due: list[int]) -> bool:
        """Tell whether time was moved very often, nothing came of it, and nothing else is due."""
        recorded = self.recorded()
        self._in_vain = 0 if due or recorded != self._seen else self._in_vain + 1
        self._seen = recorded
        return self._in_vain > _IN_VAIN_MAX

    def _why_not_moved(self) -> str:
        if self._in_vain <= _IN_VAIN_MAX:
            return "nothing is left that could happen"
        return f"time was moved {_IN_VAIN_MAX} times, and nothing was recorded"


class TurnEvent(threading.Event):
    """An event: who waits for it in a function lets others run, who does so in a test, time."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self.waiting: list[Runner] = []

    def set(self) -> None:
        """Set it."""
        super().set()
        self._stage.happened(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait, ``timeout`` virtual seconds at the most; tell whether it is set."""
        return self._stage.wait(self, timeout)


class TurnFuture(Future[Any]):
    """A future; as ``TurnEvent``.

    ``awaits`` is the id of a promise, if it is the future of one. ``own``: the test gets another,
    which is done with this.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self.awaits: str | None = None
        self.own = False

    def result(self, timeout: float | None = None) -> Any:
        """Return the result; raises TimeoutError after ``timeout`` virtual seconds."""
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception; as ``result``."""
        self._wait(timeout)
        return super().exception(0)

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Call ``fn`` once it is done; a test that does so (by ``await``) waits here."""
        if current() is None and not self.own and not self.done():
            self._wait(None)
        super().add_done_callback(fn)

    def _wait(self, timeout: float | None) -> None:
        if self.done():
            return
        done = self._stage.event()
        super().add_done_callback(lambda _future: done.set())
        self._stage.wait(done, timeout, self.awaits)


def current() -> Runner | None:
    """Return the runner whose thread this is; None on a thread of the test."""
    found: Runner | None = getattr(_here, "runner", None)
    return found


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000 - 0.01)
