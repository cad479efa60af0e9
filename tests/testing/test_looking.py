"""What a test sees and settles, and what it is told when nothing happens any more."""

from __future__ import annotations

import pytest

from resonate.errors import RemoteError, ResonateCanceledError
from resonate.testing import Harness, HarnessError, RecordedStep, StuckError
from tests.testing.flavours import DAYS


def asks(ctx):
    promise = yield ctx.promise(data="may I?")
    return (yield promise)


def test_steps_are_told_in_order_with_their_values(harness, order):
    handle = harness.begin("o", order, 5)
    assert harness.steps("o") == [
        RecordedStep("o.1", "run charge", "resolved", 10, 1),
        RecordedStep("o.2", "sleep", "pending", None, 0),
    ]
    harness.advance(30 * DAYS)
    assert harness.steps("o")[1:] == [
        RecordedStep("o.2", "sleep", "resolved", None, 0),
        RecordedStep("o.3", "run pack", "resolved", "packed one", 1),
        RecordedStep("o.4", "rpc ship", "resolved", "shipped two", 1),
        RecordedStep("o.5", "promise", "pending", None, 0),
    ]
    assert harness.steps("o.4") == []
    assert harness.waiting() == ["o.5"]
    assert not handle.done()


def test_steps_of_steps_are_told_by_the_id_of_the_step(harness):
    def inner(ctx):
        yield ctx.sleep(1)

    def outer(ctx):
        yield ctx.run(inner)

    harness.register(outer)
    harness.run("o", outer)
    assert [each.label for each in harness.steps("o")] == ["run test_steps_of_steps_are_told_by_the_id_of_the_step.<locals>.inner"]  # fmt: skip
    assert [each.label for each in harness.steps("o.1")] == ["sleep"]
    with pytest.raises(HarnessError, match=r"no promise x.*o, o.1, o.1.1"):
        harness.steps("x")


def test_a_promise_is_resolved_rejected_or_canceled_from_outside(harness):
    harness.register(asks)
    handles = {each: harness.begin(each, asks) for each in ("yes", "no", "never")}
    harness.resolve("yes.1", {"by": "Ada"})
    harness.reject("no.1", ValueError("too late"))
    harness.cancel("never.1")
    assert handles["yes"].result() == {"by": "Ada"}
    with pytest.raises(ValueError, match="too late"):
        handles["no"].result()
    with pytest.raises(ResonateCanceledError):
        handles["never"].result()
    with pytest.raises(HarnessError, match=r"yes.1 is resolved already"):
        harness.resolve("yes.1", 1)
    with pytest.raises(HarnessError, match="there is no promise other"):
        harness.cancel("other")


def test_an_error_of_a_class_that_is_not_known_arrives_as_everywhere(harness):
    class TooLate(Exception):
        pass

    harness.register(asks)
    handle = harness.begin("a", asks)
    harness.reject("a.1", TooLate("closed at six"))
    with pytest.raises(RemoteError, match="closed at six"):
        handle.result()


def test_a_workflow_that_waits_for_what_never_comes_is_told_at_once(harness):
    def order(ctx):
        yield ctx.rpc(asks)

    harness.register(asks)
    harness.register(order)
    start = harness.now
    with pytest.raises(StuckError, match=r"and o waits\n- for promise o.1.1: harness.resolve"):
        harness.run("o", order)
    assert harness.now == start
    harness.resolve("o.1.1", "here")
    assert harness.resonate.get("o").result() is None


def test_a_call_that_nobody_takes_is_told(harness):
    def order(ctx):
        yield ctx.rpc("pick").options(target="warehouse")

    harness.register(order)
    text = r"for rpc pick \(o.1\): no worker has the target poll://any@warehouse: Harness\(groups="
    with pytest.raises(StuckError, match=text):
        harness.run("o", order)


def test_a_function_that_is_not_registered_is_told(harness):
    def order(ctx):
        yield ctx.rpc("pick")

    harness.register(order)
    with pytest.raises(StuckError, match=r"rpc pick \(o.1\): function pick version 1 is not"):
        harness.run("o", order)


def test_code_that_does_not_match_what_is_recorded_is_told(harness):
    asked = []

    def order(ctx):
        asked.append(1)
        if len(asked) == 1:
            yield ctx.sleep(10)
        yield ctx.run(lambda ctx: 1)

    harness.register(order)
    handle = harness.begin("o", order)
    harness.kill()
    with pytest.raises(StuckError, match="logged: giving o back"):
        handle.result()


def test_a_promise_of_the_test_can_be_waited_for(harness):
    harness.resonate.promises.create("mine", int(harness.now * 1000) + 365 * 86_400_000)
    handle = harness.resonate.get("mine")
    with pytest.raises(StuckError, match=r"harness.resolve\('mine'"):
        handle.result()
    harness.resolve("mine", [1])
    assert handle.result() == [1]


def test_a_harness_is_used_once_and_in_its_block():
    harness = Harness()
    harness.register(asks)
    with pytest.raises(HarnessError, match="with block"):
        harness.begin("a", asks)
    with harness:
        harness.begin("a", asks)
    for act in (lambda: harness.begin("b", asks), lambda: harness.advance(1)):
        with pytest.raises(HarnessError, match="with block"):
            act()
    with pytest.raises(HarnessError, match="once"):
        harness.__enter__()
