"""The harness: a server, workers and time of their own for one test."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from resonate.local import LocalServer
from resonate.protocol import requests as rq
from resonate.protocol.records import SettleState, Value
from resonate.sdk import codec
from resonate.sdk.async_resonate import AsyncResonate
from resonate.sdk.checks import (
    check_number,
    check_seconds,
    check_text,
    check_text_or_none,
)
from resonate.sdk.client import Client
from resonate.sdk.handle import Handle
from resonate.sdk.resonate import Resonate
from resonate.testing import records
from resonate.testing.checks import check_error, checked_groups, checked_write
from resonate.testing.errors import HarnessError, UnusedRuleError
from resonate.testing.front import Caller, Front
from resonate.testing.kills import Kill, Kills
from resonate.testing.lines import Line
from resonate.testing.log import Log
from resonate.testing.machine import Machines, VirtualMachine
from resonate.testing.records import RecordedStep
from resonate.testing.rules import Rules
from resonate.testing.stage import Stage

START = datetime(2026, 1, 1, tzinfo=UTC)
_TTL_SECONDS = 3_000_000_000  # about a century: no lease ends because time was moved
_END_SECONDS = 1.0  # that functions on threads may take to come to their end
_CALLER = "test"


class Harness:
    """Runs workflows in this process, in memory and in virtual time; used as a ``with`` block.

    - ``resonate``: whose functions, dependencies, group and encoder are used; by default none.
      Nothing is sent to its server.
    - ``groups``: further groups to have a worker for; each knows all functions.
    - ``start``: the time in the beginning; 2026-01-01 00:00 UTC by default.
    - ``patience``: real seconds that a wait may take, 30 by default: for functions that block.

    Time stands still while anything runs. It moves when the test waits (``handle.result()``) and
    nothing runs: to the next instant at which something is due; and with ``advance``. Every method
    first lets happen all that can happen without that, so what the test sees is always the same.
    ``register`` is that of ``resonate``. Safe to use from any thread.

    A rule (``fail``, ``stub``, ``kill_after``, ``kill_before``) that never applied, be it that its
    name is mistyped, raises UnusedRuleError at the end of the block, unless the block raises or the
    rule is ``optional``. Raises TypeError and ValueError for arguments that are none.
    """

    def __init__(
        self,
        resonate: Resonate | AsyncResonate | None = None,
        *,
        groups: Iterable[str] = (),
        start: datetime = START,
        patience: float = 30.0,
    ) -> None:
        if resonate is not None and not isinstance(resonate, Resonate | AsyncResonate):
            wanted = "`Resonate | AsyncResonate | None`"
            raise TypeError(f"resonate must be {wanted}, got {type(resonate).__name__}")
        groups = checked_groups(groups)
        if not isinstance(start, datetime):
            raise TypeError(f"start must be `datetime`, got {type(start).__name__}")
        check_seconds("patience", patience)
        shared = None if resonate is None else resonate._shared  # noqa: SLF001  # of one package
        self._rules = Rules(None if shared is None else shared.registry)
        self._stage = Stage(int(start.timestamp() * 1000), patience)
        self._machines = Machines(self._stage, self._rules)
        made = Front.local(
            group="default" if shared is None else shared.group,
            registry=self._rules,
            dependencies=None if shared is None else shared.dependencies,
            encoder=None if shared is None else shared.encoder,
            ttl=_TTL_SECONDS,
        )
        assert isinstance(made, Front), "it makes what it is called on"
        self._front = made
        self.register = made.register  # with all its overloads
        self._front.shared.machine = VirtualMachine(self._machines, None)
        self._server = LocalServer(self._stage.server_seconds, grace_ms=0)
        self._kills = Kills(self._server.promise)
        self._groups = [self._front.group, *(each for each in groups if each != made.group)]
        self._workers: dict[str, _Worker] = {}
        self._ever: list[_Worker] = []
        self._line: Line | None = None
        self._caller: Caller | None = None
        self._log = Log()

    def __enter__(self) -> Self:
        """Begin: from now on workers take what is called."""
        if self._caller is not None:
            raise HarnessError("a harness is used once: make another")
        stage = self._stage
        stage.instants, stage.recorded = self._instants, lambda: len(self._kills.writes)
        stage.timers, stage.explain = self._machines.timers, self._explain
        logging.getLogger("resonate").addHandler(self._log)
        line = self._line = Line(self._server)
        self._caller = self._front.shared.caller(lambda: line, _CALLER, self)
        for group in self._groups:
            self._start_worker(group)
        stage.calm()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything, and forget it.

        Raises UnusedRuleError for rules that never applied, unless the block raises.
        """
        if kind is None and self._unused():
            self.calm()
        unused = self._unused() if kind is None else []
        logging.getLogger("resonate").removeHandler(self._log)
        with self._log.muting():
            self._end()
        if unused:
            raise UnusedRuleError("\n".join(unused))

    # --- using it ---------------------------------------------------------------------------------

    @property
    def resonate(self) -> Resonate:
        """Return a Resonate whose server, workers and time are those of the harness."""
        return self._front

    def begin(
        self, id: str, func: Callable[..., Any] | str, /, *args: Any, **kw: Any
    ) -> Handle[Any]:
        """Call a function by an id, let happen what can happen at once, and return its handle.

        The same as ``harness.resonate.begin_rpc``. ``handle.result()`` lets time pass; it raises
        StuckError when nothing is left that could happen, and says what is waited for.
        ``handle.result(timeout)`` waits for ``timeout`` virtual seconds.
        """
        handle = self._front.begin_rpc(id, func, *args, **kw)
        self.calm()
        return handle

    def run(self, id: str, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function by an id and return its result: ``begin(...).result()``."""
        return self.begin(id, func, *args, **kwargs).result()

    @property
    def now(self) -> float:
        """Return the virtual time, seconds since the epoch."""
        return self._stage.seconds()

    def advance(self, seconds: float | timedelta) -> None:
        """Let time pass, and happen whatever is due in it.

        Raises TypeError for what is no number, ValueError for less than nothing, and for ever.
        """
        given = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        if not isinstance(given, int | float) or isinstance(given, bool):
            raise TypeError(f"seconds must be `float | timedelta`, got {type(seconds).__name__}")
        if not given >= 0:
            raise ValueError("seconds must be greater than or equal to zero")
        if math.isinf(given):
            raise ValueError("seconds must be finite")
        self._there()
        self._stage.advance(round(given * 1000))

    def calm(self) -> None:
        """Let happen all that can happen without time. Every other method does so by itself."""
        self._stage.calm()

    # --- what goes wrong --------------------------------------------------------------------------

    def fail(
        self,
        name: str,
        *,
        error: BaseException | type[BaseException] | None = None,
        times: int | None = None,
        after: int = 0,
        optional: bool = False,
    ) -> None:
        """Have a function raise instead of being run: a registered one, or that of a local step.

        - ``name``: that it is registered under, or its own.
        - ``error``: what it raises; a RuntimeError by default.
        - ``times``: how many attempts fail, those of all calls together; None: all.
        - ``after``: how many attempts are let through before that; none by default.
        - ``optional``: whether it need not apply; else the harness raises when it never does.

        An attempt that is made again because a worker died fails again. Raises TypeError and
        ValueError for arguments that are none, also for a class of exceptions that takes arguments.
        """
        check_text("name", name)
        raised = RuntimeError(f"{name} was made to fail") if error is None else error
        check_error(raised)
        if times is not None:
            check_number("times", times)
        if not isinstance(after, int) or isinstance(after, bool):
            raise TypeError(f"after must be `int`, got {type(after).__name__}")
        if after < 0:
            raise ValueError("after must be greater than or equal to zero")
        self.calm()
        more = {"times": times, "after": after or None}
        told = f"fail({name!r}{''.join(f', {key}={each}' for key, each in more.items() if each)})"
        self._rules.fail(name, raised, after=after, times=times, told=None if optional else told)

    def stub(
        self,
        name: str,
        returns: Any = None,
        *,
        calls: Callable[..., Any] | None = None,
        optional: bool = False,
    ) -> None:
        """Have a function replaced: a registered one, that of a local step, or one nobody has.

        ``name`` as in ``fail``. It returns ``returns``, or what ``calls`` does, which gets the
        context and the arguments and may be a function of any kind. ``optional`` as in ``fail``.
        Raises TypeError and ValueError for arguments that are none, TypeError for both of these.
        """
        check_text("name", name)
        if calls is not None and not callable(calls):
            raise TypeError(f"calls must be `Callable | None`, got {type(calls).__name__}")
        if calls is not None and returns is not None:
            raise TypeError("only one of returns and calls can be given")
        self.calm()
        act = (lambda _ctx, *_args, **_kwargs: returns) if calls is None else calls
        self._rules.stub(name, act, None if optional else f"stub({name!r})")

    def kill(self) -> None:
        """Kill all workers, as by kill -9: others take over, and replay what is recorded."""
        self.calm()
        for worker in list(self._workers.values()):
            self._on_network(worker.line.kill)
        self.calm()

    def kill_after(
        self, write: int | str, *, id: str | None = None, optional: bool = False
    ) -> None:
        """Kill the worker that makes a write, once that is recorded and before it hears of it.

        - ``write``: the n-th, from 1, or the label of a step, as "run charge": then the last that
          is written about the first such step.
        - ``id``: of the workflow whose writes count; by default those of all.
        - ``optional``: whether it need not come; else the harness raises when it never does.

        A write is a step that is made, the end of a local step, or the result of a call. The worker
        dies as by kill -9, and another takes over. Raises TypeError and ValueError for arguments
        that are none.
        """
        self._plan(write, before=False, id=id, optional=optional)

    def kill_before(
        self, write: int | str, *, id: str | None = None, optional: bool = False
    ) -> None:
        """Kill the worker that is about to make a write, which is then not recorded.

        So with the end of a local step its function has run, and nobody knows: it runs again.
        The rest as in ``kill_after``.
        """
        self._plan(write, before=True, id=id, optional=optional)

    @property
    def kills(self) -> list[str]:
        """Return where workers died by ``kill_after`` and ``kill_before`` so far."""
        return list(self._kills.done)

    @property
    def writes(self) -> list[str]:
        """Return what workers have recorded so far, in order: the n-th is what kills count."""
        self.calm()
        return [str(each) for each in self._kills.writes]

    # --- from outside -----------------------------------------------------------------------------

    def resolve(self, id: str, value: Any = None) -> None:
        """Resolve a promise from outside. Raises HarnessError when it is not there, or settled."""
        self._settle(id, "resolved", codec.encode(value, encoder=self._front.shared.encoder))

    def reject(self, id: str, error: BaseException) -> None:
        """Reject a promise from outside: who waits for it gets ``error``. As ``resolve``.

        Raises TypeError for what is no exception.
        """
        if not isinstance(error, BaseException):
            raise TypeError(f"error must be `BaseException`, got {type(error).__name__}")
        self._settle(id, "rejected", codec.encode_error(error, encoder=self._front.shared.encoder))

    def cancel(self, id: str) -> None:
        """Cancel a promise from outside: who waits gets ResonateCanceledError. As ``resolve``."""
        self._settle(id, "rejected_canceled", Value())

    def waiting(self) -> list[str]:
        """Return the ids of the promises that somebody outside has to settle."""
        self.calm()
        return records.unsettled(self._server.promises())

    # --- looking ----------------------------------------------------------------------------------

    def steps(self, id: str) -> list[RecordedStep]:
        """Return what is recorded of the steps of a function, in the order it asked for them.

        ``id`` is that of a call, or of a local step that has steps of its own. Attempts that failed
        are counted, not listed. Raises HarnessError for an id that does not exist.
        """
        self.calm()
        if self._server.promise(id) is None:
            raise HarnessError(self._missing(id))
        return records.steps(self._server.promises(), id, self._front.shared.encoder)

    # --- what stands behind -----------------------------------------------------------------------

    @property
    def caller(self) -> Client:
        """Return the client of the test; not for tests."""
        return self._there()

    @property
    def worker(self) -> Client:
        """Return the worker of the own group that lives; not for tests."""
        return self._workers[self._front.group].client

    def _there(self) -> Caller:
        if self._caller is None or self._stage.ended:
            raise HarnessError("the harness is used in its with block")
        return self._caller

    def _start_worker(self, group: str) -> None:
        """Start a worker process; another takes its place when it dies."""
        worker = _Worker(group, f"worker-{len(self._ever) + 1}")
        worker.line = Line(self._server, self._kills, lambda: self._died(worker))
        machine = VirtualMachine(self._machines, worker)
        shared = self._front.shared
        worker.client = shared.worker(lambda: worker.line, group, worker.pid, machine)
        self._workers[group] = worker
        self._ever.append(worker)
        worker.client.start()

    def _plan(self, write: int | str, *, before: bool, id: str | None, optional: bool) -> None:
        check_text_or_none("id", id)
        kill = Kill(checked_write(write), before=before, id=id, optional=optional)
        self.calm()
        self._kills.plan(kill)

    def _unused(self) -> list[str]:
        return [*self._rules.unused(), *self._kills.unused()]

    def _died(self, worker: _Worker) -> None:
        self._stage.kill(worker)
        self._start_worker(worker.group)

    def _instants(self, every: bool) -> Iterable[int]:
        found = list(self._server.instants())
        if every:
            yield from (instant for instant, _ in found)
            return
        yield from (instant for instant, deadline in found if deadline is None)
        yield from records.chosen(each for _, each in found if each is not None)

    def _explain(self, id: str | None, reason: str) -> str:
        return records.Explanation(
            self._server.promises(),
            registry=self._rules,
            groups=self._groups,
            encoder=self._front.shared.encoder,
            logged=self._log.lines,
        ).text(id, reason)

    def _missing(self, id: str) -> str:
        known = ", ".join(each.id for each in self._server.promises()) or "none"
        return f"there is no promise {id}; those that exist: {known}"

    def _settle(self, id: str, state: SettleState, value: Value) -> None:
        caller = self._there()
        self.calm()
        before = self._server.promise(id)
        if before is None:
            raise HarnessError(self._missing(id))
        if before.state != "pending":
            raise HarnessError(f"promise {id} is {before.state} already")
        data = rq.PromiseSettleData(id, state, value)
        answer = caller.ask(rq.PromiseSettle(caller.head(), data)).result().answers[0]
        if answer.status != 200:
            raise HarnessError(f"promise {id} cannot be settled: {answer.data}")
        self.calm()

    # --- the end ----------------------------------------------------------------------------------

    def _on_network(self, act: Callable[[], object]) -> None:
        async def acting() -> None:
            act()

        done = asyncio.run_coroutine_threadsafe(acting(), self._machines.network.loop)
        done.result()

    def _end(self) -> None:
        self._stage.end()
        if self._caller is not None and self._line is not None:
            for line in (self._line, *(each.line for each in self._ever)):
                self._on_network(line.end)
            for worker in self._ever:
                worker.client.stop(0)
            self._caller.end()
            stopping = self._server.stop()
            asyncio.run_coroutine_threadsafe(stopping, self._machines.network.loop).result()
        self._machines.network.stop()
        self._stage.join(_END_SECONDS)


class _Worker:
    """A worker process, the n-th."""

    client: Client
    line: Line

    def __init__(self, group: str, pid: str) -> None:
        self.group = group
        self.pid = pid
