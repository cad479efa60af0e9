"""The engine: requests in, answers and messages out, everything durable in between.

How a batch goes: the store loads what it reads; calls and steps are decided on that state; the
indexes (holders, timers, queues, unblocks) take note of what changed; free members get ready tasks,
in the same batch; the store commits; then answers and messages leave.

When a commit fails, everything decided since is dropped, nothing is served until the store has
recovered, and the indexes are built anew from it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Coroutine

from resonate.core import steps
from resonate.core.objects import BranchOf, Key, Promise, is_ready
from resonate.core.tasks import HeartbeatOfAll
from resonate.engine import alone
from resonate.engine.alone import Alone
from resonate.engine.batches import Admission, Batch, Call, Reply, Step, drain, guarded, nothing
from resonate.engine.clock import Clock
from resonate.engine.connections import Connections
from resonate.engine.debugging import Debugging
from resonate.engine.decider import Decider, instant
from resonate.engine.delivery import Delivery
from resonate.engine.dispatch import Dispatch
from resonate.engine.firing import Firing
from resonate.engine.holders import Holders
from resonate.engine.members import Directory
from resonate.engine.push import Poster, Push
from resonate.engine.queues import Queue
from resonate.engine.recovery import Recovery
from resonate.engine.retention import Retention
from resonate.engine.timers import Timers
from resonate.engine.trace import Trace
from resonate.protocol import requests as rq
from resonate.protocol.addresses import POLLED, function_routes, is_pushed
from resonate.protocol.answers import Answer
from resonate.protocol.envelope import LENIENT, Rules
from resonate.protocol.errors import ServerError, StartError, Unavailable, told_as
from resonate.protocol.limits import (
    FUNCTION_QUEUES_MAX,
    GRACE_MS,
    PUSH_ADDRESSES_MAX,
    QUEUE_TASKS_MAX,
)
from resonate.store.contract import Store

_SCAN = 10_000
log = logging.getLogger("resonate.engine")


class Engine:
    """One engine on one event loop and one store.

    - ``server_url`` is told to workers in execute messages.
    - ``grace_ms`` is how long a lost presence connection may take to come back.
    - ``rules``: strict or lenient, debug operations or none.
    - ``poster`` sends to HTTP addresses; without one what is for them waits.
    - ``retention_ms``: settled promises are deleted after this time; None: never.
    - ``trace`` is written to when it is given.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock | None = None,
        server_url: str = "http://localhost:8001",
        grace_ms: int = GRACE_MS,
        rules: Rules = LENIENT,
        poster: Poster | None = None,
        retention_ms: int | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.problem: str | None = "starting"
        self.rules = rules
        self._store = store
        self._clock = clock or Clock()
        self._stopping = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], None] = {}  # in order: sets of objects have none
        self._admission = Admission(self._start_batch)
        push = self._admission.push
        self.directory = Directory()
        self._holders = Holders(self.directory)
        self._dispatch = Dispatch(
            self._clock,
            self.directory,
            look=self._look,
            read=self._read_queue,
            find=self._find_functions,
        )
        self._firing = Firing(self._clock, self.directory, self._dispatch, push)
        self._timers = Timers(self._clock, self._load_due, self._firing.fire, self._spawn)
        self.connections = Connections(
            self.directory,
            self._holders,
            self._dispatch,
            lambda: self._delivery,  # made below: the two know each other
            self._admission,
            grace_ms=grace_ms,
            serving=lambda: self.problem is None,
            stopping=self._stopping.is_set,
        )
        self._push = Push(
            poster,
            self.directory,
            self._dispatch,
            push=push,
            nudge=self._admission.nudge,
            delivery=lambda: self._delivery,
            starved=self._look_for_addresses,
        )
        self._delivery = Delivery(
            self._clock,
            self.directory,
            self._dispatch,
            server_url=server_url,
            push=push,
            release=self.connections.release,
            tell_address=self._push.tell,
        )
        self._recovery = Recovery(store, self._build, self._forget, self._stopping)
        self._trace = trace
        debugging = self._make_debugging()
        self._decider = Decider(
            self._clock,
            rules,
            debugging,
            uncommitted=store.uncommitted,
            wants=self._push.wants,
            admission=self._admission,
            directory=self.directory,
            holders=self._holders,
            dispatch=self._dispatch,
            timers=self._timers,
            firing=self._firing,
            delivery=self._delivery,
        )
        self._alone = Alone(
            store,
            debugging,
            trace,
            spawn=self._spawn,
            carry_out=self._carry_out,
            problem=lambda: self.problem,
            durable=self._all_durable,
            instant=self._instant,
        )
        self._retention = None if retention_ms is None else self._make_retention(retention_ms)

    def _make_debugging(self) -> Debugging | None:
        if not self.rules.debug:
            return None
        return Debugging(
            self._store,
            strict=self.rules.strict,
            run=self._run,
            pause=self._pause,
            rebuild=self._rebuild,
        )

    def _make_retention(self, retention_ms: int) -> Retention:
        return Retention(
            self._store,
            self._clock,
            retention_ms,
            run=self._run,
            failed=self._fail,
            serving=lambda: self.problem is None,
        )

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store and begin to serve; raises StartError."""
        if self._trace is not None:
            self._trace.open()
        try:
            await self._open()
        except StartError:
            if self._trace is not None:
                self._trace.close()
            raise
        self._delivery.start()
        if self._retention is not None:
            self._spawn(self._retention.run(self._stopping))

    async def _open(self) -> None:
        await self._store.open()
        try:
            await self._build()
        except Unavailable as error:
            await self._store.close()
            raise StartError(str(error)) from error

    async def stop(self) -> None:
        """Take nothing new, finish what was begun, end all streams, close the store."""
        self._stopping.set()
        self.problem = "the server is shutting down"
        self._timers.stop()
        self._delivery.stop()
        self._push.clear()
        self.connections.end()
        await self._push.stop()
        while self._tasks or self._admission.pending:
            await (asyncio.wait(self._tasks) if self._tasks else asyncio.sleep(0))
        await self._store.close()
        if self._trace is not None:
            self._trace.close()

    async def _build(self) -> None:
        """Build the indexes from the store; give every lease a full ttl."""
        await self._all_durable()
        todo: list[Step] = []
        after = ""
        while held := await self._store.held(after, _SCAN):
            for each in held:
                self._holders.add(each.pid, each.id, each.version)
                todo.append(Step(each.id, steps.renew))
            after = held[-1].id
        beyond = (-1, "")
        while found := await self._store.obligations(beyond, _SCAN):
            for obligation in found:
                for address in obligation.listeners:
                    self._delivery.unblocks.add(obligation.id, address, obligation.settled_at)
                if obligation.awaiters:
                    todo.append(drain(obligation.id))
            beyond = (found[-1].settled_at, found[-1].id)
        routes = await self._waited_for()
        if self._stopping.is_set():
            return
        self.problem = None  # only from here on are steps taken
        for step in todo:
            self._admission.push(step)
        if not self._decider.paused:
            self._go_on(routes)

    def _go_on(self, routes: list[str]) -> None:
        """Let time pass, and messages leave."""
        self._timers.start()
        self.directory.each(self.connections.welcome)
        for route in routes:
            self._push.wants(route)
        self._admission.nudge()

    def _fail(self, error: Unavailable) -> None:
        """Serve nothing until the store works again."""
        if self.problem is not None:
            return
        log.error("stopped serving: %s", error)
        self.problem = str(error)
        self._forget()
        self._spawn(self._recovery.run(self._still_failing))

    def _still_failing(self, problem: str) -> None:
        if not self._stopping.is_set():
            self.problem = problem

    def _forget(self) -> None:
        """Drop all indexes: they may know of what was never committed."""
        self._timers.stop()
        self._admission.drop_steps()
        self._push.clear()
        self._dispatch.clear()
        self._delivery.unblocks.clear()
        self._holders.clear()

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(coroutine))
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def _guard(self, coroutine: Coroutine[None, None, None]) -> None:
        try:
            await coroutine
        except Unavailable as error:
            self._fail(error)
        except Exception as error:
            log.exception("something failed unexpectedly")
            self._fail(Unavailable(f"recovering from an internal error ({error})"))

    # --- requests ---------------------------------------------------------------------------------

    def submit(self, requests: list[rq.Request], reply: Reply, size: int = 0) -> None:
        """Carry out ``requests`` in order, in one commit; ``reply`` gets their answers, once.

        ``size`` is about how many bytes they hold: what waits is bounded by it. A search among them
        stands between two commits (``engine.alone``).
        """
        if self.problem is not None:
            Call(requests, reply).fail(Unavailable(self.problem))
        elif not alone.KINDS.isdisjoint(map(type, requests)):
            self._alone.submit(Call(requests, reply, size))
        else:
            self._admission.submit([self._admit(request) for request in requests], reply, size)

    async def _carry_out(self, requests: list[rq.Request], size: int) -> list[Answer]:
        """Have a part of a body decided in a batch; return the answers once they are durable."""
        answered: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._admission.submit(list(map(self._admit, requests)), answered.set_result, size)
        return await answered

    def _instant(self, request: rq.Request) -> int:
        return instant(self._clock, self.rules, request)

    def _admit(self, request: rq.Request) -> rq.Request:
        """Take note of who is alive; write out a heartbeat for everything a pid holds."""
        self.connections.notice(request)
        if type(request) is not rq.TaskHeartbeat or request.data.tasks or self.rules.strict:
            return request
        held = self._holders.of(request.data.pid)
        refs = [rq.TaskRef(task_id, version) for task_id, version in held.items()]
        return HeartbeatOfAll(request.head, rq.TaskHeartbeatData(request.data.pid, refs))

    def _start_batch(self, batch: Batch) -> None:
        if self.problem is not None:
            self._fail_calls(batch, Unavailable(self.problem))
            return
        self._spawn(self._run(batch))

    async def _run(self, batch: Batch) -> None:
        place = None if self._trace is None else self._trace.place()
        failed = True
        try:
            decide = functools.partial(self._decider.decide, batch)
            await self._store.transact(batch.reads(), decide)
            failed = False
        except ServerError as error:
            self._fail_calls(batch, error)
            if isinstance(error, Unavailable):
                raise
        except Exception as error:
            log.exception("a batch failed unexpectedly")
            self._fail_calls(batch, told_as(error))
            raise Unavailable("recovering from an internal error") from error
        else:
            for call in batch.calls:
                call.answer()
                self._admission.done(call)
            for act in batch.afterwards:
                guarded(act)
        finally:
            if self._trace is not None and place is not None:
                for call in batch.calls:
                    place.add(call)
                self._trace.done(place, failed=failed)

    def _fail_calls(self, batch: Batch, error: ServerError) -> None:
        for call in batch.calls:
            call.fail(error)
            self._admission.done(call)

    # --- debugging --------------------------------------------------------------------------------

    def _pause(self, paused: bool) -> None:
        """Stop timers and delivery, or start them again."""
        if paused == self._decider.paused:
            return
        self._decider.paused = self._delivery.paused = paused
        if paused:
            self._timers.stop()
            self._push.clear()
        else:
            self._go_on([])
            self._look_for_addresses()

    async def _rebuild(self) -> None:
        self._forget()
        await self._build()

    # --- reading the store ------------------------------------------------------------------------

    async def _all_durable(self) -> None:
        """Wait until everything decided so far is durable, and so visible to scans."""
        await self._store.transact((), lambda _objects: ())

    def _look(self, ids: list[str]) -> None:
        for promise_id in ids:
            self._admission.push(Step(promise_id, nothing, also=(BranchOf(promise_id),)))
        self._admission.nudge()

    async def _load_due(self, after: int, until: int, limit: int) -> list[tuple[int, Key]]:
        await self._all_durable()
        return await self._store.due(after, until, limit)

    def _read_queue(self, queue: Queue) -> None:
        self._spawn(self._refill(queue))

    async def _refill(self, queue: Queue) -> None:
        await self._all_durable()
        now = self._clock.now()
        found = await self._store.ready(queue.route, queue.cursor, now, QUEUE_TASKS_MAX)
        self._dispatch.refilled(queue, found, whole=len(found) < QUEUE_TASKS_MAX)
        self._admission.nudge()

    def _find_functions(self, group: str) -> None:
        if self.problem is None:
            self._spawn(self._look_for_functions(group))

    async def _look_for_functions(self, group: str) -> None:
        """Look once round for functions of a group that are waited for, while there is room."""
        start, epoch = self._dispatch.look_from(group)
        await self._all_durable()
        low, high = function_routes(group)
        start = start or low
        for after, until in ((start, high), (low, start + "\x00")):
            while found := await self._store.routes(after, until, FUNCTION_QUEUES_MAX):
                going_on = self._dispatch.found(group, after, found, epoch)
                self._admission.nudge()
                if not going_on:
                    return
                after = found[-1]  # noqa: PLW2901  # the next page

    def _want_address(self, promise: Promise, now: int) -> None:
        route = promise.route
        if route is None or not is_pushed(route) or self._decider.paused:
            return
        if is_ready(promise, now):
            self._push.wants(route)

    def _look_for_addresses(self) -> None:
        self._spawn(self._find_addresses())

    async def _find_addresses(self) -> None:
        await self._all_durable()
        for route in await self._waited_for():
            self._push.wants(route)

    async def _waited_for(self) -> list[str]:
        """Return HTTP addresses that something waits for: one too many, if there are too many."""
        tasks = await self._store.routes("", POLLED, PUSH_ADDRESSES_MAX + 1)
        return [*tasks, *self._delivery.unblocks.pushed()]
