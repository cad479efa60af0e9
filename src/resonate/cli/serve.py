"""``resonate serve``: the server, on an SQLite file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from resonate.cli import serving


@click.command(short_help="Start the server, on an SQLite file.")
@click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    default="resonate.db",
    show_default=True,
    metavar="FILE",
    help="Database file; made when it is not there.",
)
@serving.options
def serve(db: Path, **settings: Any) -> None:
    """Start the server. What it acknowledges is on disk first.

    It stops cleanly on Ctrl-C and SIGTERM.
    """
    from resonate.store.sqlite import SqliteStore

    serving.run(SqliteStore(db), f"database {db}", **settings)
