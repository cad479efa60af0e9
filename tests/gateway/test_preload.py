"""Preload over HTTP: with an acquire, with a claim, and again for whoever comes after a crash."""

from __future__ import annotations

import pytest

from resonate.store.sqlite import SqliteStore
from tests.gateway.wire import create, envelope, eventually, request

FLOW = {"resonate:target": "poll://any@g", "resonate:branch": "flow"}


@pytest.fixture
def server(fresh, tmp_path):
    return fresh(store=SqliteStore(tmp_path / "r.db", cache_objects_max=0), grace_ms=20)


def step(server, name, version, value):
    """Do a local step as its holder does: created and settled behind the fence."""
    tags = {"resonate:branch": "flow", "resonate:scope": "local"}
    for kind, data in (
        ("promise.create", create(name, tags=tags, param={})),
        ("promise.settle", {"id": name, "state": "resolved", "value": {"data": value}}),
    ):
        action = {"kind": kind, "head": {}, "data": data}
        answer = server.post("task.fence", {"id": "flow", "version": version, "action": action})
        assert answer["preload"] == []


def steps(lease):
    assert all(each["state"] == "resolved" for each in lease["preload"])
    return [(each["id"], each["value"]["data"]) for each in lease["preload"]]


def test_an_acquire_and_a_create_tell_the_steps(server):
    server.post("promise.create", create("flow", tags=FLOW))
    lease = {"pid": "w", "ttl": 60_000}
    server.post("task.acquire", {"id": "flow", "version": 0, **lease})
    step(server, "flow:2", 1, "Mg==")
    step(server, "flow:1", 1, "MQ==")
    server.post("task.release", {"id": "flow", "version": 1})
    answer = server.post("task.acquire", {"id": "flow", "version": 1, **lease})
    assert steps(answer) == [("flow:1", "MQ=="), ("flow:2", "Mg==")]
    server.post("task.release", {"id": "flow", "version": 2})
    action = {"kind": "promise.create", "head": {}, "data": create("flow", tags=FLOW)}
    answer = server.post("task.create", {**lease, "action": action})
    assert (answer["task"]["version"], len(answer["preload"])) == (3, 2)


def test_after_a_crash_the_next_worker_is_told_the_steps(server):
    query = "?claim=1&ttl=60000&presence=1"
    with server.events(f"/poll/g/x{query}") as first:
        server.post("promise.create", create("flow", tags=FLOW))
        lease = first.event()["data"]
        assert (lease["task"]["version"], lease["preload"]) == (1, [])
        step(server, "flow:1", 1, "MQ==")
        first.reset()
    with server.events(f"/poll/g/y{query}") as second:
        lease = second.event()["data"]
        assert (lease["task"]["version"], lease["task"]["pid"]) == (2, "y")
        assert steps(lease) == [("flow:1", "MQ==")]


def test_after_a_restart_the_next_worker_is_told_the_steps(fresh, tmp_path):
    first = fresh(store=SqliteStore(tmp_path / "r.db"))
    first.post("promise.create", create("flow", tags=FLOW))
    first.post("task.acquire", {"id": "flow", "version": 0, "pid": "w", "ttl": 60_000})
    step(first, "flow:1", 1, "MQ==")
    first.stop()
    second = fresh(store=SqliteStore(tmp_path / "r.db"))
    second.post("task.release", {"id": "flow", "version": 1})
    with second.events("/poll/g/y?claim=1&ttl=60000") as events:
        assert steps(events.event()["data"]) == [("flow:1", "MQ==")]


def test_a_batch_of_acquires_tells_each_its_own(server):
    for flow in "ab":
        tags = {"resonate:target": "poll://any@h", "resonate:branch": flow}
        server.post("promise.create", create(flow, tags=tags))
        server.post("promise.create", create(f"{flow}:1", tags={"resonate:branch": flow}))
    data = {"version": 0, "pid": "w", "ttl": 60_000}
    batch = [envelope("task.acquire", {"id": flow, **data}) for flow in "ab"]
    with server.client() as client:
        answer = client.ask(request(batch))
    told = [[one["id"] for one in each["data"]["preload"]] for each in answer.json]
    assert told == [["a:1"], ["b:1"]]
    eventually(lambda: not server.engine._admission.pending)
