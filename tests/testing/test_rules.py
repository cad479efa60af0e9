"""Failures that are injected, and functions that are replaced; rules that never applied."""

from __future__ import annotations

import asyncio

import pytest

from resonate import AsyncResonate, Resonate
from resonate.retry_policies import Constant
from resonate.testing import Harness, KillPointError, UnusedRuleError, every_kill_point
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
        harness.stub("other", returns=1, optional=True)
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


def test_the_functions_of_an_async_application_are_used():
    application = AsyncResonate(dependencies={"price": 7})

    @application.register
    async def total(ctx, number: int) -> int:
        return ctx.get_dependency("price") * number

    with Harness(application) as harness:
        assert harness.run("t", total, 2) == 14
        harness.stub("total", returns=1)
        assert harness.run("u", "total", 2) == 1


# --- rules that test nothing ----------------------------------------------------------------------


def charge(ctx, cents=1):
    return cents


def pays(ctx):
    yield ctx.sleep(1)
    return (yield ctx.run(charge, 2))


def asked(ask, *, runs=True):
    """Return what a test is told that asks for something, and runs ``pays``."""

    def block():
        with Harness() as harness:
            harness.register(pays)
            ask(harness)
            if runs:
                assert harness.run("p", pays) == 2

    with pytest.raises(UnusedRuleError) as told:
        block()
    return str(told.value)


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda harness: harness.fail("chagre"), "fail('chagre') never applied: functions called: pays, charge; registered: pays"),
        (lambda harness: harness.fail("charge", after=3, times=1), "fail('charge', times=1, after=3) never applied: attempts of charge: 1"),
        (lambda harness: harness.stub("chagre", 1), "stub('chagre') never applied: functions called: pays, charge; registered: pays"),
        (lambda harness: harness.kill_before("run chagre"), "kill_before('run chagre') never applied: steps written: sleep, run charge, result"),
        (lambda harness: harness.kill_after(77), "kill_after(77) never applied: writes, 4 of them: sleep (p.1) begins, run charge (p.2) begins, run charge (p.2) ends, result (p) ends"),
        (lambda harness: harness.kill_after("sleep", id="q"), "kill_after('sleep', id='q') never applied: nothing was written by q, but by p"),
    ],
)  # fmt: skip
def test_a_rule_that_never_applied_is_told_with_what_there_was(ask, text):
    assert asked(ask) == text


def test_all_rules_that_never_applied_are_told():
    def ask(harness):
        harness.fail("one")
        harness.fail("charge", after=1)
        harness.kill_after(1)

    assert asked(ask, runs=False).splitlines() == [
        "fail('one') never applied: functions called: none; registered: pays",
        "fail('charge', after=1) never applied: functions called: none; registered: pays",
        "kill_after(1) never applied: writes, 0 of them: none",
    ]


def test_a_rule_may_be_optional(harness):
    harness.register(pays)
    harness.fail("chagre", optional=True)
    harness.stub("mail", optional=True)
    harness.kill_before("run chagre", optional=True)
    harness.kill_after(77, optional=True)
    assert harness.run("p", pays) == 2
    assert harness.kills == []


def test_kills_may_be_asked_for_until_there_is_no_such_write():
    number = 0
    while True:
        number += 1
        with Harness() as harness:
            harness.register(pays)
            harness.kill_after(number, optional=True)
            assert harness.run("p", pays) == 2
            if not harness.kills:
                break
    assert number == 5


def test_the_error_of_a_block_comes_before_rules_that_never_applied():
    def block():
        with Harness() as harness:
            harness.fail("charge")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()


def test_a_rule_that_applies_when_the_block_ends_has_applied():
    with Harness() as harness:
        harness.register(charge)
        harness.fail("charge")
        harness.resonate.begin_run("c", charge)


def test_the_rules_of_a_scenario_have_to_apply_in_every_run():
    def wrong(harness):
        harness.register(pays)
        harness.stub("chagre")
        return harness.run("p", pays)

    def differs(harness):
        harness.register(pays)
        harness.fail("again", optional=not runs)
        runs.append(1)
        return harness.run("p", pays)

    runs = []
    with pytest.raises(UnusedRuleError, match="chagre"):
        every_kill_point(wrong)
    with pytest.raises(KillPointError, match=r"killed before write 1: sleep .*: fail\('again'\)"):
        every_kill_point(differs)


# --- what can be asked for ------------------------------------------------------------------------


class Takes(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda harness: harness.fail("c", times=-1), ValueError, "times must be greater than zero"),
        (lambda harness: harness.fail("c", times=1.5), TypeError, "times must be `int`, got float"),
        (lambda harness: harness.fail("c", times=True), TypeError, "times must be `int`, got bool"),
        (lambda harness: harness.fail("c", after=-1), ValueError, "after must be greater than or equal to zero"),
        (lambda harness: harness.fail("c", after=1.5), TypeError, "after must be `int`, got float"),
        (lambda harness: harness.fail("c", error="x"), TypeError, "error must be `BaseException | type[BaseException] | None`, got str"),
        (lambda harness: harness.fail("c", error=int), TypeError, "error must be `BaseException | type[BaseException] | None`, got int"),
        (lambda harness: harness.fail("c", error=Takes), TypeError, "Takes takes arguments: "),
        (lambda harness: harness.fail(5), TypeError, "name must be `str`, got int"),
        (lambda harness: harness.stub(charge), TypeError, "name must be `str`, got function"),
        (lambda harness: harness.stub(""), ValueError, "name must not be empty"),
        (lambda harness: harness.stub("c", calls=5), TypeError, "calls must be `Callable | None`, got int"),
        (lambda harness: harness.stub("c", 1, calls=charge), TypeError, "only one of returns and calls"),
        (lambda harness: harness.kill_after(""), ValueError, "write must not be empty"),
        (lambda harness: harness.kill_after(1, id=5), TypeError, "id must be `str | None`, got int"),
        (lambda harness: harness.reject("p", "x"), TypeError, "error must be `BaseException`, got str"),
        (lambda harness: harness.advance("x"), TypeError, "seconds must be `float | timedelta`, got str"),
        (lambda harness: harness.advance(None), TypeError, "seconds must be `float | timedelta`, got NoneType"),
        (lambda harness: harness.advance(-1), ValueError, "seconds must be greater than or equal to zero"),
        (lambda harness: harness.advance(float("inf")), ValueError, "seconds must be finite"),
        (lambda _harness: Harness(5), TypeError, "resonate must be `Resonate | AsyncResonate | None`, got int"),
        (lambda _harness: Harness(groups="shop"), TypeError, "groups must be `Iterable[str]`, got str"),
        (lambda _harness: Harness(start=5), TypeError, "start must be `datetime`, got int"),
        (lambda _harness: Harness(patience=0), ValueError, "patience must be greater than zero"),
        (lambda _harness: every_kill_point("x"), TypeError, "scenario must be `Callable`, got str"),
        (lambda _harness: every_kill_point(charge, runs_max="x"), TypeError, "runs_max must be `int`, got str"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_once(harness, ask, error, text):
    with pytest.raises(error) as told:
        ask(harness)
    assert text in str(told.value)
