"""Count down, durably: kill it in the middle, start it again, and it goes on where it was.

    resonate serve                                                  in another terminal
    export RESONATE_URL=http://127.0.0.1:8001
    python examples/countdown.py launch-1                           kill it with kill -9
    python examples/countdown.py launch-1                           the same id: it goes on

Without RESONATE_URL it runs by itself, and nothing is left when it is killed.
"""

from __future__ import annotations

import sys

from resonate import Context, Resonate

resonate = Resonate(group="countdown")


def say(_: Context, text: str) -> None:
    print(text, flush=True)


@resonate.register
def countdown(ctx: Context, count: int, seconds: float):
    for number in range(count, 0, -1):
        yield ctx.run(say, f"{number} …")
        yield ctx.sleep(seconds)
    yield ctx.run(say, "lift-off")
    return f"counted down from {count}"


def main(id="launch", count="5", seconds="1"):
    print(countdown.run(id, int(count), float(seconds)))
    resonate.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
