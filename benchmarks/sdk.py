"""Durable functions: our SDK in its three flavours, beside the official one on the same server.

Each figure is taken of all of them in turn, so that the machine is the same to them. The last
column compares the same program: our coroutine with the official SDK's.
"""

from __future__ import annotations

import itertools
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from benchmarks.sdk_site import OFFICIAL, Side, Site, runs_on, sides, site
from benchmarks.table import percentile, table

_PATIENCE_SECONDS = 60.0
_ALIKE = "coroutine"  # the column that is compared with the official one
_COLD = 2  # workflows whose resumption is not counted: the worker may have just begun


class Sizes(Struct, frozen=True):
    """How much of each is done."""

    rounds: int = 3  # of which the median counts
    seconds: float = 1.0  # of calls, in each round
    callers: int = 64
    steps: int = 500
    children: int = 1000
    waits: int = 200  # of which the percentiles of resumptions are
    recorded: int = 500  # steps that a replay goes through
    replays: int = 5


class Row(Struct, frozen=True):
    """One kind of figure; ``more`` says whether more of it is better."""

    name: str
    unit: str
    more: bool
    figures: tuple[float | None, ...]


def main() -> None:
    """Measure and print."""
    compare(Sizes())


def compare(sizes: Sizes) -> None:
    """Measure with these sizes, and print."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no process is left behind
    columns, missing = sides()
    if missing is not None:
        print(f"NOT COMPARED: resonate-sdk {OFFICIAL} cannot be installed: {missing}", flush=True)
    rows: list[Row] = []
    with site() as place:
        for measure in (calls, steps, fan_out, resumptions, replays):
            print(f"measuring {measure.__name__} …", file=sys.stderr, flush=True)
            rows += measure(place, columns, sizes)
    print(f"the same server for all; {', '.join(dict.fromkeys(map(runs_on, columns)))}")
    heads = [side.name for side in columns]
    last = f"{_ALIKE} : {OFFICIAL}"
    if missing is not None:
        heads.append(f"{OFFICIAL} MISSING")
    print(table(("sdk", "unit", *heads, last), [_cells(row, heads) for row in rows]))


def _cells(row: Row, heads: list[str]) -> list[str]:
    figures = [*row.figures, *[None] * (len(heads) - len(row.figures))]
    ours, theirs = figures[heads.index(_ALIKE)], figures[-1]
    ratio = ""
    if row.unit and ours is not None and theirs is not None and min(ours, theirs) > 0:
        ratio = f"{ours / theirs if row.more else theirs / ours:.1f} × as good"
    return [row.name, row.unit, *map(_number, figures), ratio]


def _number(figure: float | None) -> str:
    if figure is None:
        return "–"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:,.2f}"


def calls(place: Site, columns: list[Side], sizes: Sizes) -> Iterator[Row]:
    """Yield calls of a leaf from callers that await each result."""
    for callers in (1, sizes.callers):

        def rate(side: Side, callers: int = callers) -> tuple[float]:
            return (place.call(side, f"leaf_{side.flavour}", callers, sizes.seconds),)

        (figures,) = rounds(place, columns, sizes.rounds, rate)
        who = "1 caller" if callers == 1 else f"{callers} callers"
        yield Row(f"rpc of a leaf, {who}", "calls/s", True, figures)


def steps(place: Site, columns: list[Side], sizes: Sizes) -> Iterator[Row]:
    """Yield steps of workflows that do nothing but local steps."""
    for what in ("sequential", "concurrent"):
        seconds, *asked = workflows(place, columns, what, sizes.steps, sizes.rounds)
        rates = tuple(sizes.steps / each for each in seconds)
        yield Row(f"{sizes.steps} {what} local steps", "steps/s", True, rates)
        yield from demand("step", *asked)


def fan_out(place: Site, columns: list[Side], sizes: Sizes) -> Iterator[Row]:
    """Yield what a workflow that calls many children takes."""
    count = sizes.children
    seconds, *asked = workflows(place, columns, "fan", count, sizes.rounds)
    yield Row(f"fan-out, {count:,} rpc children", "s", False, seconds)
    yield from demand("child", *asked)


def demand(each: str, requests: tuple[float, ...], bodies: tuple[float, ...]) -> Iterator[Row]:
    """Yield what the server was asked for each step or child."""
    yield Row(f"  requests per {each}", "", False, requests)
    yield Row(f"  HTTP requests per {each}", "", False, bodies)


def workflows(
    place: Site, columns: list[Side], what: str, count: int, times: int
) -> Iterator[tuple[float, ...]]:
    """Yield the seconds that a workflow takes, and what it asks for each of ``count``."""

    def once(side: Side) -> tuple[float, float, float]:
        before = place.count()
        seconds = timed(place, side, what, count)
        after = place.count()
        return seconds, (after[1] - before[1]) / count, (after[0] - before[0]) / count

    return rounds(place, columns, times, once)


def rounds(
    place: Site, columns: list[Side], count: int, measure: Callable[[Side], tuple[float, ...]]
) -> Iterator[tuple[float, ...]]:
    """Measure all sides in turn, several times; yield medians: for each figure, of each side."""
    for side in columns:
        place.work(side)
    found = [[measure(side) for side in columns] for _ in range(count)]
    for number in range(len(found[0][0])):
        yield tuple(
            statistics.median(each[column][number] for each in found)
            for column in range(len(columns))
        )


def timed(place: Site, side: Side, what: str, count: int) -> float:
    """Run one workflow; return the seconds that it took."""
    began = time.perf_counter()
    place.begin(side, what, count).result(_PATIENCE_SECONDS)
    return time.perf_counter() - began


def resumptions(place: Site, columns: list[Side], sizes: Sizes) -> Iterator[Row]:
    """Yield how soon a workflow goes on when what it awaits is settled; here and elsewhere."""
    fresh = [0] * (_COLD + sizes.waits)
    here = waits(place, columns, fresh)
    there = waits(place, columns, fresh, elsewhere=True)
    for name, times in (("resumed where it was", here), ("resumed on another worker", there)):
        for percent in (50, 99):
            figures = tuple(percentile(each, percent) for each in times)
            yield Row(f"{name}, p{percent}", "ms", False, figures)


def replays(place: Site, columns: list[Side], sizes: Sizes) -> Iterator[Row]:
    """Yield what each recorded step adds to resuming on another worker."""
    both = waits(place, columns, [0, sizes.recorded] * (1 + sizes.replays), elsewhere=True)
    costs = tuple(_cost(each) / sizes.recorded for each in both)
    yield Row(f"replay, each of {sizes.recorded} steps", "µs", False, costs)


def _cost(times: list[float]) -> float:
    """Return how many microseconds more every second one took than those between."""
    return (statistics.median(times[1::2]) - statistics.median(times[::2])) * 1000


def waits(
    place: Site, columns: list[Side], recorded: list[int], *, elsewhere: bool = False
) -> list[list[float]]:
    """Return how many milliseconds after a promise was settled its workflow went on, for each side.

    The workflows run as many steps as ``recorded`` says, then all wait. ``elsewhere``: then other
    workers take the place of theirs. One after the other is told, of all sides in turn.
    """
    for side in columns:
        place.work(side)
    handles = [[place.begin(side, "wait", count) for side in columns] for count in recorded]
    for each in itertools.chain(*handles):
        place.suspended(each.id)
    if elsewhere:
        place.replace(columns)
    times: list[list[float]] = [[] for _ in columns]
    for count, row in zip(recorded, handles, strict=True):
        for side, handle, found in zip(columns, row, times, strict=True):
            promise = f"{handle.id}{side.separator}{count + 1}"
            place.client.promises.resolve(promise, data=str(time.monotonic_ns()))
            found.append(handle.result(_PATIENCE_SECONDS))
    return [each[_COLD:] for each in times]


if __name__ == "__main__":
    compare(Sizes(1, 0.5, 8, 50, 50, 10, 50, 2) if "--short" in sys.argv else Sizes())
