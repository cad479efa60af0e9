"""Failures that are injected, and functions that are replaced."""

from __future__ import annotations

import asyncio

import pytest

from resonate import Resonate
from resonate.retry_policies import Constant
from resonate.testing import Harness, every_kill_point
from tests.testing.flavours import DAYS


def test_a_local_step_fails_as_often_as_said(harness, order):
    harness.fail("charge", error=OSError("no network"))
    with pytest.raises(OSError, match="no network"):
        harness.run("o", order, 5)
    (step,) = harness.steps("o")
    assert (step.label, step.state, step.attempts) == ("run charge", "rejected", 1)
    assert isinstance(step.value, OSError)


@pytest.mark.parametrize("flavour", ["def", "async def", "generator"])
def test_a_registered_function_fails_and_is_tried_again(harness, flavour):
    def plain(ctx):
        return "charged"

    async def coroutine(ctx):
        return "charged"

    def generator(ctx):
        yield ctx.sleep(1)
        return "charged"

    func = {"def": plain, "async def": coroutine, "generator": generator}[flavour]
    harness.register(func, name="charge", retry_policy=Constant(delay=60, jitter=0))
    harness.fail("charge", times=2)
    start = harness.now
    assert harness.run("c", "charge") == "charged"
    assert harness.now == start + 120 + (flavour == "generator")


def test_the_nth_attempt_fails_whichever_call_it_is_of(harness):
    def charge(ctx, number):
        return number

    def both(ctx):
        found = []
        for number in range(4):
            try:
                found.append((yield ctx.run(charge, number)))
            except RuntimeError as error:
                found.append(str(error))
        return found

    harness.register(both)
    harness.fail("charge", after=1, times=2)
    told = "charge was made to fail"
    assert harness.run("b", both) == [0, told, told, 3]


def test_an_attempt_that_is_made_again_after_a_death_fails_again():
    def charge(ctx, number):
        return number

    def both(ctx):
        try:
            yield ctx.run(charge, 1)
        except ValueError:
            yield ctx.sleep(5)
        return (yield ctx.run(charge, 2))

    def run(harness):
        harness.register(both)
        harness.fail("charge", times=1, error=ValueError)
        return harness.run("b", both), [each.state for each in harness.steps("b")]

    survived = every_kill_point(run)
    assert survived.result == (2, ["rejected", "resolved", "resolved"])


def test_a_stub_stands_for_a_function(harness, order):
    harness.stub("charge", returns=1)
    harness.stub("pack", calls=lambda ctx, item: f"{ctx.info.attempt} {item}")

    async def slowly(ctx, what):
        await asyncio.sleep(20)
        return what.upper()

    harness.stub("ship", calls=slowly)
    start = harness.now
    handle = harness.begin("o", order, 5)
    harness.advance(30 * DAYS)
    harness.advance(20)
    harness.resolve("o.5", "yes")
    assert handle.result()[:3] == [1, "1 one", "TWO"]
    assert harness.now == start + 30 * DAYS + 20


def test_a_stub_may_stand_for_a_function_that_only_others_have():
    def order(ctx):
        return (yield ctx.rpc("warehouse.pick", 3).options(target="warehouse"))

    with Harness(groups=["warehouse"]) as harness:
        harness.register(order)
        harness.stub("warehouse.pick", calls=lambda ctx, number: [number] * number)
        assert harness.run("o", order) == [3, 3, 3]


def test_the_rule_that_was_made_last_decides(harness):
    def charge(ctx):
        return "charged"

    harness.register(charge)
    harness.stub("charge", returns="stubbed")
    harness.fail("charge", times=1)
    with pytest.raises(RuntimeError, match="made to fail"):
        harness.run("one", charge)
    assert harness.run("two", charge) == "stubbed"


def test_the_functions_and_dependencies_of_an_application_are_used():
    application = Resonate.local(group="shop", dependencies={"price": 7})

    @application.register(name="total")
    def compute_total(ctx, number: int) -> int:
        return ctx.get_dependency("price") * number

    with Harness(application) as harness:
        assert harness.run("t", compute_total, 2) == 14
        harness.fail("compute_total", times=1)
        harness.stub("other", returns=1)
        harness.resonate.set_dependency("price", 8)
        with pytest.raises(RuntimeError):
            harness.run("u", "total", 2)
        assert harness.run("v", "total", 2) == 16
    with Harness(application) as harness:
        assert harness.run("t", "total", 2) == 14
    assert (
        application.run("t", compute_total, 3) == 21
    )  # in another world, with a server of its own
    application.stop(0)
