"""What every store promises.

Rules:
- The seam is ``transact``: load, decide, commit. Decisions are taken one after another, each seeing
  the effects of those before it, and become durable in that order.
- ``transact`` returns after what the decision wrote *and what it saw* is durable. Several
  transactions may share one commit.
- When it raises Unavailable nothing of it, nor of anything decided after it, was committed. The
  store then refuses everything until ``recover`` has succeeded. Only if the process ends before
  that may the next start find what was refused: its bytes were written, and only their sync failed.
- The other reads are scans of committed state. They may lag behind decisions in flight, so what
  they return is a hint: whoever acts on it looks at the object again in ``transact``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from msgspec import Struct

from resonate.core.objects import Key, Promise, Schedule, Stored
from resonate.core.state import Objects
from resonate.protocol import requests as rq
from resonate.store.pages import Page

Decide = Callable[[Objects], Collection[Key]]


class Ready(Struct, frozen=True, array_like=True):
    """A pending task whose ``retry_at`` has come; ``target`` is its address."""

    id: str
    version: int
    retry_at: int
    target: str


class Held(Struct, frozen=True, array_like=True):
    """An acquired task and its holder."""

    id: str
    version: int
    pid: str


class Obligation(Struct, frozen=True, array_like=True):
    """A settled promise that still has awaiters to wake or listeners to tell."""

    id: str
    settled_at: int
    listeners: tuple[str, ...]
    awaiters: int


class Store(Protocol):
    """Promises with their tasks, and schedules, kept."""

    async def open(self) -> None:
        """Make ready; raises StartError with one clear sentence when that is impossible."""

    async def close(self) -> None:
        """Finish what was begun and let go of every resource."""

    async def recover(self) -> None:
        """After a failure: drop what is not durable and serve again, or raise Unavailable."""

    async def transact(self, reads: Iterable[Key], decide: Decide) -> None:
        """Give ``decide`` the objects named by ``reads``, commit those whose keys it returns.

        The awaiters in the callbacks of the objects are given too, of each object at least the
        first ``STEP_OBJECTS_MAX``. For ``BranchOf`` a promise the ids of its branch are given (of
        more than ``PRELOAD_RECORDS_MAX`` the first), and their objects. An object that does not
        exist is given as None. More objects than that may be ``in`` the mapping, when they cost
        nothing. ``decide`` replaces objects in the mapping, by None to delete them; it must not
        keep it. When it raises, nothing of it stays.
        """

    def uncommitted(self, key: Key) -> bool:
        """Tell whether the object was changed by a decision that is not yet durable."""

    async def due(self, after: int, until: int, limit: int) -> list[tuple[int, Key]]:
        """Return (instant, key) of what has to be looked at in ``after < instant <= until``.

        In order of time, at most ``limit``; the limit may cut through those of one instant, in any
        order. Instants are deadlines, ends of leases, starts of delayed tasks and occurrences of
        schedules, so a key can be there more than once, with its ``core.objects.due`` among them.
        """

    async def ready(self, route: str, after: tuple[int, str], now: int, limit: int) -> list[Ready]:
        """Return dispatchable tasks of ``route`` beyond ``after``, ordered by (retry_at, id)."""

    async def routes(self, after: str, until: str, limit: int) -> list[str]:
        """Return routes between two texts, in order, on which pending tasks wait."""

    async def held(self, after: str, limit: int) -> list[Held]:
        """Return acquired tasks with ids beyond ``after``, ordered by id."""

    async def obligations(self, after: tuple[int, str], limit: int) -> list[Obligation]:
        """Return settled promises with awaiters or listeners, ordered by (settled_at, id)."""

    async def promises(self, query: rq.PromiseSearchData, now: int, limit: int) -> Page[Promise]:
        """Return a page of what ``core.searches.promises`` finds in all promises."""

    async def tasks(self, query: rq.TaskSearchData, now: int, limit: int) -> Page[Promise]:
        """Return a page of what ``core.searches.tasks`` finds in all promises."""

    async def schedules(self, query: rq.ScheduleSearchData, limit: int) -> Page[Schedule]:
        """Return a page of what ``core.searches.schedules`` finds in all schedules."""

    async def count_promises(self, query: rq.PromiseSearchData, now: int) -> dict[str, int]:
        """Return how many promises match all filters but state and cursor, by their states."""

    async def count_tasks(self, query: rq.TaskSearchData, now: int) -> dict[str, int]:
        """Return how many tasks match all filters but state and cursor, by their states."""

    async def expendable(self, after: str, before: int, limit: int) -> tuple[list[str], str | None]:
        """Look through ``limit`` promises with ids beyond ``after`` for what may be deleted.

        Return the ids of those settled before an instant that nothing refers to any more, and the
        id to go on behind; None when there are no more.
        """

    async def snapshot(self) -> dict[Key, Stored]:
        """Return every object as stored. For tests and debugging."""

    async def reset(self) -> None:
        """Delete every object. For debugging."""
