"""Push: what is for HTTP addresses is posted there, each address at its own pace."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from resonate.protocol import requests as rq
from tests.engine.cluster import FAR, HEAD
from tests.engine.targets import pushing, target
from tests.waiting import eventually, never


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("resonate.engine.push.PUSH_PAUSE_SECONDS", (0.04, 0.16))


def push_targets(server):
    return list(server.engine._push._targets)


# --- what is posted -------------------------------------------------------------------------------


async def test_a_task_is_posted_and_acquired_by_a_request(servers):
    async with target("/work?x=1") as worker, pushing(servers) as server:
        await server.create("a", worker.url)
        await eventually(lambda: worker.posts)
        (post,) = worker.posts
        assert (post.method, post.path) == ("POST", "/work?x=1")
        assert post.headers["content-type"] == "application/json"
        assert post.message == {
            "kind": "execute",
            "head": {"serverUrl": "http://localhost:8001"},
            "data": {"task": {"id": "a", "version": 0}},
        }
        assert (await server.task("a")).state == "pending"  # an offer claims nothing
        assert (await server.acquire("a", 0, "somebody")).data.task.version == 1
        await server.fulfill("a", 1)
        await never(lambda: len(worker.posts) > 1)


async def test_an_unblock_is_posted_with_the_whole_record(servers):
    async with target() as caller, pushing(servers) as server:
        await server.create("a", None, kind="x")
        await server.listen("a", caller.url)
        await server.settle("a")
        await eventually(lambda: caller.posts)
        message = caller.posts[0].message
        assert (message["kind"], message["head"]) == ("unblock", {})
        record = message["data"]["promise"]
        assert record == {
            "id": "a",
            "state": "resolved",
            "param": {},
            "value": {},
            "tags": {"kind": "x"},
            "timeoutAt": FAR,
            "createdAt": record["createdAt"],
            "settledAt": record["settledAt"],
        }

        async def discharged():
            return (await server.stored("a")).listeners == ()

        await eventually(discharged)
        assert len(caller.posts) == 1


@pytest.mark.parametrize("status", [200, 204, 299])
async def test_any_2xx_means_delivered(memory, status):
    async with target() as caller, pushing(memory) as server:
        caller.status = status
        await server.create("a", None)
        await server.listen("a", caller.url)
        await server.settle("a")
        await eventually(lambda: caller.told == ["a"])
        await never(lambda: len(caller.posts) > 1, 0.1)


@pytest.mark.parametrize("status", [300, 404, 503])
async def test_anything_else_is_tried_again(memory, status):
    async with target() as peer, pushing(memory) as server:
        peer.statuses.append(status)
        await server.create("task", peer.url)
        await eventually(lambda: peer.tasks == ["task"] * 2)
        await server.acquire("task", 0, "w")
        peer.statuses.append(status)
        await server.create("a", None)
        await server.listen("a", peer.url)
        await server.settle("a")
        await eventually(lambda: peer.told == ["a"] * 2)
        await never(lambda: len(peer.posts) > 4)


async def test_a_redirect_is_not_followed(memory):
    async with target() as first, target() as other, pushing(memory) as server:
        first.status = 307
        first.answer_headers = {"location": other.url}
        await server.create("a", first.url)
        await eventually(lambda: len(first.posts) >= 2)
        assert other.posts == []


async def test_tasks_are_posted_oldest_first_and_each_once(servers):
    async with target() as worker, pushing(servers) as server:
        names = [f"t{number:02}" for number in range(40)]
        worker.gate.clear()
        for each in names:
            await server.create(each, worker.url)
        await eventually(lambda: len(worker.posts) == 16)
        assert worker.tasks == names[:16]
        worker.gate.set()
        await eventually(lambda: len(worker.posts) == 40)
        await never(lambda: len(worker.posts) > 40)
        assert sorted(worker.tasks) == names


async def test_a_delayed_task_is_posted_at_its_instant(servers):
    """Also when nothing else is known of its address by then."""
    async with target() as worker, pushing(servers) as server:
        at = server.engine._clock.now() + 120
        await server.create("later", worker.url, delay=at)
        await never(lambda: worker.posts, 0.08)
        assert push_targets(server) == []
        await eventually(lambda: worker.tasks == ["later"])
        assert server.engine._clock.now() >= at


async def test_a_task_whose_lease_ends_is_posted_again(memory):
    async with target() as worker, pushing(memory) as server:
        await server.create("a", worker.url)
        await eventually(lambda: worker.posts)
        await server.acquire("a", 0, "w", ttl=60)
        await eventually(lambda: len(worker.posts) == 2)
        assert worker.posts[1].message["data"]["task"] == {"id": "a", "version": 1}


async def test_an_address_whose_worker_goes_by_it_is_never_cut_off(servers):
    """Its url as pid: lapsed leases and unanswered offers are those of a connection, not of it."""
    async with target() as worker, pushing(servers) as server:
        await server.create("a", worker.url)
        await eventually(lambda: worker.posts)
        await server.acquire("a", 0, worker.url, ttl=50)
        await eventually(lambda: len(worker.posts) == 2)  # although its pid was silent
        server.engine._push._targets[worker.url].member.unanswered = 3
        await server.heartbeat(worker.url)
        await server.create("b", worker.url)
        await eventually(lambda: worker.tasks[-1] == "b")


# --- failures -------------------------------------------------------------------------------------


async def test_the_pauses_grow_and_start_over_after_a_success(memory):
    async with target() as caller, pushing(memory) as server:
        caller.statuses.extend([500] * 4)
        await server.create("a", None)
        await server.listen("a", caller.url)
        await server.settle("a")
        await eventually(lambda: len(caller.posts) == 5)
        for least, pause in zip([0.04, 0.08, 0.16, 0.16], caller.pauses, strict=True):
            assert least * 0.9 <= pause < least + 0.5
        caller.statuses.append(500)
        await server.create("b", None)
        await server.listen("b", caller.url)
        await server.settle("b")
        await eventually(lambda: caller.told == ["a"] * 5 + ["b"] * 2)
        assert caller.pauses[-1] < 0.15


async def test_an_address_where_nobody_listens_is_tried_until_somebody_does(servers):
    async with target() as first:
        url, port = first.url, int(first.url.split(":")[2].split("/")[0])
    async with pushing(servers) as server:
        await server.create("task", url)
        await server.create("a", None)
        await server.listen("a", url)
        await server.settle("a")
        await eventually(lambda: server.engine._push._targets[url]._holding)
        async with target(port=port) as back:
            assert back.url == url
            await eventually(lambda: back.tasks and back.told)
            assert (set(back.tasks), set(back.told)) == ({"task"}, {"a"})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/x", "http://[::1", "http://a..b/", "https://127.0.0.1:1/"]
)
async def test_an_address_that_can_lead_nowhere_hurts_nobody(memory, url, caplog):
    from resonate.protocol.addresses import parse_address

    if parse_address(url) is None:
        return  # refused at the door
    async with target() as worker, pushing(memory) as server:
        await server.create("bad", url)
        await server.create("good", worker.url)
        await eventually(lambda: worker.tasks == ["good"])
        await eventually(lambda: server.engine._push._targets[url]._holding)
        assert server.engine.problem is None
        assert "next try in" in caplog.text


async def test_one_hanging_target_does_not_delay_another(servers):
    """Row 5 of the known defects."""
    async with target() as hanging, target() as other, pushing(servers) as server:
        hanging.gate.clear()
        for number in range(30):
            await server.create(f"h{number}", hanging.url)
            await server.create(f"o{number}", other.url)
        await server.create("p", None)
        await server.listen("p", hanging.url)
        await server.listen("p", other.url)
        await server.settle("p")
        await eventually(lambda: len(other.tasks) == 30 and other.told == ["p"])
        assert len(hanging.posts) == 16


async def test_posts_under_way_to_one_address_are_bounded(memory, monkeypatch):
    monkeypatch.setattr("resonate.engine.push.PUSH_POSTS_MAX", 3)
    async with target() as peer, pushing(memory) as server:
        peer.gate.clear()
        for number in range(12):
            await server.create(f"t{number}", peer.url)
        await eventually(lambda: len(peer.posts) == 3)
        for number in range(12):
            await server.create(f"p{number}", None)
            await server.listen(f"p{number}", peer.url)
            await server.settle(f"p{number}")
        await never(lambda: len(peer.posts) > 3, 0.1)
        peer.gate.set()
        await eventually(lambda: len(set(peer.tasks)) == 12 and len(set(peer.told)) == 12)
        assert peer.most == 3


async def test_unblocks_of_one_moment_are_bounded_too(memory, monkeypatch):
    monkeypatch.setattr("resonate.engine.push.PUSH_POSTS_MAX", 3)
    async with target() as caller, pushing(memory) as server:
        caller.gate.clear()
        names = [f"p{number}" for number in range(10)]
        for each in names:
            await server.create(each, None)
            await server.listen(each, caller.url)
        data = [rq.PromiseSettleData(each, "resolved") for each in names]
        await server.submit(*(rq.PromiseSettle(HEAD, each) for each in data))
        await never(lambda: len(caller.posts) > 3, 0.1)
        caller.gate.set()
        await eventually(lambda: sorted(caller.told) == names)
        assert caller.most == 3


async def test_what_was_superseded_does_not_hold_up_the_rest(memory, monkeypatch):
    """While the address is paused its listeners register again, and need no message any more."""
    monkeypatch.setattr("resonate.engine.push.PUSH_POSTS_MAX", 2)
    async with target() as caller, pushing(memory) as server:
        caller.statuses.append(500)
        names = [f"p{number}" for number in range(6)]
        for each in names:
            await server.create(each, None)
            await server.listen(each, caller.url)
        await server.settle("p0")
        await eventually(lambda: server.engine._push._targets[caller.url]._holding)
        for each in names[1:]:
            await server.settle(each)
        for each in ("p0", "p1", "p2", "p3"):
            await server.listen(each, caller.url)
        await eventually(lambda: set(caller.told) >= {"p4", "p5"})


async def test_a_promise_that_was_deleted_meanwhile_holds_up_nothing(memory, monkeypatch):
    monkeypatch.setattr("resonate.engine.push.PUSH_POSTS_MAX", 1)
    async with target() as caller, pushing(memory) as server:
        caller.statuses.append(500)
        for each in ("gone", "kept"):
            await server.create(each, None)
            await server.listen(each, caller.url)
        await server.settle("gone")
        await eventually(lambda: server.engine._push._targets[caller.url]._holding)
        await server.settle("kept")
        await server.listen("gone", caller.url)
        server.engine._store._objects.pop("gone")  # as retention does it
        await eventually(lambda: caller.told[-1] == "kept")


# --- how many addresses ---------------------------------------------------------------------------


async def test_an_idle_address_is_forgotten_and_known_again(memory, monkeypatch):
    monkeypatch.setattr("resonate.engine.push.PUSH_IDLE_SECONDS", 0.03)
    async with target() as worker, pushing(memory) as server:
        await server.create("a", worker.url)
        await eventually(lambda: worker.posts)
        await never(lambda: not push_targets(server), 0.08)  # an offer stands
        await server.acquire("a", 0, "w")
        await eventually(lambda: not push_targets(server))
        assert server.engine.directory.groups == {}
        assert server.engine._dispatch._queues._queues == {}
        await server.create("b", worker.url)
        await eventually(lambda: worker.tasks == ["a", "b"])


@pytest.mark.parametrize("kind", ["tasks", "unblocks"])
async def test_more_addresses_than_may_be_are_served_later(servers, monkeypatch, kind):
    monkeypatch.setattr("resonate.engine.push.PUSH_ADDRESSES_MAX", 2)
    monkeypatch.setattr("resonate.engine.engine.PUSH_ADDRESSES_MAX", 2)
    monkeypatch.setattr("resonate.engine.push.PUSH_IDLE_SECONDS", 0.02)
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(target()) for _ in range(6)]
        server = await stack.enter_async_context(pushing(servers))
        most = 0
        for number, peer in enumerate(peers):
            if kind == "tasks":
                await server.create(f"t{number}", peer.url)
            else:
                await server.create(f"t{number}", None)
                await server.listen(f"t{number}", peer.url)
                await server.settle(f"t{number}")
            most = max(most, len(push_targets(server)))
        assert most == 2

        async def all_served():
            for number, peer in enumerate(peers):
                if kind == "tasks" and peer.posts:
                    await server.acquire(f"t{number}", 0, "w")
            assert len(push_targets(server)) <= 2
            return all(peer.posts for peer in peers)

        await eventually(all_served)


async def test_after_a_restart_more_addresses_than_may_be_are_served_later(sqlite, monkeypatch):
    monkeypatch.setattr("resonate.engine.push.PUSH_ADDRESSES_MAX", 2)
    monkeypatch.setattr("resonate.engine.engine.PUSH_ADDRESSES_MAX", 2)
    monkeypatch.setattr("resonate.engine.push.PUSH_IDLE_SECONDS", 0.02)
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(target()) for _ in range(5)]
        async with sqlite.start() as server:
            for number, peer in enumerate(peers):
                await server.create(f"t{number}", peer.url)
        server = await stack.enter_async_context(pushing(sqlite))

        async def all_served():
            for number, peer in enumerate(peers):
                if peer.posts:
                    await server.acquire(f"t{number}", 0, "w")
            return all(peer.posts for peer in peers)

        await eventually(all_served)
