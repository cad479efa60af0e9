"""Debug operations (section 5.4): time stands still until it is told to pass.

Only with ``--debug``. Between ``debug.start`` and ``debug.stop`` no timer fires and nothing is
delivered; ``debug.tick`` takes all internal steps that are enabled at an instant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from resonate.core import steps
from resonate.core.objects import Key, Promise, Stored, due, is_external
from resonate.core.state import State
from resonate.engine.batches import Batch, Step, drain
from resonate.engine.firing import fire_schedule
from resonate.engine.outbox import Outbox
from resonate.protocol import requests as rq
from resonate.protocol.answers import NOTHING, Answer
from resonate.store.contract import Store

KINDS: frozenset[type[rq.Request]] = frozenset(rq.DebugRequest.__args__)


class Debugging:
    """Carries out debug operations.

    ``run`` decides and commits a batch; ``pause`` stops timers and delivery or starts them again;
    ``rebuild`` builds the indexes from the store.
    """

    def __init__(
        self,
        store: Store,
        *,
        strict: bool,
        run: Callable[[Batch], Awaitable[None]],
        pause: Callable[[bool], None],
        rebuild: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._strict = strict
        self._run = run
        self._pause = pause
        self._rebuild = rebuild
        self.outbox = Outbox()

    async def carry_out(self, request: rq.Request) -> Answer:
        """Answer a debug request; raises Unavailable."""
        if isinstance(request, rq.DebugSnap):
            objects = await self._objects()
            return Answer(200, self.outbox.snapshot(objects, strict=self._strict))
        if isinstance(request, rq.DebugTick):
            await self._tick(request.data.time)
            return Answer(200, [])
        if isinstance(request, rq.DebugReset):
            await self._store.reset()
            self.outbox.clear()
            await self._rebuild()
        else:
            self._pause(isinstance(request, rq.DebugStart))
        return Answer(200, NOTHING)

    def post(self, before: dict[Key, Any], state: State) -> None:
        """Post the tasks that a request has made due, on the objects that it changed (I5)."""
        for key, first in state.before.items():
            stored = state.objects[key]
            if stored is not before.get(key, first):
                self.outbox.see(stored, state.now)

    async def _objects(self) -> list[Stored]:
        await self._store.transact((), lambda _objects: ())
        return list((await self._store.snapshot()).values())

    def _enabled(self, stored: Stored, now: int) -> Step | None:
        """Return the step that is enabled on an object (I1, I3, I4, I6); I2 and I5 only post."""
        if not isinstance(stored, Promise):
            return fire_schedule(stored, now)
        if steps.is_unfinished(stored):
            return drain(stored.id)
        instant = due(stored, now=now)
        if instant is None or instant > now or (self._strict and not is_external(stored)):
            return None
        return Step(stored.id, steps.advance)

    async def _tick(self, now: int) -> None:
        before: list[Stored] = []
        while (objects := await self._objects()) != before:  # a step that raises changes nothing
            todo = [step for each in objects if (step := self._enabled(each, now)) is not None]
            if todo:
                await self._run(Batch([], todo, now))
            before = objects
        for each in objects:
            self.outbox.see(each, now)
