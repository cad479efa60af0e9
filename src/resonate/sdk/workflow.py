"""A workflow: one task in the memory of this process, from lease to lease, with all its steps.

Rules:
- A local step's value is given on before it is durable, and its successor is not begun before it
  is: the two leave in one batch, in order.
- ``rise`` and ``fall`` count the attempts that have something to do. When there is none, nothing is
  on its way, and something is awaited that others settle, the task is suspended: the slot is free,
  and what is in memory waits for its next lease here, or is dropped when somebody else finishes it.
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
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from resonate.protocol import requests as rq
from resonate.protocol.records import PromiseRecord
from resonate.protocol.validation import PARENT
from resonate.sdk import divergence
from resonate.sdk.errors import DivergenceError, LeaseLostError
from resonate.sdk.host import Host
from resonate.sdk.inquiries import Inquiries
from resonate.sdk.jobs import Jobs
from resonate.sdk.lease import Lease
from resonate.sdk.listening import Listening
from resonate.sdk.sender import Item
from resonate.sdk.steps import (
    ABANDONED,
    LEASE,
    STEP,
    After,
    Plan,
    Step,
    Watcher,
    carry_out,
)

if TYPE_CHECKING:
    from resonate.sdk.execution import Ended, Execution
    from resonate.sdk.frames import Frame
    from resonate.sdk.waiter import Waiter

_TAKEN = "somebody else has a promise of that id, and only calls to workers may share one"
_OPTIMISM_MS = 5_000  # a deadline nearer than that may decide against us
log = logging.getLogger("resonate.worker")


class Workflow:
    """The steps of one task.

    - ``over``: nothing that is done here counts any more. ``given_back``: because it was, by us.
    - ``awaited`` are the steps that somebody waits for, ``running`` those whose function is here,
      ``watched`` those of which somebody asked whether they are done.
    - ``patient`` are threads that wait, and are let go when the task is suspended, or when all its
      threads wait and jobs need one.
    """

    def __init__(self, execution: Execution, host: Host, preload: Iterable[PromiseRecord]) -> None:
        self.id = execution.id
        self.host = host
        self.promise = execution.promise
        self.lock = threading.RLock()
        self.over = False
        self.given_back = False
        self.lease = Lease(self, execution, host)
        self.jobs = Jobs(self.lock, host.run, host.run_async, self._idle)
        self.patient: dict[Waiter, None] = {}
        self._steps: dict[str, Step] = {}
        self._known = {record.id: record for record in preload}
        self._places = divergence.Places(self._known.values())
        self._frames: dict[str, Frame] = {}
        self.awaited: dict[str, Step] = {}
        self.running: dict[str, Step] = {}
        self.watched: dict[str, Step] = {}
        self._inquiries = Inquiries(self)
        self._active = 0
        self._outcome: Ended | None = None
        self._replayed = execution.version > 1
        self._listening = Listening(self)

    @property
    def execution(self) -> Execution:
        """Return the present lease, or the last one."""
        return self.lease.execution

    # --- steps ------------------------------------------------------------------------------------

    def begin(self, frame: Frame, step_id: str, plan: Plan) -> Step:
        """Return the step of that id, made when there is none.

        Raises DivergenceError when what is recorded is another one.
        """
        with self.lock:
            step = self._steps.get(step_id)
            if step is not None:
                self._compare(step_id, step.plan.label, plan)
                step.old = True
                return step
            self._stop_for(self._places.divergence(self.id, step_id, plan))
            step = self._steps[step_id] = Step(step_id, plan)
            record = self._known.pop(step_id, None)
            if record is None:
                tags = {**plan.tags, LEASE: str(self.execution.version)}
                data = rq.PromiseCreateData(step_id, plan.timeout_at, plan.param, tags)
                created = functools.partial(self._created, frame, step, tags[LEASE])
                self.lease.write(rq.FenceCreate(data, {}), created)
                return step
            self._compare(step_id, record.tags.get(STEP), plan)
            step.old = True
            self._settle(step, record)  # nobody watches it yet
            self._start_local(frame, step)
            return step

    def step(self, step_id: str) -> Step:
        """Return a step that was asked for."""
        return self._steps[step_id]

    def frame(self, frame_id: str) -> Frame | None:
        """Return a function that was begun here."""
        return self._frames.get(frame_id)

    def recorded(self, step_id: str) -> bool:
        """Tell whether the step is known to have been asked for before, here or elsewhere."""
        return step_id in self._steps or step_id in self._known

    def failed_before(self, step_id: str) -> bool:
        """Tell whether the step is known to have ended with an error."""
        with self.lock:
            step = self._steps.get(step_id)
            if step is not None:
                return step.failed
            record = self._known.get(step_id)
            return record is not None and record.state not in ("pending", "resolved")

    def unfinished(self, *, here: bool = True) -> list[str]:
        """Return the attached steps that are not known to have ended; ``here``: local ones, too."""
        with self.lock:
            return [
                step.id
                for step in self._steps.values()
                if step.plan.attached and not step.settled and (here or step.plan.call is None)
            ]

    def unasked(self, function: str, attempt: int) -> PromiseRecord | None:
        """Return a recorded step that the function of that id has not asked for, or None."""
        with self.lock:
            return divergence.unasked(function, attempt, self._known.values())

    def learn(self, records: Iterable[PromiseRecord]) -> list[After]:
        """Take over what the server tells; with the lock held."""
        after: list[After] = []
        for record in records:
            step = self._steps.get(record.id)
            if step is None:
                self._known.setdefault(record.id, record)
                self._places.add(record)
            elif not step.settled and record.state != "pending":
                after += self._settle(step, record)
        return after

    def _compare(self, step_id: str, recorded: str | None, plan: Plan) -> None:
        """Stop if the code does not match what is recorded; raises DivergenceError then."""
        self._stop_for(divergence.divergence(self.id, step_id, recorded, plan))

    def _stop_for(self, error: DivergenceError | None) -> None:
        if error is not None:
            self.give_back(str(error), logging.ERROR)
            raise error

    def _created(self, frame: Frame, step: Step, lease: str, record: PromiseRecord) -> None:
        try:
            self._compare(step.id, record.tags.get(STEP), step.plan)
        except DivergenceError:
            return  # the task goes back
        if step.plan.own and record.tags.get(PARENT) != step.plan.tags[PARENT]:
            record = self.lease.refusal(step.id, step.plan.tags, _TAKEN, 409)
        step.old = step.old or record.tags.get(LEASE) != lease
        frame.sort_out()
        with self.lock:
            after = self._settle(step, record)
            self._start_local(frame, step)
        carry_out(after)

    def _start_local(self, frame: Frame, step: Step) -> None:
        if step.plan.call is None or step.settled or step.canceled or self.over:
            return
        if step.id not in self._frames and step.id not in self._inquiries:
            child = self._frames[step.id] = frame.child(step)
            self.running[step.id] = step
            child.start()

    def settle_local(self, step: Step, ended: Ended) -> None:
        """Write how a function of this process ended; what it counted is given back."""
        with self.lock:
            self.fall()
            after = [] if step.canceled else self._write_local(step, ended)
        carry_out(after)
        self.check()

    def _write_local(self, step: Step, ended: Ended) -> list[After]:
        assert step.record is not None, "it was created before its function began"
        now = int(self.host.machine.time() * 1000)
        ours = replace(step.record, state=ended[0], value=ended[1], settled_at=now)
        settle = rq.PromiseSettleData(step.id, *ended)
        confirmed = functools.partial(self._confirmed, step, ours)
        self.lease.write(rq.FenceSettle(settle, {}), confirmed)
        early = ours.timeout_at - now > _OPTIMISM_MS
        return self._settle(step, ours) if early else []

    def _confirmed(self, step: Step, ours: PromiseRecord, record: PromiseRecord) -> None:
        given_on = step.record is ours
        if given_on and (record.state, record.value) != (ours.state, ours.value):
            self.give_back(f"step {step.id} was settled by somebody else")
            return
        self._settled(step, record)

    def _settled(self, step: Step, record: PromiseRecord) -> None:
        with self.lock:
            after = [] if self.over or step.settled else self._settle(step, record)
        carry_out(after)

    def _settle(self, step: Step, record: PromiseRecord) -> list[After]:
        """Take over what is known of a step, unless the server has to be asked why it ended."""
        return [] if self._inquiries.begin(step, record) else self.take_over(step, record)

    def take_over(self, step: Step, record: PromiseRecord) -> list[After]:
        """Take over what is known of a step for good; with the lock held."""
        watchers = step.settle(record)
        after: list[After] = []
        if step.settled:
            self.awaited.pop(step.id, None)
            self.watched.pop(step.id, None)
            after = self._break_off(step.id)
        return [*after, *(act for watch in watchers if (act := watch()) is not None)]

    def _break_off(self, step_id: str) -> list[After]:
        """End a function that runs on though its promise has ended, and what it waits for."""
        if self.running.pop(step_id, None) is None or (frame := self._frames[step_id]).over:
            return []
        after = frame.end(LeaseLostError(step_id))
        for child in frame.children():
            after += self._break_off(child.id)
        return after

    def cancel_step(self, step: Step, error: BaseException) -> None:
        """Cancel a step because the await of it was cancelled, with all that goes on for it."""
        with self.lock:
            after = self._cancel(step, error)
        carry_out(after)
        self.check()

    def _cancel(self, step: Step, error: BaseException) -> list[After]:
        if self.over or step.canceled or (step.settled and not step.abandoned):
            return []
        step.canceled = True
        if step.settled:
            return []  # a replay has come to where the first run cancelled it
        after: list[After] = []
        frame = self._frames.get(step.id)
        if frame is not None:
            after += frame.end(error)
            for child in frame.children():
                after += self._cancel(child, error)
        settle = rq.PromiseSettleData(step.id, "rejected_canceled", ABANDONED)
        self.lease.write(rq.FenceSettle(settle, {}), functools.partial(self._canceled, step))
        return after

    def _canceled(self, step: Step, record: PromiseRecord) -> None:
        self._settled(step, record)
        if step.plan.kind == "rpc" and record.state == "rejected_canceled":
            self.host.canceled(record)

    # --- waiting ----------------------------------------------------------------------------------

    def watch(self, step: Step, watcher: Watcher) -> bool:
        """Call ``watcher`` when the step is settled; False when it is already."""
        with self.lock:
            if step.settled and (step.canceled or not step.abandoned):
                return False
            step.watchers.append(watcher)
            if not step.settled:
                self.awaited[step.id] = step
            return True

    def wonder(self, step: Step) -> None:
        """Hear of a step, while something runs on here, though nobody waits for it."""
        with self.lock:
            if step.settled or self.over:
                return
            self.watched[step.id] = step
            if self.deaf:
                self.lease.reclaim()
            else:
                self._listening.to_steps()

    @property
    def busy(self) -> bool:
        """Tell whether an attempt has something to do."""
        return self._active > 0

    @property
    def deaf(self) -> bool:
        """Tell whether the task is suspended, and something is waited for that does not wake it."""
        if self.lease.held:
            return False
        return not (self.awaited.keys() | self.watched.keys()) <= self.lease.told_of

    def rise(self) -> None:
        """An attempt has something to do; with the lock held."""
        self._active += 1

    def fall(self) -> None:
        """An attempt has nothing to do; with the lock held. To be followed by ``check``."""
        self._active -= 1

    def check(self) -> None:
        """Suspend the task, or deliver its outcome, if it is time for that."""
        with self.lock:
            if self.over or not self.lease.settled:
                return
            if self._outcome is not None:
                self._deliver()
            elif self.jobs.waiting and self._active <= self.jobs.waiting:
                if not self.let_go():
                    self.jobs.run_one_more()
            elif self.deaf:
                self.lease.reclaim()
            elif self.busy or not self.lease.held:
                self._listening.to_steps()
            elif self.awaited:
                if any(frame.is_coroutine for frame in self._frames.values()):
                    self._listening.to_the_end()
                self.lease.suspend(list(self.awaited | self.watched))

    def let_go(self) -> bool:
        """Let the threads go that wait, tell whether any could be; with the lock held."""
        found = [waiter.let_go() for waiter in list(self.patient)]
        return any(found)

    def told(self, step: Step, record: PromiseRecord) -> None:
        """Take over what was heard of a step, on any thread."""
        self._settled(step, record)
        self.check()

    # --- the lease --------------------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        """Tell whether the lease is not needed, or given back already."""
        return not self.lease.held

    def lose(self) -> None:
        """Everything here is over: the lease is another's, or the promise has ended."""
        error = LeaseLostError(self.id)
        with self.lock:
            if self.over:
                return
            self.over = True
            self.patient.clear()
            after = [act for frame in self._frames.values() for act in frame.end(error)]
            idle = not self.jobs.running
        self.host.lost(self.execution)
        if idle:
            self._idle()
        carry_out(after)

    def give_back(self, reason: str, level: int = logging.WARNING) -> None:
        """Leave the task to whoever takes it next."""
        with self.lock:
            if self.over:
                return
            log.log(level, "giving %s back: %s", self.id, reason)
            self.given_back = True
            execution = self.execution
        self.host.released(execution)
        self.lose()

    def give_back_for(self, function: str, ended: Ended, left: PromiseRecord) -> None:
        """Stop: a function has ended without a step that is recorded."""
        self.give_back(divergence.text(function, ended[0], left), logging.ERROR)

    def _idle(self) -> None:
        """Nothing runs: what was lost leaves its slot."""
        if self.over:
            self.host.left(self.execution)

    # --- the end ----------------------------------------------------------------------------------

    def enter(self, frame: Frame) -> None:
        """Take note of the function that the task is for."""
        self._frames[self.id] = frame

    @property
    def ending(self) -> bool:
        """Tell whether the function that the task is for has ended."""
        return self._outcome is not None

    def ended(self, outcome: Ended, attempt: int) -> None:
        """The function that the task is for has ended; all that it wrote is still to arrive.

        It has to have asked for everything that is recorded of its attempt, if it was replayed.
        """
        if self._replayed:
            searches = divergence.searches(self.host.head, self.id)
            self.host.put(Item(searches, functools.partial(self._looked, outcome, attempt), None))
        else:
            self._take_outcome(outcome)

    def _take_outcome(self, outcome: Ended) -> None:
        with self.lock:
            self.fall()
            self._outcome = outcome
        self.check()

    def _looked(self, outcome: Ended, attempt: int, item: Item) -> None:
        with self.lock:
            left = divergence.left_out(self.id, attempt, self._steps, item)
        if left is not None:
            self.give_back_for(self.id, outcome, left)
        else:
            self._take_outcome(outcome)

    def _deliver(self) -> None:
        if self.lease.held:
            self.over = True
            assert self._outcome is not None, "there is something to deliver"
            self.host.finished(self.execution, self._outcome)
        else:
            self.lease.reclaim()
