"""The client of schedules, for an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, fields
from typing import Unpack

from resonate.sdk import schedules
from resonate.sdk.async_shared import AsyncShared
from resonate.sdk.schedules import Schedule, ScheduleFilters
from resonate.sdk.subclients import awaited_pages, check_no_page


@dataclass(frozen=True)
class AsyncSchedule(Schedule):
    """A ``Schedule`` as the server saw it at one instant; its ``delete`` is awaited."""

    _shared: AsyncShared = field(repr=False, compare=False)

    async def delete(self) -> None:  # type: ignore[override]  # nothing here blocks
        """Delete it; see ``AsyncSchedules.delete``."""
        await AsyncSchedules(self._shared).delete(self.id)


@dataclass(frozen=True)
class AsyncSchedulePage:
    """One page of a search; ``cursor`` asks for the next one, and is None on the last."""

    schedules: tuple[AsyncSchedule, ...]
    cursor: str | None


class AsyncSchedules:
    """See ``AsyncResonate.schedules``: the methods of ``Schedules``, to be awaited.

    All raise ResonateStoreError when the server refuses (``code`` is its status) or does not answer
    in time (``code`` 0), TypeError and ValueError for arguments that cannot be.
    """

    def __init__(self, shared: AsyncShared) -> None:
        self._shared = shared

    async def get(self, id: str) -> AsyncSchedule:
        """Return the schedule; raises ResonateStoreError, ``code`` 404, when there is none."""
        found = await self._shared.carry_out(schedules.get(self._shared, id))
        return to_await(self._shared, found)

    async def create(
        self,
        id: str,
        cron: str,
        promise_id: str,
        promise_timeout_ms: int,
        *,
        promise_headers: dict[str, str] | None = None,
        promise_data: str | None = None,
        promise_tags: dict[str, str] | None = None,
    ) -> AsyncSchedule:
        """Create a schedule, and return it; one that exists is returned as it is, unchanged.

        ``promise_id`` is a template, ``promise_timeout_ms`` milliseconds from an occurrence to the
        deadline of its promise; headers and data (a text) are the param of the promises. To call a
        function, ``AsyncResonate.schedule`` is easier.
        """
        wanted = schedules.wanted_of(
            id, cron, promise_id, promise_timeout_ms, promise_headers, promise_data, promise_tags
        )
        found = await self._shared.carry_out(schedules.create(self._shared, wanted))
        return to_await(self._shared, found)

    async def delete(self, id: str) -> None:
        """Delete the schedule: it fires no more. What it has fired stays, and goes on.

        Raises ResonateStoreError, ``code`` 404, when there is none.
        """
        await self._shared.carry_out(schedules.delete(self._shared, id))

    async def search(
        self, *, cursor: str | None = None, **filters: Unpack[ScheduleFilters]
    ) -> AsyncSchedulePage:
        """Return one page of the schedules that match, in order of id; see ScheduleFilters.

        ``cursor`` is that of the page before, with the same filters.
        """
        given = {**filters, "cursor": cursor}
        page = await self._shared.carry_out(schedules.search(self._shared, given))
        seen = tuple(to_await(self._shared, each) for each in page.schedules)
        return AsyncSchedulePage(seen, page.cursor)

    async def search_all(self, **filters: Unpack[ScheduleFilters]) -> AsyncIterator[AsyncSchedule]:
        """Yield all schedules that match, for ``async for``; ``limit`` is the size of a page."""
        check_no_page(filters)
        async for page in awaited_pages(lambda cursor: self.search(cursor=cursor, **filters)):
            for schedule in page.schedules:
                yield schedule


def to_await(shared: AsyncShared, found: Schedule) -> AsyncSchedule:
    """Return the same schedule, for an event loop."""
    same = {each.name: getattr(found, each.name) for each in fields(found)}
    return AsyncSchedule(**same, _shared=shared)
