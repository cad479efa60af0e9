"""Requests of one connection: in their order, each answered once, whatever a packet holds."""

from __future__ import annotations

import json

import pytest

from resonate.gateway import hot
from tests.gateway.wire import chunked, create, envelope, eventually, get, post, request

JUNK = request(b"junk")  # refused at the door, so answered on the spot


def number(answer):
    return answer.json["head"]["corrId"]


def ask(corr_id):
    return post("promise.get", {"id": "nope"}, str(corr_id))


class Held:
    """What was asked of the engine and has not reached it yet."""

    def __init__(self, server):
        self.server = server
        self.calls = []
        self.submit = server.engine.submit

    def release(self, *which):
        """Let the oldest through, or those named, in one batch."""
        eventually(lambda: len(self.calls) > max(which, default=0))
        chosen = [self.calls[each] for each in which or (0,)]
        self.calls = [each for each in self.calls if each not in chosen]
        self.server.call(lambda: [self.submit(*each) for each in chosen])


@pytest.fixture
def held(either, monkeypatch):
    """Hold back all requests; what comes after the test's end is not held."""
    holding = Held(either)
    with monkeypatch.context() as patch:
        patch.setattr(either.engine, "submit", lambda *each: holding.calls.append(each))
        yield holding
    while holding.calls:
        holding.release()


@pytest.mark.parametrize("count", [2, 3, 50])
def test_pipelined_requests_are_answered_in_order(either, count):
    with either.client() as client:
        client.send(b"".join(ask(each) for each in range(count)))
        assert [number(client.answer()) for _ in range(count)] == [
            str(each) for each in range(count)
        ]
        assert number(client.ask(ask("after"))) == "after"


def test_pipelined_requests_are_carried_out_in_order(either):
    action = [
        post("promise.create", create("order")),
        post("promise.settle", {"id": "order", "state": "rejected"}),
        post("promise.settle", {"id": "order", "state": "resolved"}),
        post("promise.get", {"id": "order"}),
    ]
    with either.client() as client:
        client.send(b"".join(action))
        states = [client.answer().json["data"]["promise"]["state"] for _ in action]
    assert states == ["pending", "rejected", "rejected", "rejected"]


def test_all_routes_pipelined_together(either):
    mixed = [
        ask(1),
        get(b"/health"),
        ask(2),
        get(b"/"),
        get(b"/nowhere"),
        JUNK,
        ask(3),
        get(b"/ready"),
    ]
    with either.client() as client:
        for _ in range(3):
            client.send(b"".join(mixed))
            answers = [client.answer() for _ in mixed]
            assert [each.status for each in answers] == [404, 200, 404, 200, 404, 400, 404, 200]
            assert [number(answers[each]) for each in (0, 2, 6)] == ["1", "2", "3"]
            assert answers[3].json["server"] == "resonate-py"


def test_pipelined_requests_with_bodies_in_chunks(either):
    body = json.dumps(envelope("promise.get", {"id": "nope"}, "chunky")).encode()
    with either.client() as client:
        client.send((chunked(body[:9], body[9:]) + ask("plain")) * 10)
        assert [number(client.answer()) for _ in range(20)] == ["chunky", "plain"] * 10


def test_a_refusal_waits_for_the_answers_before_it(either, held):
    with either.client() as client:
        client.send(ask("first") + JUNK + ask("last"))
        held.release()
        held.release()
        assert [client.answer().status for _ in range(3)] == [404, 400, 404]


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"\x00\x01 this is not HTTP\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST /promises HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /poll/g/a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n", 413),
        (get(b"/poll/g/a?capacity=-1"), 400),
        (b"CONNECT h:1 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 12_000 + b"\r\n", 431),
    ],
)
def test_what_ends_a_connection_waits_for_the_answers_before_it(either, held, bad, status):
    with either.client() as client:
        client.send(ask("first") + ask("second") + bad)
        held.release()
        held.release()
        assert [number(client.answer()) for _ in range(2)] == ["first", "second"]
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        client.sock.shutdown(1)  # the rest of a body that was announced never comes
        assert client.rest() == b""


def test_a_poll_waits_for_the_answers_before_it(either, held):
    with either.client() as client:
        client.send(ask("first") + JUNK + get(b"/poll/order/behind"))
        held.release()
        assert [client.answer().status for _ in range(2)] == [404, 400]
        answer = client.answer(bodiless=True)
        assert answer.headers["content-type"] == "text/event-stream"
        assert either.members("order") == ["behind"]
    either.gone("order")


def test_what_follows_a_poll_is_not_looked_at(either):
    with either.client() as client:
        client.send(get(b"/poll/order/deaf") + post("promise.create", create("behind a poll")))
        client.answer(bodiless=True)
        client.send(b"\x00 not HTTP\r\n\r\n", post("promise.create", create("behind a poll")))
        either.task("order.deaf", "poll://uni@order/deaf")
        client.until(b'"order.deaf"')
        assert b"HTTP/1.1" not in client.ahead
    either.gone("order")
    with either.client() as client:
        assert client.ask(post("promise.get", {"id": "behind a poll"})).status == 404


@pytest.mark.parametrize("count", [2_000, 12_000])
def test_thousands_of_refusals_behind_a_slow_request(either, held, count):
    """Each is answered on the spot once its turn comes: that must not be a recursion."""
    with either.client() as client:
        client.send(ask("first") + b"POST / HTTP/1.1\r\n\r\n" * count)
        held.release()
        assert number(client.answer()) == "first"
        for _ in range(count):
            assert client.answer().status == 400
        client.send(ask("after"))
        held.release()
        assert number(client.answer()) == "after"


def test_what_was_read_ahead_is_answered_before_more_is_read(either, monkeypatch):
    """Else each answer would let in another packet full of requests, without an end."""
    longest, answer = 0, hot.HotProtocol.answer

    def watch(self, *arguments):
        nonlocal longest
        longest = max(longest, len(self.pipeline))
        answer(self, *arguments)

    monkeypatch.setattr(hot.HotProtocol, "answer", watch)
    once = b"".join(ask(each) for each in range(500))
    with either.client() as client:
        client.sock.settimeout(0.05)
        sent = 0
        try:
            while sent < 400 * len(once):
                sent += client.sock.send(once[sent % len(once) :])
        except TimeoutError:
            pass
        client.sock.settimeout(10)
        client.send(once[sent % len(once) :]) if sent % len(once) else None
        total = -(-sent // len(once)) * 500
        for each in range(total):
            assert number(client.answer()) == str(each % 500)
    assert longest < 4_000  # one packet is at most 256 KiB


def test_disconnect_with_requests_waiting_harms_nobody_else(either, held):
    """The answer has nowhere to go; one of another client in the same batch must still arrive."""
    with either.client() as other, either.client() as client:
        client.send(ask(1) + ask(2) + ask(3))
        held.release()
        assert number(client.answer()) == "1"
        eventually(lambda: len(held.calls) == 1)
        other.send(ask("other"))
        eventually(lambda: len(held.calls) == 2)
        client.reset()
        held.release(0, 1)
        assert number(other.answer()) == "other"
    eventually(lambda: not either.connections())


def test_disconnect_before_the_answer_still_carries_the_request_out(either, held):
    with either.client() as client:
        client.send(post("promise.create", create("gone before")))
        eventually(lambda: held.calls)
        client.reset()
    eventually(lambda: not either.connections())
    held.release()
    with either.client() as client:
        client.send(post("promise.get", {"id": "gone before"}))
        held.release()
        assert client.answer().status == 200
