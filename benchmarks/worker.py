"""A worker to be measured: ``python -m benchmarks.worker URL GROUP [CONCURRENCY]``."""

from __future__ import annotations

import sys
import time
from typing import Any

from resonate import Context, Resonate


def main() -> None:
    """Work until ended; a line on standard output says that it began."""
    url, group = sys.argv[1:3]
    concurrency = int(sys.argv[3]) if len(sys.argv) > 3 else 32
    resonate = Resonate(url, group=group, concurrency=concurrency)

    @resonate.register
    def noop(_ctx: Context) -> None:
        """Return at once."""

    @resonate.register
    def entered(_ctx: Context, began: int) -> float:
        """Return how long (ms) ago ``began`` (monotonic ns, same machine) was."""
        return (time.monotonic_ns() - began) / 1e6

    @resonate.register
    def blocked(ctx: Context, seconds: float) -> None:
        """Tell when it begins, then take its time."""
        print(f"{ctx.id} {time.monotonic_ns()}", flush=True)
        time.sleep(seconds)

    _keep: Any = (noop, entered, blocked)
    resonate.start()
    print("started", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
