"""Calls: from a function and its arguments to a durable promise, and to the handle of it.

``rpc`` leaves the execution to the target group, ``run`` begins with it in this process. Either way
the promise decides: with an id that exists, nothing new is made.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from resonate.protocol import requests as rq
from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.records import PromiseRecord
from resonate.sdk import checks, codec, telemetry
from resonate.sdk.exchanges import Exchange, checked
from resonate.sdk.handle import Handle
from resonate.sdk.options import Options, deadline
from resonate.sdk.registry import Callee, Func
from resonate.sdk.retry_tags import policy_tag
from resonate.sdk.sender import Item
from resonate.sdk.shared import Shared
from resonate.sdk.tags import call_tags, tree_tags

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
        callee = shared.registry.callee_here(func, self.options.version)
        create = self._create(id, callee, args, kwargs)
        action = rq.CreateAction(create.data, "promise.create", {})
        data = rq.TaskCreateData(shared.pid, shared.ttl, action)
        shared.client.start()
        span = _span("run", callee, create)
        asked = shared.client.ask(rq.TaskCreate(shared.client.head(), data))
        if span is not None:
            span.until_durable(asked)
        item = yield asked
        lease = yield from self._lease(id, item)
        if lease is not None and lease.task.state == "acquired":
            shared.client.take(lease)
        return self._handle(id, callee, None if lease is None else lease.promise)

    def rpc(self, id: str, func: Func, args: Args, kwargs: Kwargs) -> Begun:
        """As ``begin_rpc``, for somebody who waits: the listener is registered along with it."""
        callee, create = self._called(id, func, args, kwargs)
        span = _span("rpc", callee, create, waits=True)
        asked, settled = self._shared.client.ask_and_subscribe(create)
        if span is not None:
            span.until_settled(asked, settled)
        promise = _promise((yield asked))
        self._shared.tell_if_idle(promise)
        return self._handle(id, callee, promise, settled)

    def begin_rpc(self, id: str, func: Func, args: Args, kwargs: Kwargs) -> Begun:
        """See ``Resonate.begin_rpc``."""
        callee, create = self._called(id, func, args, kwargs)
        span = _span("rpc", callee, create)
        asked = self._shared.client.ask(create)
        if span is not None:
            span.until_durable(asked)
        promise = _promise((yield asked))
        self._shared.tell_if_idle(promise)
        return self._handle(id, callee, promise)

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

    def _called(
        self, id: str, func: Func, args: Args, kwargs: Kwargs
    ) -> tuple[Callee, rq.PromiseCreate]:
        checks.check_text("id", id)
        callee = self._shared.registry.callee(func, self.options.version)
        return callee, self._create(id, callee, args, kwargs)

    def _create(self, id: str, callee: Callee, args: Args, kwargs: Kwargs) -> rq.PromiseCreate:
        """Return the promise that is the call."""
        shared, options = self._shared, self.options
        callee.check_arguments(args, kwargs)
        encoder = options.encoder or shared.encoder
        param = codec.encode_call(
            callee.name, callee.version, args, kwargs, encoder=encoder, limit=codec.LIMIT
        )
        tags = {
            **(options.tags or {}),
            **policy_tag(options.retry_policy),
            **tree_tags(id, id, id),
            **call_tags(options.target, shared.group, callee.name, callee.version),
        }
        timeout_at = deadline(options.timeout, shared.machine.time())
        data = rq.PromiseCreateData(id, timeout_at, param, tags)
        return rq.PromiseCreate(shared.client.head(), data)

    def _handle(
        self,
        id: str,
        callee: Callee,
        promise: PromiseRecord | None,
        settled: Future[PromiseRecord] | None = None,
    ) -> Handle[Any]:
        return self._shared.handle(
            id, promise, settled=settled, func=callee.func, encoder=self.options.encoder
        )


def _span(
    kind: str, callee: Callee, create: rq.PromiseCreate, *, waits: bool = False
) -> telemetry.CallSpan | None:
    """Return the span of a call, None when nobody wants one."""
    if telemetry.active is None:
        return None
    return telemetry.active.call(kind, callee.name, callee.version, create.data, waits=waits)


def _promise(item: Item) -> PromiseRecord:
    promise: PromiseRecord = checked(item.answers[0]).data.promise
    return promise
