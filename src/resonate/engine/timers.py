"""Timers: which objects have to be looked at when, and the one alarm for the next of them.

Rules:
- Only instants within a horizon are kept in memory; the store's indexes know the rest. The horizon
  moves on before it is reached.
- An entry means "look at it, not before": firing late, twice or in vain is harmless.
- An instant that moves later (a heartbeat) costs nothing until its old entry comes up.
- The alarm never sleeps longer than a second: the wall clock may have stepped forward.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from heapq import heappop, heappush

from resonate.core.objects import Key, Stored, due
from resonate.engine.clock import Clock
from resonate.protocol.limits import (
    STEP_OBJECTS_MAX,
    TIMER_ENTRIES_MAX,
    TIMER_HORIZON_MS,
    TIMER_NAP_MS_MAX,
)

Load = Callable[[int, int, int], Awaitable[list[tuple[int, Key]]]]
Spawn = Callable[[Coroutine[None, None, None]], None]


class Timers:
    """A heap of (instant, number, key) up to the horizon; the number keeps keys from comparing.

    ``load`` asks the store, after everything decided so far is durable; ``fire`` is given the keys
    whose instant has come; ``spawn`` runs a coroutine beside.
    """

    def __init__(
        self, clock: Clock, load: Load, fire: Callable[[list[Key]], None], spawn: Spawn
    ) -> None:
        self._clock = clock
        self._load = load
        self._fire = fire
        self._spawn = spawn
        self._heap: list[tuple[int, int, Key]] = []
        self._numbers = itertools.count()
        self._entries: dict[Key, int] = {}  # key -> the instant of its one valid heap entry
        self._instants: dict[Key, int] = {}  # key -> when it is really due
        self._horizon = -1
        self._truncated = False
        self._loading = False
        self._running = False
        self._life = 0  # what an earlier life still loads is of no use to this one
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0

    def start(self) -> None:
        """Load what is due within the horizon and begin to fire."""
        self._running = True
        self._life += 1
        self._horizon = -1
        self._truncated = self._loading = False
        self._top_up()
        self._set_alarm()

    def stop(self) -> None:
        """Fire no more and forget everything."""
        self._running = False
        self._heap.clear()
        self._entries.clear()
        self._instants.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def __len__(self) -> int:
        return len(self._heap)

    def see(self, key: Key, stored: Stored | None, now: int) -> None:
        """Take note of when the object has to be looked at next; None: it is gone."""
        instant = None if stored is None else due(stored, now=now)
        if instant is not None and instant <= self._horizon:
            self._set(key, instant)
        else:
            self._instants.pop(key, None)

    def _set(self, key: Key, instant: int) -> None:
        self._instants[key] = instant
        entry = self._entries.get(key)
        if entry is None or instant < entry:
            self._entries[key] = instant
            heappush(self._heap, (instant, next(self._numbers), key))
            if self._running and instant < self._alarm_at:
                self._set_alarm()

    def _top_up(self) -> None:
        if not self._loading:
            self._loading = True
            self._spawn(self._load_more())

    async def _load_more(self) -> None:
        """Move the horizon on; with very many entries only as far as they reach."""
        life = self._life
        after, until = self._horizon, self._clock.now() + TIMER_HORIZON_MS
        self._horizon = until  # from here on ``see`` takes care of what changes
        try:
            found = await self._load(after, until, TIMER_ENTRIES_MAX)
        finally:
            if life == self._life:
                self._loading = False
        if not self._running or life != self._life:
            return
        self._truncated = len(found) == TIMER_ENTRIES_MAX
        if self._truncated:
            self._horizon = found[-1][0] - 1
        for instant, key in found:
            if instant < self._instants.get(key, instant + 1):
                self._set(key, instant)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        now = self._clock.now()
        self._alarm_at = now + TIMER_NAP_MS_MAX
        if self._heap:
            self._alarm_at = min(self._alarm_at, self._heap[0][0])
        delay = max(0, self._alarm_at - now) / 1000
        self._alarm = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._clock.now()
        fired: list[Key] = []
        while self._heap and self._heap[0][0] <= now and len(fired) < STEP_OBJECTS_MAX:
            instant, _, key = heappop(self._heap)
            if self._entries.get(key) != instant:
                continue
            del self._entries[key]
            really = self._instants.pop(key, None)
            if really is None:
                continue
            if really <= now:
                fired.append(key)
            else:
                self._set(key, really)
        if fired:
            self._fire(fired)
        self._set_alarm()
        self._maybe_top_up(now)

    def _maybe_top_up(self, now: int) -> None:
        """Read on when half of the horizon is used up; if it was cut short, when it is reached."""
        left = self._horizon - now
        if self._truncated:
            used_up = not self._heap or self._heap[0][0] > self._horizon
            if used_up and left <= TIMER_NAP_MS_MAX:
                self._top_up()
        elif left < TIMER_HORIZON_MS // 2:
            self._top_up()
