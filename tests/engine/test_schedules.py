"""Schedules: every occurrence fires once, in order, at its instant, through restarts and failures."""

from __future__ import annotations

import random
import sqlite3

import pytest

from resonate.engine.clock import Clock
from resonate.protocol import requests as rq
from resonate.protocol.limits import OCCURRENCES_MAX
from resonate.protocol.records import Value
from tests.engine.cluster import HEAD, Gate, Worker
from tests.store.faults import Disk
from tests.waiting import eventually, never

START = 1_767_225_600  # 2026-01-01 00:00:00 UTC, in seconds
MINUTE, DAY = 60, 86_400
EVERY_MINUTE = "* * * * *"
EACH = "{{.id}}.{{.timestamp}}"


class Time:
    """A clock that a test sets, in seconds since START."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr("resonate.engine.timers.TIMER_NAP_MS_MAX", 2)
        self.now = 0.0

    def clock(self):
        return Clock(lambda: START + self.now)


@pytest.fixture
def time(monkeypatch):
    return Time(monkeypatch)


def ms(seconds):
    return int((START + seconds) * 1000)


async def schedule(server, schedule_id, cron=EVERY_MINUTE, template=EACH, timeout=10**12, **tags):
    data = rq.ScheduleCreateData(
        schedule_id, cron, template, timeout, Value(None, "param"), tags or None
    )
    return (await server.right(rq.ScheduleCreate(HEAD, data))).schedule


async def find(server, schedule_id):
    answer = await server.ask(rq.ScheduleGet(HEAD, rq.IdData(schedule_id)))
    return answer.data.schedule if answer.status == 200 else None


async def delete(server, schedule_id):
    return await server.right(rq.ScheduleDelete(HEAD, rq.IdData(schedule_id)))


async def fired(server, schedule_id, seconds):
    """Wait until the schedule has fired its occurrence at that instant."""

    async def has():
        return (await find(server, schedule_id)).last_run_at == ms(seconds)

    await eventually(has, 30)


async def promises(server):
    """Return all promises by id, as stored."""
    found = await server.engine._store.snapshot()
    return {key: each for key, each in found.items() if isinstance(key, str)}


def ids(schedule_id, *seconds):
    return {f"{schedule_id}.{ms(each)}" for each in seconds}


def watch(server):
    """Return the states that promises are decided to have, by id, in order."""
    kept = {}
    see = server.engine._timers.see

    def seen(key, stored, now):
        if isinstance(key, str):
            kept.setdefault(key, []).append("gone" if stored is None else stored.state)
        see(key, stored, now)

    server.engine._timers.see = seen
    return kept


# --- one occurrence -------------------------------------------------------------------------------


async def test_it_fires_at_the_instant_and_not_before(servers, time):
    async with servers.start(clock=time.clock()) as server:
        made = await schedule(server, "s", timeout=5_000, color="red")
        assert (made.next_run_at, made.last_run_at) == (ms(MINUTE), None)
        time.now = MINUTE - 0.25
        await never(lambda: server.engine._timers._alarm_at >= ms(MINUTE))
        assert await promises(server) == {}
        time.now = MINUTE
        await fired(server, "s", MINUTE)
        (promise,) = (await promises(server)).values()
        name = f"s.{ms(MINUTE)}"
        own = ("origin", "branch", "parent", "prefix")
        assert (promise.id, promise.state, promise.created_at) == (name, "pending", ms(MINUTE))
        assert promise.timeout_at == ms(MINUTE) + 5_000
        assert promise.param == Value(None, "param")
        assert promise.tags == {
            "color": "red",
            "resonate:schedule": "s",
            **{f"resonate:{each}": name for each in own},
        }
        assert (await find(server, "s")).next_run_at == ms(2 * MINUTE)


async def test_a_task_is_dispatched_at_once(servers, time):
    async with servers.start(clock=time.clock()) as server:
        worker = Worker(server, ttl=10**13)
        await schedule(server, "s", **{"resonate:target": "poll://any@g"})
        for number in (1, 2, 3):
            time.now = number * MINUTE
            await eventually(lambda number=number: len(worker.given) == number)
        assert worker.given == [f"s.{ms(number * MINUTE)}" for number in (1, 2, 3)]
        await server.fulfill(worker.given[0], 1)


async def test_an_occurrence_too_late_for_its_deadline_is_settled_and_not_dispatched(servers, time):
    async with servers.start(clock=time.clock()) as server:
        worker = Worker(server)
        kept = watch(server)
        tags = {"resonate:target": "poll://any@g"}
        await schedule(server, "late", timeout=30_000, **tags)
        time.now = 3 * MINUTE + 1
        await fired(server, "late", 3 * MINUTE)
        await eventually(lambda: worker.given == [f"late.{ms(3 * MINUTE)}"])
        found = await promises(server)
        assert [each.state for each in found.values()].count("rejected_timedout") == 2
        assert found[f"late.{ms(MINUTE)}"].settled_at == ms(MINUTE) + 30_000
        for number in (1, 2):  # never pending, not for a moment
            assert kept[f"late.{ms(number * MINUTE)}"] == ["rejected_timedout"]


async def test_an_occurrence_whose_promise_exists_has_no_effect(servers, time):
    async with servers.start(clock=time.clock()) as server:
        await schedule(server, "s")
        await server.create(f"s.{ms(MINUTE)}", None, mine="yes")
        before = await server.get(f"s.{ms(MINUTE)}")
        time.now = 2 * MINUTE
        await fired(server, "s", 2 * MINUTE)
        assert await server.get(f"s.{ms(MINUTE)}") == before
        assert set(await promises(server)) == ids("s", MINUTE, 2 * MINUTE)


async def test_without_a_timestamp_only_the_first_creates_something(servers, time):
    async with servers.start(clock=time.clock()) as server:
        await schedule(server, "s", template="only {{.id}}")
        time.now = 10 * MINUTE
        await fired(server, "s", 10 * MINUTE)
        assert {key: each.created_at for key, each in (await promises(server)).items()} == {
            "only s": ms(MINUTE)
        }


async def test_a_schedule_with_no_occurrence_left_is_silent(servers, time):
    async with servers.start(clock=time.clock()) as server:
        await schedule(server, "s", "30 0 0 1 1 * 2026,2027")
        time.now = 400 * DAY
        await fired(server, "s", 365 * DAY + 30)
        assert (await find(server, "s")).next_run_at == 253402300799000
        time.now = 4_000 * DAY
        await never(lambda: len(server.engine._timers) > 0)
        assert set(await promises(server)) == ids("s", 30, 365 * DAY + 30)


async def test_a_deleted_schedule_fires_no_more(servers, time):
    async with servers.start(clock=time.clock()) as server:
        await schedule(server, "s")
        await schedule(server, "other")
        time.now = MINUTE
        await fired(server, "s", MINUTE)
        await delete(server, "s")
        time.now = 5 * MINUTE
        await fired(server, "other", 5 * MINUTE)
        assert set(await promises(server)) >= ids("s", MINUTE)  # what it has fired stays
        assert not set(await promises(server)) & ids("s", *(n * MINUTE for n in (2, 3, 4, 5)))


async def test_a_schedule_created_again_is_another_one(servers, time):
    async with servers.start(clock=time.clock()) as server:
        await schedule(server, "s")
        await delete(server, "s")
        time.now = 90
        made = await schedule(server, "s", "*/2 * * * *", "x{{.timestamp}}")
        assert (made.created_at, made.next_run_at) == (ms(90), ms(2 * MINUTE))
        time.now = 4 * MINUTE
        await fired(server, "s", 4 * MINUTE)
        assert set(await promises(server)) == {f"x{ms(n * MINUTE)}" for n in (2, 4)}


async def test_deleting_while_a_backlog_fires_ends_it(sqlite, time, monkeypatch):
    monkeypatch.setattr("resonate.engine.firing.OCCURRENCES_MAX", 2)
    async with sqlite.start(clock=time.clock()) as server:
        await schedule(server, "s")
        time.now = 10_000 * MINUTE

        async def some():
            return (await find(server, "s")).last_run_at is not None

        await eventually(some)
        await delete(server, "s")
        count = len(await promises(server))
        assert count < 10_000
        await server.create("after", None)
        await never(lambda: len(server.engine._timers) > 0)
        assert len(await promises(server)) == count + 1


# --- missed windows -------------------------------------------------------------------------------


async def test_after_a_restart_every_missed_occurrence_fires_at_once(sqlite, time):
    """Row 13 of the known defects."""
    async with sqlite.start(clock=time.clock()) as server:
        await schedule(server, "s", "0 * * * *")
    time.now = 3.5 * 3_600
    async with sqlite.start(clock=time.clock()) as server:
        await fired(server, "s", 3 * 3_600)
        found = await promises(server)
        assert set(found) == ids("s", 3_600, 7_200, 10_800)
        assert [found[f"s.{ms(n * 3_600)}"].created_at for n in (1, 2, 3)] == [
            ms(n * 3_600) for n in (1, 2, 3)
        ]


@pytest.mark.parametrize("missed", [OCCURRENCES_MAX, OCCURRENCES_MAX + 1, 2_600])
async def test_a_long_window_fires_whole_and_in_order(servers, time, missed):
    async with servers.start(clock=time.clock()) as server:
        await schedule(server, "s")
        batches = []
        run = server.engine._run
        server.engine._run = lambda batch: batches.append(batch) or run(batch)
        time.now = missed * MINUTE + 1
        await fired(server, "s", missed * MINUTE)
        found = await promises(server)
        assert set(found) == ids("s", *(n * MINUTE for n in range(1, missed + 1)))
        made = [each for batch in batches for each in batch.steps if each.also]
        assert len(made) <= -(-missed // OCCURRENCES_MAX) + 1  # a step for each portion, no more


async def test_many_schedules_fire_together(servers, time):
    async with servers.start(clock=time.clock()) as server:
        names = [f"s{number}" for number in range(120)]
        for each in names:
            await schedule(server, each)
        time.now = 12 * MINUTE
        for each in names:
            await fired(server, each, 12 * MINUTE)
        found = await promises(server)
        assert len(found) == 120 * 12
        assert set(found) == {
            name for each in names for name in ids(each, *(n * MINUTE for n in range(1, 13)))
        }


async def test_a_backlog_does_not_keep_requests_waiting(sqlite, time):
    async with sqlite.start(clock=time.clock()) as server:
        await schedule(server, "s")
        time.now = 6_000 * MINUTE
        answered = 0
        while (await find(server, "s")).last_run_at != ms(6_000 * MINUTE):
            await server.create(f"between {answered}", None)
            answered += 1
        assert answered > 10


async def test_a_restart_in_the_middle_goes_on_where_it_was(sqlite, time, monkeypatch):
    monkeypatch.setattr("resonate.engine.firing.OCCURRENCES_MAX", 3)
    async with sqlite.start(clock=time.clock()) as server:
        await schedule(server, "s")
    time.now = 1_000 * MINUTE
    reached = []
    while not reached or reached[-1] != ms(1_000 * MINUTE):
        async with sqlite.start(clock=time.clock()) as server:

            async def further(server=server):
                last = (await find(server, "s")).last_run_at
                return last is not None and (not reached or last > reached[-1])

            await eventually(further)
            if len(reached) == 3:
                await fired(server, "s", 1_000 * MINUTE)
        async with sqlite.start(clock=Clock(lambda: START - 1)) as server:
            reached.append((await find(server, "s")).last_run_at)
            assert len(await promises(server)) == (reached[-1] - ms(0)) // 60_000
    assert len(reached) == 4


async def test_what_a_failed_commit_fired_is_fired_again(sqlite, time, monkeypatch, caplog):
    monkeypatch.setattr("resonate.engine.recovery._SECONDS", (0.01, 0.02))
    disk = Disk()
    async with sqlite.start(clock=time.clock(), vfs=disk.name) as server:
        worker = Worker(server, capacity=10_000, ttl=10**13)
        await schedule(server, "s", **{"resonate:target": "poll://any@g"})
        for turn in range(1, 6):
            disk.fail("sync" if turn % 2 else "write", after=turn % 3, times=1)
            time.now = turn * 400 * MINUTE
            await eventually(lambda: server.engine.problem is None)

            async def whole(turn=turn):
                if server.engine.problem is not None:
                    return False
                answer = await server.ask(rq.ScheduleGet(HEAD, rq.IdData("s")))
                last = answer.data.schedule.last_run_at if answer.status == 200 else None
                return last == ms(turn * 400 * MINUTE)

            await eventually(whole, 20)
            disk.heal()
        expected = ids("s", *(n * MINUTE for n in range(1, 2_001)))
        assert set(await promises(server)) == expected
        await eventually(lambda: len(set(worker.given)) == 2_000)
        assert disk.failed >= 3


async def test_no_message_leaves_before_the_occurrence_is_durable(sqlite, time):
    async with sqlite.start(clock=time.clock()) as server:
        worker = Worker(server)
        await schedule(server, "s", **{"resonate:target": "poll://any@g"})
        gate = Gate(server)
        time.now = MINUTE
        await eventually(lambda: server.engine._store.uncommitted(f"s.{ms(MINUTE)}"))
        await never(lambda: worker.messages)
        gate.open()
        await eventually(lambda: worker.given == [f"s.{ms(MINUTE)}"])


# --- a year ---------------------------------------------------------------------------------------


async def live_through(sqlite, time, minutes, chance):
    """Let time pass in leaps, now and then with the server down or stopped while it fires."""
    async with sqlite.start(clock=time.clock()) as server:
        await schedule(server, "tick", timeout=30_000)
    at = restarts = 0
    while at < minutes:
        restarts += 1
        async with sqlite.start(clock=time.clock()) as server:
            for _ in range(chance.randrange(1, 5)):
                at = min(minutes, at + chance.choice([1, 7, 251, 1_500, minutes // 30]))
                time.now = at * MINUTE
                if chance.random() < 0.7:
                    await fired(server, "tick", at * MINUTE)
        at = min(minutes, at + chance.choice([0, 0, 3, 3_000]))  # nobody is there
        time.now = at * MINUTE
    async with sqlite.start(clock=time.clock()) as server:
        await fired(server, "tick", minutes * MINUTE)
    return restarts


async def hold_every_minute(sqlite, time, minutes):
    seed = random.randrange(10**9)
    print("seed", seed)
    assert await live_through(sqlite, time, minutes, random.Random(seed)) > 2
    with sqlite3.connect(sqlite._stores.folder / "test.db") as connection:
        rows = connection.execute("SELECT id, created_at FROM promises ORDER BY rowid").fetchall()
    connection.close()
    instants = [ms(number * MINUTE) for number in range(1, minutes + 1)]
    assert [created_at for _, created_at in rows] == instants  # each once, and in order
    assert [promise_id for promise_id, _ in rows] == [f"tick.{each}" for each in instants]


async def test_every_minute_of_a_week_with_restarts_fires_once(sqlite, time):
    await hold_every_minute(sqlite, time, 7 * 1_440)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_minute_of_a_year_with_restarts_fires_once(sqlite, time):
    """The acceptance test of schedules: 525,600 occurrences."""
    await hold_every_minute(sqlite, time, 525_600)
