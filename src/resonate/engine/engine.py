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

from resonate.core import machine, steps
from resonate.core.objects import BranchOf, Key, Promise, Schedule, is_external, is_ready
from resonate.core.state import Objects, State
from resonate.core.tasks import HeartbeatOfAll
from resonate.engine import debugging, searches
from resonate.engine.batches import (
    TOO_LARGE,
    Admission,
    Batch,
    Call,
    Reply,
    Step,
    decide_call,
    guarded,
    nothing,
    take_step,
)
from resonate.engine.clock import Clock
from resonate.engine.connections import Connections
from resonate.engine.debugging import Debugging
from resonate.engine.delivery import Delivery
from resonate.engine.dispatch import Dispatch, Match
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
from resonate.protocol.addresses import is_pushed
from resonate.protocol.answers import Answer
from resonate.protocol.answers import size as answer_size
from resonate.protocol.envelope import LENIENT, Rules
from resonate.protocol.errors import Overloaded, ServerError, StartError, Unavailable
from resonate.protocol.limits import (
    ANSWER_BYTES_MAX,
    GRACE_MS,
    PUSH_ADDRESSES_MAX,
    QUEUE_TASKS_MAX,
    SEARCHES_MAX,
    STEP_OBJECTS_MAX,
)
from resonate.store.contract import Store

_SCAN = 10_000
_OWN = rq.Head("server", rq.VERSION)  # head of requests that the server makes for a connection
_ALONE = searches.KINDS | debugging.KINDS  # kinds that are no part of a batch
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
        self._tasks: set[asyncio.Task[None]] = set()
        self._admission = Admission(self._start_batch)
        push = self._admission.push
        self.directory = Directory()
        self._holders = Holders(self.directory)
        self._dispatch = Dispatch(
            self._clock, self.directory, look=self._look, read=self._read_queue
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
            waiting=self._waiting_for,
            told=self._told,
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
        self._searching = 0
        self._search_turn = asyncio.Lock()
        self._trace = trace
        self._paused = False
        self._debugging: Debugging | None = None
        if rules.debug:
            self._debugging = Debugging(
                store,
                strict=rules.strict,
                run=self._run,
                pause=self._pause,
                rebuild=self._rebuild,
            )
        self._retention: Retention | None = None
        if retention_ms is not None:
            self._retention = Retention(
                store,
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
                    todo.append(Step(obligation.id, _drain))
            beyond = (found[-1].settled_at, found[-1].id)
        routes = await self._waited_for()
        if self._stopping.is_set():
            return
        self.problem = None  # only from here on are steps taken
        for step in todo:
            self._admission.push(step)
        if not self._paused:
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
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
        stands between two commits (``engine.searches``).
        """
        if self.problem is not None:
            Call(requests, reply).fail(Unavailable(self.problem))
        elif not _ALONE.isdisjoint(map(type, requests)):
            self._submit_parts(Call(requests, reply), size)
        else:
            self._admission.submit([self._admit(request) for request in requests], reply, size)

    def _submit_parts(self, call: Call, size: int) -> None:
        if self._searching >= SEARCHES_MAX:
            call.fail(Overloaded("too many searches are waiting, try again in a second"))
            return
        self._searching += 1
        self._spawn(self._carry_out_parts(call, size))

    async def _carry_out_parts(self, call: Call, size: int) -> None:
        room = ANSWER_BYTES_MAX
        try:
            for part in searches.parts(call.requests, _ALONE):
                if room < 0:
                    call.answers += [TOO_LARGE] * len(part)
                    continue
                answers = await self._carry_out(part, size)
                call.answers += answers
                room -= sum(map(answer_size, answers))
        except Exception as error:
            told = _told_as(error)
            missing = len(call.requests) - len(call.answers)
            call.answers += [Answer(told.status, told.text())] * missing
            if told is not error or (isinstance(error, Unavailable) and self.problem is None):
                raise
        finally:
            self._searching -= 1
            call.answer()

    async def _carry_out(self, part: list[rq.Request], size: int) -> list[Answer]:
        if self.problem is not None:
            raise Unavailable(self.problem)
        now = self._instant(part[0])
        if type(part[0]) in searches.KINDS:
            answer = await self._search(part[0], now)
        elif type(part[0]) in debugging.KINDS:
            assert self._debugging is not None, "the door lets debug operations pass only with it"
            answer = await self._debugging.carry_out(part[0])
        else:
            answered: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
            self._admission.submit(
                [self._admit(request) for request in part], answered.set_result, size
            )
            return await answered
        if self._trace is not None:
            place = self._trace.place()
            place.note(part[0], answer, now)
            self._trace.done(place)
        return [answer]

    async def _search(self, request: rq.Request, now: int) -> Answer:
        """Search when it is its turn: what waits when the server stops need not be searched."""
        async with self._search_turn:
            if self.problem is not None:
                raise Unavailable(self.problem)
            await self._all_durable()
            return await searches.search(self._store, request, now)

    def _instant(self, request: rq.Request) -> int:
        """Return the instant of a request: the clock's, unless it names another to debug."""
        given = request.head.debug_time if self.rules.debug else None
        return self._clock.now() if given is None else int(given)

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
            await self._store.transact(batch.reads(), functools.partial(self._decide, batch))
            failed = False
        except ServerError as error:
            self._fail_calls(batch, error)
            if isinstance(error, Unavailable):
                raise
        except Exception as error:
            log.exception("a batch failed unexpectedly")
            self._fail_calls(batch, _told_as(error))
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

    # --- deciding ---------------------------------------------------------------------------------

    def _decide(self, batch: Batch, objects: Objects) -> list[Key]:
        now = self._clock.now() if batch.now is None else batch.now
        state = State(objects, now, strict=self.rules.strict)
        for call in batch.calls:
            self._decide_call(call, state, now)
        state.now = now
        for step in batch.steps:
            take_step(step, state)
        for key, before in list(state.before.items()):
            self._see(batch, key, before, objects[key], now)
        for step in batch.steps:
            self._show(batch, step, state)
        while not self._paused and (match := self._dispatch.next(state)) is not None:
            self._give(batch, match, state)
        self._firing.report()
        return list(state.before)

    def _decide_call(self, call: Call, state: State, now: int) -> None:
        if self._debugging is None:
            decide_call(call, state, self._store.uncommitted)
        else:
            state.now = call.now = self._instant(call.requests[0])
            before = dict(state.objects)
            decide_call(call, state, self._store.uncommitted)
            self._debugging.post(before, state)
        call.now = now if call.now is None else call.now
        self._learn_releases(call, state)

    def _see(self, batch: Batch, key: Key, before: object, after: object, now: int) -> None:
        """Let every index take note of one change."""
        if not isinstance(after, Promise):  # a schedule, or deleted
            self._timers.see(key, after if isinstance(after, Schedule) else None, now)
            return
        assert before is None or isinstance(before, Promise), "a key leads to one kind of object"
        self._arm(after, now)
        freed = self._holders.see(before, after)
        self._dispatch.see(before, after, now)
        if freed is not None:
            for member in self.directory.by_pid(freed):
                self._dispatch.freed(member)
        if after.state != "pending":
            for address in self._delivery.unblocks.see(before, after):
                batch.afterwards.append(functools.partial(self._delivery.tell, after, address))
            if after.callbacks:
                self._admission.push(Step(after.id, _drain))
        elif after.route is not None:
            self._want_address(after, now)

    def _arm(self, promise: Promise, now: int) -> None:
        """Set the promise's timer; in strict mode an internal one has none (section 3.5)."""
        armed = not self.rules.strict or is_external(promise)
        self._timers.see(promise.id, promise if armed else None, now)

    def _waiting_for(self, address: str) -> list[str]:
        return self._delivery.unblocks.pushed_to(address)

    def _told(self, promise: Promise, address: str) -> None:
        self._delivery.told(promise, address)

    def _show(self, batch: Batch, step: Step, state: State) -> None:
        """Show an object that was stepped on to the indexes, changed or not."""
        stored = state.objects[step.key]
        if isinstance(stored, tuple) or step.failed:
            return
        if step.key not in state.before and isinstance(stored, Promise):
            self._arm(stored, state.now)
            self._dispatch.see(None, stored, state.now)
            self._want_address(stored, state.now)
        if step.afterwards is not None:
            batch.afterwards.append(functools.partial(step.afterwards, stored))

    def _learn_releases(self, call: Call, state: State) -> None:
        for request, answer in zip(call.requests, call.answers, strict=True):
            if type(request) is rq.TaskRelease and answer.status == 200:
                before = state.before.get(request.data.id)
                task = before.task if isinstance(before, Promise) else None
                pid = task.pid if task is not None else None
                route = before.route if isinstance(before, Promise) else None
                self._dispatch.released(request.data.id, pid, route)
            elif type(request) is rq.TaskAcquire:
                for member in self.directory.by_pid(request.data.pid):
                    self._dispatch.answered(member)

    def _give(self, batch: Batch, match: Match, state: State) -> None:
        """Claim the task for the member, or offer it; the message leaves after the commit."""
        member, promise_id = match.member, match.waiting.id
        if not member.terms.claim:
            offer = self._dispatch.offer(match)
            batch.afterwards.append(functools.partial(self._delivery.offer, offer))
            return
        before = state.stored(promise_id)
        if not state.knows(BranchOf(promise_id)):
            state.objects[BranchOf(promise_id)] = ()  # a first lease, or no branch
        data = rq.TaskAcquireData(promise_id, match.waiting.version, member.pid, member.terms.ttl)
        answer = machine.handle(rq.TaskAcquire(_OWN, data), state)
        assert answer.status == 200, "a ready task can be acquired"
        self._see(batch, promise_id, before, state.stored(promise_id), state.now)
        batch.afterwards.append(functools.partial(self._delivery.claimed, member, answer.data))

    # --- debugging --------------------------------------------------------------------------------

    def _pause(self, paused: bool) -> None:
        """Stop timers and delivery, or start them again."""
        if paused == self._paused:
            return
        self._paused = self._delivery.paused = paused
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

    def _want_address(self, promise: Promise, now: int) -> None:
        route = promise.route
        if route is None or not is_pushed(route) or self._paused:
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
        tasks = await self._store.pushed("", PUSH_ADDRESSES_MAX + 1)
        return [*tasks, *self._delivery.unblocks.pushed()]


def _drain(state: State, promise_id: str) -> None:
    steps.drain(state, promise_id, STEP_OBJECTS_MAX)


def _told_as(error: Exception) -> ServerError:
    """Return the error that a client is told of."""
    if isinstance(error, ServerError):
        return error
    return ServerError(f"{type(error).__name__}: {error}")
