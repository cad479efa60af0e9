"""A strict server: no extension but batches, and the refusals of the specification (section 4)."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from resonate.protocol.envelope import Rules
from tests.gateway.servers import Server
from tests.gateway.wire import create, envelope, eventually, get, post, request


@pytest.fixture(scope="module")
def server():
    running = Server(rules=Rules(strict=True))
    yield running
    running.probe()
    running.stop()


def ask(server, kind, data):
    with server.client() as client:
        return client.ask(post(kind, data))


def held(server, task_id, *, group="held", pid="w", ttl=60_000):
    """Make a task and acquire it."""
    server.task(task_id, f"poll://any@{group}")
    lease = server.post("task.acquire", {"id": task_id, "version": 0, "pid": pid, "ttl": ttl})
    return {"id": task_id, "version": lease["task"]["version"]}


def test_discovery_names_no_extension_but_batches(server):
    with server.client() as client:
        assert client.ask(get(b"/")).json == {
            "server": "resonate-py",
            "version": version("resonate-py"),
            "protocol": ["2026-04-01"],
            "mode": "strict",
            "extensions": {"batch": {"max": 1000}},
            "limits": {"bodyBytes": 4194304, "searchLimit": 1000},
        }


@pytest.mark.parametrize(
    "query", ["capacity=1&claim=1&ttl=60000&presence=1", "capacity=nonsense", "claim=1", "ttl=-1"]
)
def test_parameters_of_a_stream_are_ignored(server, query):
    group = f"poll{len(query)}"
    with server.events(f"/poll/{group}/w?{query}") as events:
        assert events.answered.status == 200
        terms = server.member(group, "w").terms
        assert (terms.capacity, terms.claim, terms.presence, terms.declared) == (64, *[False] * 3)
        for number in (1, 2):
            server.task(f"{group}.{number}", f"poll://any@{group}")
        messages = [events.event(), events.event()]
        offered = [message["data"] for message in messages]
        assert offered == [{"task": {"id": f"{group}.{n}", "version": 0}} for n in (1, 2)]
    server.gone(group)


def test_a_lost_connection_loses_no_lease(server):
    ref = held(server, "kept", pid="p")
    with server.events("/poll/presence/p?presence=1"):
        pass
    server.gone("presence")
    assert server.post("task.get", {"id": "kept"})["task"]["state"] == "acquired"
    assert server.post("task.heartbeat", {"pid": "p", "tasks": [ref]}) == {}


def test_a_heartbeat_tells_nothing_of_what_is_lost(server):
    refs = [{"id": "nothing", "version": 1}, held(server, "beat", pid="p")]
    assert server.post("task.heartbeat", {"pid": "p", "tasks": refs}) == {}
    assert server.post("task.heartbeat", {"pid": "other", "tasks": refs}) == {}


def test_an_empty_heartbeat_has_no_effect(server):
    held(server, "lapses", pid="empty", ttl=150)
    held(server, "renewed", pid="empty", ttl=150)

    def lapsed():
        assert server.post("task.heartbeat", {"pid": "empty", "tasks": []}) == {}
        ref = {"id": "renewed", "version": 1}
        assert server.post("task.heartbeat", {"pid": "empty", "tasks": [ref]}) == {}
        return server.post("task.get", {"id": "lapses"})["task"]["state"] == "pending"

    eventually(lapsed)
    assert server.post("task.get", {"id": "renewed"})["task"]["state"] == "acquired"


def test_a_release_is_at_once_whatever_delay_it_names(server):
    ref = held(server, "at once", group="delay")
    with server.events("/poll/delay/w") as events:
        server.post("task.release", {**ref, "delay": 86_400_000})
        assert events.task() == "at once"
    ref = held(server, "impossible delay")
    assert ask(server, "task.release", {**ref, "delay": 10**12}).status == 200
    server.gone("delay")


@pytest.mark.parametrize("kind", ["promise.search", "task.search", "schedule.search"])
def test_searches_are_not_implemented(server, kind):
    answer = ask(server, kind, {})
    assert (answer.status, answer.text) == (501, "Not implemented")
    answer = ask(server, kind, {"limit": 0})  # what is wrong in any case is told first
    assert (answer.status, answer.text) == (400, "Limit must be a positive integer")
    with server.client() as client:
        batch = [envelope(kind, {}), envelope("promise.create", create(f"behind {kind}"))]
        answer = client.ask(request(batch))
        assert [each["head"]["status"] for each in answer.json] == [501, 200]
    answer = ask(server, kind, {"limit": 5, "idPrefix": "x", "counts": True, "order": "odd"})
    assert answer.status == 501


def test_a_timer_with_a_target_is_refused(server):
    tags = {"resonate:timer": "true", "resonate:target": "poll://any@g"}
    text = "A resonate:timer promise must not have a resonate:target tag"
    answer = ask(server, "promise.create", create("both", tags=tags))
    assert (answer.status, answer.text) == (400, text)
    data = {"id": "s", "cron": "* * * * *", "promiseId": "x", "promiseTimeout": 1}
    answer = ask(server, "schedule.create", {**data, "promiseTags": tags})
    assert (answer.status, answer.text) == (400, text)
    action = {"kind": "promise.create", "head": {}, "data": create("both", tags=tags)}
    ref = held(server, "fencing")
    inner = server.post("task.fence", {**ref, "action": action})["action"]
    assert (inner["head"]["status"], inner["data"]) == (400, text)


def test_what_is_internal_is_awaited_by_nobody(server):
    server.post("promise.create", create("internal"))
    ref = held(server, "awaiter")
    text = "Awaited promise is not external"
    callback = {"awaited": "internal", "awaiter": "awaiter"}
    for kind, data in (
        ("promise.register_callback", callback),
        ("promise.register_listener", {"awaited": "internal", "address": "poll://uni@g/a"}),
        (
            "task.suspend",
            {
                **ref,
                "actions": [{"kind": "promise.register_callback", "head": {}, "data": callback}],
            },
        ),
    ):
        answer = ask(server, kind, data)
        assert (answer.status, answer.text) == (422, text), kind


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ({"head": {}}, "Invalid request: missing field `kind`"),
        ({"kind": "promise.settle"}, "Invalid request: missing field `head`"),
        ({"kind": "promise.create", "head": {}}, "Invalid action kind"),
    ],
)
def test_an_action_has_a_head_and_the_right_kind(server, action, text):
    inner = {"id": "x", "state": "resolved"}
    data = {"id": "x", "version": 1, "action": {**action, "data": inner}}
    answer = ask(server, "task.fulfill", data)
    assert (answer.status, answer.text) == (400, text)


def test_null_is_not_the_same_as_absent(server):
    answer = ask(server, "promise.create", {**create("null"), "param": None})
    assert answer.status == 400
    assert answer.text.startswith("Invalid request: ")
