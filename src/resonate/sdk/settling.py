"""Settling: an outcome on its way to the server, until it is there or does not count any more.

================================  ==================================================================
the server takes it               the lease is over, whoever waits here is told
the lease was lost                the outcome is thrown away
the value is refused (too large)  the promise is rejected with the server's words
the server is away                the outcome is kept and sent when it is back
================================  ==================================================================
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable

from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.records import PromiseRecord
from resonate.sdk import codec
from resonate.sdk.errors import ResonateError
from resonate.sdk.execution import Ended, Execution
from resonate.sdk.sender import Item

_AGAIN_SECONDS = 2.0
_GONE = (404, 409)  # the lease is not ours (any more)
_UNFIT = (400, 413, 422)  # the server will never take this value
log = logging.getLogger("resonate.worker")


class Settling:
    """Outcomes under way. ``settled`` is told of records, ``over`` of executions; on the loop."""

    def __init__(
        self,
        *,
        put: Callable[[Item], None],
        head: Callable[[], rq.Head],
        settled: Callable[[PromiseRecord], None],
        over: Callable[[Execution], None],
    ) -> None:
        self._put = put
        self._head = head
        self._tell = settled
        self._over = over
        self._retries: dict[Execution, asyncio.TimerHandle] = {}

    def fulfill(self, execution: Execution, outcome: Ended) -> None:
        """Send the outcome."""
        settle = rq.PromiseSettleData(execution.id, *outcome)
        action = rq.SettleAction(settle, "promise.settle", {})
        data = rq.TaskFulfillData(execution.id, execution.version, action)
        done = functools.partial(self._answered, execution, outcome)
        self._put(Item([rq.TaskFulfill(self._head(), data)], done, None))

    def close(self) -> None:
        """Try nothing again."""
        for timer in self._retries.values():
            timer.cancel()

    def _answered(self, execution: Execution, outcome: Ended, item: Item) -> None:
        if item.error is not None:
            log.warning("the result of %s was not delivered: %s", execution.id, item.error)
            self._over(execution)
            return
        answer = item.answers[0]
        if answer.status == 200:
            self._tell(answer.data.promise)
            self._over(execution)
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
        self._over(execution)

    def _refused(self, execution: Execution, answer: Answer) -> None:
        """Reject with what the server said: it never takes this value."""
        text = f"the server refused the result of {execution.id}: {answer.status} {answer.data}"
        log.error("%s", text)
        if execution.complained:  # of the refusal of a refusal
            self._over(execution)
            return
        execution.complained = True
        self.fulfill(execution, ("rejected", codec.encode_error(ResonateError(text))))

    def _not_now(self, execution: Execution, outcome: Ended, answer: Answer) -> None:
        """Keep the outcome: the server has a problem of its own, or with our credentials."""
        if not execution.complained:
            execution.complained = True
            log.error(
                "the result of %s is not taken, trying again: %s %s",
                execution.id,
                answer.status,
                answer.data,
            )
        again = functools.partial(self._again, execution, outcome)
        loop = asyncio.get_running_loop()
        self._retries[execution] = loop.call_later(_AGAIN_SECONDS, again)

    def _again(self, execution: Execution, outcome: Ended) -> None:
        del self._retries[execution]
        self.fulfill(execution, outcome)
