"""The client of schedules: read, create, delete and find them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from resonate.protocol import requests as rq
from resonate.protocol.answers import SchedulesAnswer
from resonate.protocol.records import ScheduleRecord
from resonate.sdk.checks import check_text
from resonate.sdk.exchanges import Exchange, blocking, checked
from resonate.sdk.shared import Shared
from resonate.sdk.subclients import (
    StoredValue,
    answered,
    ask,
    check_filters,
    check_milliseconds,
    check_no_page,
    check_strings,
    pages,
    stored,
    value_of,
)

_NOT_FOUND = 404


@dataclass(frozen=True)
class Schedule:
    """A schedule as the server saw it at one instant.

    - ``cron``: at each of its occurrences, in UTC, a promise is created.
    - ``promise_id``: the template of the ids, with ``{{.id}}`` and ``{{.timestamp}}``.
    - ``promise_timeout``: milliseconds from the occurrence to the deadline.
    - ``promise_param``, ``promise_tags``: what each promise is created with.
    - ``created_on``, ``next_runtime``, ``last_runtime``: milliseconds since the epoch; the last is
      None before the first run.
    """

    id: str
    cron: str
    promise_id: str
    promise_timeout: int
    promise_param: StoredValue
    promise_tags: dict[str, str]
    created_on: int
    next_runtime: int
    last_runtime: int | None
    _schedules: Schedules = field(repr=False, compare=False)

    def delete(self) -> None:
        """Delete it; see ``Schedules.delete``."""
        self._schedules.delete(self.id)


@dataclass(frozen=True)
class SchedulePage:
    """One page of a search; ``cursor`` asks for the next one, and is None on the last."""

    schedules: tuple[Schedule, ...]
    cursor: str | None


class ScheduleFilters(TypedDict, total=False):
    """What a search looks for: all that is given must match, and None is not given.

    - ``tags``: pairs that must all be among the tags of its promises.
    - ``id_prefix``: what the id begins with; servers of others ignore it.
    - ``limit``: schedules on a page, 1 to 1000; 10 by default.
    """

    tags: dict[str, str] | None
    id_prefix: str | None
    limit: int | None


_KINDS: dict[str, type] = {"tags": dict, "id_prefix": str, "limit": int, "cursor": str}


class Schedules:
    """See ``Resonate.schedules``. Safe to use from any thread; every method blocks.

    All raise ResonateStoreError when the server refuses (``code`` is its status) or does not answer
    in time (``code`` 0), TypeError and ValueError for arguments that cannot be.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def get(self, id: str) -> Schedule:
        """Return the schedule; raises ResonateStoreError, ``code`` 404, when there is none."""
        return blocking(get(self._shared, id))

    def create(
        self,
        id: str,
        cron: str,
        promise_id: str,
        promise_timeout_ms: int,
        *,
        promise_headers: dict[str, str] | None = None,
        promise_data: str | None = None,
        promise_tags: dict[str, str] | None = None,
    ) -> Schedule:
        """Create a schedule, and return it; one that exists is returned as it is, unchanged.

        ``promise_id`` is a template, ``promise_timeout_ms`` milliseconds from an occurrence to the
        deadline of its promise; headers and data (a text) are the param of the promises. To call a
        function, ``Resonate.schedule`` is easier.
        """
        wanted = wanted_of(
            id, cron, promise_id, promise_timeout_ms, promise_headers, promise_data, promise_tags
        )
        return blocking(create(self._shared, wanted))

    def delete(self, id: str) -> None:
        """Delete the schedule: it fires no more. What it has fired stays, and goes on.

        Raises ResonateStoreError, ``code`` 404, when there is none.
        """
        blocking(delete(self._shared, id))

    def search(
        self, *, cursor: str | None = None, **filters: Unpack[ScheduleFilters]
    ) -> SchedulePage:
        """Return one page of the schedules that match, in order of id; see ScheduleFilters.

        ``cursor`` is that of the page before, with the same filters.
        """
        return blocking(search(self._shared, {**filters, "cursor": cursor}))

    def search_all(self, **filters: Unpack[ScheduleFilters]) -> Iterator[Schedule]:
        """Yield all schedules that match, page by page; ``limit`` is the size of a page."""
        check_no_page(filters)
        for page in pages(lambda cursor: self.search(cursor=cursor, **filters)):
            yield from page.schedules


# --- the exchanges --------------------------------------------------------------------------------


def get(shared: Shared, id: str) -> Exchange[Schedule]:
    """See ``Schedules.get``."""
    check_text("id", id)
    answer = yield from answered(shared, rq.ScheduleGet, rq.IdData(id))
    return _seen(shared, answer.schedule)


def wanted_of(
    id: str,
    cron: str,
    promise_id: str,
    promise_timeout_ms: int,
    headers: dict[str, str] | None,
    data: str | None,
    tags: dict[str, str] | None,
) -> rq.ScheduleCreateData:
    """Return what ``Schedules.create`` sends; raises TypeError and ValueError."""
    check_text("id", id)
    check_text("cron", cron)
    check_text("promise_id", promise_id)
    check_milliseconds("promise_timeout_ms", promise_timeout_ms)
    check_strings("promise_tags", tags)
    param = value_of(headers, data)
    return rq.ScheduleCreateData(id, cron, promise_id, promise_timeout_ms, param, tags)


def create(shared: Shared, data: rq.ScheduleCreateData) -> Exchange[Schedule]:
    """Create a schedule, and return it; one that exists is returned as it is."""
    answer = yield from answered(shared, rq.ScheduleCreate, data)
    return _seen(shared, answer.schedule)


def delete(shared: Shared, id: str) -> Exchange[None]:
    """See ``Schedules.delete``."""
    check_text("id", id)
    item = yield from ask(shared, rq.ScheduleDelete, rq.IdData(id))
    answer = item.answers[0]
    if not (item.repeated and answer.status == _NOT_FOUND):  # an earlier try deleted it
        checked(answer)


def search(shared: Shared, given: dict[str, Any]) -> Exchange[SchedulePage]:
    """See ``Schedules.search``."""
    wanted = check_filters(given, _KINDS)
    data = rq.ScheduleSearchData(**wanted)
    page: SchedulesAnswer = yield from answered(shared, rq.ScheduleSearch, data)
    seen = tuple(_seen(shared, each) for each in page.schedules)
    return SchedulePage(seen, page.cursor)


def _seen(shared: Shared, record: ScheduleRecord) -> Schedule:
    return Schedule(
        id=record.id,
        cron=record.cron,
        promise_id=record.promise_id,
        promise_timeout=record.promise_timeout,
        promise_param=stored(record.promise_param, f"the param of schedule {record.id}"),
        promise_tags=dict(record.promise_tags),
        created_on=record.created_at,
        next_runtime=record.next_run_at,
        last_runtime=record.last_run_at,
        _schedules=Schedules(shared),
    )
