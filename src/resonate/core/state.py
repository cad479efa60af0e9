"""The state as a batch of steps sees and changes it.

Rules:
- The store puts the objects that the steps may read into ``objects``; None means there is none.
  Reading a key that was not loaded is a mistake of ``machine.reads`` and raises KeyError.
- ``now`` is one instant for the whole batch, except where debug operations set another.
- ``before`` remembers what each changed object was when the batch began. What is deleted becomes
  None; of promises only retention deletes any, and the protocol never.
- A step that raises is undone by ``rollback``: nothing of it stays.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from resonate.core.objects import (
    Branch,
    BranchOf,
    Key,
    Promise,
    Schedule,
    ScheduleKey,
    Stored,
    project,
)
from resonate.protocol.validation import BRANCH

Objects = MutableMapping[Key, Stored | tuple[str, ...] | None]


class State:
    """Objects at one instant, with what a batch has changed.

    ``strict`` tells whether the specification's refusals apply (section 4).
    """

    __slots__ = ("_newborn", "_undo", "before", "now", "objects", "strict")

    def __init__(self, objects: Objects, now: int, *, strict: bool = False) -> None:
        self.objects = objects
        self.now = now
        self.strict = strict
        self._newborn: dict[str, list[str]] = {}  # ids by their branch
        self.before: dict[Key, Stored | None] = {}
        self._undo: list[tuple[Key, Stored | None, bool]] = []

    def knows(self, key: Key) -> bool:
        """Tell whether the object, or that there is none, is at hand."""
        return key in self.objects

    def stored(self, promise_id: str) -> Promise | None:
        """Return the promise as written, its deadline not applied."""
        return self.objects[promise_id]  # type: ignore[return-value]  # ids lead to promises only

    def view(self, promise_id: str) -> Promise | None:
        """Return the promise as everybody must see it at ``now``."""
        promise = self.stored(promise_id)
        return None if promise is None else project(promise, self.now)

    def schedule(self, schedule_id: str) -> Schedule | None:
        """Return the schedule."""
        return self.objects[ScheduleKey(schedule_id)]  # type: ignore[return-value]  # by such a key

    def branch_of(self, promise: Promise) -> list[str]:
        """Return the ids that share the branch of ``promise``, itself left out, ascending."""
        branch = promise.tags.get(BRANCH, "")
        loaded: tuple[str, ...] = self.objects[BranchOf(promise.id)]  # type: ignore[assignment]  # such keys lead to ids only
        named: tuple[str, ...] = self.objects.get(Branch(branch), ())  # type: ignore[assignment]  # the same
        ids = {*loaded, *named, *self._newborn.get(branch, ())}
        return sorted(ids - {promise.id})

    def put(self, new: Promise) -> None:
        """Replace the promise of that id."""
        self._set(new.id, new)
        if self.before[new.id] is None and (branch := new.tags.get(BRANCH)):
            self._newborn.setdefault(branch, []).append(new.id)

    def put_schedule(self, new: Schedule) -> None:
        """Replace the schedule of that id."""
        self._set(new.key, new)

    def delete(self, key: Key) -> None:
        """Take the object away."""
        self._set(key, None)

    def _set(self, key: Key, new: Stored | None) -> None:
        old: Stored | None = self.objects[key]  # type: ignore[assignment]  # no key of a branch
        first = key not in self.before
        if first:
            self.before[key] = old
        self._undo.append((key, old, first))
        self.objects[key] = new

    def begin(self) -> None:
        """Start a step: from here on ``rollback`` undoes."""
        self._undo.clear()

    @property
    def wrote(self) -> bool:
        """Tell whether the step changed anything."""
        return bool(self._undo)

    def touched(self) -> list[Key]:
        """Return the keys that the step has changed."""
        return [key for key, _, _ in self._undo]

    def rollback(self) -> None:
        """Undo the step."""
        for key, old, first in reversed(self._undo):
            self.objects[key] = old
            if first:
                del self.before[key]
        self._undo.clear()
