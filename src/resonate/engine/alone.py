"""Searches and debug operations: requests that are no part of a batch.

Rules:
- In a body with several requests each of them stands between two commits: what comes before it in
  the body is durable first, what comes behind it is decided afterwards.
- Searches take turns; when the server stops, those that wait are not searched any more.
- Bounded: so many bodies with such requests wait, the next is answered 503 at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator

from resonate.engine import debugging, searches
from resonate.engine.batches import TOO_LARGE, Call
from resonate.engine.debugging import Debugging
from resonate.engine.trace import Trace
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.answers import size as answer_size
from resonate.protocol.errors import Overloaded, Unavailable, told_as
from resonate.protocol.limits import ANSWER_BYTES_MAX, SEARCHES_MAX
from resonate.store.contract import Store

KINDS = searches.KINDS | debugging.KINDS


class Alone:
    """Carries out bodies that have requests of ``KINDS`` in them.

    ``spawn`` runs a coroutine in the background; ``carry_out`` has requests decided in a batch;
    ``problem`` tells why nothing is served; ``durable`` waits until everything decided so far is;
    ``instant`` gives that of a request.
    """

    def __init__(
        self,
        store: Store,
        debugging: Debugging | None,
        trace: Trace | None,
        *,
        spawn: Callable[[Coroutine[None, None, None]], None],
        carry_out: Callable[[list[rq.Request], int], Awaitable[list[Answer]]],
        problem: Callable[[], str | None],
        durable: Callable[[], Awaitable[None]],
        instant: Callable[[rq.Request], int],
    ) -> None:
        self._store = store
        self._debugging = debugging
        self._trace = trace
        self._spawn = spawn
        self._carry_out = carry_out
        self._problem = problem
        self._durable = durable
        self._instant = instant
        self._waiting = 0
        self._turn = asyncio.Lock()

    def submit(self, call: Call) -> None:
        """Carry out a body, or answer 503 at once."""
        if self._waiting >= SEARCHES_MAX:
            call.fail(Overloaded("too many searches are waiting, try again in a second"))
            return
        self._waiting += 1
        self._spawn(self._carry_out_parts(call))

    async def _carry_out_parts(self, call: Call) -> None:
        room = ANSWER_BYTES_MAX
        try:
            for part in _parts(call.requests):
                if room < 0:
                    call.answers += [TOO_LARGE] * len(part)
                    continue
                answers = await self._carry_out_part(part, call.size)
                call.answers += answers
                room -= sum(map(answer_size, answers))
        except Exception as error:
            told = told_as(error)
            missing = len(call.requests) - len(call.answers)
            call.answers += [Answer(told.status, told.text())] * missing
            if told is not error or (isinstance(error, Unavailable) and self._problem() is None):
                raise
        finally:
            self._waiting -= 1
            call.answer()

    async def _carry_out_part(self, part: list[rq.Request], size: int) -> list[Answer]:
        self._hold_served()
        now = self._instant(part[0])
        if type(part[0]) in searches.KINDS:
            answer = await self._search(part[0], now)
        elif type(part[0]) in debugging.KINDS:
            assert self._debugging is not None, "the door lets debug operations pass only with it"
            answer = await self._debugging.carry_out(part[0])
        else:
            return await self._carry_out(part, size)
        if self._trace is not None:
            place = self._trace.place()
            place.note(part[0], answer, now)
            self._trace.done(place)
        return [answer]

    async def _search(self, request: rq.Request, now: int) -> Answer:
        async with self._turn:
            self._hold_served()
            await self._durable()
            return await searches.search(self._store, request, now)

    def _hold_served(self) -> None:
        problem = self._problem()
        if problem is not None:
            raise Unavailable(problem)


def _parts(requests: list[rq.Request]) -> Iterator[list[rq.Request]]:
    """Yield the requests in order: each of ``KINDS`` by itself, what is between together."""
    together: list[rq.Request] = []
    for request in requests:
        if type(request) not in KINDS:
            together.append(request)
            continue
        if together:
            yield together
            together = []
        yield [request]
    if together:
        yield together
