"""One run: for a while everything goes wrong, then all is healed and must come to rest."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

from msgspec import Struct

from resonate.core.objects import Promise, Schedule, project
from resonate.protocol import requests as rq
from simulation import loop as loops
from simulation.callers import Caller
from simulation.checks import Checks
from simulation.faults import Chance
from simulation.loop import Process, VirtualLoop
from simulation.network import Lost, Network
from simulation.server import Server
from simulation.workers import Worker

FAULTY_SECONDS = 12.0
REST_SECONDS = 1_200.0  # in which a healed world has to come to rest
LOOK_SECONDS = 2.0  # between two looks at everything


class Outcome(Struct):
    """What a run did: two runs of one seed have the same."""

    seed: int
    steps: int
    promises: int
    starts: int
    seconds: float
    digest: str


def run(seed: int, *, strict: bool = False) -> Outcome:
    """Run once; raises AssertionError where something does not hold."""
    loop = loops.make()
    asyncio.set_event_loop(loop)
    try:
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            world = World(loop, seed, Path(folder, "sim.db"), strict=strict)
            try:
                return loop.run_until_complete(world.live())
            finally:
                world.close()
    finally:
        asyncio.set_event_loop(None)
        with contextlib.suppress(Exception):
            loop.close()


def _memory() -> str | None:
    """Return a folder in memory, where there is one: nothing here is about the real disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # a fresh folder in it


class World:
    """Everything there is in a run."""

    def __init__(self, loop: VirtualLoop, seed: int, path: Path, *, strict: bool) -> None:
        self.loop = loop
        self.chance = Chance(seed)
        self.fate = Process("fate")
        self.checks = Checks(path, strict=strict)
        self.server = Server(loop, self.chance, self.checks, path, strict=strict)
        self.network = Network(loop, self.chance, self.checks, self.server)
        self.workers: list[Worker] = []
        self.callers: list[Caller] = []
        self._down = False
        self._failure: BaseException | None = None
        loop.set_exception_handler(self._lost_exception)

    def close(self) -> None:
        """Let go of files."""
        self.checks.close()
        self.server.crash()

    def _lost_exception(self, _loop: object, context: dict[str, object]) -> None:
        """Keep the first violation, wherever it was raised."""
        error = context.get("exception")
        if isinstance(error, AssertionError) and self._failure is None:
            self._failure = error

    # --- a life -----------------------------------------------------------------------------------

    async def live(self) -> Outcome:
        """Begin, let things go wrong, heal, and wait for rest."""
        await self.server.start()
        random = self.chance.random
        self.workers = [Worker(self.network, number) for number in range(random.randint(1, 4))]
        self.callers = [Caller(self.network, number) for number in range(random.randint(1, 3))]
        fate = self.loop.spawn(self.fate, self._fate())
        end = self.loop.now + FAULTY_SECONDS
        while self.loop.now < end:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look()
        self.chance.faulty = False
        await fate  # what it has begun it ends
        await self._heal()
        await self._rest()
        await self.server.stop()
        return Outcome(
            self.chance.seed,
            self.checks.steps,
            len(self.checks.acknowledged),
            self.server.starts,
            self.loop.now,
            self.chance.digest(),
        )

    async def _look(self) -> None:
        """Check everything that is stored."""
        failure = self.checks.failure or self._failure
        if failure is not None:
            raise failure
        for worker in self.workers:
            self.chance.note(worker.pid, sorted(worker.held.items()))
        if self.server.store is not None:
            self.checks.whole(self.server.stored())

    # --- what goes wrong --------------------------------------------------------------------------

    async def _fate(self) -> None:
        chance = self.chance
        rates = {
            self._crash: chance.crashing,
            self._kill: chance.killing,
            self._freeze: chance.killing / 2,
            self._cut: chance.cutting,
            self._step_clock: chance.stepping,
            self._break_disk: chance.disk / 2,
            self._start_second: chance.crashing / 5,
        }
        rates = {act: rate for act, rate in rates.items() if rate > 0}
        if not rates:
            return
        total = sum(rates.values())
        while chance.faulty:
            await asyncio.sleep(min(chance.pause(total), 1.0 + 1.0 / total))
            (act,) = chance.random.choices(list(rates), list(rates.values()))
            chance.note(act.__name__, self.loop.now)
            await act()

    async def _crash(self) -> None:
        self.server.crash()
        await asyncio.sleep(self.chance.random.random())
        await self.server.start()

    async def _kill(self) -> None:
        worker = self.chance.random.choice(self.workers)
        worker.kill()
        await asyncio.sleep(self.chance.random.random() * 0.5)
        worker.start()

    async def _freeze(self) -> None:
        worker = self.chance.random.choice(self.workers)
        worker.process.frozen = True
        await asyncio.sleep(self.chance.random.random() * 2 * worker.ttl / 1000)
        self.loop.thaw(worker.process)

    async def _cut(self) -> None:
        streams = sorted(self.network.streams, key=lambda each: each._arrives)
        if streams:
            stream = self.chance.random.choice(streams)
            stream.cut(noticed=self.chance.random.choice((0.0, 0.0, 1.0, 20.0)))

    async def _step_clock(self) -> None:
        self.server.offset += self.chance.random.choice((-2.0, -0.5, 0.5, 5.0, 60.0))
        await asyncio.sleep(0)

    async def _break_disk(self) -> None:
        self.server.break_disk()
        await asyncio.sleep(self.chance.random.random())
        self.server.heal_disk()

    async def _start_second(self) -> None:
        if self.server.engine is not None:
            await self.server.second()

    # --- what must come of it ---------------------------------------------------------------------

    async def _heal(self) -> None:
        self.server.heal_disk()
        if self.server.engine is None:
            await self.server.start()
        for worker in self.workers:
            if worker.process.dead:
                worker.start()
            elif worker.process.frozen:
                self.loop.thaw(worker.process)
        for caller in self.callers:
            caller.calling = False
        steady = Worker(self.network, 99)  # somebody who knows everything and has room
        steady.learn()
        self.workers.append(steady)

    async def _rest(self) -> None:
        """Wait until everything is settled, everybody was told, and nothing is owed."""
        end = self.loop.now + REST_SECONDS
        caller = self.callers[0]
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look()
            with contextlib.suppress(Lost):
                await caller.settle_what_waits_for_people()
                for schedule_id in [each.id for each in self._schedules()]:
                    await self._end_schedule(schedule_id)
                for each in self.callers:
                    for promise_id in sorted(each.listening - each.heard):
                        await each.listen(promise_id)
                restless = self._restless()
                if not restless:
                    return
                assert self.loop.now < end, f"no rest: {restless[:5]} of {len(restless)}"

    def _schedules(self) -> list[Schedule]:
        return [each for each in self.server.stored().values() if isinstance(each, Schedule)]

    async def _end_schedule(self, schedule_id: str) -> None:
        """Delete a schedule, once it is known that every occurrence has fired exactly once."""
        caller = self.callers[0]
        answer = await caller.insist(rq.ScheduleGet, rq.IdData(schedule_id))
        if answer.status != 200:
            return
        schedule = answer.data.schedule
        stored = self.server.stored()
        at = schedule.created_at // 2000 * 2000 + 2000
        while at < schedule.next_run_at:
            assert f"{schedule_id}@{at}" in stored, f"{schedule_id} did not fire at {at}"
            at += 2000
        await caller.insist(rq.ScheduleDelete, rq.IdData(schedule_id))

    def _restless(self) -> list[object]:
        now = self.server.now()
        unheard = [
            (each.pid, promise_id)
            for each in self.callers
            for promise_id in each.listening - each.heard
        ]
        return unheard + [
            each
            for each in self.server.stored().values()
            if isinstance(each, Promise)
            and (project(each, now).state == "pending" or each.callbacks or each.listeners)
        ]
