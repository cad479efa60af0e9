"""Suspended workflows: kept in memory to go on in place when their next lease comes here.

Rules:
- They take no slot, no lease and no heartbeat. Another worker may finish one of them, or somebody
  cancel it, without a word to us: so now and then the server is asked about the oldest.
- There are at most ``SUSPENSIONS_MAX``; the oldest is dropped, and replayed when there is news.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from resonate.protocol import requests as rq
from resonate.sdk.sender import Item
from resonate.sdk.workflow import Workflow

SUSPENSIONS_MAX = 100_000
_LOOK_SECONDS = 30.0
_LOOK_MAX = 500  # that are asked about at a time
Key = tuple[str, int]


class Suspensions:
    """Workflows by their task, the one that was suspended first in front; on the network's loop.

    ``put`` sends an item. ``gone`` is told of workflows that ended elsewhere, and how.
    """

    def __init__(
        self,
        put: Callable[[Item], None],
        head: Callable[[], rq.Head],
        gone: Callable[[Workflow, str], None],
    ) -> None:
        self._put = put
        self._head = head
        self._gone = gone
        self._workflows: OrderedDict[Key, Workflow] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._workflows)

    def add(self, key: Key, workflow: Workflow) -> None:
        """Keep a workflow; drop the oldest when there are too many."""
        self._workflows[key] = workflow
        if len(self._workflows) > SUSPENSIONS_MAX:
            _, oldest = self._workflows.popitem(last=False)
            oldest.lose()
        self._look_later()

    def get(self, key: Key) -> Workflow | None:
        """Return the workflow of a task."""
        return self._workflows.get(key)

    def take(self, key: Key) -> None:
        """It goes on."""
        self._workflows.pop(key, None)

    def close(self) -> None:
        """Drop all."""
        if self._timer is not None:
            self._timer.cancel()
        while self._workflows:
            _, workflow = self._workflows.popitem()
            workflow.lose()

    def _look_later(self) -> None:
        if self._timer is None and self._workflows:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        asked = list(islice(self._workflows.items(), _LOOK_MAX))
        for key, _ in asked:
            self._workflows.move_to_end(key)
        requests: list[rq.Request] = [
            rq.PromiseGet(self._head(), rq.IdData(workflow.id)) for _, workflow in asked
        ]

        def done(item: Item) -> None:
            if item.error is None:
                for (key, workflow), answer in zip(asked, item.answers, strict=True):
                    if answer.status == 404:
                        self._drop(key, workflow, "deleted")
                    elif answer.status == 200 and answer.data.promise.state != "pending":
                        self._drop(key, workflow, answer.data.promise.state)
            self._look_later()

        if requests:
            self._put(Item(requests, done, _LOOK_SECONDS))

    def _drop(self, key: Key, workflow: Workflow, state: str) -> None:
        if self._workflows.get(key) is workflow and workflow.resting:
            del self._workflows[key]
            self._gone(workflow, state)
            workflow.lose()
