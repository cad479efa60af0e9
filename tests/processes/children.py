"""Processes that a test starts, watches and always ends: servers, workers, callers.

Their clocks agree: ``time.monotonic()`` counts from the start of the machine, so an instant that a
worker wrote into its log can be compared with one of the test.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
HERE = Path(__file__).resolve().parent
WORKER = HERE / "worker.py"
_SERVING = re.compile(r"serving (http://\S+)")


def until(condition: Callable[[], T], seconds: float = 10.0, pause: float = 0.005) -> T:
    """Return what ``condition`` returns, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(pause)
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Child:
    """One process, with what it has written."""

    def __init__(self, name: str, arguments: list[str], env: dict[str, str]) -> None:
        self.name = name
        self.lines: list[str] = []
        clean = {key: value for key, value in os.environ.items() if "RESONATE" not in key}
        self.process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**clean, "PYTHONUNBUFFERED": "1", **env},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, pattern: str | re.Pattern[str], seconds: float = 10.0) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.text)
            assert found or self.running, f"{self.name} ended: {self.text}"
            return found

        return until(look, seconds)

    def send(self, number: signal.Signals) -> float:
        """Send a signal; return when."""
        at = time.monotonic()
        self.process.send_signal(number)
        return at

    def wait(self, seconds: float = 10.0) -> int:
        """Return the exit status; fails when there is none in time."""
        status = self.process.wait(seconds)
        self._reader.join(5)
        return status

    def end(self) -> None:
        if self.running:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Children:
    """The processes of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all: list[Child] = []

    def spawn(self, name: str, *arguments: object, **env: str) -> Child:
        child = Child(name, [sys.executable, *map(str, arguments)], env)
        self.all.append(child)
        return child

    def server(self, *options: str, durable: bool = True, port: int = 0) -> Server:
        return Server(self, self.folder / "resonate.db" if durable else None, port, options)

    def worker(self, url: str, *, name: str = "worker", **settings: object) -> Worker:
        return Worker(self, url, name, settings)

    def workers(self, url: str, count: int, **settings: object) -> list[Worker]:
        """Start several at the same time; return them when all are ready."""
        found = [self.worker(url, **settings) for _ in range(count)]
        return [worker.ready() for worker in found]

    def end(self) -> None:
        for child in self.all:
            child.end()

    def report(self) -> str:
        return "\n".join(
            f"--- {child.name} (pid {child.process.pid}, status {child.process.poll()})\n{child.text}"
            for child in self.all
        )


class Server:
    """The server of the command line, on a port it keeps."""

    def __init__(
        self, children: Children, db: Path | None, port: int, options: tuple[str, ...]
    ) -> None:
        self._children = children
        self._options = ["--log-level", "warning", *options]
        self._db = db
        self._port = port
        self.start()

    def start(self) -> None:
        verb = ["dev"] if self._db is None else ["serve", "--db", self._db]
        self.child = self._children.spawn(
            "server", "-m", "resonate", *verb, "--port", self._port, *self._options
        )
        self.url = self.child.wait_for(_SERVING, 20)[1]
        self._port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        self.child.send(signal.SIGKILL)
        self.child.wait()

    def terminate(self) -> int:
        self.child.send(signal.SIGTERM)
        return self.child.wait()


class Worker:
    """``worker.py`` as a process; its log tells what it executed, and when."""

    def __init__(
        self, children: Children, url: str, name: str, settings: dict[str, object]
    ) -> None:
        number = len(children.all)
        self.log = children.folder / f"log-{number}.jsonl"
        self.child = children.spawn(f"{name}-{number}", WORKER, url, self.log, json.dumps(settings))

    def ready(self, seconds: float = 20.0) -> Worker:
        """Wait until its stream is open."""
        self.child.wait_for("^ready$|\nready", seconds)
        return self

    def events(self) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        *whole, _rest = self.log.read_text().split("\n")
        return [json.loads(line) for line in whole]

    def started(self) -> list[str]:
        """Return the ids of what it began to execute."""
        return [each["id"] for each in self.events() if each["what"] == "start"]

    def ended(self) -> list[str]:
        return [each["id"] for each in self.events() if each["what"] == "end"]

    def when(self, what: str, id: str) -> float | None:
        times = [each["at"] for each in self.events() if (each["what"], each["id"]) == (what, id)]
        return times[0] if times else None
