"""``resonate dev``: the server in memory, to try things."""

from __future__ import annotations

from typing import Any

import click

from resonate.cli import serving


@click.command(short_help="Start a server in memory, to try things.")
@serving.options
def dev(**settings: Any) -> None:
    """Start a server that keeps everything in memory, and forgets it when it ends.

    The same rules as `resonate serve`. It stops cleanly on Ctrl-C and SIGTERM.
    """
    from resonate.store.memory import MemoryStore

    serving.run(MemoryStore(), "in memory: forgotten when it ends", **settings)
