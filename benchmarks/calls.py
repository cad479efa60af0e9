"""Calls from end to end: how many a second, how soon they begin, how soon they are recovered."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

from benchmarks.processes import process, server
from benchmarks.table import percentile, table
from resonate import Handle, Resonate


@contextlib.contextmanager
def site(workers: int) -> Iterator[tuple[Resonate, list[subprocess.Popen[str]]]]:
    """Run a server and workers in processes of their own; yield a caller and the workers."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url, _ = stack.enter_context(server(Path(folder, "bench.db")))
        children = [
            stack.enter_context(process("benchmarks.worker", url, "bench")) for _ in range(workers)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "started\n"
        resonate = Resonate(url, group="caller").options(target="bench")
        resonate.rpc(new_id(), "noop")
        yield resonate, children
        resonate.stop(0)


def new_id() -> str:
    """Return an id nobody has used."""
    return str(uuid.uuid4())


def throughput(seconds: float = 5.0) -> None:
    """No-op calls a second: one caller process, one worker process."""
    rows = []
    with site(1) as (resonate, _):
        for threads in (1, 16, 64, 128):
            times: list[float] = []

            def call(times: list[float] = times) -> None:
                began = time.perf_counter()
                resonate.rpc(new_id(), "noop")
                times.append((time.perf_counter() - began) * 1000)

            elapsed = repeat(call, threads, seconds)
            rows.append(
                (
                    "rpc, result awaited",
                    str(threads),
                    f"{len(times) / elapsed:,.0f}",
                    f"{percentile(times, 50):.2f}",
                    f"{percentile(times, 99):.2f}",
                )
            )
    print(table(("end to end", "caller threads", "calls/s", "p50 ms", "p99 ms"), rows))


def repeat(call: Callable[[], None], threads: int, seconds: float) -> float:
    """Call from several threads for some time; return how long that took."""
    began = time.perf_counter()

    def work() -> None:
        while time.perf_counter() - began < seconds:
            call()

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return time.perf_counter() - began


def dispatch(rate: int = 100, seconds: float = 10.0) -> None:
    """From begin_rpc being called to the function being entered, on an idle worker."""
    with site(1) as (resonate, _):
        handles: list[Handle[float]] = []
        began = time.monotonic()
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            handles.append(resonate.begin_rpc(new_id(), "entered", time.monotonic_ns()))
        times = [handle.result() for handle in handles]
    row = [f"{rate}/s", *(f"{percentile(times, each):.2f}" for each in (50, 95, 99, 100))]
    head = ("dispatch: called to entered", "p50 ms", "p95 ms", "p99 ms", "max ms")
    print(table(head, [row]))


def recovery(kills: int = 20) -> None:
    """From kill -9 of a worker in the middle of a call to the call begun on another worker."""
    times = []
    for _ in range(kills):
        with site(2) as (resonate, workers):
            begun: SimpleQueue[tuple[subprocess.Popen[str], int]] = SimpleQueue()
            for worker in workers:
                threading.Thread(target=_listen, args=(worker, begun), daemon=True).start()
            resonate.begin_rpc(new_id(), "blocked", 20)
            first, _ = begun.get(timeout=10)
            killed = time.monotonic_ns()
            os.kill(first.pid, signal.SIGKILL)
            second, at = begun.get(timeout=30)
            assert second is not first
            times.append((at - killed) / 1e6)
    row = [str(kills), *(f"{percentile(times, each):,.0f}" for each in (50, 99, 100))]
    print(table(("recovery: kill -9 to begun elsewhere", "p50 ms", "p99 ms", "max ms"), [row]))


def _listen(
    worker: subprocess.Popen[str], begun: SimpleQueue[tuple[subprocess.Popen[str], int]]
) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        begun.put((worker, int(line.split()[1])))
