"""HTTP that is wrong, odd or hostile: one answer, or an end, and the next client is served."""

from __future__ import annotations

import json

import pytest

from resonate.gateway import hot
from tests.gateway.wire import chunked, create, envelope, get, post, request

GET = envelope("promise.get", {"id": "nope"})
HEAD_MAX = hot.HEADER_BYTES_MAX


def raw(*lines):
    return b"\r\n".join([*lines, b"", b""])


def hold_refused(client, answer, status, text):
    assert (answer.status, answer.body.decode()) == (status, text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["connection"] == "close"
    assert client.rest() == b""


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"BREW / HTTP/1.1\r\n\r\n",
        b"post / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.2\r\n\r\n",
        b"POST / HTTP/3\r\n\r\n",
        b"POST / FTP/1.1\r\n\r\n",
        b"POST  HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\n\n",
        b"POST / x HTTP/1.1\r\n\r\n",
        b"POST /\xff HTTP/1.1\r\n\r\n",
        b"GET /poll/\xc3\xa9/a HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\n: no name\r\n\r\n",
        b"POST / HTTP/1.1\r\nName : space\r\n\r\n",
        b"POST / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\nA: nul\x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nA: bare\nline feed\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
        b"GET http://:99999999/ HTTP/1.1\r\n\r\n",
    ],
    ids=range(22),
)
def test_what_is_not_http_is_refused(server, data):
    with server.client() as client:
        hold_refused(client, client.ask(data), 400, "Invalid HTTP request")
    server.probe()


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length: -1"],
        [b"Content-Length: +5"],
        [b"Content-Length: 0x5"],
        [b"Content-Length: 5,5"],
        [b"Content-Length: five"],
        [b"Content-Length:"],
        [b"Content-Length: 99999999999999999999999999"],
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: \x0bchunked"],
    ],
    ids=lambda fields: b" and ".join(fields).decode("latin-1"),
)
def test_a_doubtful_length_is_refused_and_the_rest_not_taken_for_a_request(server, fields):
    hidden = post("promise.create", create("smuggled"))
    with server.client() as client:
        answer = client.ask(raw(b"POST / HTTP/1.1", *fields) + b"0\r\n\r\n" + hidden)
        hold_refused(client, answer, 400, "Invalid HTTP request")
    with server.client() as client:
        assert client.ask(post("promise.get", {"id": "smuggled"})).status == 404


@pytest.mark.parametrize("coding", [b"gzip", b"xchunked", b"identity", b"chunked;q=1"])
def test_an_unknown_transfer_coding_is_refused_once(server, coding):
    with server.client() as client:
        answer = client.ask(raw(b"POST / HTTP/1.1", b"Transfer-Encoding: " + coding) + b"0\r\n\r\n")
        assert answer.status == 400
        assert client.rest() == b""


@pytest.mark.parametrize("data", [b"zz\r\n", b"-1\r\n", b"1\r\nxy\r\n", b"ffffffffffffffffff\r\n"])
def test_broken_chunks_are_refused_as_an_envelope(server, data):
    with server.client() as client:
        answer = client.ask(raw(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked") + data)
        assert (answer.status, answer.text) == (400, "Invalid HTTP request")
        assert answer.headers["content-type"] == "application/json"
        assert client.rest() == b""


@pytest.mark.parametrize("length", [b"18446744073709551615", b"9223372036854775807", b"4194305"])
def test_a_huge_length_is_too_large(server, length):
    with server.client() as client:
        answer = client.ask(raw(b"POST / HTTP/1.1", b"Content-Length: " + length))
        assert (answer.status, answer.text) == (413, "Request body too large")


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Length:2",
        b"Content-Length: 2 ",
        b"Content-Length:\t2\t",
        b"Content-Length: 0000000000000000002",
    ],
)
def test_odd_but_valid_lengths(server, field):
    with server.client() as client:
        answer = client.ask(raw(b"POST / HTTP/1.1", field) + b"{}" + request(GET))
        assert answer.text.startswith("Invalid request envelope: ")
        assert client.answer().status == 404


# --- heads ----------------------------------------------------------------------------------------


def test_a_head_below_the_limit_is_taken(server):
    with server.client() as client:
        assert client.ask(request(GET, b"A: " + b"x" * (HEAD_MAX - 200))).status == 404
        assert client.ask(request(GET, *[b"A: b"] * 8_000)).status == 404
        assert client.ask(request(GET)).status == 404


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nA: " + b"x" * HEAD_MAX + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"A: b\r\n" * (HEAD_MAX // 6 + 50) + b"\r\n",
        b"POST /?" + b"x" * HEAD_MAX + b" HTTP/1.1\r\n\r\n",
        b"GET /poll/g/" + b"x" * HEAD_MAX + b" HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"x" * HEAD_MAX + b": y\r\n\r\n",
    ],
    ids=["value", "many", "query", "path", "name"],
)
@pytest.mark.parametrize("packet", [1_000, 10**9])
def test_a_head_above_the_limit_is_refused_however_it_is_cut(either, head, packet):
    with either.client() as client:
        client.send(*(head[each : each + packet] for each in range(0, len(head), packet)))
        hold_refused(client, client.answer(), 431, "Request header too large")
    either.probe()


def test_a_head_without_end_is_refused(server):
    with server.client() as client:
        client.send(b"POST / HTTP/1.1\r\nA: ")
        assert client.flood(b"x" * 65_536)
        hold_refused(client, client.answer(), 431, "Request header too large")


def test_many_small_requests_in_one_packet_are_not_a_large_head(server):
    """The end of the packet cuts through a request: what came before it is not part of its head."""
    many = request(GET) * 2_000
    with server.client() as client:
        client.send(many[:-100])
        for _ in range(1_999):
            assert client.answer().status == 404
        client.send(many[-100:])
        assert client.answer().status == 404


# --- upgrades -------------------------------------------------------------------------------------

H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")


@pytest.mark.parametrize(
    "fields",
    [
        H2C,
        (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        (b"upgrade: x", b"connection: upgrade", b"upgrade: y"),
    ],
    ids=["h2c", "websocket", "unknown"],
)
@pytest.mark.parametrize("cut", [1, 10**6])
def test_an_upgrade_is_declined_by_answering_in_http_1_1(either, fields, cut):
    """Java's client and curl --http2 ask for it with their first request, bodies included."""
    stream = b"".join(
        [
            request(GET, *fields),
            get(b"/health", *fields),
            request(GET),
            chunked(json.dumps([GET]).encode(), fields=fields),
            request(GET, *fields),
        ]
    )
    with either.client() as client:
        client.send(*(stream[each : each + cut] for each in range(0, len(stream), cut)))
        assert [client.answer().status for _ in range(5)] == [404, 200, 404, 200, 404]


def test_the_body_of_a_declined_upgrade_is_not_taken_for_a_request(server):
    hidden = post("promise.create", create("smuggled by upgrade"))
    with server.client() as client:
        assert client.ask(request(hidden, *H2C)).text.startswith("Invalid request envelope: ")
        assert client.ask(post("promise.get", {"id": "smuggled by upgrade"})).status == 404


def test_a_thousand_upgrades_in_a_packet(server):
    with server.client() as client:
        client.send(request(GET, *H2C) * 1_000)
        assert [client.answer().status for _ in range(1_000)] == [404] * 1_000


def test_a_poll_that_asks_for_an_upgrade(server):
    with server.client() as client:
        client.send(get(b"/poll/http/up", *H2C))
        assert client.answer(bodiless=True).headers["content-type"] == "text/event-stream"
    server.gone("http")


@pytest.mark.parametrize(
    "fields",
    [
        (b"Upgrade: h2c",),
        (b"Connection: Upgrade",),
        (b"Connection: upgrade, close", b"Upgrade: h2c"),
    ],
)
def test_half_an_upgrade(server, fields):
    with server.client() as client:
        assert client.ask(request(GET, *fields)).status == 404


# --- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0, 1, 10, 60, -1])
def test_disconnect_within_a_request(either, part):
    whole = post("promise.create", create("half"))
    for leave in ("close", "reset"):
        with either.client() as client:
            client.send(whole[:part])
            getattr(client, leave)() if leave == "reset" else client.sock.close()
    with either.client() as client:
        assert client.ask(post("promise.get", {"id": "half"})).status == 404


def test_connections_that_say_nothing(either):
    for _ in range(50):
        either.client().sock.close()
    for _ in range(50):
        either.client().reset()
    either.probe()


def test_empty_lines_around_requests_are_skipped(server):
    with server.client() as client:
        client.send(b"\r\n\r\n" + request(GET) + b"\r\n\r\n" + request(GET) + b"\r\n")
        assert [client.answer().status for _ in range(2)] == [404, 404]
        assert client.ask(request(GET)).status == 404


def test_a_callback_that_fails_ends_only_its_connection(server, monkeypatch, complaints):
    with monkeypatch.context() as patch, server.client() as client:
        patch.setattr(hot, "parse_poll", lambda *_: 1 // 0)
        client.send(get(b"/poll/g/a"))
        assert client.rest() == b""
    assert len(complaints.expected()) == 1
    server.probe()
