"""Clients that are slow: in sending, in reading, in going away. Limits are cut to parts of a second."""

from __future__ import annotations

import time

import pytest

from resonate.gateway import hot
from resonate.gateway import server as serving
from tests.gateway.servers import Server
from tests.gateway.wire import Events, create, envelope, eventually, get, post, request

GET = envelope("promise.get", {"id": "nope"})
SECONDS = 0.25


@pytest.fixture(scope="module", params=["uvloop", pytest.param("asyncio", marks=pytest.mark.slow)])
def hasty(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "SWEEP_SECONDS", 0.01)
        patch.setattr(hot, "REQUEST_SECONDS_MAX", SECONDS)
        running = Server(loop=request.param)
        running.post("promise.create", create("large", param={"data": "x" * 3_000_000}))
        yield running
        running.probe()
        running.stop()


def hold_closed(client):
    """Hold that the server closes, after saying nothing more."""
    assert client.rest() == b""


def wait_out(client):
    """Let more than the limit pass; nothing may come."""
    assert Events.quiet(client, SECONDS * 1.5)


@pytest.mark.parametrize("part", [b"P", b"POST / HTTP/1.1\r\n", b"GET /poll/g/a HTTP/1.1\r\nA: b"])
def test_a_head_that_does_not_end_is_408(hasty, part):
    with hasty.client() as client:
        answer = client.ask(part)
        assert (answer.status, answer.body) == (408, b"Request not complete in time")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        hold_closed(client)


def test_a_body_that_does_not_end_is_408_as_an_envelope(hasty):
    with hasty.client() as client:
        answer = client.ask(request(GET)[:-1])
        assert (answer.status, answer.text) == (408, "Request not complete in time")
        assert answer.headers["content-type"] == "application/json"
        hold_closed(client)


def test_a_poll_whose_body_does_not_end_is_408(hasty):
    with hasty.client() as client:
        assert client.ask(get(b"/poll/g/a", b"Content-Length: 1")).status == 408
        hold_closed(client)
    assert hasty.members("g") == []


def test_drops_do_not_put_the_deadline_off(hasty):
    """Each byte comes in time, the request does not."""
    with hasty.client() as client:
        began = time.monotonic()
        client.sock.settimeout(0.02)
        while True:
            try:
                client.send(b"x")
                client.ahead += client.sock.recv(1_000)
            except TimeoutError:
                assert time.monotonic() < began + 20 * SECONDS
            except ConnectionError:
                break
            else:
                break
        assert client.ahead.startswith(b"HTTP/1.1 4")


def test_a_connection_that_never_asks_is_closed_without_a_word(hasty):
    with hasty.client() as client:
        hold_closed(client)


def test_an_empty_line_does_not_keep_an_idle_connection_for_ever(hasty):
    with hasty.client() as client:
        assert client.ask(request(GET)).status == 404
        client.send(b"\r\n")
        hold_closed(client)


@pytest.mark.parametrize(
    "first", [[request(GET)], [request(GET)[:-5], request(GET)[-5:]], [get(b"/health")]]
)
def test_the_time_for_a_request_is_not_the_time_between_requests(hasty, first):
    with hasty.client() as client:
        assert client.ask(*first).status in (200, 404)
        wait_out(client)
        assert client.ask(request(GET)).status == 404


def test_an_idle_connection_is_closed_in_the_end(fresh, monkeypatch):
    monkeypatch.setattr(serving, "IDLE_SECONDS_MAX", 0.05)
    server = fresh()
    with server.client() as client:
        assert client.ask(request(GET)).status == 404
        hold_closed(client)


def test_who_was_answered_early_is_not_answered_again(hasty):
    with hasty.client() as client:
        assert client.ask(b"POST /promises HTTP/1.1\r\nContent-Length: 10\r\n\r\n").status == 410
        hold_closed(client)
    with hasty.client() as client:
        assert client.ask(b"POST / HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n").status == 413
        hold_closed(client)


def test_a_request_is_not_blamed_for_the_one_before_it(hasty, monkeypatch):
    """What cannot be read because an answer is awaited has its full time afterwards."""
    calls, submit = [], hasty.engine.submit
    whole = request(GET)
    with hasty.client() as client, monkeypatch.context() as patch:
        patch.setattr(hasty.engine, "submit", lambda *each: calls.append(each))
        client.send(whole + whole[:-7])
        eventually(lambda: calls)
        wait_out(client)
        patch.undo()
        hasty.call(submit, *calls[0])
        assert client.answer().status == 404
        assert client.ask(whole[-7:]).status == 404


def test_who_is_late_behind_an_open_answer_is_told_in_order(hasty, monkeypatch):
    calls, submit = [], hasty.engine.submit
    with hasty.client() as client, monkeypatch.context() as patch:
        patch.setattr(hasty.engine, "submit", lambda *each: calls.append(each))
        client.send(request(GET) + b"GET /half")
        eventually(lambda: calls)
        wait_out(client)
        patch.undo()
        hasty.call(submit, *calls[0])
        assert [client.answer().status for _ in range(2)] == [404, 408]
        hold_closed(client)


def send_until_stuck(client, data, most):
    """Send again and again without reading, until the server takes no more."""
    client.sock.settimeout(0.1)
    sent = 0
    try:
        while sent < most:
            sent += client.sock.send(data)
    except (TimeoutError, ConnectionError):
        pass
    client.sock.settimeout(10)
    return sent


def test_who_does_not_read_answers_is_not_read_from_and_let_go(hasty, monkeypatch):
    calls, submit = [], hasty.engine.submit

    def count(*each):
        calls.append(each)
        submit(*each)

    monkeypatch.setattr(hasty.engine, "submit", count)
    ask = post("promise.get", {"id": "large"})
    with hasty.client(receive_buffer=4_096) as client:
        send_until_stuck(client, ask * 1_000, 100_000_000)
        held = [each for each in hasty.connections() if each.flow.write_paused]
        for each in held:
            assert hasty.call(each.transport.get_write_buffer_size) < 5_000_000
        eventually(lambda: not hasty.connections())
        assert len(calls) < 10  # each answer is 3 MB, the socket takes a few
        assert client.flood(ask)


def test_who_reads_slowly_gets_everything(hasty):
    ask = post("promise.get", {"id": "large"})
    with hasty.client(receive_buffer=65_536) as client:
        client.send(ask * 4)
        for _ in range(4):
            assert len(client.answer().body) > 3_000_000


def test_who_does_not_take_the_end_of_a_stream_is_let_go(hasty):
    with hasty.events("/poll/end/a", receive_buffer=4_096):
        for each in range(4):
            address = "poll://uni@end/a"
            hasty.post("promise.create", create(f"end.{each}"))
            hasty.post("promise.register_listener", {"awaited": f"end.{each}", "address": address})
            value = {"data": "x" * 3_000_000}
            hasty.post("promise.settle", {"id": f"end.{each}", "state": "resolved", "value": value})
        assert hasty.member("end", "a").paused
        with hasty.events("/poll/end/a?capacity=0"):
            eventually(lambda: len(hasty.connections()) == 1)
    hasty.gone("end")
