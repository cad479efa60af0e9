"""The demo: what its board concludes from events, and the whole of it with real processes."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from click.testing import CliRunner
from rich.console import Console

from resonate.cli.demo.board import MIDDLE_SECONDS, Board, Call, Event
from resonate.cli.demo.cast import Trouble
from resonate.cli.demo.show import Lively, Plain, show_on
from resonate.cli.demo.story import Story
from resonate.cli.main import resonate

COMMAND = [sys.executable, "-m", "resonate", "demo"]


def board(*costs, slots=2):
    calls = [Call(number, f"id-{number}", cost) for number, cost in enumerate(costs, start=1)]
    return Board(calls, ["a", "b"], slots)


def test_board_kills_nobody_while_a_call_waits():
    b = board(10.0, 10.0)
    b.note("a", Event("started", "id-1", 0.0))
    assert b.victim(5.0) is None
    b.note("b", Event("started", "id-2", 0.0))
    assert b.victim(5.0) == "a"


def test_board_kills_nobody_at_the_edge_of_a_call():
    b = board(10.0)
    b.note("a", Event("started", "id-1", 0.0))
    assert b.victim(MIDDLE_SECONDS - 0.1) is None
    assert b.victim(MIDDLE_SECONDS) == "a"
    assert b.victim(10.0 - MIDDLE_SECONDS) == "a"
    assert b.victim(10.0 - MIDDLE_SECONDS + 0.1) is None


def test_board_kills_nobody_whose_work_finds_no_room():
    b = board(10.0, 10.0, slots=1)
    b.note("a", Event("started", "id-1", 0.0))
    b.note("b", Event("started", "id-2", 0.0))
    assert b.victim(5.0) is None


def test_board_prefers_the_victim_that_loses_most():
    b = board(10.0, 10.0, 10.0, slots=3)
    b.note("a", Event("started", "id-1", 0.0))
    b.note("b", Event("started", "id-2", 0.0))
    b.note("b", Event("started", "id-3", 0.0))
    assert b.victim(5.0) == "b"


def test_board_tells_a_recovery_from_a_first_execution():
    b = board(4.0, 4.0)
    b.note("a", Event("started", "id-1", 1.0))
    b.note("b", Event("started", "id-2", 1.0))
    b.kill("a", 3.0)
    b.note("b", Event("started", "id-1", 4.5))
    (recovery,) = b.recoveries()
    assert recovery.call.id == "id-1"
    assert (recovery.lost_after, recovery.worker, recovery.delay) == (2.0, "b", 1.5)


def test_board_takes_no_note_of_calls_it_does_not_know():
    assert board(1.0).note("a", Event("started", "introduce", 0.0)) is None


def test_show_is_plain_where_nobody_looks(capsys):
    assert isinstance(show_on(Console(file=io.StringIO())), Plain)
    assert isinstance(show_on(Console(force_terminal=True, _environ={"TERM": "dumb"})), Plain)
    assert isinstance(show_on(Console(force_terminal=True, _environ={"TERM": "xterm"})), Lively)


def test_table_shows_every_state_of_a_call():
    b = board(4.0, 4.0, 4.0, 4.0)
    b.note("a", Event("started", "id-1", time.monotonic()))
    b.note("b", Event("started", "id-2", time.monotonic()))
    b.note("a", Event("started", "id-3", time.monotonic()))
    b.kill("a", time.monotonic() + 1)
    b.note("b", Event("started", "id-3", b.killed_at + 1.25))
    b.calls[1].done = True
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80, _environ={"TERM": "xterm"})
    with Lively(console) as show:
        show.say("[a line]")
        show.update(b)
        show.close_with(["the end"])
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue())
    for part in (
        "[a line]",
        "✗ a killed",
        "● b 1 of 2 busy",
        "lost with its worker",
        "completed",
        "again, 1.25 s after the kill",
        "waits for a worker",
        "the end",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_demo_that_cannot_go_on_says_why(monkeypatch, tmp_path):
    def tell(self):
        raise Trouble("worker-1 did not answer")

    monkeypatch.setattr(Story, "tell", tell)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = CliRunner().invoke(resonate, ["demo"])
    assert result.exit_code == 1
    assert "The demo failed: worker-1 did not answer." in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_demo_recovers_what_it_kills_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        COMMAND,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 of 12 calls completed" in done.stdout
    assert "kill -9" in done.stdout
    delays = re.findall(r"running on worker-\d (\d+\.\d\d) s after the kill", done.stdout)
    assert delays
    assert all(float(delay) < 5 for delay in delays)
    assert list(tmp_path.iterdir()) == []
    pids = {int(pid) for pid in re.findall(r"process (\d+)", done.stdout)}
    assert len(pids) == 4
    assert not any(map(alive, pids))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_that_is_stopped_leaves_nothing(tmp_path, number):
    with subprocess.Popen(
        COMMAND,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        seen = ""
        for line in process.stdout:
            seen += line
            if "runs on" in line:
                process.send_signal(number)
                break
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped." in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    pids = {int(pid) for pid in re.findall(r"process (\d+)", seen)}
    assert len(pids) == 4
    assert not any(map(alive, pids))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
