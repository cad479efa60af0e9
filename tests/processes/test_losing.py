"""Workers that die, freeze, or are told to go, with work in their hands."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from tests.processes.children import until


def kill_and_recover(children, connect, rounds, work):
    """Kill the worker that executes a call, again and again; return how long others took."""
    server = children.server()
    resonate = connect(server.url)
    workers = children.workers(server.url, 3)
    delays = []
    for number in range(rounds):
        id = f"kill{number}"
        handle = resonate.begin_rpc(id, work, 3.0)
        victim = until(lambda i=id: next((w for w in workers if i in w.started()), None))
        workers.remove(victim)
        killed = victim.child.send(signal.SIGKILL)
        heir = until(lambda i=id: next((w for w in workers if i in w.started()), None), 15)
        delays.append(heir.when("start", id) - killed)
        assert not handle.done()
        assert victim.started().count(id) == heir.started().count(id) == 1
        workers.append(children.worker(server.url))
    return sorted(delays)


def test_a_killed_workers_call_starts_elsewhere_within_two_seconds(children, connect):
    for delay in kill_and_recover(children, connect, 1, "work"):
        assert delay < 2


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("work", ["work", "work_async"])
def test_every_killed_workers_call_starts_elsewhere_within_two_seconds(
    children, connect, work, capsys
):
    delays = kill_and_recover(children, connect, 20, work)
    p50, p99 = delays[len(delays) // 2], delays[int(len(delays) * 0.99)]
    figures = f"p50 {p50:.3f} p99 {p99:.3f} max {delays[-1]:.3f} ({len(delays)} kills)"
    with capsys.disabled():
        print(f"\nkill -9 to started elsewhere, seconds: {figures}")
    assert delays[-1] < 2


@pytest.mark.slow
def test_a_killed_workers_calls_all_complete(children, connect):
    server = children.server()
    resonate = connect(server.url)
    victim = children.worker(server.url, concurrency=10).ready()
    handles = [resonate.begin_rpc(f"call{n}", "work", 0.3) for n in range(20)]
    until(lambda: len(victim.started()) == 10)
    victim.child.send(signal.SIGKILL)
    heir = children.worker(server.url, concurrency=10)
    assert [handle.result(10) for handle in handles] == [handle.id for handle in handles]
    assert sorted(heir.started()) == sorted(handle.id for handle in handles)


@pytest.mark.parametrize("work", ["work", pytest.param("work_async", marks=pytest.mark.slow)])
def test_a_frozen_workers_call_is_recovered_and_its_late_result_refused(children, connect, work):
    server = children.server()
    resonate = connect(server.url)
    frozen = children.worker(server.url, ttl=1).ready()
    handle = resonate.begin_rpc("frozen", work, 0.6)
    until(lambda: frozen.started() == ["frozen"])
    stopped = frozen.child.send(signal.SIGSTOP)
    heir = children.worker(server.url, ttl=1).ready()
    assert handle.result(10) == "frozen"
    assert 0.5 < heir.when("start", "frozen") - stopped < 4
    frozen.child.send(signal.SIGCONT)
    frozen.child.wait_for("lease of frozen was lost|result of frozen was refused")
    assert resonate.get("frozen").result(1) == "frozen"
    heir.child.send(signal.SIGKILL)
    heir.child.wait()
    assert resonate.rpc("after", work) == "after"
    assert frozen.started() == ["frozen", "after"]
    assert frozen.child.running


def test_a_worker_that_is_told_to_go_loses_nothing_and_nothing_runs_twice(children, connect):
    server = children.server()
    resonate = connect(server.url)
    going, staying = children.workers(server.url, 2, concurrency=4, drain=True)
    handles = []
    for number in range(200):
        handles.append(resonate.begin_rpc(f"call{number}", "work", 0.02))
        if number == 100:
            going.child.send(signal.SIGTERM)
    assert [handle.result(15) for handle in handles] == [handle.id for handle in handles]
    assert going.child.wait() == 0
    assert "drained" in going.child.lines
    counts = Counter(going.started() + staying.started())
    assert counts == {handle.id: 1 for handle in handles}
    assert len(going.started()) > 10
    assert sorted(going.started()) == sorted(going.ended())


@pytest.mark.slow
def test_workers_come_and_go_under_load_and_nothing_is_lost(children, connect):
    server = children.server()
    resonate = connect(server.url)
    workers = [children.worker(server.url, concurrency=4).ready()]
    handles = [resonate.begin_rpc(f"call{n}", "work", 0.05) for n in range(150)]
    for _ in range(2):
        workers.append(children.worker(server.url, concurrency=4).ready())
        time.sleep(0.1)
        workers[-2].child.send(signal.SIGKILL)
    assert [handle.result(20) for handle in handles] == [handle.id for handle in handles]
    counts = Counter(each for worker in workers for each in worker.started())
    assert set(counts) == {handle.id for handle in handles}
    assert sum(counts.values()) <= 150 + 2 * 4
