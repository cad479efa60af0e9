"""Named queries and numbered migrations, read from ``.sql`` files beside each store.

A query begins with ``-- name: NAME`` and a line that says what it is for.
"""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def queries(package: str) -> dict[str, str]:
    """Return the queries of ``package``'s ``queries.sql`` by name."""
    text = (files(package) / "queries.sql").read_text("utf-8")
    parts = _NAME.split(text)
    return {name: sql.strip() for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


def migrations(package: str) -> list[tuple[int, str]]:
    """Return (version, SQL) of ``package``'s migrations, ascending from 1 without a gap."""
    folder = files(package) / "migrations"
    found = sorted(
        (int(entry.name.split("_")[0]), entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    )
    assert [version for version, _ in found] == list(range(1, len(found) + 1)), "a gap"
    return found
