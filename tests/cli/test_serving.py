"""``serve`` and ``dev`` that cannot start: one sentence on stderr, status 1, no traceback."""

from __future__ import annotations

import logging
import socket
import sqlite3
import sys

import pytest
from click.testing import CliRunner

from resonate.cli.main import resonate
from resonate.cli.serving import _is_loopback
from resonate.store.sqlite.database import _APPLICATION_ID, FileLock

EVERYWHERE = "0.0.0.0"  # noqa: S104  # that it is open to all is what is warned about


@pytest.fixture(autouse=True)
def process_settings():
    """What a server sets for its process is undone."""
    interval, levels = sys.getswitchinterval(), {}
    for name in ("", "uvicorn"):
        levels[name] = logging.getLogger(name).level
    handlers = list(logging.getLogger().handlers)
    yield
    sys.setswitchinterval(interval)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().handlers[:] = handlers


def refused(*arguments):
    result = CliRunner().invoke(resonate, [*arguments], prog_name="resonate")
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("verb", ["serve", "dev"])
def test_port_in_use_says_what_to_do(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(verb, "--port", str(port))
    assert line == (
        f"Error: port {port} on 127.0.0.1 is taken by another program: "
        "stop it, or choose another port with --port"
    )
    assert list(tmp_path.iterdir()) == []


def test_database_of_another_program_is_refused(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    assert refused("serve", "--port", "0", "--db", str(path)) == (
        f"Error: {path} is a database of another program: name another file with --db"
    )


def test_newer_schema_is_refused(tmp_path):
    path = tmp_path / "newer.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    line = refused("serve", "--port", "0", "--db", str(path))
    assert line.startswith(f"Error: {path} has schema version 999")
    assert line.endswith("use a newer release of resonate-py")


def test_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("to buy: bread, cheese, a real database\n" * 100)
    line = refused("serve", "--port", "0", "--db", str(path))
    assert line.startswith(f"Error: {path} is damaged or no SQLite database")


def test_second_server_on_a_database_is_refused(tmp_path):
    path = tmp_path / "one.db"
    lock = FileLock(path)
    lock.acquire()
    try:
        line = refused("serve", "--port", "0", "--db", str(path))
    finally:
        lock.release()
    assert line.startswith("Error: another server (process ")
    assert line.endswith(f"uses {path}: stop it, or name another file with --db")


def test_folder_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "missing" / "resonate.db"
    assert "No such file or directory" in refused("serve", "--port", "0", "--db", str(path))


@pytest.mark.parametrize(
    "option", [("--port", "65536"), ("--port", "-1"), ("--grace-ms", "-1"), ("--log-level", "loud")]
)
def test_impossible_options_are_usage_errors(option):
    assert CliRunner().invoke(resonate, ["dev", *option]).exit_code == 2


def test_open_address_is_warned_about():
    with socket.socket() as taken:
        taken.bind((EVERYWHERE, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(resonate, ["dev", "--host", EVERYWHERE, "--port", port])
    warning = result.stderr.splitlines()[0]
    assert warning.startswith(f"Warning: {EVERYWHERE} can be reached from other machines")
    assert "no access control" in warning


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("localhost", True),
        (EVERYWHERE, False),
        ("::", False),
        ("10.0.0.7", False),
        ("worker.example.org", False),
    ],
)
def test_loopback_addresses_are_known(host, expected):
    assert _is_loopback(host) is expected
