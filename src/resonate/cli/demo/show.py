"""How the demo is shown: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from resonate.cli.demo.board import Board, Call

_BAR = 12
_FRAMES_PER_SECOND = 8


class Show(Protocol):
    """What the story needs to be told."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *raised: object) -> None: ...

    def say(self, text: str) -> None:
        """Tell what happens, in one line."""

    def detail(self, text: str) -> None:
        """Tell what a table shows as well."""

    def update(self, board: Board) -> None:
        """Show how things are now."""

    def close_with(self, lines: list[str]) -> None:
        """Tell the end, without the time."""


class Plain:
    """Lines, each with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """Print the line."""
        print(f"{time.monotonic() - self._start:5.1f} s  {text}", flush=True)

    def detail(self, text: str) -> None:
        """Print the line, indented."""
        self.say(f"  {text}")

    def update(self, board: Board) -> None:
        """Nothing: the lines have said it."""

    def close_with(self, lines: list[str]) -> None:
        """Print the lines."""
        print("\n".join(["", *lines]), flush=True)


class Lively:
    """A table of all calls that keeps up with them, under the lines that were said."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print the line above the table."""
        elapsed = time.monotonic() - self._start
        self._console.print(f"[dim]{elapsed:5.1f} s[/dim]  {escape(text)}", highlight=False)

    def detail(self, text: str) -> None:
        """Nothing: the table shows it."""

    def update(self, board: Board) -> None:
        """Draw the table anew."""
        table = Group("", _workers(board), _table(board, time.monotonic()))
        if self._live is None:
            self._live = Live(table, console=self._console, refresh_per_second=_FRAMES_PER_SECOND)
            self._live.start()
        self._live.update(table)

    def close_with(self, lines: list[str]) -> None:
        """Print the lines under the table, which stays as it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._console.print("\n".join(["", *map(escape, lines)]), highlight=False)


def show_on(console: Console) -> Show:
    """Return what suits the output."""
    if console.is_terminal and not console.is_dumb_terminal:
        return Lively(console)
    return Plain()


def _table(board: Board, now: float) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(6):
        table.add_column(no_wrap=True)
    for call in board.calls:
        style, bar, note = _progress(board, call, now)
        table.add_row(
            call.name,
            call.id[:8],
            f"{call.cost:.1f} s",
            Text(bar, style),
            call.worker or "",
            Text(note, style),
        )
    return table


def _workers(board: Board) -> Text:
    return Text("   ").join(_worker(board, worker) for worker in board.workers)


def _worker(board: Board, worker: str) -> Text:
    if worker == board.killed:
        return Text(f"✗ {worker} killed", "bold red")
    busy = f" {len(board.held(worker))} of {board.slots} busy"
    return Text.assemble((f"● {worker}", "bold green"), busy)


def _progress(board: Board, call: Call, now: float) -> tuple[str, str, str]:
    """Return style, bar and note of a call."""
    if call.done and len(call.executions) > 1:
        return "bold yellow", "━" * _BAR, "completed, after the kill"
    if call.done:
        return "green", "━" * _BAR, "completed"
    if not call.executions:
        return "dim", "─" * _BAR, "waits for a worker"
    last = call.executions[-1]
    if last.worker == board.killed:
        filled = _filled(board.killed_at - last.started, call.cost)
        return "red", "━" * filled + "─" * (_BAR - filled), "lost with its worker"
    filled = _filled(now - last.started, call.cost)
    bar = "━" * filled + "─" * (_BAR - filled)
    if len(call.executions) > 1:
        return "yellow", bar, f"again, {last.started - board.killed_at:.2f} s after the kill"
    return "cyan", bar, "running"


def _filled(elapsed: float, cost: float) -> int:
    return max(0, min(_BAR, int(elapsed / cost * _BAR)))
