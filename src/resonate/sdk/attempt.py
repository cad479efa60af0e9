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
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from resonate.protocol.validation import ORIGIN
from resonate.sdk import telemetry
from resonate.sdk.context import Context, Info
from resonate.sdk.errors import LeaseLostError
from resonate.sdk.journal import Journal
from resonate.sdk.lanes import Lane
from resonate.sdk.pool import in_async_function, tell
from resonate.sdk.processes import NoProcessError
from resonate.sdk.steps import ABANDONED, After, Call, Step
from resonate.sdk.waiter import Waiter

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
        self.call = self._called(frame.call)
        self.children: dict[str, Step] = {}
        self.gone: BaseException | None = None
        self.closed = False
        self.is_coroutine = False
        self.journal = Journal(live=live)
        self._lane = Lane(self, frame.id, None)
        self._cancel: Callable[[], object] | None = None
        self._waiting = 0  # awaits under way, of an async body
        self._activity = 0
        self._resting = False
        self._checking = False
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

    def stop(self, error: BaseException | None) -> None:
        """Nothing that the body still does counts; ``error`` breaks off what runs."""
        self.gone = error if error is not None else LeaseLostError(self.frame.id)
        if error is not None and self.span is not None:
            self.span.end("suspended" if self.workflow.resting else "lost")
        if error is not None and self._cancel is not None:
            self._cancel()

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
            raise RuntimeError(f"function {self.frame.id} has returned: its context is closed")

    # --- ids and steps ----------------------------------------------------------------------------

    def next_id(self) -> str:
        """Return the id of the next operation, in the order in which they are made."""
        self.must_count()
        return self._lane.current().next_id()

    def begin(self, operation: Operation[Any]) -> Step:
        """Make the promise of an operation, unless it is there already."""
        with self.workflow.lock:
            self.must_count()
            self.touch()
            step_id = operation.id
            for number in range(2, self.number + 1):
                if not self.workflow.failed_before(step_id):
                    break
                step_id = f"{operation.id}~{number}"
            plan = operation.plan()
            call = None if self.span is None else self.span.call(step_id, plan)
            step = self.workflow.begin(self.frame, step_id, plan)
            if self.span is not None and call is not None:
                self.span.called(step, call)
            if step.plan.attached:
                self.children[step_id] = step
            self.journal.begun(step)
            return step

    # --- waiting ----------------------------------------------------------------------------------

    def block(self, step: Step, timeout: float | None = None) -> None:
        """Wait on this thread until the step is settled."""
        waiter = Waiter(self)
        if in_async_function():
            if not step.settled:
                raise RuntimeError("result() would block every async function: use `await`")
            return
        if not self.workflow.watch(step, waiter.settled):
            return
        waiter.wait(timeout)

    async def settled(self, step: Step) -> None:
        """Wait until the step is settled, in an async body."""
        workflow, loop = self.workflow, asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def watcher() -> After:
            self.wake()
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
            self.workflow.cancel_step(step, ABANDONED, asyncio.CancelledError())

    def touch(self) -> None:
        """The async body does something: it rests when it has not for two turns of its loop."""
        self.wake()
        self._activity += 1
        if self._waiting > 0 and not self._checking:
            self._checking = True
            asyncio.get_running_loop().call_soon(self._look, self._activity, 2)

    def wake(self) -> None:
        """The body has something to do."""
        with self.workflow.lock:
            if self._resting:
                self._resting = False
                self.workflow.rise()

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
            if self._waiting == 0 or self._resting or self.gone is not None or self.closed:
                return
            self._resting = True
        self.workflow.rest()

    # --- the body ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Call the function, on this thread, or in a process that this thread waits for."""
        try:
            value = (
                self._called_here() if self.span is None else self.span.within(self._called_here)
            )
        except NoProcessError as problem:
            self.workflow.give_back(str(problem))
            return
        except BaseException as error:  # noqa: BLE001  # whatever user code raises is its outcome
            self._raised(error.with_traceback(None) if self.call.process else error)
            return
        if inspect.isgenerator(value):
            self._cancel = functools.partial(self._close, value)
            self.advance(value, functools.partial(next, value))
        elif inspect.iscoroutine(value):
            self.workflow.run_async(self.run_coroutine, value)
        else:
            self._returned(value)

    def _called_here(self) -> Any:
        if not self.call.process:
            return self.call(self.context)
        run = self.workflow.host.processes.call(self.call, self.context.info)
        self._cancel = run.cancel
        if self.gone is not None:
            raise self.gone
        return run.result()

    def _returned(self, value: Any) -> None:
        if self.gone is None:
            self.frame.returned(self, value)
        else:
            self.end_span("suspended")
            self._discard()

    def _raised(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError) and self.workflow.host.machine.ending():
            return  # it did not end: the worker stops, and hands it back
        if self.gone is None:
            self.frame.raised(self, error)
            return
        self.end_span("suspended")
        if error is not self.gone and not self.call.process:
            self._discard()

    def _discard(self) -> None:
        if isinstance(self.gone, LeaseLostError) and self.frame.parent is None:
            self.workflow.host.discarded(self.frame.id)

    def advance(self, body: Generator[Any, Any, Any], send: Callable[[], Any]) -> None:
        """Run a generator until it waits for something, or ends."""
        while self.gone is None:
            try:
                asked = send() if self.span is None else self.span.within(send)
            except StopIteration as stop:
                self._returned(stop.value)
                return
            except BaseException as error:  # noqa: BLE001  # whatever user code raises
                self._raised(error)
                return
            found = self._answer(body, asked)
            if found is None:
                return
            send = found

    def _answer(self, body: Generator[Any, Any, Any], asked: Any) -> Callable[[], Any] | None:
        """Return how the body goes on; None when it waits and is advanced later."""
        try:
            carry_out = asked.yielded
            outcome = carry_out(self) if self.span is None else self.span.within(carry_out, self)
        except AttributeError:
            text = f"yield an operation of the context, not {type(asked).__name__}"
            return functools.partial(body.throw, TypeError(text))
        except BaseException as error:  # noqa: BLE001  # of the operation: the body may catch it
            return functools.partial(body.throw, error)
        if not isinstance(outcome, Step):
            return functools.partial(body.send, outcome)

        def settled() -> After:
            self.workflow.rise()
            job = functools.partial(self.advance, body, functools.partial(_give, body, asked))
            return functools.partial(self.workflow.run, job)

        if not self.workflow.watch(outcome, settled):
            return functools.partial(_give, body, asked)
        self.workflow.rest()
        return None

    def _close(self, body: Generator[Any, Any, Any]) -> None:
        self.workflow.run(functools.partial(_closed, body))

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
            return functools.partial(self._raised, error)
        return functools.partial(self._returned, value)

    def _task_done(self, task: asyncio.Task[Callable[[], None]]) -> None:
        try:
            self._take_outcome(task)
        finally:
            self.workflow.job_done()

    def _take_outcome(self, task: asyncio.Task[Callable[[], None]]) -> None:
        self.wake()
        if task.cancelled():  # before its first step
            self._raised(asyncio.CancelledError("cancelled before it began"))
        else:
            task.result()()

    def unwound(self) -> None:
        """The thread is let go: the function is replayed from its top, on another."""
        self.frame.start()


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _give(body: Generator[Any, Any, Any], asked: Any) -> Any:
    """Send the value of what was yielded into a body, or throw its error."""
    try:
        value = asked.value()
    except BaseException as error:  # noqa: BLE001  # the body may catch it
        return body.throw(error)
    return body.send(value)


def _closed(body: Generator[Any, Any, Any]) -> None:
    try:
        body.close()
    except BaseException:  # user code on its way out: nobody waits for it
        log.exception("a function failed while it was closed")
