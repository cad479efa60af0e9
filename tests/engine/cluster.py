"""An engine with fake connections: what they are sent is remembered, nothing is encoded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from resonate.engine.engine import Engine
from resonate.engine.members import Terms
from resonate.protocol import requests as rq
from resonate.protocol.messages import ExecuteData
from resonate.protocol.validation import DELAY, TARGET
from tests.waiting import eventually

HEAD = rq.Head("1", rq.VERSION)
FAR = 10**15  # a deadline that no test reaches
ANY = "poll://any@g"


class Worker:
    """A connection that remembers what it was sent. ``accepts`` False: its socket is gone."""

    def __init__(self, server, pid="w", group="g", *, accepts=True, **terms):
        terms = {"capacity": 10, "claim": True, "ttl": 60_000, **terms}
        self.pid = pid
        self.messages = []
        self.times = []
        self.ended = 0
        self.accepts = accepts
        self._engine = server.engine
        self.member = self._engine.connections.connect(group, pid, Terms(**terms), self)

    def send(self, message):
        if self.accepts:
            self.messages.append(message)
            self.times.append(asyncio.get_running_loop().time())
        return self.accepts

    def end(self):
        self.ended += 1
        self._engine.connections.disconnect(self.member)

    def leave(self, *, recycled=False):
        self._engine.connections.disconnect(self.member, recycled=recycled)

    @property
    def given(self):
        """Ids of the tasks it was offered or that were claimed for it, in order."""
        tasks = [each.data.task for each in self.messages if each.kind == "execute"]
        return [task.id for task in tasks]

    @property
    def offered(self):
        """The offers among them, as (id, version)."""
        data = [each.data for each in self.messages if each.kind == "execute"]
        return [(each.task.id, each.task.version) for each in data if isinstance(each, ExecuteData)]

    @property
    def told(self):
        """The promises it was told of, in order."""
        return [each.data.promise.id for each in self.messages if each.kind == "unblock"]

    def version(self, task_id):
        """Return the version of the last lease it was given."""
        return next(
            each.data.task.version
            for each in reversed(self.messages)
            if each.kind == "execute" and each.data.task.id == task_id
        )


class Server:
    """Requests in a shorter form. Each returns its answer."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def submit(self, *requests, size=0):
        """Submit one call; return a future of its answers."""
        future = asyncio.get_running_loop().create_future()
        self.engine.submit(list(requests), future.set_result, size)
        return future

    async def ask(self, request):
        (answer,) = await asyncio.wait_for(self.submit(request), 10)
        return answer

    async def right(self, request):
        """Ask, and hold that it goes well."""
        answer = await self.ask(request)
        assert answer.status == 200, answer
        return answer.data

    async def create(self, promise_id, target=ANY, *, timeout_at=FAR, delay=None, **tags):
        request = create(promise_id, target, timeout_at=timeout_at, delay=delay, **tags)
        return await self.right(request)

    async def get(self, promise_id):
        return (await self.right(rq.PromiseGet(HEAD, rq.IdData(promise_id)))).promise

    async def task(self, task_id):
        return (await self.right(rq.TaskGet(HEAD, rq.IdData(task_id)))).task

    async def settle(self, promise_id, state="resolved"):
        data = rq.PromiseSettleData(promise_id, state)
        return await self.right(rq.PromiseSettle(HEAD, data))

    async def acquire(self, task_id, version, pid, ttl=60_000):
        return await self.ask(rq.TaskAcquire(HEAD, rq.TaskAcquireData(task_id, version, pid, ttl)))

    async def fulfill(self, task_id, version):
        inner = rq.SettleAction(rq.PromiseSettleData(task_id, "resolved"))
        return await self.right(rq.TaskFulfill(HEAD, rq.TaskFulfillData(task_id, version, inner)))

    async def release(self, task_id, version, delay=None):
        return await self.right(rq.TaskRelease(HEAD, rq.TaskReleaseData(task_id, version, delay)))

    async def suspend(self, task_id, version, *awaited):
        actions = [rq.CallbackAction(rq.RegisterCallbackData(each, task_id)) for each in awaited]
        return await self.right(rq.TaskSuspend(HEAD, rq.TaskSuspendData(task_id, version, actions)))

    async def heartbeat(self, pid, *refs):
        data = rq.TaskHeartbeatData(pid, [rq.TaskRef(*ref) for ref in refs])
        return await self.right(rq.TaskHeartbeat(HEAD, data))

    async def listen(self, promise_id, address):
        data = rq.RegisterListenerData(promise_id, address)
        return await self.right(rq.PromiseRegisterListener(HEAD, data))

    async def stored(self, promise_id):
        """Return the object as the store has it, its deadline not applied."""
        return (await self.engine._store.snapshot())[promise_id]

    async def given(self, worker, *task_ids, seconds=5.0):
        """Wait until the worker was given exactly these tasks, in any order."""
        await eventually(lambda: len(worker.given) >= len(task_ids), seconds)
        assert sorted(worker.given) == sorted(task_ids)


def create(promise_id, target=ANY, *, timeout_at=FAR, delay=None, **tags):
    tags = dict(tags)
    if target is not None:
        tags[TARGET] = target
    if delay is not None:
        tags[DELAY] = str(delay)
    return rq.PromiseCreate(HEAD, rq.PromiseCreateData(promise_id, timeout_at, None, tags))


def read(promise_id):
    return rq.PromiseGet(HEAD, rq.IdData(promise_id))


class Gate:
    """Holds the commits of an SQLite store back until it is opened."""

    def __init__(self, server: Server) -> None:
        self._writer = server.engine._store._writer
        self._write = self._writer.write
        self._writer.write = lambda *job: self._held.append(job)
        self._held = []

    def open(self) -> None:
        self._writer.write = self._write
        for job in self._held:
            self._write(*job)


class Servers:
    """Starts servers on stores of one kind; those on one folder find what the last one left."""

    def __init__(self, stores) -> None:
        self._stores = stores
        self.kind = stores.kind

    @asynccontextmanager
    async def start(
        self, store=None, *, clock=None, grace_ms=50, settings=None, **options
    ) -> AsyncIterator[Server]:
        """Start one; ``options`` are those of its store, ``settings`` further ones of the engine."""
        store = store or self._stores.make(**options)
        engine = Engine(store, clock=clock, grace_ms=grace_ms, **settings or {})
        await engine.start()
        try:
            yield Server(engine)
        finally:
            await engine.stop()
