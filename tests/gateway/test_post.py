"""``POST /``: one envelope in, one envelope out."""

from __future__ import annotations

import json

import pytest

from resonate.core import machine
from tests.gateway.wire import chunked, create, envelope, get, post, request

GET = envelope("promise.get", {"id": "nope"})


def ask(server, kind, data, corr_id="1"):
    with server.client() as client:
        return client.ask(post(kind, data, corr_id))


def test_answer_echoes_kind_and_corr_id(server):
    answer = ask(server, "promise.create", create("echo"), "köln ☃")
    assert answer.json["kind"] == "promise.create"
    assert answer.json["head"] == {"corrId": "köln ☃", "status": 200, "version": "2026-04-01"}


def test_head_of_an_answer_is_json_with_a_length_and_a_date(server):
    answer = ask(server, "promise.get", {"id": "nope"})
    assert answer.version == b"HTTP/1.1"
    assert sorted(answer.headers) == ["content-length", "content-type", "date"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))


def suspended(server, name):
    """Make a task that is held and a promise that is settled."""
    server.post("promise.create", create(f"{name}.done"))
    server.settle(f"{name}.done")
    target = {"resonate:target": "poll://any@nobody"}
    action = {"kind": "promise.create", "head": {}, "data": create(name, tags=target)}
    server.post("task.create", {"pid": "p", "ttl": 60_000, "action": action})


def test_300_carries_preload(server):
    suspended(server, "s300")
    action = {
        "kind": "promise.register_callback",
        "head": {},
        "data": {"awaited": "s300.done", "awaiter": "s300"},
    }
    answer = ask(server, "task.suspend", {"id": "s300", "version": 1, "actions": [action]})
    assert (answer.status, answer.json["head"]["status"]) == (300, 300)
    assert list(answer.json["data"]) == ["preload"]


@pytest.mark.parametrize(
    ("kind", "data", "status", "text"),
    [
        ("promise.get", {"id": "nope"}, 404, "Promise not found"),
        ("promise.get", {"id": ""}, 400, "Promise ID is required"),
        ("promise.frobnicate", {}, 400, "Unknown operation: promise.frobnicate"),
        ("debug.reset", {}, 403, "Debug operations are disabled"),
        (
            "task.acquire",
            {"id": "s409", "version": 0, "pid": "p", "ttl": 1},
            409,
            "Task is not pending",
        ),
        (
            "promise.register_callback",
            {"awaited": "s409", "awaiter": "nope"},
            422,
            "Awaiter promise not found",
        ),
    ],
)
def test_http_status_is_the_status_of_the_answer(server, kind, data, status, text):
    action = {
        "kind": "promise.create",
        "head": {},
        "data": create("s409", target="poll://any@nobody"),
    }
    ask(server, "task.create", {"pid": "p", "ttl": 60_000, "action": action})
    answer = ask(server, kind, data, "c")
    assert answer.json == {
        "kind": kind,
        "head": {"corrId": "c", "status": status, "version": "2026-04-01"},
        "data": text,
    }
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"


def test_503_says_when_to_come_back(server, monkeypatch):
    monkeypatch.setattr(server.engine, "problem", "the disk is full")
    answer = ask(server, "promise.get", {"id": "nope"})
    assert (answer.status, answer.text) == (503, "Service unavailable: the disk is full")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/json"


def test_500_of_a_handler_that_raises_leaves_the_connection_usable(server, monkeypatch, complaints):
    with monkeypatch.context() as patch, server.client() as client:
        patch.setattr(machine, "handle", lambda *_: 1 // 0)
        answer = client.ask(post("promise.get", {"id": "nope"}))
        assert (answer.status, answer.json["head"]["status"]) == (500, 500)
        assert answer.text.startswith("Internal error: ZeroDivisionError")
        patch.undo()
        assert client.ask(post("promise.get", {"id": "nope"})).status == 404
    assert len(complaints.expected()) == 1


def test_500_of_a_door_check_that_raises_leaves_the_connection_usable(
    server, monkeypatch, complaints
):
    with monkeypatch.context() as patch, server.client() as client:
        patch.setattr("resonate.gateway.exchange.read", lambda _body: 1 // 0)
        answer = client.ask(post("promise.get", {"id": "nope"}))
        assert (answer.status, answer.json["head"]["status"]) == (500, 500)
        patch.undo()
        assert client.ask(post("promise.get", {"id": "nope"})).status == 404
    assert len(complaints.expected()) == 1


def test_many_requests_on_one_connection(server):
    with server.client() as client:
        for number in range(300):
            answer = client.ask(post("promise.get", {"id": "nope"}, str(number)))
            assert answer.json["head"]["corrId"] == str(number)


@pytest.mark.parametrize(
    "target", [b"/", b"/?x=1", b"/?", b"http://example.org/", b"http://example.org", b"/#top"]
)
def test_the_root_is_meant_however_it_is_written(server, target):
    with server.client() as client:
        assert client.ask(request(GET, target=target)).text == "Promise not found"


@pytest.mark.parametrize(
    "field",
    [
        b"resonate:origin: some id",
        b"resonate: origin: some id",
        b"X-Anything: \xff\xfe",
        b"Accept: text/html",
        b"Content-Type: text/plain",
        b"Content-Type: application/x-www-form-urlencoded",
        b"Content-Encoding: gzip",
        b"Origin: http://elsewhere",
        b"Authorization: Bearer x",
        b"Empty:",
        b"Expect: something else",
        b"Transfer-Coding: chunked",
        b"If-None-Match: *",
        b"Range: bytes=0-1",
    ],
)
def test_headers_that_mean_nothing_here_are_ignored(server, field):
    with server.client() as client:
        answer = client.ask(request(GET, field))
        assert (answer.status, answer.text) == (404, "Promise not found")
        assert client.ask(request(GET)).status == 404


def test_a_request_needs_no_headers(server):
    with server.client() as client:
        answer = client.ask(b"POST / HTTP/1.1\r\n\r\n")
        assert answer.status == 400
        assert answer.text.startswith("Invalid request envelope: ")
        assert client.ask(request(GET)).status == 404


def test_connection_close_is_answered_and_closed(server):
    with server.client() as client:
        answer = client.ask(request(GET, b"Connection: close"))
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert client.rest() == b""


def test_nothing_is_carried_out_after_connection_close(server):
    with server.client() as client:
        late = post("promise.create", create("after the end"))
        client.send(request(GET, b"Connection: close") + late)
        assert client.answer().status == 404
        assert client.rest() == b""
    assert ask(server, "promise.get", {"id": "after the end"}).status == 404


def test_nothing_is_carried_out_after_a_refusal_that_closes(server):
    with server.client() as client:
        late = post("promise.create", create("after the refusal"))
        client.send(get(b"/poll/g/a?capacity=x") + late)
        assert client.answer().status == 400
        assert client.rest() == b""
    assert ask(server, "promise.get", {"id": "after the refusal"}).status == 404


@pytest.mark.parametrize("field", [(), (b"Connection: keep-alive",)])
def test_http_1_0_is_answered_and_closed(server, field):
    with server.client() as client:
        answer = client.ask(request(GET, *field, version=b"1.0"))
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert client.rest() == b""


@pytest.mark.parametrize("name", ["Expect: 100-continue", "expect: 100-Continue"])
def test_expect_100_is_told_to_go_on(server, name):
    head, _, body = request(GET, name.encode()).partition(b"\r\n\r\n")
    with server.client() as client:
        assert client.ask(head + b"\r\n\r\n").head == b"HTTP/1.1 100 Continue"
        assert client.ask(body).text == "Promise not found"
        assert client.ask(request(GET)).text == "Promise not found"


def test_expect_100_with_too_much_announced_is_refused_at_once(server):
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")


def test_expect_100_of_http_1_0_is_ignored(server):
    head, _, body = request(GET, b"Expect: 100-continue", version=b"1.0").partition(b"\r\n\r\n")
    with server.client() as client:
        assert client.ask(head + b"\r\n\r\n" + body).text == "Promise not found"


@pytest.mark.parametrize(
    ("promise_id", "status"),
    [
        ("with space", 200),
        ("a/b/c?d=e#f", 200),
        ("☃ 🎉 \u2028 é", 200),
        ("\x7f\x1f\x01", 200),
        ("..", 200),
        ("x" * 4096, 200),
        ("x" * 4097, 400),
        ("é" * 2049, 400),
        ("nul\x00nul", 400),
    ],
)
def test_ids_are_any_text(server, promise_id, status):
    answer = ask(server, "promise.create", create(promise_id))
    assert answer.status == status
    if status == 200:
        assert answer.json["data"]["promise"]["id"] == promise_id
        assert ask(server, "promise.get", {"id": promise_id}).json == {
            **answer.json,
            "kind": "promise.get",
        }


def test_head_auth_and_unknown_fields_are_ignored(server):
    body = envelope(
        "promise.get", {"id": "nope", "more": [1]}, auth="x", **{"resonate:origin": "y"}
    )
    with server.client() as client:
        assert client.ask(request({**body, "extra": {}})).text == "Promise not found"


def test_white_space_around_an_envelope(server):
    with server.client() as client:
        assert client.ask(request(b" \r\n\t" + json.dumps(GET).encode() + b"\n\n")).status == 404


def test_chunked_bodies_with_extensions_and_trailers(server):
    body = json.dumps(GET).encode()
    plain = chunked(body[:1], body[1:7], body[7:])
    with server.client() as client:
        assert client.ask(plain).text == "Promise not found"
        assert client.ask(plain.replace(b"\r\n{\r\n", b";name=value\r\n{\r\n", 1)).status == 404
        assert client.ask(plain[:-2] + b"X-Trailer: 1\r\nExpires: never\r\n\r\n").status == 404
        assert client.ask(plain).text == "Promise not found"
