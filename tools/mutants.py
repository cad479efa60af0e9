"""Planted bugs: each is put into a copy of the checkout; some test has to notice it in a minute.

Run it with ``.venv/bin/python tools/mutants.py [NUMBER …]``; it prints the table that stands in
``docs/internals/mutations.md``. A mutant that survives is a test that is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SECONDS_MAX = 60
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", ".clients", ".*_cache", "__pycache__")


TELL = "\n    return NOT_FOUND if promise is None else tell(promise)"


class Mutant(NamedTuple):
    """One mistake: ``old`` becomes ``new`` in a file; where it is looked for."""

    what: str
    file: str
    old: str
    new: str
    tests: str


CORE, ENGINE, STORE, MODEL = "tests/core", "tests/engine", "tests/store", "tests/model"
SIMULATION = "sim"
MUTANTS = (
    Mutant(
        "promise.get tells the stored row, not what is seen at the deadline",
        "core/promises.py",
        "promise = state.view(data.id)" + TELL,
        "promise = state.stored(data.id)" + TELL,
        CORE,
    ),
    Mutant(
        "the guard of a lease does not look at the version",
        "core/tasks.py",
        'if task.state != "acquired" or task.version != version:\n        return lost',
        'if task.state != "acquired":\n        return lost',
        CORE,
    ),
    Mutant(
        "acquire does not compare versions",
        "core/tasks.py",
        "if task.version != data.version:",
        "if False:",
        CORE,
    ),
    Mutant(
        "an awaiter past its own deadline is woken (C6)",
        "core/steps.py",
        "    if seen is not stored:\n        state.put(seen)  # its own",
        "    if False:\n        state.put(seen)  # its own",
        CORE,
    ),
    Mutant(
        "a consumed callback is not recorded in an awaiter that runs",
        "core/steps.py",
        'elif task.state != "fulfilled" and awaited not in task.resumes:',
        "elif False:",
        MODEL,
    ),
    Mutant(
        "settling drains nobody",
        "core/machine.py",
        "    if state.wrote:\n        settle_down(state, state.touched())",
        "    if False:\n        settle_down(state, state.touched())",
        MODEL,
    ),
    Mutant(
        "a lease that ends leaves its task acquired",
        "core/steps.py",
        "if task is not None and task.expires_at is not None and task.expires_at <= state.now:",
        "if False:",
        CORE,
    ),
    Mutant(
        "an occurrence fires twice: the next run is not moved past the last",
        "core/schedules.py",
        "following = next_cron(_cron(schedule.cron), last) or NEVER",
        "following = last",
        CORE,
    ),
    Mutant(
        "the occurrence of this very instant is left out",
        "core/schedules.py",
        "while at <= now and at < NEVER",
        "while at < now and at < NEVER",
        CORE,
    ),
    Mutant(
        "a handler that raises leaves what it had written",
        "engine/batches.py",
        'log.exception("%s failed", request.__struct_config__.tag)\n        state.rollback()',
        'log.exception("%s failed", request.__struct_config__.tag)',
        ENGINE,
    ),
    Mutant(
        "answers leave before the commit",
        "engine/decider.py",
        "        for call in batch.calls:\n            self._decide_call(call, state, now)\n",
        "        for call in batch.calls:\n            self._decide_call(call, state, now)\n"
        "            call.answer()\n",
        SIMULATION,
    ),
    Mutant(
        "a read that saw something uncommitted is answered at once",
        "engine/batches.py",
        "must_wait or state.wrote or _saw_uncommitted(request, state, uncommitted)",
        "must_wait or state.wrote",
        SIMULATION,
    ),
    Mutant(
        "a listener is taken off although nobody was told",
        "engine/delivery.py",
        "if member is not None and self._send(member, messages.unblock(record(promise))):",
        "if member is None or self._send(member, messages.unblock(record(promise))):",
        ENGINE,
    ),
    Mutant(
        "leases are not renewed after a start",
        "engine/engine.py",
        "todo.append(Step(each.id, steps.renew))",
        "pass",
        ENGINE,
    ),
    Mutant(
        "the leases of a process that is gone stay with it",
        "engine/connections.py",
        "            self.release(task_id, version, pid)\n        return True",
        "            pass\n        return True",
        ENGINE,
    ),
    Mutant(
        "a member gets more than it has room for",
        "engine/members.py",
        "and self.load < self.terms.capacity",
        "",
        ENGINE,
    ),
    Mutant(
        "a call is given to members that have not its function",
        "engine/members.py",
        "return function is None or self.functions is None or function in self.functions",
        "return True",
        ENGINE,
    ),
    Mutant(
        "a released task does not rest, however often",
        "engine/hints.py",
        "hint.not_before = now + rest",
        "hint.not_before = now",
        ENGINE,
    ),
    Mutant(
        "a timer that moved later is forgotten",
        "engine/timers.py",
        "            else:\n                self._set(key, really)",
        "            else:\n                pass",
        ENGINE,
    ),
    Mutant(
        "a task that is left to the store does not move the cursor back",
        "engine/queues.py",
        "        self.more = True\n        self.cursor = min(self.cursor, key)",
        "        self.more = True",
        ENGINE,
    ),
    Mutant(
        "the rest of a missed window waits for the next timer",
        "engine/firing.py",
        "due = schedules.occurrences(schedule, now, OCCURRENCES_MAX)",
        "due = schedules.occurrences(schedule, now, OCCURRENCES_MAX)[:1]",
        "tests/engine/test_schedules.py",
    ),
    Mutant(
        "a commit that failed is told as one that succeeded",
        "store/sqlite/writer.py",
        "                done(unavailable(error))",
        "                done(None)",
        STORE,
    ),
    Mutant(
        "after a failed commit the cache still has what was decided",
        "store/sqlite/store.py",
        "        self._failure = error\n        self._cache.clear()",
        "        self._failure = error",
        STORE,
    ),
    Mutant(
        "nothing counts as uncommitted",
        "store/sqlite/store.py",
        "return key in self._open.changes or (",
        "return False and (",
        SIMULATION,
    ),
    Mutant(
        "synchronous is NORMAL",
        "store/sqlite/database.py",
        'connection.pragma("synchronous", "FULL")',
        'connection.pragma("synchronous", "NORMAL")',
        STORE,
    ),
)


def main() -> int:
    """Plant the bugs that are named, or all; return 1 if one survived."""
    numbers = [int(each) for each in sys.argv[1:]] or range(1, len(MUTANTS) + 1)
    survived = 0
    print("| | What is broken | Where | Caught by | After |\n|---|---|---|---|---|", flush=True)
    for number in numbers:
        mutant = MUTANTS[number - 1]
        began = time.monotonic()
        caught = plant(mutant)
        seconds = time.monotonic() - began
        survived += caught is None
        by = "**nobody**" if caught is None else f"`{caught}`"
        print(
            f"| {number} | {mutant.what} | `{mutant.file}` | {by} | {seconds:.0f} s |", flush=True
        )
    return 1 if survived else 0


def plant(mutant: Mutant) -> str | None:
    """Return the test that notices the mutant, None when none does in time."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        path = copy / "src" / "resonate" / mutant.file
        text = path.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            sys.exit(f"{mutant.file} has this {text.count(mutant.old)} times:\n{mutant.old}")
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        return look(mutant, copy)


def look(mutant: Mutant, copy: Path) -> str | None:
    """Run the tests on a copy."""
    if mutant.tests == SIMULATION:
        command = ["simulation", "--seconds", str(SECONDS_MAX)]
    else:
        command = ["pytest", "-x", "-q", "-p", "no:cacheprovider", mutant.tests]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{copy / 'src'}{os.pathsep}{copy}",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        ran = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX * 1.5,
        )
    except subprocess.TimeoutExpired:
        return None
    if ran.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.MULTILINE)
    seed = re.search(r"dev\.py sim --seed \d+", ran.stdout)
    found = failed[1] if failed else seed[0] if seed else None
    return found or sys.exit(f"neither a test nor a seed failed:\n{ran.stdout}{ran.stderr}")


if __name__ == "__main__":
    sys.exit(main())
