"""A server, and beside each other the workers and callers of our SDK and of the official one."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from benchmarks.processes import free_port
from resonate import Resonate
from tests.clients.environments import Unavailable, prepare

OFFICIAL = "0.8.1"
_HERE = Path(__file__).parent
_SUSPENDED_SECONDS = 60.0


class Side(Struct, frozen=True):
    """An SDK, and the flavour that its functions are written in: one column."""

    name: str
    flavour: str
    group: str
    program: tuple[str, ...]  # what runs the program that has the functions
    separator: str  # between the id of a workflow and the numbers of its steps


def sides() -> tuple[list[Side], str | None]:
    """Return our flavours and the official SDK; without it, why it cannot be installed."""
    ours = (sys.executable, "-m", "benchmarks.sdk_ours")
    found = [Side(each, each, "ours", ours, ".") for each in ("generator", "coroutine", "plain")]
    try:
        environment = prepare(f"python-{OFFICIAL}")
    except Unavailable as why:
        return found, str(why)
    program = (*environment.interpreter, "-P", str(_HERE / "sdk_official.py"))
    return [*found, Side(OFFICIAL, "coroutine", "official", program, ":")], None


def runs_on(side: Side) -> str:
    """Say which Python an SDK runs on."""
    done = subprocess.run(
        [side.program[0], "--version"], check=True, capture_output=True, text=True
    )
    return f"{side.group} on {done.stdout.strip()}"


def new_id() -> str:
    """Return an id nobody has used; one that the official SDK takes for the id of a root."""
    return uuid.uuid4().hex


class Site:
    """One server, at most one worker of each group, and a client that calls them all."""

    def __init__(self, url: str, server: subprocess.Popen[str]) -> None:
        self.url = url
        self.client = Resonate(url, group="bench")
        self._server = server
        self._workers: dict[str, subprocess.Popen[str]] = {}

    def begin(self, side: Side, what: str, *args: Any) -> Any:
        """Begin a workflow on the worker of a side; return its handle."""
        there = self.client.options(target=side.group)
        return there.begin_rpc(new_id(), f"{what}_{side.flavour}", *args)

    def work(self, side: Side) -> None:
        """Have a worker for a side, and know that it works."""
        if side.group not in self._workers:
            self._workers[side.group] = _started([*side.program, "work", self.url, side.group])
        self.begin(side, "leaf", 1).result(30)

    def replace(self, columns: list[Side]) -> None:
        """End the workers; start others."""
        for side in columns:
            if side.group in self._workers:
                _end(self._workers.pop(side.group))
        for side in columns:
            self.work(side)

    def call(self, side: Side, name: str, callers: int, seconds: float) -> float:
        """Run a process that calls a function for some time; return how often, in a second."""
        arguments = ("call", self.url, side.group, name, str(callers), str(seconds))
        command = [*side.program, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{side.name}: the caller failed: {done.stderr}")
        count, elapsed = done.stdout.split()
        return float(count) / float(elapsed)

    def count(self) -> tuple[int, int]:
        """Return how many bodies and how many requests the server has been sent."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write("\n")
        self._server.stdin.flush()
        bodies, requests = self._server.stdout.readline().split()
        return int(bodies), int(requests)

    def suspended(self, task_id: str) -> None:
        """Wait until a workflow is suspended."""
        deadline = time.monotonic() + _SUSPENDED_SECONDS
        while (state := self._ask("task.get", id=task_id)["task"]["state"]) != "suspended":
            if time.monotonic() > deadline:
                raise RuntimeError(f"a workflow that has to wait is still {state}")
            time.sleep(0.02)

    def _ask(self, kind: str, **data: Any) -> Any:
        body = {"kind": kind, "head": {"corrId": kind, "version": "2026-04-01"}, "data": data}
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        try:
            connection.request("POST", "/", json.dumps(body))
            return json.load(connection.getresponse())["data"]
        finally:
            connection.close()

    def end(self) -> None:
        """End the client, the workers and the server."""
        self.client.stop(0)
        for worker in self._workers.values():
            _end(worker)
        _end(self._server)


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Run a server; end it and all its workers with the block."""
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-m", "benchmarks.sdk_serve"]
        server = _spawn([*program, str(free_port()), str(Path(folder, "bench.db"))])
        assert server.stdout is not None
        found = Site(server.stdout.readline().strip(), server)
        try:
            yield found
        finally:
            found.end()


def _started(command: list[str]) -> subprocess.Popen[str]:
    """Start a worker; return it when it has said that it began."""
    worker = _spawn(command)
    assert worker.stdout is not None
    if worker.stdout.readline() != "started\n":
        _end(worker)
        raise RuntimeError(f"did not start: {' '.join(command)}")
    return worker


def _spawn(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def _end(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    child.stdout.close()
