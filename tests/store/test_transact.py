"""Transactions, on every store: load, decide, commit."""

from __future__ import annotations

import asyncio
import random

import pytest
from msgspec.structs import replace

from resonate.protocol.limits import STEP_OBJECTS_MAX
from tests.store.stores import get, look, promise, put, targeted, value


async def test_an_object_comes_back_as_it_was_put(stores):
    one = targeted("a", param=value("x"), callbacks=("b",), listeners=("poll://any@g",))
    async with stores.open() as store:
        await put(store, one)
        assert await get(store, "a") == one
        assert await store.snapshot() == {"a": one}


async def test_what_does_not_exist_is_none(stores):
    async with stores.open() as store:
        await put(store, promise("a"))
        assert await look(store, ["a", "b"]) == {"a": promise("a"), "b": None}
        assert await look(store, ["b"]) == {"b": None}


async def test_ids_may_be_named_twice_and_in_any_order(stores):
    async with stores.open() as store:
        await put(store, promise("a"), promise("b"))
        seen = await look(store, ["b", "c", "a", "b", "c"])
        assert seen == {"a": promise("a"), "b": promise("b"), "c": None}


async def test_nothing_to_read_and_nothing_to_write_returns(stores):
    async with stores.open() as store:
        await store.transact((), lambda objects: ())


async def known_to(store, reads, ids):
    """Return which of ``ids`` are in the mapping that a decision is given, and as what."""
    known = {}

    def decide(objects):
        known.update((each, objects[each]) for each in ids if each in objects)
        return ()

    await store.transact(reads, decide)
    return known


async def test_awaiters_in_callbacks_are_given_too(stores):
    async with stores.open() as store:
        await put(store, promise("a", callbacks=("w", "x")), promise("w"), promise("x"))
        await put(store, *(promise(f"other{number}") for number in range(5)))
        known = await known_to(store, ["a"], ["w", "x"])
        assert known == {"w": promise("w"), "x": promise("x")}


async def test_an_awaiter_that_does_not_exist_is_given_as_none(stores):
    async with stores.open() as store:
        await put(store, promise("a", callbacks=("gone",)))
        assert await known_to(store, ["a"], ["gone"]) == {"gone": None}


async def test_of_very_many_awaiters_the_first_are_given(stores):
    awaiters = [f"w{number}" for number in range(STEP_OBJECTS_MAX + 5)]
    async with stores.open() as store:
        await put(store, promise("a", callbacks=tuple(awaiters)), *map(promise, awaiters))
        known = await known_to(store, ["a"], awaiters[:STEP_OBJECTS_MAX])
        assert list(known) == awaiters[:STEP_OBJECTS_MAX]


async def test_what_is_in_the_mapping_can_be_had(stores):
    """Whether an object that was not asked for is there is up to the store."""
    async with stores.open() as store:
        await put(store, promise("a"), promise("b"))
        assert await known_to(store, [], ["a", "b"]) in ({}, {"a": promise("a"), "b": promise("b")})


async def test_only_the_objects_that_the_decision_names_are_written(stores):
    async with stores.open() as store:
        await put(store, promise("a"), promise("b"))

        def decide(objects):
            objects["a"] = promise("a", state="resolved")
            objects["b"] = promise("b", state="resolved")
            objects["c"] = promise("c")
            return ["b"]

        await store.transact(["a", "b", "c"], decide)
        expected = {"a": promise("a"), "b": promise("b", state="resolved")}
        assert await look(store, ["a", "b", "c"]) == {**expected, "c": None}
        assert await store.snapshot() == expected


async def test_a_decision_that_raises_leaves_nothing(stores):
    async with stores.open() as store:
        await put(store, promise("a"))

        def decide(objects):
            objects["a"] = promise("a", state="resolved")
            objects["b"] = promise("b")
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await store.transact(["a", "b"], decide)
        assert await look(store, ["a", "b"]) == {"a": promise("a"), "b": None}
        await put(store, promise("c"))
        assert set(await store.snapshot()) == {"a", "c"}


async def test_an_update_keeps_what_the_object_was_born_with(stores):
    one = targeted("a", param=value("p"), timeout_at=77, created_at=3)
    async with stores.open() as store:
        await put(store, one)
        two = replace(one, state="resolved", value=value("v"), settled_at=9, callbacks=("x",))
        two = replace(two, task=replace(one.task, state="fulfilled", retry_at=None))
        await put(store, two)
        assert await get(store, "a") == two
        assert await store.snapshot() == {"a": two}


async def test_decisions_see_those_before_them_though_not_yet_durable(stores):
    seen = []

    def add_one(objects):
        one = objects["a"] or promise("a")
        seen.append(len(one.listeners))
        objects["a"] = replace(one, listeners=(*one.listeners, str(len(one.listeners))))
        return ["a"]

    async with stores.open() as store:
        await asyncio.gather(*(store.transact(["a"], add_one) for _ in range(100)))
        assert seen == list(range(100))
        assert len((await store.snapshot())["a"].listeners) == 100


async def test_transactions_return_in_the_order_of_their_decisions(stores):
    order = []

    async with stores.open() as store:

        async def one(number):
            def decide(objects):
                order.append(("decided", number))
                objects[str(number)] = promise(str(number))
                return [str(number)]

            await store.transact([str(number)], decide)
            order.append(("returned", number))

        await asyncio.gather(*map(one, range(20)))
    for what in ("decided", "returned"):
        assert [number for each, number in order if each == what] == list(range(20))


async def test_what_a_transaction_only_saw_is_durable_when_it_returns(stores):
    async with stores.open() as store:
        first = asyncio.ensure_future(put(store, promise("a")))
        await asyncio.sleep(0)  # decided, and on its way to the disk
        assert await get(store, "a") == promise("a")
        assert not store.uncommitted("a")
        assert await store.snapshot() == {"a": promise("a")}
        await first


async def test_uncommitted_tells_what_is_not_durable_yet(stores):
    async with stores.open() as store:
        await put(store, promise("old"))
        assert not store.uncommitted("old")
        assert not store.uncommitted("never")
        writes = [asyncio.ensure_future(put(store, promise(each))) for each in "abc"]
        await asyncio.sleep(0)
        durable = {each for each in "abc" if not store.uncommitted(each)}
        assert durable <= set(await store.snapshot())
        await asyncio.gather(*writes)
        assert not any(map(store.uncommitted, ["a", "b", "c", "old"]))


async def test_cancelling_a_waiter_does_not_stop_the_commit_or_the_others(stores):
    async with stores.open() as store:
        first = asyncio.ensure_future(put(store, promise("a")))
        second = asyncio.ensure_future(put(store, promise("b")))
        await asyncio.sleep(0)
        first.cancel()
        await second
        await put(store, promise("c"))
        assert set(await store.snapshot()) == {"a", "b", "c"}


async def test_the_store_can_be_closed_right_after_a_decision(stores):
    async with stores.open() as store:
        write = asyncio.ensure_future(put(store, promise("a")))
        await asyncio.sleep(0)
    await write


async def test_a_random_history_reads_like_a_dict(stores):
    random.seed(7)
    model = {}
    async with stores.open() as store:
        waiting = []
        for number in range(300):
            ids = [str(random.randrange(12)) for _ in range(random.randint(1, 4))]

            def decide(objects, ids=ids, number=number):
                assert {each: objects[each] for each in ids} == {
                    each: model.get(each) for each in ids
                }
                changed = ids[: random.randint(0, len(ids))]
                for each in changed:
                    one = objects[each] or promise(each, created_at=number)
                    objects[each] = model[each] = replace(one, listeners=(str(number),))
                return changed

            waiting.append(asyncio.ensure_future(store.transact(ids, decide)))
            if random.random() < 0.3:
                await asyncio.sleep(0)
            if random.random() < 0.1:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
        assert await store.snapshot() == model


async def test_everything_that_returned_is_there_after_reopening(durable):
    async with durable.open() as store:
        await put(store, promise("a", value=value("x"), state="resolved"), targeted("b"))
        before = await store.snapshot()
    async with durable.open() as store:
        assert await store.snapshot() == before
        assert await get(store, "b") == targeted("b")
