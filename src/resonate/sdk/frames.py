"""Frames: one function being executed durably, through retries, suspensions and replays.

Rules:
- A function ends when its attached children have: what it has called, here or elsewhere, and asked
  the server to wait for. A promise for somebody outside holds nobody up who does not wait for it.
- Ids are given out in the order in which operations are made, anew in every attempt: recorded
  results answer at once. What failed in an earlier attempt is made again under a name of its own.
- A failed attempt is recorded by a timer, for which the function waits as for anything else: no
  slot is held meanwhile, and a restart knows how many attempts there were.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from resonate.protocol.records import EMPTY, Value
from resonate.protocol.validation import ORIGIN, TIMER
from resonate.sdk import codec
from resonate.sdk.attempt import Attempt
from resonate.sdk.retries import Never, delay_after
from resonate.sdk.steps import RETRY, After, Call, Plan, Step, local_tags

if TYPE_CHECKING:
    from resonate.sdk.execution import Ended
    from resonate.sdk.telemetry import Span
    from resonate.sdk.workflow import Workflow

log = logging.getLogger("resonate.worker")


class Frame:
    """One function with its arguments, and the promise that it settles."""

    def __init__(
        self,
        workflow: Workflow,
        frame_id: str,
        call: Call,
        *,
        parent: Frame | None,
        tags: dict[str, str],
        timeout_at: int,
        step: Step | None = None,
    ) -> None:
        self.workflow = workflow
        self.id = frame_id
        self.call = call
        self.parent = parent
        self.tags = tags
        self.timeout_at = timeout_at
        self._step = step
        self._over = False
        self._number = 1
        while workflow.recorded(self._retry_id(self._number)):
            self._number += 1
        self._attempt: Attempt | None = None
        self._retry: Step | None = None

    def child(self, step: Step) -> Frame:
        """Return the frame of a local step."""
        assert step.plan.call is not None, "only local steps have a function here"
        return Frame(
            self.workflow,
            step.id,
            step.plan.call,
            parent=self,
            tags=step.plan.tags,
            timeout_at=step.plan.timeout_at,
            step=step,
        )

    @property
    def over(self) -> bool:
        """Tell whether nothing more comes of it."""
        return self._over

    @property
    def is_coroutine(self) -> bool:
        """Tell whether its body may go on by itself while it awaits something durable."""
        return self._attempt is not None and self._attempt.is_coroutine

    @property
    def span(self) -> Span | None:
        """Return the span of its present run, if there is one."""
        return None if self._attempt is None else self._attempt.span

    def start(self) -> None:
        """Begin an attempt at the top of the function."""
        with self.workflow.lock:
            if self._over:
                return
            live = self._attempt is None and self.workflow.execution.version == 1
            attempt = self._attempt = Attempt(self, self._number, live=live)
            attempt.rise()
        if inspect.iscoroutinefunction(attempt.call.func):
            self.workflow.jobs.run_async(attempt.run_coroutine)
        else:
            self.workflow.jobs.run(attempt.run)

    def replay(self, attempt: Attempt) -> None:
        """Begin anew, at the top, what was let go; unless that was done already."""
        if self._attempt is attempt:
            self.start()

    def sort_out(self) -> None:
        """Something is known of a step that was asked for: tell what waits for that."""
        if self._attempt is not None:
            self._attempt.sort_out()

    def children(self) -> list[Step]:
        """Return what goes on for it: its attached steps, and the wait for its next attempt."""
        children = [] if self._attempt is None else list(self._attempt.children.values())
        return children if self._retry is None else [*children, self._retry]

    def end(self, error: BaseException) -> list[After]:
        """Nothing that the body does counts any more; with the lock held.

        Returns what breaks it off.
        """
        self._over = True
        return [] if self._attempt is None else self._attempt.stop(error)

    # --- how an attempt ends ----------------------------------------------------------------------

    def returned(self, attempt: Attempt, value: Any) -> None:
        """Settle with a value, once all children have ended."""
        try:
            encoded = codec.encode(value, encoder=self.call.encoder, limit=codec.LIMIT)
        except Exception as error:  # noqa: BLE001  # also what a user's own type raises
            self.raised(attempt, error)
            return
        self._join(attempt, functools.partial(self._complete, attempt, ("resolved", encoded)))

    def raised(self, attempt: Attempt, error: BaseException) -> None:
        """Settle with an error, or try again, once all children have ended."""
        self._join(attempt, functools.partial(self._failed, attempt, error))

    def _join(self, attempt: Attempt, then: Callable[[], None]) -> None:
        workflow = self.workflow
        with workflow.lock:
            if attempt.gone is not None:
                return
            attempt.closed = True
            attempt.journal.end()
            left = {step.id: step for step in attempt.children.values() if step.holds}

            def ended(step: Step) -> After | None:
                left.pop(step.id, None)
                if left or attempt.gone is not None:
                    return None
                attempt.rise()
                return then

            for step in list(left.values()):
                workflow.watch(step, functools.partial(ended, step))
            if left:
                attempt.rest()
                return
        then()

    def _failed(self, attempt: Attempt, error: BaseException) -> None:
        delay = delay_after(
            self.call.retry_policy or Never(),
            self._number,
            error,
            now=self.workflow.host.machine.time(),
            deadline=self.timeout_at / 1000,
            non_retryable=self.call.non_retryable,
        )
        attempt.end_span("rejected" if delay is None else "retried", error)
        if delay is None:
            self._complete(attempt, ("rejected", self._encode_error(error)))
            return
        log.info("%s failed in attempt %d, trying again in %.3f s", self.id, self._number, delay)

        def again() -> After | None:
            attempt.rise()
            return None if attempt.gone is not None else functools.partial(self._again, attempt)

        with self.workflow.lock:
            if attempt.gone is not None:
                return
            if self.workflow.watch(self._wait_for_retry(delay), again):
                attempt.rest()
                return
        self._again(attempt)

    def _encode_error(self, error: BaseException) -> Value:
        return codec.encode_error(error, encoder=self.call.encoder, limit=codec.LIMIT)

    def _wait_for_retry(self, delay: float) -> Step:
        """Record that the attempt failed, by a timer: a restart counts such timers."""
        step_id = self._retry_id(self._number)
        root = self.workflow.promise
        now = self.workflow.host.machine.time()
        at = min(int((now + delay) * 1000), self.timeout_at)
        tags = local_tags(root.tags.get(ORIGIN, root.id), root.id, self.id, RETRY)
        plan = Plan(RETRY, "", EMPTY, {**tags, TIMER: "true"}, at)
        self._retry = self.workflow.begin(self, step_id, plan)
        return self._retry

    def _again(self, attempt: Attempt) -> None:
        with self.workflow.lock:
            if attempt.gone is None:
                attempt.finish()
                self._number += 1
                self.start()

    def _retry_id(self, attempt: int) -> str:
        return f"{self.id}.retry.{attempt}"

    def _complete(self, attempt: Attempt, ended: Ended) -> None:
        attempt.end_span(ended[0])
        with self.workflow.lock:
            if attempt.gone is not None:
                return
            attempt.finish()
            self._over = True
            self.workflow.rise()  # until how it ended is written
        left = self.workflow.unasked(self.id, self._number)
        if left is not None:
            self.workflow.give_back_for(self.id, ended, left)
        elif self._step is not None:
            self.workflow.settle_local(self._step, ended)
        else:
            self.workflow.ended(ended, self._number)
