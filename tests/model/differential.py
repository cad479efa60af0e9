"""The model and the real server, side by side on the same bodies.

Answers are compared one by one (status and JSON; a text of the model that ends in ``*`` stands for all
that begin alike), snapshots every few steps and at the end. What differs is cut down to few steps
before it is reported, with what is needed to see it again.

Long runs: ``python -m tests.model.differential --walks 1000 --store sqlite``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from resonate.engine.engine import Engine
from resonate.gateway.exchange import exchange
from resonate.protocol.envelope import Rules
from tests.model.door import DEBUG_TIME, VERSION
from tests.model.model import Model
from tests.model.sequences import FIRINGS_MAX, Step, firings, sequence
from tests.store.stores import STORES

SNAP_EVERY = 5
RUNS_MAX = 300  # runs that cutting down a sequence may cost
ANSWER_SECONDS = 10
SHRUNK_ELEMENTS_MAX = 20  # a longer batch is one that is refused for it
EXACT = ("id too long", "too many tags", "tags too large")  # no details: these have their own rule


class Mismatch(NamedTuple):
    """Where model and server part."""

    number: int
    step: Step
    expected: Any
    actual: Any

    def show(self) -> str:
        return (
            f"step {self.number} {self.step.show()}\n"
            f"  model:  {_cut(self.expected)}\n"
            f"  server: {_cut(self.actual)}"
            f"{_difference(self.expected, self.actual)}"
        )


def _cut(found: Any) -> str:
    text = json.dumps(found, ensure_ascii=False)
    return text if len(text) < 3000 else text[:3000] + " …"


def _difference(expected: Any, actual: Any) -> str:
    """For snapshots: the lists that differ, and how."""
    try:
        ours, theirs = expected["data"], actual["data"]
        names = [name for name in ours if ours[name] != theirs[name]]
    except (TypeError, KeyError):
        return ""
    lines = []
    for name in names:
        if isinstance(ours[name], list):
            only = [each for each in ours[name] if each not in theirs[name]]
            others = [each for each in theirs[name] if each not in ours[name]]
            lines.append(f"\n  {name}: model only {_cut(only)}, server only {_cut(others)}")
    return "".join(lines)


class Server:
    """The real thing, on the loop that runs."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def ask(self, body: str) -> tuple[int, Any]:
        answered = asyncio.get_running_loop().create_future()

        def send(status: int, answer: bytes) -> None:
            answered.set_result((status, json.loads(answer)))

        exchange(self.engine, body.encode(), send)
        try:
            found: tuple[int, Any] = await asyncio.wait_for(answered, ANSWER_SECONDS)
        except TimeoutError:
            return 0, f"no answer within {ANSWER_SECONDS} s"
        return found


def step_of(now: int, kind: str, data: Any) -> Step:
    head = {"corrId": "1", "version": VERSION, DEBUG_TIME: now}
    return Step(now, json.dumps({"kind": kind, "head": head, "data": data}))


async def compare(steps: list[Step], store: str, folder: Path, *, strict: bool) -> Mismatch | None:
    """Run the steps on both; return the first difference."""
    model = Model(strict=strict)
    engine = Engine(STORES[store](folder), rules=Rules(strict=strict, debug=True))
    await engine.start()
    try:
        server = Server(engine)
        for number, step in enumerate(steps):
            if firings(model, step.now) > FIRINGS_MAX:
                return None  # steps were taken out that kept it small: not a walk any more
            asked = [step]
            if number % SNAP_EVERY == SNAP_EVERY - 1 or number == len(steps) - 1:
                asked.append(step_of(step.now, "debug.snap", {}))
            for each in asked:
                expected, actual = model.body(each.body, each.now), await server.ask(each.body)
                if not same(lenient_preload(expected, actual), actual):
                    return Mismatch(number, each, expected[1], actual[1])
    finally:
        await engine.stop()
    return None


def lenient_preload(expected: tuple[int, Any], actual: tuple[int, Any]) -> tuple[int, Any]:
    """Take over what a server left out of a preload in a batch.

    Any subset is correct (5.1). Alone a request must get the whole list; of a task that is born and
    acquired in one batch, a store cannot know beforehand whose branch it will want.
    """
    status, answers = expected
    if not (isinstance(answers, list) and isinstance(actual[1], list)):
        return expected
    taken = []
    for ours, theirs in zip(answers, actual[1], strict=False):
        full, part = (_preload(each) for each in (ours, theirs))
        if part is not None and full is not None and all(each in full for each in part):
            taken.append({**ours, "data": {**ours["data"], "preload": part}})
        else:
            taken.append(ours)
    return status, taken + answers[len(taken) :]


def _preload(answer: Any) -> list[Any] | None:
    data = answer.get("data")
    return data.get("preload") if isinstance(data, dict) else None


def same(expected: Any, actual: Any) -> bool:
    """Compare what the model and the server answered."""
    match expected, actual:
        case str(), str():
            if not expected.endswith("*"):
                return expected == actual
            detail = actual.removeprefix(expected[:-1])
            return actual.startswith(expected[:-1]) and detail not in EXACT
        case dict(), dict():
            expected, actual = _bare(expected), _bare(actual)
            return expected.keys() == actual.keys() and all(
                same(expected[name], actual[name]) for name in expected
            )
        case (list(), list()) | (tuple(), tuple()):
            return len(expected) == len(actual) and all(map(same, expected, actual))
        case _:
            return type(expected) is type(actual) and expected == actual


def _bare(found: dict[str, Any]) -> dict[str, Any]:
    """Headers that were sent as {} may be omitted (2.1)."""
    if found.get("headers") == {} and found.keys() <= {"headers", "data"}:
        return {name: each for name, each in found.items() if name != "headers"}
    return found


# ------------------------------------------------------------------------------ cutting down

Fails = Callable[[list[Step]], Mismatch | None]


def shrink(steps: list[Step], fails: Fails) -> tuple[list[Step], Mismatch]:
    """Return as few of the steps, and of their batches, as still fail, greedily."""
    found = fails(steps)
    assert found is not None, "does not fail again: the run is not deterministic"
    steps = steps[: found.number + 1]
    runs, size = 0, max(1, len(steps) // 2)
    while runs < RUNS_MAX:
        start, removed = 1, False  # the first step is debug.start
        while start < len(steps) and runs < RUNS_MAX:
            fewer = steps[:start] + steps[start + size :]
            runs += 1
            failed = fails(fewer)
            if failed is None:
                start += size
            else:
                steps, found, removed = fewer[: failed.number + 1], failed, True
        if size == 1 and not removed:
            break
        size = max(1, size // 2)
    for number in range(len(steps)):
        index = 0
        while index < len(elements := _elements(steps[number])):
            rest = elements[:index] + elements[index + 1 :]
            shorter = steps[number]._replace(body=json.dumps(rest, ensure_ascii=False))
            fewer = [*steps[:number], shorter, *steps[number + 1 :]]
            failed = fails(fewer)
            if failed is None:
                index += 1
            else:
                steps, found = fewer, failed
    return steps, found


def _elements(step: Step) -> list[Any]:
    """Return the elements of a batch that is worth cutting."""
    try:
        found = json.loads(step.body)
    except ValueError:
        return []
    return found if isinstance(found, list) and 1 < len(found) < SHRUNK_ELEMENTS_MAX else []


def run(steps: list[Step], store: str, *, strict: bool) -> Mismatch | None:
    """Compare on a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(compare(steps, store, Path(folder), strict=strict))


def check(seed: int, count: int, store: str, *, strict: bool, lazy: bool) -> str | None:
    """Live one walk on both sides; return a report if they part."""
    steps = sequence(seed, count, strict=strict, lazy=lazy)
    first = run(steps, store, strict=strict)
    if first is None:
        return None
    fewer, found = shrink(steps, lambda some: run(some, store, strict=strict))
    lines = [
        f"check({seed}, {count}, {store!r}, strict={strict}, lazy={lazy}) parts at step {first.number}",
        f"  {first.step.show()}",
        f"so does, in {len(fewer)} steps, run([",
        *(f"    {step!r}," for step in fewer),
        f"], {store!r}, strict={strict})",
        found.show(),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the model and the server on walks.")
    parser.add_argument("--walks", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--store", choices=STORES, default="memory")
    parser.add_argument("--mode", choices=("lenient", "strict", "both"), default="both")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args()
    modes = [options.mode == "strict"] if options.mode != "both" else [False, True]
    failed = 0
    for seed in range(options.first, options.first + options.walks):
        for strict in modes:
            lazy = seed % 2 == 0
            report = check(seed, options.steps, options.store, strict=strict, lazy=lazy)
            if report is not None:
                failed += 1
                print(report, end="\n\n", flush=True)
                if not options.keep_going:
                    sys.exit(1)
    print(f"{options.walks} walks, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
