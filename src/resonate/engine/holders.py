"""Who holds what: the leases of every pid, as decided so far."""

from __future__ import annotations

from resonate.core.objects import Promise
from resonate.engine.members import Directory


class Holders:
    """Task ids and versions by pid. Keeps the members' ``held`` in step."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._tasks: dict[str, dict[str, int]] = {}

    def see(self, before: Promise | None, after: Promise) -> str | None:
        """Take note of a change; return the pid that got a slot back, if one did."""
        old = before.task if before is not None else None
        new = after.task
        old_pid = old.pid if old is not None else None
        new_pid = new.pid if new is not None else None
        if new_pid is not None and new is not None:
            self.add(new_pid, after.id, new.version)
        if old_pid is None or old_pid == new_pid:
            return None
        tasks = self._tasks.get(old_pid)
        if tasks is None or tasks.pop(after.id, None) is None:
            return None
        if not tasks:
            del self._tasks[old_pid]
        self._count(old_pid)
        return old_pid

    def add(self, pid: str, task_id: str, version: int) -> None:
        """Note that ``pid`` holds the task."""
        tasks = self._tasks.setdefault(pid, {})
        fresh = task_id not in tasks
        tasks[task_id] = version
        if fresh:
            self._count(pid)

    def of(self, pid: str) -> dict[str, int]:
        """Return task ids and versions that ``pid`` holds."""
        return self._tasks.get(pid, {})

    def clear(self) -> None:
        """Forget everything; the store tells it again."""
        pids, self._tasks = list(self._tasks), {}
        for pid in pids:
            self._count(pid)

    def _count(self, pid: str) -> None:
        held = len(self._tasks.get(pid, ()))
        for member in self._directory.by_pid(pid):
            member.held = held
            self._directory.place(member)
