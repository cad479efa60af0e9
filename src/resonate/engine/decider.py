"""Deciding: what a batch changes, and what the indexes learn of it.

How a batch is decided, on the objects that the store has loaded for it: its calls, in order; its
steps; then every index takes note of what changed; then free members get ready tasks. All of it
happens in one go, before anything is committed, and what is sent for it leaves after the commit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from resonate.core import machine
from resonate.core.objects import BranchOf, Key, Promise, Schedule, is_external, is_ready
from resonate.core.state import Objects, State
from resonate.engine.batches import Admission, Batch, Call, Step, decide_call, drain, take_step
from resonate.engine.clock import Clock
from resonate.engine.debugging import Debugging
from resonate.engine.delivery import Delivery
from resonate.engine.dispatch import Dispatch, Match
from resonate.engine.firing import Firing
from resonate.engine.holders import Holders
from resonate.engine.members import Directory
from resonate.engine.timers import Timers
from resonate.protocol import requests as rq
from resonate.protocol.addresses import is_pushed
from resonate.protocol.envelope import Rules
from resonate.protocol.validation import TARGET

_OWN = rq.Head("server", rq.VERSION)  # head of requests that the server makes for a connection


class Decider:
    """Decides batches, and shows the indexes what changed.

    - ``uncommitted`` tells whether the object of a key is newer than what is durable.
    - ``wants`` is told of HTTP addresses that something waits for.
    - ``paused``: no task is given to anybody (``engine.debugging``).
    """

    def __init__(
        self,
        clock: Clock,
        rules: Rules,
        debugging: Debugging | None,
        *,
        uncommitted: Callable[[Key], bool],
        wants: Callable[[str], None],
        admission: Admission,
        directory: Directory,
        holders: Holders,
        dispatch: Dispatch,
        timers: Timers,
        firing: Firing,
        delivery: Delivery,
    ) -> None:
        self.paused = False
        self._clock = clock
        self._rules = rules
        self._debugging = debugging
        self._uncommitted = uncommitted
        self._wants = wants
        self._admission = admission
        self._directory = directory
        self._holders = holders
        self._dispatch = dispatch
        self._timers = timers
        self._firing = firing
        self._delivery = delivery

    def decide(self, batch: Batch, objects: Objects) -> list[Key]:
        """Decide the batch on these objects; return the keys of those that it has changed."""
        now = self._clock.now() if batch.now is None else batch.now
        state = State(objects, now, strict=self._rules.strict)
        for call in batch.calls:
            self._decide_call(call, state, now)
        state.now = now
        for step in batch.steps:
            take_step(step, state)
        for key, before in list(state.before.items()):
            self._see(batch, key, before, objects[key], now)
        for step in batch.steps:
            self._show(batch, step, state)
        while not self.paused and (match := self._dispatch.next(state)) is not None:
            self._give(batch, match, state)
        self._firing.report()
        return list(state.before)

    def _decide_call(self, call: Call, state: State, now: int) -> None:
        if self._debugging is None:
            decide_call(call, state, self._uncommitted)
        else:
            state.now = call.now = instant(self._clock, self._rules, call.requests[0])
            before = dict(state.objects)
            decide_call(call, state, self._uncommitted)
            self._debugging.post(before, state)
        call.now = now if call.now is None else call.now
        self._learn_releases(call, state)

    def _see(self, batch: Batch, key: Key, before: object, after: object, now: int) -> None:
        """Let every index take note of one change."""
        if not isinstance(after, Promise):  # a schedule, or deleted
            self._timers.see(key, after if isinstance(after, Schedule) else None, now)
            return
        assert before is None or isinstance(before, Promise), "a key leads to one kind of object"
        self._arm(after, now)
        freed = self._holders.see(before, after)
        self._dispatch.see(before, after, now)
        if freed is not None:
            for member in self._directory.by_pid(freed):
                self._dispatch.freed(member)
        if after.state != "pending":
            for address in self._delivery.unblocks.see(before, after):
                batch.afterwards.append(functools.partial(self._delivery.tell, after, address))
            if after.callbacks:
                self._admission.push(drain(after.id))
        elif after.route is not None:
            self._want_address(after, now)

    def _arm(self, promise: Promise, now: int) -> None:
        """Set the promise's timer; in strict mode an internal one has none (section 3.5)."""
        armed = not self._rules.strict or is_external(promise)
        self._timers.see(promise.id, promise if armed else None, now)

    def _show(self, batch: Batch, step: Step, state: State) -> None:
        """Show an object that was stepped on to the indexes, changed or not."""
        stored = state.objects[step.key]
        if isinstance(stored, tuple) or step.failed:
            return
        if step.key not in state.before and isinstance(stored, Promise):
            self._arm(stored, state.now)
            self._dispatch.see(None, stored, state.now)
            self._want_address(stored, state.now)
        if step.afterwards is not None:
            batch.afterwards.append(functools.partial(step.afterwards, stored))

    def _learn_releases(self, call: Call, state: State) -> None:
        for request, answer in zip(call.requests, call.answers, strict=True):
            if type(request) is rq.TaskRelease and answer.status == 200:
                before = state.before.get(request.data.id)
                task = before.task if isinstance(before, Promise) else None
                pid = task.pid if task is not None else None
                if isinstance(before, Promise) and before.route is not None:
                    target = before.tags[TARGET]
                    self._dispatch.released(request.data.id, pid, target, before.route)
            elif type(request) is rq.TaskAcquire:
                for member in self._directory.by_pid(request.data.pid):
                    self._dispatch.answered(member)

    def _give(self, batch: Batch, match: Match, state: State) -> None:
        """Claim the task for the member, or offer it; the message leaves after the commit."""
        member, promise_id = match.member, match.waiting.id
        if not member.terms.claim:
            offer = self._dispatch.offer(match)
            batch.afterwards.append(functools.partial(self._delivery.offer, offer))
            return
        before = state.stored(promise_id)
        if not state.knows(BranchOf(promise_id)):
            state.objects[BranchOf(promise_id)] = ()  # a first lease, or no branch
        data = rq.TaskAcquireData(promise_id, match.waiting.version, member.pid, member.terms.ttl)
        answer = machine.handle(rq.TaskAcquire(_OWN, data), state)
        assert answer.status == 200, "a ready task can be acquired"
        self._see(batch, promise_id, before, state.stored(promise_id), state.now)
        batch.afterwards.append(functools.partial(self._delivery.claimed, member, answer.data))

    def _want_address(self, promise: Promise, now: int) -> None:
        route = promise.route
        if route is None or not is_pushed(route) or self.paused:
            return
        if is_ready(promise, now):
            self._wants(route)


def instant(clock: Clock, rules: Rules, request: rq.Request) -> int:
    """Return the instant of a request: the clock's, unless it names another to debug."""
    given = request.head.debug_time if rules.debug else None
    return clock.now() if given is None else int(given)
