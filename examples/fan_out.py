"""Fan out and in: count the words of many texts side by side, and add them up.

    python examples/fan_out.py

Each text is a call of its own, on any worker of the group: start `resonate serve`, set
RESONATE_URL, and start it several times with different ids: the copies share the calls.
"""

from __future__ import annotations

import sys
from collections import Counter

from resonate import Context, Resonate

resonate = Resonate(group="counting")
TEXTS = [
    "the tortoise and the hare",
    "the fox and the grapes",
    "the ant and the grasshopper",
]


@resonate.register
def count_words(_: Context, text: str) -> dict[str, int]:
    return Counter(text.split())


@resonate.register
def count_all(ctx: Context, texts: list[str]):
    counts = []
    for text in texts:  # all of them begin
        counts.append((yield ctx.begin_rpc(count_words, text)))  # noqa: PERF401  # it yields
    total = Counter()
    for count in counts:  # and are waited for, without a thread or a slot
        total.update((yield count))
    return total


def main(id="fables"):
    total = count_all.run(id, TEXTS)
    for word, times in sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))[:3]:
        print(f"{times} {word}")
    resonate.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
