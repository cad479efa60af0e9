"""The database file: opening it, its schema, the lock that keeps a second server out.

Rules:
- WAL with ``synchronous=FULL``: a commit that returned survives a power loss.
- Checkpoints never run by themselves inside a commit; ``writer`` asks for them in the background.
- Every apsw error leaves here or in ``writer`` as Unavailable or StartError.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import IO

import apsw

from resonate.protocol.errors import StartError
from resonate.store.queries import migrations

PACKAGE = "resonate.store.sqlite"
_APPLICATION_ID = 0x52534E54  # "RSNT": tells our files from others
_PAGE_CACHE_KIB = 16_384
_SQLITE_MIN = (3, 51, 0)  # jsonb_each
log = logging.getLogger("resonate.store")


def open_all(path: Path, count: int, *, vfs: str | None = None) -> list[apsw.Connection]:
    """Open the database, create or migrate its schema, return ``count`` connections to it.

    Raises StartError when the file is not ours, is newer, is damaged or cannot be opened.
    """
    if _number(_SQLITE_MIN) > apsw.SQLITE_VERSION_NUMBER:
        found = apsw.sqlite_lib_version()
        raise StartError(f"SQLite 3.51 or newer is needed, this is {found}: upgrade apsw")
    connections: list[apsw.Connection] = []
    try:
        for _ in range(count):
            connection = apsw.Connection(str(path), vfs=vfs)
            connections.append(connection)
            _configure(connection)
            if connection is connections[0]:
                _prepare(connection, path)
    except BaseException as error:
        for connection in connections:
            close_quietly(connection)
        if isinstance(error, apsw.Error):
            raise _start_error(path, error) from error
        raise
    return connections


def close_quietly(connection: apsw.Connection) -> None:
    """Close the connection; what the disk has against it is only logged."""
    try:
        connection.close()
    except apsw.Error as error:
        log.warning("closing the database: %s; its log is kept for the next start", error)


def _configure(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(5_000)
    connection.pragma("synchronous", "FULL")
    connection.pragma("cache_size", -_PAGE_CACHE_KIB)
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("temp_store", "MEMORY")


def _prepare(connection: apsw.Connection, path: Path) -> None:
    _check_ours(connection, path)
    connection.pragma("journal_mode", "WAL")
    _migrate(connection, path)


def _start_error(path: Path, error: apsw.Error) -> StartError:
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        return StartError(
            f"{path} is damaged or no SQLite database ({error}): restore it from a backup, "
            "or name another file with --db"
        )
    return StartError(f"{path} cannot be opened: {error}")


def _number(version: tuple[int, int, int]) -> int:
    return version[0] * 1_000_000 + version[1] * 1_000 + version[2]


def _check_ours(connection: apsw.Connection, path: Path) -> None:
    application = connection.pragma("application_id")
    if application == _APPLICATION_ID:
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if application != 0 or tables:
        raise StartError(f"{path} is a database of another program: name another file with --db")


def _migrate(connection: apsw.Connection, path: Path) -> None:
    steps = migrations(PACKAGE)
    newest = steps[-1][0]
    version = connection.pragma("user_version")
    if version > newest:
        raise StartError(
            f"{path} has schema version {version}, this server knows up to {newest}: "
            "use a newer release of resonate-py"
        )
    for number, sql in steps[version:]:
        with connection:
            connection.execute(sql)
            connection.pragma("user_version", number)
            connection.pragma("application_id", _APPLICATION_ID)


class FileLock:
    """Keeps a second server away from the same file. Released by the system when we die."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock or raise StartError."""
        try:
            file = self._path.open("a+")
        except OSError as error:
            raise StartError(f"{self._path} cannot be opened: {error.strerror}") from error
        try:
            _lock(file)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        except BlockingIOError as error:
            raise StartError(
                f"another server (process {_holder(file)}) uses {self._path.with_suffix('')}: "
                "stop it, or name another file with --db"
            ) from error
        except OSError as error:
            raise StartError(f"{self._path} cannot be locked: {error.strerror}") from error
        else:
            self._file = file
        finally:
            if self._file is None:
                file.close()

    def release(self) -> None:
        """Let the next server in."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _holder(file: IO[str]) -> str:
    try:
        file.seek(0)
        return file.read().strip() or "unknown"
    except OSError:  # Windows keeps even readers out
        return "unknown"


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415  # exists on Windows only

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError from error
    else:
        import fcntl  # noqa: PLC0415  # does not exist on Windows

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
