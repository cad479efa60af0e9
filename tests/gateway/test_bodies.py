"""Bodies: cut up in any way, of any size, with anything in them."""

from __future__ import annotations

import json
import random

import pytest

from resonate.gateway import cycles, hot
from resonate.protocol.limits import BODY_BYTES_MAX
from tests.gateway.wire import chunked, create, envelope, eventually, get, request

GET = envelope("promise.get", {"id": "nope"})
TOO_LARGE = {
    "kind": "unknown",
    "head": {"corrId": "0", "status": 413, "version": "2026-04-01"},
    "data": "Request body too large",
}


NO_ENVELOPES = [
    b"",
    b"{",
    b"null",
    b"true",
    b"1",
    b'"text"',
    b"{}",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"\x00",
    b'{"kind":"promise.get"}',
    b'{"kind":"promise.get","head":{},"data":{}}',
    b'{"kind":1,"head":{"corrId":"1","version":"2026-04-01"},"data":{}}',
    b'{"kind":"promise.get","head":[],"data":{}}',
    b'{"kind":"\\ud800","head":{"corrId":"1","version":"2026-04-01"},"data":{}}',
    b'{"kind":"promise.get","head":{"corrId":"1","version":"2026-04-01"},"data":{}}}',
    b"NaN",
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000,
    b'{"kind":"promise.get","head":{"corrId":"1","version":"2026-04-01"},"data":'
    + b"[" * 50_000
    + b"]" * 50_000
    + b"}",
    b"9" * 100_000,
    b'"' + b"x" * 100_000,
]


def padded(size):
    """Return a valid envelope of exactly ``size`` bytes."""
    body = json.dumps(envelope("promise.get", {"id": "nope", "more": ""})).encode()
    return body[:-3] + b"x" * (size - len(body)) + body[-3:]


def hold_refused(client, answer):
    assert (answer.status, answer.json) == (413, TOO_LARGE)
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/json"
    assert client.rest() == b""


@pytest.mark.parametrize(
    "whole",
    [request(GET), chunked(json.dumps(GET).encode()), get(b"/health")],
    ids=["length", "chunked", "health"],
)
def test_one_byte_a_packet(either, whole):
    with either.client() as client:
        client.send(*(whole[each : each + 1] for each in range(len(whole))))
        assert client.answer().status in (200, 404)
        assert client.ask(request(GET)).status == 404


@pytest.mark.parametrize("seed", range(8))
def test_cut_at_random_points(server, seed):
    chance = random.Random(seed)
    stream = b"".join(
        request(envelope("promise.get", {"id": "nope"}, str(each))) for each in range(20)
    )
    cuts = sorted(chance.sample(range(len(stream)), 60))
    with server.client() as client:
        client.send(*(stream[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)))
        assert [client.answer().json["head"]["corrId"] for _ in range(20)] == [
            str(n) for n in range(20)
        ]


def test_exactly_the_limit_is_taken(server):
    with server.client() as client:
        assert client.ask(request(padded(BODY_BYTES_MAX))).text == "Promise not found"
        assert client.ask(request(GET)).status == 404


def test_exactly_the_limit_is_taken_in_chunks(server):
    body = padded(BODY_BYTES_MAX)
    with server.client() as client:
        whole = chunked(*(body[each : each + 65_536] for each in range(0, len(body), 65_536)))
        assert client.ask(whole).text == "Promise not found"
        assert client.ask(request(GET)).status == 404


def test_one_byte_more_is_refused(server):
    with server.client() as client:
        hold_refused(client, client.ask(request(padded(BODY_BYTES_MAX + 1))))
    with server.client() as client:
        hold_refused(client, client.ask(chunked(padded(BODY_BYTES_MAX + 1))))
    server.probe()


@pytest.mark.parametrize("wrap", [request, chunked])
def test_refusal_reaches_a_client_that_sends_ten_megabytes(either, wrap):
    with either.client() as client:
        hold_refused(client, client.ask(wrap(b"x" * 10_000_000)))
    either.probe()


def test_refusal_does_not_wait_for_the_body(server):
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n")
        assert client.answer().json == TOO_LARGE
        client.send(b"x" * 5_000_000)
        assert client.rest() == b""


@pytest.mark.parametrize("wrap", [request, chunked])
def test_nothing_is_carried_out_after_a_refused_body(server, monkeypatch, wrap):
    monkeypatch.setattr(cycles, "BODY_BYTES_MAX", 1_000)
    late = request(envelope("promise.create", create("after too much")))
    with server.client() as client:
        hold_refused(client, client.ask(wrap(b"x" * 2_000) + late))
    with server.client() as client:
        assert client.ask(request(envelope("promise.get", {"id": "after too much"}))).status == 404


def test_refusal_of_a_body_whose_head_came_in_pieces(server):
    with server.client() as client:
        client.send(b"POST / HT", b"TP/1.1\r\nContent-Le", b"ngth: 5000000\r\n", b"\r\n", b"x")
        assert client.answer().json == TOO_LARGE


def test_a_body_without_end_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(hot, "REFUSED_BYTES_MAX", 6_000_000)
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.flood(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        assert client.answer().json == TOO_LARGE
    server.probe()


@pytest.mark.parametrize("field", [b"X-Endless: ", b"1;ext="])
def test_a_chunked_body_with_endless_decoration_is_cut_off(server, monkeypatch, field):
    """Trailers and extensions are not body bytes, and must not be taken without an end."""
    monkeypatch.setattr(hot, "REFUSED_BYTES_MAX", 1_000_000)
    last = b"0\r\n" if field.startswith(b"X") else b""
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + last + field)
        assert client.flood(b"x" * 65_536)
        assert client.answer().json == TOO_LARGE
    server.probe()


def test_a_body_that_nobody_asked_for_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(hot, "REFUSED_BYTES_MAX", 1_000_000)
    with server.client() as client:
        client.send(b"POST /promises HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")
        assert client.answer().status == 410
        assert client.flood(b"x" * 65_536)
    server.probe()


def test_small_parts_of_a_body_are_put_together_as_they_come(server):
    """A list of them would take many times their size."""
    body = padded(2_000)
    whole = chunked(*(body[each : each + 2] for each in range(0, len(body), 2)))
    with server.client() as client:
        client.send(whole[:-5])
        eventually(lambda: len(server.connections()) == 1)  # those of other tests are closing
        (connection,) = server.connections()
        eventually(lambda: bytes(connection.cycle.body) == body)
        assert client.ask(whole[-5:]).status == 404


def test_a_refused_body_is_not_kept(server, monkeypatch):
    kept = []
    refuse = cycles.Post.refuse
    monkeypatch.setattr(
        cycles.Post, "refuse", lambda post, each: (kept.append(post), refuse(post, each))
    )
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 3_000_000)
        assert client.answer().json == TOO_LARGE
        assert kept[0].body == b""
        client.send(b"x" * 2_000_000)
        assert client.rest() == b""
    assert kept[0].body == b""


@pytest.mark.parametrize("body", NO_ENVELOPES, ids=range(len(NO_ENVELOPES)))
def test_what_is_no_envelope_is_refused_and_the_connection_goes_on(server, body):
    with server.client() as client:
        answer = client.ask(request(body))
        assert answer.status == 400
        refusal = answer.json[0] if isinstance(answer.json, list) else answer.json
        assert refusal["data"].startswith(("Invalid request envelope: ", "Invalid 'data' field"))
        assert client.ask(request(GET)).status == 404


@pytest.mark.parametrize("depth", [100, 5_000, 500_000])
def test_depth_of_ignored_fields_is_survived(server, depth):
    body = json.dumps(envelope("promise.get", {"id": "nope"})).encode()
    with server.client() as client:
        answer = client.ask(request(body[:-1] + b',"more":' + b"[" * depth + b"]" * depth + b"}"))
        assert answer.status in (400, 404)
        assert client.ask(request(GET)).status == 404


def test_a_hundred_thousand_tags_are_refused(server):
    tags = {f"tag{each}": "x" for each in range(100_000)}
    with server.client() as client:
        answer = client.ask(request(envelope("promise.create", create("tags", tags=tags))))
        assert (answer.status, answer.text) == (400, "Invalid request: too many tags")
        assert client.ask(request(envelope("promise.get", {"id": "tags"}))).status == 404


def test_an_answer_of_megabytes(server):
    value = "é" * 500_000
    with server.client() as client:
        assert (
            client.ask(
                request(envelope("promise.create", create("large", param={"data": value})))
            ).status
            == 200
        )
        for _ in range(3):
            answer = client.ask(request(envelope("promise.get", {"id": "large"})))
            assert answer.json["data"]["promise"]["param"]["data"] == value
