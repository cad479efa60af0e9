"""Workers die, and what is recorded decides what others make of it."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from resonate.testing import Harness, KillPointError, every_kill_point
from tests.testing.flavours import DAYS, FLAVOURS, ship

WRITES = [
    "run charge (o.1) begins",
    "run charge (o.1) ends",
    "sleep (o.2) begins",
    "run pack (o.3) begins",
    "rpc ship (o.4) begins",
    "run pack (o.3) ends",
    "result (o.4) ends",
    "promise (o.5) begins",
    "run _now (o.7) begins",
    "run _now (o.7) ends",
    "result (o) ends",
]


def scenario(flavour):
    def run(harness):
        harness.resonate.set_dependency("seen", seen := [])
        harness.register(ship)
        harness.register(FLAVOURS[flavour])
        handle = harness.begin("o", flavour, 5)
        harness.advance(30 * DAYS)
        harness.resolve("o.5", "yes")
        result = handle.result()
        assert set(seen) == {"charge", "pack", "ship"}
        assert max(Counter(seen).values()) <= 2
        return result, [(each.label, each.value) for each in harness.steps("o")]

    return run


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_workflow_survives_the_death_of_its_worker_anywhere(flavour):
    survived = every_kill_point(scenario(flavour))
    assert survived.result[0][:4] == [10, "packed one", "shipped two", "yes"]
    assert len(survived.kills) == 2 * len(WRITES)
    assert survived.kills[2:4] == (f"before write 2: {WRITES[1]}", f"after write 2: {WRITES[1]}")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_writes_are_the_same_each_time(flavour):
    for _ in range(5):
        with Harness() as harness:
            scenario(flavour)(harness)
            assert harness.writes == WRITES


def test_a_step_whose_end_was_recorded_is_not_run_again(harness, order):
    harness.resonate.set_dependency("seen", seen := [])
    harness.kill_after("run charge")
    harness.begin("o", order, 5)
    assert harness.kills == ["after write 2: run charge (o.1) ends"]
    assert seen == ["charge"]


def test_a_step_whose_end_was_not_recorded_is_run_again(harness, order):
    harness.resonate.set_dependency("seen", seen := [])
    harness.kill_before("run charge")
    harness.begin("o", order, 5)
    assert harness.kills == ["before write 2: run charge (o.1) ends"]
    assert seen == ["charge", "charge"]


def test_a_workflow_may_be_killed_again_and_again(harness, order):
    for number in (1, 1, 2, 4, 7):
        harness.kill_before(number)
    handle = harness.begin("o", order, 5)
    harness.kill()
    harness.advance(30 * DAYS)
    harness.kill()
    harness.resolve("o.5", "yes")
    assert handle.result()[3] == "yes"
    assert len(harness.kills) == 5
    assert harness.writes == WRITES


def test_writes_of_one_workflow_can_be_meant(harness, order):
    harness.kill_before(1, id="o.4")
    harness.begin("o", order, 5)
    harness.advance(30 * DAYS)
    assert harness.kills == ["before write 7: result (o.4) ends"]
    assert harness.steps("o")[3].value == "shipped two"


def test_nothing_passes_while_another_worker_takes_over(harness):
    def timed(ctx):
        one = yield ctx.time.time()
        two = yield ctx.time.time()
        return two - one

    harness.register(timed)
    harness.kill_after(2)
    assert harness.run("t", timed) == 0


def test_calls_of_the_test_survive_too(harness):
    def slow(ctx):
        yield ctx.sleep(10)
        return ctx.id

    harness.register(slow)
    handle = harness.resonate.begin_run("s", slow)
    harness.kill()
    assert handle.result() == "s"
    assert harness.resonate.run("again", slow) == "again"
    assert harness.resonate.rpc("rpc", slow) == "rpc"


def test_a_workflow_that_does_not_survive_is_told_with_the_place():
    def draws(ctx):
        first = random.random()
        yield ctx.sleep(10)
        return first

    def run(harness):
        harness.register(draws)
        return harness.run("d", draws)

    with pytest.raises(KillPointError, match=r"before write 1: sleep \(d.1\) begins"):
        every_kill_point(run)


def test_a_workflow_that_fails_after_a_death_is_told_with_the_error():
    begun = []

    def fragile(ctx):
        begun.append(ctx.id)
        yield ctx.sleep(1)
        if len(begun) > 2:
            raise ValueError("once too often")

    def run(harness):
        harness.register(fragile)
        return harness.run("f", fragile)

    with pytest.raises(KillPointError, match=r"sleep \(f.1\) begins.*once too often"):
        every_kill_point(run)


def test_a_scenario_that_is_not_the_same_each_time_is_noticed():
    lengths = iter([3] + [1] * 10)

    def steps(ctx, length):
        for _ in range(length):
            yield ctx.sleep(1)

    def run(harness):
        harness.register(steps)
        return harness.run("s", steps, next(lengths))

    with pytest.raises(KillPointError, match="write 3: the scenario is not the same"):
        every_kill_point(run)
    with pytest.raises(ValueError, match="runs_max is 2"):
        every_kill_point(scenario("plain"), runs_max=2)


def test_results_may_be_compared_in_another_way():
    def draws(ctx):
        yield ctx.sleep(1)
        return random.random()

    def run(harness):
        harness.register(draws)
        return harness.run("d", draws)

    assert len(every_kill_point(run, same=lambda one, other: one != other).kills) == 4


@pytest.mark.parametrize(("write", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_write_is_a_number_or_a_label(harness, write, error):
    with pytest.raises(error, match="write"):
        harness.kill_after(write)
