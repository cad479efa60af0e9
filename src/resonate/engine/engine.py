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
from collections import Counter
from collections.abc import Callable, Coroutine

import msgspec

from resonate.core import machine, steps
from resonate.core.objects import Promise
from resonate.core.state import Objects, State
from resonate.engine.batches import (
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
from resonate.engine.delivery import Delivery
from resonate.engine.dispatch import Dispatch, Match
from resonate.engine.holders import Holders
from resonate.engine.members import Connection, Directory, Member, Terms
from resonate.engine.presence import Presence
from resonate.engine.queues import Queue
from resonate.engine.timers import Timers
from resonate.protocol import requests as rq
from resonate.protocol.errors import ServerError, StartError, Unavailable
from resonate.protocol.limits import (
    GRACE_MS,
    QUEUE_TASKS_MAX,
    STEP_OBJECTS_MAX,
    UNANSWERED_OFFERS_MAX,
)
from resonate.store.contract import Store

_RECOVERY_SECONDS = (0.25, 5.0)
_SCAN = 10_000
_OWN = rq.Head("server", rq.VERSION)  # head of requests that the server makes for a connection
_Take = Callable[[State, str], object]
log = logging.getLogger("resonate.engine")


class Engine:
    """One engine on one event loop and one store.

    ``server_url`` is told to workers in execute messages. ``grace_ms`` is how long a lost presence
    connection may take to come back.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock | None = None,
        server_url: str = "http://localhost:8001",
        grace_ms: int = GRACE_MS,
    ) -> None:
        self.problem: str | None = "starting"
        self._store = store
        self._clock = clock or Clock()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._admission = Admission(self._start_batch)
        self.directory = Directory()
        self._holders = Holders(self.directory)
        self._presence = Presence(self.directory, self._gone, grace_ms)
        self._timers = Timers(self._clock, self._load_due, self._fire, self._spawn)
        self._dispatch = Dispatch(
            self._clock, self.directory, look=self._look, read=self._read_queue
        )
        self._delivery = Delivery(
            self._clock,
            self.directory,
            self._dispatch,
            server_url=server_url,
            push=self._admission.push,
            release=self._release,
        )
        self._lapsed: Counter[str] = Counter()

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store and begin to serve; raises StartError."""
        await self._store.open()
        try:
            await self._build()
        except Unavailable as error:
            await self._store.close()
            raise StartError(str(error)) from error
        self._delivery.start()

    async def stop(self) -> None:
        """Take nothing new, finish what was begun, end all streams, close the store."""
        self._stopping.set()
        self.problem = "the server is shutting down"
        self._timers.stop()
        self._delivery.stop()
        self.directory.each(lambda member: member.connection.end())
        self._presence.stop()
        while self._tasks or self._admission.pending:
            await (asyncio.wait(self._tasks) if self._tasks else asyncio.sleep(0))
        await self._store.close()

    async def _build(self) -> None:
        """Build the indexes from the store; give every lease a full ttl."""
        await self._settled_store()
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
        if self._stopping.is_set():
            return
        self.problem = None  # only from here on are steps taken
        for step in todo:
            self._admission.push(step)
        self._timers.start()
        self.directory.each(self._welcome)
        self._admission.nudge()

    def _fail(self, error: Unavailable) -> None:
        """Serve nothing until the store works again."""
        if self.problem is not None:
            return
        log.error("stopped serving: %s", error)
        self.problem = str(error)
        self._forget()
        self._spawn(self._recover())

    def _forget(self) -> None:
        """Drop all indexes: they may know of what was never committed."""
        self._timers.stop()
        self._admission.drop_steps()
        self._dispatch.clear()
        self._delivery.unblocks.clear()
        self._holders.clear()

    async def _recover(self) -> None:
        wait, longest = _RECOVERY_SECONDS
        while not await self._is_stopping(wait):
            try:
                await self._store.recover()
                await self._build()
            except Unavailable as error:
                self._still_failing(str(error))
            except Exception as error:
                log.exception("recovery failed unexpectedly")
                self._still_failing(f"recovery failed ({error})")
            else:
                log.info("serving again")
                return
            wait = min(wait * 2, longest)

    def _still_failing(self, problem: str) -> None:
        self._forget()
        if not self._stopping.is_set():
            self.problem = problem

    async def _is_stopping(self, seconds: float) -> bool:
        """Wait a little; tell whether the server is to stop."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

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

        ``size`` is about how many bytes they hold: what waits is bounded by it.
        """
        if self.problem is not None:
            Call(requests, reply).fail(Unavailable(self.problem))
            return
        self._admission.submit([self._admit(request) for request in requests], reply, size)

    def _admit(self, request: rq.Request) -> rq.Request:
        """Take note of who is alive; write out a heartbeat for everything a pid holds."""
        if isinstance(request, rq.TaskHeartbeat):
            self._seen(request.data.pid)
            self._end_deaf(request.data.pid)
            if not request.data.tasks:
                held = self._holders.of(request.data.pid)
                refs = [rq.TaskRef(task_id, version) for task_id, version in held.items()]
                data = rq.TaskHeartbeatData(request.data.pid, refs)
                return msgspec.structs.replace(request, data=data)
        elif isinstance(request, rq.TaskAcquire | rq.TaskCreate):
            self._seen(request.data.pid)
        elif isinstance(request, rq.TaskFence | rq.TaskSuspend | rq.TaskFulfill | rq.TaskRelease):
            self._late(request.data.id, request.data.version)
        return request

    def _start_batch(self, batch: Batch) -> None:
        if self.problem is not None:
            self._fail_calls(batch, Unavailable(self.problem))
            return
        self._spawn(self._run(batch))

    async def _run(self, batch: Batch) -> None:
        try:
            await self._store.transact(batch.reads(), functools.partial(self._decide, batch))
        except ServerError as error:
            self._fail_calls(batch, error)
            if isinstance(error, Unavailable):
                raise
        except Exception as error:
            log.exception("a batch failed unexpectedly")
            self._fail_calls(batch, ServerError(f"{type(error).__name__}: {error}"))
            raise Unavailable("recovering from an internal error") from error
        else:
            for call in batch.calls:
                call.answer()
                self._admission.done(call)
            for act in batch.afterwards:
                guarded(act)

    def _fail_calls(self, batch: Batch, error: ServerError) -> None:
        for call in batch.calls:
            call.fail(error)
            self._admission.done(call)

    # --- deciding ---------------------------------------------------------------------------------

    def _decide(self, batch: Batch, objects: Objects) -> list[str]:
        state = State(objects, self._clock.now())
        for call in batch.calls:
            decide_call(call, state, self._store.uncommitted)
            self._learn_releases(call, state)
        for step in batch.steps:
            take_step(step, state)
        for promise_id, before in list(state.before.items()):
            self._see(batch, before, objects[promise_id], state.now)
        for step in batch.steps:
            self._show(batch, step, state)
        while (match := self._dispatch.next(state)) is not None:
            self._give(batch, match, state)
        self._report_lapsed()
        return list(state.before)

    def _see(self, batch: Batch, before: Promise | None, after: Promise | None, now: int) -> None:
        """Let every index take note of one change."""
        assert after is not None, "a changed object exists"
        self._timers.see(after, now)
        freed = self._holders.see(before, after)
        self._dispatch.see(before, after, now)
        if freed is not None:
            for member in self.directory.by_pid(freed):
                self._dispatch.freed(member)
        for address in self._delivery.unblocks.see(before, after):
            batch.afterwards.append(functools.partial(self._delivery.tell, after, address))
        if steps.is_unfinished(after):
            self._push(after.id, _drain)

    def _show(self, batch: Batch, step: Step, state: State) -> None:
        """Show an object that was stepped on to the indexes, changed or not."""
        promise = state.stored(step.promise_id)
        if promise is None or step.failed:
            return
        if step.promise_id not in state.before:
            self._timers.see(promise, state.now)
            self._dispatch.see(None, promise, state.now)
        if step.afterwards is not None:
            batch.afterwards.append(functools.partial(step.afterwards, promise))

    def _learn_releases(self, call: Call, state: State) -> None:
        for request, answer in zip(call.requests, call.answers, strict=True):
            if isinstance(request, rq.TaskRelease) and answer.status == 200:
                before = state.before.get(request.data.id)
                task = before.task if before is not None else None
                self._dispatch.released(request.data.id, task.pid if task is not None else None)
            elif isinstance(request, rq.TaskAcquire):
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
        data = rq.TaskAcquireData(promise_id, match.waiting.version, member.pid, member.terms.ttl)
        answer = machine.handle(rq.TaskAcquire(_OWN, data), state)
        assert answer.status == 200, "a ready task can be acquired"
        self._see(batch, before, state.stored(promise_id), state.now)
        batch.afterwards.append(functools.partial(self._delivery.claimed, member, answer.data))

    # --- connections ------------------------------------------------------------------------------

    def connect(self, group: str, pid: str, terms: Terms, connection: Connection) -> Member:
        """Take a connection in; an older one of the same group and pid is ended."""
        old = self.directory.find(group, pid)
        if old is not None:
            self.disconnect(old)
            old.connection.end()
        member = Member(group, pid, terms, connection)
        self.directory.add(member)
        member.held = len(self._holders.of(pid))
        self.directory.place(member)
        self._presence.opened(member)
        if self.problem is None:
            self._welcome(member)
        return member

    def disconnect(self, member: Member, *, recycled: bool = False) -> None:
        """A connection is gone. ``recycled``: the server itself ended it, it will be back."""
        if not member.open:
            return
        self.directory.remove(member)
        self._presence.closed(member)
        self._dispatch.left(member, recycled=recycled)
        self._admission.nudge()

    def pause(self, member: Member) -> None:
        """The connection's socket does not drain: nothing more is sent to it."""
        member.paused = True
        self.directory.place(member)

    def resume(self, member: Member) -> None:
        """The connection's socket has drained."""
        member.paused = False
        self.directory.place(member)
        self._dispatch.freed(member)
        self._delivery.tell_waiting(member)
        self._admission.nudge()

    def _welcome(self, member: Member) -> None:
        """Bring a member what waits for it."""
        self._dispatch.joined(member)
        self._delivery.tell_waiting(member)
        self._admission.nudge()

    def _seen(self, pid: str) -> None:
        """A request of the pid came in: whoever goes by it is alive."""
        self._presence.seen(pid)
        self._trust(pid)

    def _trust(self, pid: str) -> None:
        for member in self.directory.by_pid(pid):
            if member.suspect:
                member.suspect = False
                self.directory.place(member)
                self._dispatch.freed(member)

    def _late(self, task_id: str, version: int) -> None:
        """Take who still works on what it has lost for alive: it may hold nothing to renew."""
        pid = self._dispatch.loser(task_id, version)
        if pid is not None:
            self._trust(pid)

    def _end_deaf(self, pid: str) -> None:
        """End streams of a process that lives but answers no offer: it will connect anew."""
        for member in list(self.directory.by_pid(pid)):
            if member.unanswered >= UNANSWERED_OFFERS_MAX:
                log.warning("%s answers no offers: ending its stream", pid)
                self.disconnect(member)
                member.connection.end()

    def _gone(self, pid: str) -> bool:
        """The process is gone: everything it held goes to others."""
        if self.problem is not None:
            return self._stopping.is_set()
        held = self._holders.of(pid)
        if held:
            log.info("%s is gone: releasing %d leases", pid, len(held))
        for task_id, version in list(held.items()):
            self._release(task_id, version, pid)
        return True

    def _release(self, task_id: str, version: int, pid: str) -> None:
        take = functools.partial(self._release_lost, version=version, pid=pid)
        self._push(task_id, take)

    def _release_lost(self, state: State, promise_id: str, *, version: int, pid: str) -> None:
        if steps.release_lost(state, promise_id, version, pid):
            self._dispatch.lost(promise_id, pid, version)

    # --- steps ------------------------------------------------------------------------------------

    def _push(self, promise_id: str, take: _Take) -> None:
        self._admission.push(Step(promise_id, take))

    def _look(self, ids: list[str]) -> None:
        for promise_id in ids:
            self._push(promise_id, nothing)
        self._admission.nudge()

    def _fire(self, ids: list[str]) -> None:
        for promise_id in ids:
            self._push(promise_id, self._advance)

    def _advance(self, state: State, promise_id: str) -> None:
        before = state.stored(promise_id)
        steps.advance(state, promise_id)
        after = state.stored(promise_id)
        if before is None or after is before or before.task is None:
            return
        pid = before.task.pid
        if pid is not None and after is not None and after.state == "pending":
            self._lease_ran_out(promise_id, pid, before.task.version)

    def _lease_ran_out(self, promise_id: str, pid: str, version: int) -> None:
        self._lapsed[pid] += 1
        self._dispatch.lost(promise_id, pid, version)
        for member in self.directory.by_pid(pid):
            member.suspect = True
            self.directory.place(member)

    def _report_lapsed(self) -> None:
        for pid, count in self._lapsed.items():
            log.warning("%s was silent: its leases on %d tasks ran out", pid, count)
        self._lapsed.clear()

    # --- reading the store ------------------------------------------------------------------------

    async def _settled_store(self) -> None:
        """Wait until everything decided so far is durable, and so visible to scans."""
        await self._store.transact((), lambda _objects: ())

    async def _load_due(self, after: int, until: int, limit: int) -> list[tuple[int, str]]:
        await self._settled_store()
        return await self._store.due(after, until, limit)

    def _read_queue(self, queue: Queue) -> None:
        self._spawn(self._refill(queue))

    async def _refill(self, queue: Queue) -> None:
        await self._settled_store()
        now = self._clock.now()
        found = await self._store.ready(queue.route, queue.cursor, now, QUEUE_TASKS_MAX)
        self._dispatch.refilled(queue, found, whole=len(found) < QUEUE_TASKS_MAX)
        self._admission.nudge()


def _drain(state: State, promise_id: str) -> None:
    steps.drain(state, promise_id, STEP_OBJECTS_MAX)
