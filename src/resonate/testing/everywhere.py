"""Kill a workflow everywhere: once before and once after each of its writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from msgspec import Struct

from resonate.sdk.checks import check_number
from resonate.testing.errors import KillPointError, UnusedRuleError
from resonate.testing.harness import Harness

T = TypeVar("T")
_RUNS_MAX = 1_000


class Survived(Struct, Generic[T], frozen=True):
    """What came of it, when no run differed.

    - ``result``: what the scenario returned undisturbed, and by ``same`` in every other run.
    - ``kills``: where a worker died, a text for each other run, in order: before and after each
      write. Empty when the scenario writes nothing.
    """

    result: T
    kills: tuple[str, ...]


def every_kill_point(
    scenario: Callable[[Harness], T],
    *,
    make: Callable[[], Harness] = Harness,
    same: Callable[[T, T], bool] = lambda one, other: one == other,
    runs_max: int = _RUNS_MAX,
) -> Survived[T]:
    """Run a scenario once undisturbed, then once for each point at which its worker may die.

    - ``scenario``: calls workflows on the harness that it gets, and returns what must always be the
      same: results, and whatever else counts.
    - ``make``: returns a new harness.
    - ``same``: compares the results of two runs; by ``==`` by default.
    - ``runs_max``: ValueError is raised when there would be more runs; 1000 by default.

    A worker dies before and after each write (see ``Harness.kill_after``), once in every run. So
    each function of a local step is seen to run twice. Raises KillPointError, which says where a
    worker died, when a result differs, the scenario raises, or is not the same each time;
    UnusedRuleError when a rule of the scenario never applies undisturbed; TypeError and ValueError
    for arguments that are none.
    """
    if not callable(scenario):
        raise TypeError(f"scenario must be `Callable`, got {type(scenario).__name__}")
    if not callable(make):
        raise TypeError(f"make must be `Callable[[], Harness]`, got {type(make).__name__}")
    check_number("runs_max", runs_max)
    with make() as harness:
        expected = scenario(harness)
        count = len(harness.writes)
    if 2 * count > runs_max:
        raise ValueError(f"{count} writes would be {2 * count} runs, and runs_max is {runs_max}")
    kills = (
        _killed(make(), scenario, number, expected, same, before=before)
        for number in range(1, count + 1)
        for before in (True, False)
    )
    return Survived(expected, tuple(kills))


def _killed(
    made: Harness,
    scenario: Callable[[Harness], T],
    number: int,
    expected: T,
    same: Callable[[T, T], bool],
    *,
    before: bool,
) -> str:
    try:
        with made as harness:
            kill = harness.kill_before if before else harness.kill_after
            kill(number, optional=True)
            return _survive(scenario, harness, number, expected, same)
    except UnusedRuleError as error:
        raise KillPointError(f"killed {_where(made, number)}: {error}") from error


def _survive(
    scenario: Callable[[Harness], T],
    harness: Harness,
    number: int,
    expected: T,
    same: Callable[[T, T], bool],
) -> str:
    problem: Any = None
    try:
        result = scenario(harness)
    except Exception as error:
        where = _where(harness, number)
        raise KillPointError(f"killed {where}, it raised {error!r}") from error
    if not harness.kills:
        problem = f"nothing came to write {number}: the scenario is not the same each time"
    elif not same(result, expected):
        problem = f"killed {_where(harness, number)}: {result!r}, and {expected!r} undisturbed"
    if problem is not None:
        raise KillPointError(problem)
    return harness.kills[0]


def _where(harness: Harness, number: int) -> str:
    return harness.kills[0] if harness.kills else f"nowhere (write {number} did not come)"
