"""Simulated workers: they speak the protocol as an SDK would, and get killed, frozen and cut off.

What a task does stands in its promise's param:

=============  ===================================================================================
``leaf``       works a while, then fulfils
``flow N``     a local step, then N children awaited together, then fulfils
``nap``        waits for a timer, then fulfils
``human``      waits for a promise that a client settles
``unknown``    is released: this worker does not know it, some other one may
=============  ===================================================================================

The same stands in the tag of the function, if the caller gives it one. Some workers tell the server
which functions they know; they are never given others by it.

Local steps are what a replay must not do twice: each is created and settled through the fence.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from msgspec.structs import replace

from resonate.engine.members import Terms
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer, LeaseAnswer
from resonate.protocol.messages import ExecuteData, Message
from resonate.protocol.validation import BRANCH, EXTERNAL, FUNC, ORIGIN, PARENT, TARGET, TIMER
from simulation.faults import Chance
from simulation.loop import Process
from simulation.network import Lost, Network, Stream

GROUP = "workers"
ANY = f"poll://any@{GROUP}"
GONE = (404, 409)
FUNCTIONS = frozenset({"leaf", "flow", "nap", "human", "unknown"})


class LeaseLost(Exception):
    """The task is somebody else's, or its promise has ended."""


class Worker:
    """One worker process after another, under one pid or ever new ones."""

    def __init__(self, network: Network, number: int) -> None:
        self._network = network
        self._chance = network.chance
        self._loop = network.loop
        self._number = number
        pick = self._chance.random.choice
        self._same_pid = pick((True, False))
        self.ttl = pick((400, 2_000, 10_000))
        claim = pick((True, True, False))
        self._knows = pick((True, True, False))
        self._tells = pick((True, True, False))
        self._terms = Terms(
            capacity=pick((1, 3, 10)),
            claim=claim,
            ttl=self.ttl if claim else 0,
            presence=pick((True, False)),
            declared=True,
            functions=self._functions(),
        )
        self.lives = 0
        self.start()

    def _functions(self) -> frozenset[str] | None:
        known = FUNCTIONS if self._knows else FUNCTIONS - {"unknown"}
        return known if self._tells else None

    def learn(self) -> None:
        """Know everything from the next connection on."""
        self._knows = True
        self._terms = replace(self._terms, functions=self._functions())

    def start(self) -> None:
        """Begin a life."""
        self.lives += 1
        self.pid = f"w{self._number}" if self._same_pid else f"w{self._number}.{self.lives}"
        self.process = Process(self.pid)
        self.held: dict[str, int] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self.stream: Stream | None = None
        self._corr = 0
        self._loop.spawn(self.process, self._stay_connected())
        self._loop.spawn(self.process, self._beat())

    def kill(self) -> None:
        """End as by kill -9: the line breaks, which the server notices soon, or much later."""
        self.process.kill()
        if self.stream is not None:
            silent = self._chance.happens(0.2)
            self.stream.cut(noticed=60.0 if silent else self._chance.delay())

    # --- the line ---------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        while True:
            if self._network.server.engine is not None:
                stream = self.stream = Stream(
                    self._network, self.process, GROUP, self.pid, self._terms, self._receive
                )
                await stream.ended.wait()
            await asyncio.sleep(0.05 + self._chance.delay())

    def _receive(self, message: Message) -> None:
        data = message.data
        if isinstance(data, LeaseAnswer):
            self._take(data)
        elif isinstance(data, ExecuteData) and len(self.held) < self._terms.capacity:
            self._loop.spawn(self.process, self._acquire(data.task))

    async def _acquire(self, ref: rq.TaskRef) -> None:
        data = rq.TaskAcquireData(ref.id, ref.version, self.pid, self.ttl)
        try:
            (answer,) = await self._network.ask(self.process, rq.TaskAcquire(self._head(), data))
        except Lost:
            return
        if answer.status == 200:
            self._take(answer.data)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.ttl / 3000)
            refs = [rq.TaskRef(task_id, version) for task_id, version in self.held.items()]
            if not refs and not self._chance.happens(0.1):
                continue
            data = rq.TaskHeartbeatData(self.pid, refs)
            try:
                (answer,) = await self._network.ask(
                    self.process, rq.TaskHeartbeat(self._head(), data)
                )
            except Lost:
                continue
            lost = (answer.data.lost or ()) if answer.status == 200 else ()
            for ref in lost:
                if self.held.get(ref.id) == ref.version:
                    self._drop(ref.id)

    # --- executions -------------------------------------------------------------------------------

    def _take(self, lease: LeaseAnswer) -> None:
        task = lease.task
        if self.held.get(task.id, -1) >= task.version:
            return  # told twice
        self._drop(task.id)
        self.held[task.id] = task.version
        run = self._loop.spawn(self.process, self._execute(lease))
        self._running[task.id] = run

    def _drop(self, task_id: str) -> None:
        self.held.pop(task_id, None)
        run = self._running.pop(task_id, None)
        if run is not None and run is not asyncio.current_task():
            run.cancel()

    async def _execute(self, lease: LeaseAnswer) -> None:
        task_id, version = lease.task.id, lease.task.version
        with contextlib.suppress(LeaseLost):
            await self._run(lease.promise.param.data or "leaf", lease)
        if self.held.get(task_id) == version:
            self._drop(task_id)

    async def _run(self, what: str, lease: LeaseAnswer) -> None:
        task_id, version = lease.task.id, lease.task.version
        name, _, number = what.partition(" ")
        told = self._terms.functions
        assert told is None or name in told or FUNC not in lease.promise.tags, (
            "not asked for others"
        )
        if name == "unknown" and not self._knows:
            await self._must(rq.TaskRelease, rq.TaskReleaseData(task_id, version))
            return
        await asyncio.sleep(self._work())
        if name == "flow":
            await self._step(lease, f"{task_id}:1")
            children = [f"{task_id}.{each}" for each in range(int(number))]
            for child in children:
                what = self._child(int(number))
                tags = {TARGET: ANY, **function_tags(self._chance, what)}
                await self._create(lease, child, what, tags)
            await self._await(lease, children)
        elif name == "nap":
            await self._create(lease, f"{task_id}.t", None, {TIMER: "true"}, seconds=1.0)
            await self._await(lease, [f"{task_id}.t"])
        elif name == "human":
            await self._create(lease, f"{task_id}.h", None, {EXTERNAL: "true"})
            await self._await(lease, [f"{task_id}.h"])
        settle = rq.PromiseSettleData(task_id, "resolved", rq.Value(data=f"done {task_id}"))
        action = rq.SettleAction(settle, "promise.settle", {})
        await self._must(rq.TaskFulfill, rq.TaskFulfillData(task_id, version, action))

    def _child(self, size: int) -> str:
        return self._chance.random.choice(
            ("leaf", "nap", f"flow {size - 1}" if size > 1 else "leaf")
        )

    def _work(self) -> float:
        if self._chance.happens(0.05):
            return self.ttl / 1000 * 2.5 * self._chance.random.random()
        return self._chance.random.random() * 0.05

    async def _step(self, lease: LeaseAnswer, step_id: str) -> None:
        """Do a local step, unless its result is known."""
        known = {each.id: each for each in lease.preload}
        if step_id in known and known[step_id].state != "pending":
            return
        record = await self._create(lease, step_id, None, {BRANCH: lease.task.id})
        if record.state == "pending":
            settle = rq.PromiseSettleData(step_id, "resolved", rq.Value(data="step"))
            await self._fence(lease, rq.FenceSettle(settle, {}))

    async def _create(
        self,
        lease: LeaseAnswer,
        promise_id: str,
        what: str | None,
        tags: dict[str, str],
        seconds: float = 300.0,
    ) -> Any:
        own = {ORIGIN: lease.promise.tags.get(ORIGIN, lease.task.id), PARENT: lease.task.id}
        branch = {BRANCH: promise_id} if BRANCH not in tags else {}
        timeout_at = min(self._network.server.now() + int(seconds * 1000), lease.promise.timeout_at)
        data = rq.PromiseCreateData(
            promise_id, max(0, timeout_at), rq.Value(data=what), {**own, **branch, **tags}
        )
        answer = await self._fence(lease, rq.FenceCreate(data, {}))
        return answer.data.action.data.promise

    async def _fence(self, lease: LeaseAnswer, action: Any) -> Answer:
        data = rq.TaskFenceData(lease.task.id, lease.task.version, action)
        return await self._must(rq.TaskFence, data)

    async def _await(self, lease: LeaseAnswer, awaited: list[str]) -> None:
        """Return when all are settled; raise LeaseLost where the task is suspended until then."""
        task_id, version = lease.task.id, lease.task.version
        while awaited:
            actions = [
                rq.CallbackAction(
                    rq.RegisterCallbackData(each, task_id), "promise.register_callback", {}
                )
                for each in awaited
            ]
            answer = await self._must(rq.TaskSuspend, rq.TaskSuspendData(task_id, version, actions))
            if answer.status == 200:
                raise LeaseLost
            awaited = [each for each in awaited if not await self._is_settled(each)]

    async def _is_settled(self, promise_id: str) -> bool:
        answer = await self._must(rq.PromiseGet, rq.IdData(promise_id))
        return bool(answer.data.promise.state != "pending")

    # --- requests ---------------------------------------------------------------------------------

    async def _must(self, kind: Any, data: Any) -> Answer:
        """Ask until there is an answer; raises LeaseLost when it is no for good."""
        while True:
            try:
                (answer,) = await self._network.ask(self.process, kind(self._head(), data))
            except Lost:
                continue
            if answer.status in GONE:
                raise LeaseLost
            if answer.status == 503:
                await asyncio.sleep(0.1)
                continue
            assert answer.status in (200, 300), answer
            return answer

    def _head(self) -> rq.Head:
        self._corr += 1
        return rq.Head(f"{self.pid}-{self._corr}", rq.VERSION)


def function_tags(chance: Chance, what: str) -> dict[str, str]:
    """Return the tag of the function that is called, which some callers give and others do not."""
    return {FUNC: what.partition(" ")[0]} if chance.random.random() < 0.6 else {}
