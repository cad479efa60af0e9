"""The worker: executions from the moment they are held to the moment they are settled.

Every way an execution can end has one outcome:

================================  ==================================================================
the function returns              the promise is resolved with the value
it raises, anything               the promise is rejected with the error
the value is not JSON             the promise is rejected with EncodingError
the value is refused (too large)  the promise is rejected with the server's words
the arguments cannot be read      the promise is rejected with DecodingError
the function is not known here    the task is released: another worker, or a later version, has it
the lease is lost                 the result is thrown away; async functions are cancelled
the server is away                the result is kept and sent when it is back
================================  ==================================================================

None of them ends the process. Everything here runs on the network's event loop, except the user's
functions, which never do.

At most ``capacity`` functions run at the same time. Calls of this process that find no free slot
wait here; what the server hands over without one (it does not know of functions that still run
after their lease was lost) goes back to it. A blocking ``run`` inside a function uses the slot of
that function, which waits for it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer, LeaseAnswer
from resonate.protocol.records import PromiseRecord, Value
from resonate.sdk import codec
from resonate.sdk.errors import ResonateError
from resonate.sdk.execution import Call, Ended, Execution, Invocation, ended
from resonate.sdk.pool import Pool, async_thread
from resonate.sdk.pulse import Pulse
from resonate.sdk.registry import Registry
from resonate.sdk.sender import Item

_PARKED_MAX = 10_000
_PAST_MAX = 4_096
_AGAIN_SECONDS = 2.0
_GONE = (404, 409)  # the lease is not ours (any more)
_UNFIT = (400, 413, 422)  # the server will never take this value
log = logging.getLogger("resonate.worker")


class Worker:
    """Executes what the server hands over; keeps its leases; settles.

    ``post`` brings a call from other threads to the network's loop, ``put`` sends an item, ``beat``
    one with a heartbeat, ``settled`` is told of promises settled here. ``capacity`` is the number
    of slots, ``ttl`` the lease in milliseconds.
    """

    def __init__(
        self,
        *,
        pid: str,
        ttl: int,
        capacity: int,
        registry: Registry,
        dependencies: Mapping[str, Any],
        post: Callable[..., bool],
        put: Callable[[Item], None],
        beat: Callable[[Item], None],
        head: Callable[[], rq.Head],
        settled: Callable[[PromiseRecord], None],
    ) -> None:
        self._pid = pid
        self._ttl = ttl
        self._capacity = capacity
        self._registry = registry
        self._dependencies = dependencies
        self._post = post
        self._put = put
        self._head = head
        self._tell = settled
        self._pool = Pool("resonate-function")
        self._async = async_thread()
        self._held: dict[str, Execution] = {}
        self._pulse = Pulse(pid=pid, ttl=ttl, held=self._held, put=beat, head=head, lost=self._lose)
        self._past: OrderedDict[tuple[str, int, int], None] = OrderedDict()
        self._running = 0  # slots in use, those of acquires under way among them
        self._acquiring = 0
        self._waiting: deque[Execution] = deque()
        self._parked: deque[rq.TaskRef] = deque()
        self._unknown: set[tuple[str, int]] = set()
        self._retries: dict[Execution, asyncio.TimerHandle] = {}
        self._draining = False
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
            self._release(execution)

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
            self._lose(known)
        self._held[execution.id] = execution
        if self._draining:
            self._release(execution)
            return None
        self._pulse.keep_beating()
        return execution

    def _start(self, execution: Execution) -> None:
        self._running += 1
        try:
            self._begin(execution)
        except Exception:
            log.exception("cannot run %s: leaving it to other workers", execution.id)
            self._give_back(execution)

    def _begin(self, execution: Execution) -> None:
        try:
            invocation = Invocation(execution.promise)
        except ResonateError as error:
            self._finished(execution, ("rejected", codec.encode_error(error)))
            return
        entry = self._registry.find(invocation.name, invocation.version)
        if entry is None:
            self._warn_unknown(invocation)
            self._give_back(execution)
            return
        call = Call(execution, invocation, entry, self._dependencies)
        if entry.is_async:
            self._async.post(self._begin_async, execution, call)
        else:
            self._pool.run(functools.partial(self._run, execution, call))

    def _warn_unknown(self, invocation: Invocation) -> None:
        key = (invocation.name, invocation.version)
        if key not in self._unknown:
            self._unknown.add(key)
            log.warning(
                "function %s version %s is not registered here: leaving it to other workers", *key
            )

    # --- user code, on other threads --------------------------------------------------------------

    def _run(self, execution: Execution, call: Call) -> None:
        outcome = call.run()
        if isinstance(outcome, tuple):
            self._post(self._finished, execution, outcome)
        else:
            self._async.post(self._begin_async, execution, call, outcome)

    def _begin_async(
        self, execution: Execution, call: Call, begun: Awaitable[Any] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(call.run_async(begun))
        task.add_done_callback(lambda done: self._post(self._finished, execution, ended(done)))
        execution.cancel = functools.partial(self._async.post, task.cancel)
        if execution.lost:  # before there was anything to cancel
            task.cancel()

    # --- ending -----------------------------------------------------------------------------------

    def _finished(self, execution: Execution, outcome: Ended) -> None:
        self._running -= 1
        execution.ended = True
        self._fulfill(execution, outcome)
        self._fill()

    def _fulfill(self, execution: Execution, outcome: Ended) -> None:
        if execution.lost:
            level = logging.INFO if self._draining else logging.WARNING
            log.log(level, "the result of %s is thrown away: its lease was lost", execution.id)
            return
        settle = rq.PromiseSettleData(execution.id, *outcome)
        action = rq.SettleAction(settle, "promise.settle", {})
        data = rq.TaskFulfillData(execution.id, execution.version, action)
        done = functools.partial(self._settled, execution, outcome)
        self._put(Item([rq.TaskFulfill(self._head(), data)], done, None))

    def _settled(self, execution: Execution, outcome: Ended, item: Item) -> None:
        if item.error is not None:
            log.warning("the result of %s was not delivered: %s", execution.id, item.error)
            self._forget(execution)
            return
        answer = item.answers[0]
        if answer.status == 200:
            self._tell(answer.data.promise)
            self._forget(execution)
        elif answer.status in _GONE:
            self._too_late(execution, item)
        elif answer.status in _UNFIT:
            self._refused(execution, answer)
        else:
            self._not_now(execution, outcome, answer)

    def _too_late(self, execution: Execution, item: Item) -> None:
        if item.repeated:
            log.info("%s was settled by an earlier try, or its lease was lost", execution.id)
        elif not execution.lost:
            log.warning("the result of %s was refused: its lease was lost", execution.id)
        self._forget(execution)

    def _refused(self, execution: Execution, answer: Answer) -> None:
        """Reject with what the server said: it never takes this value."""
        text = f"the server refused the result of {execution.id}: {answer.status} {answer.data}"
        log.error("%s", text)
        if execution.complained:  # of the refusal of a refusal
            self._forget(execution)
            return
        execution.complained = True
        self._fulfill(execution, ("rejected", _rejection(text)))

    def _not_now(self, execution: Execution, outcome: Ended, answer: Answer) -> None:
        """Keep the result: the server has a problem of its own, or with our credentials."""
        if not execution.complained:
            execution.complained = True
            log.error(
                "the result of %s is not taken, trying again: %s %s",
                execution.id,
                answer.status,
                answer.data,
            )
        again = functools.partial(self._fulfill_again, execution, outcome)
        loop = asyncio.get_running_loop()
        self._retries[execution] = loop.call_later(_AGAIN_SECONDS, again)

    def _fulfill_again(self, execution: Execution, outcome: Ended) -> None:
        del self._retries[execution]
        self._fulfill(execution, outcome)

    def _give_back(self, execution: Execution) -> None:
        self._running -= 1
        self._release(execution)
        self._fill()

    def _release(self, execution: Execution) -> None:
        self._forget(execution)
        data = rq.TaskReleaseData(execution.id, execution.version)
        self._put(Item([rq.TaskRelease(self._head(), data)], _ignore, self._ttl / 1000))

    def _lose(self, execution: Execution) -> None:
        log.warning(
            "the lease of %s was lost: another worker has it, or its promise has ended",
            execution.id,
        )
        execution.lose()
        self._forget(execution)

    def _forget(self, execution: Execution) -> None:
        if self._held.get(execution.id) is execution:
            del self._held[execution.id]
            self._past[execution.key] = None
            if len(self._past) > _PAST_MAX:
                self._past.popitem(last=False)
        self._check_drained()

    def _fill(self) -> None:
        """Start what waits for a slot."""
        while self._waiting and self._running < self._capacity:
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
        """Take nothing new; hand back what has not started."""
        self._draining = True
        self._parked.clear()
        waiting, self._waiting = self._waiting, deque()
        for execution in waiting:
            if not execution.lost:
                self._release(execution)
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
            self._release(execution)

    def _check_drained(self) -> None:
        if self._draining and not self._held and not self._acquiring:
            self._drained.set()

    def close(self) -> None:
        """Beat no more, start no more."""
        self._pulse.stop()
        for timer in self._retries.values():
            timer.cancel()
        self._pool.close()

    def join(self) -> None:
        """End the loop of async functions; from the thread that stops the client."""
        self._async.stop()


def _rejection(text: str) -> Value:
    return codec.encode_error(ResonateError(text))


def _ignore(_item: Item) -> None:
    """Whatever came of it, there is nothing left to do."""
