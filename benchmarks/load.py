"""The server under load: durable answers against the ceiling, at several numbers of connections."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from benchmarks.processes import server
from benchmarks.table import table

CONNECTIONS = (1, 16, 64, 256)
SCRIPT = Path(__file__).with_name("load.lua")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Figure(Struct):
    """What one run of wrk measured; latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    failed: int


def main(seconds: float = 5.0) -> None:
    """Run and print."""
    if shutil.which("wrk") is None:
        print("load: skipped, it needs the load generator wrk (on Debian: apt install wrk)")
        return
    ceiling = {}
    rows = []
    with server("canned") as (url, _):
        for connections in CONNECTIONS:
            figure = ceiling[connections] = wrk(url, "create", connections, seconds)
            rows.append(_row("ceiling", connections, figure, figure))
    for mode, name in (("create", "promise.create"), ("mixed", "create/acquire/fulfill")):
        with tempfile.TemporaryDirectory() as folder, server(Path(folder, "bench.db")) as (url, _):
            for connections in CONNECTIONS:
                figure = wrk(url, mode, connections, seconds)
                rows.append(_row(name, connections, figure, ceiling[connections]))
    head = ("load", "connections", "requests/s", "of ceiling", "p50 ms", "p99 ms", "failed")
    print(table(head, rows))


def wrk(url: str, mode: str, connections: int, seconds: float) -> Figure:
    """Load the server. ``failed`` counts the answers other than 200: there have to be none."""
    lag = str(connections * 4 + 16)
    seed = f"{time.time_ns():x}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}", "--latency", "-s", str(SCRIPT)]
    output = subprocess.run(
        [*command, url, "--", mode, lag, seed], capture_output=True, text=True, check=True
    ).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert rate is not None, output
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return Figure(
        rate=float(rate[1]),
        p50=_latency(output, "50%"),
        p99=_latency(output, "99%"),
        failed=int(failed[1]) if failed else 0,
    )


def _latency(output: str, percent: str) -> float:
    found = re.search(rf"{percent}\s+([\d.]+)(us|ms|s)", output)
    assert found is not None, output
    return float(found[1]) * _MS[found[2]]


def _row(name: str, connections: int, figure: Figure, ceiling: Figure) -> tuple[str, ...]:
    return (
        name,
        str(connections),
        f"{figure.rate:,.0f}",
        f"{figure.rate / ceiling.rate:.0%}",
        f"{figure.p50:.2f}",
        f"{figure.p99:.2f}",
        str(figure.failed),
    )
