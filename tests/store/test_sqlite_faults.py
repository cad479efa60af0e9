"""Disk faults under the SQLite store: what was acknowledged stays, what was refused is not there.

The faults come from a file layer below SQLite (``faults.Disk``).
"""

from __future__ import annotations

import asyncio
import logging

import apsw
import pytest

from resonate.protocol.errors import StartError, Unavailable
from resonate.store.sqlite import SqliteStore
from tests.store.faults import Disk
from tests.store.stores import get, look, promise, put, value


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "test.db"


async def opened(path, disk, **options):
    store = SqliteStore(path, vfs=disk.name, **options)
    await store.open()
    return store


async def reopened(path):
    """Return everything that the next server finds."""
    store = SqliteStore(path)
    await store.open()
    found = await store.snapshot()
    await store.close()
    return found


async def gone_through(store, writes):
    """Start ``writes`` at once; return the ids of those that were acknowledged."""
    results = await asyncio.gather(*(put(store, each) for each in writes), return_exceptions=True)
    assert all(each is None or isinstance(each, Unavailable) for each in results), results
    return {each.id for each, result in zip(writes, results, strict=True) if result is None}


FAULTS = [
    ("write", apsw.IOError, "the database cannot be used now"),
    ("sync", apsw.IOError, "the database cannot be used now"),
    ("write", apsw.FullError, "the disk is full"),
    ("sync", apsw.FullError, "the disk is full"),
]


@pytest.mark.parametrize(("what", "error", "text"), FAULTS)
@pytest.mark.parametrize("after", range(4))
async def test_a_fault_loses_nothing_acknowledged_and_keeps_nothing_refused(
    path, disk, what, error, text, after
):
    store = await opened(path, disk)
    await put(store, promise("old", value=value("v"), state="resolved"))
    disk.fail(what, error, after=after)

    acknowledged = {"old"}
    for number in range(20):
        writes = [promise(f"{number}-{each}") for each in range(3)]
        acknowledged |= await gone_through(store, writes)
        if disk.failed:
            break
    assert disk.failed

    with pytest.raises(Unavailable, match=text):  # refused as long as it lasts
        await put(store, promise("x"))
    with pytest.raises(Unavailable, match=text):
        await get(store, "old")
    with pytest.raises(Unavailable, match=text):
        await store.recover()
    assert not store.uncommitted("x")

    disk.heal()
    await store.recover()
    assert set(await store.snapshot()) == acknowledged
    seen = await look(store, [f"{number}-{each}" for number in range(20) for each in range(3)])
    assert {each for each, found in seen.items() if found} | {"old"} == acknowledged

    await put(store, promise("new"))
    await store.close()
    assert set(await reopened(path)) == acknowledged | {"new"}


@pytest.mark.parametrize(("what", "error", "text"), FAULTS)
async def test_a_fault_that_comes_once_is_over_at_the_first_recovery(path, disk, what, error, text):
    store = await opened(path, disk)
    disk.fail(what, error, times=1)
    with pytest.raises(Unavailable, match=text):
        await put(store, promise("a"))
    await store.recover()
    assert await get(store, "a") is None
    await put(store, promise("a"))
    await store.close()
    assert set(await reopened(path)) == {"a"}


async def test_everything_decided_after_a_lost_commit_is_refused_with_it(path, disk):
    store = await opened(path, disk)
    disk.fail("sync", times=1)
    writes = [promise(each) for each in "abc"]
    first = asyncio.ensure_future(put(store, writes[0]))
    await asyncio.sleep(0)  # a is on its way to the disk, b and c wait for it
    assert await gone_through(store, writes[1:]) == set()
    with pytest.raises(Unavailable):
        await first
    assert disk.failed == 1  # the disk would have taken the second commit
    await store.recover()
    assert await look(store, "abc") == {"a": None, "b": None, "c": None}
    await store.close()
    assert await reopened(path) == {}


async def test_who_only_looked_at_what_was_lost_is_told_so(path, disk):
    store = await opened(path, disk)
    disk.fail("sync", times=1)
    write = asyncio.ensure_future(put(store, promise("a")))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await get(store, "a")
    with pytest.raises(Unavailable):
        await write
    await store.recover()
    assert await get(store, "a") is None
    await store.close()


async def test_an_old_state_is_read_again_after_a_lost_update(path, disk):
    """The cache had the new one already."""
    store = await opened(path, disk)
    await put(store, promise("a"))
    disk.fail("write", times=1)
    with pytest.raises(Unavailable):
        await put(store, promise("a", state="resolved"))
    await store.recover()
    assert await get(store, "a") == promise("a")
    await store.close()


@pytest.mark.parametrize("after", [0, 1, 5, 25, 45])
async def test_a_commit_of_several_statements_is_all_or_nothing(path, disk, after, monkeypatch):
    monkeypatch.setattr("resonate.store.sqlite.writer._CHUNK_BYTES_MAX", 20_000)
    many = [promise(str(number), param=value("x" * 5_000)) for number in range(20)]
    store = await opened(path, disk)
    disk.fail("write", after=after, times=1)
    with pytest.raises(Unavailable):
        await put(store, *many)
    assert await store.snapshot() == {}
    await store.recover()
    await put(store, *many)
    await store.close()
    assert len(await reopened(path)) == 20


async def test_a_read_that_fails_is_refused_and_so_is_all_that_follows(path, disk):
    store = await opened(path, disk)
    await put(store, promise("a"), promise("b", param=value("x" * 300_000)))
    await store.close()
    store = await opened(path, disk)
    disk.fail("read")
    with pytest.raises(Unavailable):
        await get(store, "b")
    disk.heal()
    with pytest.raises(Unavailable):
        await put(store, promise("c"))
    await store.recover()
    assert set(await look(store, "abc")) == {"a", "b", "c"}
    await store.close()


async def test_a_scan_that_fails_says_so_and_the_store_goes_on(path, disk):
    store = await opened(path, disk)
    await put(store, *(promise(str(number), param=value("x" * 9_000)) for number in range(99)))
    await store.close()
    store = await opened(path, disk)
    disk.fail("read", after=3)
    with pytest.raises(Unavailable):
        await store.snapshot()
    disk.heal()
    await put(store, promise("a"))
    assert len(await store.snapshot()) == 100
    await store.close()


async def test_a_fault_while_the_log_is_folded_disturbs_nobody(path, disk, monkeypatch, caplog):
    monkeypatch.setattr("resonate.store.sqlite.writer._CHECKPOINT_PAGES", 10)
    monkeypatch.setattr("resonate.store.sqlite.writer._CHECKPOINT_RETRY_SECONDS", 0.001)
    caplog.set_level(logging.CRITICAL, "resonate.store")
    store = await opened(path, disk)
    disk.fail("write", apsw.FullError, part=path.name)
    number = 0

    async def write_until(condition):
        nonlocal number
        while not condition():
            number += 1
            await put(store, promise(str(number), param=value("x" * 9_000)))

    await asyncio.wait_for(write_until(lambda: disk.failed > 5), 10)
    disk.heal()
    wal = path.with_name(path.name + "-wal")
    size = wal.stat().st_size
    await asyncio.wait_for(write_until(lambda: number % 10 == 0), 10)
    await asyncio.wait_for(write_until(lambda: number % 100 == 0), 10)
    assert wal.stat().st_size < size + 2_000_000  # it is folded again
    await store.close()
    assert len(await reopened(path)) == number


async def test_closing_on_a_broken_disk_keeps_what_was_acknowledged(path, disk, caplog):
    store = await opened(path, disk)
    await put(store, promise("a"))
    disk.fail("write")
    disk.fail("sync")
    await store.close()
    assert set(await reopened(path)) == {"a"}


async def test_a_disk_that_fails_at_the_start_stops_the_start(path, disk):
    disk.fail("write", apsw.FullError)
    store = SqliteStore(path, vfs=disk.name)
    with pytest.raises(StartError, match="cannot be opened"):
        await store.open()
    disk.heal()
    await store.open()  # the lock is free again
    await store.close()


async def test_an_error_of_another_kind_is_met_the_same_way(path, disk, caplog):
    store = await opened(path, disk)
    disk.fail("write", RuntimeError, times=1)
    with pytest.raises(Unavailable, match="injected"):
        await put(store, promise("a"))
    await store.recover()
    assert await get(store, "a") is None
    await store.close()


async def test_a_damaged_page_is_told_as_damage(path):
    store = SqliteStore(path)
    await store.open()
    await put(store, *(promise(str(number), param=value("x" * 2_000)) for number in range(99)))
    await store.close()
    content = bytearray(path.read_bytes())
    content[-40_000:] = b"\xff" * 40_000
    path.write_bytes(content)
    store = SqliteStore(path)
    await store.open()
    with pytest.raises(Unavailable, match=r"the database is damaged .* restore it from a backup"):
        await look(store, map(str, range(99)))
    await store.close()


async def test_faults_may_come_and_go(path, disk):
    store = await opened(path, disk, cache_objects_max=2)
    acknowledged = {}
    for number in range(60):
        disk.fail("write" if number % 2 else "sync", after=number % 5, times=1)
        writes = [promise(f"{number}-{each}") for each in range(4)]
        done = await gone_through(store, writes)
        acknowledged |= {each.id: each for each in writes if each.id in done}
        disk.heal()
        await store.recover()
    assert 0 < len(acknowledged) < 240
    assert await store.snapshot() == acknowledged
    await store.close()
    assert await reopened(path) == acknowledged


async def test_the_lock_is_free_when_closing_met_a_fault(path, disk, caplog):
    store = await opened(path, disk)
    await put(store, promise("a"))
    disk.fail("sync")
    await store.close()
    disk.heal()
    second = await opened(path, disk)
    assert set(await second.snapshot()) == {"a"}
    await second.close()
