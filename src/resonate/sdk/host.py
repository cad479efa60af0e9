"""The host: what workflows know and may ask of the worker that they run in. From any thread.

Whatever changes the worker's state is posted to the network's loop, in the order of the calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from resonate.protocol import requests as rq
from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.records import PromiseRecord
from resonate.sdk.encoders import Encoder
from resonate.sdk.machine import Machine
from resonate.sdk.processes import Processes
from resonate.sdk.registry import Registry
from resonate.sdk.sender import Item

if TYPE_CHECKING:
    from resonate.sdk.execution import Ended, Execution, Invocation
    from resonate.sdk.worker import Worker
    from resonate.sdk.workflow import Workflow


class Host:
    """The side of a worker that workflows see.

    - ``ttl``: of the leases, in milliseconds. ``capacity``: how many functions run at a time.
    - ``head()``: the head of a new request. ``put(item)``: send requests, after those before.
    - ``post`` brings a call to the network's loop, where ``listen(id, told)`` is called.
    """

    def __init__(
        self,
        *,
        pid: str,
        ttl: int,
        capacity: int,
        group: str,
        registry: Registry,
        dependencies: Mapping[str, Any],
        encoder: Encoder | None,
        machine: Machine,
        head: Callable[[], rq.Head],
        put: Callable[[Item], None],
        listen: Callable[[str, Callable[[PromiseRecord], None]], None],
        post: Callable[..., bool],
    ) -> None:
        self.pid = pid
        self.ttl = ttl
        self.capacity = capacity
        self.group = group
        self.registry = registry
        self.dependencies = dependencies
        self.encoder = encoder
        self.machine = machine
        self.processes = Processes(capacity)
        self.head = head
        self.put = put
        self._listen = listen
        self._post = post
        self._pool = machine.pool()
        self._async = machine.functions()
        self._worker: Worker

    def attach(self, worker: Worker) -> None:
        """Be the host of that worker; once, before it begins."""
        self._worker = worker

    # --- running ----------------------------------------------------------------------------------

    def run(self, job: Callable[[], None]) -> None:
        """Run a job, which may block, on a thread of the pool."""
        self._pool.run(job)

    def run_async(self, act: Callable[..., object], *args: object) -> None:
        """Call on the loop of async functions."""
        self._async.post(act, *args)

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Call on the network's loop after a while."""
        self._post(lambda: asyncio.get_running_loop().call_later(seconds, act))

    def listen(self, promise_id: str, told: Callable[[PromiseRecord], None]) -> None:
        """Call when a promise is settled, on any thread."""
        self._post(self._listen, promise_id, told)

    def close(self) -> None:
        """Start no more jobs."""
        self._pool.close()

    def join(self) -> None:
        """End the loop of async functions, and processes; from the thread that stops the client."""
        self.processes.close()
        self._async.stop()

    # --- telling the worker -----------------------------------------------------------------------

    def finished(self, execution: Execution, outcome: Ended) -> None:
        """The function has ended, and all its steps are written."""
        self._post(self._worker.finished, execution, outcome)

    def resting(self, execution: Execution) -> None:
        """The task is about to wait for others.

        Its slot is free from now on: the server, which learns of it first, may fill it at once.
        """
        self._post(self._worker.free, execution)

    def going_on(self, execution: Execution) -> None:
        """The task does not wait after all."""
        self._post(self._worker.occupy, execution)

    def suspended(self, execution: Execution) -> None:
        """The task waits for others."""
        self._post(self._worker.suspended, execution)

    def reclaimed(self, workflow: Workflow, lease: LeaseAnswer) -> None:
        """A suspended task was taken back by what goes on in it."""
        self._post(self._worker.take_back, workflow, lease)

    def unknown(self, execution: Execution, invocation: Invocation) -> None:
        """The function is not registered here."""
        self._post(self._worker.unknown, execution, invocation)

    def released(self, execution: Execution) -> None:
        """The task is to go back."""
        self._post(self._worker.release, execution)

    def lost(self, execution: Execution) -> None:
        """The lease is another's, or the promise has ended."""
        self._post(self._worker.lost, execution)

    def left(self, execution: Execution) -> None:
        """Nothing of a lost execution runs any more."""
        self._post(self._worker.free, execution)

    def canceled(self, promise: PromiseRecord) -> None:
        """A call was canceled because nobody waits for it any more: with what it has begun."""
        self._post(self._worker.canceled, promise)

    def discarded(self, task_id: str) -> None:
        """A function has ended that does not count any more."""
        self._worker.discarded(task_id)
