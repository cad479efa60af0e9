"""Batches: what came in during one turn of the event loop is decided together.

Rules:
- Bounded admission: past the limit the answer is 503 at once, never an unbounded queue.
- Every call is answered exactly once: after the commit that justifies the answer, or, when it wrote
  nothing and saw nothing uncommitted, as soon as it is decided.
- A handler that raises answers 500; what it had changed is undone and the others go on. The same
  holds for a step, a reply and a message, which only leave a line in the log.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from resonate.core import machine, steps
from resonate.core.objects import Branch, BranchOf, Key
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.answers import size as answer_size
from resonate.protocol.errors import Overloaded, ServerError
from resonate.protocol.limits import (
    ANSWER_BYTES_MAX,
    PENDING_BYTES_MAX,
    PENDING_REQUESTS_MAX,
    STEP_OBJECTS_MAX,
)

TOO_LARGE = Answer(503, "Service unavailable: the answer to this batch is too large")
_REQUESTS_MAX = 512  # requests decided in one go: a bound on how long the loop is held
Reply = Callable[[list[Answer]], None]
log = logging.getLogger("resonate.engine")


class Call:
    """Requests that arrived together and are answered together."""

    __slots__ = ("_reply", "answers", "now", "requests", "size")

    def __init__(self, requests: list[rq.Request], reply: Reply, size: int = 0) -> None:
        self.requests = requests
        self.size = size
        self.answers: list[Answer] = []
        self.now: int | None = None  # the instant at which it was decided
        self._reply: Reply | None = reply

    @property
    def answered(self) -> bool:
        """Tell whether the reply was given."""
        return self._reply is None

    def answer(self) -> None:
        """Give the reply, once."""
        reply, self._reply = self._reply, None
        if reply is not None:
            guarded(functools.partial(reply, self.answers))

    def fail(self, error: ServerError) -> None:
        """Answer all requests with the error: nothing of them was committed."""
        self.answers = [Answer(error.status, error.text())] * len(self.requests)
        self.answer()


class Step:
    """Something the server does by itself on one object.

    ``afterwards`` is given the object as the step left it, once that is durable; None when there is
    none. ``also`` has the keys that it looks at besides. ``failed`` tells that the step raised.
    """

    __slots__ = ("afterwards", "also", "failed", "key", "take")

    def __init__(
        self,
        key: Key,
        take: Callable[[State, Any], object],
        afterwards: Callable[[Any], None] | None = None,
        also: Sequence[Key] = (),
    ) -> None:
        self.key = key
        self.take = take
        self.afterwards = afterwards
        self.also = also
        self.failed = False


def drain(promise_id: str) -> Step:
    """Return the step that resumes who waits for a promise that was settled, some of them."""
    return Step(promise_id, _drain)


def nothing(_state: State, _key: Key) -> None:
    """Take the step that changes nothing: its object is loaded and shown to the indexes."""


class Batch:
    """Calls and steps that are decided on one state, and what is to be done once it is durable.

    ``now`` is the instant at which it is decided, where it is not to be the clock's.
    """

    def __init__(self, calls: list[Call], steps: list[Step], now: int | None = None) -> None:
        self.calls = calls
        self.steps = steps
        self.now = now
        self.afterwards: list[Callable[[], None]] = []

    def reads(self) -> list[Key]:
        """Return the keys that calls and steps look at."""
        keys = [
            key
            for call in self.calls
            for request in call.requests
            for key in machine.reads(request)
        ]
        for step in self.steps:
            keys.append(step.key)
            keys.extend(step.also)
        return keys


class Admission:
    """Calls and steps that wait for the next batch. ``run`` is given each batch."""

    def __init__(self, run: Callable[[Batch], None]) -> None:
        self._run = run
        self._calls: deque[Call] = deque()
        self._steps: deque[Step] = deque()
        self._scheduled = False
        self.pending = 0
        self.pending_bytes = 0

    def submit(self, requests: list[rq.Request], reply: Reply, size: int) -> None:
        """Take a call in, or answer 503 at once."""
        call = Call(requests, reply, size)
        if self.pending and (
            self.pending + len(requests) > PENDING_REQUESTS_MAX
            or self.pending_bytes + size > PENDING_BYTES_MAX
        ):
            call.fail(Overloaded("too many requests are waiting, try again in a second"))
            return
        self.pending += len(requests)
        self.pending_bytes += size
        self._calls.append(call)
        self._schedule()

    def push(self, step: Step) -> None:
        """Take a step in."""
        self._steps.append(step)
        self._schedule()

    def nudge(self) -> None:
        """Have a batch made even if there is nothing in it: dispatch may have work."""
        self._schedule()

    def done(self, call: Call) -> None:
        """A call was answered: its place is free."""
        self.pending -= len(call.requests)
        self.pending_bytes -= call.size

    def drop_steps(self) -> None:
        """Forget the steps that wait: what they were for is read anew."""
        self._steps.clear()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        calls: list[Call] = []
        room = _REQUESTS_MAX
        while self._calls and room > 0:
            room -= len(self._calls[0].requests)
            calls.append(self._calls.popleft())
        steps: list[Step] = []
        room = STEP_OBJECTS_MAX
        while self._steps and room > 0:
            room -= 1 + len(self._steps[0].also)
            steps.append(self._steps.popleft())
        if self._calls or self._steps:
            self._schedule()
        self._run(Batch(calls, steps))


def decide_call(call: Call, state: State, uncommitted: Callable[[Key], bool]) -> None:
    """Carry out the requests of a call; answer at once what needs no commit.

    When the answers to a batch grow too large, the rest of it is not carried out.
    """
    must_wait = False
    room = ANSWER_BYTES_MAX
    for request in call.requests:
        if room < 0:
            call.answers.append(TOO_LARGE)
            continue
        answer = _carry_out(request, state)
        call.answers.append(answer)
        must_wait = must_wait or state.wrote or _saw_uncommitted(request, state, uncommitted)
        if len(call.requests) > 1:
            room -= answer_size(answer)
    if not must_wait:
        call.answer()


def take_step(step: Step, state: State) -> None:
    """Take a step; one that raises is undone, and not tried again before something changes."""
    try:
        machine.step(state, step.key, lambda: step.take(state, step.key))
    except Exception:
        log.exception("a step on %r failed", step.key)
        state.rollback()
        step.failed = True


def guarded(act: Callable[[], None]) -> None:
    """Do something for one peer; when it raises, the others go on."""
    try:
        act()
    except Exception:
        log.exception("a reply or message could not be given")


def _carry_out(request: rq.Request, state: State) -> Answer:
    try:
        return machine.handle(request, state)
    except Exception as error:
        log.exception("%s failed", request.__struct_config__.tag)
        state.rollback()
        return Answer(500, f"Internal error: {type(error).__name__}: {error}")


def _saw_uncommitted(request: rq.Request, state: State, uncommitted: Callable[[Key], bool]) -> bool:
    for key in machine.reads(request):
        if key in state.before or uncommitted(key):
            return True
        if not isinstance(key, str) and isinstance(key, BranchOf | Branch):
            return True
    return False


def _drain(state: State, promise_id: str) -> None:
    steps.drain(state, promise_id, STEP_OBJECTS_MAX)
