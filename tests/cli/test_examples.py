"""The programs in ``examples/``, as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.servers import Server

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "load-balancing"


def program(name, url, **kwargs):
    environment = {**os.environ, "RESONATE_URL": url, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, str(FOLDER / name)], env=environment, text=True, **kwargs
    )


def test_worker_started_after_the_caller_has_gone_gets_the_call(tmp_path):
    with Server("dev", "--port", "0", cwd=tmp_path) as server:
        assert program("invoke.py", server.url).wait(timeout=20) == 0
        with program("worker.py", server.url, stdout=subprocess.PIPE) as worker:
            try:
                lines = [worker.stdout.readline() for _ in range(2)]
            finally:
                worker.kill()
    assert "worker running...\n" in lines
    assert any(line.startswith("starting computation ") for line in lines)
