"""Calls: from a function and its arguments to a durable promise, and to the handle of it.

``rpc`` leaves the execution to the target group, ``run`` begins with it in this process. Either way
the promise decides: with an id that exists, nothing new is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resonate.protocol import requests as rq
from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.records import PromiseRecord
from resonate.sdk import checks, codec, telemetry
from resonate.sdk.client import checked
from resonate.sdk.errors import FunctionNotFoundError, VersionNotFoundError
from resonate.sdk.exchanges import Exchange
from resonate.sdk.function import Registrable
from resonate.sdk.handle import Handle
from resonate.sdk.options import Options, address_of, address_of_group
from resonate.sdk.registry import Registered
from resonate.sdk.retry_tags import policy_tag
from resonate.sdk.sender import Item
from resonate.sdk.shared import Shared
from resonate.sdk.signatures import check_arguments

Func = Callable[..., Any] | str
Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Begun = Exchange[Handle[Any]]


class Calls:
    """The calls of one Resonate, with its options."""

    def __init__(self, shared: Shared, options: Options) -> None:
        self.options = options
        self._shared = shared

    def begin_run(self, id: str, func: Func, args: Args, kwargs: Kwargs) -> Begun:
        """See ``Resonate.begin_run``."""
        shared = self._shared
        checks.check_text("id", id)
        entry = self._entry(func)
        if entry is None:
            raise self._unknown(func)
        create = self._invocation(id, entry.func, args, kwargs)
        action = rq.CreateAction(create.data, "promise.create", {})
        data = rq.TaskCreateData(shared.pid, shared.ttl, action)
        shared.client.start()
        span = self._span("run", func, create)
        asked = shared.client.ask(rq.TaskCreate(shared.client.head(), data))
        if span is not None:
            span.until_durable(asked)
        item = yield asked
        lease = yield from self._lease(id, item)
        if lease is not None and lease.task.state == "acquired":
            shared.client.take(lease)
        return self._handle(id, entry.func, None if lease is None else lease.promise)

    def rpc(self, id: str, func: Func, args: Args, kwargs: Kwargs) -> Begun:
        """As ``begin_rpc``, for somebody who waits: the listener is registered along with it."""
        create = self._invocation(id, func, args, kwargs)
        span = self._span("rpc", func, create, waits=True)
        asked, settled = self._shared.client.ask_and_subscribe(create)
        if span is not None:
            span.until_settled(asked, settled)
        promise = _promise((yield asked))
        entry = None if isinstance(func, str) else self._entry(func)
        typed_by = None if entry is None else entry.func
        return self._shared.handle(
            id, promise, settled=settled, func=typed_by, encoder=self.options.encoder
        )

    def begin_rpc(self, id: str, func: Func, args: Args, kwargs: Kwargs) -> Begun:
        """See ``Resonate.begin_rpc``."""
        create = self._invocation(id, func, args, kwargs)
        span = self._span("rpc", func, create)
        asked = self._shared.client.ask(create)
        if span is not None:
            span.until_durable(asked)
        return self._handle(id, func, _promise((yield asked)))

    def get(self, id: str) -> Begun:
        """See ``Resonate.get``."""
        checks.check_text("id", id)
        request = rq.PromiseGet(self._shared.client.head(), rq.IdData(id))
        promise = _promise((yield self._shared.client.ask(request)))
        return self._shared.handle(id, promise, encoder=self.options.encoder)

    def _lease(self, id: str, item: Item) -> Exchange[LeaseAnswer | None]:
        """Return what this very call holds, or what has ended; None: somebody else executes it."""
        answer = item.answers[0]
        if answer.status == 409:
            return (yield from self._earlier_lease(id)) if item.repeated else None
        lease: LeaseAnswer = checked(answer).data
        return lease

    def _earlier_lease(self, id: str) -> Exchange[LeaseAnswer | None]:
        """Look whether an earlier try, whose answer got lost, took the lease for this process."""
        client = self._shared.client
        item = yield client.ask(
            rq.TaskGet(client.head(), rq.IdData(id)), rq.PromiseGet(client.head(), rq.IdData(id))
        )
        task = checked(item.answers[0]).data.task
        promise = checked(item.answers[1]).data.promise
        mine = task.state == "acquired" and task.pid == self._shared.pid
        return LeaseAnswer(task, promise, []) if mine else None

    def _invocation(self, id: str, func: Func, args: Args, kwargs: Kwargs) -> rq.PromiseCreate:
        checks.check_text("id", id)
        shared = self._shared
        entry = self._entry(func)
        if isinstance(func, str):
            checks.check_text("func", func)
            name, version = func, self.options.version or (entry.version if entry else 1)
        elif entry is not None:
            name, version = entry.name, entry.version
            check_arguments(entry.func, args, kwargs)
        else:
            raise self._unknown(func)
        encoder = self.options.encoder or shared.encoder
        param = codec.encode_call(name, version, args, kwargs, encoder=encoder, limit=codec.LIMIT)
        target = self.options.target
        tags = {
            **(self.options.tags or {}),
            **policy_tag(self.options.retry_policy),
            "resonate:origin": id,
            "resonate:branch": id,
            "resonate:parent": id,
            "resonate:scope": "global",
            "resonate:target": address_of(target) if target else address_of_group(shared.group),
        }
        data = rq.PromiseCreateData(id, self.options.deadline(shared.machine.time()), param, tags)
        return rq.PromiseCreate(shared.client.head(), data)

    def _span(
        self, kind: str, func: Func, create: rq.PromiseCreate, *, waits: bool = False
    ) -> telemetry.CallSpan | None:
        """Return the span of a call, None when nobody wants one."""
        if telemetry.active is None:
            return None
        entry = self._entry(func)
        name = func if isinstance(func, str) else entry.name if entry is not None else ""
        version = self.options.version or (entry.version if entry is not None else 1)
        return telemetry.active.call(kind, name, version, create.data, waits=waits)

    def _unknown(self, func: Func) -> FunctionNotFoundError:
        """Return what is raised for a function that is not registered here."""
        name = func if isinstance(func, str) else getattr(func, "__name__", repr(func))
        version = self.options.version
        known = self._shared.registry.versions(name)
        if version and known and isinstance(func, str):
            return VersionNotFoundError(name, version, known)
        return FunctionNotFoundError(name, version if isinstance(func, str) else 0)

    def _handle(self, id: str, func: Func, promise: PromiseRecord | None) -> Handle[Any]:
        entry = None if isinstance(func, str) else self._entry(func)
        typed_by = None if entry is None else entry.func
        return self._shared.handle(id, promise, func=typed_by, encoder=self.options.encoder)

    def _entry(self, func: Func) -> Registered | None:
        registry = self._shared.registry
        if isinstance(func, str):
            return registry.find(func, self.options.version)
        if isinstance(func, Registrable):
            func = func.func
        if not callable(func):
            raise TypeError(f"func must be `Callable | str`, got {type(func).__name__}")
        return registry.of(func)


def _promise(item: Item) -> PromiseRecord:
    promise: PromiseRecord = checked(item.answers[0]).data.promise
    return promise
