"""The clock: wall time that never goes backwards."""

from __future__ import annotations

import time

import pytest

from resonate.engine.clock import Clock


class Times:
    """A wall clock and a monotonic clock that a test sets."""

    def __init__(self):
        self.wall = 1_000.0
        self.monotonic = 50.0
        self.clock = Clock(lambda: self.wall, lambda: self.monotonic)

    def go(self, seconds, *, step=0.0):
        self.monotonic += seconds
        self.wall += seconds + step
        return self.clock.now()


@pytest.fixture
def times():
    return Times()


def test_it_follows_the_wall(times):
    assert times.clock.now() == 1_000_000
    assert times.go(0.25) == 1_000_250
    assert times.go(3_600) == 4_600_250


def test_a_step_forward_is_followed_at_once(times):
    assert times.go(1, step=500) == 1_501_000
    assert times.go(1) == 1_502_000


def test_a_small_step_back_makes_it_wait_for_the_wall(times):
    assert times.go(1) == 1_001_000
    assert times.go(0, step=-0.5) == 1_001_000
    assert times.go(0.25) == 1_001_000
    assert times.go(0.5) == 1_001_250


def test_after_a_large_step_back_it_goes_on_at_the_pace_of_the_monotonic_clock(times):
    assert times.go(1) == 1_001_000
    assert times.go(0, step=-100) == 1_001_000
    assert times.go(2) == 1_003_000
    for _ in range(1_000):
        times.go(0.0003)
    assert times.clock.now() == 1_003_300  # no fraction gets lost
    assert times.go(0, step=-900) == 1_003_300


def test_when_the_wall_has_caught_up_it_is_followed_again(times):
    times.go(0, step=-100)
    assert times.go(10) == 1_010_000
    assert times.go(0, step=+150) == 1_060_000
    assert times.go(1) == 1_061_000


def test_it_never_goes_backwards(times):
    import random

    random.seed(3)
    last = times.clock.now()
    for _ in range(5_000):
        step = random.choice([0, 0, 0, -0.2, -3, 0.1, 5, -1.0, -1.001])
        now = times.go(random.choice([0, 0.0001, 0.01, 2]), step=step)
        assert now >= last
        last = now


def test_it_reads_the_system_clock():
    assert abs(Clock().now() - time.time() * 1000) < 1_000
