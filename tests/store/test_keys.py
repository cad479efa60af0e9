"""Schedules, branches and deletions, on every store."""

from __future__ import annotations

import asyncio

import pytest

from resonate.core.objects import BranchOf, Schedule, ScheduleKey
from resonate.protocol.cron import NEVER
from resonate.protocol.limits import PRELOAD_RECORDS_MAX
from resonate.protocol.records import EMPTY, Value
from resonate.protocol.validation import BRANCH
from tests.store.stores import get, look, promise, put


def schedule(schedule_id="s", next_run_at=5, **fields):
    found = {
        "cron": "* * * * *",
        "promise_id": "{{.id}}",
        "promise_timeout": 9,
        "promise_param": EMPTY,
        "promise_tags": {},
        "created_at": 1,
        **fields,
    }
    return Schedule(schedule_id, next_run_at=next_run_at, **found)


async def keep(store, *changes):
    """Write schedules, and delete the objects of keys, in one transaction."""
    found = {each.key if isinstance(each, Schedule) else each: each for each in changes}

    def decide(objects):
        for key, each in found.items():
            objects[key] = each if isinstance(each, Schedule) else None
        return list(found)

    await store.transact(list(found), decide)


async def find(store, schedule_id):
    key = ScheduleKey(schedule_id)
    return (await look(store, [key]))[key]


async def branch(store, promise_id):
    key = BranchOf(promise_id)
    return (await look(store, [promise_id, key]))[key]


def step(promise_id, of="w", **fields):
    return promise(promise_id, tags={BRANCH: of}, **fields)


# --- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule_id", ["s", "é \u2028'", "x" * 4096, "a\x01"], ids=ascii)
async def test_a_schedule_comes_back_as_it_was(stores, schedule_id):
    one = schedule(
        schedule_id,
        promise_param=Value({"h": "\u2028"}, "\x00"),
        promise_tags={"odd\x00": "'"},
        last_run_at=4,
    )
    async with stores.open() as store:
        await keep(store, one)
        assert await find(store, schedule_id) == one
        assert await store.snapshot() == {one.key: one}


async def test_a_schedule_and_a_promise_of_one_id_do_not_meet(stores):
    async with stores.open() as store:
        await put(store, promise("s"))
        assert await find(store, "s") is None
        await keep(store, schedule("s"))
        assert await get(store, "s") == promise("s")
        assert await find(store, "s") == schedule("s")
        assert set(await store.snapshot()) == {"s", ScheduleKey("s")}


async def test_a_schedule_that_changes_is_due_when_it_says(stores):
    async with stores.open() as store:
        await keep(store, schedule("a", 5), schedule("b", 7), schedule("c", NEVER))
        await keep(store, schedule("a", 8, last_run_at=5))
        due = [(7, ScheduleKey("b")), (8, ScheduleKey("a"))]
        assert await store.due(-1, NEVER + 1, 9) == due
        assert await find(store, "a") == schedule("a", 8, last_run_at=5)


async def test_what_is_deleted_is_gone_at_once_and_can_be_made_again(stores):
    async with stores.open() as store:
        await keep(store, schedule("s"))
        deleting = asyncio.ensure_future(keep(store, ScheduleKey("s")))
        await asyncio.sleep(0)
        assert await find(store, "s") is None
        await deleting
        assert await find(store, "s") is None
        again = schedule("s", 9, cron="@daily", promise_timeout=1)
        both = [keep(store, ScheduleKey("s")), keep(store, again)]
        await asyncio.gather(*both)
        assert await find(store, "s") == again
    if stores.kind != "memory":
        async with stores.open() as store:
            assert await find(store, "s") == again


async def test_promises_schedules_and_deletions_are_written_together(stores):
    async with stores.open() as store:
        await put(store, promise("old", state="resolved"))

        def decide(objects):
            objects["new"] = promise("new")
            objects[ScheduleKey("s")] = schedule("s")
            objects["old"] = None
            return ["new", ScheduleKey("s"), "old"]

        await store.transact(["new", ScheduleKey("s"), "old"], decide)
        assert set(await store.snapshot()) == {"new", ScheduleKey("s")}
        assert await get(store, "old") is None


async def test_a_reset_leaves_nothing(stores):
    async with stores.open() as store:
        await put(store, promise("a"), step("w:1"))
        await keep(store, schedule())
        await store.reset()
        assert await store.snapshot() == {}
        assert await get(store, "a") is None
        assert await find(store, "s") is None
        await put(store, promise("a", timeout_at=7))
        assert await store.due(-1, 9, 9) == [(7, "a")]


# --- branches -------------------------------------------------------------------------------------


async def test_a_branch_has_the_ids_that_carry_its_tag(stores):
    async with stores.open() as store:
        await put(store, step("w"), step("w:2"), step("w:1"), step("x:1", of="x"), promise("p"))
        assert await branch(store, "w") == ("w", "w:1", "w:2")
        assert await branch(store, "w:1") == ("w", "w:1", "w:2")
        assert await branch(store, "x:1") == ("x:1",)
        assert await branch(store, "p") == ()
        assert await branch(store, "nobody") == ()


async def test_a_branch_is_named_after_a_promise_that_need_not_be_of_it(stores):
    async with stores.open() as store:
        await put(store, promise("w"), step("w:1"), promise("e", tags={BRANCH: ""}))
        assert await branch(store, "w:1") == ("w:1",)
        assert await branch(store, "w") == ()
        assert await branch(store, "e") == ()


async def test_the_objects_of_a_branch_are_loaded_with_it(stores):
    async with stores.open() as store:
        await put(store, step("w"), step("w:1", state="resolved"))
    if stores.kind == "memory":
        return
    async with stores.open() as store:
        seen = {}

        def decide(objects):
            seen.update((each, objects[each]) for each in objects[BranchOf("w")])
            return ()

        await store.transact(["w", BranchOf("w")], decide)
        assert seen == {"w": step("w"), "w:1": step("w:1", state="resolved")}


async def test_a_branch_has_what_is_not_durable_yet(stores):
    async with stores.open() as store:
        await put(store, step("w"))
        writing = [asyncio.ensure_future(put(store, step(f"w:{each}"))) for each in range(3)]
        await asyncio.sleep(0)
        assert await branch(store, "w") == ("w", "w:0", "w:1", "w:2")
        await asyncio.gather(*writing)
        await keep(store, "w:1")
        assert await branch(store, "w") == ("w", "w:0", "w:2")


async def test_of_a_very_large_branch_the_first_are_loaded(stores):
    many = [step(f"w:{number:05}") for number in range(PRELOAD_RECORDS_MAX + 100)]
    async with stores.open() as store:
        await put(store, step("w"), *many)
        found = await branch(store, "w")
        assert found[0] == "w"
        first = [each.id for each in many[:PRELOAD_RECORDS_MAX]]
        assert list(found[1 : PRELOAD_RECORDS_MAX + 1]) == first
