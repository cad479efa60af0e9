"""Scans: what the file is asked besides transactions, on two threads of its own.

They see what is committed, and lag behind the decisions that are under way. The server goes on with
what the first thread finds, through indexes; what walks over very many objects has the second, so
that searches hold up no worker and no timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import apsw
import msgspec

from resonate.core.objects import Key, Promise, Schedule, ScheduleKey, Stored
from resonate.core.searches import age_bounds, id_bounds
from resonate.protocol import requests as rq
from resonate.protocol.cron import NEVER
from resonate.protocol.validation import ORIGIN
from resonate.store.contract import Held, Obligation, Ready
from resonate.store.pages import Page, page
from resonate.store.queries import queries
from resonate.store.sqlite.database import PACKAGE, close_quietly
from resonate.store.sqlite.writer import unavailable

promise_decoder = msgspec.json.Decoder(Promise)
schedule_decoder = msgspec.json.Decoder(Schedule)
_listeners = msgspec.json.Decoder(tuple[str, ...])
T = TypeVar("T")


class _Thread:
    """A connection, and the only thread that uses it."""

    def __init__(self, connection: apsw.Connection, name: str) -> None:
        self._connection = connection
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.to_thread(self._executor.shutdown)
        close_quietly(self._connection)

    async def read(
        self, sql: str, bindings: dict[str, Any], read: Callable[[Iterator[Any]], T]
    ) -> T:
        """Run a query on the thread, and ``read`` its rows there, as far as it likes."""

        def run() -> T:
            try:
                rows = self._connection.execute(sql, bindings)
                try:
                    return read(rows)
                finally:
                    rows.close()
            except apsw.Error as error:
                raise unavailable(error) from error

        return await asyncio.get_running_loop().run_in_executor(self._executor, run)


class Scans:
    """The scanning part of the store."""

    def __init__(self) -> None:
        self._sql = queries(PACKAGE)

    def open_scans(self, scanner: apsw.Connection, searcher: apsw.Connection) -> None:
        """Begin to answer."""
        self._scanner = _Thread(scanner, "resonate-scan")
        self._searcher = _Thread(searcher, "resonate-search")

    async def close_scans(self) -> None:
        """Finish what is under way."""
        await self._scanner.close()
        await self._searcher.close()

    async def due(self, after: int, until: int, limit: int) -> list[tuple[int, Key]]:
        """Ask the indexes of instants."""
        rows = await self._scan("due", after=after, until=until, limit=limit, never=NEVER)
        return [(instant, ScheduleKey(id) if schedule else id) for instant, id, schedule in rows]

    async def ready(self, route: str, after: tuple[int, str], now: int, limit: int) -> list[Ready]:
        """Ask the index of ready tasks."""
        at, last = after
        rows = await self._scan(
            "ready", route=route, after_at=at, after_id=last, now=now, limit=limit
        )
        return [Ready(*row) for row in rows]

    async def routes(self, after: str, until: str, limit: int) -> list[str]:
        """Ask the index of ready tasks for its routes."""
        rows = await self._scan("routes", after=after, until=until, limit=limit)
        return [route for (route,) in rows]

    async def held(self, after: str, limit: int) -> list[Held]:
        """Ask the index of leases."""
        return [Held(*row) for row in await self._scan("held", after=after, limit=limit)]

    async def obligations(self, after: tuple[int, str], limit: int) -> list[Obligation]:
        """Ask the index of obligations."""
        at, last = after
        rows = await self._scan("obligations", after_at=at, after_id=last, limit=limit)
        return [
            Obligation(promise_id, settled_at, _listeners.decode(listeners), awaiters)
            for promise_id, settled_at, listeners, awaiters in rows
        ]

    # --- searches ---------------------------------------------------------------------------------

    async def promises(self, query: rq.PromiseSearchData, now: int, limit: int) -> Page[Promise]:
        """Walk along the ids, of one tree if it is named, or along the ages."""
        order = query.order or "id"
        walk = _BY[order]
        bindings = {**_filters(query, now), "state": query.state}
        if order == "id":
            bindings |= _ids(query.id_prefix, query.cursor)
            if query.tags and ORIGIN in query.tags:
                walk = "promises_of_tree"
                bindings["root"] = query.tags[ORIGIN]
        else:
            bindings["age"], bindings["age_id"] = age_bounds(query)
        return await self._page(walk, promise_decoder, limit, bindings)

    async def tasks(self, query: rq.TaskSearchData, now: int, limit: int) -> Page[Promise]:
        """Walk along the ids."""
        bindings = {**_ids(query.id_prefix, query.cursor), "state": query.state, "now": now}
        return await self._page("tasks_by_id", promise_decoder, limit, bindings)

    async def schedules(self, query: rq.ScheduleSearchData, limit: int) -> Page[Schedule]:
        """Walk along the ids."""
        bindings = {**_ids(query.id_prefix, query.cursor), "tags": _json(query.tags)}
        return await self._page("schedules_by_id", schedule_decoder, limit, bindings)

    async def _page(
        self, query: str, decoder: msgspec.json.Decoder[T], limit: int, bindings: dict[str, Any]
    ) -> Page[T]:
        def read(rows: Iterator[tuple[Any, ...]]) -> Page[T]:
            return page(((decoder.decode(text), len(text)) for (text,) in rows), limit)

        return await self._searcher.read(self._sql[query], {**bindings, "limit": limit + 1}, read)

    async def count_promises(self, query: rq.PromiseSearchData, now: int) -> dict[str, int]:
        """Walk along the ids."""
        return dict(await self._search("count_promises", **_filters(query, now)))

    async def count_tasks(self, query: rq.TaskSearchData, now: int) -> dict[str, int]:
        """Walk along the ids."""
        return dict(await self._search("count_tasks", **_ids(query.id_prefix, None), now=now))

    # --- everything -------------------------------------------------------------------------------

    async def expendable(self, after: str, before: int, limit: int) -> tuple[list[str], str | None]:
        """Walk along the ids."""
        ((until,),) = await self._search("page", after=after, limit=limit)
        if until is None:
            return [], None
        rows = await self._search("expendable", after=after, until=until, before=before)
        return [promise_id for (promise_id,) in rows], until

    async def snapshot(self) -> dict[Key, Stored]:
        """Read every committed object."""
        found: dict[Key, Stored] = {}
        for (text,) in await self._search("snapshot"):
            promise = promise_decoder.decode(text)
            found[promise.id] = promise
        for (text,) in await self._search("snapshot_schedules"):
            schedule = schedule_decoder.decode(text)
            found[schedule.key] = schedule
        return found

    async def _scan(self, query: str, **bindings: Any) -> list[tuple[Any, ...]]:
        return await self._scanner.read(self._sql[query], bindings, list)

    async def _search(self, query: str, **bindings: Any) -> list[tuple[Any, ...]]:
        return await self._searcher.read(self._sql[query], bindings, list)


_END = b""  # behind every id: SQLite sorts bytes behind texts
_BY = {"id": "promises_by_id", "newest": "promises_newest", "oldest": "promises_oldest"}


def _ids(prefix: str | None, cursor: str | None) -> dict[str, Any]:
    low, high = id_bounds(prefix, cursor)
    return {"low": low, "high": _END if high is None else high}


def _filters(query: rq.PromiseSearchData, now: int) -> dict[str, Any]:
    return {
        **_ids(query.id_prefix, None),
        "now": now,
        "tags": _json(query.tags),
        "root_only": bool(query.root_only),
        "created_from": query.created_from,
        "created_to": query.created_to,
        "settled_from": query.settled_from,
        "settled_to": query.settled_to,
    }


def _json(tags: dict[str, str] | None) -> str:
    return msgspec.json.encode(tags or {}).decode()
