"""The host: what a workflow needs of the worker that it runs in. From any thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from resonate.protocol import requests as rq
from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.records import PromiseRecord
from resonate.sdk.encoders import Encoder
from resonate.sdk.machine import Machine
from resonate.sdk.registry import Registry
from resonate.sdk.sender import Item

if TYPE_CHECKING:
    from resonate.sdk.execution import Ended, Execution
    from resonate.sdk.processes import Processes
    from resonate.sdk.workflow import Workflow


class Host(Protocol):
    """A worker, or what stands for one. ``ttl`` is the lease in milliseconds."""

    pid: str
    ttl: int
    group: str
    registry: Registry
    dependencies: Mapping[str, Any]
    encoder: Encoder | None
    machine: Machine
    processes: Processes

    def head(self) -> rq.Head:
        """Return the head of a new request."""

    def put(self, item: Item) -> None:
        """Send requests, after those that were put before."""

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Call after a while, on the network's loop."""

    def run(self, job: Callable[[], None]) -> None:
        """Run a job, which may block, on a thread."""

    def run_async(self, act: Callable[..., object], *args: object) -> None:
        """Call on the loop of async functions."""

    def listen(self, promise_id: str, told: Callable[[PromiseRecord], None]) -> None:
        """Call when a promise is settled, on any thread."""

    def finished(self, execution: Execution, outcome: Ended) -> None:
        """The function has ended, and all its steps are written."""

    def resting(self, execution: Execution) -> None:
        """The task is about to wait for others: it needs no slot."""

    def going_on(self, execution: Execution) -> None:
        """The task does not wait after all."""

    def suspended(self, execution: Execution) -> None:
        """The task waits for others."""

    def reclaimed(self, workflow: Workflow, lease: LeaseAnswer) -> None:
        """A suspended task was taken back by what goes on in it."""

    def released(self, execution: Execution) -> None:
        """The task is to go back."""

    def lost(self, execution: Execution) -> None:
        """The lease is another's."""

    def canceled(self, promise: PromiseRecord) -> None:
        """A call was canceled because nobody waits for it any more."""

    def discarded(self, task_id: str) -> None:
        """A function has ended that does not count any more."""

    def left(self, execution: Execution) -> None:
        """Nothing of an execution that was lost runs any more."""
