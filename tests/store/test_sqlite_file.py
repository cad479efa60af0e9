"""The SQLite file: what opens, what does not, and how it is laid out and searched."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from resonate.core.objects import Promise, Schedule, Task
from resonate.protocol.errors import StartError
from resonate.store.queries import migrations, queries
from resonate.store.sqlite import SqliteStore
from resonate.store.sqlite.database import PACKAGE
from tests.store.stores import FAR, get, promise, put, targeted, value


@pytest.fixture
def path(tmp_path):
    return tmp_path / "resonate.db"


async def refusal(path):
    """Return why the file is refused, and hold that nothing is left open or locked."""
    with pytest.raises(StartError) as caught:
        await SqliteStore(path).open()
    assert not open_files(path)
    return str(caught.value)


def open_files(path):
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return []
    names = []
    for each in folder.iterdir():
        try:
            names.append(str(each.readlink()))
        except OSError:
            continue
    return [name for name in names if name.startswith(str(path))]


async def make(path, *promises):
    store = SqliteStore(path)
    await store.open()
    await put(store, *promises)
    await store.close()


# --- opening --------------------------------------------------------------------------------------


async def test_a_missing_file_is_created(path):
    await make(path, promise("a"))
    store = SqliteStore(path)
    await store.open()
    assert await get(store, "a") == promise("a")
    await store.close()
    assert not open_files(path)


async def test_closing_leaves_one_file_that_has_everything(path):
    await make(path, promise("a"))
    assert path.exists()
    assert not path.with_name(path.name + "-wal").exists()


async def test_an_empty_file_is_taken_as_new(path):
    path.touch()
    await make(path, promise("a"))


async def test_a_newer_schema_is_refused(path):
    await make(path, promise("a"))
    newest = len(migrations(PACKAGE))
    with apsw.Connection(str(path)) as connection:
        connection.pragma("user_version", newest + 1)
    connection.close()
    reason = await refusal(path)
    assert f"schema version {newest + 1}, this server knows up to {newest}" in reason
    assert "newer release" in reason


async def test_a_database_of_another_program_is_refused_and_left_alone(path):
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = path.read_bytes()
    assert "another program" in await refusal(path)
    assert path.read_bytes() == before


async def test_a_database_with_another_application_id_is_refused(path):
    connection = apsw.Connection(str(path))
    connection.pragma("application_id", 7)
    connection.close()
    assert "another program" in await refusal(path)


@pytest.mark.parametrize(
    "content", [b"no database at all" * 500, b"SQLite format 3\0" + bytes(500)]
)
async def test_a_file_that_is_no_database_is_refused(path, content):
    path.write_bytes(content)
    assert "damaged or no SQLite database" in await refusal(path)
    assert path.read_bytes() == content


async def test_a_damaged_file_is_refused(path):
    await make(path, *(promise(str(number), param=value("x" * 500)) for number in range(50)))
    content = bytearray(path.read_bytes())
    content[100:4096] = os.urandom(3996)  # the schema
    path.write_bytes(content)
    assert "damaged" in await refusal(path)


async def test_a_folder_is_refused(path):
    path.mkdir()
    assert "cannot be opened" in await refusal(path)


async def test_a_missing_folder_is_refused(tmp_path):
    reason = await refusal(tmp_path / "missing" / "resonate.db")
    assert "cannot be opened: No such file or directory" in reason


async def test_an_old_sqlite_is_refused(path, monkeypatch):
    monkeypatch.setattr(apsw, "SQLITE_VERSION_NUMBER", 3_050_004)
    assert "SQLite 3.51 or newer is needed" in await refusal(path)


async def test_migrations_run_once_and_a_broken_one_changes_nothing(path, monkeypatch):
    await make(path, promise("a"))
    real = migrations(PACKAGE)
    newest = real[-1][0]
    module = "resonate.store.sqlite.database.migrations"
    bad = "CREATE TABLE extra (a) STRICT"
    monkeypatch.setattr(module, lambda package: [*real, (newest + 1, bad)])
    assert "cannot be opened" in await refusal(path)

    good = "ALTER TABLE promises ADD COLUMN extra TEXT; UPDATE promises SET extra = 'x'"
    monkeypatch.setattr(module, lambda package: [*real, (newest + 1, good)])
    for _ in range(2):
        store = SqliteStore(path)
        await store.open()
        assert await get(store, "a") == promise("a")
        await store.close()
    connection = apsw.Connection(str(path))
    assert connection.pragma("user_version") == newest + 1
    assert connection.execute("SELECT extra FROM promises").get == "x"
    connection.close()


# --- one server a file ----------------------------------------------------------------------------


async def test_a_second_server_is_refused_until_the_first_ends(path):
    first = SqliteStore(path)
    await first.open()
    with pytest.raises(StartError, match=rf"another server \(process {os.getpid()}\) uses {path}:"):
        await SqliteStore(path).open()
    await put(first, promise("a"))
    await first.close()
    second = SqliteStore(path)
    await second.open()
    assert await get(second, "a") == promise("a")
    await second.close()


HOLD = """
import asyncio, sys
from resonate.store.sqlite import SqliteStore
from tests.store.stores import promise, put

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    await put(store, promise("a"))
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
async def test_a_killed_server_leaves_the_file_free_and_complete(path):
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "src")])
    other = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs meanwhile
        [sys.executable, "-c", HOLD, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    with other:
        assert other.stdout.readline() == b"ready\n"
        with pytest.raises(StartError, match=f"process {other.pid}"):
            await SqliteStore(path).open()
        other.send_signal(signal.SIGKILL)
    store = SqliteStore(path)
    await store.open()
    assert await get(store, "a") == promise("a")
    await store.close()


# --- layout ---------------------------------------------------------------------------------------


@pytest.fixture
def schema():
    connection = apsw.Connection(":memory:")
    for _, sql in migrations(PACKAGE):
        connection.execute(sql)
    yield connection
    connection.close()


def test_columns_stand_in_the_order_of_the_fields(schema):
    columns = [row[1] for row in schema.pragma("table_info", "promises")]
    fields = [each for each in Promise.__struct_fields__ if each != "task"]
    task = ["task_state" if each == "state" else each for each in Task.__struct_fields__]
    assert Promise.__struct_fields__[-1] == "task"
    assert columns == [*fields, *task, "branch"]
    columns = [row[1] for row in schema.pragma("table_info", "schedules")]
    assert columns == list(Schedule.__struct_fields__)


PLANS = {
    "load": ["sqlite_autoindex_promises_1"],
    "due": ["promises_timeout", "promises_lease", "promises_delayed"],
    "ready": ["promises_ready"],
    "held": ["promises_lease"],
    "obligations": ["promises_obligations"],
    "branch": ["promises_branch"],
    "routes": ["promises_ready", "promises_ready"],
    "promises_by_id": ["sqlite_autoindex_promises_1"],
    "promises_of_tree": [*["sqlite_autoindex_promises_1"] * 2, "promises_apart"],
    "promises_newest": ["promises_created"],
    "promises_oldest": ["promises_created"],
    "tasks_by_id": ["sqlite_autoindex_promises_1"],
}


class Any0(dict):
    """Binds 0 to every name."""

    def __missing__(self, name):
        return 0


@pytest.mark.parametrize("query", PLANS)
def test_queries_search_by_index(schema, query):
    sql = queries(PACKAGE)[query]
    bindings = ("[]",) if "?" in sql else Any0()
    plan = [row[3] for row in schema.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]
    steps = [step for step in plan if re.search(r"\bpromises\b", step) and " tag " not in step]
    verb = "SCAN" if query == "held" else "SEARCH"  # all leases, and nothing else, are looked at
    assert [re.split(" USING (?:COVERING )?INDEX ", step)[0] for step in steps] == [
        f"{verb} promises"
    ] * len(steps)
    assert [re.search(r"INDEX (\w+)", step)[1] for step in steps] == PLANS[query]


def test_ready_uses_its_whole_cursor(schema):
    plan = schema.execute(f"EXPLAIN QUERY PLAN {queries(PACKAGE)['ready']}", Any0())
    assert any("(route=? AND (retry_at,id)>(?,?) AND retry_at<?)" in row[3] for row in plan)


def test_a_commit_survives_a_power_loss(path):
    async def pragmas():
        store = SqliteStore(path)
        await store.open()
        found = store._writer._connection
        told = (found.pragma("journal_mode"), found.pragma("synchronous"))
        await store.close()
        return told

    assert asyncio.run(pragmas()) == ("wal", 2)


# --- the log --------------------------------------------------------------------------------------


async def test_the_log_stays_bounded_under_sustained_writes(path, monkeypatch):
    monkeypatch.setattr("resonate.store.sqlite.writer._CHECKPOINT_PAGES", 100)
    store = SqliteStore(path)
    await store.open()
    wal = path.with_name(path.name + "-wal")
    written = 0
    largest = 0
    deadline = time.monotonic() + 20
    while written < 15_000_000:
        many = [targeted(f"{written}-{n}", param=value("x" * 3_000)) for n in range(10)]
        await asyncio.gather(*(put(store, each) for each in many))
        written += 30_000
        largest = max(largest, wal.stat().st_size)
        assert time.monotonic() < deadline
    assert largest < 5_000_000
    assert len(await store.due(-1, FAR, 100_000)) == written // 3_000
    await store.close()
    assert not wal.exists()


async def test_others_may_read_while_the_server_writes(path):
    store = SqliteStore(path)
    await store.open()
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    for number in range(20):
        await put(store, promise(str(number)))
        assert reader.execute("SELECT count(*) FROM promises").get == number + 1
    reader.close()
    await store.close()
