"""What a test is told when it goes wrong."""

from __future__ import annotations


class HarnessError(Exception):
    """The test asked for something that cannot be."""


class StuckError(HarnessError):
    """Nothing is left that could happen, and what the test waits for has not: says why."""


class UnusedRuleError(AssertionError):
    """What the test asked for never applied, so it tested nothing: says what there was instead."""


class KillPointError(AssertionError):
    """A workflow that was killed came to another result: says where it was killed."""
