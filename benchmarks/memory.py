"""Memory of the server while completed calls pile up: it has to stay flat."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from benchmarks.load import wrk
from benchmarks.processes import resident_mib, server
from benchmarks.table import table


def main(calls: int = 1_000_000) -> None:
    """Complete calls (create, acquire, fulfill) and look at the resident memory on the way."""
    if shutil.which("wrk") is None:
        print("memory: skipped, it needs the load generator wrk (on Debian: apt install wrk)")
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder, server(Path(folder, "bench.db")) as (url, pid):
        completed = 0.0
        first = 0.0
        while completed < calls:
            seconds = 5.0 if completed < calls / 10 else 20.0
            figure = wrk(url, "mixed", 64, seconds)
            completed += figure.rate * seconds / 3
            memory = resident_mib(pid)
            if not first and completed >= calls / 10:
                first = memory
            size = Path(folder, "bench.db").stat().st_size / 2**20
            change = f"{memory / first - 1:+.0%}" if first else ""
            rows.append(
                (f"{completed:,.0f}", f"{memory:.0f}", change, f"{size:.0f}", f"{figure.rate:,.0f}")
            )
    head = ("completed calls", "resident MiB", "change", "database MiB", "requests/s")
    print(table(head, rows))
