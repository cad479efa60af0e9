"""Everything ends with the block, whatever runs then."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from resonate.testing import Harness
from tests.testing.flavours import FLAVOURS, ship


def ours():
    return [each for each in threading.enumerate() if each.name.startswith("resonate")]


@pytest.fixture(autouse=True)
def _alone():
    before = set(ours())
    yield
    assert set(ours()) <= before


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_runs_and_what_was_killed_ends(flavour, caplog):
    with Harness() as harness:
        harness.register(ship)
        harness.register(FLAVOURS[flavour])
        for number in range(5):
            harness.kill_before(1 + 2 * number)
            harness.begin(f"o{number}", flavour, 5)
        harness.kill()
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_a_function_that_is_in_the_middle_ends():
    ended = []

    def plain(ctx):
        try:
            ctx.promise().result().result()
        finally:
            ended.append("plain")

    async def coroutine(ctx):
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("coroutine")

    def generator(ctx):
        try:
            yield ctx.run(coroutine)
        finally:
            ended.append("generator")

    with Harness() as harness:
        for each in (plain, coroutine, generator):
            harness.register(each)
            harness.begin(each.__name__, each)
    assert sorted(set(ended)) == ["coroutine", "generator", "plain"]


def test_an_error_in_the_block_is_the_tests_own():
    def sleeps(ctx):
        yield ctx.sleep(10)

    def block():
        with Harness() as harness:
            harness.register(sleeps)
            harness.begin("s", sleeps)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()


def test_a_harness_may_be_used_by_several_threads():
    def sleeps(ctx, seconds):
        yield ctx.sleep(seconds)
        return seconds

    with Harness() as harness, ThreadPoolExecutor(4) as pool:
        harness.register(sleeps)
        found = pool.map(lambda each: harness.run(f"s{each}", sleeps, each), range(20))
        assert list(found) == list(range(20))


def test_a_hundred_harnesses_are_quick():
    def sleeps(ctx):
        yield ctx.sleep(10)

    began = time.monotonic()
    for _ in range(100):
        with Harness() as harness:
            harness.register(sleeps)
            harness.run("s", sleeps)
    assert time.monotonic() - began < 5
