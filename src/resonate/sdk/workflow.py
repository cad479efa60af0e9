"""A workflow: one task in the memory of this process, from lease to lease, with all its steps.

Rules:
- Every write is fenced by the version of the lease; the order of writes is the order in which they
  were asked for. A write that is refused because the lease is another's ends everything here.
- A local step's value is given on before it is durable, and its successor is not begun before it
  is: the two leave in one batch, in order.
- ``active`` counts functions that have something to do. When there is none, nothing is on its way,
  and something is awaited that others settle, the task is suspended: the slot is free, and what is
  in memory waits for its next lease here, or is dropped when somebody else finishes it.
- What is known is never asked for again: steps stay in memory until the task has ended, and a lease
  brings the local steps that were recorded elsewhere.
- A replay that asks for another step than the recorded one stops: the task goes back, nothing is
  settled, and both sides are in the log.

Everything may be called from any thread. Watchers are called with the lock held and return what is
to be done without it.
"""

from __future__ import annotations

import functools
import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from resonate.protocol import requests as rq
from resonate.protocol.records import PromiseRecord, Value
from resonate.protocol.validation import PARENT
from resonate.sdk import codec
from resonate.sdk.errors import DivergenceError, LeaseLostError, ResonateStoreError
from resonate.sdk.host import Host
from resonate.sdk.sender import Item
from resonate.sdk.steps import LEASE, RETRY, STEP, After, Plan, Step, Watcher

if TYPE_CHECKING:
    from resonate.sdk.execution import Ended, Execution
    from resonate.sdk.frames import Frame

_LISTEN_SECONDS = 0.1  # that something else runs on while a step of others is awaited
_THREADS_MAX = 64  # at the same time for one task, however many steps it begins
_WAKE_MS = 60_000
_OPTIMISM_MS = 5_000  # a deadline nearer than that may decide against us
_CALLBACK = "promise.register_callback"
_LOST = (404, 409)
log = logging.getLogger("resonate.worker")


class Workflow:
    """The steps of one task, and the lease they are written under."""

    def __init__(self, execution: Execution, host: Host, preload: Iterable[PromiseRecord]) -> None:
        self.id = execution.id
        self.host = host
        self.execution = execution
        self.promise = execution.promise
        self.steps: dict[str, Step] = {}
        self.lock = threading.RLock()
        self.over = False
        self._frames: dict[str, Frame] = {}
        self._known = {record.id: record for record in preload}
        self._awaited: dict[str, Step] = {}
        self._active = 1
        self._inflight = 0
        self._state = "held"  # suspending, suspended
        self._backlog: list[tuple[Any, Callable[[PromiseRecord], None]]] = []
        self._unwind: dict[object, tuple[After, bool]] = {}
        self._outcome: Ended | None = None
        self._reclaiming = False
        self._listening = False
        self._watched = False
        self._busy = 0  # jobs on threads, and tasks on the loop of async functions
        self._threads = 0  # those of them that run
        self._jobs: deque[Callable[[], None]] = deque()

    # --- running ----------------------------------------------------------------------------------

    def run(self, job: Callable[[], None]) -> None:
        """Run a part of a function on a thread of the pool, when there is one for it."""
        with self.lock:
            self._busy += 1
            self._jobs.append(job)
            self._run_next()

    def _run_next(self) -> None:
        if self._jobs and self._threads < _THREADS_MAX:
            self._threads += 1
            self.host.run(functools.partial(self._run, self._jobs.popleft()))

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        finally:
            with self.lock:
                self._threads -= 1
                self._run_next()
            self.job_done()

    def run_async(self, act: Callable[..., object], *args: object) -> None:
        """Begin a task on the loop of async functions; ``job_done`` says when it has ended."""
        with self.lock:
            self._busy += 1
        self.host.run_async(act, *args)

    def job_done(self) -> None:
        """Something that ran has ended: what was lost leaves its slot when nothing runs."""
        with self.lock:
            self._busy -= 1
            left = self.over and self._busy == 0
        if left:
            self.host.left(self.execution)

    # --- steps ------------------------------------------------------------------------------------

    def begin(self, frame: Frame, step_id: str, plan: Plan) -> Step:
        """Return the step of that id, made when there is none.

        Raises DivergenceError when what is recorded is another one.
        """
        with self.lock:
            step = self.steps.get(step_id)
            if step is not None:
                self._compare(step_id, step.plan.label, plan)
                step.old = True
                return step
            step = self.steps[step_id] = Step(step_id, plan)
            record = self._known.pop(step_id, None)
            if record is None:
                tags = {**plan.tags, LEASE: str(self.execution.version)}
                data = rq.PromiseCreateData(step_id, plan.timeout_at, plan.param, tags)
                created = functools.partial(self._created, frame, step, tags[LEASE])
                self._write(rq.FenceCreate(data, {}), created)
                return step
            self._compare(step_id, record.tags.get(STEP), plan)
            step.old = True
            step.settle(record)
            self._start_local(frame, step)
            return step

    def recorded(self, step_id: str) -> bool:
        """Tell whether the step is known to have been asked for before, here or elsewhere."""
        return step_id in self.steps or step_id in self._known

    def failed_before(self, step_id: str) -> bool:
        """Tell whether the step is known to have ended with an error."""
        with self.lock:
            step = self.steps.get(step_id)
            if step is not None:
                return step.failed
            record = self._known.get(step_id)
            return record is not None and record.state not in ("pending", "resolved")

    def begun_elsewhere(self) -> list[str]:
        """Return the attached steps that others settle and that are not known to have ended."""
        with self.lock:
            return [
                step.id
                for step in self.steps.values()
                if step.plan.attached and step.plan.call is None and not step.settled
            ]

    def unasked(self) -> list[str]:
        """Return the recorded steps of the task's own function that it has not asked for."""
        with self.lock:
            return sorted(
                each.id
                for each in self._known.values()
                if each.tags.get(PARENT) == self.id and each.tags.get(STEP, RETRY) != RETRY
            )

    def _compare(self, step_id: str, recorded: str | None, plan: Plan) -> None:
        if recorded is not None and recorded != plan.label:
            error = DivergenceError(self.id, step_id, recorded, plan.label)
            self.diverge(error)
            raise error

    def _created(self, frame: Frame, step: Step, lease: str, record: PromiseRecord) -> None:
        recorded = record.tags.get(STEP)
        if recorded is not None and recorded != step.plan.label:
            self.diverge(DivergenceError(self.id, step.id, recorded, step.plan.label))
            return
        step.old = step.old or record.tags.get(LEASE) != lease
        frame.sort_out()
        after = self._settle(step, record)
        with self.lock:
            self._start_local(frame, step)
        _do(after)

    def _start_local(self, frame: Frame, step: Step) -> None:
        if step.plan.call is None or step.settled or step.id in self._frames or self.over:
            return
        child = self._frames[step.id] = frame.child(step)
        self._active += 1
        child.start()

    def settle_local(self, step: Step, ended: Ended) -> None:
        """Write how a function of this process ended; it has nothing more to do."""
        with self.lock:
            self._active -= 1
            assert step.record is not None, "it was created before its function began"
            now = int(self.host.machine.time() * 1000)
            ours = replace(step.record, state=ended[0], value=ended[1], settled_at=now)
            settle = rq.PromiseSettleData(step.id, *ended)
            early = ours.timeout_at - now > _OPTIMISM_MS
            self._write(rq.FenceSettle(settle, {}), functools.partial(self._confirmed, step, ours))
            after = self._settle(step, ours) if early else []
        _do(after)
        self.check()

    def _confirmed(self, step: Step, ours: PromiseRecord, record: PromiseRecord) -> None:
        if step.settled and (record.state, record.value) != (ours.state, ours.value):
            self.give_back(f"step {step.id} was settled by somebody else")
            return
        if not step.settled:
            _do(self._settle(step, record))

    def _settle(self, step: Step, record: PromiseRecord) -> list[After]:
        with self.lock:
            watchers = step.settle(record)
            if step.settled:
                self._awaited.pop(step.id, None)
            return [act for watch in watchers if (act := watch()) is not None]

    # --- waiting ----------------------------------------------------------------------------------

    def watch(self, step: Step, watcher: Watcher) -> bool:
        """Call ``watcher`` when the step is settled; False when it is already."""
        with self.lock:
            if step.settled and not step.abandoned:
                return False
            step.watchers.append(watcher)
            if not step.settled:
                self._awaited[step.id] = step
            return True

    def rest(self) -> None:
        """A function has nothing to do until one of its watchers is called."""
        with self.lock:
            self._active -= 1
        self.check()

    def rise(self) -> None:
        """A function has something to do again; with the lock held."""
        self._active += 1

    def to_unwind(self, key: object, unwind: After | None, *, patient: bool = True) -> None:
        """Have a blocked thread let go when nothing counts any more; None: it blocks no more.

        A ``patient`` one is also let go when the task is suspended, or others need threads.
        """
        with self.lock:
            if unwind is None:
                self._unwind.pop(key, None)
                return
            if not self.over:
                self._unwind[key] = unwind, patient
                return
        unwind()  # it began to wait too late

    def check(self) -> None:
        """Suspend the task, or deliver its outcome, if it is time for that."""
        with self.lock:
            if self.over or self._inflight:
                return
            if self._outcome is not None:
                self._deliver()
            elif self._jobs and self._active <= len(self._jobs):
                self._let_go()
            elif self._active > 0 or self._state != "held":
                self._listen_later()
            elif self._awaited:
                self._suspend()

    def _let_go(self) -> None:
        """Let the threads go that wait: all do, and jobs wait for a thread."""
        _do(self._patient())

    def _patient(self) -> list[After]:
        """Return how to let the threads go that can be; they are forgotten."""
        patient = [key for key, (_, patient) in self._unwind.items() if patient]
        return [self._unwind.pop(key)[0] for key in patient]

    def _suspend(self) -> None:
        self._state = "suspending"
        self.host.resting(self.execution)
        self._watch_own()
        execution, awaited = self.execution, list(self._awaited)
        actions = [
            rq.CallbackAction(
                rq.RegisterCallbackData(each, self.id), "promise.register_callback", {}
            )
            for each in awaited
        ]
        data = rq.TaskSuspendData(execution.id, execution.version, actions)
        done = functools.partial(self._suspend_answered, execution, awaited)
        self.host.put(Item([rq.TaskSuspend(self.host.head(), data)], done, None))

    def _watch_own(self) -> None:
        """Hear of the end of the promise itself, where functions may go on while it is suspended.

        It may be canceled, or executed to its end elsewhere.
        """
        if self._watched or not any(frame.is_coroutine for frame in self._frames.values()):
            return
        self._watched = True
        self.host.listen(self.id, lambda _record: self._ended_elsewhere())

    def _ended_elsewhere(self) -> None:
        if self.resting:
            self.lose()

    def _suspend_answered(self, execution: Execution, awaited: list[str], item: Item) -> None:
        with self.lock:
            if self.over or execution is not self.execution:
                return  # resumed before the answer was heard
            if item.error is not None:
                self.lose()
                return
            answer = item.answers[0]
            if answer.status == 200:
                self._suspended(execution)
                return
            if answer.status == 409 and item.repeated:
                self._suspended(execution)  # an earlier try took effect, or the lease is lost
                return
            if answer.status != 300:
                self._refused(answer.status, answer.data)
                return
            self._state = "held"
            self.host.going_on(execution)
            after = self._learn(answer.data.preload)
            if not after:
                self._ask(awaited)
            self._flush()
        _do(after)
        self.check()

    def _suspended(self, execution: Execution) -> None:
        self._state = "suspended"
        unwind = self._patient()
        self.host.suspended(execution)
        _do(unwind)
        if self._backlog or self._outcome is not None:
            self._reclaim()

    def _ask(self, awaited: list[str]) -> None:
        """Ask for what is awaited: something of it is settled, and it was not said what."""
        self._inflight += 1
        requests: list[rq.Request] = [
            rq.PromiseGet(self.host.head(), rq.IdData(each)) for each in awaited
        ]

        def done(item: Item) -> None:
            with self.lock:
                self._inflight -= 1
                if self.over:
                    return
                if item.error is not None:
                    self.lose()
                    return
                found = [each.data.promise for each in item.answers if each.status == 200]
                after = self._learn(found)
            _do(after)
            self.check()

        self.host.put(Item(requests, done, None))

    def _learn(self, records: Iterable[PromiseRecord]) -> list[After]:
        after: list[After] = []
        for record in records:
            step = self.steps.get(record.id)
            if step is None:
                self._known.setdefault(record.id, record)
            elif not step.settled and record.state != "pending":
                after += self._settle(step, record)
        return after

    def _listen_later(self) -> None:
        """Hear of what is awaited while something else runs on, and the lease is kept."""
        if not self._awaited or self._listening or self._state != "held":
            return
        self._listening = True
        self.host.later(_LISTEN_SECONDS, self._listen)

    def _listen(self) -> None:
        with self.lock:
            self._listening = False
            if self.over or self._state != "held" or self._active <= 0:
                return
            awaited = [each for each in self._awaited.values() if each.plan.call is None]
        for step in awaited:
            self.host.listen(step.id, functools.partial(self._told, step))

    def _told(self, step: Step, record: PromiseRecord) -> None:
        with self.lock:
            after = [] if self.over or step.settled else self._settle(step, record)
        _do(after)
        self.check()

    # --- leases -----------------------------------------------------------------------------------

    def resume(self, execution: Execution, preload: Iterable[PromiseRecord]) -> None:
        """Go on in place, under a new lease."""
        with self.lock:
            self.execution = execution
            self._state = "held"
            self._reclaiming = False
            after = self._learn(preload)
            self._flush()
        _do(after)
        self.check()

    @property
    def resting(self) -> bool:
        """Tell whether the lease is not needed, or given back already."""
        return self._state != "held"

    def expects(self, execution: Execution) -> bool:
        """Tell whether that is the next lease of this task: its news may overtake the answer."""
        with self.lock:
            return (
                not self.over
                and self._state != "held"
                and execution.of == self.execution.of
                and execution.version > self.execution.version
            )

    def _reclaim(self) -> None:
        """Take the task back, though nothing that it awaits is settled: something here goes on.

        A promise of its own wakes it, and the next request takes the lease, in one batch.
        """
        if self._reclaiming:
            return
        self._reclaiming = True
        host, wake = self.host, f"{self.id}.wake.{uuid.uuid4().hex}"
        until = int(host.machine.time() * 1000) + _WAKE_MS
        acquire = rq.TaskAcquireData(self.id, self.execution.version, host.pid, host.ttl)
        requests: list[rq.Request] = [
            rq.PromiseCreate(host.head(), rq.PromiseCreateData(wake, until)),
            rq.PromiseRegisterCallback(host.head(), rq.RegisterCallbackData(wake, self.id)),
            rq.PromiseSettle(host.head(), rq.PromiseSettleData(wake, "resolved")),
            rq.TaskAcquire(host.head(), acquire),
        ]
        host.put(Item(requests, functools.partial(self._reclaim_answered, self.execution), None))

    def _reclaim_answered(self, execution: Execution, item: Item) -> None:
        with self.lock:
            if self.over or execution is not self.execution:
                return
            answer = None if item.error is not None else item.answers[-1]
            if answer is None or answer.status != 200:
                self.lose()
                return
        self.host.reclaimed(self, answer.data)

    def lose(self) -> None:
        """Everything here is over: the lease is another's, or the promise has ended."""
        with self.lock:
            if self.over:
                return
            self.over = True
            execution = self.execution
            unwind, self._unwind = [act for act, _ in self._unwind.values()], {}
            frames = list(self._frames.values())
            idle = self._busy == 0
        self.host.lost(execution)
        if idle:
            self.host.left(execution)
        error = LeaseLostError(self.id)
        for frame in frames:
            frame.end(error)
        _do(unwind)

    def give_back(self, reason: str, level: int = logging.WARNING) -> None:
        """Leave the task to whoever takes it next."""
        with self.lock:
            if self.over:
                return
            log.log(level, "giving %s back: %s", self.id, reason)
            execution = self.execution
        self.host.released(execution)
        self.lose()

    def diverge(self, error: DivergenceError) -> None:
        """Stop: the code does not match what is recorded."""
        self.give_back(str(error), logging.ERROR)

    # --- the end ----------------------------------------------------------------------------------

    def enter(self, frame: Frame) -> None:
        """Take note of the function that the task is for."""
        self._frames[self.id] = frame

    def ended(self, outcome: Ended) -> None:
        """The function that the task is for has ended; all that it wrote is still to arrive."""
        with self.lock:
            self._active -= 1
            self._outcome = outcome
        self.check()

    def _deliver(self) -> None:
        if self._state == "suspended":
            self._reclaim()
        elif self._state == "held":
            self.over = True
            assert self._outcome is not None, "there is something to deliver"
            self.host.finished(self.execution, self._outcome)

    # --- writing ----------------------------------------------------------------------------------

    def cancel_step(self, step: Step, value: Value, error: BaseException) -> None:
        """Cancel a step, and its function if that runs here."""
        with self.lock:
            if self.over or step.settled:
                return
            settle = rq.PromiseSettleData(step.id, "rejected_canceled", value)
            self._write(rq.FenceSettle(settle, {}), lambda record: _do(self._settle(step, record)))
            frame = self._frames.get(step.id)
        if frame is not None:
            frame.end(error)

    def _write(
        self, action: rq.FenceCreate | rq.FenceSettle, done: Callable[[PromiseRecord], None]
    ) -> None:
        self._inflight += 1
        if self._state == "held":
            self._put(action, done)
            return
        self._backlog.append((action, done))
        if self._state == "suspended":
            self._reclaim()

    def _flush(self) -> None:
        backlog, self._backlog = self._backlog, []
        for action, done in backlog:
            self._put(action, done)

    def _put(self, action: Any, done: Callable[[PromiseRecord], None]) -> None:
        execution = self.execution
        data = rq.TaskFenceData(execution.id, execution.version, action)
        written = functools.partial(self._written, action, done)
        self.host.put(Item([rq.TaskFence(self.host.head(), data)], written, None))

    def _written(self, action: Any, done: Callable[[PromiseRecord], None], item: Item) -> None:
        with self.lock:
            self._inflight -= 1
            if self.over:
                return
        if item.error is not None:
            self.lose()
            return
        answer = item.answers[0]
        if answer.status != 200:
            self._refused(answer.status, answer.data)
            return
        inner = answer.data.action
        if inner.head.status == 200:
            done(_record(inner.data))
        else:
            now = int(self.host.machine.time() * 1000)
            done(_refusal(action, inner.head.status, str(inner.data), now))
        self.check()

    def _refused(self, status: int, text: Any) -> None:
        if status in _LOST:
            self.lose()
        else:
            self.give_back(f"the server refused a step of it: {status} {text}", logging.ERROR)


def _record(data: Any) -> PromiseRecord:
    if isinstance(data, dict):
        return msgspec.convert(data["promise"], PromiseRecord)
    record: PromiseRecord = data.promise
    return record


def _refusal(
    action: rq.FenceCreate | rq.FenceSettle, status: int, text: str, now: int
) -> PromiseRecord:
    """Return a record that stands for a step which the server never takes."""
    error = ResonateStoreError(f"the server refused step {action.data.id}: {status} {text}", status)
    tags = (action.data.tags or {}) if isinstance(action, rq.FenceCreate) else {}
    return PromiseRecord(
        action.data.id, "rejected", Value(), codec.encode_error(error), tags, now, now, now
    )


def _do(after: Iterable[After]) -> None:
    for act in after:
        act()
