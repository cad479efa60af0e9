"""The command ``resonate``: its verbs, and what is refused before any of them runs."""

from __future__ import annotations

import sys

import click

from resonate.cli.demo.command import demo
from resonate.cli.dev import dev
from resonate.cli.serve import serve

_OPTIMIZED = (
    "resonate does not run under python -O or PYTHONOPTIMIZE: "
    "its assertions guard the data, and -O would leave them out"
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "--version", package_name="resonate-py", message="%(prog)s %(version)s")
def resonate() -> None:
    """Call a function by id on any live member of a group, once, through crashes."""


for _verb in (serve, dev, demo):
    resonate.add_command(_verb)


def main() -> None:
    """Run the command; never returns."""
    if not __debug__:
        sys.exit(_OPTIMIZED)
    resonate(prog_name="resonate")
