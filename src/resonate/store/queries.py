"""Named queries and numbered migrations, read from ``.sql`` files beside each store.

A query begins with ``-- name: NAME`` and a line that says what it is for. ``{NAME}`` in a query
stands for the part of that name.
"""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PART = re.compile(r"\{(\w+)\}")


def queries(package: str) -> dict[str, str]:
    """Return the queries of ``package``'s ``queries.sql`` by name."""
    text = (files(package) / "queries.sql").read_text("utf-8")
    parts = _NAME.split(text)
    found = {name: sql.strip() for name, sql in zip(parts[1::2], parts[2::2], strict=True)}

    def whole(sql: str) -> str:
        return _PART.sub(lambda part: whole(found[part[1]].split("\n", 1)[1]), sql)

    return {name: whole(sql) for name, sql in found.items()}


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
