"""Timers: fired at their instant, few in memory, cheap heartbeats, steps of the clock."""

from __future__ import annotations

import asyncio
import time

import pytest

from resonate.engine import timers as module
from resonate.engine.clock import Clock
from resonate.engine.timers import Timers
from tests.store.stores import acquired, promise, targeted
from tests.waiting import eventually, never


class Alarms:
    """Timers above a dict of objects that stands for the store."""

    def __init__(self, clock=None):
        self.clock = clock or Clock()
        self.objects = {}
        self.fired = []
        self.loads = []
        self.hold = None
        self._tasks = set()
        self.timers = Timers(self.clock, self.load, self.fire, self.spawn)

    async def load(self, after, until, limit):
        self.loads.append((after, until))
        await asyncio.sleep(0)
        if self.hold is not None:
            await self.hold.wait()
        instants = (
            (at, each.id)
            for each in self.objects.values()
            for at in (each.timeout_at, each.task.expires_at if each.task else None)
            if at is not None
        )
        return [each for each in sorted(instants) if after < each[0] <= until][:limit]

    def fire(self, ids):
        now = self.clock.now()
        for each in ids:
            one = self.objects[each]
            self.fired.append((each, now))
            lease = one.task.expires_at if one.task else None
            if one.timeout_at <= now or (lease is not None and lease <= now):
                del self.objects[each]
            else:
                self.timers.see(one.id, one, now)

    def spawn(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def see(self, one):
        self.objects[one.id] = one
        self.timers.see(one.id, one, self.clock.now())

    def at(self, promise_id, in_ms, **fields):
        """Enter an object with a deadline in so many ms; return the instant."""
        at = self.clock.now() + in_ms
        self.see(promise(promise_id, timeout_at=at, **fields))
        return at

    @property
    def names(self):
        return [each for each, _ in self.fired]


async def started(alarms):
    alarms.timers.start()
    await eventually(lambda: not alarms.timers._loading)
    return alarms


async def test_each_fires_at_its_instant_and_once():
    alarms = await started(Alarms())
    due = {each: alarms.at(each, ms) for each, ms in (("c", 60), ("a", 10), ("b", 30))}
    await eventually(lambda: len(alarms.fired) == 3)
    assert alarms.names == ["a", "b", "c"]
    assert all(0 <= now - due[each] < 500 for each, now in alarms.fired)
    await never(lambda: len(alarms.fired) > 3)


async def test_what_is_due_at_the_start_fires_at_once():
    alarms = Alarms()
    alarms.objects = {each: promise(each, timeout_at=5) for each in "ab"}
    alarms.timers.start()
    await eventually(lambda: sorted(alarms.names) == ["a", "b"])


async def test_only_what_is_due_within_the_horizon_is_kept(monkeypatch):
    monkeypatch.setattr(module, "TIMER_HORIZON_MS", 200)
    monkeypatch.setattr(module, "TIMER_NAP_MS_MAX", 20)
    alarms = await started(Alarms())
    for number in range(50):
        alarms.at(f"far{number}", 10**9)
    alarms.at("soon", 350)
    assert len(alarms.timers) == 0
    due = alarms.at("now", 30)
    assert len(alarms.timers) == 1
    await eventually(lambda: alarms.names == ["now", "soon"])
    assert alarms.fired[0][1] >= due
    assert alarms.fired[1][1] >= due + 320
    assert len(alarms.timers) == 0


async def test_a_heartbeat_costs_no_entry():
    alarms = await started(Alarms())
    for number in range(100):
        lease = acquired("p", alarms.clock.now() + 50 + number)
        alarms.see(targeted("a", lease))
        await asyncio.sleep(0.001)
    assert len(alarms.timers) <= 2
    end = alarms.objects["a"].task.expires_at
    await eventually(lambda: "a" not in alarms.objects)
    assert alarms.fired[-1][1] >= end


async def test_an_instant_that_moves_earlier_is_met():
    alarms = await started(Alarms())
    alarms.see(targeted("a", acquired("p", alarms.clock.now() + 30_000)))
    at = alarms.clock.now() + 20
    alarms.see(targeted("a", acquired("p", at)))
    await eventually(lambda: alarms.names == ["a"])
    assert alarms.fired[0][1] >= at


async def test_what_is_settled_does_not_fire():
    alarms = await started(Alarms())
    alarms.at("a", 20)
    alarms.at("b", 40)
    alarms.see(promise("a", state="resolved"))
    await eventually(lambda: alarms.names == ["b"])


async def test_a_step_of_the_wall_clock_is_noticed(monkeypatch):
    monkeypatch.setattr(module, "TIMER_NAP_MS_MAX", 30)
    ahead = [0.0]
    alarms = await started(Alarms(Clock(lambda: time.time() + ahead[0])))
    alarms.at("a", 9_000)
    alarms.at("far", 3_000_000)
    ahead[0] = 3_600.0
    await eventually(lambda: sorted(alarms.names) == ["a", "far"])


async def test_a_change_while_the_store_is_read_counts():
    alarms = Alarms()
    alarms.objects = {"a": targeted("a", acquired("p", alarms.clock.now() + 10))}
    alarms.hold = asyncio.Event()
    alarms.timers.start()
    await eventually(lambda: alarms.loads)
    later = alarms.clock.now() + 120
    before = dict(alarms.objects)
    alarms.see(targeted("a", acquired("p", later)))  # a heartbeat, not yet seen by the scan
    alarms.at("new", 10)
    after, alarms.objects = alarms.objects, before
    alarms.hold.set()
    await eventually(lambda: not alarms.timers._loading)
    alarms.objects = after
    await eventually(lambda: "a" not in alarms.objects and "new" in alarms.names)
    assert [at for each, at in alarms.fired if each == "a"][-1] >= later


@pytest.mark.parametrize("spread", [0, 1, 200])
async def test_very_many_are_read_in_portions(monkeypatch, spread):
    """More than fit into memory at once; also many of one instant."""
    monkeypatch.setattr(module, "TIMER_ENTRIES_MAX", 20)
    monkeypatch.setattr(module, "STEP_OBJECTS_MAX", 7)
    monkeypatch.setattr(module, "TIMER_NAP_MS_MAX", 20)
    alarms = Alarms()
    now = alarms.clock.now()
    for number in range(100):
        at = now - 50 + spread * number // 100
        alarms.objects[str(number)] = promise(str(number), timeout_at=at)
    alarms.timers.start()
    alarms.at("later", 300)  # entered while the first portion is read, beyond its end
    await eventually(lambda: len(set(alarms.names)) == 101)
    assert all(at >= now + 300 for each, at in alarms.fired if each == "later")
    assert len(alarms.timers) == 0


async def test_a_portion_cut_short_does_not_wait_for_a_far_entry(monkeypatch):
    monkeypatch.setattr(module, "TIMER_ENTRIES_MAX", 10)
    monkeypatch.setattr(module, "TIMER_HORIZON_MS", 60_000)
    monkeypatch.setattr(module, "TIMER_NAP_MS_MAX", 20)
    alarms = Alarms()
    now = alarms.clock.now()
    for number in range(30):
        alarms.objects[str(number)] = promise(str(number), timeout_at=now + 20 + number)
    alarms.hold = asyncio.Event()
    alarms.timers.start()
    await eventually(lambda: alarms.loads)
    alarms.at("far", 40_000)  # stays in the heap all the time
    assert len(alarms.timers) == 1
    alarms.hold.set()
    await eventually(lambda: len(alarms.fired) == 30)


async def test_nothing_fires_after_a_stop_and_everything_after_a_new_start():
    alarms = await started(Alarms())
    alarms.at("a", 20)
    alarms.timers.stop()
    alarms.at("b", 10)
    await never(lambda: alarms.fired, 0.06)
    alarms.timers.start()
    await eventually(lambda: sorted(alarms.names) == ["a", "b"])


async def test_what_an_earlier_life_still_loads_does_not_hide_timers_of_this_one(monkeypatch):
    monkeypatch.setattr(module, "TIMER_ENTRIES_MAX", 2)
    clock = Clock()
    due = [(clock.now() - 10, each) for each in "abc"]
    gate, fired, tasks = asyncio.Event(), [], set()
    loads = 0

    async def load(after, until, limit):
        nonlocal loads
        loads += 1
        if loads == 1:
            await gate.wait()  # a scan that outlives the failure of its store
            return [(clock.now() + 5_000, "late"), (clock.now() + 5_001, "later")]
        left = [each for each in due if after < each[0] <= until and each[1] not in fired]
        return left[:limit]

    def spawn(coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    timers = Timers(clock, load, fired.extend, spawn)
    timers.start()
    await eventually(lambda: loads == 1)
    timers.stop()
    timers.start()
    gate.set()
    await eventually(lambda: set(fired) >= {"a", "b", "c"})
    timers.stop()
