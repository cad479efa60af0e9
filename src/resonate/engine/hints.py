"""Hints: what past holders of a task teach about its next one.

Rules:
- A workflow that parks prefers its last holder; a lost holder is avoided, while there is another.
- A task that was given back goes at once to somebody with room who has not refused it. Without
  anybody it rests, longer each time, and goes on when its rest is over, or as soon as somebody who
  has not refused it joins or has room.
- Kept in memory only, for the tasks that changed hands last and those that rest: losing a hint
  costs a detour, no more.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

from msgspec import Struct

from resonate.core.objects import Promise
from resonate.engine.members import Group, Member
from resonate.protocol.addresses import function_of
from resonate.protocol.limits import RELEASE_BACKOFF_MS, RESTING_MAX

_HINTS_MAX = 10_000
_AT_ONCE_MAX = 8  # members that are asked one after another without a rest
_LOOKED_THROUGH_MAX = 1_000  # kinds of tasks that rest, when a member has room
Kind = tuple[str, frozenset[str]]  # of tasks that rest: their route, and who has refused them


class Hint(Struct):
    """What is known of a task.

    ``holder`` is the last one, whom to prefer, or to avoid when it ``failed``; ``lost`` the version
    of the lease that ended without it. ``refused`` are those of ``group`` who gave the task back,
    which waits on ``route``; it rested ``rests`` times, and rests until ``not_before``.
    """

    holder: str | None = None
    failed: bool = False
    lost: int | None = None
    refused: dict[str, None] = {}
    rests: int = 0
    not_before: int = 0
    route: str = ""
    group: str = ""

    @property
    def kind(self) -> Kind:
        """Return what decides who may have the task, while it rests."""
        return self.route, frozenset(self.refused)

    @property
    def avoid(self) -> frozenset[str]:
        """Return who should not have the task while there are others."""
        lost = (self.holder,) if self.failed and self.holder is not None else ()
        return frozenset((*self.refused, *lost))


class Hints:
    """Hints by task id, the oldest forgotten first; those of tasks that rest stay longer."""

    def __init__(self) -> None:
        self._hints: OrderedDict[str, Hint] = OrderedDict()
        self._resting: OrderedDict[str, Hint] = OrderedDict()
        self._groups: dict[str, dict[Kind, dict[str, None]]] = {}  # by group: tasks that rest

    def get(self, task_id: str) -> Hint | None:
        """Return what is known about the task."""
        return self._hints.get(task_id) or self._resting.get(task_id)

    def lost(self, task_id: str, holder: str, version: int) -> None:
        """The holder is gone or silent: prefer another."""
        hint = self._of(task_id)
        hint.holder, hint.failed, hint.lost = holder, True, version

    def loser(self, task_id: str, version: int) -> str | None:
        """Return who lost the lease of that version, if that was the last that was lost."""
        hint = self.get(task_id)
        return hint.holder if hint is not None and hint.lost == version else None

    def see(self, before: Promise | None, after: Promise) -> None:
        """A workflow that parks prefers its last holder; a task that ends needs no hint."""
        task = after.task
        if task is None:
            return
        if task.state == "fulfilled":
            self._forget(after.id)
        elif task.state == "suspended" and before is not None:
            old = before.task
            if old is not None and old.pid is not None:
                self._forget(after.id)
                self._of(after.id).holder = old.pid

    def clear(self) -> None:
        """Forget everything."""
        self._hints.clear()
        self._resting.clear()
        self._groups.clear()

    # --- tasks that were given back ---------------------------------------------------------------

    def released(self, task_id: str, pid: str | None, route: str, group: Group, now: int) -> int:
        """The holder gave the task back; return for how many ms it rests, if at all."""
        self._wake(task_id)
        hint = self._of(task_id)
        hint.lost, hint.route, hint.group = None, route, group.name
        again = pid is None or pid in hint.refused
        if pid is not None:
            hint.refused[pid] = None
        function = function_of(route)
        member = group.pick(function, hint.refused)
        fresh = member is not None and member.pid not in hint.refused
        if fresh and not again and len(hint.refused) <= _AT_ONCE_MAX:
            return 0
        if not hint.rests and group.has_fresh(function, hint.refused):
            hint.rests = 1  # not at once to somebody who refused it: others will have room
        rest = RELEASE_BACKOFF_MS[min(hint.rests, len(RELEASE_BACKOFF_MS) - 1)]
        hint.rests += 1
        if rest:
            hint.not_before = now + rest
            self._rest(task_id, hint)
        return rest

    def rests(self, task_id: str, now: int) -> int:
        """Return for how many ms the task rests from now on."""
        hint = self._resting.get(task_id)
        return 0 if hint is None else max(0, hint.not_before - now)

    def rested(self, task_id: str) -> None:
        """The rest of the task is over."""
        self._wake(task_id)

    def joined(self, member: Member) -> None:
        """A member is new: what it refused in an earlier life it may know now."""
        mine = self._groups.get(member.group, {})
        for kind in [kind for kind in mine if member.pid in kind[1]]:
            tasks = mine.pop(kind)
            for task_id in tasks:
                del self._resting[task_id].refused[member.pid]
            mine.setdefault((kind[0], kind[1] - {member.pid}), {}).update(tasks)

    def rouse(self, member: Member) -> list[str]:
        """Return tasks that rest and that a member with room has not refused; they rest no more."""
        found: list[str] = []
        room = member.terms.capacity - member.load
        kinds = self._groups.get(member.group, {})
        for kind in islice(kinds, _LOOKED_THROUGH_MAX):
            if len(found) < room and _may_have(member, *kind):
                found += islice(kinds[kind], room - len(found))
        for task_id in found:
            self._wake(task_id)
        return found

    def _rest(self, task_id: str, hint: Hint) -> None:
        del self._hints[task_id]
        self._resting[task_id] = hint
        self._groups.setdefault(hint.group, {}).setdefault(hint.kind, {})[task_id] = None
        if len(self._resting) > RESTING_MAX:
            self._wake(next(iter(self._resting)))

    def _wake(self, task_id: str) -> None:
        hint = self._resting.pop(task_id, None)
        if hint is not None:
            mine = self._groups[hint.group]
            alike = mine[hint.kind]
            del alike[task_id]
            if not alike:
                del mine[hint.kind]
            if not mine:
                del self._groups[hint.group]
            self._keep(task_id, hint)

    # --- keeping them -----------------------------------------------------------------------------

    def _of(self, task_id: str) -> Hint:
        hint = self.get(task_id)
        if hint is None:
            hint = Hint()
            self._keep(task_id, hint)
        return hint

    def _keep(self, task_id: str, hint: Hint) -> None:
        self._hints[task_id] = hint
        if len(self._hints) > _HINTS_MAX:
            self._hints.popitem(last=False)

    def _forget(self, task_id: str) -> None:
        if self._resting:
            self._wake(task_id)
        self._hints.pop(task_id, None)


def _may_have(member: Member, route: str, refused: frozenset[str]) -> bool:
    if route not in (member.shared_route, member.own_route):
        function = function_of(route)
        if function is None or not member.can_run(function):
            return False
    return member.pid not in refused
