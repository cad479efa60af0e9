"""Workflows whose worker is killed after each of their recorded steps."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from resonate import Resonate
from resonate.errors import ResonateShutdownError, ResonateStoreError
from tests.processes.children import HERE, until
from tests.processes.flavours import EFFECTS, EXPECTED, FLAVOURS, worker

LOCAL = len(EFFECTS)
WRITES = 2 * LOCAL + 1 + 2 + 1 + 50  # of a run without a crash: local steps are written twice
SIDE_BY_SIDE = 6


def run(children, url, folder, flavour, writes):
    """Run a workflow whose first worker dies; return its result, and whether it died."""
    id = f"{flavour}-{writes}"
    victim = children.spawn("victim", HERE / "flavours.py", url, folder, id, writes)
    victim.wait_for("ready", 30)
    caller = Resonate.remote(url, group="callers", ttl=5)
    heir = worker(url, folder, id)
    ended = threading.Event()
    human = threading.Thread(target=answer, args=(caller, f"{id}-human", ended))
    human.start()
    try:
        handle = caller.options(target=id).begin_rpc(id, flavour)
        until(lambda: not victim.running or handle.done(), 30)
        died = not victim.running
        heir.start()
        result = handle.result(30)
    finally:
        ended.set()
        victim.send(signal.SIGKILL)
        heir.stop(0)
        caller.stop(0)
        human.join(30)
    return result, died


def answer(caller, id, ended):
    """Resolve the promise once it is there."""
    while not ended.wait(0.02):
        try:
            caller.promises.resolve(id, data='"yes"')
        except ResonateStoreError:
            continue  # not yet
        except ResonateShutdownError:
            pass  # the test has failed
        return


def check(children, url, folder, flavour, writes):
    result, died = run(children, url, folder, flavour, writes)
    *_, drawn, mailed = result
    assert [*result[:7], mailed] == EXPECTED, (flavour, writes, result)
    assert 1 <= drawn <= 6
    effects = Counter((folder / f"{flavour}-{writes}").read_text().splitlines())
    assert set(effects) == EFFECTS
    twice = [each for each, times in effects.items() if times > 1]
    # what ran when the worker died, and was not recorded, runs again: never more than that
    assert max(effects.values()) <= 2
    assert len(twice) <= 3, (flavour, writes, effects)
    return died, len(twice)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_workflow_survives_the_death_of_its_worker(children, tmp_path, flavour):
    url = children.server("--grace-ms", "200").url
    for writes in (1, 6):
        died, _ = check(children, url, tmp_path, flavour, writes)
        assert died


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_workflow_survives_the_death_of_its_worker_after_every_step(
    children, tmp_path, flavour, capsys
):
    url = children.server("--grace-ms", "200").url
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = list(pool.map(lambda n: check(children, url, tmp_path, flavour, n), range(WRITES)))
    assert all(died for died, _ in found)
    with capsys.disabled():
        again = sum(twice for _, twice in found)
        print(f"\n{flavour}: {len(found)} kills, {again} of {LOCAL * WRITES} effects seen twice")
