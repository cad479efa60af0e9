"""The client that a test uses: it waits in virtual time, and its calls are run by the workers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from resonate.protocol import requests as rq
from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.records import PromiseRecord
from resonate.sdk.client import Client
from resonate.sdk.machine import Machine
from resonate.sdk.resonate import Resonate
from resonate.sdk.sender import Item
from resonate.sdk.shared import Shared
from resonate.sdk.transport import Transport
from resonate.testing.errors import HarnessError
from resonate.testing.stage import TurnFuture


class Behind(Protocol):
    """What stands behind the client."""

    @property
    def caller(self) -> Client:
        """Return what sends requests; raises HarnessError when there is none."""

    @property
    def worker(self) -> Client:
        """Return the worker of the own group."""

    def calm(self) -> None:
        """Wait until all has happened that can happen now."""


class Caller(Client):
    """Sends what the test asks for; a worker runs it. Lives as long as the harness."""

    behind: Behind

    def ask(self, *requests: rq.Request) -> Future[Item]:
        """Send requests, once all has happened that can happen before."""
        self.behind.calm()
        return super().ask(*requests)

    def ask_and_subscribe(
        self, create: rq.PromiseCreate
    ) -> tuple[Future[Item], Future[PromiseRecord]]:
        """Create a promise and listen for it in one go."""
        self.behind.calm()
        asked, settled = super().ask_and_subscribe(create)
        return asked, _inner(settled)

    def subscribe(self, promise_id: str) -> Future[PromiseRecord]:
        """Return the future of the settled promise."""
        settled = _inner(super().subscribe(promise_id))
        self.behind.calm()
        return settled

    def start(self) -> None:
        """Nothing: workers are there already."""

    def take(self, lease: LeaseAnswer) -> None:
        """Have a call executed that was acquired for the worker."""
        self.behind.worker.take(lease)

    def stop(self, drain_seconds: float) -> None:
        """Nothing: the harness ends it."""

    def end(self) -> None:
        """End it."""
        super().stop(0)


def _inner(settled: Future[PromiseRecord]) -> Future[PromiseRecord]:
    if isinstance(settled, TurnFuture):
        settled.own = True
    return settled


class FrontShared(Shared):
    """What ``Front`` and its copies with other options have in common."""

    behind: Behind | None = None

    @property
    def client(self) -> Client:
        """Return what sends requests."""
        return self._there().caller

    @property
    def pid(self) -> str:
        """Return the name of the worker that runs calls of the test."""
        behind = self._there()
        behind.calm()
        return behind.worker.pid

    def stop(self, seconds: float) -> None:
        """Nothing: the harness ends it."""

    def tell_if_idle(self, promise: PromiseRecord) -> None:
        """Nothing: the harness has a worker."""

    def _subscribe(self, id: str) -> Future[PromiseRecord]:
        told = super()._subscribe(id)
        if isinstance(told, TurnFuture):
            told.awaits = id
        return told

    def worker(self, connect: Callable[[], Transport], group: str, pid: str, on: Machine) -> Client:
        """Return a new worker, not started."""
        return self._made(Client, connect, group, pid, on)

    def caller(self, connect: Callable[[], Transport], pid: str, behind: Behind) -> Caller:
        """Return the client of the test."""
        caller = self._made(Caller, connect, self.group, pid)
        caller.behind = self.behind = behind
        return caller

    def _there(self) -> Behind:
        if self.behind is None:
            raise HarnessError("the harness has not begun: use it in a with block")
        return self.behind


class Front(Resonate):
    """The Resonate of a harness."""

    _kind = FrontShared

    @property
    def shared(self) -> FrontShared:
        """Return what its copies have in common with it."""
        assert isinstance(self._shared, FrontShared), "it is made by _kind"
        return self._shared
