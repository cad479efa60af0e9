"""Searches: answered from what is committed, after everything that was decided before them.

Rules:
- A search reads the store beside the batches, on one thread: it holds nobody up. It sees every
  request that was answered before it came, and of later ones none, or all up to one of them.
- It stands between two commits, and its turn comes: ``engine.alone``.
"""

from __future__ import annotations

from resonate.core import searches
from resonate.core.objects import project, record, schedule_record, task_record
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer, PromisesAnswer, SchedulesAnswer, TasksAnswer
from resonate.protocol.cursors import encode_cursor
from resonate.protocol.limits import SCHEDULE_SEARCH_LIMIT, SEARCH_LIMIT
from resonate.store.contract import Store

KINDS: frozenset[type[rq.Request]] = frozenset(rq.Search.__args__)


async def search(store: Store, request: rq.Request, now: int) -> Answer:
    """Answer a search; raises Unavailable."""
    if isinstance(request, rq.PromiseSearch):
        return Answer(200, await _promises(store, request.data, now))
    if isinstance(request, rq.TaskSearch):
        return Answer(200, await _tasks(store, request.data, now))
    assert isinstance(request, rq.ScheduleSearch), "no search"
    return Answer(200, await _schedules(store, request.data))


async def _promises(store: Store, query: rq.PromiseSearchData, now: int) -> PromisesAnswer:
    found, more = await store.promises(query, now, query.limit or SEARCH_LIMIT)
    counts = await store.count_promises(query, now) if query.counts else None
    cursor = None
    if more:
        last = found[-1]
        by_id = (query.order or "id") == "id"
        cursor = last.id if by_id else encode_cursor(last.created_at, last.id)
    page = [record(project(each, now)) for each in found]
    return PromisesAnswer(page, cursor, _filled(searches.PROMISE_STATES, counts))


async def _tasks(store: Store, query: rq.TaskSearchData, now: int) -> TasksAnswer:
    found, more = await store.tasks(query, now, query.limit or SEARCH_LIMIT)
    counts = await store.count_tasks(query, now) if query.counts else None
    page = [task_record(project(each, now)) for each in found]
    return TasksAnswer(page, found[-1].id if more else None, _filled(searches.TASK_STATES, counts))


async def _schedules(store: Store, query: rq.ScheduleSearchData) -> SchedulesAnswer:
    found, more = await store.schedules(query, query.limit or SCHEDULE_SEARCH_LIMIT)
    page = [schedule_record(each) for each in found]
    return SchedulesAnswer(page, found[-1].id if more else None)


def _filled(states: tuple[str, ...], counts: dict[str, int] | None) -> dict[str, int] | None:
    return None if counts is None else {state: counts.get(state, 0) for state in states}
