"""``GET /poll/{group}/{id}``: the head, the framing, the names and the parameters."""

from __future__ import annotations

import json

import pytest

from resonate.gateway import stream
from tests.gateway.wire import create, eventually, get

HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: text/event-stream\r\n"
    b"cache-control: no-cache\r\n"
    b"connection: close\r\n"
)


def test_the_head_and_a_comment_come_at_once(server):
    with server.client() as client:
        client.send(get(b"/poll/head/a"))
        expected = HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"d\r\n: connected\n\n\r\n"
        assert client.exactly(len(expected)) == expected
        assert client.ahead == b""
        assert server.members("head") == ["a"]
    server.gone("head")


def test_http_1_0_gets_no_chunks(server):
    with server.client() as client:
        client.send(b"GET /poll/old/a HTTP/1.0\r\n\r\n")
        expected = HEAD + b"\r\n" + b": connected\n\n"
        assert client.exactly(len(expected)) == expected
        server.task("old.1", "poll://any@old")
        assert client.until(b"\n\n").startswith(b'data: {"kind":"execute"')
        server.call(server.member("old", "a").connection.end)
        assert client.rest() == b""


def test_one_event_is_one_chunk_of_one_line(server):
    with server.events("/poll/framing/a") as events:
        server.task("framing.1", "poll://any@framing")
        data = (
            b'data: {"kind":"execute","head":{"serverUrl":"http://127.0.0.1:%d"},'
            b'"data":{"task":{"id":"framing.1","version":0}}}\n\n' % server.port
        )
        assert events.exactly(len(data) + 6) == b"%x\r\n%b\r\n" % (len(data), data)
        assert events.ahead == b""
    server.gone("framing")


def test_an_unblock_carries_the_whole_record(server):
    with server.events("/poll/unblock/a") as events:
        server.post("promise.create", create("unblock.1"))
        server.post(
            "promise.register_listener", {"awaited": "unblock.1", "address": "poll://uni@unblock/a"}
        )
        server.settle("unblock.1")
        event = events.event()
    assert (event["kind"], event["head"]) == ("unblock", {})
    record = event["data"]["promise"]
    assert (record["id"], record["state"], record["param"], record["value"]) == (
        "unblock.1",
        "resolved",
        {},
        {},
    )
    server.gone("unblock")


@pytest.mark.parametrize(
    "task_id",
    ["é", "☃\u2028\u2029\x85", "🎉", "line\nfeed\r", "\x7f", 'quote"\\', "data: x\n\nevent: y"],
)
def test_ids_are_escaped_to_ascii(server, task_id):
    group = f"ascii{hash(task_id)}"
    with server.events(f"/poll/{group}/a") as events:
        server.task(task_id, f"poll://any@{group}")
        chunk = events.chunk()
    assert all(0x20 <= byte < 0x7F for byte in chunk[:-2])
    assert chunk.endswith(b"}\n\n")
    assert json.loads(chunk[6:])["data"]["task"]["id"] == task_id
    server.gone(group)


def test_a_comment_on_a_silent_stream(server, monkeypatch):
    monkeypatch.setattr(stream, "KEEPALIVE_SECONDS", 0.02)
    with server.events("/poll/silent/a") as events:
        for _ in range(3):
            assert events.chunk() == b": \n\n"
        server.task("silent.1", "poll://any@silent")
        assert events.task() == "silent.1"
        assert events.chunk() == b": \n\n"
    server.gone("silent")


def test_an_event_puts_the_comment_off(server):
    with server.events("/poll/busy/a") as events:
        connection = server.member("busy", "a").connection
        silent = connection._silent_since
        eventually(lambda: server.call(connection._loop.time) > silent + 0.01)
        server.task("busy.1", "poll://any@busy")
        assert events.task() == "busy.1"
        assert connection._silent_since > silent + 0.01
    server.gone("busy")


@pytest.mark.parametrize(
    ("path", "group", "pid"),
    [
        ("a%20b/x%2Fy", "a b", "x/y"),
        ("g1/a/b", "g1", "a/b"),
        ("g2/a%3Fb%23c%25", "g2", "a?b#c%"),
        ("%C3%A9/%E2%98%83", "é", "☃"),
        ("g3/%ff", "g3", "\ufffd"),
        ("g4/a+b", "g4", "a+b"),
        ("g5/a%00b", "g5", "a\x00b"),
        ("g6//", "g6", "/"),
        ("g7/..", "g7", ".."),
        ("g8%2Fx/a", "g8/x", "a"),
    ],
)
def test_names_are_split_first_and_decoded_then(server, path, group, pid):
    with server.events(f"/poll/{path}") as events:
        assert events.answered.status == 200
        assert server.members(group) == [pid]
        if pid not in ("\ufffd", "a\x00b", "/"):
            server.task(f"named {path}", f"poll://uni@{path}")
            assert events.task() == f"named {path}"
    server.gone(group)


def terms(server, query):
    group = "terms"
    with server.events(f"/poll/{group}/a?{query}") as events:
        assert events.answered.status == 200, events.rest()
        found = server.member(group, "a").terms
    server.gone(group)
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"capacity": 64, "claim": False, "presence": False, "declared": False}),
        ("unknown=1&x", {"capacity": 64, "declared": False}),
        ("capacity=1", {"capacity": 1, "declared": True}),
        ("capacity=10000", {"capacity": 10_000}),
        ("capacity=0", {"capacity": 0, "declared": True}),
        ("claim=1&ttl=1", {"claim": True, "ttl": 1, "capacity": 1}),
        ("claim=1&ttl=9223372036854775807", {"ttl": 2**63 - 1}),
        ("claim=1&ttl=5&capacity=7", {"capacity": 7}),
        ("claim=0", {"claim": False, "capacity": 64, "declared": True}),
        ("ttl=5", {"claim": False, "ttl": 5, "declared": False}),
        ("presence=1", {"presence": True, "declared": True}),
        ("presence=0", {"presence": False}),
        ("capacity=1&capacity=2", {"capacity": 2}),
        ("capacity=%31", {"capacity": 1}),
    ],
)
def test_parameters(server, query, expected):
    found = terms(server, query)
    assert {name: getattr(found, name) for name in expected} == expected


MANY = {f"f{number}" for number in range(5_000)}


@pytest.mark.parametrize(
    ("query", "functions"),
    [
        ("capacity=1", None),
        ("functions=", set()),
        ("functions=add,charge%3A2", {"add", "charge:2"}),
        ("functions=add:1,,add:", {"add"}),
        ("functions=a%252Cb,%25C3%25A9", {"a%2Cb", "%C3%A9"}),
        ("functions=" + ",".join(MANY), MANY),
    ],
    ids=["none told", "none", "two", "plain forms", "quoted", "many"],
)
def test_what_a_worker_says_of_its_functions(server, query, functions):
    found = terms(server, query)
    assert found.functions == functions
    assert found.declared


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("capacity=-1", "capacity"),
        ("capacity=10001", "capacity"),
        ("capacity=", "capacity"),
        ("capacity", "capacity"),
        ("capacity=x", "capacity"),
        ("capacity=1.0", "capacity"),
        ("capacity=1e3", "capacity"),
        ("capacity=+1", "capacity"),
        ("capacity=%201", "capacity"),
        ("capacity=%D9%A3", "capacity"),
        ("capacity=" + "9" * 5_000, "capacity"),
        ("claim=1", "ttl"),
        ("claim=1&ttl=0", "ttl"),
        ("claim=1&ttl=-1", "ttl"),
        ("claim=1&ttl=9223372036854775808", "ttl"),
        ("ttl=x", "ttl"),
        ("claim=2", "claim"),
        ("claim=true&ttl=1", "claim"),
        ("claim=&ttl=1", "claim"),
        ("presence=yes", "presence"),
        ("presence", "presence"),
        ("functions=a,:2", "functions"),
    ],
)
def test_a_bad_parameter_is_named(server, query, name):
    with server.client() as client:
        answer = client.ask(get(f"/poll/bad/a?{query}".encode()))
        assert (answer.status, answer.body.decode()) == (400, f"Invalid query parameter: {name}")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert client.rest() == b""
    assert server.members("bad") == []


def test_capacity_0_only_listens(server):
    with server.events("/poll/listen/a?capacity=0") as listener:
        server.task("listen.1", "poll://any@listen")
        server.task("listen.2", "poll://any@listen/a")
        server.post("promise.create", create("listen.3"))
        server.post(
            "promise.register_listener", {"awaited": "listen.3", "address": "poll://uni@listen/a"}
        )
        server.settle("listen.3")
        assert listener.event()["kind"] == "unblock"
        with server.events("/poll/listen/b") as worker:
            assert {worker.task(), worker.task()} == {"listen.1", "listen.2"}
        assert listener.quiet()
    server.gone("listen")


def test_claim_hands_over_acquired_tasks(server):
    with server.events("/poll/claim/w?claim=1&ttl=60000&capacity=1") as events:
        server.task("claim.1", "poll://any@claim")
        server.task("claim.2", "poll://any@claim")
        event = events.event()
        task = event["data"]["task"]
        assert task == {
            "id": "claim.1",
            "state": "acquired",
            "version": 1,
            "resumes": 0,
            "ttl": 60000,
            "pid": "w",
        }
        assert event["data"]["promise"]["id"] == "claim.1"
        assert event["data"]["preload"] == []
        assert events.quiet()
        action = {
            "kind": "promise.settle",
            "head": {},
            "data": {"id": "claim.1", "state": "resolved"},
        }
        server.post("task.fulfill", {"id": "claim.1", "version": 1, "action": action})
        assert events.task() == "claim.2"
    server.gone("claim")


def test_a_poll_after_other_requests_on_a_connection(either):
    with either.client() as client:
        assert client.ask(get(b"/health")).status == 200
        client.send(get(b"/poll/after/a"))
        assert client.answer(bodiless=True).status == 200
        assert either.members("after") == ["a"]
    either.gone("after")


def test_a_poll_with_a_body_begins_after_it(server):
    with server.client() as client:
        client.send(get(b"/poll/body/a", b"Content-Length: 5"), b"12")
        assert server.members("body") == []
        client.send(b"345")
        assert client.answer(bodiless=True).status == 200
    server.gone("body")


def test_bytes_sent_on_a_stream_do_not_hide_its_end(either):
    with either.client() as client:
        client.send(get(b"/poll/bytes/a"))
        assert client.answer(bodiless=True).status == 200
        client.send(b"x" * 100_000, get(b"/health") * 100)
        assert either.members("bytes") == ["a"]
    either.gone("bytes")


def test_a_head_that_comes_late_opens_nothing(server):
    with server.client() as client:
        client.send(get(b"/poll/late/a")[:-2])
        server.probe()
        assert server.members("late") == []
        client.send(b"\r\n")
        eventually(lambda: server.members("late"))
    server.gone("late")
