"""The worker: tasks from the moment they are held to the moment they are settled or given back.

Every way an execution can end has one outcome:

================================  ==================================================================
the function returns              the promise is resolved with the value
it raises, anything               the promise is rejected with the error, or it is tried again
it waits for others               the task is suspended: the slot is free until there is news
the value is not JSON             the promise is rejected with EncodingError
the arguments cannot be read      the promise is rejected with DecodingError
the function is not known here    the task is released: another worker, or a later version, has it
its history asks for other steps  the task is released, and both sides are logged
the lease is lost                 the result is thrown away; async functions are cancelled
================================  ==================================================================

None of them ends the process. Everything here runs on the network's event loop, which workflows
reach through their ``Host``; the user's functions and encoders never do.

At most ``capacity`` functions run at the same time. Calls of this process that find no free slot
wait here; what the server hands over without one (it does not know of functions that still run
after their lease was lost) goes back to it. A blocking ``run`` inside a function uses the slot of
that function, which waits for it. What is suspended has no slot, and stays in memory to go on in
place when its next lease comes here; the oldest are dropped when there are very many, and replayed.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import OrderedDict, deque
from collections.abc import Callable

from resonate.protocol import requests as rq
from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.records import PromiseRecord
from resonate.sdk import codec
from resonate.sdk.beginning import begin
from resonate.sdk.cancelling import Cascade
from resonate.sdk.errors import ResonateError
from resonate.sdk.execution import Ended, Execution, Invocation
from resonate.sdk.host import Host
from resonate.sdk.pulse import Pulse
from resonate.sdk.sender import Item
from resonate.sdk.settling import Settling
from resonate.sdk.suspensions import Suspensions
from resonate.sdk.workflow import Workflow

_PARKED_MAX = 10_000
_PAST_MAX = 4_096
log = logging.getLogger("resonate.worker")


class Worker:
    """Executes what the server hands over; keeps its leases; settles.

    ``host`` is what workflows see of it. ``put`` sends an item, ``beat`` one with a heartbeat, both
    on the network's loop; ``settled`` is told of promises settled here.
    """

    def __init__(
        self,
        host: Host,
        *,
        put: Callable[[Item], None],
        beat: Callable[[Item], None],
        settled: Callable[[PromiseRecord], None],
    ) -> None:
        host.attach(self)
        self._host = host
        self._pid = host.pid
        self._ttl = host.ttl
        self._capacity = host.capacity
        self._head = head = host.head
        self._put = put
        self._settling = Settling(put=put, head=head, settled=settled, over=self._forget)
        self._held: dict[str, Execution] = {}
        self._pulse = Pulse(
            pid=host.pid, ttl=host.ttl, held=self._held, put=beat, head=head, lost=self._lose
        )
        self._past: OrderedDict[tuple[str, int, int], None] = OrderedDict()
        self._running = 0  # slots in use, those of acquires under way among them
        self._acquiring = 0
        self._waiting: deque[Execution] = deque()
        self._parked: deque[rq.TaskRef] = deque()
        self._unknown: set[tuple[str, int]] = set()
        self._suspensions = Suspensions(put, head, self._ended_elsewhere)
        self._cascade = Cascade(put, head)
        self._draining = False
        self._leaving = False
        self._drained = asyncio.Event()

    # --- taking -----------------------------------------------------------------------------------

    def offered(self, ref: rq.TaskRef) -> None:
        """Acquire a task that is offered; without a free slot the offer is kept for a while."""
        if self._draining:
            return
        if self._running >= self._capacity:
            if len(self._parked) < _PARKED_MAX:
                self._parked.append(ref)
            return
        self._running += 1  # the slot is taken while the answer is awaited
        self._acquiring += 1
        data = rq.TaskAcquireData(ref.id, ref.version, self._pid, self._ttl)

        def done(item: Item) -> None:
            self._acquiring -= 1
            self._running -= 1
            if item.error is None and item.answers[0].status == 200:
                self.take(item.answers[0].data)
            else:
                self._fill()
            self._check_drained()

        self._put(Item([rq.TaskAcquire(self._head(), data)], done, self._ttl / 1000))

    def take(self, lease: LeaseAnswer) -> None:
        """Execute a task that the server handed over; without a free slot it goes back."""
        execution = self._hold(lease)
        if execution is None:
            return
        if self._running < self._capacity:
            self._start(execution)
        else:
            log.warning("no free slot for %s: functions run on whose lease was lost", execution.id)
            self.release(execution)

    def take_own(self, lease: LeaseAnswer, nested: bool) -> None:
        """Execute a call of this process; without a free slot it waits, unless it is ``nested``."""
        execution = self._hold(lease)
        if execution is None:
            return
        if nested or self._running < self._capacity:
            self._start(execution)
        else:
            self._waiting.append(execution)

    def _hold(self, lease: LeaseAnswer) -> Execution | None:
        """Keep the lease from now on; None when there is nothing to start.

        A server tells the same lease again when a connection was lost; it may come late.
        """
        execution = Execution(lease)
        if execution.key in self._past:
            return None
        known = self._held.get(execution.id)
        if known is not None:
            if known.key == execution.key:
                return None
            if known.workflow is not None and known.workflow.lease.expects(execution):
                self.suspended(known)  # its answer comes later than its news
            else:
                self._lose(known)
        self._held[execution.id] = execution
        if self._draining:
            self._waiting.append(execution)
            if self._leaving:
                self.hand_back()
            return None
        self._pulse.keep_beating()
        return execution

    def _start(self, execution: Execution) -> None:
        workflow = self._suspensions.get(execution.of)
        if workflow is not None and not workflow.over:
            self._resume(workflow, execution)
            return
        self.occupy(execution)
        try:
            self._begin(execution)
        except Exception:
            log.exception("cannot run %s: leaving it to other workers", execution.id)
            self.release(execution)
            self.free(execution)

    def _begin(self, execution: Execution) -> None:
        if self._host.encoder is None:
            self._read(execution)
        else:
            self._host.run(functools.partial(self._read, execution))  # an encoder is user code

    def _read(self, execution: Execution) -> None:
        host = self._host
        try:
            invocation = Invocation(execution.promise, host.encoder)
        except ResonateError as error:
            host.finished(execution, ("rejected", codec.encode_error(error, encoder=host.encoder)))
            return
        entry = host.registry.find(invocation.name, invocation.version)
        if entry is None:
            host.unknown(execution, invocation)
            return
        begin(execution, invocation, entry, host)

    def unknown(self, execution: Execution, invocation: Invocation) -> None:
        """Leave a task to others whose function is not known here."""
        self._warn_unknown(invocation)
        self.release(execution)
        self.free(execution)

    def _warn_unknown(self, invocation: Invocation) -> None:
        key = (invocation.name, invocation.version)
        if key not in self._unknown:
            self._unknown.add(key)
            log.warning(
                "function %s version %s is not registered here: leaving it to other workers", *key
            )

    # --- what workflows tell ----------------------------------------------------------------------

    def finished(self, execution: Execution, outcome: Ended) -> None:
        """Settle what has ended."""
        execution.ended = True
        if execution.lost:
            self.discarded(execution.id)
        else:
            self._settling.fulfill(execution, outcome)
        self.free(execution)

    def suspended(self, execution: Execution) -> None:
        """Keep what waits for others in memory."""
        workflow = execution.workflow
        if workflow is None or workflow.over or workflow.execution is not execution:
            return
        self._suspensions.add(execution.of, workflow)
        self._forget(execution)
        self.free(execution)

    def take_back(self, workflow: Workflow, lease: LeaseAnswer) -> None:
        """Go on with what took its lease again by itself."""
        execution = Execution(lease)
        if workflow.over or self._draining:
            self.release(execution)
            return
        self._held[execution.id] = execution
        self._pulse.keep_beating()
        self._resume(workflow, execution)

    def _resume(self, workflow: Workflow, execution: Execution) -> None:
        self._suspensions.take(execution.of)
        execution.workflow = workflow
        self.occupy(execution)
        workflow.lease.resume(execution, execution.preload)

    def release(self, execution: Execution) -> None:
        """Give a task back to the server."""
        self._forget(execution)
        data = rq.TaskReleaseData(execution.id, execution.version)
        self._put(Item([rq.TaskRelease(self._head(), data)], _ignore, self._ttl / 1000))

    def canceled(self, promise: PromiseRecord) -> None:
        """Cancel what a call has begun that was canceled alone."""
        self._cascade.add(promise)

    def discarded(self, task_id: str) -> None:
        """Say that a function has ended that does not count any more; from any thread."""
        level = logging.INFO if self._draining else logging.WARNING
        log.log(level, "the result of %s is thrown away: its lease was lost", task_id)

    def _ended_elsewhere(self, workflow: Workflow, state: str) -> None:
        """Cancel what a function had begun and waited for that was canceled meanwhile."""
        if state == "rejected_canceled":
            self._cascade.add(workflow.promise)

    def _ask_how(self, workflow: Workflow) -> None:
        """Ask how a promise ended whose lease was lost, if something hangs on that."""

        def done(item: Item) -> None:
            if item.error is None and item.answers[0].status == 200:
                self._ended_elsewhere(workflow, item.answers[0].data.promise.state)

        if workflow.unfinished():
            get = rq.PromiseGet(self._head(), rq.IdData(workflow.id))
            self._put(Item([get], done, self._ttl / 1000))

    def _lose(self, execution: Execution) -> None:
        log.warning(
            "the lease of %s was lost: another worker has it, or its promise has ended",
            execution.id,
        )
        execution.lose()
        self._forget(execution)

    def lost(self, execution: Execution) -> None:
        """Forget what is another's, or has ended."""
        self._forget(execution)
        workflow = execution.workflow
        if workflow is not None and self._suspensions.get(execution.of) is workflow:
            self._suspensions.take(execution.of)
        if workflow is not None and not self._draining:
            self._ask_how(workflow)

    def _forget(self, execution: Execution) -> None:
        if self._held.get(execution.id) is execution:
            del self._held[execution.id]
            self._past[execution.key] = None
            if len(self._past) > _PAST_MAX:
                self._past.popitem(last=False)
        self._check_drained()

    # --- slots ------------------------------------------------------------------------------------

    def occupy(self, execution: Execution) -> None:
        """Use a slot, if it does not yet."""
        if not execution.slot:
            execution.slot = True
            self._running += 1

    def free(self, execution: Execution) -> None:
        """Give the slot back, if it uses one."""
        if execution.slot:
            execution.slot = False
            self._running -= 1
        self._fill()

    def _fill(self) -> None:
        """Start what waits for a slot."""
        while self._waiting and self._running < self._capacity and not self._draining:
            execution = self._waiting.popleft()
            if not execution.lost:
                self._start(execution)
        while self._parked and self._running < self._capacity:
            self.offered(self._parked.popleft())

    # --- end --------------------------------------------------------------------------------------

    def connected(self) -> None:
        """Take note that a new stream is open."""
        self._pulse.connected()

    def begin_drain(self) -> None:
        """Take nothing new, start nothing more; what has not started waits for ``hand_back``."""
        self._draining = True
        self._parked.clear()
        self._check_drained()

    def hand_back(self) -> None:
        """Release what has not started: the server gives this worker nothing more."""
        self._leaving = True
        waiting, self._waiting = self._waiting, deque()
        for execution in waiting:
            if not execution.lost:
                self.release(execution)
        self._check_drained()

    def drain_for(self, seconds: float) -> None:
        """Let what runs finish, for ``seconds`` at the most."""
        asyncio.get_running_loop().call_later(max(seconds, 0), self._drained.set)

    async def drained(self) -> None:
        """Return when nothing is held, or the time is over; then what still runs is released."""
        await self._drained.wait()
        running = [each for each in self._held.values() if not each.ended]
        if running:
            log.warning("releasing %d executions that did not finish in time", len(running))
        for execution in running:
            execution.lose()
            self.release(execution)

    def _check_drained(self) -> None:
        if self._draining and not self._held and not self._acquiring:
            self._drained.set()

    def close(self) -> None:
        """Beat no more, start no more."""
        self._pulse.stop()
        self._settling.close()
        self._suspensions.close()
        self._host.close()


def _ignore(_item: Item) -> None:
    """Whatever came of it, there is nothing left to do."""
