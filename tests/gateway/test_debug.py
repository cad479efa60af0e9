"""Debug operations over HTTP: refused unless the server was started for them."""

from __future__ import annotations

import pytest

from resonate.protocol.envelope import Rules
from tests.gateway.servers import Server
from tests.gateway.wire import create, envelope, post, request

KINDS = ["debug.start", "debug.stop", "debug.reset", "debug.snap", "debug.tick"]
LATE = 2**53 - 1


def ask(server, kind, data, **head):
    with server.client() as client:
        return client.ask(request(envelope(kind, data, **head)))


@pytest.mark.parametrize("kind", [*KINDS, "debug.other"])
@pytest.mark.parametrize("data", [{}, {"time": 5}])
def test_they_are_refused_by_other_servers(server, kind, data):
    server.post("promise.create", create("kept"))
    answer = ask(server, kind, data)
    assert (answer.status, answer.text) == (403, "Debug operations are disabled")
    assert (answer.json["kind"], answer.json["head"]["corrId"]) == (kind, "1")
    assert server.post("promise.get", {"id": "kept"})["promise"]["state"] == "pending"


def test_other_servers_ignore_the_debug_time(server):
    data = {"id": "no time", "timeoutAt": LATE}
    answer = ask(server, "promise.create", data, **{"resonate:debug_time": 7})
    assert answer.json["data"]["promise"]["createdAt"] > 10**12
    assert ask(server, "promise.get", {"id": "x"}, **{"resonate:debug_time": "odd"}).status == 404


@pytest.fixture(scope="module")
def running():
    running = Server(rules=Rules(debug=True))
    yield running
    running.probe()
    running.stop()


@pytest.fixture
def debugging(running):
    """A server with nothing in it, whose time passes."""
    running.post("debug.stop", {})
    running.post("debug.reset", {})
    return running


def test_time_passes_when_it_is_told_to(debugging):
    assert debugging.post("debug.start", {}) == {}
    data = {"id": "a", "timeoutAt": 5_000, "tags": {"resonate:target": "poll://any@g"}}
    answer = ask(debugging, "promise.create", data, **{"resonate:debug_time": 1_000})
    assert answer.json["data"]["promise"]["createdAt"] == 1_000
    with debugging.events("/poll/g/w") as events:
        assert events.quiet()
    snap = debugging.post("debug.snap", {})
    assert list(snap) == [
        "promises",
        "promiseTimeouts",
        "callbacks",
        "listeners",
        "tasks",
        "taskTimeouts",
        "messages",
    ]
    task = {"id": "a", "version": 0}
    assert snap["messages"] == [
        {
            "address": "poll://any@g",
            "message": {"kind": "execute", "head": {}, "data": {"task": task}},
        }
    ]
    assert debugging.post("debug.tick", {"time": 5_000}) == []
    snap = debugging.post("debug.snap", {})
    assert [each["state"] for each in snap["promises"]] == ["rejected_timedout"]
    assert (snap["promiseTimeouts"], snap["taskTimeouts"]) == ([], [])
    assert debugging.post("debug.reset", {}) == {}
    assert all(each == [] for each in debugging.post("debug.snap", {}).values())
    assert debugging.post("debug.stop", {}) == {}


@pytest.mark.parametrize(
    ("data", "head", "text"),
    [
        ({}, {}, "Missing or invalid 'time' field"),
        ({"time": "5"}, {}, "Missing or invalid 'time' field"),
        ({"time": 5}, {"resonate:debug_time": 6}, "resonate:debug_time must equal data.time"),
    ],
)
def test_a_tick_needs_its_time(debugging, data, head, text):
    answer = ask(debugging, "debug.tick", data, **head)
    assert (answer.status, answer.text) == (400, text)


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_batch_they_are_refused(debugging, kind):
    batch = [envelope("promise.create", create("a")), envelope(kind, {"time": 5})]
    with debugging.client() as client:
        answer = client.ask(request(batch))
    assert [each["head"]["status"] for each in answer.json] == [200, 400]
    assert answer.json[1]["data"] == f"Not allowed in a batch: {kind}"


def test_an_unknown_debug_operation_is_unknown(debugging):
    answer = ask(debugging, "debug.other", {})
    assert (answer.status, answer.text) == (400, "Unknown operation: debug.other")


def test_a_pipeline_is_answered_in_order(debugging):
    with debugging.client() as client:
        client.send(
            post("debug.start", {}, "1")
            + post("promise.create", create("a"), "2")
            + post("debug.snap", {}, "3")
            + post("debug.reset", {}, "4")
            + post("promise.get", {"id": "a"}, "5")
        )
        answers = [client.answer() for _ in range(5)]
    assert [each.json["head"]["corrId"] for each in answers] == list("12345")
    assert [each.status for each in answers] == [200, 200, 200, 200, 404]
    assert [each["id"] for each in answers[2].json["data"]["promises"]] == ["a"]
