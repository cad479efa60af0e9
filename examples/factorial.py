"""Recursion over a group: each level calls the next one, on any worker.

    python examples/factorial.py 20

The worker has one slot only, and twenty calls wait for each other: waiting takes no slot. Against a
server (RESONATE_URL) start it in several terminals, and the levels spread over the processes.
"""

from __future__ import annotations

import sys

from resonate import Context, Resonate

resonate = Resonate(group="factorials", concurrency=1)


@resonate.register
def factorial(ctx: Context, n: int):
    if n <= 1:
        return 1
    smaller = yield ctx.rpc(factorial, n - 1).options(id=f"factorial-{n - 1}")
    return n * smaller


def main(n="10"):
    print(f"{n}! = {factorial.run(f'factorial-{n}', int(n))}")
    print(resonate.promises.get("factorial-3").value.data, "is stored as the result of factorial-3")
    resonate.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
