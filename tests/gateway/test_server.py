"""The server as a whole: its port, its start, its end."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys

import pytest

from resonate.gateway import server as serving
from resonate.protocol.errors import StartError
from resonate.store.memory import MemoryStore
from tests.gateway.servers import LOOPS, Server
from tests.gateway.wire import Client, Events, create, envelope, eventually, get, post, request

GET = envelope("promise.get", {"id": "nope"})


# --- the port -------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_one_sentence():
    with contextlib.closing(serving.listen("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(StartError, match=rf"^port {port} on 127.0.0.1 is taken .*--port$"):
            serving.listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 65_536), ("192.0.2.1", 0), ("no such host", 0)]
)
def test_an_address_that_cannot_be_is_one_sentence(host, port):
    with pytest.raises(StartError, match=r"cannot listen|there is no port"):
        serving.listen(host, port)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("0.0.0.0", "http://localhost:"),  # noqa: S104  # for a moment
        ("::1", "http://[::1]:"),
        ("::", "http://localhost:"),
    ],
)
def test_the_url_under_which_a_socket_is_reached(host, url):
    try:
        sock = serving.listen(host, 0)
    except StartError:
        assert ":" in host, "only IPv6 may be missing"
        return
    with contextlib.closing(sock):
        assert serving.url_of(sock) == f"{url}{sock.getsockname()[1]}"


def test_a_port_is_free_again_after_the_end(fresh):
    first = fresh()
    first.probe()
    first.stop()
    serving.listen("127.0.0.1", first.port).close()


def test_a_store_that_cannot_be_opened_is_told():
    class Broken(MemoryStore):
        async def open(self):
            raise StartError("the file is not a database")

    with pytest.raises(StartError, match="not a database"):
        Server(store=Broken())


# --- the end --------------------------------------------------------------------------------------


@pytest.fixture(params=LOOPS)
def server(fresh, request):
    return fresh(loop=request.param)


def test_streams_are_ended_cleanly(server):
    with server.events("/poll/g/a") as first, server.events("/poll/g/b?presence=1") as second:
        server.begin_stop()
        for events in (first, second):
            assert events.chunk() == b""
            assert events.rest() == b""
    server.join()
    assert server.engine.problem == "the server is shutting down"


def test_idle_connections_are_closed_and_new_ones_refused(server):
    with server.client() as idle, server.client() as silent, server.client() as half:
        assert idle.ask(get(b"/health")).status == 200
        half.send(b"POST / HT")
        server.begin_stop()
        assert [each.rest() for each in (idle, silent, half)] == [b"", b"", b""]
    server.join()
    with pytest.raises(ConnectionError):
        server.client()


def test_requests_under_way_are_answered(server):
    calls, submit = [], server.engine.submit
    server.engine.submit = lambda *each: calls.append(each)
    with server.client() as one, server.client() as three, server.client() as poll:
        one.send(post("promise.create", create("under way")))
        three.send(request(GET) * 3)
        poll.send(request(GET) + get(b"/poll/g/late"))
        eventually(lambda: len(calls) == 3)
        server.begin_stop()
        eventually(lambda: not server.uvicorn.servers[0].is_serving())
        server.engine.submit = submit
        for each in calls:
            server.call(submit, *each)
        answer = one.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert one.rest() == b""
        assert [three.answer().status for _ in range(3)] == [404, 404, 404]
        assert three.rest() == b""
        assert [poll.answer().status for _ in range(2)] == [404, 503]
        assert poll.rest() == b""
    server.join()


@pytest.mark.parametrize("half", [request(GET)[:-3], get(b"/poll/g/a", b"Content-Length: 1")])
def test_a_request_that_is_not_whole_may_be_sent_again(server, half):
    with server.client() as client:
        client.send(half)
        eventually(lambda: any(each.reading for each in server.connections()))
        server.begin_stop()
        answer = client.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert b"Service unavailable: the server is shutting down" in answer.body
        assert client.rest() == b""
    server.join()


def test_a_client_that_does_not_read_cannot_hold_up_the_end(monkeypatch, complaints):
    monkeypatch.setattr(serving, "_SHUTDOWN_SECONDS", 0.2)
    server = Server()
    server.post("promise.create", create("large", param={"data": "x" * 3_000_000}))
    with server.client(receive_buffer=4_096) as client:
        client.send(post("promise.get", {"id": "large"}) * 5)
        eventually(lambda: any(each.held_back for each in server.connections()))
        server.stop()
    assert len(complaints.expected()) == 1  # uvicorn tells that the time is over


def test_stopping_twice_is_stopping_once(fresh):
    server = fresh()
    server.begin_stop()
    server.begin_stop()
    server.join()


SCRIPT = """
import sys, uvloop
from resonate.engine.engine import Engine
from resonate.gateway.server import listen, serve
from resonate.store.sqlite import SqliteStore
sock = listen("127.0.0.1", 0)
started = lambda: print(sock.getsockname()[1], flush=True)
uvloop.run(serve(Engine(SqliteStore(sys.argv[1])), sock, started))
print("stopped", flush=True)
"""


@contextlib.contextmanager
def process(path):
    command = [sys.executable, "-c", SCRIPT, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running, int(running.stdout.readline())
        finally:
            running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_process_cleanly_and_its_data_is_there_again(tmp_path, number):
    with process(tmp_path / "r.db") as (running, port), Client(port) as client:
        assert client.ask(post("promise.create", create("kept"))).status == 200
        with Events(port, "/poll/g/a") as events:
            running.send_signal(number)
            assert events.chunk() == b""
        assert client.rest() == b""
        assert running.wait(10) == 0
        assert running.stdout.read() == "stopped\n"
    if number == signal.SIGINT:
        return
    with process(tmp_path / "r.db") as (running, port), Client(port) as client:
        assert client.ask(post("promise.get", {"id": "kept"})).status == 200


def test_a_second_signal_does_not_wait_for_connections(tmp_path):
    with (
        process(tmp_path / "r.db") as (running, port),
        Client(port, receive_buffer=4_096) as client,
    ):
        data = create("large", param={"data": "x" * 3_000_000})
        assert client.ask(post("promise.create", data)).status == 200
        client.send(post("promise.get", {"id": "large"}) * 5)
        client.until(b"\r\n\r\n")
        running.send_signal(signal.SIGTERM)
        eventually(lambda: refused(port))
        running.send_signal(signal.SIGTERM)
        assert running.wait(5) == 0  # the first alone would wait for 10 s


def refused(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0
