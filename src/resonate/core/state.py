"""The state as a batch of steps sees and changes it.

Rules:
- The store puts the objects that the steps may read into ``objects``; None means there is none.
  Reading an id that was not loaded is a mistake of ``machine.reads`` and raises KeyError.
- ``now`` is one instant for the whole batch.
- ``before`` remembers what each changed object was when the batch began.
- A step that raises is undone by ``rollback``: nothing of it stays.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from resonate.core.objects import Promise, project

Objects = MutableMapping[str, Promise | None]


class State:
    """Objects at one instant, with what a batch has changed."""

    __slots__ = ("_undo", "before", "now", "objects")

    def __init__(self, objects: Objects, now: int) -> None:
        self.objects = objects
        self.now = now
        self.before: dict[str, Promise | None] = {}
        self._undo: list[tuple[str, Promise | None, bool]] = []

    def knows(self, promise_id: str) -> bool:
        """Tell whether the object, or that there is none, is at hand."""
        return promise_id in self.objects

    def stored(self, promise_id: str) -> Promise | None:
        """Return the object as written, its deadline not applied."""
        return self.objects[promise_id]

    def view(self, promise_id: str) -> Promise | None:
        """Return the object as everybody must see it at ``now``."""
        promise = self.objects[promise_id]
        return None if promise is None else project(promise, self.now)

    def put(self, promise: Promise) -> None:
        """Replace the object of that id."""
        old = self.objects[promise.id]
        first = promise.id not in self.before
        if first:
            self.before[promise.id] = old
        self._undo.append((promise.id, old, first))
        self.objects[promise.id] = promise

    def begin(self) -> None:
        """Start a step: from here on ``rollback`` undoes."""
        self._undo.clear()

    @property
    def wrote(self) -> bool:
        """Tell whether the step changed anything."""
        return bool(self._undo)

    def rollback(self) -> None:
        """Undo the step."""
        for promise_id, old, first in reversed(self._undo):
            self.objects[promise_id] = old
            if first:
                del self.before[promise_id]
        self._undo.clear()
