"""The lease of a workflow: from being held to being given up while it waits, and taken again.

Rules:
- Every write is fenced by the version of the lease; the order of writes is the order in which they
  were asked for. What is to be written while the lease is not held waits for the next one.
- A task is suspended on what it awaits. When the server knows that some of that is settled, the
  lease stays: what is settled is in the answer, or asked for. With it is asked for what may be
  awaited next, twice as much each time that all of it was settled: who takes results one after the
  other does not make a round trip for each.
- What goes on by itself while the task is suspended, or begins to wait for something else, takes
  the lease back.
- A write that is refused because the lease is another's ends everything here.
"""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.records import PromiseRecord, Value
from resonate.sdk import codec
from resonate.sdk.errors import ResonateStoreError
from resonate.sdk.execution import Execution
from resonate.sdk.host import Host
from resonate.sdk.sender import Item
from resonate.sdk.steps import carry_out

if TYPE_CHECKING:
    from resonate.sdk.workflow import Workflow

_WAKE_MS = 60_000
_CALLBACK = "promise.register_callback"
_AHEAD_MAX = 256
_INVALID = 400
_LOST = (404, 409)
Written = Callable[[PromiseRecord], None]


class Lease:
    """The present lease of a workflow, or the last one. The lock of the workflow guards it."""

    def __init__(self, workflow: Workflow, execution: Execution, host: Host) -> None:
        self.execution = execution
        self._workflow = workflow
        self._lock = workflow.lock
        self._host = host
        self._state = "held"  # suspending, suspended
        self._inflight = 0
        self._backlog: list[tuple[Any, Written]] = []
        self._reclaiming = False
        self.told_of: frozenset[str] = frozenset()  # what wakes it while it is suspended
        self._ahead = 1  # how many promises it is worth to ask for before they are awaited

    @property
    def held(self) -> bool:
        """Tell whether it is needed: not given back, nor about to be."""
        return self._state == "held"

    @property
    def settled(self) -> bool:
        """Tell whether nothing is on its way, or waits to be sent."""
        return self._inflight == 0

    # --- writing ----------------------------------------------------------------------------------

    def write(self, action: rq.FenceCreate | rq.FenceSettle, done: Written) -> None:
        """Write, after all that was to be written before; with the lock held.

        ``done`` is given the record that came of it; one that stands for a refusal is rejected.
        """
        self._inflight += 1
        if self._state == "held":
            self._put(action, done)
            return
        self._backlog.append((action, done))
        if self._state == "suspended":
            self.reclaim()

    def ask(self, requests: Sequence[rq.Request], told: Callable[[list[Answer]], object]) -> None:
        """Ask for what decides how it goes on; with the lock held."""
        self._inflight += 1
        self._host.put(Item(list(requests), functools.partial(self._asked, told), None))

    def _asked(self, told: Callable[[list[Answer]], object], item: Item) -> None:
        if self._arrived(item):
            told(item.answers)
            self._workflow.check()

    def _flush(self) -> None:
        backlog, self._backlog = self._backlog, []
        for action, done in backlog:
            self._put(action, done)

    def _put(self, action: Any, done: Written) -> None:
        execution = self.execution
        data = rq.TaskFenceData(execution.id, execution.version, action)
        written = functools.partial(self._written, action, done)
        self._host.put(Item([rq.TaskFence(self._host.head(), data)], written, None))

    def _arrived(self, item: Item) -> bool:
        """Take note of an answer; tell whether there is one, and it counts."""
        with self._lock:
            self._inflight -= 1
            if self._workflow.over:
                return False
        if item.error is not None:
            self._workflow.lose()
            return False
        return True

    def _written(self, action: Any, done: Written, item: Item) -> None:
        if not self._arrived(item):
            return
        answer = item.answers[0]
        if answer.status not in (200, _INVALID):
            self._refused(answer.status, answer.data)
            return
        status, data = answer.status, answer.data
        if status == 200:
            inner = answer.data.action
            status, data = inner.head.status, inner.data
        if status == 200:
            done(_record(data))
        else:
            tags = (action.data.tags or {}) if isinstance(action, rq.FenceCreate) else {}
            done(self.refusal(action.data.id, tags, f"{status} {data}", status))
        self._workflow.check()

    def refusal(self, step_id: str, tags: dict[str, str], reason: str, code: int) -> PromiseRecord:
        """Return a record that stands for a step which the server never takes."""
        error = ResonateStoreError(f"the server refused step {step_id}: {reason}", code)
        now = int(self._host.machine.time() * 1000)
        value = codec.encode_error(error)
        return PromiseRecord(step_id, "rejected", Value(), value, tags, now, now, now)

    def _refused(self, status: int, text: Any) -> None:
        if status in _LOST:
            self._workflow.lose()
        else:
            reason = f"the server refused a step of it: {status} {text}"
            self._workflow.give_back(reason, logging.ERROR)

    # --- giving it up -----------------------------------------------------------------------------

    def suspend(self, awaited: list[str]) -> None:
        """Give it up until one of those promises is settled; with the lock held."""
        self._state = "suspending"
        self.told_of = frozenset(awaited)
        execution = self.execution
        self._host.resting(execution)
        actions = [
            rq.CallbackAction(rq.RegisterCallbackData(each, execution.id), _CALLBACK, {})
            for each in awaited
        ]
        data = rq.TaskSuspendData(execution.id, execution.version, actions)
        answered = functools.partial(self._suspend_answered, execution, awaited)
        self._host.put(Item([rq.TaskSuspend(self._host.head(), data)], answered, None))

    def _suspend_answered(self, execution: Execution, awaited: list[str], item: Item) -> None:
        with self._lock:
            if self._workflow.over or execution is not self.execution:
                return  # resumed before the answer was heard
            if item.error is not None:
                self._workflow.lose()
                return
            answer = item.answers[0]
            # 409 of a repetition: an earlier try took effect, or the lease is lost
            if answer.status == 200 or (answer.status == 409 and item.repeated):
                self._suspended(execution)
                return
            if answer.status != 300:
                self._refused(answer.status, answer.data)
                return
            self._state = "held"
            self._host.going_on(execution)
            after = self._workflow.learn(answer.data.preload)
            self._ask(awaited, told=bool(after))
            self._flush()
        carry_out(after)
        self._workflow.check()

    def _suspended(self, execution: Execution) -> None:
        self._state = "suspended"
        self._host.suspended(execution)
        self._workflow.let_go()
        if self._backlog or self._workflow.ending or self._workflow.deaf:
            self.reclaim()

    def _ask(self, awaited: list[str], *, told: bool) -> None:
        """Ask for what is awaited, unless it was told what of it is settled; and look ahead."""
        known = set(awaited)
        begun = (each for each in self._workflow.unfinished(here=False) if each not in known)
        ahead = list(islice(begun, self._ahead))
        wanted = ahead if told else [*awaited, *ahead]
        requests: list[rq.Request] = [
            rq.PromiseGet(self._host.head(), rq.IdData(each)) for each in wanted
        ]
        if requests:
            self._inflight += 1
            self._host.put(Item(requests, functools.partial(self._found, len(ahead)), None))

    def _found(self, ahead: int, item: Item) -> None:
        with self._lock:
            if not self._arrived(item):
                return
            found = [each.data.promise for each in item.answers if each.status == 200]
            settled = [each.state != "pending" for each in found[len(found) - ahead :]]
            if ahead:
                self._ahead = min(self._ahead * 2, _AHEAD_MAX) if all(settled) else 1
            after = self._workflow.learn(found)
        carry_out(after)
        self._workflow.check()

    # --- taking it again --------------------------------------------------------------------------

    def resume(self, execution: Execution, preload: Iterable[PromiseRecord]) -> None:
        """Go on in place, under a new lease."""
        with self._lock:
            self.execution = execution
            self._state = "held"
            self._reclaiming = False
            after = self._workflow.learn(preload)
            self._flush()
        carry_out(after)
        self._workflow.check()

    def expects(self, execution: Execution) -> bool:
        """Tell whether that is the next lease of this task: its news may overtake the answer."""
        with self._lock:
            return (
                not self._workflow.over
                and self._state != "held"
                and execution.of == self.execution.of
                and execution.version > self.execution.version
            )

    def reclaim(self) -> None:
        """Take the task back, though nothing that it awaits is settled; with the lock held.

        A promise of its own wakes it, and the next request takes the lease, in one batch.
        """
        if self._reclaiming or self._state != "suspended":
            return
        self._reclaiming = True
        host, task_id = self._host, self.execution.id
        wake = f"{task_id}.wake.{uuid.uuid4().hex}"
        until = int(host.machine.time() * 1000) + _WAKE_MS
        acquire = rq.TaskAcquireData(task_id, self.execution.version, host.pid, host.ttl)
        requests: list[rq.Request] = [
            rq.PromiseCreate(host.head(), rq.PromiseCreateData(wake, until)),
            rq.PromiseRegisterCallback(host.head(), rq.RegisterCallbackData(wake, task_id)),
            rq.PromiseSettle(host.head(), rq.PromiseSettleData(wake, "resolved")),
            rq.TaskAcquire(host.head(), acquire),
        ]
        host.put(Item(requests, functools.partial(self._reclaim_answered, self.execution), None))

    def _reclaim_answered(self, execution: Execution, item: Item) -> None:
        with self._lock:
            if self._workflow.over or execution is not self.execution:
                return
            answer = None if item.error is not None else item.answers[-1]
            if answer is None or answer.status != 200:
                self._workflow.lose()
                return
        self._host.reclaimed(self._workflow, answer.data)


def _record(data: Any) -> PromiseRecord:
    if isinstance(data, dict):
        return msgspec.convert(data["promise"], PromiseRecord)
    record: PromiseRecord = data.promise
    return record
