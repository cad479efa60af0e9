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
from collections.abc import Callable

from resonate.core import machine
from resonate.core.objects import Promise
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.errors import Overloaded, ServerError
from resonate.protocol.limits import (
    PENDING_BYTES_MAX,
    PENDING_REQUESTS_MAX,
    STEP_OBJECTS_MAX,
)

_REQUESTS_MAX = 512  # requests decided in one go: a bound on how long the loop is held
Reply = Callable[[list[Answer]], None]
log = logging.getLogger("resonate.engine")


class Call:
    """Requests that arrived together and are answered together."""

    __slots__ = ("_reply", "answers", "requests", "size")

    def __init__(self, requests: list[rq.Request], reply: Reply, size: int = 0) -> None:
        self.requests = requests
        self.size = size
        self.answers: list[Answer] = []
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

    ``afterwards`` is given the object as the step left it, once that is durable. ``failed`` tells
    that the step raised.
    """

    __slots__ = ("afterwards", "failed", "promise_id", "take")

    def __init__(
        self,
        promise_id: str,
        take: Callable[[State, str], object],
        afterwards: Callable[[Promise], None] | None = None,
    ) -> None:
        self.promise_id = promise_id
        self.take = take
        self.afterwards = afterwards
        self.failed = False


def nothing(_state: State, _promise_id: str) -> None:
    """Take the step that changes nothing: its object is loaded and shown to the indexes."""


class Batch:
    """Calls and steps that are decided on one state, and what is to be done once it is durable."""

    def __init__(self, calls: list[Call], steps: list[Step]) -> None:
        self.calls = calls
        self.steps = steps
        self.afterwards: list[Callable[[], None]] = []

    def reads(self) -> list[str]:
        """Return the ids that calls and steps look at."""
        ids = [
            promise_id
            for call in self.calls
            for request in call.requests
            for promise_id in machine.reads(request)
        ]
        ids.extend(step.promise_id for step in self.steps)
        return ids


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
        steps = [self._steps.popleft() for _ in range(min(len(self._steps), STEP_OBJECTS_MAX))]
        if self._calls or self._steps:
            self._schedule()
        self._run(Batch(calls, steps))


def decide_call(call: Call, state: State, uncommitted: Callable[[str], bool]) -> None:
    """Carry out the requests of a call; answer at once what needs no commit."""
    must_wait = False
    for request in call.requests:
        call.answers.append(_carry_out(request, state))
        must_wait = must_wait or state.wrote or _saw_uncommitted(request, state, uncommitted)
    if not must_wait:
        call.answer()


def take_step(step: Step, state: State) -> None:
    """Take a step; one that raises is undone, and not tried again before something changes."""
    try:
        machine.step(state, step.promise_id, lambda: step.take(state, step.promise_id))
    except Exception:
        log.exception("a step on %r failed", step.promise_id)
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


def _saw_uncommitted(request: rq.Request, state: State, uncommitted: Callable[[str], bool]) -> bool:
    return any(each in state.before or uncommitted(each) for each in machine.reads(request))
