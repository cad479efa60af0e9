"""Push through the whole server: a worker behind a URL acquires, works and fulfils by requests."""

from __future__ import annotations

import time

import pytest

from resonate.gateway.poster import HttpPoster
from resonate.store.sqlite import SqliteStore
from tests.gateway.servers import LOOPS
from tests.gateway.targets import Target
from tests.gateway.wire import create, eventually, get, post

HOST = "http://127.0.0.1"


@pytest.fixture
def pushing(fresh, tmp_path):
    return fresh(poster=HttpPoster(), store=SqliteStore(tmp_path / "r.db"))


def fulfill(server, message, value="Mg=="):
    """Do what a worker does with an execute."""
    task = message["data"]["task"]
    assert message["head"] == {"serverUrl": f"http://127.0.0.1:{server.port}"}
    lease = server.post("task.acquire", {**task, "pid": "serverless", "ttl": 60_000})
    assert lease["task"]["version"] == task["version"] + 1
    settle = {"id": task["id"], "state": "resolved", "value": {"data": value}}
    data = {"id": task["id"], "version": lease["task"]["version"]}
    server.post("task.fulfill", {**data, "action": {"kind": "promise.settle", "data": settle}})


def test_a_worker_behind_a_url_does_what_a_caller_behind_another_awaits(pushing):
    with Target() as worker, Target() as caller:
        worker.act = lambda message: fulfill(pushing, message)
        pushing.post("promise.create", create("job", target=worker.url))
        listen = {"awaited": "job", "address": caller.url}
        pushing.post("promise.register_listener", listen)
        eventually(lambda: caller.messages)
        assert worker.messages == [
            {
                "kind": "execute",
                "head": {"serverUrl": f"{HOST}:{pushing.port}"},
                "data": {"task": {"id": "job", "version": 0}},
            }
        ]
        head = worker.heads[0]
        assert head["path"] == "/run/x?y=z"
        assert head["content-type"] == "application/json"
        (message,) = caller.messages
        assert (message["kind"], message["head"]) == ("unblock", {})
        promise = message["data"]["promise"]
        assert promise == pushing.post("promise.get", {"id": "job"})["promise"]
        assert (promise["param"], promise["value"]) == ({}, {"data": "Mg=="})


def test_a_post_may_be_answered_only_after_the_whole_execution(pushing):
    with Target() as worker:
        worker.gate.clear()
        worker.act = lambda message: fulfill(pushing, message)
        pushing.post("promise.create", create("long", target=worker.url))
        asked = {"id": "long"}
        eventually(lambda: pushing.post("promise.get", asked)["promise"]["state"] == "resolved")
        assert len(worker.messages) == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_the_server_stops_although_a_post_hangs(fresh, loop):
    pushing = fresh(poster=HttpPoster(), loop=loop)
    with Target() as worker:
        worker.gate.clear()
        pushing.post("promise.create", create("hangs", target=worker.url))
        eventually(lambda: worker.messages)
        began = time.monotonic()
        pushing.stop()
        assert time.monotonic() - began < 3
        worker.gate.set()


@pytest.mark.parametrize(
    "path",
    [
        b"/poll/%00http%3A%2F%2Fh%2F/http%3A%2F%2Fh%2F",
        b"/poll/%00/a",
        b"/poll/%00g/a?capacity=1",
        b"/poll/%00%00/%00",
    ],
)
def test_a_connection_cannot_join_the_group_of_an_address(server, path):
    with server.client() as client:
        answer = client.ask(get(path))
        assert (answer.status, answer.body.decode()) == (404, "Not Found")
    groups = server.call(list, server.engine.directory.groups)
    assert not any(each.startswith("\x00") for each in groups)


def test_a_group_that_looks_like_an_address_is_another(pushing):
    with Target() as worker:
        quoted = worker.url.replace(":", "%3A").replace("/", "%2F").replace("?", "%3F")
        with pushing.events(f"/poll/{quoted}/a") as events:
            assert events.answered.status == 200  # a group that only looks like it
            pushing.post("promise.create", create("own", target=worker.url))
            eventually(lambda: worker.messages)
            assert events.quiet()


def test_an_unusable_address_is_refused_at_the_door(server):
    for address in ("http://", "https:///x", "ftp://h/", "http://h h/", "http:/h", "gcps://x"):
        with server.client() as client:
            answer = client.ask(post("promise.create", create("no", target=address)))
            assert (answer.status, answer.text) == (400, "Invalid resonate:target address")
            listen = {"awaited": "x", "address": address}
            answer = client.ask(post("promise.register_listener", listen))
            assert (answer.status, answer.text) == (400, "Invalid listener address")
