"""Simulated callers: they call, listen, settle what waits for people, search, make schedules."""

from __future__ import annotations

import asyncio
from typing import Any

from resonate.engine.members import Terms
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.messages import Message, UnblockData
from resonate.protocol.validation import BRANCH, DELAY, ORIGIN, TARGET
from simulation.loop import Process
from simulation.network import Lost, Network, Stream
from simulation.workers import ANY, function_tags

GROUP = "callers"
KINDS = ("leaf", "leaf", "leaf", "flow 1", "flow 3", "nap", "human", "unknown")


class Caller:
    """A program that makes calls until it is told to stop."""

    def __init__(self, network: Network, number: int) -> None:
        self._network = network
        self._chance = network.chance
        self._loop = network.loop
        self.pid = f"c{number}"
        self.process = Process(self.pid)
        self.address = f"poll://uni@{GROUP}/{self.pid}"
        self.called: dict[str, str] = {}  # id -> what
        self.listening: set[str] = set()
        self.heard: set[str] = set()
        self.schedules: dict[str, tuple[str, int]] = {}
        self.calling = True
        self._corr = 0
        self.stream: Stream | None = None
        self._loop.spawn(self.process, self._stay_connected())
        self._loop.spawn(self.process, self._live())

    async def _stay_connected(self) -> None:
        terms = Terms(capacity=0, presence=True, declared=True)
        while True:
            if self._network.server.engine is not None:
                self.stream = Stream(
                    self._network, self.process, GROUP, self.pid, terms, self._receive
                )
                await self.stream.ended.wait()
            await asyncio.sleep(0.05 + self._chance.delay())

    def _receive(self, message: Message) -> None:
        if isinstance(message.data, UnblockData):
            self.heard.add(message.data.promise.id)

    async def _live(self) -> None:
        while self.calling:
            await asyncio.sleep(self._chance.pause(8.0))
            try:
                await self._something()
            except Lost:
                continue

    async def _something(self) -> None:
        pick = self._chance.random.choice
        what = pick(
            ("call",) * 8
            + ("again", "listen", "get", "settle", "people", "people", "search")
            + ("halt", "schedule", "batch")
        )
        if what == "call":
            await self._call(f"{self.pid}-{len(self.called)}")
        elif what == "again" and self.called:
            await self._call(pick(list(self.called)))
        elif what == "listen" and self.called:
            await self.listen(pick(list(self.called)))
        elif what == "get" and self.called:
            await self.ask(rq.PromiseGet, rq.IdData(pick(list(self.called))))
        elif what == "settle" and self.called and self._chance.happens(0.3):
            state = pick(("resolved", "rejected", "rejected_canceled"))
            await self.ask(rq.PromiseSettle, rq.PromiseSettleData(pick(list(self.called)), state))
        elif what == "people":
            await self.settle_what_waits_for_people(limit=1)
        elif what == "search":
            await self._search()
        elif what == "halt" and self.called:
            task_id = pick(list(self.called))
            await self.ask(rq.TaskHalt, rq.IdData(task_id))
            await asyncio.sleep(self._chance.random.random())
            await self.insist(rq.TaskContinue, rq.IdData(task_id))
        elif what == "schedule" and not self.schedules:
            await self._schedule()
        elif what == "batch":
            await self._batch()

    async def _call(self, promise_id: str) -> None:
        pick = self._chance.random.choice
        what = self.called.setdefault(promise_id, pick(KINDS))
        now = self._network.server.now()
        timeout = pick((300_000, 300_000, 300_000, 3_000, 500))
        tags = {TARGET: pick((ANY, ANY, ANY, f"{ANY}/w0"))}
        if pick((True, False)):
            tags |= {ORIGIN: promise_id, BRANCH: promise_id}
        if pick((False, False, False, True)):
            tags[DELAY] = str(now + timeout // 3)
        tags |= function_tags(self._chance, what)
        data = rq.PromiseCreateData(promise_id, now + timeout, rq.Value(data=what), tags)
        await self.ask(rq.PromiseCreate, data)

    async def listen(self, promise_id: str) -> None:
        """Ask to be told when the promise is settled."""
        data = rq.RegisterListenerData(promise_id, self.address)
        answer = await self.ask(rq.PromiseRegisterListener, data)
        if answer.status == 200:
            self.listening.add(promise_id)
            if answer.data.promise.state != "pending":
                self.heard.add(promise_id)

    async def settle_what_waits_for_people(self, limit: int = 100) -> None:
        """Settle promises that no worker settles."""
        query = rq.PromiseSearchData(state="pending", tags={"resonate:external": "true"})
        answer = await self.ask(rq.PromiseSearch, query)
        if answer.status != 200:
            return
        for each in answer.data.promises[:limit]:
            await self.ask(rq.PromiseSettle, rq.PromiseSettleData(each.id, "resolved"))

    async def _search(self) -> None:
        cursor = None
        while True:
            query = rq.PromiseSearchData(
                limit=50, cursor=cursor, order=self._chance.random.choice(("id", "newest"))
            )
            answer = await self.ask(rq.PromiseSearch, query)
            if answer.status != 200 or cursor is not None:
                return
            cursor = answer.data.cursor if query.order == "id" else None
            if cursor is None:
                return

    async def _schedule(self) -> None:
        schedule_id = f"{self.pid}-s"
        data = rq.ScheduleCreateData(
            schedule_id,
            "*/2 * * * * *",
            "{{.id}}@{{.timestamp}}",
            600_000,
            rq.Value(data="leaf"),
            {TARGET: ANY, **function_tags(self._chance, "leaf")},
        )
        answer = await self.ask(rq.ScheduleCreate, data)
        if answer.status == 200:
            schedule = answer.data.schedule
            first = schedule.created_at // 2000 * 2000 + 2000
            self.schedules[schedule_id] = (schedule_id, first)

    async def _batch(self) -> None:
        ids = [f"{self.pid}-b{len(self.called)}-{number}" for number in range(3)]
        now = self._network.server.now()
        requests = [
            rq.PromiseCreate(
                self._head(),
                rq.PromiseCreateData(each, now + 300_000, rq.Value(data="leaf"), {TARGET: ANY}),
            )
            for each in ids
        ]
        for each in ids:
            self.called[each] = "leaf"
        await self._network.ask(self.process, *requests)

    async def insist(self, kind: Any, data: Any) -> Answer:
        """Ask until there is an answer."""
        while True:
            try:
                answer = await self.ask(kind, data)
            except Lost:
                continue
            if answer.status != 503:
                return answer
            await asyncio.sleep(0.1)

    async def ask(self, kind: Any, data: Any) -> Answer:
        """Ask once; raises Lost."""
        (answer,) = await self._network.ask(self.process, kind(self._head(), data))
        return answer

    def _head(self) -> rq.Head:
        self._corr += 1
        return rq.Head(f"{self.pid}-{self._corr}", rq.VERSION)
