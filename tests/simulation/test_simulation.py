"""A few seeds of the simulation; ``dev.py sim`` runs more. A seed that failed once has a name here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOUND = {
    "the look at a due schedule does not ring its timer over and over": 0,
    "strict: a deadline that is never written does not ring its timer over and over": 3,
    "who settles after the clock was stepped back does so at the creation at the earliest": 44,
}


def simulate(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "simulation", *arguments],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )


def test_a_few_seeds_hold():
    ran = simulate("--seeds", "12", "--first", "100")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"12 seeds, [\d,]+ steps, .* no violation", ran.stdout)


@pytest.mark.parametrize("seed", FOUND.values(), ids=FOUND)
def test_what_was_found_stays_mended(seed):
    ran = simulate("--seed", str(seed))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_same_seed_gives_the_same_run():
    first, second = (simulate("--seed", "7").stdout.splitlines()[0] for _ in range(2))
    assert first == second
    assert "digest=" in first


def test_what_is_told_too_early_is_noticed(tmp_path):
    """Break the store as a mistake would, and see the simulation fail."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import sys\n"
        "from resonate.store.sqlite import store\n"
        "real = store.SqliteStore.transact\n"
        "async def hasty(self, reads, decide):\n"
        "    import asyncio\n"
        "    task = asyncio.ensure_future(real(self, reads, decide))\n"
        "    await asyncio.sleep(0)\n"
        "store.SqliteStore.transact = hasty\n"
        "from simulation.__main__ import main\n"
        "sys.exit(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, broken, "--seeds", "3"],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(Path.cwd())},
    )
    assert ran.returncode == 1
    assert "before it is durable" in ran.stderr
    assert "python3 dev.py sim --seed" in ran.stdout
