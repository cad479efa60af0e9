"""The only reader of the system clock.

Rules:
- ``now`` is wall time in milliseconds and never goes backwards within the process.
- A wall clock stepped forward is followed at once. One stepped back by more than a second is not:
  time goes on from where it was, at the pace of the monotonic clock, until the wall has caught up
  or the process restarts. A smaller step back (slewing) makes ``now`` wait for the wall.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_SLEW_MS = 1_000


class Clock:
    """Monotone wall time. ``wall`` and ``monotonic`` return seconds."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last = int(wall() * 1000)
        self._last_monotonic = monotonic()

    def now(self) -> int:
        """Return milliseconds since the Unix epoch."""
        wall = int(self._wall() * 1000)
        monotonic = self._monotonic()
        if wall >= self._last:
            self._last, self._last_monotonic = wall, monotonic
        elif self._last - wall > _SLEW_MS:
            elapsed = int((monotonic - self._last_monotonic) * 1000)
            self._last += elapsed
            self._last_monotonic += elapsed / 1000
        return self._last
