"""The verb ``resonate demo``."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from resonate.cli.demo.cast import Cast

_INTERRUPTED = 130


@click.command(short_help="See a crash that loses nothing.")
def demo() -> None:
    """See it work: a server, three workers, twelve calls, and a kill -9 that loses nothing.

    Takes about 15 seconds, needs nothing, leaves nothing behind.
    """
    from rich.console import Console

    from resonate.cli.demo.cast import Cast, Trouble
    from resonate.cli.demo.show import show_on
    from resonate.cli.demo.story import Story
    from resonate.sdk.errors import ResonateError

    try:
        with _signals_as_interrupts(), _ended(Cast()) as cast, show_on(Console()) as show:
            try:
                completed = Story(cast, show).tell()
            except (Trouble, ResonateError) as trouble:
                show.close_with([f"The demo failed: {trouble}.", "", cast.logs()])
                completed = False
    except KeyboardInterrupt:
        click.echo("\nStopped. Every process has ended and the files are gone.", err=True)
        sys.exit(_INTERRUPTED)
    sys.exit(0 if completed else 1)


@contextlib.contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Treat being told to end like Ctrl-C, so that everything is cleaned up."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [signal.Signals[name] for name in names]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _ended(cast: Cast) -> Iterator[Cast]:
    """Close the cast, even when whoever ended the demo is impatient."""
    try:
        yield cast
    finally:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
        try:
            cast.close()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
