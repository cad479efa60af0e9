"""The cast: the processes of the demo, and a folder for what they write.

Rules:
- Every process is ours, known by its handle, and ended by ``close``, whatever happened.
- They get no signals from the terminal: Ctrl-C ends the demo, and the demo ends them.
- What they log goes into files of the folder; it is shown only when something failed.
"""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from resonate.cli.demo.board import Event

_READY = re.compile(r"serving (http://\S+) ")
_START_SECONDS = 30.0
_TAIL_LINES = 15
Put = Callable[[str], None]


class Trouble(Exception):
    """The demo cannot go on; the message says why."""


class Cast:
    """The server and the workers. ``events`` has (worker, event) in the order they came in."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[tuple[str, Event]] = queue.SimpleQueue()
        self._folder = tempfile.TemporaryDirectory(prefix="resonate-demo-")
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        self._gone: set[str] = set()

    def start_server(self) -> tuple[str, int]:
        """Start the server on a database of its own; return its URL and its process id."""
        database = str(self._path("demo.db"))
        process = self._start("server", "resonate", "serve", "--port", "0", "--db", database)
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._read(process, lines.put)
        try:
            found = _READY.search(lines.get(timeout=_START_SECONDS))
        except queue.Empty:
            found = None
        if found is None:
            raise Trouble("the server did not start")
        return found[1], process.pid

    def start_worker(self, name: str, url: str, slots: int) -> int:
        """Start a worker; return its process id."""
        process = self._start(name, "resonate.cli.demo.worker", url, name, str(slots))

        def put(line: str) -> None:
            if line:
                self.events.put((name, msgspec.json.decode(line, type=Event)))

        self._read(process, put)
        return process.pid

    def kill(self, name: str) -> None:
        """End a process with SIGKILL: it gets no chance to say anything to anybody."""
        self._gone.add(name)
        self._processes[name].kill()

    def check(self) -> None:
        """Raise Trouble if a process ended that was not killed."""
        for name, process in self._processes.items():
            if name not in self._gone and process.poll() is not None:
                raise Trouble(f"{name} ended by itself with status {process.returncode}")

    def logs(self) -> str:
        """Return the end of what every process logged."""
        parts = []
        for name in self._processes:
            text = self._path(f"{name}.log").read_text(encoding="utf-8", errors="replace")
            if text:
                parts += [f"--- {name}", *text.splitlines()[-_TAIL_LINES:]]
        return "\n".join(parts)

    def close(self) -> None:
        """End every process and remove the folder."""
        for process in self._processes.values():
            process.kill()  # they have nothing worth keeping
        for process in self._processes.values():
            process.wait()
        for reader in self._readers:
            reader.join()
        for process in self._processes.values():
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._folder.cleanup()

    def _path(self, name: str) -> Path:
        return Path(self._folder.name, name)

    def _start(self, name: str, module: str, *arguments: str) -> subprocess.Popen[str]:
        with self._path(f"{name}.log").open("w") as log:
            process = subprocess.Popen(  # noqa: S603  # our own programs
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        self._processes[name] = process
        return process

    def _read(self, process: subprocess.Popen[str], put: Put) -> None:
        assert process.stdout is not None, "it was asked for"
        reader = threading.Thread(target=_pass_on, args=(process.stdout, put), daemon=True)
        reader.start()
        self._readers.append(reader)


def _pass_on(pipe: IO[str], put: Put) -> None:
    for line in pipe:
        put(line)
    put("")
