"""Run seeds until the time is over: ``python3 dev.py sim [--seed N] [--seconds S] [--strict]``.

A failing seed is printed with the command that runs it again.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback

from simulation.run import run


def main() -> int:
    """Run the seed that is named, or one after another."""
    parser = argparse.ArgumentParser(prog="dev.py sim", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="run this seed, and only once")
    parser.add_argument("--first", type=int, default=0, help="begin with this seed (default 0)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--seeds", type=int, help="how many at the most")
    parser.add_argument("--verbose", action="store_true", help="show the server's log")
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is a part of what a seed means
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "simulation", *sys.argv[1:]])  # noqa: S606  # ourselves
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.CRITICAL)
    began = time.monotonic()
    seeds = steps = promises = starts = 0
    seed = arguments.first if arguments.seed is None else arguments.seed
    while True:
        try:
            outcome = run(seed, strict=seed % 4 == 3)
        except Exception:  # noqa: BLE001  # whatever it is, its seed is told
            traceback.print_exc()
            print(f"\nseed {seed} failed: python3 dev.py sim --seed {seed}", flush=True)
            return 1
        seeds += 1
        steps += outcome.steps
        promises += outcome.promises
        starts += outcome.starts
        if arguments.seed is not None:
            print(outcome)
            break
        seed += 1
        if time.monotonic() - began >= arguments.seconds or seeds == arguments.seeds:
            break
    seconds = time.monotonic() - began
    print(
        f"{seeds} seeds, {steps:,} steps, {promises:,} promises, {starts} server starts,"
        f" {seconds:.0f} s: no violation"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
