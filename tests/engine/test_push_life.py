"""Push through restarts, failures and stops, and what hostile addresses cannot do to it."""

from __future__ import annotations

import asyncio
import time

import pytest

from resonate.protocol import requests as rq
from resonate.protocol.limits import UNBLOCK_MS_MAX
from tests.engine.cluster import HEAD, Gate, Worker, create
from tests.engine.targets import pushing, target
from tests.store.faults import Disk
from tests.store.stores import promise, put
from tests.waiting import eventually, never


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("resonate.engine.push.PUSH_PAUSE_SECONDS", (0.03, 0.06))


def settle(promise_id):
    return rq.PromiseSettle(HEAD, rq.PromiseSettleData(promise_id, "resolved"))


# --- restarts and failures ------------------------------------------------------------------------


async def test_an_unblock_survives_a_restart(sqlite):
    async with target() as caller:
        caller.status = 500
        async with pushing(sqlite) as server:
            await server.create("a", None)
            await server.listen("a", caller.url)
            await server.settle("a")
            await eventually(lambda: caller.told)
        seen = len(caller.posts)
        caller.status = 200
        async with pushing(sqlite) as server:
            await eventually(lambda: len(caller.posts) == seen + 1)

            async def discharged():
                return (await server.stored("a")).listeners == ()

            await eventually(discharged)
        async with pushing(sqlite):
            await never(lambda: len(caller.posts) > seen + 1)


async def test_a_task_survives_a_restart(sqlite):
    async with target() as worker:
        async with pushing(sqlite) as server:
            await server.create("a", worker.url)
            await eventually(lambda: worker.tasks == ["a"])
        async with pushing(sqlite) as server:
            await eventually(lambda: worker.tasks == ["a", "a"])
            assert (await server.acquire("a", 0, "w")).status == 200


async def test_nothing_is_posted_before_its_commit(sqlite):
    async with target() as peer, pushing(sqlite) as server:
        await server.create("p", None)
        await server.listen("p", peer.url)
        gate = Gate(server)
        calls = [server.submit(create("a", peer.url)), server.submit(settle("p"))]
        await eventually(lambda: server.engine._store.uncommitted("p"))
        await never(lambda: peer.posts)
        gate.open()
        await asyncio.gather(*calls)
        await eventually(lambda: peer.tasks == ["a"] and peer.told == ["p"])


async def test_after_the_store_failed_it_goes_on(sqlite, monkeypatch, caplog):
    monkeypatch.setattr("resonate.engine.recovery._SECONDS", (0.01, 0.05))
    disk = Disk()
    async with target() as peer, pushing(sqlite, vfs=disk.name) as server:
        peer.gate.clear()
        await server.create("a", peer.url)
        await server.create("p", None)
        await server.listen("p", peer.url)
        await server.settle("p")
        await eventually(lambda: peer.under_way == 2)
        disk.fail("write", times=1)
        assert (await server.ask(create("x", None))).status == 503
        peer.gate.set()
        disk.heal()
        await eventually(lambda: server.engine.problem is None)
        await eventually(lambda: peer.tasks.count("a") == 2 and peer.told.count("p") == 2)
        assert (await server.acquire("a", 0, "w")).status == 200


async def test_an_unblock_that_nobody_takes_is_given_up_after_a_day(sqlite, caplog):
    now = int(time.time() * 1000)
    store = sqlite._stores.make()
    await store.open()
    async with target() as caller:
        caller.status = 500
        settled = {"state": "resolved", "listeners": (caller.url,), "timeout_at": now}
        await put(
            store,
            promise("old", settled_at=now - UNBLOCK_MS_MAX - 1, **settled),
            promise("new", settled_at=now - 1, **settled),
        )
        await store.close()
        async with pushing(sqlite) as server:

            async def given_up():
                return (await server.stored("old")).listeners == ()

            await eventually(given_up)
            assert "1 unblocks that nobody fetched" in caplog.text
            caller.status = 200
            await eventually(lambda: len(server.engine._delivery.unblocks) == 0)
            assert "new" in caller.told
            assert server.engine._push._targets[caller.url]._telling == set()


async def test_a_post_that_waits_for_its_turn_costs_neither_memory_nor_trust(memory, monkeypatch):
    monkeypatch.setattr("resonate.gateway.poster.PUSH_CONNECTIONS_MAX", 2)
    monkeypatch.setattr("resonate.gateway.poster.PUSH_SECONDS_MAX", 0.2)
    async with target() as hanging, target() as other, pushing(memory) as server:
        poster = server.engine._push.poster
        encoder = poster._encoder
        poster._encoder = encoding = Encoding(encoder)
        hanging.gate.clear()
        for number in range(2):
            await server.create(f"h{number}", hanging.url)
        await eventually(lambda: hanging.under_way == 2)
        for number in range(10):
            await server.create(f"o{number}", other.url)
        await never(lambda: other.posts, 0.1)
        assert encoding.count == 2
        one = server.engine._push._targets[other.url]
        assert len(one.posts) == 10
        await eventually(lambda: len(other.posts) == 10)  # the hanging ones were given up
        assert not one._holding
        assert sorted(set(other.tasks)) == sorted(other.tasks)


class Encoding:
    """Counts what it encodes."""

    def __init__(self, encoder):
        self.count = 0
        self._encoder = encoder

    def encode(self, message):
        self.count += 1
        return self._encoder.encode(message)


# --- the end --------------------------------------------------------------------------------------


async def test_stopping_waits_for_no_post_and_leaves_none(servers):
    before = asyncio.all_tasks()
    async with target() as hanging, pushing(servers) as server:
        hanging.gate.clear()
        for number in range(20):
            await server.create(f"t{number}", hanging.url)
        await server.create("p", None)
        await server.listen("p", hanging.url)
        await server.settle("p")
        await eventually(lambda: hanging.under_way == 16)
        posts = {each for one in server.engine._push._targets.values() for each in one.posts}
        assert len(posts) == 16
        began = time.monotonic()
        await server.engine.stop()
        assert time.monotonic() - began < 2
        assert all(each.done() for each in posts)
        assert server.engine._push._targets == {}
    await eventually(lambda: asyncio.all_tasks() <= before)


async def test_what_is_decided_while_stopping_begins_no_post(sqlite):
    async with target() as peer, pushing(sqlite) as server:
        await server.create("p", None)
        await server.listen("p", peer.url)
        await server.create("q", None)
        gate = Gate(server)
        call = server.submit(settle("p"))
        await eventually(lambda: server.engine._store.uncommitted("p"))
        stopping = asyncio.ensure_future(server.engine.stop())
        await asyncio.sleep(0)
        gate.open()
        await stopping
        assert (await call)[0].status == 200
        assert server.engine._push._targets == {}
        await never(lambda: peer.posts)
    async with target(port=int(peer.url.split(":")[2].split("/")[0])) as again, pushing(sqlite):
        await eventually(lambda: again.told == ["p"])  # it is not lost


async def test_without_a_poster_what_is_for_addresses_waits(sqlite):
    async with target() as peer:
        async with sqlite.start() as server:
            await server.create("a", peer.url)
            await server.create("p", None)
            await server.listen("p", peer.url)
            await server.settle("p")
            await never(lambda: peer.posts or server.engine._push._targets)
            assert (await server.acquire("a", 0, "w")).status == 200
            await server.release("a", 1)
        async with pushing(sqlite):
            await eventually(lambda: peer.tasks == ["a"] and peer.told == ["p"])


# --- hostile input --------------------------------------------------------------------------------


@pytest.mark.parametrize("cast", ["any", "uni"])
async def test_no_poll_address_reaches_the_group_of_an_http_address(memory, cast, caplog):
    """A group may be written with ``%00``: it is nobody's."""
    async with target() as peer, pushing(memory) as server:
        peer.gate.clear()
        await server.create("a", peer.url)
        await eventually(lambda: peer.tasks == ["a"])
        name = peer.url.replace(":", "%3A").replace("/", "%2F")
        address = f"poll://{cast}@%00{name}/{name}"
        await server.create("p", None)
        await server.listen("p", address)
        await server.create("stolen", address)
        await server.settle("p")
        await never(lambda: len(peer.posts) > 1, 0.08)
        assert "could not be given" not in caplog.text
        peer.gate.set()


async def test_holding_tasks_under_the_name_of_an_address_does_not_block_it(memory, monkeypatch):
    monkeypatch.setattr("resonate.engine.push.PUSH_TASKS_MAX", 3)
    async with target() as peer, pushing(memory) as server:
        for number in range(5):
            await server.create(f"h{number}", "poll://any@h")
            await server.acquire(f"h{number}", 0, peer.url)
        await server.create("a", peer.url)
        await eventually(lambda: peer.tasks == ["a"])


async def test_a_connection_may_have_an_url_as_its_name(memory):
    async with target() as peer, pushing(memory) as server:
        await server.create("a", peer.url)
        await eventually(lambda: peer.tasks == ["a"])
        worker = Worker(server, pid=peer.url, presence=True)
        await server.create("b", "poll://any@g")
        await server.given(worker, "b")
        worker.leave()
        await server.create("c", peer.url)
        await eventually(lambda: peer.tasks == ["a", "c"])


async def test_what_waits_for_a_dead_address_is_bounded(memory, monkeypatch):
    monkeypatch.setattr("resonate.engine.unblocks.UNBLOCKS_MAX", 5)
    async with target() as caller, pushing(memory) as server:
        caller.status = 500
        for number in range(12):
            await server.create(f"p{number}", None)
            await server.listen(f"p{number}", caller.url)
            await server.settle(f"p{number}")
        one = server.engine._push._targets[caller.url]
        assert len(one._unblocks) + len(one._telling) <= 5
        caller.status = 200
        await eventually(lambda: len(set(caller.told)) >= 5)
        answer = await server.listen("p11", caller.url)  # the others learn it when they ask
        assert answer.promise.state == "resolved"


async def test_an_address_that_answers_oddly_is_only_paused(memory):
    """Bytes that are no HTTP, an answer that does not end, and one that ends too soon."""

    async def garbage(reader, writer):
        await reader.read(100)
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        writer.close()

    async def endless(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        ended.append(writer)
        while not writer.is_closing():
            writer.write(b"5\r\nxxxxx\r\n")
            try:
                await writer.drain()
                await asyncio.sleep(0)
            except ConnectionError:
                break

    async def silent(reader, writer):
        writer.close()

    ended = []
    servers = [await asyncio.start_server(each, "127.0.0.1", 0) for each in (garbage, silent)]
    servers.append(await asyncio.start_server(endless, "127.0.0.1", 0))
    urls = [f"http://127.0.0.1:{each.sockets[0].getsockname()[1]}/" for each in servers]
    async with target() as good, pushing(memory) as server:
        for number, url in enumerate([*urls, good.url]):
            await server.create(f"p{number}", None)
            await server.listen(f"p{number}", url)
            await server.settle(f"p{number}")
        await eventually(lambda: good.told == ["p3"])
        targets = server.engine._push._targets
        await eventually(lambda: targets[urls[0]]._holding and targets[urls[1]]._holding)
        await eventually(lambda: not targets[urls[2]].posts)  # 200 was enough
        await eventually(lambda: all(each.is_closing() for each in ended))
    for each in servers:
        each.close()
        await each.wait_closed()
