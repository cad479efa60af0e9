"""The store on one SQLite file: the default. One server, one file, one writer."""

from __future__ import annotations

from resonate.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
