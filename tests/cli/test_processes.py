"""``serve`` and ``dev`` as processes: how they start, answer and stop."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version

import pytest

from tests.cli.servers import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(Server(*arguments, cwd=tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("arguments", "where"),
    [(["serve"], "database resonate.db"), (["dev"], "in memory: forgotten when it ends")],
    ids=["serve", "dev"],
)
def test_one_line_when_ready_then_a_clean_stop(start, arguments, where, number):
    server = start(*arguments, "--port", "0")
    assert (server.line[1], server.line[4]) == (version("resonate-py"), where)
    assert server.ask("GET", "/ready") == (200, b"ready")
    assert server.stop(number) == (0, "", "")


def create(id):
    timeout_at = int(time.time() * 1000) + 60_000
    head = {"corrId": "1", "version": "2026-04-01"}
    return {"kind": "promise.create", "head": head, "data": {"id": id, "timeoutAt": timeout_at}}


@pytest.mark.parametrize(("verb", "status"), [("serve", 200), ("dev", 404)])
def test_only_serve_remembers(start, verb, status):
    server = start(verb, "--port", "0")
    assert server.ask("POST", "/", create("kept"))[0] == 200
    assert server.stop(signal.SIGTERM)[0] == 0
    again = start(verb, "--port", "0")
    request = {"kind": "promise.get", "head": create("")["head"], "data": {"id": "kept"}}
    assert again.ask("POST", "/", request)[0] == status


def test_second_server_on_a_database_says_who_has_it(start, tmp_path):
    first = start("serve", "--port", "0", "--db", "one.db")
    done = subprocess.run(
        [sys.executable, "-m", "resonate", "serve", "--port", "0", "--db", "one.db"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: another server (process {first.process.pid}) uses one.db: "
        "stop it, or name another file with --db\n"
    )


def test_url_is_what_workers_are_told(start):
    server = start("dev", "--port", "0", "--url", "https://resonate.example.org")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET /poll/g/w?capacity=1 HTTP/1.0\r\n\r\n")
        lines = connection.makefile("rb")
        assert lines.readline() == b"HTTP/1.1 200 OK\r\n"
        task = create("told")
        task["data"]["tags"] = {"resonate:target": "poll://any@g"}
        assert server.ask("POST", "/", task)[0] == 200
        line = next(line for line in lines if line.startswith(b"data: "))
    message = json.loads(line.removeprefix(b"data: "))
    assert message["head"] == {"serverUrl": "https://resonate.example.org"}
