"""Options of a server: retention, strict, debug and trace; what is wrong with them is one sentence."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time

import click
import pytest
from click.testing import CliRunner

from resonate.cli import serving
from resonate.cli.main import resonate
from resonate.cli.serving import Age
from resonate.protocol.envelope import LENIENT
from tests.cli.servers import Server

EVERYWHERE = "0.0.0.0"  # noqa: S104  # that it is open to all is what is refused


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


def invoke(*arguments):
    return CliRunner().invoke(resonate, [*arguments], prog_name="resonate")


def refused(*arguments):
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def engines(monkeypatch):
    """The engines that are made, instead of being served."""
    made = []

    async def serve(engine, sock, started):
        made.append(engine)
        await asyncio.sleep(0)

    monkeypatch.setattr("resonate.gateway.server.serve", serve)
    monkeypatch.setattr(serving, "_run", asyncio.run)
    return made


@pytest.fixture
def only_started(monkeypatch):
    """A server ends as soon as it has started."""

    async def serve(engine, sock, started):
        await engine.start()
        await engine.stop()

    monkeypatch.setattr("resonate.gateway.server.serve", serve)


# --- retention ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", 0),
        ("1s", 1_000),
        ("90m", 5_400_000),
        ("12h", 43_200_000),
        ("30d", 2_592_000_000),
        ("007d", 604_800_000),
        ("999999999d", 999_999_999 * 86_400_000),
    ],
)
def test_a_time_in_words(text, expected):
    assert Age().convert(text, None, None) == expected
    assert expected < 2**63


@pytest.mark.parametrize(
    "text",
    ["", "d", "30", "30D", "30 d", " 30d", "-1d", "+1d", "1.5h", "1e3s", "٣d", "1_0d", "30dd", "30w", "1000000000d", "forever"],
)  # fmt: skip
def test_what_is_no_time_is_a_usage_error_that_says_what_is_one(text, engines):
    result = invoke("dev", "--port", "0", f"--retention={text}")
    assert engines == []
    assert (result.exit_code, result.stdout) == (2, "")
    message = result.stderr.splitlines()[-1]
    assert message == (
        f"Error: Invalid value for '--retention': {text!r} is no time: "
        "give a number with s, m, h or d, as in 30d"
    )


# --- debug ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "resonate.example.org"])
@pytest.mark.parametrize("verb", ["serve", "dev"])
def test_debug_on_an_address_that_others_reach_is_refused(
    verb, host, engines, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    line = refused(verb, "--debug", "--host", host, "--port", "0")
    assert line == (
        f"Error: {host} can be reached from other machines, and with --debug whoever reaches the "
        "server can delete everything: leave --debug out, or listen on 127.0.0.1"
    )
    assert list(tmp_path.iterdir()) == []
    assert engines == []


# --- trace ----------------------------------------------------------------------------------------


def test_a_trace_that_cannot_be_written_is_refused(tmp_path, only_started):
    path = tmp_path / "missing" / "trace"
    database = tmp_path / "r.db"
    line = refused("serve", "--db", str(database), "--port", "0", "--trace", str(path))
    assert line == f"Error: {path} cannot be written: No such file or directory"
    assert not database.exists()


def test_a_folder_is_no_trace(tmp_path, only_started):
    result = invoke("dev", "--port", "0", "--trace", str(tmp_path))
    assert result.exit_code == 2
    assert "is a directory" in result.stderr


def test_a_database_that_cannot_be_opened_leaves_the_trace_closed(tmp_path, only_started):
    path = tmp_path / "notes.db"
    path.write_text("to buy: bread, cheese, a real database\n" * 100)
    trace = tmp_path / "trace"
    line = refused("serve", "--db", str(path), "--port", "0", "--trace", str(trace))
    assert line.startswith(f"Error: {path} is damaged or no SQLite database")


# --- what reaches the engine ----------------------------------------------------------------------


def test_without_options_everything_is_kept_and_nothing_is_refused(engines):
    assert invoke("dev", "--port", "0").exit_code == 0
    (engine,) = engines
    assert engine.rules is LENIENT
    assert (engine._retention, engine._trace, engine._decider._debugging) == (None, None, None)
    assert engine._push.poster is not None


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("debug", [True, False])
def test_rules(engines, strict, debug):
    flags = ["--strict"] * strict + ["--debug"] * debug
    assert invoke("dev", "--port", "0", *flags).exit_code == 0
    rules = engines[0].rules
    assert (rules.strict, rules.debug) == (strict, debug)
    assert (engines[0]._decider._debugging is not None) == debug


def test_retention_and_trace(engines, tmp_path):
    path = tmp_path / "trace"
    options = ["--retention", "2h", "--trace", str(path), "--port", "0"]
    assert invoke("serve", "--db", str(tmp_path / "r.db"), *options).exit_code == 0
    assert engines[0]._retention._keep_ms == 7_200_000
    assert engines[0]._trace._path == path


@pytest.mark.parametrize("verb", ["serve", "dev"])
def test_the_options_are_in_the_help(verb):
    output = invoke(verb, "--help").output
    for option in ("--retention AGE", "--strict", "--debug", "--trace FILE"):
        assert option in output
    assert "[default: keep everything]" in " ".join(output.split())
    names = {each.name for each in resonate.commands[verb].params if isinstance(each, click.Option)}
    assert {"retention", "strict", "debug", "trace"} <= names


# --- as processes ---------------------------------------------------------------------------------


def envelope(kind, data):
    return {"kind": kind, "head": {"corrId": "1", "version": "2026-04-01"}, "data": data}


@pytest.mark.slow
def test_a_strict_server_with_debug_and_trace(tmp_path):
    arguments = ["serve", "--port", "0", "--strict", "--debug", "--trace", "trace.ndjson"]
    with Server(*arguments, cwd=tmp_path) as server:
        assert json.loads(server.ask("GET", "/")[1])["mode"] == "strict"
        assert server.ask("POST", "/", envelope("debug.start", {}))[0] == 200
        data = {"id": "a", "timeoutAt": 10**15}
        assert server.ask("POST", "/", envelope("promise.create", data))[0] == 200
        assert server.ask("POST", "/", envelope("promise.search", {}))[0] == 501
        assert server.stop(signal.SIGTERM)[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "trace.ndjson").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["debug.start", "promise.create"]
    assert lines[1]["req"] == data


@pytest.mark.slow
def test_a_server_without_debug_refuses_debug_operations(tmp_path):
    with Server("dev", "--port", "0", cwd=tmp_path) as server:
        status, body = server.ask("POST", "/", envelope("debug.reset", {}))
        assert (status, json.loads(body)["data"]) == (403, "Debug operations are disabled")


@pytest.mark.slow
def test_a_schedule_fires_every_second_once_through_kills(tmp_path):
    began = time.time()
    data = {"cron": "* * * * * *", "promiseId": "{{.id}}.{{.timestamp}}", "promiseTimeout": 10**9}
    for kill in range(4):
        with Server("serve", "--port", "0", cwd=tmp_path) as server:  # killed at its end
            if kill == 0:
                schedule = {"id": "tick", **data}
                assert server.ask("POST", "/", envelope("schedule.create", schedule))[0] == 200
            fired = tick(server)["schedule"].get("lastRunAt", 0)
            while tick(server)["schedule"].get("lastRunAt", 0) <= max(fired, began * 1000):
                assert time.time() < began + 30
    with Server("serve", "--port", "0", cwd=tmp_path) as server:
        body = server.ask("POST", "/", envelope("promise.search", {"limit": 1_000}))[1]
        found = json.loads(body)["data"]["promises"]
        instants = [each["createdAt"] for each in found]
        last = tick(server)["schedule"]["lastRunAt"]
        assert len(instants) >= 4
        assert instants == list(range(instants[0], instants[-1] + 1, 1_000))
        assert instants[-1] in (last, last - 1_000)
        assert [each["id"] for each in found] == [f"tick.{each}" for each in instants]


def tick(server):
    return json.loads(server.ask("POST", "/", envelope("schedule.get", {"id": "tick"}))[1])["data"]
