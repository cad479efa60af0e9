"""Processes of a benchmark: started on free ports, ended by their id."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python module; end it with the block."""
    child = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def server(store: str | Path) -> Iterator[tuple[str, int]]:
    """Run a server on ``store`` ("canned" or a database file); yield its URL and process id."""
    with process("benchmarks.serve", str(free_port()), str(store)) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        assert url, "the server did not start"
        yield url, child.pid


def resident_mib(pid: int) -> float:
    """Return the memory a process uses."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
