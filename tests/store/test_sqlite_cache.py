"""The cache of the SQLite store: bounded, least recently used first, what is not durable stays."""

from __future__ import annotations

import asyncio

from resonate.protocol.records import Value
from resonate.store.sqlite import SqliteStore
from resonate.store.sqlite.cache import Cache, weight
from tests.store.stores import get, look, promise, put, value


def filled(objects_max=3, bytes_max=10**9, ids="abcde"):
    cache = Cache(objects_max=objects_max, bytes_max=bytes_max)
    for each in ids:
        cache.put(each, promise(each))
    return cache


def kept(cache):
    return "".join(each for each in "abcdefgh" if each in cache)


def test_the_least_recently_used_goes_first():
    cache = filled()
    assert cache.get("a") == promise("a")
    cache.trim(lambda _: False)
    assert kept(cache) == "ade"
    assert cache.get("b") is None


def test_putting_an_object_again_makes_it_the_newest():
    cache = filled()
    cache.put("a", promise("a", state="resolved"))
    cache.trim(lambda _: False)
    assert kept(cache) == "ade"
    assert cache.get("a").state == "resolved"


def test_bytes_are_bounded_too():
    cache = Cache(objects_max=99, bytes_max=3_500)
    cache.put("a", promise("a", param=value("x" * 2_000)))
    for each in "bc":
        cache.put(each, promise(each))
    cache.trim(lambda _: False)
    assert kept(cache) == "bc"
    cache.put("d", promise("d", param=value("x" * 9_000)))  # larger than all room
    cache.trim(lambda _: False)
    assert kept(cache) == ""
    cache.put("e", promise("e"))
    cache.trim(lambda _: False)
    assert kept(cache) == "e"  # what went has given its bytes back


def test_pinned_objects_stay():
    cache = filled(objects_max=1)
    cache.trim(lambda each: each in "bc")
    assert kept(cache) == "bc"
    cache.trim(lambda each: True)
    assert kept(cache) == "bc"


def test_clearing_forgets_everything():
    cache = filled(bytes_max=5_000)
    cache.clear()
    assert len(cache) == 0
    for each in "abc":
        cache.put(each, promise(each))
    cache.trim(lambda _: False)
    assert kept(cache) == "abc"


def test_everything_that_can_be_large_has_weight():
    text = "x" * 100_000
    small = weight(promise("a"))
    assert small < 2_000
    for large in (
        promise("a", param=value(text)),
        promise("a", value=value(text)),
        promise("a", param=Value({"h": text})),
        promise("a", value=Value({text: "h"})),
        promise("a", tags={text: "v"}),
        promise("a", tags={"k": text}),
    ):
        assert weight(large) >= small + 100_000
    assert weight(promise("a", callbacks=("w",) * 1_000, listeners=("l",) * 1_000)) > 100_000


async def test_memory_does_not_grow_with_history(tmp_path):
    store = SqliteStore(tmp_path / "test.db", cache_objects_max=50)
    await store.open()
    for number in range(40):
        await asyncio.gather(*(put(store, promise(f"{number}-{each}")) for each in range(20)))
        assert len(store._cache) <= 50 + 20
    await look(store, ["0-0"])
    assert len(store._cache) <= 50
    await store.close()


async def test_what_is_not_durable_is_never_dropped(tmp_path):
    store = SqliteStore(tmp_path / "test.db", cache_objects_max=1)
    await store.open()
    writes = [asyncio.ensure_future(put(store, promise(each))) for each in "abcdef"]
    await asyncio.sleep(0)
    seen = await asyncio.gather(*(get(store, each) for each in "abcdef"))
    assert seen == [promise(each) for each in "abcdef"]
    await asyncio.gather(*writes)
    await store.close()
