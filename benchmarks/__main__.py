"""Run benchmarks by name, all of them without one: ``python3 dev.py bench [NAME …]``."""

from __future__ import annotations

import os
import platform
import sys

from benchmarks import calls, load, memory, sdk

ALL = {
    "load": load.main,
    "dispatch": calls.dispatch,
    "calls": calls.throughput,
    "recovery": calls.recovery,
    "sdk": sdk.main,
    "memory": memory.main,
}


def main() -> None:
    """Print the machine and the command, then each table."""
    names = sys.argv[1:] or list(ALL)
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are: {', '.join(ALL)}")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.platform()}"
    print(f"python3 dev.py bench {' '.join(names)}\n{machine}", flush=True)
    for name in names:
        print(flush=True)
        ALL[name]()


if __name__ == "__main__":
    main()
