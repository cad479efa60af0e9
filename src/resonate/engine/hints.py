"""Hints: what past holders of a task teach about its next one.

Kept in memory only, for the tasks that changed hands last: losing a hint costs a detour, no more.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from resonate.core.objects import Promise
from resonate.protocol.limits import RELEASE_BACKOFF_MS

_HINTS_MAX = 10_000


class Hint(Struct):
    """The last holder, whether it failed us, and how often the task was released in a row.

    ``lost`` is the version of the lease that ended without it. ``not_before`` is an instant: until
    then the task rests, unless somebody new joins ``route``.
    """

    holder: str | None = None
    failed: bool = False
    lost: int | None = None
    releases: int = 0
    not_before: int = 0
    route: str | None = None


class Hints:
    """Hints by task id, the oldest forgotten first."""

    def __init__(self) -> None:
        self._hints: OrderedDict[str, Hint] = OrderedDict()

    def get(self, task_id: str) -> Hint | None:
        """Return what is known about the task."""
        return self._hints.get(task_id)

    def released(self, task_id: str, holder: str | None, now: int, route: str | None) -> int:
        """The holder gave the task back; return for how many ms it rests.

        The first time it goes to another member at once.
        """
        hint = self._of(task_id)
        rest = RELEASE_BACKOFF_MS[min(hint.releases, len(RELEASE_BACKOFF_MS) - 1)]
        hint.holder, hint.failed, hint.lost = holder, True, None
        hint.releases += 1
        hint.not_before, hint.route = now + rest, route
        return rest

    def rouse(self, routes: set[str], pid: str, now: int) -> list[str]:
        """Return the tasks of the routes that rest, not by ``pid``, and let them rest no more."""
        found = [
            task_id
            for task_id, hint in self._hints.items()
            if hint.not_before > now and hint.route in routes and hint.holder != pid
        ]
        for task_id in found:
            self._hints[task_id].not_before = now
        return found

    def lost(self, task_id: str, holder: str, version: int) -> None:
        """The holder is gone or silent: prefer another."""
        hint = self._of(task_id)
        hint.holder, hint.failed, hint.lost = holder, True, version

    def loser(self, task_id: str, version: int) -> str | None:
        """Return who lost the lease of that version, if that was the last that was lost."""
        hint = self._hints.get(task_id)
        return hint.holder if hint is not None and hint.lost == version else None

    def see(self, before: Promise | None, after: Promise) -> None:
        """A workflow that parks prefers its last holder; a task that ends needs no hint."""
        task = after.task
        if task is None:
            return
        if task.state == "fulfilled":
            self._hints.pop(after.id, None)
        elif task.state == "suspended" and before is not None:
            old = before.task
            if old is not None and old.pid is not None:
                self._hints.pop(after.id, None)
                self._of(after.id).holder = old.pid

    def clear(self) -> None:
        """Forget everything."""
        self._hints.clear()

    def _of(self, task_id: str) -> Hint:
        hint = self._hints.get(task_id)
        if hint is None:
            hint = self._hints[task_id] = Hint()
            if len(self._hints) > _HINTS_MAX:
                self._hints.popitem(last=False)
        return hint
