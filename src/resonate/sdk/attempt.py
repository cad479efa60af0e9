"""Attempts: one run of the body of a function, from its top.

What comes out of calling the function decides what kind of body it is: a generator is advanced on
threads of the pool, one of them at a time and none while it waits; a coroutine is a task on the
loop of async functions; anything else has run to its end on its thread.

An async body is at rest when it awaits something durable and did nothing for two turns of its loop.
What it does later by itself (a timeout, other input) takes the task back if it was suspended.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from resonate.protocol.validation import ORIGIN
from resonate.sdk import telemetry
from resonate.sdk.context import Context, Info
from resonate.sdk.errors import LeaseLostError
from resonate.sdk.generators import GeneratorBody
from resonate.sdk.journal import Journal
from resonate.sdk.lanes import Lane
from resonate.sdk.options import patience
from resonate.sdk.pool import in_async_function, tell
from resonate.sdk.processes import NoProcessError
from resonate.sdk.steps import After, Call, Plan, Step
from resonate.sdk.waiter import Unwound, Waiter

if TYPE_CHECKING:
    from resonate.sdk.frames import Frame
    from resonate.sdk.operations import Operation
    from resonate.sdk.workflow import Workflow

log = logging.getLogger("resonate.worker")


class Attempt:
    """One run of the body. ``gone`` is what operations raise once it does not count any more."""

    def __init__(self, frame: Frame, number: int, *, live: bool) -> None:
        self.frame = frame
        self.number = number
        self.first = live  # nothing of the function was run before
        self.call = self._called(frame.call)
        self.children: dict[str, Step] = {}
        self._asked: dict[str, str] = {}  # labels of operations by the ids of their promises
        self.waiters: dict[Waiter, None] = {}
        self.timed_out = False  # a wait: a replay would not know, and find the step settled
        self.thread: int | None = None  # that runs the body, if it is not on the loop
        self.gone: BaseException | None = None
        self.closed = False
        self.is_coroutine = False
        self.journal = Journal(live=live)
        self._lane = Lane(self, frame.id, None)
        self._cancel: Callable[[], object] | None = None
        self._waiting = 0  # awaits under way, of an async body
        self._activity = 0
        self._checking = False
        self._active = False
        info = Info(
            id=frame.id,
            attempt=number,
            tags=frame.tags,
            timeout=frame.timeout_at / 1000,
            version=frame.call.version,
            parent=frame.parent.id if frame.parent is not None else None,
            root=frame.workflow.promise.tags.get(ORIGIN, frame.workflow.id),
        )
        self.context = Context(info, frame.workflow.host.dependencies, self)
        tracing = telemetry.active
        self.span = None if tracing is None else tracing.run(self)

    def _called(self, call: Call) -> Call:
        machine = self.workflow.host.machine
        func = machine.function(call.func, self.frame.id, self.number)
        return call if func is call.func else replace(call, func=func, process=False)

    @property
    def workflow(self) -> Workflow:
        """Return the workflow that it is a part of."""
        return self.frame.workflow

    # --- whether it has something to do -----------------------------------------------------------

    def rise(self) -> None:
        """It has something to do; with the lock held."""
        if not self._active and self.gone is None:
            self._active = True
            self.workflow.rise()

    def rest(self) -> None:
        """It has nothing to do until one of its watchers is called."""
        with self.workflow.lock:
            self._fall()
        self.workflow.check()

    def rest_if_waiting(self) -> None:
        """Another of its threads waits: it rests if the one that it was called on does."""
        if any(waiter.main for waiter in self.waiters):
            self.rest()

    def _fall(self) -> None:
        if self._active:
            self._active = False
            self.workflow.fall()

    def unwind(self) -> bool:
        """Let its threads go, if it rests: what they still do does not count."""
        if self.gone is not None or self._active or self.timed_out:
            return False
        self._end(Unwound())
        return True

    def finish(self) -> None:
        """It has ended: what it still does does not count; with the lock held."""
        self._end(self._closed_error())

    def stop(self, error: BaseException) -> list[After]:
        """Nothing that the body still does counts; with the lock held. Returns what ends it."""
        if self.gone is not None:
            return []
        self._end(error)
        after: list[After] = []
        if self.span is not None:
            outcome = "suspended" if self.workflow.resting else "lost"
            after.append(functools.partial(self.span.end, outcome))
        if self._cancel is not None:
            after.append(self._cancel)
        return after

    def _end(self, error: BaseException) -> None:
        self.gone = error
        self._fall()
        for waiter in self.waiters:
            waiter.end()

    def _closed_error(self) -> RuntimeError:
        return RuntimeError(f"function {self.frame.id} has returned: its context is closed")

    def end_span(self, outcome: str, error: BaseException | None = None) -> None:
        """It has ended: tell OpenTelemetry, if that is switched on."""
        if self.span is not None:
            self.span.end(outcome, error)

    def sort_out(self) -> None:
        """Something is known of a step that was asked for: tell what waits for that."""
        self.journal.sort_out()
        if self.span is not None:
            self.span.sort_out()

    def must_count(self) -> None:
        """Raise what an operation of a body that does not count any more raises."""
        if self.gone is not None:
            raise self.gone
        if self.closed:
            raise self._closed_error()

    # --- ids and steps ----------------------------------------------------------------------------

    def next_id(self) -> str:
        """Return the id of the next operation, in the order in which they are made."""
        self.must_count()
        if self.is_coroutine:
            _hold_on_loop(self.frame.id)
        return self._lane.current().next_id()

    def begin(self, operation: Operation[Any]) -> Step:
        """Make the promise of an operation, unless it is there already."""
        if self.is_coroutine:
            _hold_on_loop(self.frame.id)
        with self.workflow.lock:
            self.must_count()
            self.touch()
            step_id = operation.id
            for number in range(2, self.number + 1):
                if not self.workflow.failed_before(step_id):
                    break
                step_id = f"{operation.id}~{number}"
            plan = operation.plan()
            self._check_id(step_id, plan)
            call = None if self.span is None else self.span.call(step_id, plan)
            step = self.workflow.begin(self.frame, step_id, plan)
            if self.span is not None and call is not None:
                self.span.called(step, call)
            if step.plan.attached:
                self.children[step_id] = step
            self.journal.begun(step)
            self.rest_if_waiting()
            return step

    def _check_id(self, step_id: str, plan: Plan) -> None:
        """Raise ValueError for an id that another operation of this attempt has.

        Calls to workers may share one, if they are the same: that is what an id is for.
        """
        other = self._asked.get(step_id)
        self._asked[step_id] = plan.label
        if other is not None and (plan.call is not None or other != plan.label):
            raise ValueError(
                f"id {step_id!r} is that of `{other}` already, in this function:"
                f" give `{plan.label}` another"
            )

    # --- waiting ----------------------------------------------------------------------------------

    def may_block(self) -> None:
        """Raise RuntimeError where waiting would hold up the loop of async functions."""
        if in_async_function():
            raise RuntimeError("result() would block every async function: use `await`")

    def block(self, step: Step, timeout: float | None = None) -> None:
        """Wait on this thread until the step is settled."""
        seconds = patience(timeout)
        if step.settled and not step.abandoned:
            return
        self.may_block()
        waiter = Waiter(self)
        with self.workflow.lock:
            if self.gone is not None:
                raise self.gone
            if not self.workflow.watch(step, waiter.settled):
                return
            waiter.enter(patient=seconds is None)
        waiter.wait(seconds)

    async def settled(self, step: Step) -> None:
        """Wait until the step is settled, in an async body."""
        workflow, loop = self.workflow, asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def watcher() -> After | None:
            if done.done():
                return None  # the await was cancelled
            self._activity += 1
            self.rise()
            return functools.partial(tell, loop, _release, done)

        if not workflow.watch(step, watcher):
            return
        self._waiting += 1
        self.touch()
        try:
            await done
        finally:
            self._waiting -= 1
            self.touch()
        self.must_count()

    def abandon(self, step: Step) -> None:
        """Cancel the step whose await was cancelled."""
        if self.gone is None and not self.workflow.host.machine.ending():
            self.workflow.cancel_step(step, asyncio.CancelledError())

    def touch(self) -> None:
        """The async body does something: it rests when it has not for two turns of its loop."""
        with self.workflow.lock:
            self.rise()
        self._activity += 1
        if self._waiting > 0 and not self._checking:
            self._checking = True
            asyncio.get_running_loop().call_soon(self._look, self._activity, 2)

    def _look(self, activity: int, turns: int) -> None:
        loop = asyncio.get_running_loop()
        if activity != self._activity:
            loop.call_soon(self._look, self._activity, 2)
            return
        if turns > 0:
            loop.call_soon(self._look, activity, turns - 1)
            return
        self._checking = False
        with self.workflow.lock:
            if self._waiting > 0 and not self.closed:
                self.rest()

    # --- the body ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Call the function, on this thread, or in a process that this thread waits for."""
        self.thread = threading.get_ident()
        try:
            value = (
                self._called_here() if self.span is None else self.span.within(self._called_here)
            )
        except NoProcessError as problem:
            self.workflow.give_back(str(problem))
            return
        except BaseException as error:  # noqa: BLE001  # whatever user code raises is its outcome
            self.raised(error.with_traceback(None) if self.call.process else error)
            return
        if inspect.isgenerator(value):
            body = GeneratorBody(self, value)
            self._cancel = body.leave
            body.advance(functools.partial(next, value))
        elif inspect.iscoroutine(value):
            self.workflow.jobs.run_async(self.run_coroutine, value)
        else:
            self.returned(value)

    def _called_here(self) -> Any:
        if not self.call.process:
            return self.call(self.context)
        run = self.workflow.host.processes.call(self.call, self.context.info)
        self._cancel = run.cancel
        if self.gone is not None:
            raise self.gone
        return run.result()

    def returned(self, value: Any) -> None:
        """The body has returned."""
        if self.gone is None:
            self.frame.returned(self, value)
        else:
            self.end_span("suspended")
            self._discard()

    def raised(self, error: BaseException) -> None:
        """The body has raised, whatever it is."""
        if isinstance(error, asyncio.CancelledError) and self.workflow.host.machine.ending():
            return  # it did not end: the worker stops, and hands it back
        if self.gone is None:
            self.frame.raised(self, error)
            return
        self.end_span("suspended")
        if error is not self.gone and not self.call.process:
            self._discard()

    def _discard(self) -> None:
        lost = isinstance(self.gone, LeaseLostError) and not self.workflow.given_back
        if lost and self.frame.parent is None:
            self.workflow.host.discarded(self.frame.id)

    def run_coroutine(self, begun: Awaitable[Any] | None = None) -> None:
        """Make a task of the function; on the loop of async functions."""
        self.is_coroutine = True
        loop = asyncio.get_running_loop()
        task = self.workflow.host.machine.task(self._await(begun))
        self._cancel = functools.partial(tell, loop, task.cancel)
        task.add_done_callback(self._task_done)
        if self.gone is not None:
            task.cancel()

    async def _await(self, begun: Awaitable[Any] | None) -> Callable[[], None]:
        """Return what is to be done about how the function ended; it never raises."""
        self._lane.enter()
        if self.span is not None:
            self.span.enter()
        try:
            if begun is None:
                begun = self.call(self.context)
            value = await begun
        except BaseException as error:  # noqa: BLE001  # whatever user code raises is its outcome
            return functools.partial(self.raised, error)
        return functools.partial(self.returned, value)

    def _task_done(self, task: asyncio.Task[Callable[[], None]]) -> None:
        try:
            self._take_outcome(task)
        finally:
            self.workflow.jobs.task_done()

    def _take_outcome(self, task: asyncio.Task[Callable[[], None]]) -> None:
        with self.workflow.lock:
            self.rise()
        if task.cancelled():  # before its first step
            self.raised(asyncio.CancelledError("cancelled before it began"))
        else:
            task.result()()


def _hold_on_loop(function: str) -> None:
    """Raise RuntimeError on a thread that has no event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"async function {function} made an operation on another thread, where nothing can be"
            " awaited: make it in the function itself, and give the thread its value"
        ) from None


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
