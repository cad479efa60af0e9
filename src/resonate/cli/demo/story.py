"""The story of the demo, from the first process to the summary."""

from __future__ import annotations

import queue
import time
import uuid

from resonate import Handle, Resonate
from resonate.cli.demo.board import Board, Call, Event
from resonate.cli.demo.cast import Cast, Trouble
from resonate.cli.demo.show import Show
from resonate.cli.demo.worker import GROUP
from resonate.sdk.errors import ResonateError

WORKERS = ["worker-1", "worker-2", "worker-3"]
SLOTS = 3
# Seconds of work. Short ones make room for the last three, long ones are there to be killed.
COSTS = [7.0, 2.5, 3.0, 2.0, 8.0, 2.0, 3.0, 2.0, 7.5, 7.0, 6.5, 6.0]

_TICK_SECONDS = 0.05
_INTRODUCTION_SECONDS = 30.0
_TOTAL_SECONDS = 90.0


class Story:
    """Told once: ``tell`` returns whether everything completed."""

    def __init__(self, cast: Cast, show: Show) -> None:
        self._cast = cast
        self._show = show
        calls = [
            Call(number, str(uuid.uuid4()), cost) for number, cost in enumerate(COSTS, start=1)
        ]
        self._board = Board(calls, WORKERS, SLOTS)
        self._pids: dict[str, int] = {}

    def tell(self) -> bool:
        """Start everything, call, kill, wait, sum up."""
        started = time.monotonic()
        self._show.say(
            f"one server, {len(WORKERS)} workers, {len(COSTS)} calls, one kill -9: 15 seconds"
        )
        url = self._start_server()
        caller = Resonate.remote(url, group="demo-caller", log_level="ERROR")
        try:
            self._start_workers(url, caller)
            handles = self._call(caller)
            self._watch(handles)
        finally:
            caller.stop(0)
        self._show.close_with(self._summary(time.monotonic() - started))
        return self._board.completed and bool(self._board.recoveries())

    def _start_server(self) -> str:
        self._show.say("starting a server, on an SQLite file in a temporary folder")
        url, pid = self._cast.start_server()
        self._show.say(f"the server is process {pid}, at {url}")
        return url

    def _start_workers(self, url: str, caller: Resonate) -> None:
        self._show.say(
            f'starting {len(WORKERS)} workers of "{GROUP}", each takes {SLOTS} calls at a time'
        )
        for name in WORKERS:
            self._pids[name] = self._cast.start_worker(name, url, SLOTS)
        for name in WORKERS:
            direct = caller.options(target=f"poll://uni@{GROUP}/{name}")
            hello = direct.begin_rpc(f"introduce-{name}", "introduce")
            self._wait_for(hello, f"{name} did not answer")
        named = (f"{name} (process {pid})" for name, pid in self._pids.items())
        self._show.say(f"they answer: {', '.join(named)}")

    def _wait_for(self, handle: Handle[object], failure: str) -> None:
        deadline = time.monotonic() + _INTRODUCTION_SECONDS
        while not handle.done():
            self._cast.check()
            if time.monotonic() > deadline:
                raise Trouble(failure)
            time.sleep(_TICK_SECONDS)

    def _call(self, caller: Resonate) -> dict[str, Handle[object]]:
        target = f"poll://any@{GROUP}"
        calls = self._board.calls
        self._show.say(f"calling compute_something {len(calls)} times, on {target}")
        anyone = caller.options(target=target)
        before = time.monotonic()
        handles: dict[str, Handle[object]] = {
            call.id: anyone.begin_rpc(call.id, "compute_something", call.id, call.cost)
            for call in calls
        }
        elapsed = (time.monotonic() - before) * 1000
        self._show.say(f"all {len(calls)} calls are on disk, {elapsed:.0f} ms later")
        return handles

    def _watch(self, handles: dict[str, Handle[object]]) -> None:
        """Follow the calls to their end; kill a worker when the moment has come."""
        deadline = time.monotonic() + _TOTAL_SECONDS
        while not self._board.completed:
            self._hear()
            self._look(handles)
            victim = self._board.victim(time.monotonic()) if not self._board.killed else None
            if victim is not None:
                self._kill(victim)
            self._show.update(self._board)
            self._cast.check()
            if time.monotonic() > deadline:
                raise Trouble(f"not every call completed within {_TOTAL_SECONDS:.0f} s")

    def _hear(self) -> None:
        """Take in what the workers say, waiting a moment for it."""
        try:
            self._note(*self._cast.events.get(timeout=_TICK_SECONDS))
            while True:
                self._note(*self._cast.events.get_nowait())
        except queue.Empty:
            pass

    def _note(self, worker: str, event: Event) -> None:
        board = self._board
        call = board.note(worker, event)
        if call is None or event.kind != "started":
            return
        if len(call.executions) > 1:
            delay = event.at - board.killed_at
            self._show.say(f"{call.name} runs again, on {worker}, {delay:.2f} s after the kill")
        else:
            self._show.detail(f"{call.name} runs on {worker}, {call.cost:.1f} s of work")

    def _look(self, handles: dict[str, Handle[object]]) -> None:
        """See which results have come."""
        for call in self._board.calls:
            if not call.done and handles[call.id].done():
                self._take(call, handles[call.id])

    def _take(self, call: Call, handle: Handle[object]) -> None:
        self._hear_until_finished(call)
        try:
            worker = handle.result()
        except ResonateError as error:
            raise Trouble(f"{call.name} ended with {error!r}") from error
        call.done = True
        self._show.detail(f"{call.name} completed on {worker}")

    def _hear_until_finished(self, call: Call) -> None:
        """Wait for the line that says the function has ended: the result can be here before."""
        while call.executions[-1].finished is None:
            self._hear()
            self._cast.check()

    def _kill(self, victim: str) -> None:
        lost = self._board.held(victim)
        names = " and ".join(call.name for call in lost)
        self._show.say(f"kill -9 {self._pids[victim]}: {victim}, in the middle of {names}")
        self._board.kill(victim, time.monotonic())
        self._cast.kill(victim)
        self._show.say("the server sees the connection close, and gives it a second to come back")

    def _summary(self, elapsed: float) -> list[str]:
        board = self._board
        executions = sum(len(call.executions) for call in board.calls)
        done = sum(call.done for call in board.calls)
        lines = [
            f"{done} of {len(board.calls)} calls completed, in {elapsed:.1f} s.",
            "",
        ]
        for worker in board.workers:
            fate = ", then killed" if worker == board.killed else ""
            count = len(board.finished(worker))
            lines.append(f"  {worker}  process {self._pids[worker]}  completed {count}{fate}")
        lines.append("")
        recoveries = board.recoveries()
        lines += [
            f"  {each.call.name} was killed after {each.lost_after:.1f} s of work, and was running"
            f" on {each.worker} {each.delay:.2f} s after the kill"
            for each in recoveries
        ]
        lines += ["", _count(executions, len(board.calls), len(recoveries))]
        lines += [
            "The caller did nothing about it: it named a group, and each call an id.",
            "",
            "Next: start a server with `resonate dev` (in a checkout: `python3 dev.py serve`),",
            "then write your own two programs (docs/tutorial.md, ten minutes).",
        ]
        return lines


def _count(executions: int, calls: int, recovered: int) -> str:
    text = f"{executions} executions for {calls} calls"
    if executions == calls + recovered:
        return f"{text}: only the {recovered} that were killed ran twice."
    return f"{text}, {recovered} of them after the kill."
