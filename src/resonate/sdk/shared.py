"""What a Resonate and its copies with other options have in common.

Rules:
- The client, with its thread and connections, comes with the first use and goes with ``stop``; the
  next use makes a new one.
- A process that was forked has none of its parent's threads: there the first use makes a new
  client, under another pid.
- What is not stopped is, when the program ends, or nobody can use it any more (``living``).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from resonate.protocol.records import PromiseRecord
from resonate.protocol.validation import TARGET
from resonate.sdk import living
from resonate.sdk.cancelling import cancel
from resonate.sdk.client import Client
from resonate.sdk.encoders import Encoder
from resonate.sdk.exchanges import blocking
from resonate.sdk.explaining import explained
from resonate.sdk.handle import Handle
from resonate.sdk.machine import Machine
from resonate.sdk.options import address_of_group
from resonate.sdk.registry import Registry
from resonate.sdk.transport import Transport

C = TypeVar("C", bound=Client)


LOCAL = "the server in this process"
log = logging.getLogger("resonate.network")


class Shared:
    """One process in one group, and its way to the server. The arguments are ``Resonate``'s."""

    def __init__(
        self,
        connect: Callable[[], Transport],
        *,
        where: str,
        group: str,
        pid: str | None,
        ttl: int,
        capacity: int,
        patience: float,
        token: str | None,
        registry: Registry,
        dependencies: dict[str, Any],
        encoder: Encoder | None = None,
        machine: Machine | None = None,
    ) -> None:
        self.where = where
        self.group = group
        self.ttl = ttl
        self.capacity = capacity
        self.patience = patience
        self.token = token
        self.registry = registry
        self.dependencies = dependencies
        self.encoder = encoder
        self.machine = machine or Machine()
        self._connect = connect
        self._given_pid = pid
        self._pid = pid or _default_pid()
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._process = os.getpid()
        self._told_idle = False

    @property
    def pid(self) -> str:
        """Return the name of this process."""
        self._notice_fork()
        return self._pid

    @property
    def client(self) -> Client:
        """Return the client, connected with the first use."""
        self._notice_fork()
        with self._lock:
            if self._client is None:
                self._client = self._made(Client, self._connect, self.group, self._pid)
                living.keep(self._client, self)
            return self._client

    def _made(
        self,
        kind: type[C],
        connect: Callable[[], Transport],
        group: str,
        pid: str,
        machine: Machine | None = None,
    ) -> C:
        """Return a new client that has what all of this process have in common."""
        return kind(
            connect,
            where=self.where,
            group=group,
            pid=pid,
            ttl=self.ttl,
            capacity=self.capacity,
            patience=self.patience,
            token=self.token,
            registry=self.registry,
            dependencies=self.dependencies,
            encoder=self.encoder,
            machine=machine or self.machine,
        )

    def handle(
        self,
        id: str,
        promise: PromiseRecord | None = None,
        *,
        settled: Future[PromiseRecord] | None = None,
        func: Callable[..., Any] | None = None,
        encoder: Encoder | None = None,
    ) -> Handle[Any]:
        """Return a handle; with a settled record, or the future of one, one that need not ask.

        ``func`` says by its annotation what the result is.
        """
        if promise is not None and promise.state != "pending":
            settled = Future()
            settled.set_result(promise)
        known = settled and explained(self.client, settled)
        subscribe = self._subscribe if known is None else lambda _id: known
        return Handle(id, subscribe, self.cancel, func, encoder or self.encoder)

    def tell_if_idle(self, promise: PromiseRecord) -> None:
        """Say, once, that nobody can take a call: a server in this process has no other workers."""
        if self._told_idle or self.where != LOCAL or self.client.working:
            return
        if promise.state == "pending" and promise.tags.get(TARGET) == address_of_group(self.group):
            self._told_idle = True
            log.warning("call %s waits until this process works: start() has it do so", promise.id)

    def cancel(self, id: str) -> bool:
        """Cancel a promise and its attached children; see ``Handle.cancel``."""
        return blocking(cancel(self.client.ask, self.client.head, id))

    def stop(self, seconds: float) -> None:
        """Stop the client; the next use makes a new one. Until then calls still use it."""
        self._notice_fork()
        with self._lock:
            client = self._client
        if client is None:
            return
        client.stop(seconds)
        with self._lock:
            if self._client is client:
                self._client = None

    def _subscribe(self, id: str) -> Future[PromiseRecord]:
        client = self.client
        return explained(client, client.subscribe(id))

    def _notice_fork(self) -> None:
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        self._lock = threading.Lock()  # the parent's may have been held
        self._begin_anew()  # its threads stayed behind

    def _begin_anew(self) -> None:
        """Have the next use make a new client."""
        self._client = None
        self._pid = self._given_pid or _default_pid()


def _default_pid() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
