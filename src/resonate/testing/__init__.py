"""Test workflows in memory and in virtual time, through crashes and failures.

::

    from resonate.testing import Harness

    def test_order():
        with Harness() as harness:
            harness.register(order)
            assert harness.run("order-1", order, 5) == "shipped"  # its sleep of 30 days is over

No fixture, plugin or server is needed. See ``Harness`` and ``every_kill_point``.
"""

from __future__ import annotations

from resonate.testing.errors import HarnessError, KillPointError, StuckError, UnusedRuleError
from resonate.testing.everywhere import Survived, every_kill_point
from resonate.testing.harness import Harness
from resonate.testing.records import RecordedStep

__all__ = [
    "Harness",
    "HarnessError",
    "KillPointError",
    "RecordedStep",
    "StuckError",
    "Survived",
    "UnusedRuleError",
    "every_kill_point",
]
